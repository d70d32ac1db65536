"""The three grammars of xmlParameters."""

import pytest

from asyncupload.emulator.parameters import Parameters, read_parameters
from asyncupload.emulator.replies import Refusal, Rejected


@pytest.mark.parametrize(
    "xml",
    [
        '<parameters><parameter key="VERSIONCOMMENT">March</parameter></parameters>',
        '<xmlparameters><item NAME="VersionComment" VALUE="March"/></xmlparameters>',
        '<xmlparameters><item NAME="VERSIONCOMMENT">March</item></xmlparameters>',
        '<parameters><parameter Name="versioncomment" Value="March" /></parameters>',
        '<?xml version="1.0" encoding="utf-16"?><x><y name="VERSIONCOMMENT" value="March" /></x>',
    ],
)
def test_three_grammars_are_read(xml: str) -> None:
    assert read_parameters(xml) == Parameters(version_comment="March")


@pytest.mark.parametrize(
    "xml", ["<parameters />", "<x><item NAME='UNKNOWN' VALUE='1'/></x>", "<x><item VALUE='1'/></x>"]
)
def test_nothing_known_is_nothing_asked(xml: str) -> None:
    assert read_parameters(xml) == Parameters()


def test_every_key_has_its_place() -> None:
    keys = {
        "VERSIONCOMMENT": "c",
        "DESCRIPTION": "d",
        "KEYWORDS": "k",
        "CHECKOUT": "1",
        "PUBLISHOPTION": "DoNotPublish",
    }
    xml = "".join(f'<item NAME="{key}" VALUE="{value}"/>' for key, value in keys.items())
    assert read_parameters(f"<x>{xml}</x>") == Parameters("c", "d", "k", checkout=True, publish=False)


@pytest.mark.parametrize("word", ["ON", "TRUE", "T", "YES", "Y", "1", "yes"])
def test_words_for_yes(word: str) -> None:
    assert read_parameters(f'<x><item NAME="CHECKOUT" VALUE="{word}"/></x>').checkout


@pytest.mark.parametrize("word", ["OFF", "FALSE", "F", "NO", "N", "0", "", "no"])
def test_words_for_no(word: str) -> None:
    assert not read_parameters(f'<x><item NAME="CHECKOUT" VALUE="{word}"/></x>').checkout


@pytest.mark.parametrize("key", ["CHECKOUT", "SENDEMAILS"])
def test_another_word_is_refused(key: str) -> None:
    with pytest.raises(Refusal) as caught:
        read_parameters(f'<x><item NAME="{key}" VALUE="oui"/></x>')
    assert caught.value.code == 4000


@pytest.mark.parametrize(
    "xml",
    [
        "text",
        "<a>",
        "<a></b>",
        "<a b=c/>",
        '<!DOCTYPE a [<!ENTITY b "c">]><a>&b;</a>',
        '<!DOCTYPE a [<!ENTITY b SYSTEM "file:///etc/passwd">]><a>&b;</a>',
        "<a>\x00</a>",
    ],
)
def test_what_is_no_xml_fails_without_a_document(xml: str) -> None:
    with pytest.raises(Rejected) as caught:
        read_parameters(xml)
    assert caught.value.status == 500

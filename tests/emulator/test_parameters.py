"""The three grammars of xmlParameters."""

import pytest

from asyncupload.emulator.parameters import Parameters, packed_version, read_parameters
from asyncupload.emulator.replies import Refusal, Rejected
from asyncupload.emulator.variants import behaviour


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


def item(key: str, value: str) -> str:
    return f'<x><item NAME="{key}" VALUE="{value}"/></x>'


def test_every_key_has_its_place() -> None:
    keys = {
        "VERSIONCOMMENT": "c",
        "DESCRIPTION": "d",
        "KEYWORDS": "k",
        "TEXTONLYCONTENT": "t",
        "CHECKOUT": "1",
        "PUBLISHOPTION": "DoNotPublish",
        "SENDEMAILS": "no",
        "CREATIONDATE": "1970-01-02",
        "MODIFICATIONDATE": "1970-01-01T01:00:01+01:00",
        "MPVERSIONMAJOR": "2",
        "MPVERSIONMINOR": "3",
        "MPVERSIONREVISION": "4",
    }
    xml = "".join(f'<item NAME="{key}" VALUE="{value}"/>' for key, value in keys.items())
    assert read_parameters(f"<x>{xml}</x>") == Parameters(
        version_comment="c",
        description="d",
        keywords="k",
        checkout=True,
        publish=False,
        publish_option="DoNotPublish",
        text_content="t",
        notify=False,
        creation_date=86400,
        modification_date=1,
        version=2_003_004,
    )


@pytest.mark.parametrize("word", ["Publish", "ServerDefault", ""])
def test_other_options_publish(word: str) -> None:
    asked = read_parameters(item("PUBLISHOPTION", word))
    assert (asked.publish, asked.publish_option) == (True, word)


@pytest.mark.parametrize(("word", "notify"), [("OFF", False), ("F", False), ("on", True), ("", True)])
def test_subscribers_are_told_unless_that_is_refused(word: str, notify: bool) -> None:
    assert read_parameters(item("SENDEMAILS", word)).notify is notify


@pytest.mark.parametrize(
    ("major", "minor", "revision", "number"),
    [(1, 0, 0, 1_000_000), (1, 999, 999, 1_999_999), (2147, 483, 647, 2_147_483_647)],
)
def test_a_version_is_one_number(major: int, minor: int, revision: int, number: int) -> None:
    assert packed_version(major, minor, revision) == number


@pytest.mark.parametrize(
    "parts", [(0, 0, 0), (-1, 0, 0), (1, -1, 0), (1, 1000, 0), (1, 0, -1), (1, 0, 1000), (2147, 483, 648), (2400, 0, 0)]
)
def test_a_version_out_of_range_is_refused(parts: tuple[int, int, int]) -> None:
    with pytest.raises(Refusal, match="Invalid version number component") as caught:
        packed_version(*parts)
    assert caught.value.code == 4000


@pytest.mark.parametrize(
    ("key", "value"),
    [("MPVERSIONMAJOR", "two"), ("MPVERSIONMAJOR", "٣"), ("MPVERSIONMINOR", "1"), ("MPVERSIONMAJOR", "9" * 5000)],
)
def test_a_version_that_is_none_is_refused(key: str, value: str) -> None:
    with pytest.raises(Refusal, match="Invalid version number component"):
        read_parameters(item(key, value))


@pytest.mark.parametrize("value", ["yesterday", "2024-13-01", "01/15/2024"])
def test_a_date_that_is_none_is_refused(value: str) -> None:
    with pytest.raises(Refusal, match="is not a date") as caught:
        read_parameters(item("CREATIONDATE", value))
    assert caught.value.code == 4000


GENERATIONS = {
    "key-parameters": '<parameters><parameter key="KEYWORDS">k</parameter></parameters>',
    "item-parameters": '<xmlparameters><item NAME="KEYWORDS" VALUE="k"/></xmlparameters>',
    "name-parameters": '<parameters><parameter Name="KEYWORDS" Value="k" /></parameters>',
}


@pytest.mark.parametrize("read", GENERATIONS)
@pytest.mark.parametrize("sent", GENERATIONS)
def test_a_server_may_read_one_grammar_only(read: str, sent: str) -> None:
    assert read_parameters(GENERATIONS[sent], behaviour([read])).keywords == ("k" if read == sent else "")


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

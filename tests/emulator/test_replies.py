"""What goes back."""

import xml.etree.ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncupload.emulator.replies import (
    Answer,
    Refusal,
    Rejected,
    element,
    failure_reply,
    rejected_reply,
    success_reply,
    text_element,
)
from asyncupload.emulator.variants import Behaviour

STRICT = Behaviour()
WRITABLE = st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"], exclude_characters="\ufffe\uffff"))


@given(WRITABLE)
def test_any_text_survives_as_attribute_and_as_content(text: str) -> None:
    assert ET.fromstring(element("a", {"b": text})).attrib["b"] == text
    assert (ET.fromstring(text_element("a", text)).text or "") == text


@pytest.mark.parametrize("space", ["\n", "\r", "\t", "\r\n"])
def test_line_breaks_survive_in_attributes(space: str) -> None:
    assert ET.fromstring(element("a", {"b": f"x{space}y"})).attrib["b"] == f"x{space}y"


@pytest.mark.parametrize("text", ["\x00", "\x1b", "\ud800", "\uffff"])
def test_what_xml_cannot_carry_is_replaced(text: str) -> None:
    assert ET.fromstring(element("a", {"b": text})).attrib["b"] == "\ufffd"


def test_a_success_is_a_document_in_utf_8() -> None:
    reply = success_reply(Answer({"name": "é"}, "<x />"), "response", STRICT)
    assert (reply.status, reply.content_type) == (200, "text/xml")
    assert (
        reply.body
        == '<?xml version="1.0" encoding="utf-8"?><response success="true" name="é"><x /></response>'.encode()
    )


def test_a_failure_says_so_with_its_code_and_more() -> None:
    reply = failure_reply(Refusal(4000, "no", tryagain="true"), "root", STRICT, bare=False)
    attributes = ET.fromstring(reply.body).attrib
    assert (reply.status, attributes) == (
        200,
        {"success": "false", "error": "no", "tryagain": "true", "errorCode": "4000"},
    )


def test_a_rejection_carries_no_xml() -> None:
    reply = rejected_reply(Rejected(400, "path is required"), STRICT)
    assert (reply.status, reply.content_type) == (400, "application/problem+json")
    assert b"path is required" in reply.body

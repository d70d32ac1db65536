"""Documents that are made to be misread, as a patient reader reads them."""

import math
import time
import xml.etree.ElementTree as ET
from email.utils import parsedate_to_datetime

import pytest

from asyncupload.emulator import pages
from asyncupload.emulator.replies import Reply


@pytest.mark.parametrize("reply", [pages.with_bom(), pages.latin_1(), pages.other_case()])
def test_an_honest_refusal_can_be_understood(reply: Reply) -> None:
    attributes = {name.lower(): value for name, value in ET.fromstring(reply.body).attrib.items()}
    assert attributes["success"] == "false"
    assert attributes["errorcode"] == "5030"
    assert "réessayez" in attributes["error"]


def test_what_is_not_utf_8_cannot_pass_for_it() -> None:
    with pytest.raises(UnicodeDecodeError):
        pages.latin_1().body.decode()


def test_entities_are_worth_a_million_characters() -> None:
    reply = pages.entities()
    assert len(reply.body) < 1000
    assert len(ET.fromstring(reply.body).attrib["error"]) == 1_000_000


@pytest.mark.parametrize("size", [1000, 100_000])
def test_a_huge_document_has_its_size_and_is_well_formed(size: int) -> None:
    body = pages.huge(size).body
    assert len(body) == size
    assert ET.fromstring(body).attrib == {"success": "true"}


def test_what_says_neither_yes_nor_no() -> None:
    assert "success" not in ET.fromstring(pages.no_success().body).attrib
    assert "success" not in ET.fromstring(pages.other_xml().body).attrib


@pytest.mark.parametrize("seconds", [0, 1, 90])
def test_a_date_lies_in_the_future(seconds: int) -> None:
    now = time.time()
    at = parsedate_to_datetime(pages.wait_date(seconds)).timestamp()
    assert math.floor(now) + seconds <= at <= now + seconds + 1.5


def test_pages_and_problems_carry_their_status() -> None:
    assert (pages.page(502).status, b"502 Bad Gateway" in pages.page(502).body) == (502, True)
    assert (pages.problem(415).status, b"415" in pages.problem(415).body) == (415, True)


def test_a_redirect_leads_to_no_host_there_is() -> None:
    assert pages.redirect(307).headers["Location"].startswith("http://elsewhere.invalid/")

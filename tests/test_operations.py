"""docs/operations.md tells what the code does."""

import re
from pathlib import Path

import pytest
from make_operations import LOST, asked, page

from asyncupload import _parameters, _reading, _wire
from asyncupload._call import LostReply

WRITTEN = (Path(__file__).parent.parent / "docs" / "operations.md").read_text("utf-8")


def row(operation: str) -> list[str]:
    (line,) = re.findall(rf"^\| `{operation}` \| (.*) \|$", WRITTEN, flags=re.MULTILINE)
    return [cell.strip() for cell in line.split(" | ")]


def test_the_page_is_what_would_be_written_now() -> None:
    assert page() == WRITTEN, "docs/operations.md is stale: make docs"


def test_every_operation_that_the_client_has_words_for_is_on_it() -> None:
    """Those that stand in the source, however they are chosen."""
    source = "".join(Path(str(room.__file__)).read_text("utf-8") for room in (_wire, _reading, _parameters))
    found = re.findall(r'(?:Call\(|operation = |operation, fields = |^[A-Z]+ = )"(\w+)"', source, flags=re.MULTILINE)
    assert set(asked()) == set(found)


def test_every_meaning_of_a_lost_reply_is_explained() -> None:
    assert set(LOST) == set(LostReply)
    for reply, word in LOST.items():
        assert f"* **{word}**: {reply.value}." in WRITTEN


@pytest.mark.parametrize(
    ("operation", "ways", "lost", "emulator"),
    [
        ("UploadFileChunk", "multipart, form, SOAP", "prove", "form, multipart, SOAP"),
        ("UploadDocumentWithHandler3", "form, SOAP", "ask", "GET, form, multipart, SOAP"),
        ("DeleteUploadHandler", "form, SOAP", "repeat", "GET, form, multipart, SOAP"),
    ],
)
def test_the_columns_hold_what_they_say(operation: str, ways: str, lost: str, emulator: str) -> None:
    assert row(operation)[1:3] == [ways, lost]
    assert row(operation)[4] == emulator


def test_what_uses_an_operation_was_seen() -> None:
    assert row("UploadZipWithHandler")[3] == "`upload_zip`"
    assert row("GetDownloadHandlerByVersion")[3] == "`download`, `verify`"
    assert row("DeleteUploadHandler")[3] == "`upload`, `upload_zip`, `check`, `discard`"
    assert row("AuthenticateUser")[3] == "all"

"""What a command says at its end: exit codes, amounts, and JSON that anything can read."""

import json
import os
from collections.abc import Iterator

import pytest

from asyncupload import errors
from asyncupload._units import amount
from asyncupload.cli import results
from asyncupload.cli.options import Voice
from asyncupload.cli.running import Interrupted
from asyncupload.events import Receipt

ALOUD = Voice(json=False, quiet=False)
IN_JSON = Voice(json=True, quiet=False)

CODES = {
    "AccessDenied": 4,
    "RuleViolated": 4,
    "AlreadyExists": 1,
    "AsyncUploadError": 1,
    "ChecksumMismatch": 6,
    "CheckedOut": 1,
    "ChunkDamaged": 5,
    "ChunkRefused": 1,
    "ConnectFailed": 5,
    "ConnectionLost": 5,
    "EmptySource": 1,
    "ForeignReply": 5,
    "HandlerLost": 1,
    "JournalError": 2,
    "LeaseLost": 1,
    "LoginRefused": 4,
    "NotAFile": 2,
    "NotFound": 1,
    "OperationMissing": 1,
    "OutcomeUnknown": 7,
    "Redirected": 5,
    "ServerError": 1,
    "SourceChanged": 1,
    "SourceError": 1,
    "SourceMissing": 2,
    "SourceUnreadable": 1,
    "StoredDifferently": 6,
    "StoredTwice": 7,
    "TLSFailed": 5,
    "TargetUnwritable": 1,
    "TicketRefused": 4,
    "TimedOut": 5,
    "TransportError": 5,
    "UsageError": 2,
}


def every_kind() -> Iterator[type[errors.AsyncUploadError]]:
    waiting = [errors.AsyncUploadError]
    while waiting:
        kind = waiting.pop()
        yield kind
        waiting.extend(kind.__subclasses__())


def made(kind: type[errors.AsyncUploadError]) -> errors.AsyncUploadError:
    if issubclass(kind, errors.ForeignReply):
        return kind("no", status=200)
    if issubclass(kind, errors.ChecksumMismatch):
        return kind("no", expected=1, found=2)
    return kind("no")


def test_every_kind_of_error_has_the_exit_code_that_scripts_rely_on() -> None:
    ours = (kind for kind in every_kind() if kind.__module__ == errors.__name__)
    assert {kind.__name__: results.exit_code(made(kind)) for kind in ours} == CODES


@pytest.mark.parametrize(("status", "code"), [(401, 4), (403, 4), (407, 4), (404, 5), (500, 5), (503, 5)])
def test_a_gateway_that_refuses_the_user_is_a_matter_of_rights(status: int, code: int) -> None:
    assert results.exit_code(errors.ForeignReply("no", status=status)) == code


@pytest.mark.parametrize(
    ("size", "shown"),
    [
        (0, "0 B"),
        (1023, "1023 B"),
        (1024, "1.0 KiB"),
        (1536 * 1024, "1.5 MiB"),
        (5 << 30, "5.0 GiB"),
        (3 << 40, "3.0 TiB"),
        (4 << 50, "4096.0 TiB"),
    ],
)
def test_amounts_are_for_people(size: int, shown: str) -> None:
    assert amount(size) == shown


def test_a_failure_in_words_is_for_standard_error_alone(capsys: pytest.CaptureFixture[str]) -> None:
    assert results.failed(errors.SourceMissing("a.bin: no such file"), "/Library/a.bin", ALOUD) == 2
    assert capsys.readouterr() == ("", "asyncupload: a.bin: no such file\n")


def test_a_failure_in_json_is_one_line_that_survives_any_encoding(capsys: pytest.CaptureFixture[str]) -> None:
    name = os.fsdecode(b"/caf\xe9 \xe2\x82\xac\n")
    results.failed(errors.SourceMissing("no"), name, IN_JSON)
    line = capsys.readouterr().out
    assert line.isascii()
    assert line.count("\n") == 1
    assert json.loads(line) == {"status": "failed", "path": name, "error": "SourceMissing", "message": "no"}


def test_an_interruption_is_a_failure_with_the_signals_code(capsys: pytest.CaptureFixture[str]) -> None:
    assert results.interrupted(Interrupted(143), "interrupted", "/Library/a.bin", IN_JSON) == 143
    assert json.loads(capsys.readouterr().out)["error"] == "Interrupted"


CHECKOUT = errors.Leftover(kind="checkout", name="/L/f", reason="HTTP 502", remedy="asyncupload discard /L/f")
HANDLER = errors.Leftover(kind="handler", name="d0", reason="HTTP 502", remedy="asyncupload discard d0")


def receipt(*left: errors.Leftover) -> Receipt:
    return Receipt(
        status="stored",
        path="/L/f",
        document_id=1,
        version_id=2,
        size=3,
        crc32=4,
        chunks=1,
        resent=0,
        restarted=0,
        seconds=0.5,
        verified_by="staged checksum",
        left=left,
    )


@pytest.mark.parametrize(("left", "code"), [((), 0), ((HANDLER,), 0), ((CHECKOUT,), 3), ((HANDLER, CHECKOUT), 3)])
def test_stored_is_a_success_unless_others_are_kept_from_the_document(
    left: tuple[errors.Leftover, ...], code: int, capsys: pytest.CaptureFixture[str]
) -> None:
    assert results.stored(receipt(*left), IN_JSON) == code
    said, told = capsys.readouterr()
    assert [one["name"] for one in json.loads(said).get("left", [])] == [one.name for one in left]
    for one in left:
        assert one.name in told
        assert one.remedy in told


def test_what_a_failure_has_left_is_told_with_what_to_do(capsys: pytest.CaptureFixture[str]) -> None:
    error = errors.AccessDenied("no")
    error.left = (HANDLER,)

    assert results.failed(error, "/L/f", IN_JSON) == 4

    said, told = capsys.readouterr()
    assert json.loads(said)["left"] == [
        {"kind": "handler", "name": "d0", "reason": "HTTP 502", "remedy": "asyncupload discard d0"}
    ]
    assert "asyncupload discard d0" in told


def test_what_a_signal_has_left_is_told_too(capsys: pytest.CaptureFixture[str]) -> None:
    assert results.interrupted(Interrupted(129), "interrupted", "/L/f", IN_JSON, left=(HANDLER,)) == 129
    said, told = capsys.readouterr()
    assert json.loads(said)["left"][0]["name"] == "d0"
    assert "asyncupload discard d0" in told

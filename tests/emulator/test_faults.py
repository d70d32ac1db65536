"""Each fault, byte by byte, as it meets the second chunk of an upload; and what became of the chunk."""

import asyncio
import gc
import time
import zlib
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from pathlib import Path

import aiohttp
import pytest

from asyncupload.emulator import FAULTS, Emulator, UploadHandler, at
from emulator.caller import Caller
from emulator.raw import End, Heard, chunk_request, connected, hear
from emulator.trouble import SENT, settled, told, troubled

pytestmark = pytest.mark.anyio


@dataclass
class Seen:
    """`words` stand in the body; `staged` bytes are in the handler, None if it is gone. The first chunk has 5."""

    status: int | None = 200
    words: bytes = b""
    end: End = "open"
    staged: int | None = 5


def page(status: int) -> Seen:
    return Seen(status, b"<html>")


NOTHING = Seen(None, end="closed")
APPLIED = 11
ANSWER = b'success="true" tryagain="false"'

SEEN = {
    "tryagain": Seen(words=b'tryagain="true"'),
    "refuse-400": Seen(400, b'{"status": 400'),
    "refuse-401": page(401),
    "refuse-403": page(403),
    "refuse-404": page(404),
    "refuse-407": page(407),
    "refuse-408": page(408),
    "refuse-413": page(413),
    "refuse-415": Seen(415, b'{"status": 415'),
    "refuse-429": page(429),
    "refuse-500": page(500),
    "refuse-502": page(502),
    "refuse-503": page(503),
    "refuse-503-date": page(503),
    "refuse-504": page(504),
    "redirect-302": page(302),
    "redirect-307": page(307),
    "drop-headers": NOTHING,
    "drop-body": NOTHING,
    "drop-before": NOTHING,
    "drop-after": Seen(None, end="closed", staged=APPLIED),
    "reset-before": Seen(None, end="reset"),
    "reset-after": Seen(None, end="reset", staged=APPLIED),
    "half-answer": Seen(None, end="closed", staged=APPLIED),
    "half-head": Seen(None, end="closed", staged=APPLIED),
    "close-idle": Seen(words=ANSWER, staged=APPLIED),
    "close-on-reuse": Seen(words=ANSWER, staged=APPLIED),
    "drop-late": Seen(None, end="closed", staged=APPLIED),
    "stall": Seen(None, end="silent"),
    "stall-after": Seen(None, end="silent", staged=APPLIED),
    "delay": Seen(words=ANSWER, staged=APPLIED),
    "delay-after": Seen(words=ANSWER, staged=APPLIED),
    "slow": Seen(words=ANSWER, staged=APPLIED),
    "gateway-reset": Seen(None, end="reset", staged=APPLIED),
    "gateway-502": Seen(502, b"<html>", staged=APPLIED),
    "gateway-503": Seen(503, b"<html>", staged=APPLIED),
    "gateway-504": Seen(504, b"<html>", staged=APPLIED),
    "answer-twice": Seen(words=ANSWER, staged=APPLIED),
    "answer-twice-late": Seen(words=ANSWER, staged=APPLIED),
    "recycle": Seen(502, b"<html>", staged=None),
    "away": NOTHING,
    "html": Seen(words=b"<form>"),
    "html-after": Seen(words=b"<form>", staged=APPLIED),
    "fail-404-after": Seen(404, b"<html>", staged=APPLIED),
    "fail-500-after": Seen(500, b"<html>", staged=APPLIED),
    "fail-502-after": Seen(502, b"<html>", staged=APPLIED),
    "fail-504-after": Seen(504, b"<html>", staged=APPLIED),
    "fail-504-late": Seen(504, b"<html>", staged=APPLIED),
    "empty-after": Seen(staged=APPLIED),
    "huge-after": Seen(words=b"   </root>", staged=APPLIED),
    "other-xml-after": Seen(words=b"<feed ", staged=APPLIED),
    "truncated-after": Seen(words=b"<?xml", staged=APPLIED),
    "expire-ticket": Seen(words=b'errorCode="4010"'),
    "forget-sessions": Seen(words=b'errorCode="4010"'),
    "forget-sessions-after": Seen(words=ANSWER, staged=APPLIED),
    "lose-handler": Seen(words=b'errorCode="4000"', staged=None),
    "corrupt-chunk": Seen(words=ANSWER, staged=APPLIED),
    "lose-chunk": Seen(words=ANSWER),
    "double-chunk": Seen(words=ANSWER, staged=17),
    "disk-full": Seen(words=b'errorCode="5030"'),
    "system-error": Seen(words=b'success="false" error="SystemError:'),
    "system-error-after": Seen(words=b'success="false" error="SystemError:', staged=APPLIED),
    "entities": Seen(words=b"<!ENTITY"),
    "external-entity": Seen(words=b'SYSTEM "file:'),
    "bom": Seen(words=b"\xef\xbb\xbf<?xml"),
    "latin-1": Seen(words="réessayez".encode("latin-1")),
    "other-case": Seen(words=b'SUCCESS="false"'),
    "no-success": Seen(words=b'<root tryagain="false" />'),
    "other-case-tryagain": Seen(words=b'success="TRUE" TryAgain="TRUE"'),
}
"""What every fault that fits a chunk looks like."""


def test_every_fault_is_looked_at_and_tells_what_it_does() -> None:
    assert {name for name, fault in FAULTS.items() if fault.fits("UploadFileChunk")} == SEEN.keys()
    again = {"gateway-again", "gateway-again-5030", "gateway-again-error"}
    assert FAULTS.keys() - SEEN.keys() == {"consume-handler", "forbid", "no-ids", "false-success", *again}
    assert all(fault.name == name and fault.meaning for name, fault in FAULTS.items())
    assert {name for name, seen in SEEN.items() if seen.staged in {APPLIED, 17}} == {
        name for name, fault in FAULTS.items() if fault.applies and name in SEEN
    }


async def meet(data: Path, name: str) -> tuple[Heard, Heard, Emulator, UploadHandler | None]:
    """The second chunk, the call after it, the server when all is over, and what it has of the upload."""
    async with troubled(data, at({("UploadFileChunk", 2): name})) as (server, caller):
        handler = await caller.open()
        assert (await caller.chunk(handler, b"first")).ok
        request = chunk_request(caller.ticket, handler, b"second")
        first, second = await told(server.url, request, SENT.get(name, 1.0))
        await settled(server)
        staged = await server.open_handlers()
    return first, second, server, staged[0] if staged else None


@pytest.mark.parametrize("name", SEEN)
async def test_a_fault_is_seen_and_does_what_it_says(tmp_path: Path, name: str) -> None:
    seen = SEEN[name]
    first, second, server, handler = await meet(tmp_path, name)
    assert (first.status, first.end) == (seen.status, seen.end)
    assert seen.words in first.body
    assert (None if handler is None else handler.size) == seen.staged
    [record] = [call for call in server.calls if call.fault]
    assert (record.fault, record.status, record.applied) == (name, seen.status, FAULTS[name].applies)
    served = first.end == "open" and not name.startswith("close") and name != "recycle"
    assert (second.status == 200) == served
    assert ("ServerInfo" in {call.operation for call in server.calls}) == served


@pytest.mark.parametrize(
    ("name", "header", "value"),
    [
        ("refuse-401", "www-authenticate", "Negotiate"),
        ("refuse-407", "proxy-authenticate", 'Basic realm="proxy"'),
        ("refuse-429", "retry-after", "7"),
        ("refuse-503", "retry-after", "7"),
        ("redirect-302", "location", "http://elsewhere.invalid/login"),
        ("redirect-307", "location", "http://elsewhere.invalid/login"),
        ("refuse-415", "content-type", "application/problem+json; charset=utf-8"),
        ("html", "content-type", "text/html; charset=utf-8"),
        ("latin-1", "content-type", "text/xml; charset=utf-8"),
    ],
)
async def test_headers_belong_to_a_fault(tmp_path: Path, name: str, header: str, value: str) -> None:
    first, _, _, _ = await meet(tmp_path, name)
    assert first.headers[header] == value


async def test_a_date_to_wait_for_is_not_too_early(tmp_path: Path) -> None:
    before = time.time()
    first, _, _, _ = await meet(tmp_path, "refuse-503-date")
    assert before + 7 <= parsedate_to_datetime(first.headers["retry-after"]).timestamp() <= time.time() + 8


async def test_answers_break_off_where_they_should(tmp_path: Path) -> None:
    whole, _, _, _ = await meet(tmp_path / "whole", "close-idle")
    assert "connection" not in whole.headers
    answer, _, _, _ = await meet(tmp_path / "answer", "half-answer")
    assert answer.raw == whole.raw[: len(answer.raw)]
    assert len(whole.raw) - len(answer.raw) == (len(whole.body) + 1) // 2
    head, _, _, _ = await meet(tmp_path / "head", "half-head")
    assert whole.raw.startswith(head.raw)
    assert b"\r\n\r\n" not in head.raw
    cut, _, _, _ = await meet(tmp_path / "cut", "truncated-after")
    assert cut.body == whole.body[: len(whole.body) // 2]


async def test_sizes_and_pauses_are_as_asked_for(tmp_path: Path) -> None:
    huge, _, _, _ = await meet(tmp_path / "huge", "huge-after")
    assert len(huge.body) == 100_000
    for name in ("delay", "delay-after"):
        started = time.monotonic()
        await meet(tmp_path / name, name)
        assert time.monotonic() - started > 0.03


async def test_half_a_body_is_waited_for(tmp_path: Path) -> None:
    async with troubled(tmp_path, at({("UploadFileChunk", 1): "drop-body"})) as (server, caller):
        request = chunk_request(caller.ticket, await caller.open(), bytes(10_000))
        first, _ = await told(server.url, request, 0.4)
        assert first.end == "silent"


async def test_close_on_reuse_meets_only_its_own_connection(tmp_path: Path) -> None:
    async with troubled(tmp_path, at({("ServerInfo", 1): "close-on-reuse"})) as (server, _):
        (reader, writer), (other, another) = await connected(server.url), await connected(server.url)
        for who in (writer, another, writer):
            who.write(b"GET /srv.asmx/ServerInfo HTTP/1.1\r\nHost: e\r\n\r\n")
        assert [(await hear(who)).status for who in (reader, other, reader)] == [200, 200, None]
        assert [call.operation for call in server.calls].count("ServerInfo") == 2
        writer.transport.abort()
        another.transport.abort()


@pytest.mark.parametrize(
    ("name", "staged"),
    [
        ("corrupt-chunk", b"first" + b"sec" + bytes([ord("o") ^ 0xFF]) + b"nd"),
        ("lose-chunk", b"first"),
        ("double-chunk", b"firstsecondsecond"),
    ],
)
async def test_what_is_staged_is_what_filehexcrc_tells(tmp_path: Path, name: str, staged: bytes) -> None:
    async with troubled(tmp_path, at({("UploadFileChunk", 2): name})) as (server, caller):
        handler = await caller.open()
        await caller.chunk(handler, b"first")
        said = await caller.chunk(handler, b"second", last=True)
        assert (said.ok, int(said["filehexcrc"], 16)) == (True, zlib.crc32(staged))
        assert (await caller.call("UploadDocumentWithHandler", path="/Library/a", uploadHandler=handler)).ok
        assert (await server.content("/Library/a")).read_bytes() == staged


async def test_forgotten_sessions_are_forgotten_for_all(tmp_path: Path) -> None:
    async with troubled(tmp_path, at({("FolderExists", 1): "forget-sessions-after"})) as (_, caller):
        assert (await caller.call("FolderExists", Path="/Library")).ok
        assert (await caller.call("FolderExists", Path="/Library")).code == "4010"


async def test_an_expired_ticket_is_the_calls_own(tmp_path: Path) -> None:
    async with troubled(tmp_path, at({("FolderExists", 1): "expire-ticket"})) as (server, caller):
        async with Caller(server.url) as other:
            await other.sign_in("demo", "demo")
            assert (await caller.call("FolderExists", Path="/Library")).code == "4010"
            assert (await caller.call("FolderExists", Path="/Library")).code == "4010"
            assert (await other.call("FolderExists", Path="/Library")).ok


@pytest.mark.parametrize(("variant", "success"), [("", "false"), ("mismatch-success", "true")])
async def test_tryagain_is_the_answer_to_a_wrong_crc(tmp_path: Path, variant: str, success: str) -> None:
    async with troubled(tmp_path, at({("UploadFileChunk", 1): "tryagain"}), variant=variant) as (server, caller):
        said = await caller.chunk(await caller.open(), b"data")
        assert (said.status, said["success"], said["tryagain"], said.code) == (200, success, "true", None)
        assert not server.calls[-1].applied


async def test_a_wrong_crc_is_not_applied_although_called_a_success(tmp_path: Path) -> None:
    async with troubled(tmp_path, lambda _: None, variant="mismatch-success") as (server, caller):
        assert (await caller.chunk(await caller.open(), b"data", crc="0")).ok
        assert not server.calls[-1].applied


async def test_what_the_operation_refuses_is_not_applied(tmp_path: Path) -> None:
    async with troubled(tmp_path, at({("FolderExists", 1): "drop-after"})) as (server, caller):
        with pytest.raises(aiohttp.ServerDisconnectedError):
            await caller.call("FolderExists", Path="/None")
        assert not server.calls[-1].applied


async def test_a_stalled_call_ends_with_the_server(tmp_path: Path) -> None:
    async with troubled(tmp_path, at({("ServerInfo", 1): "stall"})) as (server, caller):
        call = asyncio.create_task(caller.call("ServerInfo"))
        while not server.calls[-1].fault:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        started = time.monotonic()
        await server.stop()
        with pytest.raises(aiohttp.ClientError):
            await call
        assert time.monotonic() - started < 1


async def test_whatever_comes_late_disturbs_nobody(tmp_path: Path) -> None:
    """The connection is gone by then, and with it what many a fault would do to it."""
    names = [name for name, fault in FAULTS.items() if fault.fits("UploadFileChunk")]
    names = [name for name in names if name not in {"recycle", "away"}]  # they disturb everybody
    script = at({("UploadFileChunk", number): ("drop-late", name) for number, name in enumerate(names, 1)})
    complaints: list[dict[str, object]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, complaint: complaints.append(complaint))
    async with troubled(tmp_path, script) as (server, caller):
        handler = await caller.open()
        for _ in names:
            with pytest.raises(aiohttp.ServerDisconnectedError):
                await caller.chunk(handler, b"data")
        await settled(server)
    gc.collect()
    assert [call.faults[1] for call in server.calls if call.faults] == names
    assert complaints == []

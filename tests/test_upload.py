"""The journey of one file: stored with equal bytes, or not at all and nothing left behind."""

import asyncio
import io
import logging
import os
import re
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import aiofiles
import anyio
import pytest
from between import between
from conftest import BRISK, FOLDER, PATIENT, Leftovers

from asyncupload import (
    AlreadyExists,
    AsyncUploadError,
    ChecksumMismatch,
    ChunkRefused,
    ChunkRetried,
    ChunkSent,
    Client,
    Committing,
    ConnectionLost,
    EmptySource,
    Event,
    ForeignReply,
    HandlerOpened,
    NotFound,
    OutcomeUnknown,
    Retries,
    Settings,
    SourceChanged,
    Stored,
    StoredDifferently,
    Timeouts,
)
from asyncupload.emulator import Call, Emulator, Script, at

pytestmark = pytest.mark.anyio

CHUNK = PATIENT.chunk_size
TO = f"{FOLDER}/report.bin"


async def _pieces(data: bytes, size: int = 100_000) -> AsyncIterator[bytes]:
    for start in range(0, len(data), size):
        yield data[start : start + size]


async def _send_as(kind: str, data: bytes, folder: Path, upload: Callable[[Any], Any]) -> Any:
    """Upload ``data`` out of a source of the given kind."""
    file = folder / "source.bin"
    file.write_bytes(data)
    match kind:
        case "path":
            return await upload(file)
        case "bytes":
            return await upload(data)
        case "file object":
            with file.open("rb") as opened:
                return await upload(opened)
        case "file object in memory":
            return await upload(io.BytesIO(data))
        case "async file object":
            async with aiofiles.open(file, "rb") as opened:
                return await upload(opened)
        case _:
            return await upload(_pieces(data))


KINDS = ["path", "bytes", "file object", "file object in memory", "async file object", "iterator"]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("size", [1, CHUNK - 1, CHUNK, CHUNK + 1, 2 * CHUNK], ids=["1", "c-1", "c", "c+1", "2c"])
async def test_what_is_stored_equals_what_was_sent(
    kind: str, size: int, client: Client, emulator: Emulator, tmp_path: Path
) -> None:
    """Faults 13 and 14: exact multiples end with a full last chunk, and there is never an empty one."""
    data = os.urandom(size)
    receipt = await _send_as(kind, data, tmp_path, lambda source: client.upload(source, to=TO))
    assert (await emulator.content(TO)).read_bytes() == data
    chunks = -(-size // CHUNK)
    assert (receipt.size, receipt.chunks, receipt.resent) == (size, chunks, 0)
    assert [call.operation for call in emulator.calls].count("UploadFileChunk") == chunks
    assert await emulator.open_handlers() == []


async def test_the_receipt_tells_what_stands_on_the_server(client: Client, emulator: Emulator) -> None:
    receipt = await client.upload(b"123456789", to=TO, version_comment="March")
    (document,) = await emulator.documents()
    assert (receipt.path, receipt.document_id) == (TO, document.id)
    assert receipt.version_id == document.versions[-1].number
    assert receipt.crc32 == 0xCBF43926  # the check value of CRC-32
    assert receipt.verified_by == "staged checksum"
    assert document.versions[-1].comment == "March"


@pytest.mark.parametrize("granted", [300_000, 1_000_000])
async def test_chunks_are_cut_by_the_size_that_the_server_answered(granted: int, emulator: Emulator) -> None:
    """And not by the size that was asked for."""

    def wish(operation: str, body: bytes) -> bytes:
        if operation != "CreateUploadHandler":
            return body
        return re.sub(rb"PreferedChunkSize=\d+", b"PreferedChunkSize=%d" % granted, body)

    data, events = os.urandom(1_500_000), list[Event]()
    async with (
        between(emulator.url, request=wish) as proxy,
        Client(proxy.url, user="demo", password="demo", settings=PATIENT) as client,
    ):
        receipt = await client.upload(data, to=TO, on_event=events.append)
    assert receipt.chunks == -(-len(data) // granted)
    assert isinstance(events[0], HandlerOpened)
    assert events[0].chunk_size == granted
    assert (await emulator.content(TO)).read_bytes() == data


async def test_a_server_that_grants_more_than_the_protocol_allows_is_not_believed(emulator: Emulator) -> None:
    """Memory is bounded by the chunk size, so its bound must not come from the other side alone."""

    def more(operation: str, body: bytes) -> bytes:
        return re.sub(rb'ChunkSize="\d+"', b'ChunkSize="4294967296"', body)

    async with (
        between(emulator.url, answer=more) as proxy,
        Client(proxy.url, user="demo", password="demo", settings=PATIENT) as client,
    ):
        with pytest.raises(ForeignReply, match="4294967296"):
            await client.upload(b"data", to=TO)


# ── refused chunks ──────────────────────────────────────────────────────────────────────────────────────────────────


def _every_chunk_once(call: Call) -> str | None:
    return "tryagain" if call.operation == "UploadFileChunk" and call.number % 2 else None


@pytest.mark.parametrize("variants", [(), ("mismatch-success",)], ids=["success=false", "success=true"])
async def test_every_chunk_refused_once_arrives_once(variants: tuple[str, ...], tmp_path: Path) -> None:
    """Faults 57 and 58: whatever `success` says beside it, `tryagain` means not appended."""
    data, events = os.urandom(5 * CHUNK + 7), list[Event]()
    async with (
        Emulator(tmp_path / "server", script=_every_chunk_once, variants=variants) as server,
        Client(server.url, user="demo", password="demo", settings=PATIENT) as client,
    ):
        receipt = await client.upload(data, to=TO, on_event=events.append)
        assert (await server.content(TO)).read_bytes() == data
        assert await server.open_handlers() == []
    assert (receipt.chunks, receipt.resent) == (6, 6)
    retried = [event for event in events if isinstance(event, ChunkRetried)]
    assert [event.number for event in retried] == [1, 2, 3, 4, 5, 6]
    assert [event.sent for event in retried] == [n * CHUNK for n in range(6)], "the offset stays where it was"


async def test_a_chunk_refused_without_end_gives_up_and_cleans_up(tmp_path: Path) -> None:
    async with _against(tmp_path, lambda call: "tryagain" if call.operation == "UploadFileChunk" else None) as (
        server,
        client,
    ):
        with pytest.raises(ChunkRefused):
            await client.upload(b"data", to=TO)
        sent = [call for call in server.calls if call.operation == "UploadFileChunk"]
        assert len(sent) == PATIENT.retries.attempts
        assert await server.documents() == []
        assert await server.open_handlers() == []


# ── faults of single requests ───────────────────────────────────────────────────────────────────────────────────────

HARMLESS_TO_REPEAT = ["AuthenticateUser", "FolderExists", "DocumentExists", "CreateUploadHandler"]


@pytest.mark.parametrize("fault", ["refuse-500", "refuse-503", "drop-before", "drop-after"])
@pytest.mark.parametrize("operation", HARMLESS_TO_REPEAT)
async def test_a_request_that_may_be_repeated_is(operation: str, fault: str, tmp_path: Path) -> None:
    async with _against(tmp_path, at({(operation, 1): fault})) as (server, client):
        await client.upload(b"data", to=TO)
        assert (await server.content(TO)).read_bytes() == b"data"
        assert [call.operation for call in server.calls].count(operation) == 2


@pytest.mark.parametrize("operation", ["UploadFileChunk", "UploadNewDocumentWidthHandler"])
async def test_a_request_turned_away_goes_again(operation: str, tmp_path: Path) -> None:
    """Fault 46: 503 comes before anything is done."""
    async with _against(tmp_path, at({(operation, 1): "refuse-503"})) as (server, client):
        await client.upload(b"data", to=TO)
        assert (await server.content(TO)).read_bytes() == b"data"
        assert await server.open_handlers() == []


@pytest.mark.parametrize("fault", ["refuse-500", "drop-before", "drop-after", "html"])
@pytest.mark.parametrize("chunk", [1, 2, 5, 6])
async def test_a_chunk_whose_reply_is_lost_ends_stored_once(fault: str, chunk: int, tmp_path: Path) -> None:
    """Faults 40, 41, 43, 44: early it begins anew, late it proves by the whole's checksum. Never a blind repeat."""
    data = os.urandom(6 * CHUNK)
    async with _against(tmp_path, at({("UploadFileChunk", chunk): fault})) as (server, client):
        receipt = await client.upload(data, to=TO)
        assert (await server.content(TO)).read_bytes() == data
        assert [len(document.versions) for document in await server.documents()] == [1]
        assert await server.open_handlers() == []
        if chunk <= 3:
            assert (receipt.restarted, receipt.resent) == (1, 0)
        else:
            assert receipt.resent == 1
            assert receipt.restarted == (1 if fault == "drop-after" else 0), "the doubled chunk must be found"


async def test_an_upload_that_may_not_begin_anew_fails_with_nothing_stored(tmp_path: Path) -> None:
    settings = replace(PATIENT, retries=replace(PATIENT.retries, restarts=0))
    async with _against(tmp_path, at({("UploadFileChunk", 1): "drop-before"}), settings) as (server, client):
        with pytest.raises(ConnectionLost):
            await client.upload(os.urandom(3 * CHUNK), to=TO)
        assert await server.documents() == []
        assert await server.open_handlers() == []


@pytest.mark.parametrize("fault", ["drop-after", "drop-before", "refuse-500", "html"])
@pytest.mark.parametrize("operation", ["UploadNewDocumentWidthHandler", "UploadDocumentWithHandler1"])
async def test_a_lost_reply_to_the_request_to_store_is_settled(fault: str, operation: str, tmp_path: Path) -> None:
    """Fault 42: the document may be there. It is looked for, the request repeated, and nothing sent twice."""
    async with _against(tmp_path, at({(operation, 1): fault}), BRISK) as (server, client):
        versions = 1
        if operation == "UploadDocumentWithHandler1":
            await client.upload(b"before", to=TO)
            versions = 2
        receipt = await client.upload(b"data", to=TO)
        (document,) = await server.documents()
        assert len(document.versions) == versions
        assert receipt.version_id == document.versions[-1].number
        assert (await server.content(TO)).read_bytes() == b"data"
        assert "DeleteUploadHandler" not in [call.operation for call in server.calls]


async def test_what_cannot_be_settled_is_told_as_unknown(tmp_path: Path) -> None:
    """The request is lost, and then nobody answers any more."""

    def script(call: Call) -> str | None:
        lost = {"UploadNewDocumentWidthHandler": "drop-after", "GetDocumentVersions": "drop-before"}
        return lost.get(call.operation)

    settings = replace(PATIENT, timeouts=replace(PATIENT.timeouts, settle=0.3))
    async with _against(tmp_path, script, settings) as (server, client):
        with pytest.raises(OutcomeUnknown, match="look whether"):
            await client.upload(b"data", to=TO)
        assert "DeleteUploadHandler" not in [call.operation for call in server.calls]


async def test_a_handler_that_cannot_be_deleted_does_not_hide_the_first_error(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    def script(call: Call) -> str | None:
        return {"UploadFileChunk": "drop-before", "DeleteUploadHandler": "html"}.get(call.operation)

    timeouts, retries = replace(PATIENT.timeouts, cleanup=0.2), replace(PATIENT.retries, restarts=1)
    settings = replace(PATIENT, timeouts=timeouts, retries=retries)
    async with _against(tmp_path, script, settings) as (server, client):
        with pytest.raises(ConnectionLost, match="UploadFileChunk"):
            await client.upload(b"data", to=TO)
        assert len(await server.open_handlers()) == 2
    assert "handler_left" in caplog.text


# ── looking before sending ──────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("source", "to", "error", "words"),
    [
        (b"", TO, EmptySource, "empty"),
        (b"data", "/Finance/Nowhere/x", NotFound, "/Finance/Nowhere does not exist"),
        (b"data", f"{FOLDER}/there.bin", AlreadyExists, "there.bin exists already"),
    ],
)
async def test_what_cannot_work_is_refused_before_a_handler_is_made(
    source: bytes, to: str, error: type[AsyncUploadError], words: str, client: Client, emulator: Emulator
) -> None:
    await client.upload(b"before", to=f"{FOLDER}/there.bin")
    emulator.calls.clear()
    with pytest.raises(error, match=words):
        await client.upload(source, to=to, if_exists="fail")
    assert "CreateUploadHandler" not in [call.operation for call in emulator.calls]


async def test_a_file_that_changes_is_never_stored(client: Client, emulator: Emulator, tmp_path: Path) -> None:
    """Fault 1: and no chunk of it ever leaves as the last."""
    file = tmp_path / "log.bin"
    file.write_bytes(os.urandom(12 * CHUNK))

    def write_to_it() -> None:
        with file.open("r+b") as opened:
            opened.write(b"rewritten")

    def listen(event: Event) -> None:
        if isinstance(event, ChunkSent) and event.number == 1:
            asyncio.get_running_loop().call_soon(write_to_it)

    with pytest.raises(SourceChanged):
        await client.upload(file, to=TO, on_event=listen)
    assert await emulator.documents() == []
    assert await emulator.open_handlers() == []
    assert [call.operation for call in emulator.calls].count("UploadFileChunk") < 12


# ── the checksum of the whole ───────────────────────────────────────────────────────────────────────────────────────


async def test_a_staged_checksum_that_differs_is_never_finalized(emulator: Emulator) -> None:
    """Fault 62."""

    def other(operation: str, body: bytes) -> bytes:
        return re.sub(rb'filehexcrc="\w+"', b'filehexcrc="1"', body)

    async with (
        between(emulator.url, answer=other) as proxy,
        Client(proxy.url, user="demo", password="demo", settings=PATIENT) as client,
    ):
        with pytest.raises(ChecksumMismatch, match="CBF43926") as caught:
            await client.upload(b"123456789", to=TO)
    assert (caught.value.expected, caught.value.found) == (0xCBF43926, 1)
    assert await emulator.documents() == []
    assert await emulator.open_handlers() == []


async def test_a_server_that_keeps_the_staged_checksum_to_itself_is_asked_for_the_stored_one(tmp_path: Path) -> None:
    async with (
        Emulator(tmp_path / "server", variants=("no-filehexcrc",)) as server,
        Client(server.url, user="demo", password="demo", settings=PATIENT) as client,
    ):
        receipt = await client.upload(b"123456789", to=TO)
        assert receipt.verified_by == "stored checksum"
        assert [call.operation for call in server.calls].count("GetDownloadInfoByVersion") == 1


async def test_a_stored_checksum_that_differs_is_told(tmp_path: Path) -> None:
    def other(operation: str, body: bytes) -> bytes:
        return re.sub(rb'CRC32="\w+"', b'CRC32="00000001"', body)

    async with (
        Emulator(tmp_path / "server", variants=("no-filehexcrc",)) as server,
        between(server.url, answer=other) as proxy,
        Client(proxy.url, user="demo", password="demo", settings=PATIENT) as client,
    ):
        with pytest.raises(StoredDifferently, match="is stored, but"):
            await client.upload(b"123456789", to=TO)


# ── what is told ────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_events_tell_the_trip_in_order_with_totals(client: Client) -> None:
    events = list[Event]()
    receipt = await client.upload(os.urandom(2 * CHUNK + 1), to=TO, on_event=events.append)
    assert [type(event) for event in events] == [HandlerOpened, ChunkSent, ChunkSent, ChunkSent, Committing, Stored]
    assert [e.sent for e in events if isinstance(e, ChunkSent)] == [CHUNK, 2 * CHUNK, 2 * CHUNK + 1]
    assert all(event.path == TO for event in events)
    assert isinstance(events[-1], Stored)
    assert events[-1].receipt == receipt


async def test_a_listener_that_raises_costs_nothing_but_itself(
    client: Client, caplog: pytest.LogCaptureFixture
) -> None:
    """Fault 90."""
    told = list[Event]()

    def listen(event: Event) -> None:
        told.append(event)
        raise RuntimeError("not my day")

    await client.upload(b"data", to=TO, on_event=listen)
    assert len(told) == 1
    assert caplog.text.count("listener_failed") == 1


async def test_each_upload_ends_in_one_line_of_the_log(client: Client, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "asyncupload")
    await client.upload(b"data", to=TO)
    with pytest.raises(AlreadyExists):
        await client.upload(b"data", to=TO, if_exists="fail")
    first, second = (record.getMessage() for record in caplog.records if "upload_ended" in record.getMessage())
    assert "status='stored'" in first
    assert f"destination='{TO}'" in first
    assert re.search(r"handler='[0-9a-f-]{36}'", first)
    assert "status='failed'" in second
    assert "AlreadyExists" in second


async def test_no_secret_shows_in_urls_logs_or_reprs(
    emulator: Emulator, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    """Fault 101."""
    caplog.set_level(logging.DEBUG)
    tickets = list[str]()

    def overhear(operation: str, body: bytes) -> bytes:
        tickets.extend(found.decode() for found in re.findall(rb'ticket="([\w-]+)"', body))
        return body

    async with (
        Emulator(tmp_path / "other", users={"anna": "hush-hush"}) as server,
        between(server.url, answer=overhear) as proxy,
        Client(proxy.url, user="anna", password="hush-hush", settings=PATIENT) as client,
    ):
        await client.upload(b"data", to=TO)
        with pytest.raises(AlreadyExists):
            await client.upload(b"data", to=TO, if_exists="fail")
        shown = f"{proxy.urls} {caplog.text} {client!r}"
    assert tickets
    for secret in ("hush-hush", *tickets):
        assert secret not in shown


# ── cancellation ────────────────────────────────────────────────────────────────────────────────────────────────────

QUICK = Settings(
    chunk_size=CHUNK,
    timeouts=Timeouts(cleanup=0.5),
    retries=Retries(first_wait=30, longest_wait=30, longest_obeyed=30),
)
"""Waits before a retry that only a cancellation can end, and little time for cleaning up."""


@asynccontextmanager
async def _against(
    folder: Path, script: Script | None, settings: Settings = PATIENT
) -> AsyncIterator[tuple[Emulator, Client]]:
    """A troubled server and a client of it; nothing of both may be alive when they have gone."""
    before = Leftovers()
    async with (
        Emulator(folder / "server", script=script) as server,
        Client(server.url, user="demo", password="demo", settings=settings) as client,
    ):
        yield server, client
    assert not Leftovers().since(before)


async def _until(condition: Callable[[], object]) -> None:
    """Looks at every turn of the loop, so as not to miss a stage that passes quickly."""
    with anyio.fail_after(10):
        while not condition():  # noqa: ASYNC110  (what is waited for knows nothing of events)
            await asyncio.sleep(0)


async def _cancel_natively(upload: Callable[[], Any], when: Callable[[], object]) -> None:
    task = asyncio.ensure_future(upload())
    await _until(when)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def _cancel_by_scope(upload: Callable[[], Any], when: Callable[[], object]) -> None:
    async with anyio.create_task_group() as group:
        group.start_soon(upload)
        await _until(when)
        group.cancel_scope.cancel()


async def _cancel_by_timeout(upload: Callable[[], Any], when: Callable[[], object]) -> None:
    async def watch(deadline: asyncio.Timeout) -> None:
        await _until(when)
        deadline.reschedule(0)

    async def limited() -> None:
        async with asyncio.timeout(None) as deadline:
            watcher = asyncio.ensure_future(watch(deadline))
            try:
                await upload()
            finally:
                await watcher

    with pytest.raises(TimeoutError):
        await limited()


WAYS = [_cancel_natively, _cancel_by_scope, _cancel_by_timeout]


def _called(server: Emulator, operation: str) -> Callable[[], object]:
    return lambda: any(call.operation == operation for call in server.calls)


@pytest.mark.parametrize("cancel", WAYS)
@pytest.mark.parametrize(
    ("stage", "script"),
    [
        ("AuthenticateUser", "stall"),
        ("FolderExists", "stall"),
        ("UploadFileChunk", "stall"),
        ("UploadFileChunk", "refuse-503"),
    ],
    ids=["logging in", "looking", "sending", "waiting to retry"],
)
async def test_cancelled_while_asking(cancel: Callable[..., Any], stage: str, script: str, tmp_path: Path) -> None:
    async with _against(tmp_path, at({(stage, 1): script}), QUICK) as (server, client):
        before = Leftovers()
        await cancel(lambda: client.upload(os.urandom(3 * CHUNK), to=TO), _called(server, stage))
        assert await server.open_handlers() == []
        assert await server.documents() == []
        _nothing_alive_since(before)


@pytest.mark.parametrize("cancel", WAYS)
async def test_cancelled_while_a_handler_is_made(cancel: Callable[..., Any], tmp_path: Path) -> None:
    """Torn in mid-request, nobody would know its name. So the answer is waited for, and the handler deleted."""
    async with _against(tmp_path, None, QUICK) as (server, client):
        before = Leftovers()
        await cancel(lambda: client.upload(b"data", to=TO), _called(server, "CreateUploadHandler"))
        assert [call.operation for call in server.calls][-1] == "DeleteUploadHandler"
        assert await server.open_handlers() == []
        _nothing_alive_since(before)


@pytest.mark.parametrize("cancel", WAYS)
async def test_cancelled_while_reading(cancel: Callable[..., Any], tmp_path: Path) -> None:
    closed, reached = list[bool](), list[bool]()

    async def stuck() -> AsyncIterator[bytes]:
        try:
            yield bytes(2 * CHUNK)
            reached.append(True)
            await asyncio.sleep(60)
            yield b"never"
        finally:
            closed.append(True)

    async with _against(tmp_path, None, QUICK) as (server, client):
        before = Leftovers()
        await cancel(lambda: client.upload(stuck(), to=TO), lambda: reached and _called(server, "UploadFileChunk")())
        assert closed == [True]
        assert await server.open_handlers() == []
        _nothing_alive_since(before)


@pytest.mark.parametrize("cancel", WAYS)
async def test_cancelled_while_sealing(cancel: Callable[..., Any], tmp_path: Path) -> None:
    async with _against(tmp_path, None, QUICK) as (server, client):
        before = Leftovers()
        threads = client._threads
        assert threads is not None
        limiter = threads.checksums
        for number in range(QUICK.checksum_threads):  # no thread is left for the checksum
            await limiter.acquire_on_behalf_of(number)
        await cancel(lambda: client.upload(bytes(CHUNK), to=TO), lambda: limiter.statistics().tasks_waiting)
        assert await server.open_handlers() == []
        _nothing_alive_since(before)


@pytest.mark.parametrize("kind", [ChunkSent, Committing])
async def test_cancelled_while_comparing(kind: type[Event], tmp_path: Path) -> None:
    """From inside the listener: after the last chunk is acknowledged, and right before the request to store."""
    async with _against(tmp_path, None, QUICK) as (server, client):
        before = Leftovers()

        def cancel_now(event: Event) -> None:
            if isinstance(event, kind):
                task.cancel()

        task = asyncio.ensure_future(client.upload(b"data", to=TO, on_event=cancel_now))
        with pytest.raises(asyncio.CancelledError):
            await task
        assert await server.documents() == []
        assert await server.open_handlers() == []
        _nothing_alive_since(before)


@pytest.mark.parametrize("cancel", WAYS)
async def test_cancelled_while_the_server_stores_leaves_the_handler_to_it(
    cancel: Callable[..., Any], tmp_path: Path
) -> None:
    """The request may have left: to delete the handler now could race with the document's making."""
    async with _against(tmp_path, at({("UploadNewDocumentWidthHandler", 1): "stall"}), QUICK) as (server, client):
        before = Leftovers()
        await cancel(lambda: client.upload(b"data", to=TO), _called(server, "UploadNewDocumentWidthHandler"))
        assert not _called(server, "DeleteUploadHandler")()
        _nothing_alive_since(before)


@pytest.mark.parametrize("cancel", WAYS)
async def test_cancelled_while_cleaning_up_ends_within_its_time(cancel: Callable[..., Any], tmp_path: Path) -> None:
    """The chunk is lost, so the handler is deleted; the server does not answer that either; then somebody cancels."""

    def script(call: Call) -> str | None:
        return {"UploadFileChunk": "drop-before", "DeleteUploadHandler": "stall"}.get(call.operation)

    async with _against(tmp_path, script, QUICK) as (server, client):
        before = Leftovers()
        await cancel(lambda: client.upload(b"data", to=TO), _called(server, "DeleteUploadHandler"))
        _nothing_alive_since(before)


async def test_cancelled_again_and_again_still_cleans_up(tmp_path: Path) -> None:
    """Fault 83."""
    async with _against(tmp_path, at({("UploadFileChunk", 1): "stall"}), QUICK) as (server, client):
        task = asyncio.ensure_future(client.upload(b"data", to=TO))
        await _until(_called(server, "UploadFileChunk"))
        while not task.done():
            task.cancel()
            await asyncio.sleep(0)
        assert task.cancelled()
        assert await server.open_handlers() == []


async def test_cancelled_after_any_number_of_steps_leaves_nothing(tmp_path: Path) -> None:
    """A sweep: the upload is cancelled one turn of the loop later each time, until it gets through."""
    async with _against(tmp_path, None) as (server, client):
        data, outcomes = os.urandom(2 * CHUNK + 1), set[str]()
        for steps in range(2000):
            to = f"{FOLDER}/{steps}.bin"
            task = asyncio.ensure_future(client.upload(data, to=to))
            for _ in range(steps):
                await asyncio.sleep(0)
            task.cancel()
            await asyncio.wait({task})
            versions = [len(document.versions) for document in await server.documents() if document.path == to]
            # Cancelled in the middle of storing, the document may be there: whole then, and once.
            assert versions in ([], [1])
            outcomes.add("stored" if versions else "nothing")
            if versions:
                assert (await server.content(to)).read_bytes() == data
            assert await server.open_handlers() == []
            if not task.cancelled():
                assert task.result().path == to
                break
        assert outcomes == {"stored", "nothing"}


def _nothing_alive_since(before: Leftovers) -> None:
    """But idle connections, which are kept for the next request and go with the client."""
    left = Leftovers().since(before)
    left.pop("sockets", None)
    assert not left


# ── what the checksum cannot see ────────────────────────────────────────────────────────────────────────────────────

BLIND = b"\xff" * 4 + bytes(4 * CHUNK - 4) + b"tail"
"""Four bytes of FF bring the CRC to zero, and zeros leave it there: such a chunk may come twice, or never."""


async def test_a_chunk_that_the_checksum_cannot_see_is_not_proved_by_it(tmp_path: Path) -> None:
    async with _against(tmp_path, at({("UploadFileChunk", 4): "drop-after"})) as (server, client):
        receipt = await client.upload(BLIND, to=TO)
        assert (await server.content(TO)).read_bytes() == BLIND
    assert receipt.restarted == 1


async def test_a_lost_chunk_that_the_checksum_cannot_see_is_told_by_the_size(tmp_path: Path) -> None:
    async with _against(tmp_path, at({("UploadFileChunk", 3): "lose-chunk"})) as (_, client):
        with pytest.raises(StoredDifferently, match=str(len(BLIND))):
            await client.upload(BLIND, to=TO)


LATE_LAST = at({("UploadFileChunk", 3): "drop-late", ("UploadNewDocumentWidthHandler", 1): "delay"})
"""The last of three chunks is applied after its copy was proved, and before the document is made."""


@pytest.mark.parametrize("refuses", ["mismatch-success", "mismatch-failure"])
async def test_a_late_copy_of_the_last_chunk_changes_nothing(refuses: str, tmp_path: Path) -> None:
    """On a server that takes chunks behind the last one nothing is proved for good: the pass is given up."""
    data = os.urandom(3 * CHUNK)
    variants = ["chunk-after-last"] + ["mismatch-success"] * (refuses == "mismatch-success")
    async with (
        Emulator(tmp_path / "server", script=LATE_LAST, variants=variants, delay=0.2) as server,
        Client(server.url, user="demo", password="demo", settings=PATIENT) as client,
    ):
        receipt = await client.upload(data, to=TO)
        assert receipt.restarted == 1
        assert (await server.content(TO)).read_bytes() == data
        assert await server.open_handlers() == []


async def test_a_late_copy_of_a_source_that_cannot_be_read_again_is_told(tmp_path: Path) -> None:
    async with (
        Emulator(tmp_path / "server", script=LATE_LAST, variants=["chunk-after-last"], delay=0.2) as server,
        Client(server.url, user="demo", password="demo", settings=PATIENT) as client,
    ):
        with pytest.raises(StoredDifferently):
            await client.upload(_pieces(os.urandom(3 * CHUNK)), to=TO)


TO_STORE = ("UploadNewDocumentWidthHandler", "UploadDocumentWithHandler1")


@pytest.mark.parametrize("existing", [False, True])
async def test_a_request_that_something_on_the_way_sends_twice_stores_once(existing: bool, emulator: Emulator) -> None:
    async with (
        between(emulator.url, twice=TO_STORE) as proxy,
        Client(proxy.url, user="demo", password="demo", settings=PATIENT) as client,
    ):
        if existing:
            async with Client(emulator.url, user="demo", password="demo", settings=PATIENT) as before:
                await before.upload(b"before", to=TO)
        receipt = await client.upload(b"data", to=TO)
    (document,) = await emulator.documents()
    assert len(document.versions) == 1 + existing
    assert receipt.version_id == document.versions[-1].number

"""How journeys end: within their time whoever does not listen, before their client, and with a word of what is left."""

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import anyio
import pytest
from between import between
from conftest import FOLDER, PATIENT, Leftovers
from troubled import against, count, holder, until

from asyncupload import (
    AsyncUploadError,
    Client,
    Event,
    Failed,
    OutcomeUnknown,
    Settings,
    Stored,
    Timeouts,
    UsageError,
)
from asyncupload._ending import Ending
from asyncupload.emulator import Call, Emulator, Script

pytestmark = pytest.mark.anyio

TO = f"{FOLDER}/report.bin"
CHUNK = PATIENT.chunk_size


def hurried(cleanup: float) -> Settings:
    return replace(PATIENT, timeouts=Timeouts(connect=5, reply=20, finalize=20, settle=6, cleanup=cleanup))


def always(fault: str, *operations: str) -> Script:
    """Whenever one of them is asked for."""

    def script(call: Call) -> str | None:
        return fault if call.operation in operations else None

    return script


# ── time ──


def test_what_is_cleaned_up_one_after_another_shares_the_time() -> None:
    ending = Ending(8.0)
    with ending.take(100, 0.5) as first:
        assert first == 4.0
        with ending.take(100, 0.5) as within:  # a task of the first's: not more than that has
            assert 3.0 < within <= 4.0
        with ending.take(0.5, 1.0) as short:
            assert short == 0.5
    with ending.take(100, 1.0) as rest:
        assert rest <= 8.0
    time.sleep(0.05)
    with ending.take(100, 1.0):
        time.sleep(0.05)
    with ending.take(100, 1.0) as less:
        assert less <= 7.95
    ending.begin_anew()
    with ending.take(100, 1.0) as again:
        assert again == 8.0


async def test_against_a_server_that_stalls_all_cleaning_up_shares_one_deadline(tmp_path: Path) -> None:
    """The handler, the check-out and the session: one after another, each would be given all of the time."""
    stalled = always("stall", "UploadFileChunk", "DeleteUploadHandler", "UnLock", "LogOut")
    async with against(tmp_path, settings=hurried(3.0)) as (server, client):
        await client.upload(b"before", to=TO)
        async with Client(server.url, user="demo", password="demo", settings=hurried(3.0)) as other:
            server._script = stalled
            upload = asyncio.ensure_future(other.upload(bytes(2 * CHUNK), to=TO))
            await until(lambda: count(server, "UploadFileChunk") == 2)
            began = time.monotonic()
            upload.cancel()
            await asyncio.wait([upload])
        spent = time.monotonic() - began
        server._script = None
    assert upload.cancelled()
    assert spent < 7  # three times the time, if each had all of it


async def deaf() -> AsyncGenerator[bytes, None]:
    """Swallows cancellation for ever."""
    for _ in range(1_000_000):
        with suppress(asyncio.CancelledError):
            await asyncio.sleep(3600)
    yield b""


async def deaf_at_first() -> AsyncGenerator[bytes, None]:
    async for piece in deaf():
        yield piece


async def deaf_later() -> AsyncGenerator[bytes, None]:
    for _ in range(4):
        yield bytes(CHUNK)
    async for piece in deaf():
        yield piece


async def deaf_at_its_end() -> AsyncGenerator[bytes, None]:
    try:
        for _ in range(4):
            yield bytes(CHUNK)
        await asyncio.sleep(3600)
    finally:
        async for _ in deaf():
            pass


class DeafRead:
    """A file object of the same kind."""

    async def read(self, size: int) -> bytes:
        async for piece in deaf():
            return piece
        return b""


@pytest.mark.parametrize("source", [deaf_at_first, deaf_later, deaf_at_its_end, DeafRead])
async def test_a_source_that_swallows_cancellation_for_ever_is_left(source: type, tmp_path: Path) -> None:
    begun = asyncio.Event()
    async with against(tmp_path, settings=hurried(0.5)) as (server, client):
        upload = asyncio.ensure_future(client.upload(source(), to=TO, on_event=lambda _: begun.set()))
        with anyio.move_on_after(0.5):
            await begun.wait()
        await asyncio.sleep(0.1)
        upload.cancel()
        with anyio.fail_after(20):
            await asyncio.wait([upload])
        assert upload.cancelled()
        assert await server.open_handlers() == []


async def test_a_source_that_does_not_close_is_left_when_the_upload_fails_too(tmp_path: Path) -> None:
    async with against(tmp_path, always("forbid", "UploadFileChunk"), settings=hurried(0.5)) as (server, client):
        with anyio.fail_after(20), pytest.raises(AsyncUploadError):
            await client.upload(deaf_at_its_end(), to=TO)
        assert await server.open_handlers() == []


# ── what is left ──


async def test_a_check_out_that_cannot_be_given_back_is_on_the_receipt(tmp_path: Path) -> None:
    async with against(tmp_path, settings=hurried(0.5)) as (server, client):
        await client.upload(b"before", to=TO)
        server._script = always("refuse-502", "UnLock")
        receipt = await client.upload(b"after", to=TO)
        assert receipt.status == "stored"
        (left,) = receipt.left
        assert (left.kind, left.name) == ("checkout", TO)
        assert "502" in left.reason
        assert left.remedy == f"asyncupload discard {TO}"
        assert await holder(server, TO) == "demo"
        await server.set_checkout(TO, None)


async def test_a_handler_that_cannot_be_deleted_is_on_the_error_and_so_is_a_check_out(tmp_path: Path) -> None:
    async with against(tmp_path, settings=hurried(0.5)) as (server, client):
        await client.upload(b"before", to=TO)
        faults = {"UploadFileChunk": "refuse-403", "UnLock": "refuse-502", "DeleteUploadHandler": "refuse-502"}
        server._script = lambda call: faults.get(call.operation)
        with pytest.raises(AsyncUploadError) as caught:
            await client.upload(b"after", to=TO)
        (handler,) = await server.open_handlers()
        assert [(left.kind, left.name) for left in caught.value.left] == [("handler", handler.guid), ("checkout", TO)]
        assert caught.value.left[0].remedy == f"asyncupload discard {handler.guid}"
        server._script = None
        await client.discard(handler.guid)
        await server.set_checkout(TO, None)


async def test_of_a_cancelled_upload_the_last_event_tells(tmp_path: Path) -> None:
    """Nothing is attached to the cancellation itself."""
    told: list[Event] = []
    faults = {"UploadFileChunk": "stall", "DeleteUploadHandler": "refuse-502"}
    async with against(tmp_path, lambda call: faults.get(call.operation), settings=hurried(0.5)) as (server, client):
        upload = asyncio.ensure_future(client.upload(b"data", to=TO, on_event=told.append))
        await until(lambda: count(server, "UploadFileChunk"))
        upload.cancel()
        await asyncio.wait([upload])
        assert upload.cancelled()
        (handler,) = await server.open_handlers()
        (failed,) = (event for event in told if isinstance(event, Failed))
        assert [left.name for left in failed.left] == [handler.guid]


async def test_a_download_that_cannot_let_go_tells_so(tmp_path: Path) -> None:
    async with against(tmp_path, always("refuse-502", "DeleteDownloadHandler"), settings=hurried(0.5)) as (_, client):
        receipt = await client.upload(b"data", to=TO)
        assert receipt.left == ()
        downloaded = await client.download(TO, tmp_path / "back")
        verified = await client.verify(b"data", TO, deep=True)
        assert [left.kind for left in (*downloaded.left, *verified.left)] == ["download", "download"]


async def test_a_check_that_cannot_delete_its_handler_tells_so(tmp_path: Path) -> None:
    async with against(tmp_path, always("refuse-403", "DeleteUploadHandler"), settings=hurried(0.5)) as (
        server,
        client,
    ):
        with pytest.raises(AsyncUploadError) as caught:
            await client.check()
        assert [left.name for left in caught.value.left] == [one.guid for one in await server.open_handlers()]


async def test_a_handler_of_which_an_unknown_request_may_have_made_a_document_is_told(tmp_path: Path) -> None:
    """It must not be deleted, so somebody has to know of it."""
    settings = replace(PATIENT, timeouts=replace(PATIENT.timeouts, settle=0.3))
    script = always("drop-before", "UploadNewDocumentWidthHandler")
    async with against(tmp_path, script, settings=settings) as (server, client):
        with pytest.raises(OutcomeUnknown) as caught:
            await client.upload(b"data", to=TO)
        assert [left.name for left in caught.value.left] == [one.guid for one in await server.open_handlers()]


async def test_a_handler_is_deleted_where_an_equal_document_was_put_there_by_somebody_else(tmp_path: Path) -> None:
    """Ours is refused (4090), and what stands there is what was sent: nothing was made of our handler."""
    async with against(tmp_path) as (server, client):

        async def overtake(operation: str) -> None:
            if operation == "UploadNewDocumentWidthHandler":
                await client.upload(b"the same", to=TO)

        async with (
            between(server.url, meanwhile=overtake) as proxy,
            Client(proxy.url, user="demo", password="demo", settings=PATIENT) as slower,
        ):
            receipt = await slower.upload(b"the same", to=TO)
        assert (receipt.status, receipt.left) == ("stored", ())
        assert await server.open_handlers() == []


# ── the client ──


@pytest.mark.parametrize("exists", [False, True])
async def test_closing_a_client_ends_its_uploads_first_and_nothing_is_left(exists: bool, tmp_path: Path) -> None:
    before = Leftovers()
    async with Emulator(tmp_path / "server") as server:
        async with Client(server.url, user="demo", password="demo", settings=PATIENT) as client:
            if exists:
                await client.upload(b"before", to=TO)
            server._script = always("stall", "UploadFileChunk")
            uploads = [
                asyncio.ensure_future(client.upload(b"x" * n, to=f"{TO}{n}" if n > 1 else TO)) for n in (1, 2, 3)
            ]
            await until(lambda: count(server, "UploadFileChunk") == 3 + exists)
        for upload in uploads:
            with pytest.raises(UsageError, match="client was closed"):
                await upload
        assert await server.open_handlers() == []
        assert await server.checkouts() == {}
        assert [call.operation for call in server.calls][-1] == "LogOut"
    assert not Leftovers().since(before)


async def test_closing_a_client_while_a_document_is_stored_promises_nothing(tmp_path: Path) -> None:
    async with Emulator(tmp_path / "server", script=always("stall", "UploadNewDocumentWidthHandler")) as server:
        async with Client(server.url, user="demo", password="demo", settings=PATIENT) as client:
            upload = asyncio.ensure_future(client.upload(b"data", to=TO))
            await until(lambda: count(server, "UploadNewDocumentWidthHandler"))
        with pytest.raises(OutcomeUnknown, match="look") as caught:
            await upload
        assert [left.name for left in caught.value.left] == [one.guid for one in await server.open_handlers()]


async def test_closing_a_client_ends_its_downloads_too(tmp_path: Path) -> None:
    async with Emulator(tmp_path / "server") as server:
        async with Client(server.url, user="demo", password="demo", settings=PATIENT) as client:
            await client.upload(b"data", to=TO)
            server._script = always("stall", "DownloadFileChunk")
            download = asyncio.ensure_future(client.download(TO, tmp_path / "back"))
            await until(lambda: count(server, "DownloadFileChunk"))
        with pytest.raises(UsageError, match="client was closed"):
            await download
        assert count(server, "DeleteDownloadHandler") == 1
        assert not (tmp_path / "back").exists()


async def test_a_cancellation_of_the_uploads_own_stays_one_when_the_client_is_closed(tmp_path: Path) -> None:
    async with Emulator(tmp_path / "server", script=always("stall", "UploadFileChunk")) as server:
        async with Client(server.url, user="demo", password="demo", settings=PATIENT) as client:
            upload = asyncio.ensure_future(client.upload(b"data", to=TO))
            await until(lambda: count(server, "UploadFileChunk"))
            upload.cancel()
        await asyncio.wait([upload])
        assert upload.cancelled()


async def test_an_upload_that_ends_by_itself_is_no_concern_of_closing(tmp_path: Path) -> None:
    async def pieces() -> AsyncIterator[bytes]:
        yield b"data"

    told: list[Event] = []
    async with against(tmp_path) as (_, client):
        async for event in client.upload_events(pieces(), to=TO):
            told.append(event)  # noqa: PERF401
    assert isinstance(told[-1], Stored)

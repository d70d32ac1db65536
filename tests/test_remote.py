"""The server as an object: one request per call, and errors that say what became of it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from between import between
from conftest import FOLDER, PATIENT

from asyncupload import _checksum
from asyncupload._names import Destination
from asyncupload._pipeline import SealedChunk
from asyncupload._remote import Remote
from asyncupload._secret import Secret
from asyncupload._transport import Transport
from asyncupload.emulator import Emulator, Script, at
from asyncupload.errors import (
    AsyncUploadError,
    ChunkRefused,
    ConnectFailed,
    ForeignReply,
    HandlerLost,
    LoginRefused,
    NotFound,
    Outcome,
    TicketRefused,
    UsageError,
)

pytestmark = pytest.mark.anyio

DATA = b"123456789"
TO = Destination(FOLDER, "file")


def _chunk(data: bytes = DATA, *, last: bool = True) -> SealedChunk:
    return SealedChunk(1, data, _checksum.crc32(data), last)


@asynccontextmanager
async def _remote(url: str, *, password: str = "demo") -> AsyncIterator[Remote]:
    transport = Transport(url, connect_timeout=5)
    try:
        yield Remote(
            transport,
            user="demo",
            password=Secret(password),
            ticket=None,
            timeouts=PATIENT.timeouts,
            chunk_size=500_000,
        )
    finally:
        await transport.close()


@asynccontextmanager
async def _logged_in(folder: Path, script: Script | None = None) -> AsyncIterator[tuple[Emulator, Remote]]:
    async with Emulator(folder / "server", script=script) as server, _remote(server.url) as remote:
        await remote.log_in()
        yield server, remote


async def test_the_journeys_calls_one_by_one(tmp_path: Path) -> None:
    async with _logged_in(tmp_path) as (server, remote):
        assert await remote.whoami() == "demo"
        await remote.folder_exists(FOLDER)
        handler = await remote.create_handler()
        assert handler.chunk_size == 500_000
        assert await remote.send_chunk(handler, _chunk(DATA, last=False)) is None
        assert await remote.send_chunk(handler, _chunk()) == _checksum.crc32(DATA * 2)
        stored = await remote.finalize(handler, TO, "", new=True)
        assert stored.document_id
        assert await remote.document_crc32(f"{FOLDER}/file") == _checksum.crc32(DATA * 2)
        assert (await remote.open_download(f"{FOLDER}/file", 262144)).size == 18
        sent = len(server.calls)
        await remote.log_out()
        assert len(server.calls) == sent + 1


async def test_every_failure_is_one_request(tmp_path: Path) -> None:
    """Patience is decided above: a room that retried in secret would retry what must not be."""
    async with _logged_in(tmp_path, at({("FolderExists", 1): "refuse-503"})) as (server, remote):
        with pytest.raises(ForeignReply):
            await remote.folder_exists(FOLDER)
        assert [call.operation for call in server.calls].count("FolderExists") == 1


@pytest.mark.parametrize("fault", ["drop-after", "refuse-500"])
async def test_what_may_be_repeated_counts_as_not_applied(fault: str, tmp_path: Path) -> None:
    async with _logged_in(tmp_path, at({("CreateUploadHandler", 1): fault})) as (_, remote):
        with pytest.raises(AsyncUploadError) as caught:
            await remote.create_handler()
    assert (caught.value.outcome, caught.value.transient) == (Outcome.NOT_APPLIED, True)


@pytest.mark.parametrize("fault", ["drop-after", "drop-before", "refuse-500", "html"])
async def test_a_chunk_whose_reply_is_lost_counts_as_unknown(fault: str, tmp_path: Path) -> None:
    async with _logged_in(tmp_path, at({("UploadFileChunk", 1): fault})) as (_, remote):
        with pytest.raises(AsyncUploadError) as caught:
            await remote.send_chunk(await remote.create_handler(), _chunk())
    assert caught.value.outcome is Outcome.UNKNOWN


async def test_a_chunk_with_a_wrong_checksum_is_refused_and_may_go_again(tmp_path: Path) -> None:
    async with _logged_in(tmp_path) as (_, remote):
        handler = await remote.create_handler()
        with pytest.raises(ChunkRefused) as caught:
            await remote.send_chunk(handler, SealedChunk(1, DATA, 1, last=True))
        assert (caught.value.outcome, caught.value.transient) == (Outcome.NOT_APPLIED, True)
        assert await remote.send_chunk(handler, _chunk()) == _checksum.crc32(DATA)


@pytest.mark.parametrize(
    ("fault", "consumed"),
    [
        (None, True),
        ("drop-after", True),
        ("drop-before", True),
        ("html", True),
        ("refuse-429", False),
        ("refuse-503", True),
    ],
)
async def test_a_handler_knows_whether_a_document_may_be_in_the_making(
    fault: str | None, consumed: bool, tmp_path: Path
) -> None:
    script = at({("UploadNewDocumentWidthHandler", 1): fault}) if fault else None
    async with _logged_in(tmp_path, script) as (_, remote):
        handler = await remote.create_handler()
        await remote.send_chunk(handler, _chunk())
        assert not handler.consumed
        await asyncio.gather(remote.finalize(handler, TO, "", new=True), return_exceptions=True)
        assert handler.consumed is consumed


async def test_a_handler_unknown_to_the_server_is_told_as_lost(tmp_path: Path) -> None:
    """Fault 66."""
    async with _logged_in(tmp_path) as (_, remote):
        handler = await remote.create_handler()
        await remote.delete_handler(handler.id)
        with pytest.raises(HandlerLost):
            await remote.send_chunk(handler, _chunk())


async def test_a_ticket_that_the_server_forgot_is_told_as_such(tmp_path: Path) -> None:
    async with _logged_in(tmp_path) as (server, remote):
        await server.forget_tickets()
        with pytest.raises(TicketRefused):
            await remote.folder_exists(FOLDER)


async def test_a_missing_document_is_not_found(tmp_path: Path) -> None:
    async with _logged_in(tmp_path) as (_, remote):
        with pytest.raises(NotFound) as caught:
            await remote.document_crc32(f"{FOLDER}/nothing")
    assert caught.value.code == 4041


async def test_any_number_of_askers_log_in_once(tmp_path: Path) -> None:
    async with Emulator(tmp_path / "server") as server, _remote(server.url) as remote:
        await asyncio.gather(*(remote.log_in() for _ in range(50)))
        assert [call.operation for call in server.calls] == ["AuthenticateUser"]


async def test_a_refused_login_is_not_repeated_and_a_lost_one_is_allowed_to_be(tmp_path: Path) -> None:
    async with Emulator(tmp_path / "server", script=at({("AuthenticateUser", 1): "drop-before"})) as server:
        async with _remote(server.url, password="wrong") as remote:
            with pytest.raises(AsyncUploadError) as caught:
                await remote.log_in()
            assert caught.value.transient
            for _ in range(3):
                with pytest.raises(LoginRefused):
                    await remote.log_in()
        assert len(server.calls) == 2


async def test_an_address_that_never_answered_is_worth_few_attempts_only(tmp_path: Path) -> None:
    """It is more likely mistyped than away for minutes."""
    async with Emulator(tmp_path / "server") as server, _remote(server.url) as remote:
        await server.stop()
        with pytest.raises(ConnectFailed) as before:
            await remote.log_in()
        await server.start()
        await remote.log_in()
        await server.stop()
        with pytest.raises(ConnectFailed) as after:
            await remote.whoami()
    assert (before.value.transient, after.value.transient) == (True, True)
    assert (before.value.first_contact, after.value.first_contact) == (True, False)


async def test_an_answer_too_large_to_be_one_is_not_read_to_its_end(emulator: Emulator) -> None:
    async with (
        between(emulator.url, answer=lambda _, body: body + b" " * 3_000_000) as proxy,
        _remote(proxy.url) as remote,
    ):
        with pytest.raises(ForeignReply, match="larger than"):
            await remote.server_info()


async def test_large_answers_are_parsed_too(tmp_path: Path) -> None:
    """They take another path, through a thread."""
    data = bytes(range(256)) * 1200
    async with _logged_in(tmp_path) as (_, remote):
        handler = await remote.create_handler()
        await remote.send_chunk(handler, _chunk(data))
        await remote.finalize(handler, TO, "a comment", new=True)
        info = await remote.open_download(f"{FOLDER}/file", 500_000)
        assert (await remote.read_chunk(info.handler, 5, 300_000)).data == data[5:300_005]
        await remote.close_download(info.handler)


async def test_nothing_can_be_asked_before_the_login() -> None:
    async with _remote("http://127.0.0.1:9") as remote:
        with pytest.raises(UsageError, match="not logged in"):
            await remote.folder_exists(FOLDER)


async def test_credentials_do_not_show() -> None:
    async with _remote("http://127.0.0.1:9", password="hush-hush") as remote:
        assert "hush" not in repr(remote)

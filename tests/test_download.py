"""One file down: right and whole, or the target is as it was. What was interrupted goes on where it was."""

import asyncio
import base64
import os
import re
import resource
import urllib.parse
import zlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import anyio.to_thread
import pytest
from between import Between, between
from cli.commands import end, run, start
from conftest import FOLDER, PATIENT
from troubled import against, count, until

from asyncupload import (
    ChecksumMismatch,
    ChunkDamaged,
    ChunkReceived,
    Client,
    Event,
    ForeignReply,
    NotFound,
    Retries,
    Settings,
    TargetUnwritable,
    Timeouts,
)
from asyncupload.emulator import Emulator, at

pytestmark = pytest.mark.anyio

CHUNK = PATIENT.chunk_size
AT = f"{FOLDER}/report.bin"


def _part(target: Path, data: bytes) -> Path:
    """Where these bytes grow, for that target."""
    return target.with_name(f".{target.name}.{len(data)}-{zlib.crc32(data):08X}.part")


def _offsets(seen: Between) -> list[int]:
    """What was asked for, in order."""
    asked = (urllib.parse.parse_qs(body.decode()) for name, body in seen.requests if name == "DownloadFileChunk")
    return [int(fields["StartOffset"][0]) for fields in asked]


@pytest.fixture
def target(tmp_path: Path) -> Path:
    """In a directory of its own, where something stands already."""
    (tmp_path / "down").mkdir()
    (tmp_path / "down" / "back").write_bytes(b"before")
    return tmp_path / "down" / "back"


@asynccontextmanager
async def _watched(server: Emulator) -> AsyncIterator[tuple[Between, Client]]:
    """A client that is seen through a proxy."""
    async with (
        between(server.url) as proxy,
        Client(proxy.url, user="demo", password="demo", settings=PATIENT) as client,
    ):
        yield proxy, client


@pytest.mark.parametrize("size", [1, CHUNK - 1, CHUNK, CHUNK + 1, 3 * CHUNK])
async def test_what_comes_down_equals_what_went_up(size: int, client: Client, tmp_path: Path) -> None:
    data, events = os.urandom(size), list[Event]()
    receipt = await client.upload(data, to=AT)
    down = await client.download(AT, tmp_path / "back", on_event=events.append)
    assert (tmp_path / "back").read_bytes() == data
    assert (down.size, down.crc32, down.compared) == (size, receipt.crc32, True)
    assert [e.received for e in events if isinstance(e, ChunkReceived)][-1] == size


async def test_no_temporary_file_and_no_handler_is_left(client: Client, emulator: Emulator, tmp_path: Path) -> None:
    await client.upload(b"data", to=AT)
    (tmp_path / "down").mkdir()
    await client.download(AT, tmp_path / "down" / "back")
    assert os.listdir(tmp_path / "down") == ["back"]
    operations = [call.operation for call in emulator.calls]
    assert operations.count("GetDownloadHandler") == operations.count("DeleteDownloadHandler") == 1


async def test_a_damaged_chunk_is_asked_for_again(emulator: Emulator, tmp_path: Path) -> None:
    damaged = 0

    def damage(operation: str, body: bytes) -> bytes:
        nonlocal damaged
        if operation != "DownloadFileChunk" or damaged:
            return body
        damaged += 1
        return body.replace(base64.b64encode(b"data"), base64.b64encode(b"dada"))

    async with (
        between(emulator.url, answer=damage) as proxy,
        Client(proxy.url, user="demo", password="demo", settings=PATIENT) as client,
    ):
        await client.upload(b"data", to=AT)
        await client.download(AT, tmp_path / "back")
    assert damaged == 1
    assert (tmp_path / "back").read_bytes() == b"data"


@pytest.mark.parametrize(
    ("find", "put", "error"),
    [
        (base64.b64encode(b"data"), base64.b64encode(b"dada"), ChunkDamaged),
        (b' CRC32="\\w+"', b' CRC32="1"', ChecksumMismatch),
        (base64.b64encode(b"data"), b"", ForeignReply),
        (base64.b64encode(b"data"), base64.b64encode(b"data and more"), ChunkDamaged),
    ],
    ids=["damaged for good", "another whole", "nothing", "more than asked for"],
)
async def test_what_is_not_right_leaves_the_target_as_it_was(
    find: bytes, put: bytes, error: type[Exception], emulator: Emulator, target: Path
) -> None:
    """Beside it only what the next download can go on with: nothing, if the whole was wrong."""

    def damage(operation: str, body: bytes) -> bytes:
        if put == b"":
            body = re.sub(rb'chunkCRC32="\w+"', b'chunkCRC32="0"', body)
        return re.sub(find, put, body)

    async with (
        between(emulator.url, answer=damage) as proxy,
        Client(proxy.url, user="demo", password="demo", settings=PATIENT) as client,
    ):
        await client.upload(b"data", to=AT)
        with pytest.raises(error):
            await client.download(AT, target)
    assert target.read_bytes() == b"before"
    kept = set() if error is ChecksumMismatch else {_part(target, b"data").name}
    assert set(os.listdir(target.parent)) == {"back"} | kept
    assert "DeleteDownloadHandler" in [call.operation for call in emulator.calls]


async def test_a_target_that_cannot_be_written_is_told_as_such(client: Client, tmp_path: Path) -> None:
    await client.upload(b"data", to=AT)
    with pytest.raises(TargetUnwritable, match="nowhere"):
        await client.download(AT, tmp_path / "nowhere" / "back")


@pytest.mark.parametrize("kind", ["pipe", "directory"])
async def test_what_is_no_regular_file_is_never_replaced(kind: str, client: Client, tmp_path: Path) -> None:
    """``/dev/null`` least of all."""
    target = tmp_path / "there"
    os.mkfifo(target) if kind == "pipe" else target.mkdir()
    await client.upload(b"data", to=AT)
    with pytest.raises(TargetUnwritable, match="no regular file"):
        await client.download(AT, target)
    assert not target.is_file()


async def test_a_symbolic_link_is_followed(client: Client, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "elsewhere" / "file")
    await client.upload(b"data", to=AT)
    await client.download(AT, tmp_path / "link")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "elsewhere" / "file").read_bytes() == b"data"


async def test_a_lost_chunk_is_asked_for_again(tmp_path: Path) -> None:
    """Reading by offset does no harm twice."""
    script = at({("DownloadFileChunk", 2): "drop-after", ("GetDownloadHandler", 1): "refuse-500"})
    data = os.urandom(3 * CHUNK)
    async with (
        Emulator(tmp_path / "server", script=script) as server,
        Client(server.url, user="demo", password="demo", settings=PATIENT) as client,
    ):
        await client.upload(data, to=AT)
        await client.download(AT, tmp_path / "back")
    assert (tmp_path / "back").read_bytes() == data


@pytest.mark.parametrize(("stage", "kept"), [("GetDownloadHandler", False), ("DownloadFileChunk", True)])
async def test_cancelled_it_leaves_no_handler_and_only_what_it_can_go_on_with(
    stage: str, kept: bool, target: Path, tmp_path: Path
) -> None:
    settings = Settings(chunk_size=CHUNK, timeouts=Timeouts(cleanup=0.3), retries=Retries(first_wait=30))
    script, data = at({("DownloadFileChunk", 2): "stall"}), os.urandom(3 * CHUNK)
    async with against(tmp_path, script, settings) as (server, client):
        await client.upload(data, to=AT)
        task = asyncio.ensure_future(client.download(AT, target))
        await until(lambda: count(server, stage))
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert count(server, "DeleteDownloadHandler") == 1
    assert set(os.listdir(target.parent)) == {"back"} | ({_part(target, data).name} if kept else set())


# ── what was interrupted ────────────────────────────────────────────────────────────────────────────────────────────


async def test_after_a_failure_only_the_missing_bytes_are_asked_for(emulator: Emulator, target: Path) -> None:
    data, broken = os.urandom(4 * CHUNK + 5), True

    def fail(operation: str, _: bytes) -> tuple[int, bytes] | None:
        return (404, b"") if broken and operation == "DownloadFileChunk" and len(_offsets(proxy)) > 2 else None

    async with (
        between(emulator.url, instead=fail) as proxy,
        Client(proxy.url, user="demo", password="demo", settings=PATIENT) as client,
    ):
        await client.upload(data, to=AT)
        with pytest.raises(ForeignReply):
            await client.download(AT, target)
        assert _part(target, data).read_bytes() == data[: 2 * CHUNK]
        broken, before = False, len(_offsets(proxy))
        down = await client.download(AT, target)
        assert _offsets(proxy)[before:] == [2 * CHUNK, 3 * CHUNK, 4 * CHUNK]
    assert (down.resumed, down.size, down.crc32) == (2 * CHUNK, len(data), zlib.crc32(data))
    assert target.read_bytes() == data
    assert os.listdir(target.parent) == ["back"]


async def test_after_a_cancellation_only_the_missing_bytes_are_asked_for(target: Path, tmp_path: Path) -> None:
    data, events = os.urandom(4 * CHUNK), list[Event]()
    async with against(tmp_path, at({("DownloadFileChunk", 3): "stall"})) as (server, client):
        await client.upload(data, to=AT)
        task = asyncio.ensure_future(client.download(AT, target, on_event=events.append))
        await until(lambda: count(server, "DownloadFileChunk") == 3)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert [e.received for e in events if isinstance(e, ChunkReceived)] == [CHUNK, 2 * CHUNK]
        down = await client.download(AT, target)
        assert count(server, "DownloadFileChunk") == 3 + 2
    assert down.resumed == 2 * CHUNK
    assert target.read_bytes() == data


async def test_after_a_process_was_killed_only_the_missing_bytes_are_asked_for(target: Path, tmp_path: Path) -> None:
    data = os.urandom(4 * CHUNK)
    async with against(tmp_path, at({("DownloadFileChunk", 3): "stall"})) as (server, client):
        await client.upload(data, to=AT)
        login = {"ASYNCUPLOAD_SERVER": server.url, "ASYNCUPLOAD_USER": "demo", "ASYNCUPLOAD_PASSWORD": "demo"}
        process = start("download", "--chunk-size", CHUNK, AT, target, env=login)
        try:
            # Not at every turn of the loop: the process needs the processor.
            while count(server, "DownloadFileChunk") < 3 and process.poll() is None:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        finally:
            process.kill()
            said = await anyio.to_thread.run_sync(end, process)
        assert count(server, "DownloadFileChunk") == 3, said
        assert target.read_bytes() == b"before"
        down = await client.download(AT, target)
        assert count(server, "DownloadFileChunk") == 3 + 2
    assert down.resumed == 2 * CHUNK
    assert target.read_bytes() == data
    assert os.listdir(target.parent) == ["back"]


@pytest.mark.parametrize("there", [0, 1, CHUNK + 5, 2 * CHUNK + 9])
async def test_what_is_there_already_is_not_asked_for(there: int, emulator: Emulator, target: Path) -> None:
    """Not even one byte, if all are there."""
    data = os.urandom(2 * CHUNK + 9)
    async with _watched(emulator) as (proxy, client):
        await client.upload(data, to=AT)
        _part(target, data).write_bytes(data[:there])
        down = await client.download(AT, target)
        assert _offsets(proxy) == list(range(there, len(data), CHUNK))
    assert down.resumed == there
    assert target.read_bytes() == data


@pytest.mark.parametrize("there", [1, CHUNK, 2 * CHUNK + 9, 3 * CHUNK])
async def test_other_bytes_under_the_right_name_do_no_harm(there: int, emulator: Emulator, target: Path) -> None:
    """As a disk may bring them back after a power cut. The checksum of the whole shows it, and all is asked for."""
    data = os.urandom(2 * CHUNK + 9)
    async with _watched(emulator) as (proxy, client):
        await client.upload(data, to=AT)
        _part(target, data).write_bytes(bytes(there))
        down = await client.download(AT, target)
        assert _offsets(proxy)[-3:] == [0, CHUNK, 2 * CHUNK]
    assert down.resumed == 0
    assert target.read_bytes() == data
    assert os.listdir(target.parent) == ["back"]


async def test_two_downloads_into_one_target_do_not_mix(target: Path, tmp_path: Path) -> None:
    """The second one is told so, and what the first one has brought stays."""
    data = os.urandom(3 * CHUNK)
    async with against(tmp_path, at({("DownloadFileChunk", 2): "stall"})) as (server, client):
        await client.upload(data, to=AT)
        first = asyncio.ensure_future(client.download(AT, target))
        await until(lambda: count(server, "DownloadFileChunk") == 2)
        with pytest.raises(TargetUnwritable, match="another download is writing it"):
            await client.download(AT, target)
        first.cancel()
        with pytest.raises(asyncio.CancelledError):
            await first
        assert (await client.download(AT, target)).resumed == CHUNK
    assert target.read_bytes() == data


async def test_what_came_of_one_version_is_not_mixed_with_another(target: Path, tmp_path: Path) -> None:
    old, new = os.urandom(3 * CHUNK), os.urandom(3 * CHUNK)
    async with against(tmp_path, at({("DownloadFileChunk", 2): "stall"})) as (server, client):
        first = await client.upload(old, to=AT)
        task = asyncio.ensure_future(client.download(AT, target))
        await until(lambda: count(server, "DownloadFileChunk") == 2)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        second = await client.upload(new, to=AT)
        assert (await client.download(AT, target)).resumed == 0
        assert target.read_bytes() == new
        assert (await client.download(AT, target, version=first.version_id)).resumed == CHUNK
        assert target.read_bytes() == old
        await client.download(AT, target, version=second.version_id)
        assert target.read_bytes() == new


async def test_a_version_that_is_not_there_cannot_be_downloaded(client: Client, target: Path) -> None:
    await client.upload(b"data", to=AT)
    with pytest.raises(NotFound):
        await client.download(AT, target, version=7_000_000)
    assert target.read_bytes() == b"before"


async def test_the_target_is_at_no_time_half_written(emulator: Emulator, target: Path) -> None:
    data, seen = os.urandom(3 * CHUNK), set[bytes]()

    async def look(operation: str) -> None:
        seen.add(target.read_bytes())

    async with (
        between(emulator.url, meanwhile=look) as proxy,
        Client(proxy.url, user="demo", password="demo", settings=PATIENT) as client,
    ):
        await client.upload(data, to=AT)
        await client.download(AT, target)
    assert seen == {b"before", data}


async def test_a_full_disk_is_not_kept_full(emulator: Emulator, client: Client, target: Path) -> None:
    await client.upload(os.urandom(3 * CHUNK), to=AT)
    login = {"ASYNCUPLOAD_SERVER": emulator.url, "ASYNCUPLOAD_USER": "demo", "ASYNCUPLOAD_PASSWORD": "demo"}
    most = CHUNK + CHUNK // 2

    def limited() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))

    words = ("download", "--chunk-size", CHUNK, AT, target)
    ended = await anyio.to_thread.run_sync(lambda: run(*words, env=login, preexec_fn=limited))
    assert ended.code == 1
    assert "cannot be written: File too large" in ended.err
    assert target.read_bytes() == b"before"
    assert os.listdir(target.parent) == ["back"]


# ── content whose checksum the server does not tell ─────────────────────────────────────────────────────────────────


def _untold(operation: str, body: bytes) -> bytes:
    return re.sub(rb' CRC32="\w+"', b' CRC32=""', body) if operation == "GetDownloadHandler" else body


async def test_content_without_a_checksum_is_never_gone_on_with(emulator: Emulator, target: Path) -> None:
    """A process that was killed may have had the same number, as in a container: nothing would show the mixture."""
    target.with_name(f".back.{os.getpid()}.part").write_bytes(b"of another time")
    async with (
        between(emulator.url, answer=_untold) as proxy,
        Client(proxy.url, user="demo", password="demo", settings=PATIENT) as client,
    ):
        await client.upload(b"what is rendered today", to=AT)
        down = await client.download(AT, target)
    assert (down.compared, down.resumed) == (False, 0)
    assert target.read_bytes() == b"what is rendered today"
    assert os.listdir(target.parent) == ["back"]


async def test_interrupted_content_without_a_checksum_is_not_kept(emulator: Emulator, target: Path) -> None:
    def fail(operation: str, _: bytes) -> tuple[int, bytes] | None:
        return (404, b"") if operation == "DownloadFileChunk" and len(_offsets(proxy)) > 1 else None

    async with (
        between(emulator.url, answer=_untold, instead=fail) as proxy,
        Client(proxy.url, user="demo", password="demo", settings=PATIENT) as client,
    ):
        await client.upload(os.urandom(2 * CHUNK), to=AT)
        with pytest.raises(ForeignReply):
            await client.download(AT, target)
    assert target.read_bytes() == b"before"
    assert os.listdir(target.parent) == ["back"]

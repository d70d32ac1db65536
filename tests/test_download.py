"""One file down: right and whole, or the target is as it was."""

import asyncio
import base64
import os
import re
from pathlib import Path

import pytest
from between import between
from conftest import FOLDER, PATIENT

from asyncupload import (
    ChecksumMismatch,
    ChunkDamaged,
    ChunkReceived,
    Client,
    Event,
    ForeignReply,
    Retries,
    Settings,
    TargetUnwritable,
    Timeouts,
)
from asyncupload.emulator import Emulator, at

pytestmark = pytest.mark.anyio

CHUNK = PATIENT.chunk_size
AT = f"{FOLDER}/report.bin"


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
    find: bytes, put: bytes, error: type[Exception], emulator: Emulator, tmp_path: Path
) -> None:
    def damage(operation: str, body: bytes) -> bytes:
        if put == b"":
            body = re.sub(rb'chunkCRC32="\w+"', b'chunkCRC32="0"', body)
        return re.sub(find, put, body)

    target = tmp_path / "down" / "back"
    target.parent.mkdir()
    target.write_bytes(b"before")
    async with (
        between(emulator.url, answer=damage) as proxy,
        Client(proxy.url, user="demo", password="demo", settings=PATIENT) as client,
    ):
        await client.upload(b"data", to=AT)
        with pytest.raises(error):
            await client.download(AT, target)
    assert target.read_bytes() == b"before"
    assert os.listdir(target.parent) == ["back"]
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


@pytest.mark.parametrize("stage", ["GetDownloadHandler", "DownloadFileChunk"])
async def test_cancelled_it_leaves_neither_file_nor_handler(stage: str, tmp_path: Path) -> None:
    settings = Settings(chunk_size=CHUNK, timeouts=Timeouts(cleanup=0.3), retries=Retries(first_wait=30))
    script = at({("DownloadFileChunk", 2): "stall"})
    async with (
        Emulator(tmp_path / "server", script=script) as server,
        Client(server.url, user="demo", password="demo", settings=settings) as client,
    ):
        await client.upload(os.urandom(3 * CHUNK), to=AT)
        (tmp_path / "down").mkdir()
        task = asyncio.ensure_future(client.download(AT, tmp_path / "down" / "back"))
        while stage not in [call.operation for call in server.calls]:  # noqa: ASYNC110  (it knows nothing of events)
            await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert os.listdir(tmp_path / "down") == []
        assert [call.operation for call in server.calls].count("DeleteDownloadHandler") == 1

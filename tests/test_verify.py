"""Is the stored document this file: told by size and checksum where that is enough, and by every byte where not."""

import asyncio
import io
import os
import re
import zlib
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
from between import between
from conftest import FOLDER, PATIENT
from hypothesis import example, given
from hypothesis import strategies as st
from troubled import against, count, until

from asyncupload import (
    ChecksumMismatch,
    ChunkReceived,
    Client,
    EmptySource,
    Event,
    NotFound,
    Properties,
    SourceMissing,
    VersionNumber,
)
from asyncupload._verify import STRIDE, first_difference
from asyncupload.emulator import Emulator, at

pytestmark = pytest.mark.anyio

CHUNK = PATIENT.chunk_size
AT = f"{FOLDER}/report.bin"
DATA = os.urandom(2 * CHUNK + 7)


def _changed(place: int) -> bytes:
    """DATA with another byte there."""
    return DATA[:place] + bytes([DATA[place] ^ 1]) + DATA[place + 1 :]


async def _pieces(data: bytes) -> AsyncIterator[bytes]:
    for start in range(0, len(data), 100_000):
        yield data[start : start + 100_000]


def _path(data: bytes, folder: Path) -> Path:
    (folder / "source").write_bytes(data)
    return folder / "source"


SOURCES: dict[str, Callable[[bytes, Path], Any]] = {
    "path": _path,
    "bytes": lambda data, _: data,
    "file object": lambda data, _: io.BytesIO(data),
    "async iterator": lambda data, _: _pieces(data),
}


async def _downloads_left(server: Emulator) -> int:
    """How many download handlers the server still keeps."""
    query = "SELECT count(*) FROM downloads"
    row = await server._store.run(lambda: server._store.downloads._db.execute(query).fetchone())
    return int(row[0])


async def _require_different(client: Client, source: Any, words: str, **how: Any) -> None:
    with pytest.raises(ChecksumMismatch, match=words) as caught:
        await client.verify(source, AT, **how)
    assert str(caught.value).startswith(f"{AT} is not the same: ")


# ── as the server tells it ──────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("kind", SOURCES)
@pytest.mark.parametrize("deep", [False, True])
async def test_what_is_equal_is_found_equal(
    kind: str, deep: bool, client: Client, emulator: Emulator, tmp_path: Path
) -> None:
    """Without a byte on the line, unless every byte is asked for."""
    await client.upload(DATA, to=AT)
    events = list[Event]()
    found = await client.verify(SOURCES[kind](DATA, tmp_path), AT, deep=deep, on_event=events.append)
    assert (found.path, found.size, found.crc32) == (AT, len(DATA), zlib.crc32(DATA))
    assert found.verified_by == ("bytes" if deep else "stored checksum")
    assert count(emulator, "DownloadFileChunk") == (3 if deep else 0)
    assert [e.received for e in events if isinstance(e, ChunkReceived)] == [CHUNK, 2 * CHUNK, len(DATA)]
    assert await _downloads_left(emulator) == 0


@pytest.mark.parametrize("kind", SOURCES)
@pytest.mark.parametrize("deep", [False, True])
@pytest.mark.parametrize("other", [DATA[:-1], DATA + b"x", DATA[:CHUNK]], ids=["shorter", "longer", "one chunk"])
async def test_another_size_is_a_difference(
    other: bytes, kind: str, deep: bool, client: Client, emulator: Emulator, tmp_path: Path
) -> None:
    """Also where the source does not say how long it is."""
    await client.upload(DATA, to=AT)
    await _require_different(client, SOURCES[kind](other, tmp_path), r"\d{6}", deep=deep)
    assert await _downloads_left(emulator) == 0


async def test_another_size_that_is_known_is_told_before_anything_is_read(client: Client, emulator: Emulator) -> None:
    await client.upload(DATA, to=AT)
    await _require_different(
        client, DATA + b"x", f"{len(DATA)} bytes are stored, and bytes has {len(DATA) + 1}", deep=True
    )
    assert count(emulator, "DownloadFileChunk") == 0


async def test_other_bytes_are_a_difference_by_their_checksum(client: Client, emulator: Emulator) -> None:
    await client.upload(DATA, to=AT)
    other = _changed(CHUNK)
    with pytest.raises(ChecksumMismatch, match=f"CRC-32 {zlib.crc32(DATA):08X} are stored") as caught:
        await client.verify(other, AT)
    assert (caught.value.expected, caught.value.found) == (zlib.crc32(other), zlib.crc32(DATA))
    assert count(emulator, "DownloadFileChunk") == 0


# ── by every byte ───────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("place", [0, CHUNK - 1, CHUNK, len(DATA) - 1])
async def test_every_byte_is_compared_and_the_first_difference_is_named(place: int, emulator: Emulator) -> None:
    """What a checksum cannot see: here the server claims the one of other bytes."""
    other = _changed(place)

    def claimed(operation: str, body: bytes) -> bytes:
        return re.sub(rb' CRC32="\w+"', b' CRC32="%08x"' % zlib.crc32(other), body) if "GetDown" in operation else body

    async with (
        between(emulator.url, answer=claimed) as proxy,
        Client(proxy.url, user="demo", password="demo", settings=PATIENT) as client,
    ):
        await client.upload(DATA, to=AT)
        assert (await client.verify(other, AT)).verified_by == "stored checksum"
        await _require_different(client, other, rf"the bytes at offset {place} are not the same", deep=True)
    assert await _downloads_left(emulator) == 0


async def test_where_no_checksum_is_told_every_byte_is_compared(emulator: Emulator) -> None:
    """As for content that the server renders anew for each reader."""

    def untold(operation: str, body: bytes) -> bytes:
        return re.sub(rb' CRC32="\w+"', b' CRC32=""', body) if "GetDownload" in operation else body

    async with (
        between(emulator.url, answer=untold) as proxy,
        Client(proxy.url, user="demo", password="demo", settings=PATIENT) as client,
    ):
        await client.upload(DATA, to=AT)
        assert (await client.verify(DATA, AT)).verified_by == "bytes"
        await _require_different(client, _changed(5), "offset 5 ")


async def test_a_server_that_gives_less_than_was_asked_for_is_asked_again(emulator: Emulator) -> None:
    """Its portions need not be those in which the source is read."""

    def less(operation: str, body: bytes) -> bytes:
        return re.sub(rb"ChunkSize=\d+", b"ChunkSize=100000", body) if operation == "DownloadFileChunk" else body

    async with (
        between(emulator.url, request=less) as proxy,
        Client(proxy.url, user="demo", password="demo", settings=PATIENT) as client,
    ):
        await client.upload(DATA, to=AT)
        assert (await client.verify(DATA, AT, deep=True)).verified_by == "bytes"
        await _require_different(client, _changed(CHUNK + 1), f"offset {CHUNK + 1} ", deep=True)
    assert count(emulator, "DownloadFileChunk") > 6


async def test_a_lost_piece_is_asked_for_again(tmp_path: Path) -> None:
    async with against(tmp_path, at({("DownloadFileChunk", 2): "drop-after"})) as (server, client):
        await client.upload(DATA, to=AT)
        await client.verify(DATA, AT, deep=True)
        assert count(server, "DownloadFileChunk") == 4


# ── which version ───────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("variants", [(), ("zero-is-latest",), ("major-versions",)])
async def test_it_is_the_latest_version_that_is_compared_and_not_the_published_one(
    variants: tuple[str, ...], tmp_path: Path
) -> None:
    """Servers give the published one where none is asked for by number."""
    async with against(tmp_path, variants=variants) as (_, client):
        first = await client.upload(b"published", to=AT)
        second = await client.upload(b"not published", to=AT, properties=Properties(publish="dont"))
        await client.verify(b"not published", AT)
        await _require_different(client, b"published", "13 bytes are stored")
        await client.verify(b"published", AT, version=first.version_id)
        await client.verify(b"not published", AT, version=second.version_id)
        await _require_different(client, b"published", "13 bytes are stored", version=second.version_id)


async def test_a_version_that_is_not_there_is_not_found(client: Client) -> None:
    await client.upload(b"data", to=AT)
    with pytest.raises(NotFound):
        await client.verify(b"data", AT, version=VersionNumber(9).packed)


# ── what leaves nothing behind ──────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("stage", ["GetDownloadHandlerByVersion", "DownloadFileChunk"])
async def test_cancelled_it_leaves_no_handler(stage: str, tmp_path: Path) -> None:
    async with against(tmp_path, at({("DownloadFileChunk", 2): "stall"})) as (server, client):
        await client.upload(DATA, to=AT)
        task = asyncio.ensure_future(client.verify(DATA, AT, deep=True))
        await until(lambda: count(server, stage))
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert await _downloads_left(server) == 0


async def test_what_is_not_there_is_told(client: Client, emulator: Emulator, tmp_path: Path) -> None:
    with pytest.raises(NotFound):
        await client.verify(b"data", f"{FOLDER}/nothing")
    await client.upload(b"data", to=AT)
    with pytest.raises(SourceMissing):
        await client.verify(tmp_path / "nothing", AT)
    (tmp_path / "empty").touch()
    with pytest.raises(EmptySource):
        await client.verify(tmp_path / "empty", AT)
    assert await _downloads_left(emulator) == 0


# ── the first difference ────────────────────────────────────────────────────────────────────────────────────────────


@given(st.binary(max_size=40), st.binary(max_size=40), st.binary(max_size=40))
@example(b"", b"", b"")
@example(bytes(STRIDE - 1), b"a", b"b")
@example(bytes(STRIDE), b"a", b"b")
@example(bytes(STRIDE), b"", b"b")
@example(bytes(2 * STRIDE), b"", b"")
def test_the_first_difference_is_where_it_is(same: bytes, one: bytes, other: bytes) -> None:
    first, second = same + one, same + other
    shared = min(len(first), len(second))
    shared = next((place for place in range(shared) if first[place] != second[place]), shared)
    assert first_difference(first, second) == (None if first == second else shared)
    assert first_difference(memoryview(second), bytearray(first)) == (None if first == second else shared)

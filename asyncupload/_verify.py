"""Is the stored document this file? Asked without moving bytes where the server tells, or of every byte."""

import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any

import anyio.to_thread

from . import _checksum, _reading, _wire
from ._body import Buffer
from ._ending import left_behind
from ._fetch import Fetch
from ._patience import Patience
from ._pipeline import SealedChunk, sealed_chunks
from ._staging import Threads
from .errors import ChecksumMismatch
from .events import Audience, ChunkReceived, StoredDocument, Verified
from .sources import Content, Source

STRIDE = 64 * 1024
"""Bytes compared at a time: short enough for the loop to have its turn between, and to be looked through one by one."""


class Verification:
    """Compares one document with one source.

    Args:
        patience: The client's.
        threads: The client's.
        audience: Told of the bytes that were compared.
        log: A logger bound to this comparison.
    """

    def __init__(self, patience: Patience, threads: Threads, audience: Audience, log: Any) -> None:
        self._patience = patience
        self._threads = threads
        self._audience = audience
        self._fetch = Fetch(patience, log)

    async def run(self, source: Source, path: str, *, version: int | None = None, deep: bool = False) -> Verified:
        """Compare size and checksum as the server tells them, or every byte.

        Args:
            source: What it should be.
            path: The document's.
            version: Its packed number; None for the latest.
            deep: Fetch every byte. Done in any case where the server tells no checksum.

        Raises:
            ChecksumMismatch: They differ; the message says in what.
        """
        began = time.monotonic()
        await self._patience.persist(self._patience.remote.log_in)
        number = version if version is not None else await self._latest(path)
        facts: _reading.Facts | _reading.Info | None = await self._fetch.facts(path, number)
        async with AsyncExitStack() as opened:
            content = await opened.enter_async_context(source.open(self._threads.reading))
            _require_size(path, source, content, facts)
            pieces, chunk_size = None, self._patience.settings.chunk_size
            if deep or facts is None or facts.crc32 is None:  # before that nothing is staged
                facts = info = await opened.enter_async_context(self._fetch.open(path, number))
                _require_size(path, source, content, facts)
                pieces = self._fetch.pieces(info) if deep or info.crc32 is None else None
                chunk_size = info.chunk_size
            size, crc32 = await self._compare(path, content, facts.size, chunk_size, pieces)
            if size != facts.size or facts.crc32 not in {None, crc32}:
                raise _differing(
                    path,
                    f"{facts.size} bytes with CRC-32 {facts.crc32 or 0:08X} are stored, "
                    f"and {source.name} has {size} with {crc32:08X}",
                    crc32,
                    facts.crc32 or 0,
                )
        return Verified(
            path=path,
            size=size,
            crc32=crc32,
            verified_by="bytes" if pieces is not None else "stored checksum",
            seconds=time.monotonic() - began,
            left=left_behind(),
        )

    async def describe(self, path: str, version: int | None) -> StoredDocument:
        """Size and checksum of what is stored. Fetches every byte where the server tells no checksum."""
        await self._patience.persist(self._patience.remote.log_in)
        number = version if version is not None else await self._latest(path)
        facts = await self._fetch.facts(path, number)
        if facts is not None and facts.crc32 is not None:
            return StoredDocument(path=path, size=facts.size, crc32=facts.crc32, version_id=number)
        async with self._fetch.open(path, number) as info:
            crc32 = info.crc32 if info.crc32 is not None else await self._checksum_of(path, info)
        return StoredDocument(path=path, size=info.size, crc32=crc32, version_id=number)

    async def _checksum_of(self, path: str, info: _reading.Info) -> int:
        received, crc32 = 0, _checksum.EMPTY
        async for piece in self._fetch.pieces(info):  # each of which is compared with its own checksum on arrival
            received += len(piece.data)
            crc32 = _checksum.combine(crc32, piece.crc32, len(piece.data))
            self._audience.tell(ChunkReceived(path=path, received=received, size=info.size))
        return crc32

    async def _latest(self, path: str) -> int | None:
        """By number, since without one some servers give the published version instead."""
        versions = await self._patience.persist(lambda: self._patience.remote.versions(path))
        return _wire.latest(versions)

    async def _compare(
        self,
        path: str,
        content: Content,
        expected: int,
        chunk_size: int,
        pieces: AsyncIterator[_reading.Piece] | None,
    ) -> tuple[int, int]:
        """Size and checksum of the source, whose bytes are held against ``pieces`` if there are any."""
        size, crc32, stored = 0, _checksum.EMPTY, _Stored(pieces)
        async with sealed_chunks(
            content.chunks(chunk_size), depth=self._patience.settings.depth, threads=self._threads.checksums
        ) as line:
            async for chunk in line:
                if pieces is not None:
                    await self._hold_against(path, chunk, await stored.take(len(chunk.data)), size)
                size += len(chunk.data)
                crc32 = _checksum.combine(crc32, chunk.crc32, len(chunk.data))
                self._audience.tell(ChunkReceived(path=path, received=size, size=expected))
        return size, crc32

    async def _hold_against(self, path: str, chunk: SealedChunk, stored: bytes, before: int) -> None:
        place = await anyio.to_thread.run_sync(first_difference, chunk.data, stored, limiter=self._threads.checksums)
        if place is not None:
            raise _differing(path, f"the bytes at offset {before + place} are not the same")


class _Stored:
    """The document's bytes, taken in other portions than they come in."""

    def __init__(self, pieces: AsyncIterator[_reading.Piece] | None) -> None:
        self._pieces = pieces
        self._rest = b""

    async def take(self, size: int) -> bytes:
        """So many bytes, or as many as there are."""
        parts = [self._rest]
        missing = size - len(self._rest)
        while missing > 0 and self._pieces is not None and (piece := await anext(self._pieces, None)) is not None:
            parts.append(piece.data)
            missing -= len(piece.data)
        whole = b"".join(parts)
        self._rest = whole[size:]
        return whole[:size]


def first_difference(one: Buffer, other: Buffer) -> int | None:
    """Where two runs of bytes begin to differ; the end of the shorter one counts. Blocks: for a thread."""
    first, second = memoryview(one), memoryview(other)
    for start in range(0, max(len(first), len(second)), STRIDE):
        here, there = bytes(first[start : start + STRIDE]), bytes(second[start : start + STRIDE])
        if here != there:
            pairs = enumerate(zip(here, there, strict=False))
            return start + next((place for place, (a, b) in pairs if a != b), min(len(here), len(there)))
    return None


def _require_size(path: str, source: Source, content: Content, facts: "_reading.Facts | _reading.Info | None") -> None:
    """What is of another size need not be read."""
    if facts is not None and content.size not in {None, facts.size}:
        raise _differing(path, f"{facts.size} bytes are stored, and {source.name} has {content.size}")


def _differing(path: str, how: str, expected: int = 0, found: int = 0) -> ChecksumMismatch:
    return ChecksumMismatch(f"{path} is not the same: {how}", expected=expected, found=found)

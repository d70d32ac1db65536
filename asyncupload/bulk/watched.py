"""A file on its way: read no faster than allowed, hashed in the same pass, and timed."""

import hashlib
import time
from collections.abc import AsyncGenerator, AsyncIterator
from concurrent.futures import Executor
from contextlib import asynccontextmanager

import anyio
import anyio.to_thread

from asyncupload._cutting import ChunkBuffer
from asyncupload.sources import Content, Source


class Rate:
    """Bytes per second for all files together.

    Args:
        limit: Bytes per second; None for no limit.
    """

    def __init__(self, limit: int | None) -> None:
        self._limit = limit
        self._next = 0.0
        self.waited = 0.0
        """Seconds that all files together were held back."""

    async def take(self, amount: int) -> None:
        """Wait for the turn of ``amount`` bytes."""
        if self._limit is None:
            return
        now = time.monotonic()
        turn = max(now, self._next)
        self._next = turn + amount / self._limit
        self.waited += turn - now
        await anyio.sleep(turn - now)


class WatchedSource:
    """A source that passes through here.

    Args:
        source: The file.
        rate: Of all files.
        hashed: Whether to compute its SHA-256.
        threads: Bounds the threads for that.
    """

    def __init__(self, source: Source, rate: Rate, *, hashed: bool, threads: anyio.CapacityLimiter) -> None:
        self._source = source
        self._rate = rate
        self._hashed = hashed
        self._threads = threads
        self.sha256 = ""
        """Of the last pass that came to its end; empty if nobody asked for it."""

    @property
    def name(self) -> str:
        """The file's."""
        return self._source.name

    @property
    def rereadable(self) -> bool:
        """As the file is."""
        return self._source.rereadable

    @asynccontextmanager
    async def open(self, threads: Executor) -> AsyncIterator[Content]:
        """As of the file."""
        async with self._source.open(threads) as content:
            yield _Watched(self, content)

    async def pass_on(self, content: Content, size: int) -> AsyncGenerator[ChunkBuffer, None]:
        """The content's chunks."""
        digest = hashlib.sha256() if self._hashed else None
        chunks = content.chunks(size)
        try:
            async for chunk in chunks:
                await self._rate.take(len(chunk))
                if digest is not None:
                    await anyio.to_thread.run_sync(digest.update, chunk, limiter=self._threads)
                yield chunk
                del chunk  # its buffer is wanted for what is read next
        finally:
            await chunks.aclose()
        self.sha256 = digest.hexdigest() if digest is not None else ""


class _Watched:
    def __init__(self, source: WatchedSource, content: Content) -> None:
        self._source = source
        self._content = content

    @property
    def size(self) -> int | None:
        return self._content.size

    def chunks(self, size: int) -> AsyncGenerator[ChunkBuffer, None]:
        return self._source.pass_on(self._content, size)

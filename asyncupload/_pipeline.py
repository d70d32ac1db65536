"""Reads ahead, checksums in threads, hands out sealed chunks in file order.

    reader task ──► queue of chunks whose checksums are under way ──► the caller's loop
         └────────► checksum workers (threads) ─────────────────────────┘

The queue holds *pending* checksums in file order, so the workers may finish in any order and nothing needs to be
sorted. It is pulled: the caller's loop is the ordered sender, its slowness is the backpressure, and leaving the loop
stops the rest. Chunks of a file come with their checksums, made by the thread that read them, and need no worker.
"""

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager
from typing import NamedTuple

import anyio
import anyio.to_thread

from . import _checksum
from ._cutting import ChunkBuffer, checksum_seconds, known_crc32
from ._raised import raise_kept
from ._shield import closed, ended
from .errors import SourceUnreadable

INLINE = 64 * 1024
"""Bytes. A chunk of so few is checksummed where it is: that takes some microseconds, and the way to a thread and back a
hundred. With many small files it adds up."""

CLOSING = 10.0
"""Seconds that a source may take to close when its chunks are no longer wanted."""


class SealedChunk(NamedTuple):
    """A chunk and its checksum.

    The buffer is the sender's own as long as it holds the chunk: a retry never rereads the source.
    """

    number: int
    """Counts from 1."""
    data: ChunkBuffer
    crc32: int
    last: bool


class _Pending:
    """A chunk whose checksum is known, or being computed."""

    def __init__(self, data: ChunkBuffer, seal: "int | asyncio.Task[int]") -> None:
        self.data = data
        self.last = False
        self._seal = seal

    async def sealed(self, number: int) -> SealedChunk:
        crc32 = self._seal if isinstance(self._seal, int) else await self._seal
        return SealedChunk(number, self.data, crc32, self.last)


class Line:
    """What runs between the source and the caller's loop.

    Besides the sender's, a buffer has one of ``depth + 1`` places: the one being read, the one held back, and
    ``depth - 1`` in the queue. It keeps its place until the sender has it, and with that lets go of the one before.
    """

    def __init__(self, chunks: AsyncGenerator[ChunkBuffer, None], depth: int, threads: anyio.CapacityLimiter) -> None:
        self._chunks = chunks
        self._threads = threads
        self._places = asyncio.Semaphore(depth + 1)
        self._queue: asyncio.Queue[_Pending | Exception] = asyncio.Queue()  # bounded by the places
        self._workers: set[asyncio.Task[int]] = set()
        self._handed_out = 0
        # Tasks of asyncio's and no task group: that would wrap what the caller's loop raises, and a scope would cancel
        # the reader again and again, where a source may ``await`` in its cleaning up.
        self._reader = asyncio.create_task(self._read())
        self.waited_for_bytes = 0.0
        """Seconds that the caller's loop had nothing to do because nothing had been read."""
        self.waited_for_checksums = 0.0
        """Seconds that it had a chunk, but not its checksum."""

    async def _read(self) -> None:
        """The reader task. Its error travels down the line behind the chunks that were read before it."""
        end: Exception = StopAsyncIteration()
        try:
            async with aclosing(self._chunks):
                await self._pass_on()
        except Exception as error:  # noqa: BLE001  (raised where the chunks are pulled, bare and in order)
            end = error
        except asyncio.CancelledError:
            # If it was not us, something inside the source was cancelled: half of it must not pass for the whole.
            end = SourceUnreadable("the source was cancelled from within before it came to its end")
        finally:
            self._queue.put_nowait(end)
            del end  # its traceback has this frame: both would live until the garbage collector comes

    async def _pass_on(self) -> None:
        """Hold each chunk back until the next one is there, or the source has vouched for having given everything.

        So the last chunk is known as the last, whether or not the size was known before; and no chunk of a file that
        turns out to have changed ever leaves as the last one.
        """
        held: _Pending | None = None
        await self._places.acquire()
        async for data in self._chunks:
            if held is not None:
                self._queue.put_nowait(held)
            held = _Pending(data, self._seal(data))
            del data  # or its buffer would be looked at while the source wants one to read into
            await self._places.acquire()
        if held is not None:
            held.last = True
            self._queue.put_nowait(held)

    def _seal(self, data: ChunkBuffer) -> "int | asyncio.Task[int]":
        known = known_crc32(data)
        if known is not None:
            return known
        if len(data) <= INLINE:
            return _checksum.crc32(data)
        worker = asyncio.create_task(_in_thread(data, self._threads))
        self._workers.add(worker)
        worker.add_done_callback(self._done)
        return worker

    def _done(self, worker: "asyncio.Task[int]") -> None:
        self._workers.discard(worker)
        if not worker.cancelled():
            worker.exception()  # looked at, or asyncio would report it where nobody pulls the chunk any more

    def __aiter__(self) -> "Line":
        return self

    async def __anext__(self) -> SealedChunk:
        began = time.monotonic()
        pending = await self._queue.get()
        read = time.monotonic()
        if isinstance(pending, Exception):
            self._queue.put_nowait(StopAsyncIteration())  # for whoever pulls again
            try:
                raise_kept(pending)
            finally:
                del pending  # the traceback has this frame
        self._handed_out += 1
        sealed = await pending.sealed(self._handed_out)
        # The thread that reads a file makes the checksum at its end: so the last of the wait was for that.
        within = min(read - began, checksum_seconds(sealed.data))
        self.waited_for_bytes += read - began - within
        self.waited_for_checksums += time.monotonic() - read + within
        self._places.release()
        return sealed

    async def close(self) -> None:
        """Stop reading, and see the source closed."""
        await ended(self._reader, *self._workers, grace=CLOSING)
        await closed(
            self._chunks, grace=CLOSING
        )  # a reader that was stopped before its first turn has not even begun to


async def _in_thread(data: ChunkBuffer, threads: anyio.CapacityLimiter) -> int:
    return await anyio.to_thread.run_sync(_checksum.crc32, data, limiter=threads)


@asynccontextmanager
async def sealed_chunks(
    chunks: AsyncGenerator[ChunkBuffer, None], *, depth: int, threads: anyio.CapacityLimiter
) -> AsyncIterator[Line]:
    """Sealed chunks in file order, to be pulled once.

    Args:
        chunks: The source, cut. Closed when the context is left.
        depth: How many chunks may be read ahead, at least 1. At most ``depth + 2`` buffers are alive at any time.
        threads: Bounds the checksum workers.

    Raises (while pulling): whatever the source raised, bare, after the chunks that came before it.

    On cancellation, or when the loop is left early, the reader and the workers have ended before the context is left;
    a source that does not close within 10 s, or the time that there is for cleaning up, is ended by force.
    """
    line = Line(chunks, depth, threads)
    try:
        yield line
    finally:
        await line.close()

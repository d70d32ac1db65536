"""Between a source and its sender: one chunk's way, from left to right.

    READER (a task) ──► CRC WORKERS (threads) ──► BOUNDED QUEUE of chunk buffers ──► ORDERED SENDER (the caller's loop)

* The **reader** pulls the source, which reads in the client's own threads (`sources.py`).
* The **CRC stage** begins on a chunk as soon as it is read, and the chunk goes into the queue with its checksum under
  way. So the queue is in file order, whichever worker is ready first, and nothing needs to be sorted.
* The **queue** is bounded by its type: a memory object stream of ``depth - 1`` places. The reader waits for room.
* The **sender** pulls a chunk, posts it until the server has it, and pulls the next (`_staging.py`). That is the
  backpressure: what is not pulled is not read.

At most ``depth + 2`` chunks are alive, each of them somebody's: one is lent to the sender, ``depth - 1`` are the
queue's, one is held back by the reader until it is known whether it is the last, and one is being read.
"""

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager, suppress
from dataclasses import dataclass
from typing import NamedTuple, NoReturn

import anyio
import anyio.to_thread

from . import _checksum
from ._cutting import ChunkBuffer, checksum_seconds, known_crc32
from ._raised import raise_kept
from ._shield import closed, ended
from .errors import SourceUnreadable

INLINE = 64 * 1024
"""Bytes. A chunk of so few is checksummed where it is: that takes some microseconds, and the way to a thread and back a
hundred."""

CLOSING = 10.0
"""Seconds that a source may take to close when its chunks are no longer wanted."""


@dataclass(slots=True)
class SealedChunk:
    """A chunk and its checksum, lent to the sender: until it pulls the next one, or leaves.

    As long as it has the chunk, nobody writes to the buffer: a retry sends the same bytes, and reads nothing again.
    """

    number: int
    """Counts from 1."""
    data: ChunkBuffer
    """Empty when it is not lent any more."""
    crc32: int
    last: bool


class CrcStage:
    """Makes the checksum of every chunk, beside reading and sending: in worker threads, for sources of every kind.

    Two short cuts spare a chunk the way to a worker and back. They change nothing but the time that it takes:

    * A regular file's chunk brings its checksum along, made by the thread that read it (`_file.py`).
      That saves a tenth of all processor time with chunks of 1 and of 2.75 MiB (medians of 9 and 15 pairs, two cores),
      and no more of the clock's than its noise: ``make bench ARGS=stages`` measures it again.
    * `INLINE`: few bytes are checksummed where they are. With many small files the hundred microseconds add up.

    Args:
        threads: Bounds the workers of all uploads of a client.
    """

    def __init__(self, threads: anyio.CapacityLimiter) -> None:
        self._threads = threads
        self.workers: set[asyncio.Task[int]] = set()
        """Those that have not ended."""

    def begin(self, data: ChunkBuffer) -> "asyncio.Future[int]":
        """Have the checksum of ``data`` made. What goes wrong in a worker is raised to who awaits it."""
        crc32 = known_crc32(data)
        if crc32 is None and len(data) <= INLINE:
            crc32 = _checksum.crc32(data)
        return self._start_worker(data) if crc32 is None else _made(crc32)

    def _start_worker(self, data: ChunkBuffer) -> "asyncio.Future[int]":
        # A task of asyncio's, for the reason that the reader is one.
        worker = asyncio.create_task(self._work([data]))
        self.workers.add(worker)
        worker.add_done_callback(self._done)
        return worker

    async def _work(self, handed_over: list[ChunkBuffer]) -> int:
        return await anyio.to_thread.run_sync(_checksum_of, handed_over, limiter=self._threads)

    def _done(self, worker: "asyncio.Task[int]") -> None:
        self.workers.discard(worker)
        if not worker.cancelled():
            worker.exception()  # looked at, or asyncio would report it where nobody pulls the chunk any more


def _checksum_of(handed_over: list[ChunkBuffer]) -> int:
    """Takes the chunk, and has let go of it when it returns: the thread keeps its arguments for longer than that."""
    return _checksum.crc32(handed_over.pop())


def _made(crc32: int) -> "asyncio.Future[int]":
    made = asyncio.get_running_loop().create_future()
    made.set_result(crc32)
    return made


class _Queued(NamedTuple):
    """A chunk whose checksum is known, or being made."""

    data: ChunkBuffer
    crc32: "asyncio.Future[int]"
    last: bool


class Line:
    """What runs between the source and the caller's loop, which pulls from it."""

    def __init__(self, chunks: AsyncGenerator[ChunkBuffer, None], depth: int, threads: anyio.CapacityLimiter) -> None:
        self._chunks = chunks
        self._crc = CrcStage(threads)
        self._queue, self._pulled = anyio.create_memory_object_stream[_Queued](depth - 1)
        self._lent = SealedChunk(0, b"", _checksum.EMPTY, last=False)
        self._error: Exception | None = None
        # A task of asyncio's and no task group: that would wrap what the caller's loop raises, and a scope would cancel
        # the reader again and again, where a source may ``await`` in its cleaning up.
        self._reader = asyncio.create_task(self._read())
        self.waited_for_bytes = 0.0
        """Seconds that the caller's loop had nothing to do because nothing had been read."""
        self.waited_for_checksums = 0.0
        """Seconds that it had a chunk, but not its checksum."""

    async def _read(self) -> None:
        """The reader task. Its error comes out at the end of the queue, behind the chunks that were read before it."""
        with self._queue:
            try:
                async with aclosing(self._chunks):
                    await self._fill_queue()
            except Exception as error:  # noqa: BLE001  (raised where the chunks are pulled, bare and in order)
                self._error = error
            except asyncio.CancelledError:
                # If it was not us, something inside the source was cancelled: half of it must not pass for the whole.
                self._error = SourceUnreadable("the source was cancelled from within before it came to its end")

    async def _fill_queue(self) -> None:
        """Hold each chunk back until the next one is there, or the source has vouched for having given everything.

        So the last chunk is known as the last, whether or not the size was known before; and no chunk of a file that
        turns out to have changed ever leaves as the last one.
        """
        held: _Queued | None = None
        async for data in self._chunks:
            if held is not None:
                await self._put(held)
            held = _Queued(data, self._crc.begin(data), last=False)
            del data  # or its buffer would be looked at while the source wants one to read into
        if held is not None:
            await self._put(held._replace(last=True))

    async def _put(self, chunk: _Queued) -> None:
        """Wait until there is room. Where there is, no turn of the loop is spent on it, as `send` does in any case."""
        try:
            self._queue.send_nowait(chunk)
        except anyio.WouldBlock:
            await self._queue.send(chunk)

    async def _get(self) -> _Queued | None:
        """The next chunk in file order; None at the end. Waits only if there is nothing, likewise."""
        with suppress(anyio.EndOfStream):
            try:
                return self._pulled.receive_nowait()
            except anyio.WouldBlock:
                return await self._pulled.receive()
        return None

    def __aiter__(self) -> "Line":
        return self

    async def __anext__(self) -> SealedChunk:
        """The next chunk in file order. The one before is the sender's no longer."""
        self._take_back()
        began = time.monotonic()
        chunk = await self._get()
        if chunk is None:
            self._end()
        read = time.monotonic()
        self._lent = SealedChunk(self._lent.number + 1, chunk.data, await chunk.crc32, chunk.last)
        # The thread that reads a file makes the checksum at its end: so the last of the wait was for that.
        within = min(read - began, checksum_seconds(chunk.data))
        self.waited_for_bytes += read - began - within
        self.waited_for_checksums += time.monotonic() - read + within
        return self._lent

    def _take_back(self) -> None:
        """Whoever kept the chunk, as the frames of an error do, does not keep its buffer."""
        self._lent.data = b""

    def _end(self) -> NoReturn:
        error, self._error = self._error or StopAsyncIteration(), None
        try:
            raise_kept(error)
        finally:
            del error  # its traceback has this frame: both would live until the garbage collector comes

    async def close(self) -> None:
        """Stop reading, and see the source closed."""
        self._take_back()
        with self._queue, self._pulled:
            await ended(self._reader, *self._crc.workers, grace=CLOSING)
            self._error = None
            # A reader that was stopped before its first turn has not even begun to.
            await closed(self._chunks, grace=CLOSING)


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

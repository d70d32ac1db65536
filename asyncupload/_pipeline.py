"""Reads ahead, checksums in threads, hands out sealed chunks in file order.

    reader task ──► queue of chunks whose checksums are under way ──► the caller's loop
         └────────► checksum workers (threads) ─────────────────────────┘

The queue holds *pending* checksums in file order, so the workers may finish in any order and nothing needs to be
sorted. It is pulled: the caller's loop is the ordered sender, its slowness is the backpressure, and leaving the loop
stops the rest.
"""

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager
from typing import NamedTuple

import anyio
import anyio.to_thread
from anyio.abc import TaskGroup

from . import _checksum
from ._cutting import ChunkBuffer
from .errors import SourceUnreadable

INLINE = 64 * 1024
"""Bytes. A chunk of so few is checksummed where it is: that takes some microseconds, and the way to a thread and back a
hundred. With many small files it adds up."""

CLOSING = 10.0
"""Seconds that a source may take to close when its chunks are no longer wanted."""


class SealedChunk(NamedTuple):
    """A chunk and its checksum.

    The buffer is the sender's own until the chunk is acknowledged: a retry never rereads the source.
    """

    number: int
    """Counts from 1."""
    data: ChunkBuffer
    crc32: int
    last: bool


class _Pending:
    """A chunk whose checksum is being computed."""

    def __init__(self, data: ChunkBuffer) -> None:
        self.data = data
        self.last = False
        self._crc32 = 0
        self._failure: Exception | None = None
        self._ready = anyio.Event()

    async def seal(self, threads: anyio.CapacityLimiter) -> None:
        try:
            if len(self.data) <= INLINE:
                self._crc32 = _checksum.crc32(self.data)
            else:
                self._crc32 = await anyio.to_thread.run_sync(_checksum.crc32, self.data, limiter=threads)
        except Exception as error:  # noqa: BLE001  (raised where the chunk is pulled)
            self._failure = error
        self._ready.set()

    async def sealed(self, number: int) -> SealedChunk:
        await self._ready.wait()
        if self._failure is not None:
            raise self._failure
        return SealedChunk(number, self.data, self._crc32, self.last)


class Line:
    """What runs between the source and the caller's loop.

    Besides the sender's, a buffer has one of ``depth + 1`` places: the one being read, the one held back, and
    ``depth - 1`` in the queue. It keeps its place until the sender has it, and with that lets go of the one before.
    """

    def __init__(self, depth: int) -> None:
        self._places = anyio.Semaphore(depth + 1)
        self._send, self._receive = anyio.create_memory_object_stream[_Pending](depth + 1)
        self._failure: Exception | None = None
        self._reader: asyncio.Task[None] | None = None
        self._ended = anyio.Event()
        self._handed_out = 0
        self.waited_for_bytes = 0.0
        """Seconds that the caller's loop had nothing to do because nothing had been read."""
        self.waited_for_checksums = 0.0
        """Seconds that it had a chunk, but not its checksum."""

    async def read(
        self, chunks: AsyncGenerator[ChunkBuffer, None], workers: TaskGroup, threads: anyio.CapacityLimiter
    ) -> None:
        """The reader task. Its error travels down the line behind the chunks that were read before it."""
        self._reader = asyncio.current_task()
        with self._send:
            try:
                async with aclosing(chunks):
                    await self._pass_on(chunks, workers, threads)
            except Exception as error:  # noqa: BLE001  (raised where the chunks are pulled, bare and in order)
                self._failure = error
            except asyncio.CancelledError:
                # If it was not us, something inside the source was cancelled: half of it must not pass for the whole.
                # Not raised here: the task group would take it for its own, and end the caller's loop without a word.
                self._failure = SourceUnreadable("the source was cancelled from within before it came to its end")
            finally:
                self._ended.set()

    async def _pass_on(
        self, chunks: AsyncGenerator[ChunkBuffer, None], workers: TaskGroup, threads: anyio.CapacityLimiter
    ) -> None:
        """Hold each chunk back until the next one is there, or the source has vouched for having given everything.

        So the last chunk is known as the last, whether or not the size was known before; and no chunk of a file that
        turns out to have changed ever leaves as the last one.
        """
        held: _Pending | None = None
        await self._places.acquire()
        async for data in chunks:
            if held is not None:
                await self._send.send(held)
            held = _Pending(data)
            workers.start_soon(held.seal, threads)
            await self._places.acquire()
        if held is not None:
            held.last = True
            await self._send.send(held)

    def __aiter__(self) -> "Line":
        return self

    async def __anext__(self) -> SealedChunk:
        began = time.monotonic()
        pending = await self._next()
        read = time.monotonic()
        self._handed_out += 1
        sealed = await pending.sealed(self._handed_out)
        self.waited_for_bytes += read - began
        self.waited_for_checksums += time.monotonic() - read
        self._places.release()
        return sealed

    async def _next(self) -> _Pending:
        try:
            return await self._receive.receive()
        except anyio.EndOfStream:
            failure, self._failure = self._failure, None
        if failure is not None:
            raise failure
        raise StopAsyncIteration

    async def close(self) -> None:
        """Stop reading, and see the source closed.

        The reader is cancelled once, not again and again as a scope would, so that a source may ``await`` in its
        cleaning up.
        """
        self._receive.close()
        if self._reader is not None:
            self._reader.cancel()
            with anyio.move_on_after(CLOSING, shield=True):
                await self._ended.wait()


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
    a source that does not close within 10 s is cancelled for good.
    """
    line = Line(depth)
    failure: BaseException | None = None
    async with anyio.create_task_group() as workers:
        workers.start_soon(line.read, chunks, workers, threads)
        try:
            yield line
        except (asyncio.CancelledError, GeneratorExit):
            raise
        except BaseException as error:  # noqa: BLE001  (raised below: through the task group it would come out wrapped)
            failure = error
        finally:
            await line.close()
            workers.cancel_scope.cancel()
    if failure is not None:
        raise failure

"""Reads ahead, checksums in threads, hands out sealed chunks in file order.

    reader task ──► queue of chunks whose checksums are under way ──► the caller's loop
         └────────► checksum workers (threads) ─────────────────────────┘

The queue holds *pending* checksums in file order, so the workers may finish in any order and nothing needs to be
sorted. It is pulled: the caller's loop is the ordered sender, its slowness is the backpressure, and leaving the loop
stops the rest.
"""

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager
from typing import NamedTuple

import anyio
import anyio.to_thread
from anyio.abc import TaskGroup

from . import _checksum
from ._cutting import ChunkBuffer


class SealedChunk(NamedTuple):
    """A chunk and its checksum. The buffer is the sender's own until the chunk is acknowledged: a retry never rereads
    the source."""

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
        self._ready = anyio.Event()

    async def seal(self, threads: anyio.CapacityLimiter) -> None:
        self._crc32 = await anyio.to_thread.run_sync(_checksum.crc32, self.data, limiter=threads)
        self._ready.set()

    async def sealed(self, number: int) -> SealedChunk:
        await self._ready.wait()
        return SealedChunk(number, self.data, self._crc32, self.last)


class _Line:
    """The end of the line where sealed chunks come out."""

    def __init__(self, ahead: int) -> None:
        self._failure: Exception | None = None
        self._handed_out = 0
        self._send, self._receive = anyio.create_memory_object_stream[_Pending](ahead)

    async def read(
        self, chunks: AsyncGenerator[ChunkBuffer, None], workers: TaskGroup, threads: anyio.CapacityLimiter
    ) -> None:
        """The reader task. Its error travels down the line behind the chunks that were read before it."""
        with self._send:
            try:
                async with aclosing(chunks):
                    await self._pass_on(chunks, workers, threads)
            except Exception as error:  # noqa: BLE001  (raised where the chunks are pulled, bare and in order)
                self._failure = error

    async def _pass_on(
        self, chunks: AsyncGenerator[ChunkBuffer, None], workers: TaskGroup, threads: anyio.CapacityLimiter
    ) -> None:
        """Hold each chunk back until the next one is there, or the source has vouched for having given everything.

        So the last chunk is known as the last, whether or not the size was known before; and no chunk of a file that
        turns out to have changed ever leaves as the last one.
        """
        held: _Pending | None = None
        async for data in chunks:
            if held is not None:
                await self._send.send(held)
            held = _Pending(data)
            workers.start_soon(held.seal, threads)
        if held is not None:
            held.last = True
            await self._send.send(held)

    def __aiter__(self) -> "_Line":
        return self

    async def __anext__(self) -> SealedChunk:
        try:
            pending = await self._receive.receive()
        except anyio.EndOfStream:
            failure, self._failure = self._failure, None
            raise failure or StopAsyncIteration from None
        self._handed_out += 1
        return await pending.sealed(self._handed_out)

    def close(self) -> None:
        self._receive.close()


@asynccontextmanager
async def sealed_chunks(
    chunks: AsyncGenerator[ChunkBuffer, None], *, depth: int, threads: anyio.CapacityLimiter
) -> AsyncIterator[AsyncIterator[SealedChunk]]:
    """Sealed chunks in file order, to be pulled once.

    Args:
        chunks: The source, cut. Closed when the context is left.
        depth: How many chunks may be read ahead, at least 1. At most ``depth + 2`` buffers are alive at any time.
        threads: Bounds the checksum workers.

    Raises (while pulling): whatever the source raised, bare, after the chunks that came before it.

    On cancellation, or when the loop is left early, the reader and the workers have ended before the context is left.
    """
    line = _Line(depth - 1)
    failure: Exception | None = None
    async with anyio.create_task_group() as workers:
        workers.start_soon(line.read, chunks, workers, threads)
        try:
            yield line
        except Exception as error:  # noqa: BLE001  (raised below: through the task group it would come out wrapped)
            failure = error
        finally:
            line.close()
            workers.cancel_scope.cancel()
    if failure is not None:
        raise failure

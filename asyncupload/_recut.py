"""Chunks on their way to a handler, none larger than it takes."""

from dataclasses import replace
from typing import Self

import anyio
import anyio.to_thread

from . import _checksum
from ._pipeline import INLINE, Line, SealedChunk


class Recut:
    """The chunks of a line in file order, for one handler, and for another one as long as nothing was acknowledged.

    A source that cannot be read again is cut by the size of its first handler. If that leads nowhere, the chunk in hand
    and all behind it are cut anew: into views of the same buffers, so that no more memory is held than before. Where
    the one size is no multiple of the other, the last piece of each is shorter than the handler would take.

    Args:
        line: Gives the chunks.
        size: Bytes that the handler takes at most.
        threads: For checksums.
    """

    def __init__(self, line: Line, size: int, threads: anyio.CapacityLimiter) -> None:
        self.line = line
        self._size = size
        self._threads = threads
        self._whole: SealedChunk | None = None
        """The chunk that is being handed out, as it came."""
        self._lent = SealedChunk(0, b"", _checksum.EMPTY, last=False)
        self._offset = 0
        self._handed_out = 0

    @property
    def untouched(self) -> bool:
        """Whether nothing that comes behind the first piece was asked for, so that all is in hand yet."""
        return self._handed_out == 1

    def begin_anew(self, size: int) -> Self:
        """The same for a handler that takes pieces of another size. To be called while it is untouched."""
        self._size, self._offset, self._handed_out = size, 0, 0
        return self

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> SealedChunk:
        """The next piece in file order. The one before is the sender's no longer."""
        if self._lent is not self._whole:
            self._lent.data = b""  # a whole chunk is the line's to take back
        if self._whole is not None and self._offset >= len(self._whole.data):
            self._whole = None  # before the next one is waited for: it would be one buffer more
        if self._whole is None:
            self._offset, self._whole = 0, await anext(self.line)
        begin, self._offset = self._offset, self._offset + self._size
        self._handed_out += 1
        self._lent = await self._piece(self._whole, begin)
        return self._lent

    async def _piece(self, whole: SealedChunk, begin: int) -> SealedChunk:
        end = begin + self._size
        if begin == 0 and end >= len(whole.data):
            return whole if whole.number == self._handed_out else replace(whole, number=self._handed_out)
        data = memoryview(whole.data)[begin:end]
        return SealedChunk(self._handed_out, data, await self._crc32(data), whole.last and end >= len(whole.data))

    async def _crc32(self, data: memoryview) -> int:
        if len(data) <= INLINE:
            return _checksum.crc32(data)
        return await anyio.to_thread.run_sync(_checksum.crc32, data, limiter=self._threads)

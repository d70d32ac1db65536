"""Cuts what a source hands out into chunks, and holds it to what it declared."""

import time
from collections.abc import AsyncGenerator, AsyncIterable, Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Final, TypeAlias

from . import _checksum
from ._shield import closed
from .errors import AsyncUploadError, EmptySource, NotAFile, SourceChanged, SourceMissing, SourceUnreadable, UsageError

ChunkBuffer: TypeAlias = bytes | bytearray | memoryview
"""One chunk's bytes. Nobody writes to them as long as somebody holds them, so a retry sends what was checksummed."""


_STEP = memoryview(bytes(1024 * 1024))


class Buffer(bytearray):
    """What chunks are put together in, one after another. Grows with the first of them.

    Attributes:
        filled: Bytes that :meth:`fill` read last.
        crc32: Their checksum; None as long as :meth:`seal` has not made it.
        crc32_seconds: How long it took to make it.
    """

    def __init__(self) -> None:
        super().__init__()
        self.filled = 0
        self.crc32: int | None = None
        self.crc32_seconds = 0.0

    def __repr__(self) -> str:
        # A bytearray's has all its bytes: a document's content, megabytes of it, wherever local variables are shown.
        return f"<{type(self).__name__} of {len(self)} bytes>"

    def fill(self, readinto: Callable[[memoryview], int], size: int) -> int:
        """Read ``size`` bytes, or what is left: work for a thread.

        Returns:
            How many bytes it was.
        """
        filled, count = 0, -1
        while filled < size and count:
            if filled == len(self):
                # By steps: new memory is cleared with the interpreter's lock held, which would keep the loop waiting.
                self.extend(_STEP[: size - filled])
            with memoryview(self) as view:
                count = readinto(view[filled:size])
            filled += count
        self.filled, self.crc32 = filled, None
        return filled

    def seal(self) -> None:
        """Make the checksum of what it was filled with, while that is in the processor's cache: work for a thread."""
        began = time.monotonic()
        with memoryview(self) as view:
            self.crc32 = _checksum.crc32(view[: self.filled])
        self.crc32_seconds = time.monotonic() - began

    def first(self, filled: int) -> memoryview:
        """So many of its bytes; not to be written to."""
        return memoryview(self).toreadonly()[:filled]

    @property
    def content(self) -> memoryview:
        """What it was filled with."""
        return self.first(self.filled)

    @property
    def free(self) -> bool:
        """Whether it may be filled again. As long as anybody has a view of it, a connection that has not sent all of
        it yet included, the interpreter refuses to change its length."""
        try:
            self.append(0)
        except BufferError:
            return False
        self.pop()
        return True


def known_crc32(data: ChunkBuffer) -> int | None:
    """The checksum that was made of ``data`` on the visit that read it; None if it is something else, or a part."""
    buffer = _filled(data)
    return None if buffer is None else buffer.crc32


def checksum_seconds(data: ChunkBuffer) -> float:
    """How long it took to make the checksum of ``data`` when it was read; 0 if none was made."""
    buffer = _filled(data)
    return 0.0 if buffer is None else buffer.crc32_seconds


def _filled(data: ChunkBuffer) -> Buffer | None:
    buffer = data.obj if isinstance(data, memoryview) and data.c_contiguous else None
    return buffer if isinstance(buffer, Buffer) and len(data) == buffer.filled else None


class Buffers:
    """One source's. Used again and again: fresh memory costs the system more than reading into it."""

    def __init__(self) -> None:
        self._made: list[Buffer] = []

    def take(self) -> Buffer:
        """One that nobody looks at any more, or a new one. There are as many as were looked at at the same time."""
        for buffer in self._made:
            if buffer.free:
                return buffer
        self._made.append(Buffer())
        return self._made[-1]


class Views:
    """Slices of bytes in memory."""

    def __init__(self, view: memoryview) -> None:
        self._view = view
        self.size = len(view)

    async def chunks(self, size: int) -> AsyncGenerator[ChunkBuffer, None]:
        for start in range(0, len(self._view), size):
            yield self._view[start : start + size]


class Reads:
    """What a ``read`` method hands out, which may be less than it was asked for."""

    def __init__(
        self,
        read: Callable[[int], Awaitable[object]],
        size: int | None,
        name: str,
        finish: Callable[[], Awaitable[None]] | None,
    ) -> None:
        self.size = size
        self._read = read
        self._name = name
        self._finish = finish
        self._first = b""
        self._count = Count(size, name)

    async def peek(self) -> None:
        """Read one byte ahead, so that an empty stream is known as such before anything is asked of the server."""
        self._first = await self._read_some(1)
        if not self._first:
            raise empty(self._name)

    async def chunks(self, size: int) -> AsyncGenerator[ChunkBuffer, None]:
        while chunk := await self._read_full(size):
            yield chunk
        self._count.end()
        if self._finish is not None:
            await self._finish()

    async def _read_full(self, size: int) -> ChunkBuffer:
        """``size`` bytes, or what is left. A regular file gives them in one read, and they are handed on as they
        are."""
        data, self._first = self._first or await self._read_some(size), b""
        if not data or len(data) == size:
            return data
        more = await self._read_some(size - len(data))
        return await self._fill(size, data, more) if more else data

    async def _fill(self, size: int, *begun: bytes) -> ChunkBuffer:
        """One buffer for many short reads: adding up bytes would copy the chunk once for each of them."""
        buffer, filled = bytearray(size), 0
        for data in begun:
            buffer[filled : filled + len(data)] = data
            filled += len(data)
        while filled < size and (data := await self._read_some(size - filled)):
            buffer[filled : filled + len(data)] = data
            filled += len(data)
        return memoryview(buffer)[:filled]

    async def _read_some(self, size: int) -> bytes:
        data = await self._given(size)
        if isinstance(data, bytearray | memoryview):  # its owner may write to it again
            data = bytes(data)
        if not isinstance(data, bytes):
            raise UsageError(f"{self._name}: read() gave {type(data).__name__}, not bytes; open it in binary mode")
        if len(data) > size:  # it would make a chunk larger than the server and the memory formula allow
            raise UsageError(f"{self._name}: read({size}) gave {len(data)} bytes")
        self._count.add(len(data))
        return data

    async def _given(self, size: int) -> object:
        try:
            with reading(self._name):
                return await self._read(size)
        except UsageError as error:
            if isinstance(error.__cause__, UnicodeError):  # what decodes has been handed the bytes of something else
                raise UsageError(f"{self._name} is read as text, and is bytes: open it in binary mode (rb)") from error
            raise


_END: Final = object()
"""Nothing that an iterator gives, None included, is taken for its end."""


class Pieces:
    """What an async iterator hands out, put together into chunks."""

    def __init__(self, pieces: AsyncIterable[ChunkBuffer], size: int | None, name: str) -> None:
        self.size = size
        self._iterator = aiter(pieces)  # once: another call may begin it anew
        self._name = name
        self._rest = memoryview(b"")
        self._count = Count(size, name)

    async def peek(self) -> None:
        """Wait for the first byte."""
        if not await self._refill():
            raise empty(self._name)

    async def close(self, grace: float) -> None:
        """Let a generator run its own ``finally`` now, which may take so many seconds."""
        if isinstance(self._iterator, AsyncGenerator):
            await closed(self._iterator, grace=grace)

    async def chunks(self, size: int) -> AsyncGenerator[ChunkBuffer, None]:
        buffers = Buffers()
        while chunk := await self._gather(size, buffers):
            yield chunk
            del chunk  # so that its buffer is free as soon as nobody else has it
        self._count.end()

    async def _gather(self, size: int, buffers: Buffers) -> ChunkBuffer:
        """Fill a buffer of our own with pieces, or parts of them."""
        if not self._rest and not await self._refill():
            return b""
        buffer, filled = buffers.take(), 0
        while filled < size and (self._rest or await self._refill()):
            taken = min(len(self._rest), size - filled)
            buffer[filled : filled + taken] = self._rest[:taken]
            self._rest = self._rest[taken:]
            filled += taken
        return buffer.first(filled)

    async def _refill(self) -> bool:
        """Fetch the next piece that is not empty; False at the end."""
        while (piece := await anext(self._iterator, _END)) is not _END:
            if not isinstance(piece, bytes | bytearray | memoryview):
                raise UsageError(f"{self._name}: the iterator gave {type(piece).__name__}, not bytes")
            if piece:
                # Bytes stay what they are; anything else its owner may rewrite or resize while we still need it.
                self._rest = memoryview(piece if isinstance(piece, bytes) else bytes(piece))
                self._count.add(len(self._rest))
                return True
        return False


class Count:
    """Holds a source to the size it declared, while it is read: one without end is left at its first byte too many."""

    def __init__(self, declared: int | None, name: str) -> None:
        self._declared = declared
        self._name = name
        self._seen = 0

    def add(self, size: int) -> None:
        self._seen += size
        if self._declared is not None and self._seen > self._declared:
            raise SourceChanged(f"{self._name} grew: more than {self._declared} bytes came out of it")

    @property
    def complete(self) -> bool:
        """Whether as many bytes came as were declared."""
        return self._seen == self._declared

    def end(self) -> None:
        if self._declared is not None and self._seen < self._declared:
            raise SourceChanged(f"{self._name} shrank: {self._seen} of {self._declared} bytes came out of it")


@contextmanager
def reading(name: str) -> Iterator[None]:
    """Turns the operating system's errors into this package's."""
    try:
        yield
    except AsyncUploadError:  # some of ours are also the operating system's or ValueErrors
        raise
    except (FileNotFoundError, NotADirectoryError) as error:
        raise SourceMissing(f"{name}: no such file") from error
    except IsADirectoryError as error:
        raise directory(name) from error
    except OSError as error:
        raise SourceUnreadable(f"{name} cannot be read: {error.strerror or error}") from error
    except ValueError as error:  # a closed file object, a path with a NUL in it
        raise UsageError(f"{name} cannot be read: {error}") from error


def directory(name: str) -> NotAFile:
    return NotAFile(f"{name} is a directory, and only files can be uploaded")


def empty(name: str) -> EmptySource:
    return EmptySource(f"{name} is empty, and the protocol cannot carry an empty document")

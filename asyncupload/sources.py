"""Where the bytes come from: a path, bytes, a file object, or an async iterator.

A source is opened once per attempt. Opened, it knows its size (or that nobody knows it), has shown that it is not
empty, and is cut into chunks once the server has said how large they are: the pipeline's reader pulls them
(`_pipeline.py`). Whatever ends the chunks without an error vouches for them: all the bytes there were, unchanged from
first to last.

What blocks is done by aiofiles in the client's own threads.
"""

import contextvars
import inspect
import io
import os
import stat
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Awaitable, Callable
from concurrent.futures import Executor
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, Protocol, TypeAlias, cast, runtime_checkable

import aiofiles.os
from aiofiles.threadpool.binary import AsyncBufferedIOBase, AsyncFileIO

from ._cutting import Buffer, Buffers, ChunkBuffer, Count, Pieces, Reads, Views, directory, empty, reading
from ._shield import abandonable, bounded, undisturbed
from .errors import NotAFile, SourceChanged, UsageError
from .settings import SMALLEST_CHUNK

READ_GRACE = 10.0
"""Seconds that a cancelled upload waits for a read under way in a thread, and for closing the file, if it has as many
left for cleaning up."""


class Content(Protocol):
    """An opened source."""

    @property
    def size(self) -> int | None:
        """Bytes to come; None if unknown."""

    def chunks(self, size: int) -> AsyncGenerator[ChunkBuffer, None]:
        """All bytes in order, in pieces of exactly ``size``, the last one shorter or equal, never empty. To be called
        once.

        Raises:
            SourceChanged: The bytes were not the same from beginning to end, or not as many as declared.
            SourceUnreadable: The operating system stopped handing them out.
        """


@runtime_checkable
class Source(Protocol):
    """Something to upload. The classes of this module are sources; others may be written.

    One that knows its size before it is opened may have it as ``size``: it then takes no more of ``Settings.memory``
    than it needs.
    """

    @property
    def name(self) -> str:
        """What to call it in messages and logs."""

    @property
    def rereadable(self) -> bool:
        """Whether it may be opened again and then yields the same bytes."""

    def open(self, threads: Executor) -> AbstractAsyncContextManager[Content]:
        """Open it; blocking calls go to ``threads``. Leaving the context releases what was opened.

        Raises:
            SourceError: It is missing, unreadable, or empty.
        """


Uploadable: TypeAlias = (
    "str | os.PathLike[str] | bytes | bytearray | memoryview | AsyncIterable[ChunkBuffer] | Source | BinaryFile"
)


class BinaryFile(Protocol):
    """A binary file object; ``read`` may be a plain or an async method."""

    def read(self, size: int, /) -> ChunkBuffer | Awaitable[ChunkBuffer | None] | None:
        """At most ``size`` bytes; none at the end."""


def as_source(thing: Uploadable) -> Source:
    """The source that stands for ``thing``.

    Raises:
        UsageError: It is none of the kinds that can be uploaded.
    """
    if isinstance(thing, str | os.PathLike):
        return PathSource(thing)
    if isinstance(thing, bytes | bytearray | memoryview):
        return BytesSource(thing)
    if isinstance(thing, Source):  # asks for each of the protocol's attributes, which takes a while
        return thing
    # Before the iterators: a file object iterates over lines, and so does aiohttp's StreamReader.
    if hasattr(thing, "read"):
        return FileSource(cast(BinaryFile, thing))
    if isinstance(thing, AsyncIterable):
        return IteratorSource(thing)
    raise UsageError(
        f"cannot upload a {type(thing).__name__}: give a path, bytes, a binary file or an async iterator of bytes"
    )


class BytesSource:
    """Bytes in memory. A ``bytearray`` or ``memoryview`` must not change until the upload has ended."""

    rereadable = True

    def __init__(self, data: ChunkBuffer, *, name: str = "bytes") -> None:
        self.name = name
        view = memoryview(data)
        if not view.c_contiguous:
            raise UsageError(f"{name}: a view with gaps cannot be uploaded; take bytes() of it")
        self._view = view.cast("B")
        self.size = len(self._view)

    @asynccontextmanager
    async def open(self, threads: Executor) -> AsyncIterator[Content]:  # noqa: ARG002  (the protocol's)
        """Nothing to open."""
        if not self._view:
            raise empty(self.name)
        yield Views(self._view)


class PathSource:
    """A regular file. It must stay the same file, with the same size and time stamp, while it is read.

    Time stamps have the grain of the file system (some milliseconds on Linux): a rewrite of equal length within the
    same grain as the opening cannot be seen.
    """

    rereadable = True

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self._path = Path(path)

    @property
    def name(self) -> str:
        """The path as given. Bytes of it that are not UTF-8 are shown as ``?``."""
        return str(self._path).encode("utf-8", "replace").decode()

    @asynccontextmanager
    async def open(self, threads: Executor) -> AsyncIterator[Content]:
        """Open the file and remember what it looked like."""
        file: _OpenFile | None = None

        async def open_() -> None:
            nonlocal file
            file = await aiofiles.os.wrap(_OpenFile)(self._path, self.name, executor=threads)

        try:
            with reading(self.name):
                await undisturbed(open_(), grace=READ_GRACE)
            opened = cast(_OpenFile, file)
            if not opened.size:
                raise empty(self.name)
            yield opened.whole or _FileContent(opened, threads)
        finally:
            if file is not None and not file.closed:
                await bounded(_in_thread(threads, file.close), grace=READ_GRACE)


class _OpenFile:
    """A regular file, open. Everything here blocks, and is done in a thread: as much as can be on one visit, since the
    way there and back costs as much as reading some hundred KiB.

    Raises:
        NotAFile: It is no regular file.
        SourceChanged: It is so small that it was read at once, and changed meanwhile.
        OSError: It cannot be opened.
    """

    def __init__(self, path: Path, name: str) -> None:
        # Looked at before opening: to open a pipe would wait for its other end.
        _require_regular(path.stat(), name)
        self._file = path.open("rb", buffering=0)
        self._buffers, self._latest = Buffers(), Buffer()
        try:
            self._watch = _Watch(self._file.fileno(), path, name)
            self.name, self.size = name, self._watch.stamp.size
            self._count = Count(self.size, name)
            self.whole = self._read_whole() if 0 < self.size <= SMALLEST_CHUNK else None
        except BaseException:
            self.close()
            raise

    def _read_whole(self) -> Views:
        """All of it: one chunk on every server that keeps the protocol."""
        self.read(self.size)
        whole = self.content
        self._vouch()
        return Views(whole)

    @property
    def closed(self) -> bool:
        """Whether it is."""
        return self._file.closed

    def close(self) -> None:
        """Let go of it, and of the memory that nobody looks at: an error's frames may keep this object for long."""
        self._file.close()
        self._buffers, self._latest = Buffers(), Buffer()

    def read(self, size: int) -> None:
        """Read the next ``size`` bytes, or what is left, and checksum them.

        Raises:
            SourceChanged: There were more or fewer than in the beginning.
        """
        self._latest = self._buffers.take()
        filled = self._latest.fill(self._file.readinto, size)
        self._count.add(filled)
        if not filled:
            self._count.end()

    @property
    def content(self) -> memoryview:
        """What was read. Not handed out by `read`: the thread would look at it for longer than anybody knows."""
        return self._latest.content

    def end(self) -> None:
        """Vouch for the bytes that were read, and close.

        Raises:
            SourceChanged: It is not the file any more that was opened.
        """
        self._count.add(len(self._file.read(1)))
        self._vouch()

    def _vouch(self) -> None:
        self._count.end()
        self._watch.end()
        self.close()

    @property
    def complete(self) -> bool:
        """Whether as many bytes came as there were in the beginning."""
        return self._count.complete


class _FileContent:
    """What stands in it."""

    def __init__(self, file: _OpenFile, threads: Executor) -> None:
        self._file = file
        self._threads = threads
        self.size = file.size

    async def chunks(self, size: int) -> AsyncGenerator[ChunkBuffer, None]:
        read, end, size = aiofiles.os.wrap(self._file.read), aiofiles.os.wrap(self._file.end), min(size, self.size)
        while not self._file.complete:
            with reading(self._file.name):
                await read(size, executor=self._threads)
            yield self._file.content
        with reading(self._file.name):
            await end(executor=self._threads)


class FileSource:
    """A binary file object, read from where it stands. It stays open; closing it is its owner's business.

    ``read`` may be plain (it then runs in a thread) or async. A plain ``read`` that waits for somebody, as on a pipe,
    holds up a cancellation for some seconds, and is left then: give an async iterator instead.

    Args:
        file: What to read.
        size: How many bytes there will be, if somebody declared it (``Content-Length``): more or fewer end in
            SourceChanged. None asks a file that can be, and waits for the end of others.
        name: What to call it in messages.
    """

    def __init__(self, file: BinaryFile, *, size: int | None = None, name: str | None = None) -> None:
        self._file = cast(Any, file)
        self.size = size
        shown = name if name is not None else getattr(file, "name", None)
        self.name = str(shown) if isinstance(shown, str | Path) else type(file).__name__
        self._async = inspect.iscoroutinefunction(self._file.read)
        self._start: int | None = None
        self.rereadable = not self._async and _seekable(file)

    @asynccontextmanager
    async def open(self, threads: Executor) -> AsyncIterator[Content]:
        """Find out how much there is to read, and that it is not nothing."""
        with reading(self.name):
            size = await _in_thread(threads, self._rewind) if self.rereadable else None
            watch = await _in_thread(threads, _Watch.of_regular, self._file, self.name)
        if size is not None and size <= 0:  # it may stand beyond its end
            raise empty(self.name)
        read = self._file.read if self._async else partial(_in_thread, threads, self._file.read)
        end = partial(_in_thread, threads, watch.end) if watch else None
        content = Reads(read, size if self.size is None else self.size, self.name, end)
        if size is None:
            await abandonable(content.peek(), grace=READ_GRACE)
        yield content

    def _rewind(self) -> int:
        """Back to where the file stood when it was handed over; the bytes from there to its end."""
        if self._start is None:
            self._start = self._file.tell()
        size = self._file.seek(0, io.SEEK_END) - self._start
        self._file.seek(self._start)
        return cast(int, size)


class IteratorSource:
    """An async iterator of bytes, in pieces of any length: a request's body, a generator. It can be read once.

    Args:
        pieces: The bytes in order.
        size: How many there will be, if somebody declared it (``Content-Length``): more or fewer end in SourceChanged.
        name: What to call it in messages.
    """

    rereadable = False

    def __init__(self, pieces: AsyncIterable[ChunkBuffer], *, size: int | None = None, name: str = "stream") -> None:
        self.name = name
        self._pieces = pieces
        self.size = size

    @asynccontextmanager
    async def open(self, threads: Executor) -> AsyncIterator[Content]:  # noqa: ARG002  (the protocol's)
        """Wait for the first bytes."""
        content = Pieces(self._pieces, self.size, self.name)
        try:
            await abandonable(content.peek(), grace=READ_GRACE)
            yield content
        finally:
            await content.close(READ_GRACE)


_WATCHABLE: tuple[type[Any], ...] = (io.RawIOBase, io.BufferedIOBase, AsyncFileIO, AsyncBufferedIOBase)
"""File objects that may have a descriptor. Others are not asked: a SpooledTemporaryFile would write itself to disk."""


class _Stamp(NamedTuple):
    """What a file looks like from outside."""

    size: int
    mtime_ns: int
    inode: int
    device: int

    @classmethod
    def of(cls, result: os.stat_result) -> "_Stamp":
        return cls(result.st_size, result.st_mtime_ns, result.st_ino, result.st_dev)


class _Watch:
    """Compares a file at its end with what it was at its beginning. Blocks: to be used in a thread."""

    def __init__(self, descriptor: int, path: Path | None, name: str) -> None:
        self._looks = [partial(os.fstat, descriptor)] + ([path.stat] if path is not None else [])
        self._name = name
        result = os.fstat(descriptor)
        _require_regular(result, name)
        self.stamp = _Stamp.of(result)

    @classmethod
    def of_regular(cls, file: Any, name: str) -> "_Watch | None":
        """A watch over a file object, if a regular file is behind it."""
        if not isinstance(file, _WATCHABLE):
            return None
        try:
            descriptor = file.fileno()
        except OSError:  # BytesIO has none
            return None
        return cls(descriptor, None, name) if stat.S_ISREG(os.fstat(descriptor).st_mode) else None

    def end(self) -> None:
        """Look again, at the open descriptor and at what now stands under the path.

        Raises:
            SourceChanged: Something is different.
        """
        for look in self._looks:
            try:
                now = _Stamp.of(look())
            except OSError as error:
                raise SourceChanged(f"{self._name} was removed while it was read") from error
            if now != self.stamp:
                raise SourceChanged(f"{self._name} {self._difference(now)} while it was read")

    def _difference(self, now: _Stamp) -> str:
        if (now.inode, now.device) != (self.stamp.inode, self.stamp.device):
            return "was replaced by another file"
        if now.size != self.stamp.size:
            return f"went from {self.stamp.size} to {now.size} bytes"
        return "was written to"


def _seekable(file: Any) -> bool:
    try:
        return bool(file.seekable())
    except (AttributeError, ValueError):  # no such notion, or closed: reading it will tell
        return False


def _require_regular(result: os.stat_result, name: str) -> None:
    if stat.S_ISDIR(result.st_mode):
        raise directory(name)
    if not stat.S_ISREG(result.st_mode):
        raise NotAFile(f"{name} is not a regular file; to send what a pipe or device gives, read it on standard input")


async def _in_thread(threads: Executor, function: Callable[..., Any], *args: Any) -> Any:
    """Call ``function`` in a thread and see it to its end: its owner may use the file again as soon as we return.

    In the caller's context: a file object of the application's may log, and its lines belong to the caller's request.
    """
    inside = aiofiles.os.wrap(contextvars.copy_context().run)

    async def call() -> Any:
        return await inside(function, *args, executor=threads)

    return await undisturbed(call(), grace=READ_GRACE)

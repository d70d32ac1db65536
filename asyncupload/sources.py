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
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Awaitable, Callable
from concurrent.futures import Executor
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any, Protocol, TypeAlias, cast, runtime_checkable

import aiofiles.os

from ._cutting import ChunkBuffer, Pieces, Reads, Views, empty, reading
from ._file import FileContent, OpenFile, Watch, tail_of
from ._shield import abandonable, bounded, undisturbed
from .errors import UsageError

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


@runtime_checkable
class Seekable(Protocol):
    """A source that can be looked into at its end, without being read through."""

    async def tail(self, most: int, threads: Executor) -> bytes:
        """Its last ``most`` bytes, or all if it has fewer. Not to be asked while it is read.

        Raises:
            SourceError: They cannot be read.
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

    async def tail(self, most: int, threads: Executor) -> bytes:  # noqa: ARG002  (the protocol's)
        """The last bytes."""
        return bytes(self._view[-most:])


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
        file: OpenFile | None = None

        async def open_() -> None:
            nonlocal file
            file = await aiofiles.os.wrap(OpenFile)(self._path, self.name, executor=threads)

        try:
            with reading(self.name):
                await undisturbed(open_(), grace=READ_GRACE)
            opened = cast(OpenFile, file)
            if not opened.size:
                raise empty(self.name)
            yield opened.whole or FileContent(opened, threads)
        finally:
            if file is not None and not file.closed:
                await bounded(_in_thread(threads, file.close), grace=READ_GRACE)

    async def tail(self, most: int, threads: Executor) -> bytes:
        """The last bytes of what stands at the path now."""
        with reading(self.name):
            return cast(bytes, await _in_thread(threads, tail_of, self._path, self.name, most))


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
            watch = await _in_thread(threads, Watch.of_regular, self._file, self.name)
        if size is not None and size <= 0:  # it may stand beyond its end
            raise empty(self.name)
        read = self._file.read if self._async else partial(_in_thread, threads, self._file.read)
        end = partial(_in_thread, threads, watch.end) if watch else None
        content = Reads(read, size if self.size is None else self.size, self.name, end)
        if size is None:
            await abandonable(content.peek(), grace=READ_GRACE)
        yield content

    async def tail(self, most: int, threads: Executor) -> bytes:
        """The last bytes; it stands where it stood afterwards. Only of one that is ``rereadable``."""
        with reading(self.name):
            return cast(bytes, await _in_thread(threads, self._tail, most))

    def _tail(self, most: int) -> bytes:
        size, start = self._rewind(), cast(int, self._start)
        try:
            self._file.seek(start + max(0, size - most))
            found = bytearray()
            while len(found) < most and (piece := self._file.read(most - len(found))):
                found += piece
            return bytes(found)
        finally:
            self._file.seek(start)

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


def _seekable(file: Any) -> bool:
    try:
        return bool(file.seekable())
    except (AttributeError, ValueError):  # no such notion, or closed: reading it will tell
        return False


async def _in_thread(threads: Executor, function: Callable[..., Any], *args: Any) -> Any:
    """Call ``function`` in a thread and see it to its end: its owner may use the file again as soon as we return.

    In the caller's context: a file object of the application's may log, and its lines belong to the caller's request.
    """
    inside = aiofiles.os.wrap(contextvars.copy_context().run)

    async def call() -> Any:
        return await inside(function, *args, executor=threads)

    return await undisturbed(call(), grace=READ_GRACE)

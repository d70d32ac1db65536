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
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Awaitable, Callable, Collection
from concurrent.futures import Executor
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any, Protocol, TypeAlias, cast, runtime_checkable

import aiofiles.os

from ._cutting import ChunkBuffer, Pieces, Reads, Views, empty, reading
from ._file import FileContent, OpenFile, Watch, tail_of
from ._shield import abandonable, bounded, undisturbed
from .errors import SourceUnreadable, UsageError
from .settings import CHECKS

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
    if _is_source(thing):
        return cast(Source, thing)
    # Before the iterators: a file object iterates over lines, and so does aiohttp's StreamReader.
    if _told(thing, "read") is not None:
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

    Args:
        path: Where it stands.
        check: By what it is held to be the same file, of ``size``, ``mtime`` and ``inode``, and by nothing else. None
            finds out what its mount keeps: another inode each time that one is asked for, or a time stamp that is
            rounded down when the file leaves a cache, is no sign of a change then.

    Raises:
        UsageError: There is nothing to check by, or it has another name.
    """

    rereadable = True

    def __init__(self, path: str | os.PathLike[str], *, check: Collection[str] | None = None) -> None:
        self._path = Path(path)
        self._checked = None if check is None else frozenset(check)
        if self._checked is not None and not (self._checked and self._checked <= {*CHECKS}):
            raise UsageError(f"a source is checked by {', '.join(CHECKS)}, or some of them, not by {list(check or ())}")

    @property
    def name(self) -> str:
        """The path as given. Bytes of it that are not UTF-8 are shown as ``?``."""
        return _shown(self._path)

    @asynccontextmanager
    async def open(self, threads: Executor) -> AsyncIterator[Content]:
        """Open the file and remember what it looked like."""
        file: OpenFile | None = None

        async def open_() -> None:
            nonlocal file
            file = await aiofiles.os.wrap(OpenFile)(self._path, self.name, self._checked, executor=threads)

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
        shown = name if name is not None else _told(file, "name")
        self.name = _shown(shown) if isinstance(shown, str | os.PathLike) else type(file).__name__
        if isinstance(self._file, io.TextIOBase):
            raise UsageError(f"{self.name} is open as text: it gives str, not bytes; open it in binary mode (rb)")
        self._async = inspect.iscoroutinefunction(self._file.read)
        self._start: int | None = None
        self._begun = False
        self.rereadable = not self._async and _seekable(file)

    @asynccontextmanager
    async def open(self, threads: Executor) -> AsyncIterator[Content]:
        """Find out how much there is to read, and that it is not nothing."""
        with reading(self.name):
            size = await _in_thread(threads, self._rewind) if self.rereadable else None
            self._require_unread(size)
            watch = await _in_thread(threads, Watch.of_regular, self._file, self.name)
        if size is not None and size <= 0:  # it may stand beyond its end
            raise empty(self.name)
        read = self._file.read if self._async else partial(_read_in_thread, threads, self._file.read)
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
        size = self._rewind()
        if size is None:
            return b""
        start = cast(int, self._start)
        try:
            self._file.seek(start + max(0, size - most))
            found = bytearray()
            while len(found) < most and (piece := self._file.read(most - len(found))):
                found += piece
            return bytes(found)
        finally:
            self._file.seek(start)

    def _require_unread(self, size: int | None) -> None:
        """What was not brought back to its beginning must not have been read."""
        if size is None and self._begun:
            raise SourceUnreadable(f"{self.name} can be read only once, and was")
        self._begun = True

    def _rewind(self) -> int | None:
        """Back to where the file stood when it was opened first; the bytes from there to its end. None if it does not
        move, whatever it said of itself: it is read once then.

        Raises:
            SourceUnreadable: Nobody knows where it stands now.
        """
        first, start = self._start is None, self._stands() if self._start is None else self._start
        if start is None:
            return None
        try:
            self._file.seek(0, io.SEEK_END)  # what this returns is not everywhere where it stands
            end = _place(self._file.tell())
        except Exception as error:
            if not first or self._stands() != start:
                raise self._lost(error) from error
            return None
        self._start = start
        try:
            self._file.seek(start)
        except Exception as error:
            raise self._lost(error) from error
        if self._stands() != start:
            raise self._lost("it says that it is there, and is not")
        return end - start

    def _stands(self) -> int | None:
        try:
            return _place(self._file.tell())
        except Exception:  # noqa: BLE001  (of any kind: it does not know)
            return None

    def _lost(self, why: object) -> SourceUnreadable:
        return SourceUnreadable(f"{self.name} cannot be brought back to where its reading began: {why}")


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
    """Whether it says that it can be moved, and knows where it stands. Whatever it raises instead is a no."""
    try:
        return file.seekable() is True and _place(file.tell()) >= 0
    except Exception:  # noqa: BLE001  (no such notion, closed, or of its own: reading it will tell)
        return False


def _place(told: object) -> int:
    """A position. Raises TypeError: it is none, as what an asynchronous method or a stand-in gives."""
    if not isinstance(told, int):
        if inspect.iscoroutine(told):
            told.close()
        raise TypeError(f"it tells {type(told).__name__} for its place")
    return told


def _told(thing: object, name: str) -> Any:
    """An attribute; None if asking for it fails, in whatever way."""
    try:
        return getattr(thing, name, None)
    except Exception:  # noqa: BLE001  (some are made when they are asked for)
        return None


def _is_source(thing: object) -> bool:
    """Whether it has what the protocol asks for. That takes a while, and may run a strange object's code."""
    try:
        return isinstance(thing, Source)
    except Exception:  # noqa: BLE001  (one of its attributes fails when it is asked for)
        return False


def _shown(name: str | os.PathLike[str]) -> str:
    """Bytes of it that are not UTF-8 as ``?``."""
    return str(name).encode("utf-8", "replace").decode()


async def _read_in_thread(threads: Executor, read: Callable[[int], Any], size: int) -> Any:
    """What a ``read`` gives that does not look asynchronous, and may be it nevertheless: a wrapped one."""
    data = await _in_thread(threads, read, size)
    return await data if inspect.isawaitable(data) else data


async def _in_thread(threads: Executor, function: Callable[..., Any], *args: Any) -> Any:
    """Call ``function`` in a thread and see it to its end: its owner may use the file again as soon as we return.

    In the caller's context: a file object of the application's may log, and its lines belong to the caller's request.
    """
    inside = aiofiles.os.wrap(contextvars.copy_context().run)

    async def call() -> Any:
        return await inside(function, *args, executor=threads)

    return await undisturbed(call(), grace=READ_GRACE)

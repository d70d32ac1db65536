"""A regular file: read in the client's own threads, and watched while it is.

The reader's visits to a thread are few, since the way there and back costs as much as reading some hundred KiB: one
opens the file and looks at it, one reads a chunk and makes its checksum while the bytes are in the processor's cache
(a short cut of the CRC stage, which has the measured gain), and the last one looks again and closes.
"""

import io
import os
import stat
from collections.abc import AsyncGenerator, Callable
from concurrent.futures import Executor
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

import aiofiles.os
from aiofiles.threadpool.binary import AsyncBufferedIOBase, AsyncFileIO

from ._cutting import Buffer, Buffers, ChunkBuffer, Count, Views, directory, reading
from .errors import NotAFile, SourceChanged, SourceUnreadable
from .settings import CHECKS, SMALLEST_CHUNK

Checked: TypeAlias = frozenset[str] | None
"""By what a file is held to be the same from beginning to end: some of CHECKS, or None for all that its mount keeps."""


class OpenFile:
    """A regular file, open. Everything here blocks, and is done in a thread: as much as can be on one visit, since the
    way there and back costs as much as reading some hundred KiB.

    Raises:
        NotAFile: It is no regular file.
        SourceChanged: It is so small that it was read at once, and changed meanwhile.
        OSError: It cannot be opened.
    """

    def __init__(self, path: Path, name: str, checked: Checked = None) -> None:
        # Looked at before opening: to open a pipe would wait for its other end.
        seen = path.stat()
        _require_regular(seen, name)
        self._file = path.open("rb", buffering=0)
        self._buffers, self._latest = Buffers(), Buffer()
        try:
            self._watch = Watch(self._file.fileno(), name, path=path, seen=seen, checked=checked)
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
        self._latest.seal()
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


class FileContent:
    """What stands in it."""

    def __init__(self, file: OpenFile, threads: Executor) -> None:
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


_WATCHABLE: tuple[type[Any], ...] = (io.RawIOBase, io.BufferedIOBase, AsyncFileIO, AsyncBufferedIOBase)
"""File objects that may have a descriptor. Others are not asked: a SpooledTemporaryFile would write itself to disk."""


class _Stamp(NamedTuple):
    """What a file looks like from outside."""

    size: int
    mtime_ns: int
    inode: tuple[int, int]
    """With its device."""
    ctime_ns: int

    @classmethod
    def of(cls, result: os.stat_result) -> "_Stamp":
        return cls(result.st_size, result.st_mtime_ns, (result.st_dev, result.st_ino), result.st_ctime_ns)

    def differs(self, now: "_Stamp", checked: Checked) -> str:
        """By what it is another file now, or was written to: one of CHECKS, or empty if it is the same.

        If it is not said what to check, what a mount does not keep is no difference. Some round a time stamp down once
        a file has left their cache: one that goes back to where it was in whole seconds is no sign of writing. And some
        give a file another number each time that they are asked. A file that was put in the place of another has been
        changed later than that one (ctime), whatever it has been given of its size and its times.
        """
        names = CHECKS if checked is None else checked
        if "size" in names and self.size != now.size:
            return "size"
        rounded = checked is None and _rounded_down(self.mtime_ns, now.mtime_ns)
        if "mtime" in names and self.mtime_ns != now.mtime_ns and not rounded:
            return "mtime"
        same = checked is None and _kept(self.ctime_ns, now.ctime_ns)
        return "inode" if "inode" in names and self.inode != now.inode and not same else ""


_GRAINS = (100, 1_000, 1_000_000, 1_000_000_000, 2_000_000_000)
"""Nanoseconds in which file systems count."""


def _rounded_down(before: int, now: int) -> bool:
    return any(now == before - before % grain for grain in _GRAINS)


def _kept(before: int, now: int) -> bool:
    return before == now or _rounded_down(before, now)


class Watch:
    """Compares a file at its end with what it was at its beginning. Blocks: to be used in a thread.

    By its descriptor and by its path, each with what it was in the same way: some mounts tell different numbers there.

    Args:
        descriptor: Of the open file.
        name: For messages.
        path: Where it stands, if anywhere.
        seen: What was seen there before it was opened.
        checked: By what it is compared.
    """

    def __init__(
        self,
        descriptor: int,
        name: str,
        *,
        path: Path | None = None,
        seen: os.stat_result | None = None,
        checked: Checked = None,
    ) -> None:
        result = os.fstat(descriptor)
        _require_regular(result, name)
        self.stamp = _Stamp.of(result)
        self._name = name
        self._checked = checked
        self._looks: list[tuple[Callable[[], os.stat_result], tuple[_Stamp, ...]]] = [
            (partial(os.fstat, descriptor), (self.stamp,))
        ]
        if path is not None:
            self._looks.append((path.stat, (self.stamp, *([_Stamp.of(seen)] if seen is not None else []))))

    @classmethod
    def of_regular(cls, file: Any, name: str) -> "Watch | None":
        """A watch over a file object, if a regular file is behind it."""
        if not isinstance(file, _WATCHABLE):
            return None
        try:
            descriptor = file.fileno()
            regular = stat.S_ISREG(os.fstat(descriptor).st_mode)
        except Exception:  # noqa: BLE001  (BytesIO has none, a member of an archive fails in a way of its own)
            return None
        return cls(descriptor, name) if regular else None

    def end(self) -> None:
        """Look again, at the open descriptor and at what now stands under the path.

        Raises:
            SourceChanged: Something is different.
            SourceUnreadable: It cannot be looked at.
        """
        for look, before in self._looks:
            try:
                now = _Stamp.of(look())
            except (FileNotFoundError, NotADirectoryError) as error:
                raise SourceChanged(f"{self._name} was removed while it was read") from error
            except OSError as error:  # a share that is away says nothing of the file
                raise SourceUnreadable(f"{self._name} cannot be looked at: {error.strerror or error}") from error
            differences = [stamp.differs(now, self._checked) for stamp in before]
            if all(differences):
                raise SourceChanged(f"{self._name} {self._told(differences[0], now)} while it was read")

    def _told(self, difference: str, now: _Stamp) -> str:
        if now.inode != self.stamp.inode and (difference == "inode" or self._checked is None):
            return "was replaced by another file"
        if difference == "size":
            return f"went from {self.stamp.size} to {now.size} bytes"
        return "was written to"


def tail_of(path: Path, name: str, most: int) -> bytes:
    """The last ``most`` bytes of a regular file, or all if it has fewer. Blocks."""
    _require_regular(path.stat(), name)
    with path.open("rb") as file:
        file.seek(max(0, file.seek(0, io.SEEK_END) - most))
        return file.read(most)


def _require_regular(result: os.stat_result, name: str) -> None:
    if stat.S_ISDIR(result.st_mode):
        raise directory(name)
    if not stat.S_ISREG(result.st_mode):
        raise NotAFile(f"{name} is not a regular file; to send what a pipe or device gives, read it on standard input")

"""One file down: it grows beside the target, goes on where it was interrupted, and gets its name when it is right."""

import os
import time
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import Executor
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import aiofiles
import aiofiles.os

from . import _checksum, _reading
from ._ending import left_behind
from ._fetch import Fetch
from ._patience import Patience
from ._shield import bounded, undisturbed
from ._targets import Beside, settled
from .errors import ChecksumMismatch, TargetUnwritable
from .events import Audience, ChunkReceived, Downloaded

T = TypeVar("T")

READ = 1024 * 1024
"""Bytes of what is there already, read at a time."""


class Download:
    """The journey of one file, the other way.

    Args:
        patience: The client's.
        threads: For blocking reads and writes.
        audience: Told what happens.
        log: A logger bound to this download.
    """

    def __init__(self, patience: Patience, threads: Executor, audience: Audience, log: Any) -> None:
        self._patience = patience
        self._fetch = Fetch(patience, log)
        self._threads = threads
        self._audience = audience
        self._log = log

    async def run(self, path: str, target: Path, version: int | None = None) -> Downloaded:
        """Bring a document to the file ``target``, which is replaced if it is there, all at once.

        Args:
            path: The document's.
            target: Where to.
            version: Its packed number; None for the published version, or else the latest.

        Raises:
            AsyncUploadError: ``target`` is as it was before. What came of a document whose checksum the server told
                stays beside it, and the next download of the same bytes to the same target goes on from there.

        On cancellation likewise, and ``CancelledError`` goes on.
        """
        began = time.monotonic()
        target = await self._settled(target)
        await self._patience.persist(self._patience.remote.log_in)
        async with self._fetch.open(path, version) as info:
            resumed, crc32 = await self._bring(path, info, target)
        return Downloaded(
            path=path,
            target=str(target),
            size=info.size,
            crc32=crc32,
            compared=info.crc32 is not None,
            resumed=resumed,
            seconds=time.monotonic() - began,
            left=left_behind(),
        )

    async def _settled(self, target: Path) -> Path:
        """Where the bytes will really stand: behind a symbolic link, and never in place of a device or a pipe."""
        with _writing(str(target)):
            real: Path = await self._in_thread(settled, target)
        return real

    async def _bring(self, path: str, info: _reading.Info, target: Path) -> tuple[int, int]:
        """How many bytes were there already, and the checksum of the whole."""
        while True:
            async with self._part(info, target) as part:
                # Without a checksum nothing would tell whether what is there is of the same content.
                resumed, crc32 = await self._found(part.file, info.size if info.crc32 is not None else 0)
                crc32 = await self._receive(path, info, part.file, resumed, crc32)
                if info.crc32 in {None, crc32}:
                    await self._put_in_place(part, target)
                    return resumed, crc32
                await self._remove(part)
            if not resumed:
                raise ChecksumMismatch(
                    f"{path}: the bytes received have the CRC-32 {crc32:08X}, "
                    f"the server says {info.crc32 or 0:08X}; {target} is left as it was",
                    expected=info.crc32 or 0,
                    found=crc32,
                )
            self._log.warning("download_restarted", reason="what was there already was not of this document")

    async def _found(self, file: Any, most: int) -> tuple[int, int]:
        """How much was there already, of a download that was interrupted, and its checksum. What is beyond ``most``
        bytes is cut off."""
        found, crc32 = 0, _checksum.EMPTY
        with _writing(file.name):
            await file.truncate(min(most, await file.seek(0, os.SEEK_END)))
            await file.seek(0)
            while data := await file.read(READ):
                found += len(data)
                part = await aiofiles.os.wrap(_checksum.crc32)(data, executor=self._threads)
                crc32 = _checksum.combine(crc32, part, len(data))
        return found, crc32

    async def _receive(self, path: str, info: _reading.Info, file: Any, received: int, crc32: int) -> int:
        """The checksum of the whole, when the rest has been written."""
        async for piece in self._fetch.pieces(info, received):
            with _writing(file.name):
                await file.write(piece.data)
            received += len(piece.data)
            crc32 = _checksum.combine(crc32, piece.crc32, len(piece.data))
            self._audience.tell(ChunkReceived(path=path, received=received, size=info.size))
        return crc32

    @asynccontextmanager
    async def _part(self, info: _reading.Info, target: Path) -> AsyncIterator["_Part"]:
        """The file beside ``target`` in which it grows. Its name says of which bytes: no others are mixed in."""
        resumable = info.crc32 is not None
        beside = Beside(target, f"{info.size}-{info.crc32:08X}" if resumable else str(os.getpid()))
        part: _Part | None = None

        async def open_() -> None:
            nonlocal part
            part = _Part(beside, await aiofiles.open(beside.path, "r+b", executor=self._threads, opener=beside.open))

        grace = self._patience.settings.timeouts.cleanup
        try:
            with _writing(str(target)):
                await undisturbed(open_(), grace=grace)
            yield part  # type: ignore[misc]  # it is open, or an error was raised
        except BaseException as error:
            # A full disk is not to be kept full; but what another download is writing is not ours to remove.
            if part is not None and (not resumable or isinstance(error, TargetUnwritable)):
                await bounded(self._remove(part), grace=grace)
            raise
        finally:
            await bounded(self._close(beside, part), grace=grace)

    async def _put_in_place(self, part: "_Part", target: Path) -> None:
        with _writing(str(target)):
            await part.file.flush()
            await self._in_thread(part.beside.seal, part.file.fileno())
            if os.name == "nt":  # there, what is open cannot be renamed
                await part.file.close()
            await self._in_thread(part.beside.take_place)

    async def _close(self, beside: Beside, part: "_Part | None") -> None:
        with suppress(OSError):  # what could not be written has been told, and what is in place has been synced
            if part is not None:
                await part.file.close()
        await self._in_thread(beside.close)

    async def _remove(self, part: "_Part") -> None:
        try:
            await self._in_thread(part.beside.remove, part.file.fileno())
        except (OSError, ValueError) as error:  # the latter if it is closed already
            self._log.warning("temporary_file_left", file=part.file.name, reason=str(error))

    async def _in_thread(self, do: Callable[..., T], *arguments: Any) -> T:
        found: T = await aiofiles.os.wrap(do)(*arguments, executor=self._threads)
        return found


class _Part(NamedTuple):
    """What is open while a download goes on."""

    beside: Beside
    file: Any


@contextmanager
def _writing(name: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise TargetUnwritable(f"{name} cannot be written: {error.strerror or error}") from error

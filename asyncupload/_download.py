"""One file down: read by offset, check each chunk and the whole, and give it its name only when it is right."""

import os
import stat
import time
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import Executor
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path
from typing import Any, cast

import aiofiles
import aiofiles.os

from . import _checksum, _wire
from ._patience import Patience
from ._shield import undisturbed
from .errors import ChecksumMismatch, ForeignReply, TargetUnwritable
from .events import Audience, ChunkReceived, Downloaded


class Download:
    """The journey of one file, the other way.

    Args:
        patience: The client's.
        threads: For blocking writes.
        audience: Told what happens.
        log: A logger bound to this download.
    """

    def __init__(self, patience: Patience, threads: Executor, audience: Audience, log: Any) -> None:
        self._patience = patience
        self._remote = patience.remote
        self._settings = patience.settings
        self._threads = threads
        self._audience = audience
        self._log = log

    async def run(self, path: str, target: Path) -> Downloaded:
        """Bring the document at ``path`` to the file ``target``, which is replaced if it is there, all at once.

        Raises:
            AsyncUploadError: ``target`` is as it was before.

        On cancellation the server's handler and the temporary file are removed, and ``CancelledError`` goes on.
        """
        began = time.monotonic()
        target = await self._settled(target)
        await self._patience.persist(self._remote.log_in)
        async with self._handler(path) as info, self._new_file(target) as file:
            crc32 = await self._receive_all(path, info, file)
            if info.crc32 is not None and info.crc32 != crc32:
                raise ChecksumMismatch(
                    f"{path}: the bytes received have the CRC-32 {crc32:08X}, "
                    f"the server says {info.crc32:08X}; {target} is left as it was",
                    expected=info.crc32,
                    found=crc32,
                )
        return Downloaded(
            path=path,
            target=str(target),
            size=info.size,
            crc32=crc32,
            compared=info.crc32 is not None,
            seconds=time.monotonic() - began,
        )

    async def _settled(self, target: Path) -> Path:
        """Where the bytes will really stand: behind a symbolic link, and never in place of a device or a pipe."""
        with _writing(str(target)):
            real: Path = await aiofiles.os.wrap(Path.resolve)(target, executor=self._threads)
            with suppress(FileNotFoundError):
                if not stat.S_ISREG((await aiofiles.os.stat(real, executor=self._threads)).st_mode):
                    raise TargetUnwritable(f"{target} is there already, and is no regular file")
        return real

    async def _receive_all(self, path: str, info: _wire.Info, file: Any) -> int:
        crc32, received = _checksum.EMPTY, 0
        while received < info.size:
            piece = await self._receive(info, received)
            with _writing(file.name):
                await file.write(piece.data)
            received += len(piece.data)
            crc32 = _checksum.combine(crc32, piece.crc32, len(piece.data))
            self._audience.tell(ChunkReceived(path=path, received=received, size=info.size))
        return crc32

    async def _receive(self, info: _wire.Info, offset: int) -> _wire.Piece:
        wanted = min(info.chunk_size, info.size - offset)
        piece = await self._patience.persist(lambda: self._remote.read_chunk(info.handler, offset, wanted))
        if not 0 < len(piece.data) <= wanted:
            raise ForeignReply(
                f"DownloadFileChunk: {len(piece.data)} bytes came where 1 to {wanted} were asked for",
                status=200,
            )
        return piece

    @asynccontextmanager
    async def _handler(self, path: str) -> AsyncIterator[_wire.Info]:
        info: _wire.Info | None = None

        async def open_() -> None:
            nonlocal info
            info = await self._remote.open_download(path, self._settings.chunk_size)

        try:
            await self._patience.make(open_)
            yield cast(_wire.Info, info)
        finally:
            if info is not None:
                await self._let_go(info.handler)

    async def _let_go(self, handler: str) -> None:
        if left := await self._patience.clean_up(lambda: self._remote.close_download(handler)):
            self._log.warning("download_handler_left", handler=handler, reason=left)

    @asynccontextmanager
    async def _new_file(self, target: Path) -> AsyncIterator[Any]:
        """A file beside ``target``, which takes its place when all went well and vanishes otherwise."""
        beside = target.with_name(f".{target.name}.{os.getpid()}.part")
        with _writing(str(target)):
            file = await aiofiles.open(beside, "wb", executor=self._threads)
        try:
            yield file
            with _writing(str(target)):
                await file.close()
                await aiofiles.os.replace(beside, target, executor=self._threads)
        except BaseException:
            await undisturbed(self._remove(file, beside), grace=self._settings.timeouts.cleanup)
            raise

    async def _remove(self, file: Any, beside: Path) -> None:
        try:
            await file.close()
            await aiofiles.os.unlink(beside, executor=self._threads)
        except OSError as error:
            self._log.warning("temporary_file_left", file=str(beside), reason=str(error))


@contextmanager
def _writing(name: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise TargetUnwritable(f"{name} cannot be written: {error.strerror or error}") from error

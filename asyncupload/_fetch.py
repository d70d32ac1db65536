"""A stored document, read by offset: each piece checked, and asked for again until it is right."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial
from typing import Any, cast

from . import _reading
from ._outcome import lacks_operation
from ._patience import Patience
from .errors import AsyncUploadError, ForeignReply, Leftover, OperationMissing

_BY_NUMBER, _INFO, _INFO_BY_NUMBER = "GetDownloadHandlerByVersion", "GetDownloadInfo", "GetDownloadInfoByVersion"


class Fetch:
    """Reads documents of one server.

    Args:
        patience: The client's.
        log: A logger bound to this journey.
    """

    def __init__(self, patience: Patience, log: Any) -> None:
        self._patience = patience
        self._remote = patience.remote
        self._log = log

    @asynccontextmanager
    async def open(self, path: str, version: int | None = None) -> AsyncIterator[_reading.Info]:
        """A handler to read with, let go of on every way out.

        Raises:
            OperationMissing: The server cannot be asked for that version.
        """
        info: _reading.Info | None = None

        async def open_(number: int | None) -> None:
            nonlocal info
            info = await self._remote.open_download(path, self._patience.settings.chunk_size, number)

        try:
            by_number = version is not None and await self._had(
                _BY_NUMBER, lambda: self._patience.make(lambda: open_(version))
            )
            if not by_number:
                await self._patience.make(lambda: open_(None))
            opened = cast(_reading.Info, info)
            if version is not None and not by_number and opened.version != version:
                raise _no_version(path, version)
            yield opened
        finally:
            if info is not None:
                await self._let_go(info.handler)

    async def facts(self, path: str, version: int | None = None) -> _reading.Facts | None:
        """Size and checksum as the server tells them without staging a download; None where it tells neither so.

        Args:
            path: The document's.
            version: Its packed number; None for the published version, or else the latest.
        """
        told: _reading.Facts | None = None

        async def ask(number: int | None) -> None:
            nonlocal told
            told = await self._patience.persist(lambda: self._remote.download_info(path, number))

        if version is not None and await self._had(_INFO_BY_NUMBER, lambda: ask(version)):
            return told
        if not await self._had(_INFO, lambda: ask(None)) or told is None:
            return None
        return told if version in {None, told.version} else None

    async def _had(self, operation: str, ask: Callable[[], Awaitable[None]]) -> bool:
        """Ask, unless the server is known to lack the operation. Whether it has it."""
        lacking = self._remote.asker.lacking
        if operation in lacking:
            return False
        try:
            await ask()
        except AsyncUploadError as error:
            if not lacks_operation(error):
                raise
            lacking.add(operation)
            self._log.info("operation_missing", operation=operation)
            return False
        return True

    async def pieces(self, info: _reading.Info, offset: int = 0) -> AsyncIterator[_reading.Piece]:
        """From ``offset`` to the end.

        Raises:
            ForeignReply: The server gave more than was asked for, or nothing.
        """
        while offset < info.size:
            piece = await self._piece(info, offset)
            yield piece
            offset += len(piece.data)

    async def _piece(self, info: _reading.Info, offset: int) -> _reading.Piece:
        wanted = min(info.chunk_size, info.size - offset)
        piece = await self._patience.persist(lambda: self._remote.read_chunk(info.handler, offset, wanted))
        if not 0 < len(piece.data) <= wanted:
            raise ForeignReply(
                f"DownloadFileChunk: {len(piece.data)} bytes came where 1 to {wanted} were asked for",
                status=200,
            )
        return piece

    async def _let_go(self, handler: str) -> None:
        if left := await self._patience.clean_up(
            lambda: self._remote.close_download(handler), partial(_left_download, handler)
        ):
            self._log.warning("download_handler_left", handler=handler, reason=left)


def _no_version(path: str, version: int) -> OperationMissing:
    return OperationMissing(
        f"{path}: version {version} cannot be read: this server has no operation that reads a version by its number, "
        "and gives another one without",
        operation=_BY_NUMBER,
    )


def _left_download(handler: str, reason: str) -> Leftover:
    return Leftover(kind="download", name=handler, reason=reason, remedy="nothing: the server forgets it")

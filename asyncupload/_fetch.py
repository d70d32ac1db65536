"""A stored document, read by offset: each piece checked, and asked for again until it is right."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from typing import Any, cast

from . import _wire
from ._patience import Patience
from .errors import ForeignReply, Leftover


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
    async def open(self, path: str, version: int | None = None) -> AsyncIterator[_wire.Info]:
        """A handler to read with, let go of on every way out."""
        info: _wire.Info | None = None

        async def open_() -> None:
            nonlocal info
            info = await self._remote.open_download(path, self._patience.settings.chunk_size, version)

        try:
            await self._patience.make(open_)
            yield cast(_wire.Info, info)
        finally:
            if info is not None:
                await self._let_go(info.handler)

    async def pieces(self, info: _wire.Info, offset: int = 0) -> AsyncIterator[_wire.Piece]:
        """From ``offset`` to the end.

        Raises:
            ForeignReply: The server gave more than was asked for, or nothing.
        """
        while offset < info.size:
            piece = await self._piece(info, offset)
            yield piece
            offset += len(piece.data)

    async def _piece(self, info: _wire.Info, offset: int) -> _wire.Piece:
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


def _left_download(handler: str, reason: str) -> Leftover:
    return Leftover(kind="download", name=handler, reason=reason, remedy="nothing: the server forgets it")

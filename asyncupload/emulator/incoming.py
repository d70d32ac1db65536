"""A request while it comes in: how it was asked, and as much of its body as is wanted."""

import asyncio
from typing import Literal

from aiohttp import web

from asyncupload.emulator.replies import Unread
from asyncupload.emulator.soap import SOAP_11, SOAP_12, Version

Way = Literal["query", "form", "multipart", "soap"]
"""How a call was asked: by GET, by a urlencoded or a multipart form, or in an envelope."""


class Incoming:
    """One request. Its body is refused (Unread) if it is too long."""

    def __init__(self, request: web.BaseRequest, limit: int, limit_status: int, *, soap: bool) -> None:
        """`limit` in bytes; a longer body is refused with `limit_status`, unread if its length is declared."""
        self.request = request
        self.way: Way = "soap" if soap else _way(request)
        self._limit = limit
        self._limit_status = limit_status
        self._body: bytearray | None = None

    @property
    def soap(self) -> Version | None:
        """Which SOAP it speaks, if it does."""
        if self.way != "soap":
            return None
        return SOAP_12 if self.request.content_type == SOAP_12.content_type else SOAP_11

    @property
    def transport(self) -> asyncio.Transport | None:
        """The connection; None once it is closed."""
        return self.request.transport

    @property
    def cookie(self) -> str:
        return self.request.cookies.get("ticket", "")

    @property
    def query(self) -> bytes:
        return self.request.rel_url.raw_query_string.encode()

    def header(self, name: str) -> str:
        """Empty if it is missing."""
        return self.request.headers.get(name, "")

    async def body(self) -> bytearray:
        """The body, whole or not at all: one that breaks off raises, or cancels this task."""
        if self._body is None:
            self._body = await self._received()
        return self._body

    async def half(self) -> None:
        """Read about half of the body, or the first of it if its length is not declared; nothing if it is read."""
        if self._body is not None:
            return
        half, size = (self.request.content_length or 0) // 2, 0
        async for piece in self.request.content.iter_any():
            size += len(piece)
            if size >= half:
                return

    async def _received(self) -> bytearray:
        self._refuse_beyond_limit(self.request.content_length or 0)
        if self.header("Expect").lower() == "100-continue" and self.transport is not None:
            self.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        body = bytearray()
        async for piece in self.request.content.iter_any():
            body += piece
            self._refuse_beyond_limit(len(body))
        return body

    def _refuse_beyond_limit(self, size: int) -> None:
        if size > self._limit:
            raise Unread(self._limit_status, f"a request may have {self._limit} bytes")


def _way(request: web.BaseRequest) -> Way:
    if request.method == "GET":
        return "query"
    return "multipart" if request.content_type == "multipart/form-data" else "form"

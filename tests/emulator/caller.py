"""Calls operations over a socket the plain way: written for these tests, so that no client's habits hide in it."""

import base64
import io
import xml.etree.ElementTree as ET
import zlib
from dataclasses import dataclass, replace
from types import TracebackType
from typing import Self
from xml.sax.saxutils import escape

import aiohttp


@dataclass(frozen=True)
class Said:
    """What came back. `root` is the XML document, None if there was none."""

    status: int
    content_type: str
    text: str
    root: ET.Element | None

    @property
    def document(self) -> ET.Element:
        assert self.root is not None, f"HTTP {self.status}: {self.text}"
        return self.root

    def __getitem__(self, attribute: str) -> str:
        return self.document.attrib[attribute]

    @property
    def ok(self) -> bool:
        return self.document.get("success") == "true"

    @property
    def code(self) -> str | None:
        """The error code, None for a success or a failure without one."""
        return self.document.get("errorCode")


class Caller:
    """One client with its own connections. `ticket` goes into every call; empty for none."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.ticket = ""
        self.session = aiohttp.ClientSession(auto_decompress=False)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.session.close()

    async def call(self, operation: str, **fields: str) -> Said:
        """POST the fields as a urlencoded form."""
        return await self.request("POST", operation, data={"authenticationTicket": self.ticket, **fields})

    async def get(self, operation: str, **fields: str) -> Said:
        return await self.request("GET", operation, params={"authenticationTicket": self.ticket, **fields})

    async def soap(self, operation: str, *, action: str | None = None, **fields: str) -> Said:
        """POST the fields in an envelope; without a SOAPAction unless one is given. `root` is the inner document."""
        said = await self.post(envelope(operation, authenticationTicket=self.ticket, **fields), action)
        result = None if said.root is None else said.root.find(f".//{{http://tempuri.org/}}{operation}Result")
        return replace(said, root=None if result is None else result[0])

    async def post(self, body: str | bytes, action: str | None = None, kind: str = "text/xml; charset=utf-8") -> Said:
        """POST this to the service itself."""
        headers = {"Content-Type": kind, **({} if action is None else {"SOAPAction": action})}
        data = io.BytesIO(body.encode() if isinstance(body, str) else body)
        return await self.request("POST", "", data=data, headers=headers)

    async def request(self, method: str, operation: str, **how: object) -> Said:
        address = f"{self.url}/srv.asmx" + (f"/{operation}" if operation else "")
        async with self.session.request(method, address, **how) as response:  # type: ignore[arg-type]
            text = await response.text()
            xml = response.content_type == "text/xml" and text
            root = ET.fromstring(text) if xml else None
            return Said(response.status, response.content_type, text, root)

    async def sign_in(self, user: str, password: str) -> None:
        self.ticket = (await self.call("AuthenticateUser", UID=user, PWD=password))["ticket"]

    async def open(self, chunk_size: int = 0) -> str:
        """A new upload handler."""
        return (await self.call("CreateUploadHandler", PreferedChunkSize=str(chunk_size)))["UploadHandler"]

    async def chunk(self, handler: str, data: bytes, *, last: bool = False, crc: str | None = None) -> Said:
        """A chunk as a raw file part of a multipart form; with the right CRC if none is given."""
        return await self.request(
            "POST", "UploadFileChunk", data=chunk_form(self.ticket, handler, data, last=last, crc=crc)
        )

    async def chunk_base64(self, handler: str, data: bytes, *, last: bool = False) -> Said:
        """A chunk as base64 in a urlencoded form."""
        return await self.call(
            "UploadFileChunk",
            UploadHandler=handler,
            FileChunk=base64.b64encode(data).decode(),
            ChunkHEXCRC=f"{zlib.crc32(data):X}",
            LastChunk="true" if last else "false",
        )

    async def staged(self, data: bytes = b"content") -> str:
        """A handler that holds these bytes and has had its last chunk."""
        handler = await self.open()
        assert (await self.chunk(handler, data, last=True)).ok
        return handler

    async def store(self, path: str, data: bytes = b"content") -> Said:
        """Bring bytes to a path with the plainest finalize."""
        handler = await self.staged(data)
        return await self.call("UploadDocumentWithHandler", path=path, uploadHandler=handler)


def chunk_form(
    ticket: str, handler: str, data: bytes, *, last: bool = False, crc: str | None = None
) -> aiohttp.FormData:
    form = aiohttp.FormData()
    form.add_field("authenticationTicket", ticket)
    form.add_field("uploadHandler", handler)
    form.add_field("fileChunk", io.BytesIO(data), filename="chunk", content_type="application/octet-stream")
    form.add_field("chunkHEXCRC", f"{zlib.crc32(data):X}" if crc is None else crc)
    form.add_field("lastChunk", "true" if last else "false")
    return form


def envelope(operation: str, **fields: str) -> str:
    """A SOAP 1.1 envelope as a typed proxy writes it."""
    inside = "".join(f"<{name}>{escape(text)}</{name}>" for name, text in fields.items())
    return (
        '<?xml version="1.0" encoding="utf-8"?>'
        '<s:Envelope xmlns:s="http://schemas.xmlsoap.org/soap/envelope/"><s:Header /><s:Body>'
        f'<{operation} xmlns="http://tempuri.org/">{inside}</{operation}></s:Body></s:Envelope>'
    )

"""Bytes out, bytes in: what a client sees before any library has had its say."""

import asyncio
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal
from urllib.parse import urlencode, urlsplit

End = Literal["open", "closed", "reset", "silent"]

PATIENCE = 0.25
"""Seconds without a byte after which a server counts as silent. A local one answers within a twentieth of it."""


@dataclass
class Heard:
    """What came back: `raw` is all of it; `end` how it stopped, ``open`` for an answer that is whole."""

    raw: bytes
    end: End
    status: int | None = None
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""


async def connected(url: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    return await asyncio.open_connection("127.0.0.1", urlsplit(url).port)


async def hear(reader: asyncio.StreamReader) -> Heard:
    """One answer, or as much of it as comes."""
    raw = bytearray()
    while True:
        if (heard := _whole(bytes(raw))) is not None:
            return heard
        try:
            async with asyncio.timeout(PATIENCE):
                piece = await reader.read(65536)
        except TimeoutError:
            return Heard(bytes(raw), "silent")
        except ConnectionResetError:
            return Heard(bytes(raw), "reset")
        if not piece:
            return Heard(bytes(raw), "closed")
        raw += piece


def _whole(raw: bytes) -> Heard | None:
    before, blank, body = raw.partition(b"\r\n\r\n")
    first, *lines = before.decode("latin-1").split("\r\n")
    headers = {name.lower(): value for name, value in (line.split(": ", 1) for line in lines if blank)}
    if not blank or len(body) < int(headers["content-length"]):
        return None
    return Heard(raw, "open", int(first.split()[1]), headers, body)


def head(operation: str, *headers: str) -> bytes:
    lines = (f"POST /srv.asmx/{operation} HTTP/1.1", "Host: emulator", *headers, "", "")
    return "\r\n".join(lines).encode()


def chunk_body(ticket: str, handler: str, data: bytes, *, last: bool = True) -> tuple[str, bytes]:
    """A multipart chunk as bytes, and its content type."""
    fields = {"authenticationTicket": ticket, "uploadHandler": handler, "chunkHEXCRC": f"{zlib.crc32(data):X}"}
    fields["lastChunk"] = "true" if last else "false"

    def parts() -> Iterator[bytes]:
        for name, value in fields.items():
            yield f'--line\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'.encode()
        yield b'--line\r\nContent-Disposition: form-data; name="fileChunk"; filename="c"\r\n\r\n'
        yield data + b"\r\n--line--\r\n"

    return "multipart/form-data; boundary=line", b"".join(parts())


def chunk_request(ticket: str, handler: str, data: bytes, *, last: bool = False) -> tuple[bytes, bytes]:
    """The head and the body of a chunk."""
    kind, body = chunk_body(ticket, handler, data, last=last)
    return head("UploadFileChunk", f"Content-Type: {kind}", f"Content-Length: {len(body)}"), body


def form_request(operation: str, **fields: str) -> tuple[bytes, bytes]:
    """The head and the body of a call with these fields."""
    body = urlencode(fields).encode()
    kind = "Content-Type: application/x-www-form-urlencoded"
    return head(operation, kind, f"Content-Length: {len(body)}"), body

"""What goes out: the body of a request in each of the ways in which one can be written. No I/O.

A body is a row of pieces, so that a chunk is neither joined nor copied; base64 comes slice by slice, as the connection
takes it, so that a chunk in base64 costs no more memory than a raw one.
"""

import hashlib
import itertools
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import TypeAlias
from urllib.parse import quote_plus
from xml.sax.saxutils import escape

import pybase64

from ._secret import Secret
from .errors import UsageError
from .properties import NO_TEXT

Buffer: TypeAlias = bytes | bytearray | memoryview
Fields: TypeAlias = tuple[tuple[str, str | Secret], ...]
Names: TypeAlias = Mapping[str, tuple[str, ...]]
"""What the server's WSDL calls the fields of each operation, in order."""

NAMESPACE = "http://tempuri.org/"
CHUNK_FIELD = "fileChunk"
SLICE = 192 * 1024
"""Raw bytes that are written as base64 at a time. A multiple of three, so that the slices join without padding."""

JOINED = 64 * 1024
"""Bytes. So small a chunk is copied, so that its request leaves at once: to wake the other side three times costs
more."""


class Encoding(Enum):
    """How requests travel. Servers differ in which they take; the first chunk finds out."""

    MULTIPART = "multipart"
    """Chunks as raw bytes, in a file part of ``multipart/form-data``; all else in urlencoded forms."""

    FORM = "form"
    """Chunks as base64 in a field of an urlencoded form: a third more bytes, and more work on both sides."""

    SOAP = "soap"
    """SOAP 1.1, chunks as base64 in an element."""


class Base64:
    """A chunk as base64, made slice by slice. Making one counts the bytes, which is work for a thread.

    Args:
        data: The chunk.
        plus: How base64's only character that means something else in a form is written.
    """

    def __init__(self, data: Buffer, plus: bytes = b"+") -> None:
        self._view = memoryview(data)
        self._plus = plus
        self._size = 4 * -(-len(self._view) // 3)
        if plus != b"+":
            pluses = sum(self._plain(number).count(b"+") for number in range(self.slices))
            self._size += pluses * (len(plus) - 1)

    def __len__(self) -> int:
        """Bytes of all slices together."""
        return self._size

    @property
    def slices(self) -> int:
        """How many there are."""
        return -(-len(self._view) // SLICE)

    def slice(self, number: int) -> bytes:
        """One of them, counted from 0."""
        return self._plain(number).replace(b"+", self._plus)

    def _plain(self, number: int) -> bytes:
        return pybase64.b64encode(self._view[number * SLICE : (number + 1) * SLICE])


Piece: TypeAlias = Buffer | Base64


@dataclass(frozen=True, slots=True)
class Body:
    """A request's body as the pieces it is written in. The last one is short: with it, the whole has left."""

    content_type: str
    pieces: tuple[Piece, ...] = field(repr=False)
    action: str = ""
    """SOAP's name of what is asked. Such a request goes to the service's own address."""

    @property
    def size(self) -> int:
        """Bytes of all pieces together."""
        return sum(len(piece) for piece in self.pieces)


def form(fields: Fields, chunk: Buffer | None = None) -> Body:
    """An urlencoded form, with the chunk in base64 if there is one: that is work for a thread."""
    content_type = "application/x-www-form-urlencoded"
    if chunk is None:
        return Body(content_type, (_urlencoded(fields),))
    head, tail = _urlencoded(fields[:-1]), _urlencoded(fields[-1:])
    return Body(content_type, (head + f"&{CHUNK_FIELD}=".encode(), Base64(chunk, b"%2B"), b"&" + tail))


def multipart(fields: Fields, chunk: Buffer) -> Body:
    """``multipart/form-data``. The chunk comes last, so the server knows all about it when it arrives."""
    boundary = _boundary()
    text_parts = b"".join(
        f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n'.encode()
        + _plain(name, value)
        + b"\r\n"
        for name, value in fields
    )
    file_part = (
        f'--{boundary}\r\nContent-Disposition: form-data; name="{CHUNK_FIELD}"; filename="chunk"\r\n'
        "Content-Type: application/octet-stream\r\n\r\n"
    )
    pieces = (text_parts + file_part.encode(), chunk, f"\r\n--{boundary}--\r\n".encode())
    joined = (b"".join(pieces),) if len(chunk) <= JOINED else pieces
    return Body(f"multipart/form-data; boundary={boundary}", joined)


def _boundary() -> str:
    """128 bits that nobody can guess: that a chunk contains them cannot happen within the age of the universe.

    Computed and not asked of the system each time: that gives the interpreter's lock away, and with a reading thread
    beside it, to get it back takes as long as to checksum a MiB.
    """
    number = next(_NUMBERS).to_bytes(8, "big")
    return f"asyncupload-{hashlib.blake2b(number, key=_KEY, digest_size=16).hexdigest()}"


_KEY = secrets.token_bytes(32)
_NUMBERS = itertools.count()


def soap(operation: str, fields: Fields, chunk: Buffer | None, names: Names) -> Body:
    """A SOAP 1.1 envelope.

    Args:
        operation: The server's name of it.
        fields: Its parameters, in the documented order.
        chunk: Goes before the last two fields, where the documented order has it.
        names: What the server's own description calls them, and in which order: XML tells upper case from lower case,
            and the pages are not of one mind. Where it says nothing, they are spelled as in a real server's.
    """
    content: list[tuple[str, Piece]] = [(name, _element_text(name, value)) for name, value in fields]
    if chunk is not None:
        content.insert(len(content) - 2, (CHUNK_FIELD, Base64(chunk)))
    described = {name.lower(): (place, name) for place, name in enumerate(names.get(operation.lower(), ()))}
    content = [(described.get(name.lower(), (0, _spelled(name)))[1], value) for name, value in content]
    content.sort(key=lambda pair: described.get(pair[0].lower(), (len(described), ""))[0])
    pieces: list[Piece] = [_HEAD + f'<{operation} xmlns="{NAMESPACE}">'.encode()]
    for name, value in content:
        pieces += [f"<{name}>".encode(), value, f"</{name}>".encode()]
    pieces.append(f"</{operation}>".encode() + _TAIL)
    return Body("text/xml; charset=utf-8", _joined(pieces), action=f'"{NAMESPACE}{operation}"')


def _spelled(name: str) -> str:
    """As a real server's description of 2019 has it: with a capital, but for a few."""
    if name.startswith(("xml", "with", "force")):
        return name
    return name[0].upper() + name[1:] if not name.startswith("mp") else "MP" + name[2:]


_HEAD = (
    b'<?xml version="1.0" encoding="utf-8"?>'
    b'<soap:Envelope xmlns:soap="http://schemas.xmlsoap.org/soap/envelope/"><soap:Body>'
)
_TAIL = b"</soap:Body></soap:Envelope>"


def _element_text(name: str, value: str | Secret) -> bytes:
    text = _plain(name, value).decode()
    if NO_TEXT.search(text):  # not shown: it may be a password's
        raise UsageError(f"{name} has control characters, which SOAP cannot carry")
    return escape(text, {"\r": "&#13;"}).encode()


def _joined(pieces: list[Piece]) -> tuple[Piece, ...]:
    """Neighbours that are short, as one."""
    joined: list[Piece] = []
    for piece in pieces:
        if joined and isinstance(piece, bytes) and isinstance(joined[-1], bytes):
            joined[-1] += piece
        else:
            joined.append(piece)
    return tuple(joined)


def _urlencoded(fields: Fields) -> bytes:
    # Made into bytes first, where it can fail: the library's frames would show the values to a traceback with locals.
    pairs = [(name, _plain(name, value)) for name, value in fields]
    return "&".join(f"{name}={quote_plus(value)}" for name, value in pairs).encode("ascii")


def _plain(name: str, value: str | Secret) -> bytes:
    try:
        return (value.reveal() if isinstance(value, Secret) else value).encode()
    except UnicodeEncodeError:
        raise UsageError(f"{name} has characters that are no text (undecodable bytes of a file's name?)") from None

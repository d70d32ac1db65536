"""The server's words for a document that is read back: what it is, and its bytes by offset. No I/O."""

from typing import NamedTuple

import pybase64

from . import _checksum
from ._body import Fields
from ._call import Call
from ._reply import Reply
from ._secret import Secret


class Facts(NamedTuple):
    """Answer of GetDownloadInfo, and a part of GetDownloadHandler's."""

    size: int
    crc32: int | None
    """None for content that the server renders anew."""
    version: int | None = None
    """Its packed number, where the server tells it."""


class Info(NamedTuple):
    """Answer of GetDownloadHandler."""

    size: int
    crc32: int | None
    """None for content that the server renders anew."""
    handler: str
    chunk_size: int
    version: int | None = None
    """Its packed number, where the server tells it."""


class Piece(NamedTuple):
    """Answer of DownloadFileChunk."""

    data: bytes
    crc32: int


def download_info(ticket: Secret, path: str, version: int | None = None) -> Call[Facts]:
    """Size and checksum of what a download would bring, without staging one: see ``open_download`` for the version."""
    operation = "GetDownloadInfo"
    fields: Fields = (("AuthenticationTicket", ticket), ("Path", path))
    if version is not None:
        operation, fields = "GetDownloadInfoByVersion", (*fields, ("VersionNumber", str(version)))
    return Call(operation, fields, _read_facts)


def _read_facts(reply: Reply) -> Facts:
    size = reply.number("Size")
    if size is None:
        raise ValueError("names no Size")
    return Facts(size, reply.crc("CRC32"), reply.number("VersionNumber"))


def open_download(ticket: Secret, path: str, wish: int, version: int | None = None) -> Call[Info]:
    """A handler to read a document by offset: the published version or else the latest, or the one given."""
    operation = "GetDownloadHandler"
    fields: Fields = (("AuthenticationTicket", ticket), ("Path", path), ("PreferedChunkSize", str(wish)))
    if version is not None:
        operation, fields = "GetDownloadHandlerByVersion", (*fields, ("VersionNumber", str(version)))

    def read_handler(reply: Reply) -> Info:
        facts, handler, chunk_size = _read_facts(reply), reply.get("downloadhandler"), reply.number("ChunkSize")
        if not handler or not chunk_size:
            raise ValueError(f"gives no downloadhandler, or no usable ChunkSize ({reply.get('ChunkSize')!r})")
        return Info(facts.size, facts.crc32, handler, chunk_size, facts.version)

    return Call(operation, fields, read_handler)


def read_chunk(ticket: Secret, handler: str, offset: int, size: int) -> Call[Piece]:
    """Bytes of a document, from ``offset``."""
    fields = (
        ("authenticationTicket", ticket),
        ("DownloadHandler", handler),
        ("StartOffset", str(offset)),
        ("ChunkSize", str(size)),
    )

    def read_piece(reply: Reply) -> Piece:
        return Piece(pybase64.b64decode(reply.text), _checksum.from_text(reply.get("chunkCRC32")))

    return Call("DownloadFileChunk", fields, read_piece)


def close_download(ticket: Secret, handler: str) -> Call[None]:
    """Lets go of a download handler. Twice is a success too."""
    fields = (("authenticationTicket", ticket), ("DownloadHandler", handler))
    return Call("DeleteDownloadHandler", fields, lambda _: None)

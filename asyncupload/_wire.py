"""The server's words: each operation's fields, its answer, and what a lost reply means for it. No I/O.

Field names, attribute names and their spellings (``PreferedChunkSize``, ``DocumentId`` beside ``DocumentID``) are the
vendor's, from the public API pages; where those disagree, the reader here accepts every variant.
"""

import binascii
import re
import secrets
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from enum import Enum
from typing import Any, Generic, NamedTuple, TypeAlias, TypeVar
from urllib.parse import quote_plus
from xml.sax.saxutils import quoteattr

from . import _checksum, _reply
from ._reply import Answer, Reply, whole_number
from ._secret import Secret
from .errors import UsageError

T = TypeVar("T")
Buffer: TypeAlias = bytes | bytearray | memoryview
Fields: TypeAlias = tuple[tuple[str, str | Secret], ...]


_TICKET = re.compile(r"[0-9a-f]{8}[0-9a-f-]*", re.IGNORECASE)
"""A GUID in any of its forms, or its beginning where the answer was cut off."""


class LostReply(Enum):
    """What to do when a request may have been acted on and its reply was lost."""

    REPEAT = "send it again: a second time does no harm"
    PROVE = "a blind repeat could append the chunk twice: only the checksum of the whole can tell"
    ASK = "a repeat cannot tell either: look at what stands at the destination"


@dataclass(frozen=True, slots=True)
class Call(Generic[T]):
    """One request: what to ask, with what, and how to read the answer."""

    operation: str
    fields: Fields
    read: Callable[[Reply], T]
    lost_reply: LostReply = LostReply.REPEAT
    chunk: Buffer | None = field(default=None, repr=False)
    """Raw bytes for the field ``fileChunk``, which the multipart form carries as a file part."""


# ── what goes out ─────────────────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class Body:
    """A request's body as the pieces it is written in, so that a chunk is neither joined nor copied."""

    content_type: str
    pieces: tuple[Buffer, ...] = field(repr=False)

    @property
    def size(self) -> int:
        """Bytes of all pieces together."""
        return sum(len(piece) for piece in self.pieces)


class Encoding(Enum):
    """How a chunk travels. Servers differ in which they take; the first chunk finds out."""

    MULTIPART = "multipart"
    """Raw bytes as a file part of ``multipart/form-data``."""

    FORM = "form"
    """Base64 in a field of an urlencoded form: a third more bytes, and more work on both sides."""


def encode(call: Call[Any], encoding: Encoding = Encoding.MULTIPART) -> Body:
    """The body of a call. Only one that carries a chunk leaves a choice; in base64 that is work for a thread."""
    if call.chunk is None:
        return Body("application/x-www-form-urlencoded", (_urlencoded(call.fields),))
    if encoding is Encoding.FORM:
        head = _urlencoded(call.fields) + b"&fileChunk="
        # Of base64's characters only the plus sign means something else in a form.
        return Body(
            "application/x-www-form-urlencoded",
            (head, binascii.b2a_base64(call.chunk, newline=False).replace(b"+", b"%2B")),
        )
    # 128 random bits: that the chunk contains the boundary by chance cannot happen within the age of the universe.
    boundary = f"asyncupload-{secrets.token_hex(16)}"
    head, tail = _multipart(call.fields, boundary)
    return Body(f"multipart/form-data; boundary={boundary}", (head, call.chunk, tail))


def _plain(name: str, value: str | Secret) -> bytes:
    try:
        return (value.reveal() if isinstance(value, Secret) else value).encode()
    except UnicodeEncodeError:
        raise UsageError(f"{name} has characters that are no text (undecodable bytes of a file's name?)") from None


def _urlencoded(fields: Fields) -> bytes:
    # Made into bytes first, where it can fail: the library's frames would show the values to a traceback with locals.
    pairs = [(name, _plain(name, value)) for name, value in fields]
    return "&".join(f"{name}={quote_plus(value)}" for name, value in pairs).encode("ascii")


def _multipart(fields: Fields, boundary: str) -> tuple[bytes, bytes]:
    """What stands before the chunk and after it. The chunk comes last, so the server knows all about it when it
    arrives."""
    text_parts = b"".join(
        f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n'.encode()
        + _plain(name, value)
        + b"\r\n"
        for name, value in fields
    )
    file_part = (
        f'--{boundary}\r\nContent-Disposition: form-data; name="fileChunk"; filename="chunk"\r\n'
        "Content-Type: application/octet-stream\r\n\r\n"
    )
    return text_parts + file_part.encode(), f"\r\n--{boundary}--\r\n".encode()


def understand(call: Call[T], answer: Answer) -> T:
    """What the server said to ``call``.

    Raises:
        ServerError: The server refused.
        ForeignReply: The answer is not the protocol's.
    """

    def hide(text: str) -> str:
        for secret in (value for _, value in call.fields if isinstance(value, Secret)):
            text = secret.blot(text)
        # A new ticket is as good as a password, and was in no request yet.
        return _TICKET.sub("•••", text) if call.operation == "AuthenticateUser" else text

    reply = _reply.read(call.operation, answer, hide)
    try:
        return call.read(reply)
    except ValueError as error:
        raise _reply.foreign(call.operation, answer, hide, f"says success, but {error}") from error


# ── operations ────────────────────────────────────────────────────────────────────────────────────────────────────────


class Login(NamedTuple):
    """Answer of AuthenticateUser."""

    ticket: Secret
    user: str


class Grant(NamedTuple):
    """Answer of CreateUploadHandler."""

    handler: str
    chunk_size: int


class Stored(NamedTuple):
    """Answer of a finalize call."""

    document_id: int | None
    version_id: int | None


class Info(NamedTuple):
    """Answer of GetDownloadInfo and GetDownloadHandler."""

    size: int
    crc32: int | None
    """None for content that the server renders anew."""
    handler: str = ""
    chunk_size: int = 0


class Piece(NamedTuple):
    """Answer of DownloadFileChunk."""

    data: bytes
    crc32: int


class Limits(NamedTuple):
    """Upload settings among the answer of GetGeneralAppSettings; None where the server does not say."""

    document_max_size: int | None
    default_chunk_size: int | None


def server_info() -> Call[str]:
    """The server's version; needs no ticket."""
    return Call("ServerInfo", (), lambda reply: reply.get("VersionNumber"))


def authenticate(user: str, password: Secret) -> Call[Login]:
    """A new session."""

    def read_login(reply: Reply) -> Login:
        return Login(Secret(_given(reply, "ticket")), reply.get("username", user))

    return Call("AuthenticateUser", (("UID", user), ("PWD", password)), read_login)


def log_out(ticket: Secret) -> Call[None]:
    """The end of a session."""
    return Call("LogOut", (("AuthenticationTicket", ticket),), _nothing)


def is_valid_ticket(ticket: Secret) -> Call[str]:
    """Whose session it is. Does not prolong it."""
    return Call("isValidTicket", (("AuthenticationTicket", ticket),), lambda reply: reply.get("username"))


def folder_exists(ticket: Secret, path: str) -> Call[None]:
    """Refused with NotFound where there is none."""
    return Call("FolderExists", (("authenticationTicket", ticket), ("Path", path)), _nothing)


def document_exists(ticket: Secret, path: str) -> Call[int | None]:
    """CRC-32 of the latest version; refused with NotFound where there is no document."""
    fields = (("authenticationTicket", ticket), ("Path", path))
    return Call("DocumentExists", fields, lambda reply: reply.crc("CRC32LASTVERSION"))


def general_settings(ticket: Secret) -> Call[Limits]:
    """Limits on uploads; any user may ask."""

    def read_limits(reply: Reply) -> Limits:
        found = (reply.child(name) for name in ("DocumentMaxSize", "DefaultUploadFileChunkSize"))
        return Limits(*(None if child is None else whole_number(child.text) for child in found))

    return Call("GetGeneralAppSettings", (("authenticationTicket", ticket),), read_limits)


class Document(NamedTuple):
    """What GetDocument tells."""

    document_id: int | None
    holder: str
    """Login name of the user who has it checked out; empty if nobody has."""


class Version(NamedTuple):
    """One of GetDocumentVersions."""

    number: int
    comment: str


def document(ticket: Secret, path: str) -> Call[Document]:
    """Who has the document checked out, and what the server calls it."""

    def read_document(reply: Reply) -> Document:
        found = reply.child("document")
        if found is None:
            raise ValueError("names no document")
        return Document(found.number("DocumentID"), found.get("CheckoutByUserName") or found.get("CheckoutBy"))

    flags = tuple((name, "false") for name in ("withPropertySets", "withSecurity", "withOwner", "withVersions"))
    return Call("GetDocument", (("AuthenticationTicket", ticket), ("Path", path), *flags), read_document)


def versions(ticket: Secret, path: str) -> Call[tuple[Version, ...]]:
    """The document's versions. Numbers are packed, and never to be computed."""

    def read_versions(reply: Reply) -> tuple[Version, ...]:
        found = ((version.number("Number"), version.child("Comment")) for version in reply.children("Version"))
        return tuple(
            Version(number, comment.text if comment else "") for number, comment in found if number is not None
        )

    return Call("GetDocumentVersions", (("AuthenticationTicket", ticket), ("Path", path)), read_versions)


def lock(ticket: Secret, path: str) -> Call[None]:
    """Checks the document out. Refused if anybody has it, its asker included: so a repeat must look who that is."""
    return Call("Lock", (("AuthenticationTicket", ticket), ("Path", path)), _nothing)


def unlock(ticket: Secret, path: str) -> Call[None]:
    """Gives the document back, as far as the asker has it."""
    fields = (("authenticationTicket", ticket), ("path", path), ("force", "false"))
    return Call("UnLock", fields, _nothing)


def create_handler(ticket: Secret, wish: int) -> Call[Grant]:
    """A staging place. A lost reply leaves an empty one behind, which the server removes by itself."""

    def read_grant(reply: Reply) -> Grant:
        return Grant(_given(reply, "UploadHandler"), _positive(reply, "ChunkSize"))

    fields = (("authenticationTicket", ticket), ("PreferedChunkSize", str(wish)))
    return Call("CreateUploadHandler", fields, read_grant)


def send_chunk(ticket: Secret, handler: str, chunk: Buffer, crc: int, *, last: bool) -> Call[int | None]:
    """Appends a chunk. The last one's answer may carry the CRC-32 of all that is staged; None where it does not."""
    fields = (
        ("authenticationTicket", ticket),
        ("uploadHandler", handler),
        ("chunkHEXCRC", _checksum.to_text(crc)),
        ("lastChunk", "true" if last else "false"),
    )
    return Call("UploadFileChunk", fields, lambda reply: reply.crc("filehexcrc"), LostReply.PROVE, chunk)


def probe_chunk(ticket: Secret, handler: str) -> Call[int | None]:
    """A chunk that no server appends, since its checksum is wrong on purpose: how it is refused tells whether the
    handler takes any more chunks."""
    wrong = _checksum.crc32(_PROBE) ^ 1
    return replace(send_chunk(ticket, handler, _PROBE, wrong, last=False), lost_reply=LostReply.REPEAT)


_PROBE = b"?"


def delete_handler(ticket: Secret, handler: str) -> Call[None]:
    """Discards what is staged. A success also when there was nothing."""
    return Call("DeleteUploadHandler", (("authenticationTicket", ticket), ("UploadHandler", handler)), _nothing)


def finalize(ticket: Secret, path: str, handler: str, comment: str) -> Call[Stored]:
    """Makes the document and consumes the handler. An empty comment would be an HTTP 400 on a strict server."""
    fields: Fields = (("authenticationTicket", ticket), ("path", path), ("uploadHandler", handler))
    if not comment:
        return Call("UploadDocumentWithHandler", fields, _read_stored, LostReply.ASK)
    fields += (("versionComments", comment),)
    return Call("UploadDocumentWithHandler1", fields, _read_stored, LostReply.ASK)


def finalize_new(ticket: Secret, folder: str, name: str, handler: str, comment: str) -> Call[Stored]:
    """Makes a document where there is none, and never a version of one that came in between. (The server's
    spelling.)"""
    fields = (
        ("authenticationTicket", ticket),
        ("folderPath", folder),
        ("documentName", name),
        ("uploadHandler", handler),
        ("xmlParameters", _parameters(VERSIONCOMMENT=comment)),
    )
    return Call("UploadNewDocumentWidthHandler", fields, _read_stored, LostReply.ASK)


def _parameters(**values: str) -> str:
    """The documented grammar of May 2026; empty it must still be a document, since "" is an HTTP 400 on a strict
    server."""
    items = "".join(f"<item NAME={quoteattr(n)} VALUE={quoteattr(v)}/>" for n, v in values.items() if v)
    return f"<xmlparameters>{items}</xmlparameters>"


def _read_stored(reply: Reply) -> Stored:
    return Stored(reply.number("DocumentId"), reply.number("VersionId"))


def download_info(ticket: Secret, path: str) -> Call[Info]:
    """Size and checksum of a stored document, without staging anything."""
    return Call("GetDownloadInfo", (("AuthenticationTicket", ticket), ("Path", path)), _read_info)


def open_download(ticket: Secret, path: str, wish: int) -> Call[Info]:
    """A handler to read a document by offset."""
    fields = (("AuthenticationTicket", ticket), ("Path", path), ("PreferedChunkSize", str(wish)))

    def read_handler(reply: Reply) -> Info:
        handler, size = _given(reply, "downloadhandler"), _positive(reply, "ChunkSize")
        return _read_info(reply)._replace(handler=handler, chunk_size=size)

    return Call("GetDownloadHandler", fields, read_handler)


def read_chunk(ticket: Secret, handler: str, offset: int, size: int) -> Call[Piece]:
    """Bytes of a document, from ``offset``."""
    fields = (
        ("authenticationTicket", ticket),
        ("DownloadHandler", handler),
        ("StartOffset", str(offset)),
        ("ChunkSize", str(size)),
    )

    def read_piece(reply: Reply) -> Piece:
        return Piece(binascii.a2b_base64(reply.text), _checksum.from_text(reply.get("chunkCRC32")))

    return Call("DownloadFileChunk", fields, read_piece)


def close_download(ticket: Secret, handler: str) -> Call[None]:
    """Lets go of a download handler. Twice is a success too."""
    fields = (("authenticationTicket", ticket), ("DownloadHandler", handler))
    return Call("DeleteDownloadHandler", fields, _nothing)


def _read_info(reply: Reply) -> Info:
    size = reply.number("Size")
    if size is None:
        raise ValueError("names no Size")
    return Info(size, reply.crc("CRC32"))


def _nothing(reply: Reply) -> None:  # noqa: ARG001  (success is all there is to know)
    return None


def _given(reply: Reply, name: str) -> str:
    value = reply.get(name)
    if not value:
        raise ValueError(f"gives no {name}")
    return value


def _positive(reply: Reply, name: str) -> int:
    value = reply.number(name)
    if not value:
        raise ValueError(f"gives no usable {name} ({reply.get(name)!r})")
    return value

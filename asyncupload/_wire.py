"""The server's words: each operation's fields, its answer, and what a lost reply means for it. No I/O.

Field names, attribute names and their spellings (``PreferedChunkSize``, ``DocumentId`` beside ``DocumentID``) are the
vendor's, from the public API pages; where those disagree, the reader here accepts every variant.
"""

from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime
from typing import NamedTuple
from xml.sax.saxutils import quoteattr

import pybase64

from . import _checksum
from ._body import Buffer, Fields
from ._call import Call, LostReply
from ._reply import Reply, whole_number
from ._secret import Secret
from .properties import NONE_GIVEN, Properties

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
    """Answer of GetDownloadHandler."""

    size: int
    crc32: int | None
    """None for content that the server renders anew."""
    handler: str
    chunk_size: int


class Piece(NamedTuple):
    """Answer of DownloadFileChunk."""

    data: bytes
    crc32: int


class Limits(NamedTuple):
    """Upload settings among the answer of GetGeneralAppSettings; None where the server does not say."""

    document_max_size: int | None
    default_chunk_size: int | None


class ServerInfo(NamedTuple):
    """Answer of ServerInfo."""

    version: str
    now: datetime | None
    """The server's clock; None if it does not tell, or not in a form that is known."""


def server_info() -> Call[ServerInfo]:
    """The server's version and clock; needs no ticket."""

    def read_info(reply: Reply) -> ServerInfo:
        return ServerInfo(reply.get("VersionNumber"), _moment(reply.get("Coordinated_Universal_Time")))

    return Call("ServerInfo", (), read_info)


def _moment(text: str) -> datetime | None:
    """A time as the server tells it: ``2026-03-31T18:00:00.000Z``, in UTC also without the last letter."""
    try:
        told = datetime.fromisoformat(text)
    except ValueError:
        return None
    return told if told.tzinfo else told.replace(tzinfo=UTC)


def authenticate(user: str, password: Secret) -> Call[Login]:
    """A new session."""
    return Call("AuthenticateUser", (("UID", user), ("PWD", password)), lambda reply: _read_login(reply, user))


def renew_ticket(user: str, password: Secret, ticket: Secret, *, language: bool = False) -> Call[Login]:
    """The session of a ticket that has expired, or, where the server cannot go on with it, a new one.

    Args:
        user: Login name.
        password: The user's; it is looked at each time.
        ticket: The session's.
        language: Whether to send the field for a language, empty.
    """
    lang: Fields = (("Lang", ""),) if language else ()
    fields: Fields = (("UID", user), ("PWD", password), *lang, ("OldTicket", ticket))
    return Call("RenewTicket", fields, lambda reply: _read_login(reply, user))


def _read_login(reply: Reply, user: str) -> Login:
    return Login(Secret(_given(reply, "ticket")), reply.get("username", user))


def log_out(ticket: Secret) -> Call[None]:
    """The end of a session."""
    return Call("LogOut", (("AuthenticationTicket", ticket),), _nothing)


def is_valid_ticket(ticket: Secret) -> Call[str]:
    """Whose session it is. Does not prolong it."""
    return Call("isValidTicket", (("AuthenticationTicket", ticket),), lambda reply: reply.get("username"))


def folder_exists(ticket: Secret, path: str) -> Call[None]:
    """Whether there is a folder: refused with NotFound where there is none."""
    return Call("FolderExists", (("authenticationTicket", ticket), ("Path", path)), _nothing)


def create_folder(ticket: Secret, path: str) -> Call[None]:
    """Makes every missing level but the library. Refused with AlreadyExists where the folder is there."""
    return Call("CreateFolder", (("authenticationTicket", ticket), ("Path", path)), _nothing)


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
    size: int | None = None
    """Bytes of the latest version."""


class Version(NamedTuple):
    """One of GetDocumentVersions."""

    number: int
    comment: str
    size: int | None = None
    """Bytes, where the server says."""
    created: datetime | None = None
    """By the server's clock, where it says."""


def latest(versions: Iterable[Version]) -> int | None:
    """The greatest number; None where there is no version. Without a number some servers give the published one."""
    return max((version.number for version in versions), default=None)


def document(ticket: Secret, path: str) -> Call[Document]:
    """Who has the document checked out, and what the server calls it."""

    def read_document(reply: Reply) -> Document:
        found = reply.child("document")
        if found is None:
            raise ValueError("names no document")
        holder = found.get("CheckoutByUserName") or found.get("CheckoutBy")
        return Document(found.number("DocumentID"), holder, found.number("Size"))

    flags = tuple((name, "false") for name in ("withPropertySets", "withSecurity", "withOwner", "withVersions"))
    return Call("GetDocument", (("AuthenticationTicket", ticket), ("Path", path), *flags), read_document)


def versions(ticket: Secret, path: str) -> Call[tuple[Version, ...]]:
    """The document's versions. Numbers are packed, and never to be computed."""

    def read_versions(reply: Reply) -> tuple[Version, ...]:
        found = ((version.number("Number"), version) for version in reply.children("Version"))
        return tuple(
            Version(
                number,
                _text(version, "Comment"),
                whole_number(_text(version, "VersionSize")),
                _moment(_text(version, "DateCreated")),
            )
            for number, version in found
            if number is not None
        )

    return Call("GetDocumentVersions", (("AuthenticationTicket", ticket), ("Path", path)), read_versions)


def _text(reply: Reply, name: str) -> str:
    """Of the first element of that name; empty where there is none."""
    found = reply.child(name)
    return found.text if found else ""


def lock(ticket: Secret, path: str) -> Call[None]:
    """Checks the document out. Refused if anybody has it, its asker included: so a repeat must look who that is."""
    return Call("Lock", (("AuthenticationTicket", ticket), ("Path", path)), _nothing, LostReply.ASK)


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


def send_chunk(
    ticket: Secret, handler: str, chunk: Buffer, crc: int, *, last: bool, padded: bool = False
) -> Call[int | None]:
    """Appends a chunk. The last one's answer may carry the CRC-32 of all that is staged; None where it does not."""
    fields = (
        ("authenticationTicket", ticket),
        ("uploadHandler", handler),
        ("chunkHEXCRC", _checksum.to_text(crc, padded=padded)),
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


def finalize(
    ticket: Secret, path: str, handler: str, comment: str, properties: Properties = NONE_GIVEN
) -> Call[Stored]:
    """Makes the document and consumes the handler, by the simplest operation that carries what is given.

    An empty comment would be an HTTP 400 on a strict server.
    """
    fields: Fields = (("authenticationTicket", ticket), ("path", path), ("uploadHandler", handler))
    number = properties.version
    if not properties.only_version or (number is not None and not comment):
        operation, fields = "UploadDocumentWithHandler3", (*fields, ("xmlParameters", _parameters(comment, properties)))
    elif number is not None:
        parts = zip(("mpVersionMajor", "mpVersionMinor", "mpVersionRevision"), map(str, number), strict=True)
        operation, fields = "UploadDocumentWithHandler2", (*fields, ("versionComments", comment), *parts)
    elif comment:
        operation, fields = "UploadDocumentWithHandler1", (*fields, ("versionComments", comment))
    else:
        operation = "UploadDocumentWithHandler"
    return Call(operation, fields, _read_stored, LostReply.ASK)


NO_HANDLER = "00000000-0000-0000-0000-000000000000"
"""A handler that no server has: a request with it does nothing, and how it is refused tells of the operation."""


def finalize_new(
    ticket: Secret, folder: str, name: str, handler: str, comment: str, properties: Properties = NONE_GIVEN
) -> Call[Stored]:
    """Makes a document where there is none, and never a version of one that came in between. (The server's
    spelling.)"""
    fields = (
        ("authenticationTicket", ticket),
        ("folderPath", folder),
        ("documentName", name),
        ("uploadHandler", handler),
        ("xmlParameters", _parameters(comment, properties)),
    )
    return Call("UploadNewDocumentWidthHandler", fields, _read_stored, LostReply.ASK)


class Unpacked(NamedTuple):
    """One entry of UploadZipWithHandler's log."""

    item: str
    error: str


def unpack(
    ticket: Secret, folder: str, handler: str, *, changed_only: bool, check_out: bool, notify: bool
) -> Call[tuple[Unpacked, ...]]:
    """Makes documents of the entries of a ZIP archive. Success says that all went well; a log may come either way."""
    flags = {"changedOnly": changed_only, "checkOutCheckIn": check_out, "sendEmail": notify}
    fields: Fields = (
        ("authenticationTicket", ticket),
        ("folderPath", folder),
        ("uploadHandler", handler),
        *((name, "true" if value else "false") for name, value in flags.items()),
    )
    return Call("UploadZipWithHandler", fields, _read_log, LostReply.ASK, partial=True)


def _read_log(reply: Reply) -> tuple[Unpacked, ...]:
    return tuple(Unpacked(_text(log, "item"), _text(log, "error")) for log in reply.children("log"))


_PUBLISH = {"server": "", "publish": "Publish", "dont": "DontPublish"}
_NOTIFY = {None: "", True: "TRUE", False: "FALSE"}


def _parameters(comment: str, given: Properties) -> str:
    """The documented grammar of May 2026; empty it must still be a document, since "" is an HTTP 400 on a strict
    server."""
    values = {
        "VERSIONCOMMENT": comment,
        "DESCRIPTION": given.description,
        "KEYWORDS": given.keywords,
        "TEXTONLYCONTENT": given.text,
        "CREATIONDATE": given.created.isoformat() if given.created else "",
        "MODIFICATIONDATE": given.modified.isoformat() if given.modified else "",
        "PUBLISHOPTION": _PUBLISH[given.publish],
        "SENDEMAILS": _NOTIFY[given.notify],
    }
    if given.version is not None:
        numbers = zip(("MPVERSIONMAJOR", "MPVERSIONMINOR", "MPVERSIONREVISION"), map(str, given.version), strict=True)
        values |= dict(numbers)
    items = "".join(f"<item NAME={quoteattr(n)} VALUE={quoteattr(v)}/>" for n, v in values.items() if v)
    return f"<xmlparameters>{items}</xmlparameters>"


def _read_stored(reply: Reply) -> Stored:
    return Stored(reply.number("DocumentId"), reply.number("VersionId"))


def open_download(ticket: Secret, path: str, wish: int, version: int | None = None) -> Call[Info]:
    """A handler to read a document by offset: the published version or else the latest, or the one given."""
    operation = "GetDownloadHandler"
    fields: Fields = (("AuthenticationTicket", ticket), ("Path", path), ("PreferedChunkSize", str(wish)))
    if version is not None:
        operation, fields = "GetDownloadHandlerByVersion", (*fields, ("VersionNumber", str(version)))

    def read_handler(reply: Reply) -> Info:
        handler, size = _given(reply, "downloadhandler"), _positive(reply, "ChunkSize")
        length = reply.number("Size")
        if length is None:
            raise ValueError("names no Size")
        return Info(length, reply.crc("CRC32"), handler, size)

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
    return Call("DeleteDownloadHandler", fields, _nothing)


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

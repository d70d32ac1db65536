"""The server's words: each operation's fields, its answer, and what a lost reply means for it. No I/O.

Field names, attribute names and their spellings (``PreferedChunkSize``, ``DocumentId`` beside ``DocumentID``) are the
vendor's, from the public API pages; where those disagree, the reader here accepts every variant.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from types import MappingProxyType
from typing import NamedTuple

from . import _checksum, _parameters
from ._body import Buffer, Fields
from ._call import Call, LostReply
from ._parameters import Grammar
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


class Limits(NamedTuple):
    """Upload settings, as GetGeneralAppSettings and its older kin tell them; None where the server does not say."""

    document_max_size: int | None
    default_chunk_size: int | None
    name: str = "DocumentMaxSize"
    """What the server calls the first."""


class ServerInfo(NamedTuple):
    """Answer of ServerInfo."""

    version: str
    now: datetime | None
    """The server's clock; None if it does not tell, or not in a form that is known."""


def server_info() -> Call[ServerInfo]:
    """The server's version and clock; needs no ticket."""

    def read_info(reply: Reply) -> ServerInfo:
        return ServerInfo(reply.get("VersionNumber"), moment(reply.get("Coordinated_Universal_Time")))

    return Call("ServerInfo", (), read_info)


def moment(text: str) -> datetime | None:
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
        return Limits(_number(reply, "DocumentMaxSize"), _number(reply, "DefaultUploadFileChunkSize"))

    return Call("GetGeneralAppSettings", (("authenticationTicket", ticket),), read_limits)


def application_parameters(ticket: Secret) -> Call[Limits]:
    """The same on servers of before, as far as they tell it to any user."""

    def read_limits(reply: Reply) -> Limits:
        return Limits(_number(reply, _LIMIT), None, _LIMIT)

    return Call("getApplicationParameters", (("AuthenticationTicket", ticket),), read_limits)


_LIMIT = "FILEUPLOADLIMIT"
"""In bytes, like DocumentMaxSize; 0 for none."""


def folder_rules(ticket: Secret, path: str) -> Call[dict[str, str]]:
    """What may be put into a folder: the rules by their names in lower case."""

    def read_rules(reply: Reply) -> dict[str, str]:
        return {rule.get("Name").lower(): rule.get("Value") for rule in reply.children("Rule")}

    return Call("GetFolderRules", (("authenticationTicket", ticket), ("Path", path)), read_rules)


class Document(NamedTuple):
    """What GetDocument tells."""

    document_id: int | None
    holder: str
    """Login name of the user who has it checked out; empty if nobody has."""
    size: int | None = None
    """Bytes of the latest version."""
    told: Mapping[str, str] = MappingProxyType({})
    """``description``, ``keywords``, and the dates ``created`` and ``modified``, as far as the server says."""


class Version(NamedTuple):
    """One of GetDocumentVersions."""

    number: int
    comment: str
    size: int | None = None
    """Bytes, where the server says."""
    created: datetime | None = None
    """By the server's clock, where it says."""
    published: bool | None = None
    """None where the server does not say."""


_TOLD = {
    "description": "Description",
    "keywords": "Keywords",
    "created": "CreationDate",
    "modified": "ModificationDate",
}


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
        told = {name: found.get(given) for name, given in _TOLD.items() if found.has(given)}
        return Document(found.number("DocumentID"), holder, found.number("Size"), told)

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
                moment(_text(version, "DateCreated")),
                None if version.child("DatePublished") is None else bool(_text(version, "DatePublished")),
            )
            for number, version in found
            if number is not None
        )

    return Call("GetDocumentVersions", (("AuthenticationTicket", ticket), ("Path", path)), read_versions)


def _text(reply: Reply, name: str) -> str:
    """Of the first element of that name; empty where there is none."""
    found = reply.child(name)
    return found.text if found else ""


def _number(reply: Reply, name: str) -> int | None:
    return whole_number(_text(reply, name))


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
    ticket: Secret,
    path: str,
    handler: str,
    comment: str,
    properties: Properties = NONE_GIVEN,
    *,
    missing: Collection[str] = (),
    grammar: Grammar = Grammar.ITEM,
) -> Call[Stored]:
    """Makes the document and consumes the handler, by the simplest operation that carries what is given, of those that
    are not ``missing``."""
    fields: Fields = (("authenticationTicket", ticket), ("path", path), ("uploadHandler", handler))
    operation = next(name for name in _parameters.operations(comment, properties) if name not in missing)
    if operation == _parameters.PARAMETERS:
        fields = (*fields, ("xmlParameters", _parameters.written(comment, properties, grammar)))
    elif operation != _parameters.PLAIN:
        fields = (*fields, ("versionComments", comment))
    if operation == _parameters.NUMBER and properties.version is not None:
        names = ("mpVersionMajor", "mpVersionMinor", "mpVersionRevision")
        fields = (*fields, *zip(names, map(str, properties.version), strict=True))
    return Call(operation, fields, _read_stored, LostReply.ASK)


NO_HANDLER = "00000000-0000-0000-0000-000000000000"
"""A handler that no server has: a request with it does nothing, and how it is refused tells of the operation."""


def finalize_new(
    ticket: Secret,
    folder: str,
    name: str,
    handler: str,
    comment: str,
    properties: Properties = NONE_GIVEN,
    *,
    grammar: Grammar = Grammar.ITEM,
) -> Call[Stored]:
    """Makes a document where there is none, and never a version of one that came in between. (The server's
    spelling.)"""
    fields = (
        ("authenticationTicket", ticket),
        ("folderPath", folder),
        ("documentName", name),
        ("uploadHandler", handler),
        ("xmlParameters", _parameters.written(comment, properties, grammar)),
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


def _read_stored(reply: Reply) -> Stored:
    return Stored(reply.number("DocumentId"), reply.number("VersionId"))


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

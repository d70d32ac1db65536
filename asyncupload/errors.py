"""What can go wrong, and what each error knows about it.

    AsyncUploadError
    ├── UsageError                  what was asked for cannot work: a URL, a setting, a destination (also a ValueError)
    ├── SourceError                 the local side
    │   ├── SourceMissing           nothing stands at the path
    │   ├── NotAFile                a directory, a device, a pipe where a file is needed
    │   ├── SourceUnreadable        no permission, a failing disk
    │   ├── EmptySource             the protocol cannot carry an empty document
    │   └── SourceChanged           the bytes were not the same from beginning to end
    ├── TargetUnwritable            the file of a download, a report or a ledger cannot be written
    ├── TransportError              no reply that could be read
    │   ├── ConnectFailed           no connection came about
    │   │   └── TLSFailed           the other side could not prove who it is
    │   ├── ConnectionLost          a connection broke before the reply was there
    │   ├── TimedOut                the reply did not come in time
    │   ├── ChunkDamaged            a downloaded chunk has another checksum than the server says
    │   └── ForeignReply            something answered, but not in the protocol's words
    │       └── Redirected          ... it points elsewhere; a ticket is never carried there
    ├── ServerError                 the server answered, and said no
    │   ├── LoginRefused            user name or password
    │   ├── TicketRefused           the ticket is unknown or has expired
    │   ├── AccessDenied            the user lacks a right, or the folder's rules forbid it
    │   │   └── RuleViolated        by a limit or a folder's rule that it tells, and nothing was sent
    │   ├── NotFound                no such folder or document, or not visible to this user
    │   ├── AlreadyExists           a document has that name
    │   ├── CheckedOut              somebody else is working on the document
    │   ├── HandlerLost             the server no longer knows the upload handler
    │   └── ChunkRefused            the chunk arrived damaged, says the server
    ├── ChecksumMismatch            what the server holds is not what was sent
    ├── OutcomeUnknown              nobody can tell whether the document was stored: look before sending it again
    │   ├── StoredDifferently       it was, and is not what was sent
    │   └── StoredTwice             it was, as two versions
    ├── OperationMissing            the server has no operation for it: it is an older one, or another one
    ├── JournalError                the journal of a bulk load cannot be read or written: nothing more may be sent
    └── LeaseLost                   somebody else has taken a file of a bulk load over

Every error carries ``outcome`` (what became of the request that failed), ``transient`` (whether the same request may
succeed when it is sent again), ``retry_after`` (the server's own wish, in seconds) and ``left`` (what could not be
cleaned up on the server).
"""

from dataclasses import dataclass
from enum import Enum
from typing import Literal


class Outcome(Enum):
    """What is known of a request that has ended."""

    NOT_APPLIED = "not applied"
    """The server has certainly not acted on it: the same bytes may go again."""

    UNKNOWN = "unknown"
    """It may or may not have been acted on: a blind repeat can double data, going on can lose it."""

    APPLIED = "applied"
    """The server acted on it and said so."""


ANSWERED = 8
"""Attempts at a request that the server does answer, and in vain. Time heals a line, but seldom an answer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Leftover:
    """Something that an upload or a download had to leave on the server."""

    kind: Literal["handler", "checkout", "download"]
    """An upload handler with what is staged in it, a check-out, which keeps others from the document, or a download
    handler, which the server forgets by itself."""
    name: str
    """The handler's GUID, or the path of the document."""
    reason: str
    """Why it is left."""
    remedy: str
    """What to do about it."""

    def __str__(self) -> str:
        what = {"handler": "upload handler", "checkout": "check-out of", "download": "download handler"}[self.kind]
        return f"left on the server: {what} {self.name} ({self.reason}); {self.remedy}"


class AsyncUploadError(Exception):
    """Root of every error that this package raises on purpose.

    Args:
        message: What went wrong, where, and what to do about it.
        outcome: What became of the failed request; the class's own default if None.
        retry_after: Seconds that the server asked to be left alone, if it did.
    """

    outcome: Outcome = Outcome.NOT_APPLIED
    transient: bool = False
    retry_after: float | None = None
    most_attempts: int | None = None
    """How often a request that fails like this is sent at most, however much time is left; None for no such limit."""
    first_contact: bool = False
    """Whether the server had not answered a single time before: its address may be mistyped."""
    left: tuple[Leftover, ...] = ()

    def __init__(self, message: str, *, outcome: Outcome | None = None, retry_after: float | None = None) -> None:
        super().__init__(message)
        if outcome is not None:
            self.outcome = outcome
        if retry_after is not None:
            self.retry_after = retry_after

    def __reduce__(self) -> tuple[object, ...]:
        """Errors cross to other processes, where the arguments that a class demands by name are not at hand."""
        return (_anew, (type(self), self.args), self._state())

    def _state(self) -> dict[str, object]:
        """What there is besides the arguments. A copy has a list of notes of its own."""
        notes = getattr(self, "__notes__", None)
        return {**self.__dict__, "__notes__": [*notes]} if notes is not None else self.__dict__


def _anew(kind: type[AsyncUploadError], args: tuple[object, ...]) -> AsyncUploadError:
    error = kind.__new__(kind, *args)
    error.args = args  # one that is an OSError too does not take them from there
    return error


class UsageError(AsyncUploadError, ValueError):
    """What was asked for cannot work, whatever the server says."""


class SourceError(AsyncUploadError):
    """The bytes to send could not be had."""


class SourceMissing(SourceError):
    """Nothing stands at the given path."""


class NotAFile(SourceError):
    """The path names a directory, a device, a socket or a pipe."""


class SourceUnreadable(SourceError):
    """The operating system refused to hand out the bytes; the cause is chained."""


class EmptySource(SourceError):
    """The source holds no bytes: the protocol has no empty chunk, and so no empty document."""


class SourceChanged(SourceError):
    """The source shrank, grew, was replaced or rewritten while it was read, or differs from its declared size."""


class TargetUnwritable(AsyncUploadError):
    """The operating system refused to take the bytes of a download, a report or a ledger; the cause is chained."""


class TransportError(AsyncUploadError):
    """No reply that could be read."""

    transient = True


class ConnectFailed(TransportError):
    """No connection came about, so nothing was sent."""


class TLSFailed(ConnectFailed):
    """The TLS handshake failed: another try would fail alike."""

    transient = False


class ConnectionLost(TransportError):
    """The connection broke before a reply was read."""


class TimedOut(TransportError, TimeoutError):
    """No reply within the time allowed for it."""


class ChunkDamaged(TransportError):
    """A chunk of a download arrived with other bytes than the server checksummed. It can be asked for again."""

    most_attempts = ANSWERED


class ForeignReply(TransportError):
    """An answer that is not the protocol's: a proxy's page, a login form, half an XML document.

    Attributes:
        status: The HTTP status.
        excerpt: The first 2 KiB of the body as text, secrets of the request blotted out.
        of_all: Whether a small request that has nothing to do with this one was not understood either at that moment:
            then it is no matter of what was asked, and passes with whatever stands in the way.
    """

    of_all: bool = False

    def __init__(
        self,
        message: str,
        *,
        status: int,
        excerpt: str = "",
        outcome: Outcome | None = None,
        transient: bool = False,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(message, outcome=outcome, retry_after=retry_after)
        self.status = status
        self.excerpt = excerpt
        self.transient = transient


class Redirected(ForeignReply):
    """A 3xx: followed, it would turn the POST into an empty GET, or carry the ticket to another host."""


class ServerError(AsyncUploadError):
    """The server understood the request and refused it.

    Attributes:
        operation: The server's name of the operation.
        code: The server's ``errorCode`` (an HTTP-like status times ten), or None where it gave none.
        text: The server's own words, in the language of its session.
    """

    def __init__(
        self,
        message: str,
        *,
        operation: str = "",
        code: int | None = None,
        text: str = "",
        outcome: Outcome | None = None,
    ) -> None:
        super().__init__(message, outcome=outcome)
        self.operation = operation
        self.code = code
        self.text = text

    @property
    def unexpected(self) -> bool:
        """Whether it reads like an exception inside the server, which tells nothing of how far it had come."""
        return self.text.startswith("SystemError") or (self.code is not None and self.code >= 5000)


class LoginRefused(ServerError):
    """User name or password were not accepted. Not tried again but after a wait that grows: accounts get locked that
    way.

    Attributes:
        certain: Whether nothing else is to be expected: they were never accepted, or were refused twice, some time
            apart. A directory that is away refuses a good password, too.
    """

    certain: bool = True


class TicketRefused(ServerError):
    """The ticket is unknown to the server, or has expired.

    Attributes:
        generation: Which of the client's tickets it was, counting from 0: one replaced meanwhile needs no login.
        certain: Whether nothing else is to be expected: it was never accepted, or was refused twice, some time apart.
    """

    generation: int = 0
    certain: bool = True


class AccessDenied(ServerError):
    """The user lacks the right, or the folder's rules forbid it."""


class RuleViolated(AccessDenied):
    """What the server says of its settings, or of the folder's rules, forbids this document: found out before it was
    sent, or, of a stream, before it was too large.

    Attributes:
        rule: The server's name of the rule, as ``AllowableFileTypes``, ``NewDocuments`` or ``DocumentMaxSize``.
        limit: What it allows, in the server's words. Sizes are in bytes.
        value: What the document has instead.
    """

    def __init__(self, message: str, *, rule: str = "", limit: str = "", value: str = "") -> None:
        super().__init__(message)
        self.rule = rule
        self.limit = limit
        self.value = value


class NotFound(ServerError):
    """No such folder or document, or the user may not see it."""


class AlreadyExists(ServerError):
    """A document of that name stands at the destination."""


class CheckedOut(ServerError):
    """Somebody else has the document checked out, so no version can be added to it.

    Attributes:
        by: The user's login name, as the server tells it.
    """

    def __init__(self, message: str, *, by: str = "") -> None:
        super().__init__(message)
        self.by = by


class HandlerLost(ServerError):
    """The server does not know the upload handler (any more): expired, consumed or forgotten."""


class ChunkRefused(ServerError):
    """The server computed another checksum over the chunk and did not append it."""

    transient = True
    most_attempts = ANSWERED


class ChecksumMismatch(AsyncUploadError):
    """What the server holds has another CRC-32 than what was sent.

    Attributes:
        expected: CRC-32 of the bytes that were read here.
        found: CRC-32 that the server computed.
    """

    def __init__(self, message: str, *, expected: int, found: int) -> None:
        super().__init__(message)
        self.expected = expected
        self.found = found


class OutcomeUnknown(AsyncUploadError):
    """The request to store the document left, and no readable reply came: it may or may not be stored."""

    outcome = Outcome.UNKNOWN


class StoredDifferently(OutcomeUnknown):
    """A document was made, and it is not what was sent: look at it before anybody relies on it.

    Attributes:
        expected: CRC-32 of the bytes that were sent.
        found: CRC-32 of what is stored; it may be the same, where only the size tells.
    """

    def __init__(self, message: str, *, expected: int = 0, found: int = 0) -> None:
        super().__init__(message)
        self.expected = expected
        self.found = found


class StoredTwice(OutcomeUnknown):
    """Two versions were made of one upload: a request to store that had to count as lost came about as well.

    Attributes:
        versions: The packed numbers of the versions, from the oldest. All of them hold the bytes that were sent.
    """

    def __init__(self, message: str, *, versions: tuple[int, ...] = ()) -> None:
        super().__init__(message)
        self.versions = versions


class OperationMissing(AsyncUploadError):
    """The server has no operation for what was asked, and none that could take its place.

    Attributes:
        operation: The server's name of the one that is missing.
    """

    def __init__(self, message: str, *, operation: str = "") -> None:
        super().__init__(message)
        self.operation = operation


class JournalError(AsyncUploadError):
    """The journal of a bulk load cannot be read or written. What cannot be recorded must not be sent."""


class LeaseLost(AsyncUploadError):
    """Somebody else has claimed the file since, or it has ended: stop working on it, and make no document."""

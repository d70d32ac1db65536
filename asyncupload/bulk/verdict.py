"""What a failed upload means for its row, and for the load. Pure."""

import errno
from enum import Enum

from asyncupload.errors import (
    AccessDenied,
    AlreadyExists,
    AsyncUploadError,
    ConnectFailed,
    EmptySource,
    ForeignReply,
    LoginRefused,
    NotAFile,
    NotFound,
    OperationMissing,
    OutcomeUnknown,
    Redirected,
    ServerError,
    SourceMissing,
    SourceUnreadable,
    StoredDifferently,
    StoredTwice,
    TicketRefused,
    TLSFailed,
    TransportError,
    UsageError,
)


class Verdict(Enum):
    """What to do."""

    AGAIN = "it is tried again later, and counted"
    TROUBLE = "the server, or the way to it, is in trouble: this may be no fault of the file's"
    ASK_LATER = "nobody knows whether it is stored: the server is asked again later"
    GIVE_UP = "another attempt would end alike"
    SKIP = "it cannot be sent at all, and is left out"
    STOP = "no other file would fare better"


_GATEWAY_REFUSALS = frozenset({401, 403, 407})
"""By something between us and the server. For one file it may be its content; for a request without any it is us."""

_BY_KIND: tuple[tuple[type[AsyncUploadError], Verdict], ...] = (
    (EmptySource, Verdict.SKIP),
    (UsageError, Verdict.GIVE_UP),
    (SourceMissing, Verdict.GIVE_UP),
    (NotAFile, Verdict.GIVE_UP),
    (AccessDenied, Verdict.GIVE_UP),
    (NotFound, Verdict.GIVE_UP),
    (OperationMissing, Verdict.GIVE_UP),
    (AlreadyExists, Verdict.GIVE_UP),
    (StoredDifferently, Verdict.GIVE_UP),
    (StoredTwice, Verdict.GIVE_UP),
    (OutcomeUnknown, Verdict.ASK_LATER),
    # Also one that is not worth another request at once, as when a server was never reached: it must not cost the
    # files their attempts.
    (TransportError, Verdict.TROUBLE),
)
"""The first kind that fits. What the error itself must be asked about comes before and after."""


def verdict(error: AsyncUploadError) -> Verdict:
    """The meaning of ``error``, with which the upload of one file ended."""
    if isinstance(error, SourceUnreadable) and _forbidden(error):
        return Verdict.GIVE_UP
    if isinstance(error, LoginRefused | TicketRefused):
        return Verdict.STOP if error.certain else Verdict.TROUBLE
    if isinstance(error, TLSFailed | Redirected):
        return Verdict.STOP if error.first_contact else Verdict.TROUBLE
    for kind, found in _BY_KIND:
        if isinstance(error, kind):
            return found
    return Verdict.TROUBLE if isinstance(error, ServerError) and error.unexpected else Verdict.AGAIN


def stops(error: AsyncUploadError) -> bool:
    """Whether ``error``, with which a request ended that has nothing to do with any file, ends the load: a server that
    was understood before is waited for, whatever it says now, but for what is certain."""
    refused = isinstance(error, ForeignReply) and error.status in _GATEWAY_REFUSALS and error.first_contact
    return refused or verdict(error) is Verdict.STOP


def blames_nobody(error: Exception) -> bool:
    """Whether what a file met cannot be its own fault, though the server answers again by now."""
    refused_to_all = isinstance(error, ForeignReply) and error.of_all
    return refused_to_all or isinstance(error, ConnectFailed | Redirected | LoginRefused | TicketRefused)


def _forbidden(error: BaseException | None) -> bool:
    while error is not None:
        if isinstance(error, OSError) and error.errno in {errno.EACCES, errno.EPERM}:
            return True
        error = error.__cause__
    return False

"""Brings files into an infoRouter document server: in order, CRC-checked, in bounded memory, exactly once."""

from importlib import import_module

TYPE_CHECKING = False  # typing's own takes as long to import as all else here
if TYPE_CHECKING:
    from ._check import ServerReport
    from .checkpoints import Checkpoints, Commit
    from .client import Client
    from .errors import (
        AccessDenied,
        AlreadyExists,
        AsyncUploadError,
        CheckedOut,
        ChecksumMismatch,
        ChunkDamaged,
        ChunkRefused,
        ConnectFailed,
        ConnectionLost,
        EmptySource,
        ForeignReply,
        HandlerLost,
        JournalError,
        LeaseLost,
        Leftover,
        LoginRefused,
        NotAFile,
        NotFound,
        OperationMissing,
        Outcome,
        OutcomeUnknown,
        Redirected,
        RuleViolated,
        ServerError,
        SourceChanged,
        SourceError,
        SourceMissing,
        SourceUnreadable,
        StoredDifferently,
        StoredTwice,
        TargetUnwritable,
        TicketRefused,
        TimedOut,
        TLSFailed,
        TransportError,
        UsageError,
    )
    from .events import (
        ChunkReceived,
        ChunkRetried,
        ChunkSent,
        Committing,
        Downloaded,
        Event,
        Failed,
        HandlerOpened,
        Listener,
        Observer,
        Receipt,
        Restarted,
        Stored,
        StoredDocument,
        Times,
        Unpacked,
        UnpackedItem,
        Verified,
        Waiting,
    )
    from .properties import Properties, VersionNumber
    from .settings import Loss, Retries, Settings, Timeouts
    from .sources import BytesSource, FileSource, IteratorSource, PathSource, Source

__version__ = "0.1.0"

__all__ = [
    "AccessDenied",
    "AlreadyExists",
    "AsyncUploadError",
    "BytesSource",
    "CheckedOut",
    "Checkpoints",
    "ChecksumMismatch",
    "ChunkDamaged",
    "ChunkReceived",
    "ChunkRefused",
    "ChunkRetried",
    "ChunkSent",
    "Client",
    "Commit",
    "Committing",
    "ConnectFailed",
    "ConnectionLost",
    "Downloaded",
    "EmptySource",
    "Event",
    "Failed",
    "FileSource",
    "ForeignReply",
    "HandlerLost",
    "HandlerOpened",
    "IteratorSource",
    "JournalError",
    "LeaseLost",
    "Leftover",
    "Listener",
    "LoginRefused",
    "Loss",
    "NotAFile",
    "NotFound",
    "Observer",
    "OperationMissing",
    "Outcome",
    "OutcomeUnknown",
    "PathSource",
    "Properties",
    "Receipt",
    "Redirected",
    "Restarted",
    "Retries",
    "RuleViolated",
    "ServerError",
    "ServerReport",
    "Settings",
    "Source",
    "SourceChanged",
    "SourceError",
    "SourceMissing",
    "SourceUnreadable",
    "Stored",
    "StoredDifferently",
    "StoredDocument",
    "StoredTwice",
    "TLSFailed",
    "TargetUnwritable",
    "TicketRefused",
    "TimedOut",
    "Timeouts",
    "Times",
    "TransportError",
    "Unpacked",
    "UnpackedItem",
    "UsageError",
    "Verified",
    "VersionNumber",
    "Waiting",
    "__version__",
]

_WORDS = ("errors", "events", "settings", "properties", "checkpoints")

_ON_FIRST_USE = {
    "Client": "client",
    "ServerReport": "_check",
    "BytesSource": "sources",
    "FileSource": "sources",
    "IteratorSource": "sources",
    "PathSource": "sources",
    "Source": "sources",
}
"""The rooms of names that are not among the words."""


def __getattr__(name: str) -> object:
    """Import what takes long (aiohttp) only for those who use it: ``asyncupload --help`` does not.

    ``from asyncupload import Client`` imports it there and then, which is better done before the event loop runs. The
    words come late too, so that a command heeds signals from its first moments.
    """
    if name in _WORDS:
        return import_module(f".{name}", __name__)
    for room in (_ON_FIRST_USE[name],) if name in _ON_FIRST_USE else _WORDS if name in __all__ else ():
        value: object = getattr(import_module(f".{room}", __name__), name, None)
        if value is not None:
            globals()[name] = value
            return value
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

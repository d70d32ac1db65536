"""Brings files into an infoRouter document server: in order, CRC-checked, in bounded memory, exactly once."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from .checkpoints import Checkpoints, Commit
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
    Outcome,
    OutcomeUnknown,
    Redirected,
    ServerError,
    SourceChanged,
    SourceError,
    SourceMissing,
    SourceUnreadable,
    StoredDifferently,
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
)
from .properties import Properties, VersionNumber
from .settings import Loss, Retries, Settings, Timeouts

if TYPE_CHECKING:
    from ._check import ServerReport
    from .client import Client
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
    "Outcome",
    "OutcomeUnknown",
    "PathSource",
    "Properties",
    "Receipt",
    "Redirected",
    "Restarted",
    "Retries",
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
    "__version__",
]

_ON_FIRST_USE = {
    "Client": "client",
    "ServerReport": "_check",
    "BytesSource": "sources",
    "FileSource": "sources",
    "IteratorSource": "sources",
    "PathSource": "sources",
    "Source": "sources",
}


def __getattr__(name: str) -> Any:
    """Import what takes long (aiohttp) only for those who use it: ``asyncupload --help`` does not.

    ``from asyncupload import Client`` imports it there and then, which is better done before the event loop runs.
    """
    if name not in _ON_FIRST_USE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f".{_ON_FIRST_USE[name]}", __name__), name)
    globals()[name] = value
    return value

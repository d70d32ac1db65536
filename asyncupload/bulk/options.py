"""What the user may choose about a load of many files."""

from dataclasses import dataclass

from asyncupload._place import IfExists
from asyncupload.errors import UsageError
from asyncupload.settings import MIB

from .owners import LONGEST_LEASE
from .rows import Row

LONGEST_WAIT = 3600.0
"""Seconds between two attempts for one file, at most."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadOptions:
    """How to load.

    Raises:
        UsageError: A value is out of range.
    """

    if_exists: IfExists = "skip"
    """With a document that is there: ``skip`` it if it is equal and add a version otherwise, always add a ``version``,
    or ``fail``."""

    files: int = 16
    """Files in flight at most, at least 1. A load begins with four and takes more as long as that helps."""

    memory: int = 96 * MIB
    """Bytes of file content that all files in flight hold at most, those kept for retries included."""

    limit_rate: int | None = None
    """Bytes per second that are read, and so sent, at most; None for no limit."""

    sha256: bool = False
    """Whether to compute SHA-256 of every file, in the same pass."""

    check_source: frozenset[str] | None = None
    """By what a file is held to be the same while it is read, of ``size``, ``mtime`` and ``inode``; None for all that
    its mount keeps."""

    notify: bool = False
    """Whether the server sends e-mails to those who subscribed: for two million files, better not."""

    attempts: int = 5
    """Attempts for one file, counted over all runs, before it is given up; at least 1."""

    retry_after: float = 30.0
    """Seconds until a file that failed is tried again; doubled with each further attempt, up to an hour."""

    lease: float = 60.0
    """Seconds after which another process may take over what this one has begun, if nothing is heard of it; at most a
    day. One of the same machine that sees that this one has ended does so at once."""

    give_up_after: float = 3600.0
    """Seconds without any success, while the server is in trouble, or the source is gone, empty or stale, after which
    the load ends. It can be resumed."""

    def if_exists_for(self, row: Row) -> IfExists:
        """What to do about a document that stands at a row's destination: it may be what an earlier run has stored."""
        if not row.doubtful:
            return self.if_exists
        return "same" if self.if_exists == "fail" else "skip"

    def __post_init__(self) -> None:
        for name in ("files", "memory", "attempts", "lease", "retry_after", "give_up_after"):
            if getattr(self, name) <= 0:
                raise UsageError(f"{name} must be more than 0")
        if self.lease > LONGEST_LEASE:
            raise UsageError(f"lease must be at most {LONGEST_LEASE:.0f} seconds, a day")
        if self.limit_rate is not None and self.limit_rate <= 0:
            raise UsageError("limit_rate must be more than 0")

    def wait_after(self, attempts: int) -> float:
        """Seconds until a file is tried again that has failed so often, at least once."""
        return min(self.retry_after * 2.0 ** min(attempts - 1, 20), LONGEST_WAIT)

"""The words of a bulk load: what the plan says about a file, where its row stands, and which moves it may make."""

import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType


class State(StrEnum):
    """Where a row stands. A row that has not ended when a run stops is reported as cancelled, which is no state."""

    PLANNED = "planned"
    """To be sent, by whoever claims it."""

    SENDING = "sending"
    """Claimed: somebody is at it, or was when the process died."""

    COMMITTING = "committing"
    """The request that makes the document is about to leave, or has left: ask the server before sending again."""

    STORED = "stored"
    """A document was made, and it is what was read."""

    UNCHANGED = "unchanged"
    """An equal document stood there already."""

    SKIPPED = "skipped"
    """Left out on purpose; the reason says why."""

    FAILED = "failed"
    """Given up; the reason says why."""


ENDED = frozenset({State.STORED, State.UNCHANGED, State.SKIPPED, State.FAILED})
"""States in which nothing is left to do. Every row of a finished run is in exactly one of them."""

LEASED = frozenset({State.SENDING, State.COMMITTING})
"""States in which a row belongs to its owner until the lease is over."""

MOVES: Mapping[State, frozenset[State]] = MappingProxyType(
    {
        State.PLANNED: frozenset({State.SENDING, State.SKIPPED, State.FAILED}),
        # Back to planned: given back. A lease that is over leaves the row where it is, for its next owner to find.
        State.SENDING: frozenset({State.PLANNED, State.COMMITTING, State.UNCHANGED, State.SKIPPED, State.FAILED}),
        # Back to planned: the server was asked, and the document is not there. The request may leave again.
        State.COMMITTING: frozenset({State.COMMITTING, State.STORED, State.PLANNED, State.FAILED}),
        # Back to planned: the file is another one now, or a retry was asked for.
        State.STORED: frozenset({State.PLANNED}),
        State.UNCHANGED: frozenset({State.PLANNED}),
        State.SKIPPED: frozenset({State.PLANNED}),
        State.FAILED: frozenset({State.PLANNED}),
    }
)
"""From each state, the states that a row may go to."""


def origins(there: State) -> frozenset[State]:
    """The states from which a row may go ``there``."""
    return frozenset(here for here, allowed in MOVES.items() if there in allowed)


@dataclass(frozen=True, slots=True, kw_only=True)
class Metadata:
    """What a new document is to be given besides its bytes. An empty text is not sent."""

    version_comment: str = ""
    description: str = ""
    keywords: str = ""
    created: str = ""
    """A date, as yyyy-mm-dd."""
    modified: str = ""
    """A date, as yyyy-mm-dd."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """What the plan says about one file."""

    source: bytes
    """The path as the operating system has it (``os.fsencode``), as it will be opened. With the destination it is the
    key of a row: one file may be sent to several places."""
    destination: str
    """``/Library/Folder/Name.ext`` in Unicode's composed form (NFC); empty if ``problem`` prevents one."""
    size: int | None
    """Bytes; None if nobody could tell."""
    mtime_ns: int | None
    """When it was last written, in nanoseconds since 1970; None if nobody could tell."""
    line: int = 0
    """Of the manifest, counted from 1; 0 for a file of a tree."""
    metadata: Metadata = Metadata()
    problem: str = ""
    """Why it is never sent. Empty: it is."""
    fatal: bool = False
    """Whether ``problem`` makes the row FAILED rather than SKIPPED."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What is known of a document when its row ends."""

    document_id: int | None = None
    version_id: int | None = None
    crc32: int | None = None
    """Of the bytes that were read."""
    sha256: str = ""
    """Of the bytes that were read, in hexadecimal digits; empty if it was not asked for."""
    sent: int = 0
    """Bytes that left, resent ones included."""
    seconds: float = 0.0


NO_FACTS = Facts()
"""Nothing is known."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One file of a bulk load, and what became of it so far."""

    id: int
    """Counted from 1 in the order of planning."""
    item: Item
    state: State
    reason: str = ""
    """Why it was skipped, failed, or was given back the last time."""
    attempts: int = 0
    """How many times it was given back as a failed attempt, over all runs since it was planned or retried."""
    due: float = 0.0
    """In seconds since 1970. Planned: not to be claimed before then. Sending or committing: the end of its lease.

    Ended: when that was; 0 if it was planned that way. Of two rows in one state, the one that ended later has the
    greater time, whatever the clock did."""
    owner: str = ""
    """Who claimed it last."""
    fence: int = 0
    """How many times it was claimed. Whoever holds a smaller number has lost it."""
    handler: str = ""
    """The server's upload handler that may still stand: the next owner deletes it."""
    checked_out: bool = False
    """Whether the document may have been left checked out by an earlier owner."""
    commit: str = ""
    """JSON: what is needed to ask the server whether the last finalize made the document. Kept by a row that failed
    without an answer, through a retry; gone when it has been answered or the file is another one."""
    facts: Facts = NO_FACTS
    doubtful: bool = False
    """Whether the queue may have missed what became of it, as one that took the place of a damaged one, or was restored
    from a copy: it may be stored already, and is to be compared with what stands at its destination."""

    @property
    def ended(self) -> float | None:
        """When it ended, in seconds since 1970; None if it has not, or was never to be sent."""
        return self.due or None if self.state in ENDED else None


def fold(destination: str) -> str:
    """The same text for all destinations that are one on the server: upper or lower case, composed or not.

    Source: Unicode 15, D145 (canonical caseless match).
    """
    if destination.isascii():  # most are, and there are millions of them
        return destination.lower()
    return unicodedata.normalize("NFC", unicodedata.normalize("NFD", destination).casefold())

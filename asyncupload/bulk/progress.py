"""How far a load is, and how it ended: what is shown of it."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum

from .queue import Tally
from .rows import ENDED, State


class Phase(Enum):
    """What a load is doing."""

    PLANNING = "planning and sending"
    """The plan is still being read; what is known of it is sent already."""
    SENDING = "sending"
    PAUSED = "paused"
    """The server is in trouble, or the source: one file now and then finds out whether it has passed."""
    STOPPING = "stopping"
    """No new file is begun."""
    ENDED = "ended"


@dataclass(frozen=True, slots=True, kw_only=True)
class Waits:
    """Seconds that all files together waited, and for what: what there is most of is in the way."""

    reading: float = 0.0
    checksums: float = 0.0
    network: float = 0.0
    """The line, and the server's appending."""
    commit: float = 0.0
    """The server's making documents."""
    retries: float = 0.0
    """Between attempts at requests that failed."""
    retry_after: float = 0.0
    """The same, because the server asked for so long a time."""
    pauses: float = 0.0
    """Because the server had asked another file's request for a time, and of the load itself, while the server or the
    source was in trouble and no file could begin."""
    restarts: float = 0.0
    """Before files began anew."""
    rate_limit: float = 0.0
    memory: float = 0.0
    """For room in the byte budget."""

    @property
    def bottleneck(self) -> str:
        """The name of the longest one; empty if nothing was waited for."""
        name, seconds = max(((field, getattr(self, field)) for field in self.__slots__), key=lambda pair: pair[1])
        return name.replace("_", " ") if seconds > 0 else ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """A file that was given up, or given back to be tried again."""

    source: bytes
    destination: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """A load at one moment, or at its end."""

    phase: Phase
    pause: str
    """Why it is paused; empty if it is not."""
    counts: Mapping[State, Tally]
    """Of the whole journal: files and their bytes in every state."""
    sending: int
    """Files in flight in this process."""
    committing: int
    """Those of them of which the server is just making documents."""
    limit: int
    """How many may be in flight at this moment."""
    sent: int
    """Bytes acknowledged since this process began, those of repeated passes included."""
    left_out: int
    """Files that the rules of the plan left out: they have no row."""
    seconds: float
    """Since this process began."""
    waits: Waits
    failures: tuple[Failure, ...]
    """The last ones."""

    @property
    def ended(self) -> int:
        """Rows of which nothing is left to do."""
        return sum(self.counts[state].rows for state in ENDED)

    @property
    def rows(self) -> int:
        """All that are planned so far."""
        return sum(tally.rows for tally in self.counts.values())

    @property
    def cancelled(self) -> int:
        """Rows that have not ended. Reported so if the load has."""
        return self.rows - self.ended

"""What the user may choose. Frozen: a client's settings do not change under an upload."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

from .errors import UsageError

KIB = 1024
MIB = 1024 * KIB

SMALLEST_CHUNK = 256 * KIB
"""The server raises anything smaller to this."""

LARGEST_CHUNK = 32 * MIB
"""The server lowers anything larger to this."""

DEFAULT_CHUNK = 2816 * KIB
"""The most that passes the limits on requests which servers have by default, in each encoding: as base64 in a form it
takes at most 3.9 of the 4 MiB that ASP.NET allows. On a gigabit line with a round trip of 20 ms that is nearly twice as
fast as 1 MiB."""


CHECKS = ("size", "mtime", "inode")
"""By what a file can be held to be the same while it is read."""


def _require(met: object, message: str) -> None:
    if not met:
        raise UsageError(message)


@dataclass(frozen=True, slots=True, kw_only=True)
class Timeouts:
    """How long to wait, in seconds. There is no limit on a whole upload: slow lines are not errors.

    Raises:
        UsageError: A value is not positive.
    """

    connect: float = 10.0
    """For the TCP connection and, again, for the TLS handshake."""

    reply: float = 60.0
    """For a small request and its reply, all in all."""

    slowest_rate: float = 16 * KIB
    """Bytes per second below which a line counts as dead. A chunk gets ``reply + size / slowest_rate`` seconds."""

    finalize: float = 1800.0
    """For storing the document: the server may scan, convert and index it, and allows itself 900 s by default."""

    settle: float = 120.0
    """For finding out whether a document was stored when the reply to the request was lost."""

    cleanup: float = 10.0
    """For all cleaning up at the end of an upload or a download and of its client, together: what is read or made is
    waited for, the handler deleted, the check-out given back, the session logged out. A source that does not listen to
    its cancellation takes a second more."""

    def __post_init__(self) -> None:
        for name in ("connect", "reply", "slowest_rate", "finalize", "settle", "cleanup"):
            _require(getattr(self, name) > 0, f"Timeouts.{name} must be more than 0")

    def chunk(self, size: int) -> float:
        """Seconds for a chunk of ``size`` bytes and its reply."""
        return self.reply + size / self.slowest_rate


@dataclass(frozen=True, slots=True, kw_only=True)
class Retries:
    """How faults that pass are outwaited. Time and count start anew with every request that succeeds.

    Raises:
        UsageError: A value is out of range.
    """

    attempts: int | None = None
    """How often one request is sent at most, at least 1; None leaves that to ``give_up_after``. What the server does
    answer, as that a chunk arrived damaged, is sent eight times at most in any case."""

    first_attempts: int | None = 4
    """How often a server is asked at most that has not answered a single time, at least 1: its address may be
    mistyped. None if it is known to be right, and the server to come."""

    give_up_after: float = 300.0
    """Seconds after its first failure for which one request is sent again. So long may the server be away."""

    restarts: int = 8
    """How often one upload begins anew in another handler at most, where its source can be read again. Bytes that
    arrive wrong without a lost reply to explain it, a document that is refused, and a handler at whose chunks the
    server fails, allow one restart only."""

    restart_within: float = 86400.0
    """Seconds after its beginning in which an upload may begin anew."""

    restart_bytes: int | None = None
    """Bytes that one upload sends again at most before it may not begin anew any more; None leaves that to
    ``restarts``."""

    first_wait: float = 0.2
    """Seconds before the second attempt; each further wait is twice the one before, less up to a half at random.
    Restarts wait likewise."""

    longest_wait: float = 30.0
    """No wait is longer, in seconds, unless the server asks for it."""

    longest_obeyed: float = 300.0
    """The longest Retry-After that is obeyed, in seconds."""

    def __post_init__(self) -> None:
        _require(self.attempts is None or self.attempts >= 1, "Retries.attempts must be at least 1, or None")
        _require(
            self.first_attempts is None or self.first_attempts >= 1,
            "Retries.first_attempts must be at least 1, or None",
        )
        _require(self.restarts >= 0, "Retries.restarts must not be negative")
        _require(
            self.restart_bytes is None or self.restart_bytes >= 0,
            "Retries.restart_bytes must not be negative, or be None",
        )
        for name in ("give_up_after", "restart_within", "first_wait", "longest_wait", "longest_obeyed"):
            _require(getattr(self, name) >= 0, f"Retries.{name} must not be negative")


class Loss(NamedTuple):
    """A chunk whose reply was lost: it may stand on the server or not, and nobody can be asked."""

    sent: int
    """Bytes acknowledged before it."""
    size: int | None
    """Bytes in all; None if unknown."""
    rereadable: bool
    """Whether the upload could begin anew: from its source, or because the chunk is its first and in hand."""
    restarted: int = 0
    """How often it has begun anew already."""


def prove_late_losses(loss: Loss) -> bool:
    """Whether to send the chunk again and let the checksum of the whole judge, rather than begin anew.

    If more than half of the file is sent, the rest costs less than all of it; and a source that cannot be read twice
    leaves no choice. An upload that has begun anew already meets losses in every pass: to go on is its better chance.
    Being wrong is safe either way: nothing is stored whose checksum differs.
    """
    late = loss.size is not None and loss.sent > loss.size / 2
    return late or not loss.rereadable or loss.restarted >= HOPEFUL_RESTARTS


HOPEFUL_RESTARTS = 1
"""Restarts, after which a pass without any loss is not to be hoped for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """The pipeline's measures.

    One upload holds at most ``(depth + 2) × chunk size`` bytes of the file: ``depth - 1`` chunks wait in the queue, one
    is lent to the sender, one is held back until it is known whether it is the last, and one is being read. The chunk
    size in this formula is the one that the *server* answers. On Python 3.11 asyncio keeps a copy of what the
    connection does not take at once, at most 1 MiB besides.

    Raises:
        UsageError: A value is out of range.
    """

    chunk_size: int = DEFAULT_CHUNK
    """Bytes per chunk to ask the server for, 256 KiB to 32 MiB; the server has the last word. 2.75 MiB pass every
    default limit of the server's frameworks (Kestrel and IIS stop at 30,000,000 bytes, classic ASP.NET and a form's
    field at 4 MiB); where a proxy allows less, chunks are halved until they pass."""

    depth: int = 3
    """How many chunks the reader may be ahead of the sender, at least 1."""

    checksum_threads: int = 2
    """Threads that compute checksums, for all uploads of a client together, at least 1. Files need none of them: what
    comes from a path is checksummed by the thread that read it."""

    uploads: int | None = None
    """How many uploads of a client run at once, at least 1; None for no limit. The others wait in the order in which
    they came, and meanwhile read nothing and ask nothing of the server."""

    memory: int | None = None
    """Bytes of file content that all uploads of a client hold together, at least ``memory_per_upload``; None for no
    limit. Each is counted with ``(depth + 2) × chunk size``, of the chunk size that the server is *asked* for, or with
    its size if that is less and known before the source is opened. Those for whom there is no room wait in the order in
    which they came."""

    encoding: Literal["auto", "multipart", "form", "soap"] = "auto"
    """How chunks travel: ``multipart`` raw, ``form`` or ``soap`` in base64; ``auto`` begins with the first and goes on
    to the next if the server does not take it. Where ``soap`` is chosen, or found, every other request travels so too;
    with ``auto`` also one in whose form the server suspects markup."""

    prove: Callable[[Loss], bool] = prove_late_losses
    """Asked when a chunk's reply is lost: True sends it again and lets the checksum of the whole judge, False begins
    anew in another handler (which an upload whose source cannot be read again cannot: it then fails)."""

    timeouts: Timeouts = field(default_factory=Timeouts)
    retries: Retries = field(default_factory=Retries)

    def __post_init__(self) -> None:
        _require(
            SMALLEST_CHUNK <= self.chunk_size <= LARGEST_CHUNK,
            f"chunk_size is {self.chunk_size} bytes; the protocol allows {SMALLEST_CHUNK} to {LARGEST_CHUNK}",
        )
        _require(
            self.encoding in {"auto", "multipart", "form", "soap"},
            f"encoding is {self.encoding!r}; it may be auto, multipart, form or soap",
        )
        _require(self.depth >= 1, "depth must be at least 1")
        _require(self.checksum_threads >= 1, "checksum_threads must be at least 1")
        _require(self.uploads is None or self.uploads >= 1, "uploads must be at least 1, or None")
        _require(
            self.memory is None or self.memory >= self.memory_per_upload,
            f"memory is {self.memory} bytes, and one upload may hold (depth + 2) × chunk_size = "
            f"{self.memory_per_upload}: allow more, or make chunk_size or depth smaller",
        )

    @property
    def memory_per_upload(self) -> int:
        """Bytes of file content that one upload holds at most, if the server grants the chunk size asked for."""
        return (self.depth + 2) * self.chunk_size

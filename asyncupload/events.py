"""What happened: frozen facts, told to a listener while an upload or a download goes on.

Byte counts are totals of what the server has acknowledged, never deltas and never bytes merely handed to the network: a
progress bar fed from them neither runs ahead nor exceeds 100 %.
"""

import inspect
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias, TypeVar

from ._unharmed import unharmed
from .errors import Leftover, OutcomeUnknown, UsageError


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """Something that happened to one document."""

    path: str
    """The document's path on the server."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HandlerOpened(Event):
    """The server is ready for chunks."""

    handler: str
    chunk_size: int
    """Bytes, as the server decided."""
    size: int | None
    """Bytes to send; None where the source does not say."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ChunkSent(Event):
    """The server has appended a chunk."""

    number: int
    """Counts from 1."""
    sent: int
    """Bytes acknowledged so far, this chunk included."""
    size: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ChunkRetried(Event):
    """A chunk was not appended and goes again, from the same buffer, after ``wait`` seconds."""

    number: int
    attempt: int
    """The attempt that failed; counts from 1."""
    wait: float
    reason: str
    sent: int
    size: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting(Event):
    """The server cannot be reached, or does not answer as it should, for some seconds now. It is asked again and again.

    Told once for each request that meets this.
    """

    reason: str
    give_up_after: float
    """Seconds after the first failure after which nobody asks any more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Restarted(Event):
    """The upload begins anew in another handler: its acknowledged bytes count from 0 again."""

    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Committing(Event):
    """All bytes are acknowledged and the checksum is right: the server is asked to make the document. May take
    minutes."""

    sent: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored(Event):
    """The document stands."""

    receipt: "Receipt"


@dataclass(frozen=True, slots=True, kw_only=True)
class Times:
    """What the sender of one document waited for, in seconds, over all passes: what there is most of is in the way."""

    reading: float = 0.0
    """For bytes of the source."""
    checksums: float = 0.0
    """Of chunks, also where the thread that reads a file makes them."""
    network: float = 0.0
    """For chunks to leave and be acknowledged: the line, and the server's appending."""
    commit: float = 0.0
    """For the server to make a document of them."""
    retries: float = 0.0
    """Between attempts at requests that failed."""
    retry_after: float = 0.0
    """The same, because the server asked for so long a time (Retry-After)."""
    pauses: float = 0.0
    """Because the server had asked another upload of the same client for a time."""
    restarts: float = 0.0
    """Before beginning anew."""
    memory: float = 0.0
    """For a place among the client's uploads, and room for what is read ahead."""

    @property
    def words(self) -> str:
        """What there was most of, first, as far as it shows in tenths of a second; empty if nothing does."""
        told = sorted(((round(getattr(self, name), 1), name) for name in self.__slots__), reverse=True)
        return ", ".join(f"{name.replace('_', ' ')} {seconds} s" for seconds, name in told if seconds > 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Failed(Event):
    """The upload has ended without a receipt. All but ``left`` is cleaned up. ``error`` goes on to the caller now."""

    error: BaseException
    """Its message may hold the document's path, and never a password or a ticket."""
    left: tuple[Leftover, ...] = ()
    """What could not be cleaned up on the server: as ``error.left``, and also where a cancellation ended the upload."""
    times: Times = Times()
    """What an upload waited for until then."""

    @property
    def status(self) -> Literal["unknown", "failed", "cancelled"]:
        """``unknown``: a document may have been made of it, or was made of other bytes. Otherwise none was, but that a
        cancellation may come when the request to store has left."""
        match self.error:
            case OutcomeUnknown():
                return "unknown"
            case Exception():
                return "failed"
            case _:
                return "cancelled"


@dataclass(frozen=True, slots=True, kw_only=True)
class ChunkReceived(Event):
    """A chunk of a download has arrived, checked, and is written."""

    received: int
    """Bytes so far, this chunk included."""
    size: int


Listener: TypeAlias = Callable[[Event], None]
"""Called on the event loop, so it should be quick, and never awaited. One that raises, whatever that is, is logged once
and not called again. KeyboardInterrupt and SystemExit end the loop, which cancels the upload if it still goes on."""

Observer: TypeAlias = Callable[[], Listener]
"""Called on the event loop, in the caller's task and context, when an upload begins, before it waits for its turn. What
it returns hears this one upload's events, to the last: ``Stored`` or ``Failed``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Receipt:
    """Proof of one stored document."""

    status: Literal["stored", "unchanged"]
    """``unchanged``: an equal document stood there already, and nothing was sent."""
    path: str
    document_id: int | None
    """None only if the server confirmed without naming it."""
    version_id: int | None
    size: int
    """Bytes."""
    crc32: int
    """CRC-32 of the bytes sent, equal to the server's own."""
    chunks: int
    resent: int
    """How many chunks went more than once, counted each time."""
    restarted: int
    """How many times the upload began anew in another handler, but for smaller chunks."""
    resent_bytes: int = 0
    """How many bytes went more than once, counted each time: of chunks, and of all that was sent before it began
    anew."""
    seconds: float
    verified_by: Literal["staged checksum", "stored checksum"]
    """Whether the server's checksum was compared before the document was made, or, by an older server, after."""
    times: Times = Times()
    not_kept: tuple[str, ...] = ()
    """What was asked for and is known not to be kept with the document, by the names of :class:`Properties`, and
    ``comment``: a server may read another grammar, lack an operation, or choose a version's number itself. Empty for
    ``unchanged``, for which nothing is asked."""
    left: tuple[Leftover, ...] = ()
    """What this upload had to leave on the server; a check-out among it keeps others from the document."""


def not_kept(names: Sequence[str]) -> str:
    """A receipt's ``not_kept`` as a sentence."""
    return f"stored, but the server has not kept what was asked for: {', '.join(names)}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Downloaded:
    """Proof of one document brought back."""

    path: str
    target: str
    size: int
    """Bytes."""
    crc32: int
    """CRC-32 of the bytes written."""
    compared: bool
    """Whether the server gave a checksum of the whole to compare with. Each chunk's was compared in any case."""
    resumed: int
    """Bytes that were there already, of a download that was interrupted."""
    seconds: float
    left: tuple[Leftover, ...] = ()
    """What it had to leave on the server."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Verified:
    """Proof that a stored document is what is here."""

    path: str
    size: int
    """Bytes."""
    crc32: int
    verified_by: Literal["stored checksum", "bytes"]
    """Whether the server's word for size and checksum was compared, or every byte was fetched and compared."""
    seconds: float
    left: tuple[Leftover, ...] = ()
    """What it had to leave on the server."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredDocument:
    """What the server holds."""

    path: str
    size: int
    """Bytes."""
    crc32: int
    """Of its bytes: as the server tells it, or, where it does not, computed here of all of them."""
    version_id: int | None
    """The version that was asked for, or else the latest; None if the server does not number it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class UnpackedItem:
    """What the server says of one entry of an archive. Some servers speak of failures only."""

    name: str
    error: str
    """Empty if it went well."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Unpacked:
    """What became of an archive."""

    folder: str
    size: int
    """Bytes of the archive."""
    crc32: int
    """Of the archive, equal to the server's own where it gave one."""
    items: tuple[UnpackedItem, ...]
    seconds: float
    left: tuple[Leftover, ...] = ()
    """What it had to leave on the server."""

    @property
    def failed(self) -> tuple[UnpackedItem, ...]:
        """The entries of which no document was made."""
        return tuple(item for item in self.items if item.error)


T = TypeVar("T")

_PLAIN = "on_event is called, not awaited: give a plain function"


class Audience:
    """Tells listeners, and survives them.

    Args:
        listener: The caller's, if there is one.
        log: A logger bound to this upload or download.
        observers: The client's.

    Raises:
        UsageError: The listener would have to be awaited.
    """

    def __init__(self, listener: Listener | None, log: Any, observers: Iterable[Observer] = ()) -> None:
        self._listeners = [] if listener is None else [_plain(listener)]
        self._observers = observers
        self._log = log
        self.times = Times()
        """To be told if it fails."""

    @contextmanager
    def attending(self, path: str, left: Sequence[Leftover] = ()) -> Iterator[None]:
        """Let the observers' listeners in, and tell everybody if what follows fails, and has left something."""
        try:
            for observer in self._observers:
                self._let_in(observer)
            yield
        except BaseException as error:
            self.tell(Failed(path=path, error=error, left=tuple(left), times=self.times))
            raise

    def tell(self, event: Event) -> None:
        """Hand ``event`` to the listeners. An exception of a listener's ends its service, never the upload."""
        for listener in tuple(self._listeners):

            def dismiss(_: BaseException, listener: Listener = listener) -> None:
                self._listeners.remove(listener)
                self._log.warning("listener_failed", event_type=type(event).__name__, exc_info=True)

            with unharmed(dismiss):
                _not_awaited(listener(event))

    def _let_in(self, observer: Observer) -> None:
        with unharmed(lambda _: self._log.warning("observer_failed", exc_info=True)):
            self._listeners.append(_plain(_not_awaited(observer())))


def _plain(listener: Any) -> Listener:
    if not callable(listener) or any(map(inspect.iscoroutinefunction, (listener, type(listener).__call__))):
        raise UsageError(_PLAIN)
    found: Listener = listener
    return found


def _not_awaited(result: T) -> T:
    """Find out what no signature tells, as of a lambda around a coroutine."""
    if inspect.iscoroutine(result):
        result.close()  # or Python would warn that nobody has awaited it
        raise UsageError(_PLAIN)
    return result

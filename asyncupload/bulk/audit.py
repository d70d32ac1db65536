"""Asks the server about every document of a ledger again, and, if wanted, reads the files again that they came from."""

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from functools import partial
from typing import Protocol

import anyio
import anyio.to_thread

from asyncupload import _checksum
from asyncupload._raised import raise_kept
from asyncupload.errors import AsyncUploadError, LoginRefused, NotFound, TicketRefused
from asyncupload.events import StoredDocument

from .ledger import Entry

AT_ONCE = 8
"""Documents that are asked about at the same time, by default."""

HOPELESS = 20
"""After so many documents in a row about which the server could not be asked, the others are not asked about."""

LOOK = 0.05
"""Seconds between two looks whether more can be told."""

_PIECE = 1024 * 1024


class Verdict(StrEnum):
    """What became of a document."""

    VERIFIED = "verified"
    """That version is there, with the same size and CRC-32."""
    DIFFERENT = "different"
    MISSING = "missing"
    UNREACHABLE = "unreachable"
    """Nobody can tell."""


class Origin(StrEnum):
    """What became of the file that it came from."""

    SAME = "same"
    CHANGED = "changed"
    GONE = "gone"
    """Nothing stands there, which is no fault after a move."""
    UNREADABLE = "unreadable"
    NOT_READ = ""
    """It was not wanted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """What was found of one entry."""

    entry: Entry
    verdict: Verdict
    reason: str = ""
    """Why it is not verified."""
    origin: Origin = Origin.NOT_READ


class Describes(Protocol):
    """A `Client`, as far as it is needed here."""

    async def describe(self, path: str, *, version: int | None = None) -> StoredDocument:
        """What the server holds."""
        ...


class Audit:
    """Goes through a ledger once.

    Args:
        client: Whom to ask.
        tell: Called in the event loop with what was found of each entry, in the order in which it was known.
        at_once: Documents at the same time.
        sources: Read the files again, too.
        ready: Asked before an entry is asked about: whether ``tell`` could say more.
    """

    def __init__(
        self,
        client: Describes,
        tell: Callable[[Finding], None],
        *,
        at_once: int = AT_ONCE,
        sources: bool = False,
        ready: Callable[[], bool] = lambda: True,
    ) -> None:
        self._client = client
        self._tell = tell
        self._at_once = at_once
        self._sources = sources
        self._ready = ready
        self._in_vain = 0
        self._failure: AsyncUploadError | None = None

    async def run(self, entries: Iterator[Entry]) -> None:
        """Find out about all entries; their iterator is asked in threads.

        Raises:
            LoginRefused: Nobody is asked about any more.
            TicketRefused: Likewise.
            LedgerError: The iterator's.

        On cancellation it ends, and tells nothing more.
        """
        turn = anyio.Lock()
        async with anyio.create_task_group() as group:
            for _ in range(self._at_once):
                group.start_soon(self._work, entries, turn, group.cancel_scope)
        if self._failure is not None:
            raise_kept(self._failure)

    async def _work(self, entries: Iterator[Entry], turn: anyio.Lock, all_: anyio.CancelScope) -> None:
        try:
            while (entry := await self._next(entries, turn)) is not None:
                while not self._ready():  # noqa: ASYNC110  (whoever reads wakes nobody)
                    await anyio.sleep(LOOK)
                self._tell(await self._find(entry))
        except AsyncUploadError as error:  # through the task group it would come out wrapped
            self._failure = error
            all_.cancel()

    async def _next(self, entries: Iterator[Entry], turn: anyio.Lock) -> Entry | None:
        async with turn:  # a generator cannot be asked by two threads at once
            return await anyio.to_thread.run_sync(lambda: next(entries, None))

    async def _find(self, entry: Entry) -> Finding:
        verdict, reason = await self._ask(entry)
        origin = Origin.NOT_READ
        if self._sources:
            origin = await anyio.to_thread.run_sync(partial(origin_of, entry))
        return Finding(entry=entry, verdict=verdict, reason=reason, origin=origin)

    async def _ask(self, entry: Entry) -> tuple[Verdict, str]:
        if self._in_vain >= HOPELESS:
            return Verdict.UNREACHABLE, f"not asked: the {HOPELESS} before it were in vain"
        try:
            found = await self._client.describe(entry.destination, version=entry.version_id)
        except NotFound as error:
            self._in_vain = 0
            return Verdict.MISSING, str(error)
        except (LoginRefused, TicketRefused):
            raise
        except AsyncUploadError as error:
            self._in_vain += 1
            return Verdict.UNREACHABLE, str(error)
        self._in_vain = 0
        return compared(entry, found)


def compared(entry: Entry, found: StoredDocument) -> tuple[Verdict, str]:
    """Whether a document is what the ledger says. What the ledger does not know is not compared."""
    if entry.size not in {None, found.size}:
        return Verdict.DIFFERENT, f"{found.size} bytes are stored, and {entry.size} were"
    if entry.crc32 is None:
        return Verdict.UNREACHABLE, "the ledger has no checksum of it: the run that stored it died in that moment"
    if entry.crc32 != found.crc32:
        return Verdict.DIFFERENT, f"CRC-32 {found.crc32:08X} is stored, and {entry.crc32:08X} was"
    return Verdict.VERIFIED, ""


def origin_of(entry: Entry) -> Origin:
    """Read the file again that a document came from. Blocks."""
    crc32, sha256 = _checksum.EMPTY, hashlib.sha256()
    try:
        with open(entry.source, "rb") as file:  # noqa: PTH123  (a path of bytes)
            while piece := file.read(_PIECE):
                crc32 = _checksum.combine(crc32, _checksum.crc32(piece), len(piece))
                if entry.sha256:
                    sha256.update(piece)
            size = file.tell()
    except FileNotFoundError:
        return Origin.GONE
    except OSError:
        return Origin.UNREADABLE
    told = (entry.size in {None, size}, entry.crc32 in {None, crc32}, entry.sha256 in {None, sha256.hexdigest()})
    return Origin.SAME if all(told) else Origin.CHANGED

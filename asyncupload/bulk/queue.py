"""The list of files to be sent, as the loader sees it: claimed by leases, moved on behind a fence, so that several
processes, and one day several machines, can work on it."""

from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from typing import NamedTuple, Protocol

from .rows import NO_FACTS, Facts, Item, Row, State


class Added(NamedTuple):
    """What a batch of the plan was to the queue."""

    new: int
    """Sources that it did not have."""
    changed: int
    """Sources that it had with another size, time, metadata or problem: planned anew."""
    known: int
    """Sources that it had like this, or that somebody is at: left alone."""


class Claim(NamedTuple):
    """The right to work on a row, for as long as its lease is renewed and nobody else has claimed it."""

    row: Row
    """As it is now, SENDING or COMMITTING. It says what an earlier owner left behind: ``handler``, ``checked_out``,
    ``commit``."""
    owner: str
    fence: int
    found: State
    """As it was. PLANNED: begin. SENDING: somebody died or froze at it: delete its handler, begin anew.

    COMMITTING: somebody died or froze while the document was made. Delete the handler *first*, so that a finalize that
    is late can do nothing any more; then ask the server; then `finish` as STORED, or `release`.
    """


class Tally(NamedTuple):
    """The rows in one state."""

    rows: int
    size: int
    """Bytes, as planned. Rows of unknown size count nothing."""


class Deed(NamedTuple):
    """One thing that happened to a row."""

    at: float
    """Seconds since 1970."""
    what: str
    detail: str


class Queue(Protocol):
    """Every method that changes something is one transaction, and on disk when it returns.

    Leases are in wall-clock seconds: it is the one clock that several processes share, and that goes on while the
    machine sleeps or starts again. A clock that is set forward ends leases early, which the fence makes harmless: the
    one who lost a row is told so before it makes a document. One that was years ahead when it gave a lease keeps
    nobody out either: a lease that seems to last longer than the longest one is none, and neither is that of a process
    which is known to have ended.

    A call that is cancelled may have been carried out or not. All but `add` can then be left as they are: rows whose
    claim nobody received, and rows that nobody renews, are claimed again.

    Raises (any method):
        JournalError: It cannot be read or written. Send nothing more: what is not recorded must not happen.
    """

    async def begin_plan(self) -> int:
        """The number of another reading of the plan, to be given to `add` and `end_plan`."""
        ...

    async def end_plan(self, reading: int) -> int:
        """The plan was read to its end: forget rows that it no longer has. Returns how many.

        Those that are stored or equal stay as they are, for their ledger; those that somebody is at, or that may have
        left something on the server, stay too.
        """
        ...

    async def add(self, items: Sequence[Item], reading: int = 0) -> Added:
        """Plan files. The same source again for the same destination changes nothing: a row that has ended stays so.

        Planned anew: a row whose size, time, metadata or problem differ, unless somebody is at it now, or it is
        COMMITTING. An item with a problem is born SKIPPED or FAILED. So is, as FAILED, an item for a destination that
        another row is to be sent to (compared by `rows.fold`); the reason names the other source.
        """
        ...

    async def claim(self, owner: str, count: int, *, lease: float) -> list[Claim]:
        """Take up to ``count`` rows for ``lease`` seconds.

        First those that are left behind (their lease is over, or `owners.is_gone` knows that their owner is;
        COMMITTING before SENDING), then the planned ones; of each, the one that waits for the longest first. Empty:
        there is nothing to do now (see `due`).

        On cancellation: what it took is let go.
        """
        ...

    async def due(self) -> float | None:
        """When the next row can be claimed, in seconds since 1970 (perhaps past); None if all rows have ended."""
        ...

    async def renew(self, claims: Collection[Claim], *, lease: float) -> set[int]:
        """Let the leases end ``lease`` seconds from now. Returns the ids of the rows that are still ours."""
        ...

    async def still_mine(self, claim: Claim) -> bool:
        """Whether nobody has claimed the row since, and it has not ended."""
        ...

    async def note_handler(self, claim: Claim, handler: str) -> None:
        """Record the handler that was opened; empty once it is deleted. Raises LeaseLost."""
        ...

    async def note_checkout(self, claim: Claim, *, held: bool) -> None:
        """Record, *before* checking the document out, that it may be; and after giving it back, that it is not.

        Raises:
            LeaseLost: Somebody else has claimed the row.
        """
        ...

    async def committing(self, claim: Claim, commit: str, *, lease: float) -> None:
        """The fence: to be awaited right before the request that makes the document. SENDING becomes COMMITTING.

        Whether the row is still ours, that it is COMMITTING, ``commit`` and a new lease are one conditional update.

        Args:
            claim: The row.
            commit: JSON, what is needed to ask the server later whether the document was made.
            lease: Seconds from now. Longer than the request may take, or renewed meanwhile: who claims the row after
                that asks the server, and sends again what is not there.

        Raises:
            LeaseLost: Somebody else has claimed the row. Make no document.
        """
        ...

    async def finish(
        self, claim: Claim, state: State, *, reason: str = "", facts: Facts = NO_FACTS, waited: str = ""
    ) -> None:
        """End the row in one of `rows.ENDED`, with what it waited for told in its life.

        Raises:
            LeaseLost: Somebody else has claimed it, and will end it.
        """
        ...

    async def release(self, claim: Claim, *, reason: str, not_before: float = 0.0, counted: bool = False) -> None:
        """Back to PLANNED: to be sent again, from the beginning. A COMMITTING row only if the document is not there.

        Args:
            claim: The row.
            reason: What went wrong.
            not_before: Seconds since 1970.
            counted: Whether it was an attempt of the file's own, so that ``attempts`` grows.

        Raises:
            LeaseLost: Somebody else has claimed the row.
        """
        ...

    async def park(self, claim: Claim, reason: str, *, answered: bool = False) -> None:
        """End the row as FAILED.

        Args:
            claim: The row.
            reason: What went wrong.
            answered: Whether it is known what became of the last request to store, if any left. If not, the row keeps
                what is needed to ask, and whoever retries it asks first.

        Raises:
            LeaseLost: Somebody else has claimed the row.
        """
        ...

    async def let_go(self, claims: Collection[Claim]) -> None:
        """End our leases now and leave the rows as they are, for the next owner to find. Lost ones are left out."""
        ...

    async def retry(self, states: Collection[State] = (State.FAILED,)) -> int:
        """Back to PLANNED, with no attempts counted, all rows in ``states`` (FAILED, SKIPPED) that the plan has no
        problem with. Returns how many."""
        ...

    async def left(self) -> list[Row]:
        """Rows that have ended, and whose documents may be checked out yet by those who worked on them: a thousand at
        most."""
        ...

    async def note_given_back(self, row: Row) -> None:
        """The document of such a row is not checked out any more."""
        ...

    async def counts(self) -> Mapping[State, Tally]:
        """For every state, its rows and their bytes. Cheap: it may be asked many times a second."""
        ...

    def rows(self, states: Collection[State] | None = None, *, after: float = -1.0) -> AsyncIterator[Row]:
        """All rows by id, or state by state those in ``states`` in the order of `Row.due`, read in batches.

        Args:
            states: Those to be read.
            after: Of given ``states``, leave out the rows whose `Row.due` is not greater.

        No snapshot: a row that moves meanwhile may be seen twice or not at all among given ``states``.
        """
        ...

    async def latest(self) -> float | None:
        """When a row ended last, in seconds since 1970; None if none has."""
        ...

    async def find(self, path: bytes | str) -> Row | None:
        """The row of a source (bytes), or the one that is sent to a destination (text, compared by `rows.fold`)."""
        ...

    async def life(self, number: int) -> list[Deed]:
        """All that happened to the row with that id, oldest first; empty if there is none."""
        ...

    async def run(self) -> Mapping[str, str]:
        """What `note_run` has kept."""
        ...

    async def note_run(self, **facts: str) -> None:
        """Keep facts about the whole load: server, user, root, whether the plan is complete. Others stay."""
        ...

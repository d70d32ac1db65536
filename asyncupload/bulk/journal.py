"""A queue in one SQLite file: what is to be sent, what was, and what was under way when everything stopped."""

import asyncio
import sqlite3
import time
from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from contextlib import asynccontextmanager, closing
from pathlib import Path
from types import MappingProxyType
from typing import Any

from asyncupload._log import get_logger

from . import moves
from .database import Database
from .owners import is_gone
from .queue import Added, Claim, Deed, Tally
from .rows import ENDED, NO_FACTS, Facts, Item, Row, State
from .tables import CHANGES, IDENTITY, ROW_COLUMNS, place, row_of, written
from .witness import as_new

_BATCH = 500
"""Rows that are read at once, and are in memory."""


class Journal:
    """A `Queue` that several processes of one machine may have open at once. To be had from `Journal.open`.

    The file must be on a local disk: SQLite's write-ahead log does not work over a network file system. Every change is
    on disk when its method returns, and survives a power cut; changes that wait for the disk at the same time share
    one transaction.

    On cancellation: a change that was asked for still happens, whole.
    """

    def __init__(self, database: Database, clock: Callable[[], float]) -> None:
        self._database = database
        self._clock = clock

    @classmethod
    @asynccontextmanager
    async def open(
        cls,
        path: Path,
        *,
        existing: bool = False,
        clock: Callable[[], float] = time.time,
        between_writes: Callable[[str], None] | None = None,
    ) -> AsyncIterator["Journal"]:
        """Open the journal at ``path``, or make one. It is closed at the end of the block.

        A damaged file is moved aside as ``<name>.corrupt-<time>`` and a new one begun; `notice` and a log line say so.
        They say as well that it was deleted, restored or copied since it was last worked with, by what the file
        ``<name>.lock`` beside it tells. Rows that this one has not seen to an end itself are `doubtful` then.

        Args:
            path: The file.
            existing: Neither make one nor move a damaged one aside, as for those who only want to look.
            clock: Seconds since 1970, the same for all processes.
            between_writes: For tests: called in the journal's thread after each transaction, with what it wrote.

        Raises:
            JournalError: The file is another program's, or a newer version's, or cannot be read or written; or
                ``existing`` is set, and it is missing or damaged.
        """
        database = Database(path, between_writes, existing=existing)
        try:
            await database.open()
            if database.notice:
                get_logger(journal=str(path)).warning("journal doubted", notice=database.notice)
            yield cls(database, clock)
        finally:
            await database.close()

    @property
    def notice(self) -> str:
        """What a user should know since the file was opened, or ""."""
        return self._database.notice

    async def copy_to(self, path: Path) -> None:
        """Make a journal at ``path``, where nothing stands, that says the same as this one at this moment, and doubts
        what this one would doubt if it was opened to be worked with.

        Raises:
            JournalError: It cannot be made.
        """

        def copy(db: sqlite3.Connection) -> None:
            with closing(sqlite3.connect(path)) as there:
                db.backup(there)
                as_new(there, self.notice)

        await self._database.read(copy)

    async def begin_plan(self) -> int:
        """See `Queue.begin_plan`."""
        return await self._database.write("begin plan", moves.begin_plan)

    async def end_plan(self, reading: int) -> int:
        """See `Queue.end_plan`."""
        return await self._database.write("end plan", lambda db: moves.end_plan(db, reading))

    async def add(self, items: Sequence[Item], reading: int = 0) -> Added:
        """See `Queue.add`. A thousand items at a time are a good measure; others wait meanwhile."""
        return await self._database.write("add", lambda db: moves.add(db, items, reading, self._clock()))

    async def claim(self, owner: str, count: int, *, lease: float) -> list[Claim]:
        """See `Queue.claim`."""
        taken: list[Claim] = []

        def take(db: sqlite3.Connection) -> list[Claim]:
            taken[:] = moves.claim(db, owner, count, lease=lease, now=self._clock(), is_gone=is_gone)
            return taken

        try:
            return await self._database.write("claim", take)
        except asyncio.CancelledError:
            # The claim may be under way; what it takes is known when this one's turn comes.
            self._database.write_soon("let go", lambda db: moves.let_go(db, taken, self._clock()))
            raise

    async def due(self) -> float | None:
        """See `Queue.due`."""
        return await self._database.read(lambda db: moves.due(db, self._clock(), is_gone))

    async def renew(self, claims: Collection[Claim], *, lease: float) -> set[int]:
        """See `Queue.renew`."""
        return await self._database.write("renew", lambda db: moves.renew(db, claims, self._clock() + lease))

    async def still_mine(self, claim: Claim) -> bool:
        """See `Queue.still_mine`."""
        return await self._database.read(lambda db: moves.still_mine(db, claim))

    async def note_handler(self, claim: Claim, handler: str) -> None:
        """See `Queue.note_handler`."""
        await self._change(claim, ("handler", handler or "deleted"), handler=handler)

    async def note_checkout(self, claim: Claim, *, held: bool) -> None:
        """See `Queue.note_checkout`."""
        await self._change(claim, ("checkout", "held" if held else "given back"), checked_out=held)

    async def committing(self, claim: Claim, commit: str, *, lease: float) -> None:
        """See `Queue.committing`."""

        def begin(db: sqlite3.Connection) -> None:
            now = self._clock()
            moves.move(db, claim, State.COMMITTING, now, commit, question=commit, due=now + lease)

        await self._database.write("committing", begin)

    async def finish(
        self, claim: Claim, state: State, *, reason: str = "", facts: Facts = NO_FACTS, waited: str = ""
    ) -> None:
        """See `Queue.finish`. A finalize has consumed the handler, and an equal document needed none."""
        if state not in ENDED:
            raise ValueError(f"{state} is no end")
        settled: dict[str, object] = {"question": "", "handler": ""} if state in {State.STORED, State.UNCHANGED} else {}
        known = moves.facts_of(facts)

        def end(db: sqlite3.Connection) -> None:
            now = self._clock()
            due = moves.next_end(db, state, now)
            told = "; ".join(filter(None, (reason, waited and f"waited for {waited}")))
            moves.move(db, claim, state, now, told, reason=reason, due=due, **settled, **known)

        await self._database.write(state, end)

    async def release(self, claim: Claim, *, reason: str, not_before: float = 0.0, counted: bool = False) -> None:
        """See `Queue.release`."""
        attempts = claim.row.attempts + counted
        columns = {"reason": reason, "due": not_before, "attempts": attempts, "question": ""}
        await self._move(claim, State.PLANNED, reason, **columns)

    async def park(self, claim: Claim, reason: str, *, answered: bool = False) -> None:
        """See `Queue.park`."""
        settled: dict[str, object] = {"question": ""} if answered else {}
        await self._move(claim, State.FAILED, reason, reason=reason, due=0.0, **settled)

    async def let_go(self, claims: Collection[Claim]) -> None:
        """See `Queue.let_go`."""
        await self._database.write("let go", lambda db: moves.let_go(db, claims, self._clock()))

    async def retry(self, states: Collection[State] = (State.FAILED,)) -> int:
        """See `Queue.retry`."""
        return await self._database.write("retry", lambda db: moves.retry(db, states, self._clock()))

    async def left(self) -> list[Row]:
        """See `Queue.left`."""
        return await self._rows(f"{moves.LEFT} LIMIT 1000")

    async def note_given_back(self, row: Row) -> None:
        """See `Queue.note_given_back`."""
        await self._database.write("checkout", lambda db: moves.given_back(db, row.id, self._clock()))

    async def counts(self) -> Mapping[State, Tally]:
        """See `Queue.counts`."""
        found = await self._all("SELECT state, rows, size FROM tally")
        return MappingProxyType({State(state): Tally(rows, size) for state, rows, size in found})

    async def rows(self, states: Collection[State] | None = None, *, after: float = -1.0) -> AsyncIterator[Row]:
        """See `Queue.rows`. Not more than 500 rows are in memory."""
        if states is None:
            async for row in self._pages("id > ? ORDER BY id", lambda row: (row.id,), 0):
                yield row
            return
        for state in states:
            which = f"state = '{State(state)}' AND (due, id) > (?, ?) ORDER BY due, id"
            async for row in self._pages(which, lambda row: (row.due, row.id), after, 1 << 62):
                yield row

    async def latest(self) -> float | None:
        """See `Queue.latest`."""
        states = sorted(ENDED)
        which = ", ".join("?" * len(states))
        last: float = (await self._all(f"SELECT max(latest) FROM tally WHERE state IN ({which})", *states))[0][0]
        return last or None

    async def find(self, path: bytes | str) -> Row | None:
        """See `Queue.find`."""
        which, key = ("source = ?", path) if isinstance(path, bytes) else ("place = ? AND problem = ''", place(path))
        found = await self._rows(which, key)
        return found[0] if found else None

    async def life(self, number: int) -> list[Deed]:
        """See `Queue.life`."""
        born = "SELECT planned, 'planned', CASE line WHEN 0 THEN '' ELSE 'line ' || line END, 0 AS number FROM rows"
        deeds = "SELECT at, what, detail, number FROM life"
        query = f"{born} WHERE id = ? UNION ALL {deeds} WHERE row = ? ORDER BY number"
        return [Deed(*deed[:3]) for deed in await self._all(query, number, number)]

    async def run(self) -> Mapping[str, str]:
        """See `Queue.run`."""
        query = "SELECT fact, value FROM run WHERE fact NOT IN (?, ?)"
        return MappingProxyType(dict(await self._all(query, IDENTITY, CHANGES)))

    async def note_run(self, **facts: str) -> None:
        """See `Queue.note_run`."""
        values = [(fact, written(value)) for fact, value in facts.items()]
        await self._database.write("run", lambda db: db.executemany("INSERT OR REPLACE INTO run VALUES (?, ?)", values))

    async def _change(self, claim: Claim, deed: tuple[str, str], **columns: object) -> None:
        def change(db: sqlite3.Connection) -> None:
            moves.change(db, claim, self._clock(), deed, **columns)

        await self._database.write(deed[0], change)

    async def _move(self, claim: Claim, there: State, detail: str, **columns: object) -> None:
        def move(db: sqlite3.Connection) -> None:
            moves.move(db, claim, there, self._clock(), detail, **columns)

        await self._database.write(there, move)

    async def _all(self, query: str, *values: object) -> list[tuple[Any, ...]]:
        return await self._database.read(lambda db: db.execute(query, values).fetchall())

    async def _rows(self, which: str, *values: object) -> list[Row]:
        query = f"SELECT {ROW_COLUMNS} FROM rows WHERE {which}"
        return await self._database.read(lambda db: [row_of(columns) for columns in db.execute(query, values)])

    async def _pages(self, which: str, after: Callable[[Row], tuple[float, ...]], *start: float) -> AsyncIterator[Row]:
        """Rows in an order, page by page, each beginning after the last row of the one before."""
        last: tuple[float, ...] = start
        while page := await self._rows(f"{which} LIMIT {_BATCH}", *last):
            for row in page:
                yield row
            last = after(page[-1])

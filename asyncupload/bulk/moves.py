"""What is done to the journal's rows, one function for each deed, each within somebody else's transaction. SQL only."""

import sqlite3
from collections.abc import Callable, Collection, Sequence
from typing import Any, TypeAlias

from asyncupload.errors import JournalError, LeaseLost

from .options import LONGEST_WAIT
from .owners import LONGEST_LEASE
from .queue import Added, Claim
from .rows import ENDED, LEASED, Facts, Item, State, origins
from .tables import PLANNED_COLUMNS, ROW_COLUMNS, birth_of, place, plan_of, row_of, written

_LEASED = ", ".join(f"'{state}'" for state in sorted(LEASED))

_MINE = f"id = ? AND fence = ? AND owner = ? AND state IN ({_LEASED})"
"""The fence. Whether the lease is over does not matter, as long as nobody else has claimed the row."""

Gone: TypeAlias = Callable[[str], bool]
"""Whether the process of an owner has certainly ended."""

_INSERT = (
    f"INSERT INTO rows (source, state, reason, planned, pass, {PLANNED_COLUMNS})"
    f" VALUES ({', '.join('?' * 13)}) ON CONFLICT DO NOTHING"
)


def begin_plan(db: sqlite3.Connection) -> int:
    """The number of another reading of the plan."""
    db.execute("INSERT OR IGNORE INTO run VALUES ('readings', '0')")
    db.execute("UPDATE run SET value = value + 1 WHERE fact = 'readings'")
    (number,) = db.execute("SELECT value FROM run WHERE fact = 'readings'").fetchone()
    return int(number)


def end_plan(db: sqlite3.Connection, reading: int) -> int:
    """Forget rows that neither this reading nor a later one has seen, unless something of theirs is on the server."""
    gone = sorted((ENDED | {State.PLANNED}) - {State.STORED, State.UNCHANGED})
    nothing = "handler = '' AND question = '' AND checked_out = 0"
    which = f"pass < ? AND state IN ({', '.join('?' * len(gone))}) AND {nothing}"
    return db.execute(f"DELETE FROM rows WHERE {which}", (reading, *gone)).rowcount


def add(db: sqlite3.Connection, items: Sequence[Item], reading: int, now: float) -> Added:
    """Plan each item, or see that it is planned already."""
    told = [_add(db, item, reading, now) for item in items]
    return Added(told.count("new"), told.count("changed"), told.count("known"))


def _add(db: sqlite3.Connection, item: Item, reading: int, now: float) -> str:
    if _insert(db, item, item.problem, reading, now):
        return "new"
    # The row is known, or its destination is taken, or both.
    problem = item.problem or _twin(db, item)
    query = f"SELECT id, state, due, {PLANNED_COLUMNS} FROM rows WHERE source = ? AND place = ?"
    known = db.execute(query, (item.source, place(written(item.destination)))).fetchone()
    if known is None:
        _insert(db, item, problem, reading, now)
        return "new"
    number, state, due, *planned = known
    db.execute("UPDATE rows SET pass = max(pass, ?) WHERE id = ?", (reading, number))
    plan = plan_of(item, problem)
    if _said(planned) == _said(plan) or state == State.COMMITTING or (state == State.SENDING and due > now):
        return "known"
    if problem and item.size is None and state in {State.STORED, State.UNCHANGED}:
        return "known"  # nobody can see it now, as where a share is away: it is no other file for that
    _plan_anew(db, number, State(state), birth_of(item, problem), plan, now)
    return "changed"


def _said(planned: Sequence[Any]) -> tuple[Any, ...]:
    """What makes a plan another one: not its line in the manifest."""
    destination, _, size, mtime_ns, _, metadata, problem, fatal = planned
    return destination, size, mtime_ns, metadata, problem, bool(fatal)


def _insert(db: sqlite3.Connection, item: Item, problem: str, reading: int, now: float) -> bool:
    birth = birth_of(item, problem)
    done = db.execute(_INSERT, (item.source, birth, written(problem), now, reading, *plan_of(item, problem)))
    if done.rowcount and birth is not State.PLANNED:
        _note(db, int(done.lastrowid or 0), now, birth, problem)
    return done.rowcount == 1


def _twin(db: sqlite3.Connection, item: Item) -> str:
    """Why an item cannot have its destination, or ""."""
    query = "SELECT source, destination FROM rows WHERE place = ? AND problem = '' AND source <> ?"
    found = db.execute(query, (place(item.destination), item.source)).fetchone()
    if found is None:
        return ""
    other, destination = found
    return f"{other.decode('utf-8', 'backslashreplace')!r} is to be sent to the same place, {destination}"


def _plan_anew(
    db: sqlite3.Connection, number: int, here: State, birth: State, plan: tuple[Any, ...], now: float
) -> None:
    if here is not State.PLANNED:
        _require(here in origins(State.PLANNED), number, here, State.PLANNED)
    # What was asked about the last finalize was about other bytes. A handler that stands is still to be deleted.
    db.execute(
        f"UPDATE rows SET ({PLANNED_COLUMNS}) = ({', '.join('?' * 8)}), state = ?, reason = ?, attempts = 0, due = 0,"
        " question = '', document_id = NULL, version_id = NULL, crc32 = NULL, sha256 = '', sent = 0, seconds = 0"
        " WHERE id = ?",
        (*plan, birth, plan[6], number),
    )
    _note(db, number, now, State.PLANNED, "it is another file now, or is to be stored otherwise")
    if birth is not State.PLANNED:
        _require(State.PLANNED in origins(birth), number, State.PLANNED, birth)
        _note(db, number, now, birth, plan[6])


def claim(
    db: sqlite3.Connection, owner: str, count: int, *, lease: float, now: float, is_gone: Gone = lambda _: False
) -> list[Claim]:
    """Take rows whose time has come, those left behind first, and those first of all whose owner is known to be
    gone."""
    for number, why in _left_behind(db, now, is_gone):
        db.execute("UPDATE rows SET due = ? WHERE id = ?", (now, number))
        _note(db, number, now, "let go", why)
    taken: list[Claim] = []
    for found in (State.COMMITTING, State.SENDING, State.PLANNED):
        query = f"SELECT {ROW_COLUMNS} FROM rows WHERE state = ? AND due <= ? ORDER BY due, id LIMIT ?"
        for columns in db.execute(query, (found, now, count - len(taken))).fetchall():
            taken.append(_take(db, columns[0], found, owner, now + lease))
            _note(db, columns[0], now, "claimed", f"by {owner}, claim {taken[-1].fence}, found {found}")
    return taken


def due(db: sqlite3.Connection, now: float, is_gone: Gone = lambda _: False) -> float | None:
    """When the next row can be claimed; None if all have ended."""
    if any(_left_behind(db, now, is_gone)):
        return now
    states = sorted(set(State) - ENDED)
    parts = " UNION ALL ".join(["SELECT min(due) AS first FROM rows WHERE state = ?"] * len(states))
    first: float | None = db.execute(f"SELECT min(first) FROM ({parts})", states).fetchone()[0]
    return first


def _left_behind(db: sqlite3.Connection, now: float, is_gone: Gone) -> list[tuple[int, str]]:
    """Rows that are free although their time says otherwise, and why: it was given by a clock that was years ahead, or
    to a process that has ended."""
    ahead = {State.PLANNED: LONGEST_WAIT, **dict.fromkeys(LEASED, LONGEST_LEASE)}
    found = [
        (number, "its time was given by a clock that was ahead")
        for state, most in ahead.items()
        for (number,) in db.execute("SELECT id FROM rows WHERE state = ? AND due > ?", (state, now + most))
    ]
    which = f"state IN ({_LEASED}) AND due > ? AND due <= ?"
    between = (now, now + LONGEST_LEASE)
    owners = db.execute(f"SELECT DISTINCT owner FROM rows WHERE {which}", between).fetchall()
    for (owner,) in owners:
        if is_gone(owner):
            rows = db.execute(f"SELECT id FROM rows WHERE {which} AND owner = ?", (*between, owner))
            found += [(number, f"{owner} has ended") for (number,) in rows]
    return found


def _take(db: sqlite3.Connection, number: int, found: State, owner: str, until: float) -> Claim:
    state = State.COMMITTING if found is State.COMMITTING else State.SENDING
    _require(state is found or found in origins(state), number, found, state)
    db.execute(
        "UPDATE rows SET state = ?, owner = ?, fence = fence + 1, due = ? WHERE id = ?",
        (state, written(owner), until, number),
    )
    row = row_of(db.execute(f"SELECT {ROW_COLUMNS} FROM rows WHERE id = ?", (number,)).fetchone())
    return Claim(row, row.owner, row.fence, found)


def change(db: sqlite3.Connection, mine: Claim, now: float, deed: tuple[str, str], **columns: object) -> None:
    """Set columns of a row that is still ours, and say so in its life. Raises LeaseLost."""
    assignments = ", ".join(f"{name} = ?" for name in columns)
    values = [written(value) if isinstance(value, str) else value for value in columns.values()]
    if not db.execute(f"UPDATE rows SET {assignments} WHERE {_MINE}", (*values, *_key(mine))).rowcount:
        raise _lost(db, mine)
    _note(db, mine.row.id, now, *deed)


def move(db: sqlite3.Connection, mine: Claim, there: State, now: float, detail: str, **columns: object) -> None:
    """Let a row that is still ours go on to another state, in one conditional update. Raises LeaseLost."""
    allowed = ", ".join(f"'{state}'" for state in sorted(origins(there) & LEASED))
    assignments = "".join(f", {name} = ?" for name in columns)
    values = [written(value) if isinstance(value, str) else value for value in columns.values()]
    sql = f"UPDATE rows SET state = ?{assignments} WHERE {_MINE} AND state IN ({allowed})"
    if not db.execute(sql, (there, *values, *_key(mine))).rowcount:
        if (here := _state_if_mine(db, mine)) is not None:
            _require(False, mine.row.id, here, there)  # noqa: FBT003
        raise _lost(db, mine)
    _note(db, mine.row.id, now, there, detail)


def next_end(db: sqlite3.Connection, state: State, now: float) -> float:
    """The time to be kept for a row that ends now: later than that of all that ever came to ``state``, by a
    microsecond at least. Whoever has read them up to some time finds the later ones behind it, though a clock was set
    back."""
    latest: float = db.execute("SELECT latest FROM tally WHERE state = ?", (state,)).fetchone()[0]
    return max(now, latest + 1e-6)


def facts_of(facts: Facts) -> dict[str, object]:
    """The columns of facts."""
    return {name: getattr(facts, name) for name in Facts.__slots__}


def still_mine(db: sqlite3.Connection, mine: Claim) -> bool:
    """Whether nobody has claimed the row since, and it has not ended."""
    return _state_if_mine(db, mine) is not None


def renew(db: sqlite3.Connection, mine: Collection[Claim], until: float) -> set[int]:
    """Set the end of the leases that are still ours, and return whose they are."""
    sql = f"UPDATE rows SET due = ? WHERE {_MINE}"
    return {one.row.id for one in mine if db.execute(sql, (until, *_key(one))).rowcount}


def let_go(db: sqlite3.Connection, mine: Collection[Claim], now: float) -> None:
    """End the leases that are still ours."""
    for number in renew(db, mine, 0.0):
        _note(db, number, now, "let go", "")


def retry(db: sqlite3.Connection, states: Collection[State], now: float) -> int:
    """Plan again what has ended so, unless the plan itself has a problem with it."""
    chosen = sorted(frozenset(states) & ENDED & origins(State.PLANNED))
    which = f"problem = '' AND state IN ({', '.join('?' * len(chosen))})"
    db.execute(
        "INSERT INTO life SELECT id, (SELECT coalesce(max(number), 0) + 1 FROM life WHERE row = rows.id), ?, ?, 'again'"
        f" FROM rows WHERE {which}",
        (now, State.PLANNED, *chosen),
    )
    sql = f"UPDATE rows SET state = ?, attempts = 0, due = 0 WHERE {which}"
    return db.execute(sql, (State.PLANNED, *chosen)).rowcount


LEFT = f"state IN ({', '.join(repr(str(state)) for state in sorted(ENDED))}) AND checked_out = 1"
"""Rows that have ended, and whose documents are checked out yet."""


def given_back(db: sqlite3.Connection, number: int, now: float) -> None:
    """The document of a row that has ended is not checked out any more."""
    if db.execute(f"UPDATE rows SET checked_out = 0 WHERE id = ? AND {LEFT}", (number,)).rowcount:
        _note(db, number, now, "checkout", "given back")


def _state_if_mine(db: sqlite3.Connection, mine: Claim) -> State | None:
    found = db.execute(f"SELECT state FROM rows WHERE {_MINE}", _key(mine)).fetchone()
    return State(found[0]) if found else None


def _key(mine: Claim) -> tuple[int, int, str]:
    return mine.row.id, mine.fence, mine.owner


def _note(db: sqlite3.Connection, number: int, now: float, what: str, detail: str) -> None:
    db.execute(
        "INSERT INTO life SELECT ?, coalesce(max(number), 0) + 1, ?, ?, ? FROM life WHERE row = ?",
        (number, now, what, written(detail), number),
    )


def _lost(db: sqlite3.Connection, mine: Claim) -> LeaseLost:
    found = db.execute("SELECT state, owner, fence FROM rows WHERE id = ?", (mine.row.id,)).fetchone()
    source = mine.row.item.source.decode("utf-8", "backslashreplace")
    if found is None:
        return LeaseLost(f"{source!r} is not in the journal any more")
    state, owner, fence = found
    return LeaseLost(
        f"{source!r} is no longer ours (claim {mine.fence} of {mine.owner}): it is {state}, claim {fence} of {owner}"
    )


def _require(allowed: bool, number: int, here: State, there: State) -> None:  # noqa: FBT001
    if not allowed:
        raise JournalError(
            f"row {number} is {here} and cannot become {there}: a fault in the program, please report it"
        )

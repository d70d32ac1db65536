"""How rows lie in the journal's file: its tables, and a row on the way in and out."""

import hashlib
import json
from dataclasses import asdict
from typing import Any

from .rows import Facts, Item, Metadata, Row, State, fold

APPLICATION = 0x61737570
"""Tells the file from other programs' SQLite files ("asup"; PRAGMA application_id)."""

VERSION = 1
"""Of the tables (PRAGMA user_version). A journal of a higher one is not touched."""

# Nothing here needs more than SQLite 3.31, the oldest that is found beside a Python 3.11 (no STRICT, no RETURNING).
TABLES = """
CREATE TABLE rows (
    id INTEGER PRIMARY KEY,
    source BLOB NOT NULL,
    destination TEXT NOT NULL,
    place BLOB NOT NULL,
    size INTEGER,
    mtime_ns INTEGER,
    line INTEGER NOT NULL,
    metadata TEXT NOT NULL,
    problem TEXT NOT NULL,
    fatal INTEGER NOT NULL,
    planned REAL NOT NULL,
    state TEXT NOT NULL,
    reason TEXT NOT NULL,
    attempts INTEGER NOT NULL DEFAULT 0,
    due REAL NOT NULL DEFAULT 0,
    owner TEXT NOT NULL DEFAULT '',
    fence INTEGER NOT NULL DEFAULT 0,
    handler TEXT NOT NULL DEFAULT '',
    checked_out INTEGER NOT NULL DEFAULT 0,
    question TEXT NOT NULL DEFAULT '',
    document_id INTEGER,
    version_id INTEGER,
    crc32 INTEGER,
    sha256 TEXT NOT NULL DEFAULT '',
    sent INTEGER NOT NULL DEFAULT 0,
    seconds REAL NOT NULL DEFAULT 0,
    pass INTEGER NOT NULL,
    UNIQUE (source, place)
);
CREATE INDEX rows_due ON rows (state, due);
CREATE UNIQUE INDEX rows_place ON rows (place) WHERE problem = '';
CREATE TABLE life (
    row INTEGER NOT NULL,
    number INTEGER NOT NULL,
    at REAL NOT NULL,
    what TEXT NOT NULL,
    detail TEXT NOT NULL,
    PRIMARY KEY (row, number)
) WITHOUT ROWID;
CREATE TABLE run (fact TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE tally (
    state TEXT PRIMARY KEY,
    rows INTEGER NOT NULL DEFAULT 0,
    size INTEGER NOT NULL DEFAULT 0,
    latest REAL NOT NULL DEFAULT 0
) WITHOUT ROWID;
CREATE TRIGGER row_born AFTER INSERT ON rows BEGIN
    UPDATE tally SET rows = rows + 1, size = size + coalesce(new.size, 0) WHERE state = new.state;
END;
CREATE TRIGGER row_gone AFTER DELETE ON rows BEGIN
    UPDATE tally SET rows = rows - 1, size = size - coalesce(old.size, 0) WHERE state = old.state;
    DELETE FROM life WHERE row = old.id;
END;
CREATE TRIGGER row_moved AFTER UPDATE OF state, size ON rows
WHEN old.state <> new.state OR old.size IS NOT new.size BEGIN
    UPDATE tally SET rows = rows - 1, size = size - coalesce(old.size, 0) WHERE state = old.state;
    UPDATE tally SET rows = rows + 1, size = size + coalesce(new.size, 0), latest = max(latest, new.due)
        WHERE state = new.state;
END;
"""
"""`place` is a digest of the folded destination: no two rows without a problem may have the same one. `pass` counts the
readings of the plan, and is that of the last one in which the row was seen.

The tally is kept by triggers, because counting two million rows for every progress line would keep the writers waiting.
Its `latest` is the greatest `due` of all rows that ever came to the state.
"""

_NO_METADATA = Metadata()

BEGINNING = [(state.value,) for state in State]
"""The states to be tallied from the start."""

PLANNED_COLUMNS = "destination, place, size, mtime_ns, line, metadata, problem, fatal"

IDENTITY, CHANGES = "identity", "changes"
"""Facts of the run that are the journal's own business: drawn when it was made, and how often it was written to."""

DOUBTED, DOUBT = "doubted", "doubt"
"""Facts of the run: since when rows are doubtful (the time of what the journal had noted last before), and why."""

_DOUBTFUL = (
    f"EXISTS (SELECT 1 FROM run WHERE fact = '{DOUBTED}')"  # noqa: S608  (words of our own)
    " AND NOT EXISTS (SELECT 1 FROM life WHERE row = rows.id"
    f" AND what IN ('{State.STORED}', '{State.UNCHANGED}')"
    f" AND at > (SELECT CAST(value AS REAL) FROM run WHERE fact = '{DOUBTED}'))"
)

ROW_COLUMNS = (
    "id, source, destination, size, mtime_ns, line, metadata, problem, fatal, state, reason, attempts, due, owner,"
    f" fence, handler, checked_out, question, document_id, version_id, crc32, sha256, sent, seconds, {_DOUBTFUL}"
)


_TOO_MUCH = 1 << 63


class Unreadable(Exception):
    """A row is not one that was ever written."""


def written(text: str) -> str:
    """Text as the file can hold it: undecodable bytes of a file name, as Python has them, become escapes."""
    return text if text.isascii() else text.encode("utf-8", "backslashreplace").decode("utf-8")


def place(destination: str) -> bytes:
    """The same 16 bytes for all destinations that are one on the server."""
    return hashlib.blake2b(fold(destination).encode("utf-8", "backslashreplace"), digest_size=16).digest()


def plan_of(item: Item, problem: str) -> tuple[Any, ...]:
    """An item's PLANNED_COLUMNS, with the problem that it has here."""
    target = written(item.destination)
    said = _metadata(item.metadata)
    return (
        target,
        place(target),
        item.size,
        _written_time(item.mtime_ns),
        item.line,
        said,
        written(problem),
        item.fatal,
    )


def _written_time(mtime_ns: int | None) -> int | bytes | None:
    """64 bits reach from 1677 to 2262 only, and file systems know other times. SQLite leaves bytes as they are."""
    return mtime_ns if mtime_ns is None or -_TOO_MUCH <= mtime_ns < _TOO_MUCH else str(mtime_ns).encode()


def _metadata(metadata: Metadata) -> str:
    # Most files have none, and there are millions of them.
    if metadata == _NO_METADATA:
        return ""
    return json.dumps(asdict(metadata))


def birth_of(item: Item, problem: str) -> State:
    """The state of a new row."""
    if not problem:
        return State.PLANNED
    return State.FAILED if item.fatal or not item.problem else State.SKIPPED


def row_of(columns: tuple[Any, ...]) -> Row:
    """A row from its ROW_COLUMNS.

    Raises:
        Unreadable: It is damaged.
    """
    try:
        return _row_of(columns)
    except (ValueError, TypeError) as error:  # also those of JSON
        raise Unreadable(f"row {columns[0]} cannot be read: {error}") from error


def _row_of(columns: tuple[Any, ...]) -> Row:
    number, source, destination, size, mtime_ns, line, metadata, problem, fatal, *moved = columns
    state, reason, attempts, due, owner, fence, handler, checked_out, question, *facts = moved
    document_id, version_id, crc32, sha256, sent, seconds, doubtful = facts
    return Row(
        id=number,
        item=Item(
            source=source,
            destination=destination,
            size=size,
            mtime_ns=int(mtime_ns) if isinstance(mtime_ns, bytes) else mtime_ns,
            line=line,
            metadata=Metadata(**json.loads(metadata)) if metadata else _NO_METADATA,
            problem=problem,
            fatal=bool(fatal),
        ),
        state=State(state),
        reason=reason,
        attempts=attempts,
        due=due,
        owner=owner,
        fence=fence,
        handler=handler,
        checked_out=bool(checked_out),
        commit=question,
        facts=Facts(
            document_id=document_id,
            version_id=version_id,
            crc32=crc32,
            sha256=sha256,
            sent=sent,
            seconds=seconds,
        ),
        doubtful=bool(doubtful),
    )

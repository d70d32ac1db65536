"""Opens the journal's file: makes a new one, refuses what is not for this version, moves a damaged one aside."""

import sqlite3
import time
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

from asyncupload._targets import irregular
from asyncupload.errors import JournalError

from .tables import APPLICATION, BEGINNING, TABLES, VERSION

PATIENCE = 60.0
"""Seconds to wait for another process's transaction, each of which takes milliseconds unless the process is frozen."""

_DAMAGED = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB})

_BESIDE = ("", "-wal", "-shm")
"""What SQLite keeps beside a file goes with it: a strange log beside a new file is an invitation to mix them up."""


class _Damaged(Exception):
    """The file is no sound SQLite file."""


def open_file(path: Path, *, existing: bool = False) -> tuple[sqlite3.Connection, str]:
    """Open the journal at ``path`` or make one. Blocks; a large one takes seconds, because it is read whole.

    A damaged file is renamed, and a new one made: every row is planned anew then, and what is stored already is found
    to be equal on the server.

    Args:
        path: The file.
        existing: Neither make one nor move one aside, and do not read it through: damage shows when it is met.

    Returns:
        The connection, and what a user should know about it, or "".

    Raises:
        JournalError: It is another program's or a newer version's, or the operating system refuses; or ``existing`` is
            set, and there is none, or a damaged one.
    """
    if existing and not path.is_file():
        raise JournalError(f"there is no journal {path}; `asyncupload jobs` lists those that there are")
    try:
        if kind := irregular(path):  # SQLite would wait for ever for what a pipe holds
            raise JournalError(f"the journal {path} is {kind}: it must be a regular file; name another one")
        if existing:
            return _open(path, thorough=False), ""
        try:
            return _open(path), ""
        except _Damaged as damage:
            aside = _move_aside(path)
            return _open(path), (
                f"the journal {path} is damaged ({damage}); it is kept as {aside.name}, and a new one begun: all "
                "files are looked at again, and those that are stored already are recognized on the server"
            )
    except (sqlite3.Error, OSError, _Damaged) as error:
        raise refused(path, error) from error


def refused(path: Path, error: Exception) -> JournalError:
    """What to tell about an error of SQLite's."""
    match getattr(error, "sqlite_errorcode", 0) & 0xFF:  # the rest are details
        case sqlite3.SQLITE_BUSY:
            advice = "another process has kept it locked for too long; is one of them stopped?"
        case sqlite3.SQLITE_FULL | sqlite3.SQLITE_IOERR:
            advice = "make room on its disk, or name a journal on another one, and run again"
        case sqlite3.SQLITE_CORRUPT | sqlite3.SQLITE_NOTADB:
            advice = "run again: a damaged journal is moved aside then"
        case _:
            advice = "the journal must be a file that can be written, on a local disk"
    return JournalError(f"cannot use the journal {path}: {error}. Nothing is sent that cannot be recorded: {advice}")


def _open(path: Path, *, thorough: bool = True) -> sqlite3.Connection:
    # The thread that opens it is the only one that uses it. Transactions are begun and ended by hand.
    db = sqlite3.connect(path, timeout=PATIENCE, isolation_level=None)
    try:
        _prepare(db, path, thorough=thorough)
    except sqlite3.DatabaseError as error:
        db.close()
        if getattr(error, "sqlite_errorcode", 0) & 0xFF in _DAMAGED:
            raise _Damaged(str(error)) from error
        raise
    except BaseException:
        db.close()
        raise
    return db


def _prepare(db: sqlite3.Connection, path: Path, *, thorough: bool) -> None:
    if thorough and _is_new(db):
        _make(db)
    _require_ours(db, path)
    if thorough and (told := db.execute("PRAGMA quick_check(1)").fetchone()[0]) != "ok":
        raise _Damaged(told)
    # FULL: what is recorded survives a power cut, too. A commit waits for the disk, and many share one.
    db.execute("PRAGMA synchronous=FULL")
    db.execute(f"PRAGMA journal_size_limit={64 * 1024 * 1024}")


def _is_new(db: sqlite3.Connection) -> bool:
    return _number(db, "application_id") == 0 and not db.execute("SELECT 1 FROM sqlite_master").fetchone()


def _make(db: sqlite3.Connection) -> None:
    _use_a_log(db)
    db.execute("BEGIN IMMEDIATE")
    if _is_new(db):  # else another process was faster
        for statement in _statements(TABLES):
            db.execute(statement)
        db.executemany("INSERT INTO tally (state) VALUES (?)", BEGINNING)
        db.execute(f"PRAGMA application_id={APPLICATION}")
        db.execute(f"PRAGMA user_version={VERSION}")
    db.execute("COMMIT")


def _use_a_log(db: sqlite3.Connection) -> None:
    """Switch to a write-ahead log; the file remembers it.

    SQLite does not wait by itself when somebody else is about to do the same, for fear that both wait for ever.
    """
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            db.execute("PRAGMA journal_mode=WAL")
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() > deadline:
                raise
            db.execute("BEGIN EXCLUSIVE")  # this waits until the other one is done
            db.execute("COMMIT")
        else:
            return


def _statements(script: str) -> list[str]:
    """The single statements: `executescript` would commit before the first one."""
    found: list[str] = [""]
    for line in script.splitlines(keepends=True):
        found[-1] += line
        if sqlite3.complete_statement(found[-1]):
            found.append("")
    return found[:-1]


def _require_ours(db: sqlite3.Connection, path: Path) -> None:
    if _number(db, "application_id") != APPLICATION:
        raise JournalError(f"{path} is another program's SQLite file: name another file for the journal")
    if (version := _number(db, "user_version")) > VERSION:
        raise JournalError(
            f"the journal {path} was written by a newer version of asyncupload (its layout is {version}, this version "
            f"knows {VERSION}): use that version, or name another journal"
        )


def _number(db: sqlite3.Connection, pragma: str) -> int:
    return int(db.execute(f"PRAGMA {pragma}").fetchone()[0])


def _move_aside(path: Path) -> Path:
    now = datetime.now(UTC).strftime("%Y%m%dT%H%M%S.%fZ")
    aside = path.with_name(f"{path.name}.corrupt-{now}")
    for ending in _BESIDE:
        with suppress(FileNotFoundError):
            path.with_name(path.name + ending).rename(aside.with_name(aside.name + ending))
    return aside

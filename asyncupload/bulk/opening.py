"""Opens the journal's file: makes a new one, refuses what is not for this version, moves a damaged one aside."""

import errno
import shutil
import sqlite3
import time
from contextlib import closing, suppress
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory

from asyncupload._targets import irregular
from asyncupload.errors import JournalError, TargetUnwritable

from . import witness
from .locking import held
from .tables import APPLICATION, BEGINNING, TABLES, VERSION, Unreadable
from .witness import Witness

PATIENCE = 60.0
"""Seconds to wait for another process's transaction, each of which takes milliseconds unless the process is frozen."""

_WANTS_TO_WRITE = frozenset({sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_PERM})
"""What SQLite says where it may not make the files that it keeps beside one."""

_DAMAGED = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB})

_BESIDE = ("", "-wal", "-shm", "-journal")
"""What SQLite keeps beside a file goes with it: a strange log beside a new file is an invitation to mix them up."""

_COMPARED = "each file is compared with the destination before it is sent"


class Damaged(Exception):
    """The file is no sound SQLite file."""


class Opened:
    """The journal's file, open, in the thread that uses it.

    Args:
        db: The connection.
        path: The file.
        state: In which it was found.
        notice: What a user should know about it, or "".
    """

    def __init__(self, db: sqlite3.Connection, path: Path, state: Witness, notice: str) -> None:
        self.db = db
        self.notice = notice
        self._path = path
        self._state = state

    def count(self) -> Witness:
        """To be called within each transaction that writes; gives the state that it leaves. Blocks.

        Raises:
            Damaged: Somebody has put an earlier state under our hands.
        """
        witness.count(self.db)
        state = witness.found(self.db, self._state.inode)
        if state.identity != self._state.identity or state.changes <= self._state.changes:
            raise Damaged("went back to an earlier state while it was worked with")
        return state

    def note(self, state: Witness, *, durably: bool = False) -> None:
        """Write down in which state a transaction has left it, before anybody acts on that: whoever restores an earlier
        one is found out. Blocks.

        Another process may be opening it at this moment: then one of the next notes will do.
        """
        self._state = state
        with suppress(OSError, TargetUnwritable), held(self._path, patience=0.0) as lock:
            last = witness.read(lock)
            # Of several processes each notes what it has done, and not always in that order.
            if last.identity == state.identity and last.changes <= state.changes:
                witness.write(lock, replace(state, inode=last.inode, damage=last.damage), durably=durably)

    def note_damage(self, error: BaseException) -> None:
        """It was found to be damaged while it was read: whoever opens it next to work with it moves it aside, though
        it may look sound to him. Blocks."""
        with suppress(OSError, TargetUnwritable), held(self._path) as lock:
            if (last := witness.read(lock)).identity == self._state.identity:
                witness.write(lock, replace(last, damage=str(error) if isinstance(error, Damaged) else _hurt(error)))

    def close(self) -> None:
        """Let go of it. Blocks; never raises an error: what was done is on disk."""
        with suppress(sqlite3.Error):
            self.db.close()


def open_file(path: Path, *, existing: bool = False) -> Opened:
    """Open the journal at ``path`` or make one. Blocks; a large one takes seconds, because it is read whole.

    A damaged file is renamed, and a new one made. One that was deleted, copied, restored, or has lost its log, as far
    as the file beside it tells, has missed something. What either knew may be on the server: its rows are `doubtful`
    then until it has seen them to an end itself.

    Args:
        path: The file.
        existing: Neither make one nor move one aside, and do not read it through: damage shows when it is met.

    Raises:
        JournalError: It is another program's or a newer version's, or the operating system refuses; or ``existing`` is
            set, and there is none, or a damaged one.
    """
    try:
        if existing and not path.is_file():
            raise JournalError(f"there is no journal {path}; `asyncupload jobs` lists those that there are")
        if kind := irregular(path):  # SQLite would wait for ever for what a pipe holds
            raise JournalError(f"the journal {path} is {kind}: it must be a regular file; name another one")
        if existing:
            return _looked_at(path)
        with held(path, PATIENCE) as lock:
            return _worked_with(path, lock)
    except (sqlite3.Error, OSError, Damaged, TargetUnwritable) as error:
        raise refused(path, error) from error


def _looked_at(path: Path) -> Opened:
    last: Witness | None = None
    with suppress(OSError, TargetUnwritable), held(path) as lock:  # a folder that may not be written to
        last = witness.read(lock)
    db = _open_to_look(path)
    try:
        db.execute("BEGIN")
        state = witness.found(db, path.stat().st_ino)
        db.execute("COMMIT")
    except BaseException:
        db.close()
        raise
    return Opened(db, path, state, _notice(path, witness.difference(last, state) if last else ""))


def _open_to_look(path: Path) -> sqlite3.Connection:
    """Also where nothing may be written, as another user's, a copy on a read-only disk or a snapshot."""
    try:
        return _open(path, thorough=False)
    except sqlite3.OperationalError as error:
        if error.sqlite_errorcode & 0xFF not in _WANTS_TO_WRITE:
            raise
    log = path.with_name(f"{path.name}-wal")
    if not log.exists() or not log.stat().st_size:
        return _open_unwritten(path)
    # What its last writer left in the log is read from a copy: only somebody who may write can bring it home.
    with TemporaryDirectory(prefix="asyncupload-", ignore_cleanup_errors=True) as folder:
        copy = Path(folder) / "journal"
        shutil.copyfile(path, copy)
        shutil.copyfile(log, copy.with_name("journal-wal"))
        with closing(_open(copy, thorough=False)) as db:
            return _in_memory(db)


def _open_unwritten(path: Path) -> sqlite3.Connection:
    """SQLite looks for no log then, and takes no lock."""
    return _open(path, thorough=False, where=f"{path.absolute().as_uri()}?mode=ro&immutable=1")


def _in_memory(db: sqlite3.Connection) -> sqlite3.Connection:
    there = sqlite3.connect(":memory:", isolation_level=None)
    db.backup(there)
    there.execute("PRAGMA query_only=ON")
    return there


def _worked_with(path: Path, lock: int) -> Opened:
    """Nobody else opens it meanwhile."""
    last, notice = witness.read(lock), ""
    try:
        db = _open_sound(path, last)
    except Damaged as damage:
        notice = _begin_anew(path, lock, last, str(damage))
        db = _open(path)
    inode = path.stat().st_ino
    try:
        db.execute("BEGIN IMMEDIATE")
        notice = notice or _notice(path, witness.difference(last, witness.found(db, inode)))
        witness.doubt(db, notice)
        witness.count(db)
        state = witness.found(db, inode)
        db.execute("COMMIT")
        witness.write(lock, state)
    except BaseException:
        db.close()
        raise
    return Opened(db, path, state, notice)


def _open_sound(path: Path, last: Witness) -> sqlite3.Connection:
    """Also one that is new, but none that is known to be damaged, or in whose place another one was."""
    if last.damage:
        raise Damaged(last.damage)
    if last.changes and not path.exists():
        raise Damaged("was deleted")
    if last.changes and not path.stat().st_size:
        raise Damaged("was emptied")
    return _open(path)


def _begin_anew(path: Path, lock: int, last: Witness, damage: str) -> str:
    """Move aside what is left of a journal, and return what a user should know."""
    files = _files(path) or last.files
    witness.write(lock, replace(last, damage=damage))  # whoever comes after us, if we die here, must know
    aside = _move_aside(path)
    moved = f" and moved to {aside.name}" if aside.exists() else ""
    of_files = f" of {files:,} files" if files else ""
    return f"the journal {path} {damage}{moved}; what it knew{of_files} is lost: {_COMPARED}"


def _notice(path: Path, missed: str) -> str:
    return missed and f"the journal {path} {missed}; what it has missed is not known: {_COMPARED}"


def _hurt(error: BaseException) -> str:
    return f"was damaged ({error})"


def _files(path: Path) -> int:
    """How many a damaged journal knew of, if it tells; or 0."""
    if not path.exists():
        return 0
    try:
        with closing(sqlite3.connect(path)) as db:
            return int(db.execute("SELECT sum(rows) FROM tally").fetchone()[0])
    except (sqlite3.Error, ValueError, TypeError):
        return 0


def refused(path: Path, error: Exception) -> JournalError:
    """What to tell about an error of SQLite's."""
    match getattr(error, "sqlite_errorcode", 0) & 0xFF:  # the rest are details
        case sqlite3.SQLITE_BUSY:
            advice = "another process has kept it locked for too long; is one of them stopped?"
        case sqlite3.SQLITE_FULL | sqlite3.SQLITE_IOERR:
            advice = _NO_ROOM
        case _ if getattr(error, "errno", 0) in {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}:
            advice = _NO_ROOM
        case _ if is_damage(error):
            advice = "run again: a damaged journal is moved aside then"
        case _ if isinstance(error, BlockingIOError):
            advice = "another process has been opening or closing it for too long; is one of them stopped?"
        case _:
            advice = "the journal must be a file that can be written, on a local disk; name another one by --journal"
    return JournalError(f"cannot use the journal {path}: {error}. Nothing is sent that cannot be recorded: {advice}")


_NO_ROOM = "make room on its disk, or name a journal on another one, and run again"


def is_damage(error: BaseException) -> bool:
    """Whether it says that the file is not what was written."""
    if isinstance(error, sqlite3.Error):
        code: int | None = getattr(error, "sqlite_errorcode", None)
        # Without a code: a text that is none any more.
        return code & 0xFF in _DAMAGED if code is not None else "decode" in str(error)
    return isinstance(error, Unreadable | Damaged)


def _open(path: Path, *, thorough: bool = True, where: str = "") -> sqlite3.Connection:
    # The thread that opens it is the only one that uses it. Transactions are begun and ended by hand.
    db = sqlite3.connect(where or path, timeout=PATIENCE, isolation_level=None, uri=bool(where))
    try:
        _prepare(db, path, thorough=thorough)
    except sqlite3.DatabaseError as error:
        db.close()
        if is_damage(error):
            raise Damaged(_hurt(error)) from error
        raise
    except BaseException:
        db.close()
        raise
    return db


def _prepare(db: sqlite3.Connection, path: Path, *, thorough: bool) -> None:
    if thorough and _is_new(db):
        _make(db)
    _require_ours(db, path)
    # The quick check would pass over a page that has not come to the disk: its indexes tell of rows as they were.
    if thorough and (told := db.execute("PRAGMA integrity_check(1)").fetchone()[0]) != "ok":
        raise Damaged(f"was damaged ({' '.join(told.split())})")
    if thorough and not _adds_up(db):
        raise Damaged("was damaged (it has other rows than it has counted)")
    # FULL: what is recorded survives a power cut, too. A commit waits for the disk, and many share one.
    db.execute("PRAGMA synchronous=FULL")
    db.execute(f"PRAGMA journal_size_limit={64 * 1024 * 1024}")


def _adds_up(db: sqlite3.Connection) -> bool:
    """Whether it has the rows that it has counted: pages of different times may fit each other in all but that."""
    db.execute("BEGIN")
    rows = dict(db.execute("SELECT state, count(*) FROM rows GROUP BY state"))
    try:
        counted = witness.found(db, 0).rows
    except ValueError:  # a number that is none
        return False
    db.execute("COMMIT")
    return rows == counted


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

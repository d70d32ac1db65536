"""What the file beside a journal says of it: in which state it was worked with last. A journal that is in another one
has missed something, and no row of it can tell what.

The file is the one that processes lock (`locking.held`), so it can be read and written by its holder only.
"""

import json
import os
import secrets
import sqlite3
from dataclasses import asdict, dataclass
from pathlib import Path

from .tables import DOUBT, DOUBTED, IDENTITY, OPENINGS

_MOST = 4096
"""Bytes of it that are read."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Witness:
    """A journal's state, as it was seen last."""

    identity: str = ""
    """Drawn when the journal was made."""
    openings: int = 0
    """How many times it was opened to be worked with, or closed after that. 0: it was never seen."""
    inode: int = 0
    """The file's number in its file system: a copy has another one."""
    open: bool = False
    """Whether it was not closed since, so that what was done last lies in the log beside it."""
    files: int = 0
    """How many it knew of."""
    damage: str = ""
    """What was found to be wrong with it: it is about to be moved aside, or is to be the next time."""


def read(descriptor: int) -> Witness:
    """What is written there. What cannot be read was never seen."""
    os.lseek(descriptor, 0, os.SEEK_SET)
    try:
        return Witness(**json.loads(os.read(descriptor, _MOST)))
    except (ValueError, TypeError):
        return Witness()


def write(descriptor: int, witness: Witness) -> None:
    """Put it in place of what is written there, and on disk."""
    text = json.dumps(asdict(witness)).encode()
    os.lseek(descriptor, 0, os.SEEK_SET)
    os.write(descriptor, text)
    os.truncate(descriptor, len(text))
    os.fsync(descriptor)


def difference(last: Witness, now: Witness, *, log: bool) -> str:
    """What tells that a journal has missed something; empty if nothing does. Pure.

    Args:
        last: As it was seen last.
        now: As it is found.
        log: Whether there is a log beside it.
    """
    if not now.openings and not last.openings:
        return ""  # it was never worked with
    if now.identity != last.identity:
        return "is not the one that was last worked with here"
    if now.inode != last.inode:
        return "was copied or restored since it was last worked with"
    if now.openings < last.openings:
        return "is an earlier state of itself"
    # Whoever closes it counts before the log is merged into the file: with a greater number nothing is missing.
    if last.open and not log and now.openings == last.openings:
        return "has lost the log (-wal) that was beside it"
    return ""


def found(db: sqlite3.Connection, path: Path) -> Witness:
    """The state of a journal."""
    run = dict(db.execute("SELECT fact, value FROM run WHERE fact IN (?, ?)", (IDENTITY, OPENINGS)))
    files: int = db.execute("SELECT sum(rows) FROM tally").fetchone()[0]
    return Witness(
        identity=run.get(IDENTITY, ""),
        openings=int(run.get(OPENINGS, 0)),
        inode=path.stat().st_ino,
        files=files,
    )


def as_new(db: sqlite3.Connection, notice: str) -> None:
    """Make a copy a journal of its own, that was never opened. With a notice it doubts what it says."""
    db.execute("DELETE FROM run WHERE fact IN (?, ?)", (IDENTITY, OPENINGS))
    _doubt(db, notice)
    db.commit()


def _doubt(db: sqlite3.Connection, notice: str) -> None:
    """What the journal has not seen from now on is doubtful. The handlers and check-outs that it tells of may be
    another program's by now: they are left alone."""
    if not notice:
        return
    db.execute("UPDATE rows SET handler = '', checked_out = 0 WHERE handler <> '' OR checked_out")
    since = db.execute("SELECT coalesce(max(at), -1) FROM life").fetchone()[0]
    db.execute("INSERT OR REPLACE INTO run VALUES (?, ?), (?, ?)", (DOUBTED, repr(float(since)), DOUBT, notice))


def count(db: sqlite3.Connection, notice: str = "") -> None:
    """Write into a journal that it is opened, or closed, once more. With a notice, it doubts what it says."""
    db.execute("BEGIN IMMEDIATE")
    _doubt(db, notice)
    new = (IDENTITY, secrets.token_hex(8), OPENINGS, "0")
    db.execute("INSERT OR IGNORE INTO run VALUES (?, ?), (?, ?)", new)
    db.execute("UPDATE run SET value = value + 1 WHERE fact = ?", (OPENINGS,))
    db.execute("COMMIT")


def has_log(path: Path) -> bool:
    """Whether there is a log beside a journal, with something in it."""
    log = path.with_name(f"{path.name}-wal")
    return log.exists() and log.stat().st_size > 0

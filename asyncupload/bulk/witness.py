"""What the file beside a journal says of it: in which state it was left. A journal that is in another one has missed
something, and no row of it can tell what.

The file is the one that processes lock (`locking.held`), so it can be read and written by its holder only.
"""

import json
import os
import secrets
import sqlite3
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace

from .tables import CHANGES, DOUBT, DOUBTED, IDENTITY

_MOST = 4096
"""Bytes of it that are read."""

_AT_ONCE = 1.0
"""Seconds within which it is written, once it is known when."""

_ROOM = 512
"""Bytes that are written at least, so that it keeps its length: then a power cut leaves one state or the other."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Witness:
    """A journal's state, as it was seen last."""

    identity: str = ""
    """Drawn when the journal was made."""
    changes: int = 0
    """How many transactions have written to it. 0: it was never seen."""
    inode: int = 0
    """The file's number in its file system: a copy has another one."""
    rows: Mapping[str, int] = field(default_factory=dict)
    """How many it had in each state."""
    at: float = 0.0
    """When this was written, in seconds since 1970."""
    replaced: bool = False
    """Whether what says so was written by somebody else since: it was put back as it was once. Never written."""
    damage: str = ""
    """What was found to be wrong with it: it is about to be moved aside, or is to be the next time."""

    @property
    def files(self) -> int:
        """How many it knew of."""
        return sum(self.rows.values())


def read(descriptor: int) -> Witness:
    """What is written there. What cannot be read was never seen."""
    os.lseek(descriptor, 0, os.SEEK_SET)
    try:
        witness = Witness(**json.loads(os.read(descriptor, _MOST)))
        # Nobody can set this time, but on Windows, where it is another one.
        late = os.name == "posix" and os.fstat(descriptor).st_ctime - witness.at > _AT_ONCE
    except (ValueError, TypeError):
        return Witness()
    return replace(witness, replaced=late)


def write(descriptor: int, witness: Witness, *, durably: bool = True) -> None:
    """Put it in place of what is written there.

    Args:
        descriptor: Of the file.
        witness: What to write.
        durably: Whether to wait until it is on disk. After a power cut it may be older than the journal else, which
            says less, and nothing wrong.
    """
    while True:
        now = time.time()
        text = json.dumps(asdict(replace(witness, at=now, replaced=False))).ljust(_ROOM).encode()
        os.lseek(descriptor, 0, os.SEEK_SET)
        os.write(descriptor, text)
        os.truncate(descriptor, len(text))
        if time.time() - now < _AT_ONCE:  # or we were frozen in between, and it would look like another's writing
            break
    if durably:
        os.fsync(descriptor)


def difference(last: Witness, now: Witness) -> str:
    """What tells that a journal has missed something; empty if nothing does. Pure.

    Args:
        last: As it was seen last.
        now: As it is found.
    """
    if not now.changes and not last.changes:
        return ""  # it was never worked with
    if now.identity != last.identity:
        return "is not the one that was last worked with here"
    if now.inode != last.inode or last.replaced:
        return "was copied or restored since it was last worked with"
    if now.changes < last.changes:
        return "is an earlier state of itself: it was restored, or has lost what was in the log (-wal) beside it"
    # With more changes than were seen its process was killed between the last one and the note of it.
    if now.changes == last.changes and now.rows != last.rows:
        return "was changed by another program"
    return ""


def found(db: sqlite3.Connection, inode: int) -> Witness:
    """The state of a journal. Within a transaction, or others may change it meanwhile."""
    run = dict(db.execute("SELECT fact, value FROM run WHERE fact IN (?, ?)", (IDENTITY, CHANGES)))
    rows = dict(db.execute("SELECT state, rows FROM tally WHERE rows ORDER BY state"))
    return Witness(identity=run.get(IDENTITY, ""), changes=int(run.get(CHANGES, 0)), inode=inode, rows=rows)


def as_new(db: sqlite3.Connection, notice: str) -> None:
    """Make a copy a journal of its own, that was never opened. With a notice it doubts what it says."""
    db.execute("DELETE FROM run WHERE fact IN (?, ?)", (IDENTITY, CHANGES))
    doubt(db, notice)
    db.commit()


def doubt(db: sqlite3.Connection, notice: str) -> None:
    """What the journal has not seen from now on is doubtful, if there is a notice. The handlers and check-outs that it
    tells of may be another program's by now: they are left alone."""
    if not notice:
        return
    db.execute("UPDATE rows SET handler = '', checked_out = 0 WHERE handler <> '' OR checked_out")
    since = db.execute("SELECT coalesce(max(at), -1) FROM life").fetchone()[0]
    db.execute("INSERT OR REPLACE INTO run VALUES (?, ?), (?, ?)", (DOUBTED, repr(float(since)), DOUBT, notice))


def count(db: sqlite3.Connection) -> None:
    """Write into a journal that it is written to once more, within the transaction that does."""
    db.execute("INSERT OR IGNORE INTO run VALUES (?, ?), (?, '0')", (IDENTITY, secrets.token_hex(8), CHANGES))
    db.execute("UPDATE run SET value = value + 1 WHERE fact = ?", (CHANGES,))

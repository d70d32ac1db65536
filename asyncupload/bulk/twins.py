"""Lines of a list that say different things of one place: whichever came last would win, and nobody would know."""

import sqlite3
from contextlib import closing
from hashlib import blake2b
from typing import NamedTuple

from .rows import Metadata
from .tables import place

_DIGEST = 8
"""Bytes. Only lines of one place are compared by it."""

_NOTHING = Metadata()

_CACHE = -16 * 1024
"""KiB in memory; what is more stands in a temporary file, which SQLite removes."""


class _Said(NamedTuple):
    line: int
    source: bytes
    metadata: bytes


class Twins:
    """Remembers of each place on the server what was said of it first. Blocks; used by one thread at a time.

    Memory: some MiB, however long the list is.
    """

    def __init__(self) -> None:
        self._db = sqlite3.connect("", isolation_level=None, check_same_thread=False)
        self._db.execute(f"PRAGMA cache_size={_CACHE}")
        self._db.execute("PRAGMA journal_mode=OFF")
        self._db.execute("PRAGMA synchronous=OFF")
        self._db.execute(
            "CREATE TABLE said (place BLOB PRIMARY KEY, line INTEGER, source BLOB, metadata BLOB) WITHOUT ROWID"
        )
        self._db.execute("BEGIN")  # never committed: each statement would be a transaction of its own

    def contradiction(self, line: int, source: bytes, destination: str, metadata: Metadata) -> str:
        """With which earlier line this one cannot stand; empty if with all. The same line twice is no contradiction.

        Raises:
            OSError: There is no room for what is to be remembered.
        """
        try:
            return self._contradiction(line, source, destination, metadata)
        except sqlite3.Error as error:
            raise OSError(
                f"there is no room to remember what it says, by which contradictions are found ({error}); set TMPDIR "
                "to a folder with room"
            ) from error

    def _contradiction(self, line: int, source: bytes, destination: str, metadata: Metadata) -> str:
        now = _Said(line, _digest(source), _said_of(metadata))
        where = place(destination)
        if self._db.execute("INSERT OR IGNORE INTO said VALUES (?, ?, ?, ?)", (where, *now)).rowcount:
            return ""
        first = _Said(*self._db.execute("SELECT line, source, metadata FROM said WHERE place = ?", (where,)).fetchone())
        if first.source != now.source:
            return f"line {first.line} sends another source to the same place, {destination}: keep one of the two"
        if first.metadata != now.metadata:
            return f"line {first.line} sends the same to the same place, with other words about it: keep one of the two"
        return ""

    def close(self) -> None:
        """Forget everything."""
        with closing(self._db):
            pass


def _said_of(metadata: Metadata) -> bytes:
    # Most lines say nothing, and there are millions of them.
    return b"" if metadata == _NOTHING else _digest(repr(metadata).encode("utf-8", "backslashreplace"))


def _digest(data: bytes) -> bytes:
    return blake2b(data, digest_size=_DIGEST).digest()

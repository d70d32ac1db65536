"""Download handlers."""

import sqlite3
import uuid
from dataclasses import dataclass
from pathlib import Path

from asyncupload.emulator.library import Version


@dataclass(frozen=True, slots=True)
class Download:
    """What a download handler stands for: `size` bytes in `file`, asked for in pieces of `chunk_size` bytes."""

    guid: str
    chunk_size: int
    size: int
    file: Path


class Downloads:
    """Keeps a handler until it is deleted. It serves the user who opened it."""

    def __init__(self, db: sqlite3.Connection, contents: Path) -> None:
        self._db = db
        self._contents = contents

    def open(self, version: Version, owner: int, chunk_size: int) -> Download:
        guid = str(uuid.uuid4())
        query = "INSERT INTO downloads (guid, owner, version, chunk_size) VALUES (?, ?, ?, ?)"
        self._db.execute(query, (guid, owner, version.id, chunk_size))
        return Download(guid, chunk_size, version.size, self._contents / str(version.id))

    def find(self, guid: str, owner: int) -> Download | None:
        query = (
            "SELECT guid, chunk_size, size, versions.id FROM downloads "
            "JOIN versions ON versions.id = version WHERE guid = ? AND owner = ?"
        )
        row = self._db.execute(query, (guid, owner)).fetchone()
        return None if row is None else Download(row[0], row[1], row[2], self._contents / str(row[3]))

    def delete(self, guid: str, owner: int) -> None:
        self._db.execute("DELETE FROM downloads WHERE guid = ? AND owner = ?", (guid, owner))

"""Upload handlers and the bytes staged in them."""

import shutil
import sqlite3
import time
import uuid
import zlib
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path

from asyncupload.emulator.accounts import Ticket
from asyncupload.emulator.links import link

SMALLEST_CHUNK = 262_144
LARGEST_CHUNK = 33_554_432

_COLUMNS = "id, guid, owner, ticket, chunk_size, size, crc, completed, created, touched"


@dataclass(frozen=True, slots=True)
class UploadHandler:
    """`size` bytes are staged and `crc` is their CRC-32. `created` and `touched` in seconds since 1970.

    `owner` is a user's id and `ticket` the one that it was made with; both are None until somebody who is signed
    in has used a handler made without a ticket.
    """

    id: int
    guid: str
    owner: int | None
    ticket: str | None
    chunk_size: int
    size: int
    crc: int
    completed: bool
    created: float
    touched: float


class Handlers:
    """Keeps a handler until it is deleted or consumed; when a real server lets one expire is open (question 4)."""

    def __init__(self, db: sqlite3.Connection, staging: Path) -> None:
        self._db = db
        self._staging = staging
        self._leaving: set[int] = set()
        self._held = Counter[int]()

    def create(self, ticket: Ticket | None, chunk_size: int) -> UploadHandler:
        guid, now = str(uuid.uuid4()), time.time()
        owner, bound = (None, None) if ticket is None else (ticket.user.id, ticket.guid)
        row = (guid, owner, bound, chunk_size, now, now)
        cursor = self._db.execute(
            "INSERT INTO uploads (guid, owner, ticket, chunk_size, size, crc, completed, created, touched) "
            "VALUES (?, ?, ?, ?, 0, 0, 0, ?, ?)",
            row,
        )
        made = cursor.lastrowid or 0
        return UploadHandler(made, guid, owner, bound, chunk_size, 0, 0, completed=False, created=now, touched=now)

    def find(self, guid: str) -> UploadHandler | None:
        row = self._db.execute(f"SELECT {_COLUMNS} FROM uploads WHERE guid = ?", (guid,)).fetchone()  # noqa: S608
        return None if row is None else _handler(row)

    def open(self) -> list[UploadHandler]:
        return [_handler(row) for row in self._db.execute(f"SELECT {_COLUMNS} FROM uploads ORDER BY id")]  # noqa: S608

    def append(self, handler: UploadHandler, chunk: bytes | memoryview, *, ticket: Ticket, last: bool) -> UploadHandler:
        """Append the bytes, and go on with the CRC of all that is staged. A handler without an owner has one now.

        The file is made by the first chunk, and cut to the recorded size first: a write whose transaction was taken
        back leaves bytes behind that size.
        """
        with self._path(handler.id).open("ab") as file:
            file.truncate(handler.size)
            file.write(chunk)
        size, crc, now = handler.size + len(chunk), zlib.crc32(chunk, handler.crc), time.time()
        owner, bound = (ticket.user.id, ticket.guid) if handler.owner is None else (handler.owner, handler.ticket)
        self._db.execute(
            "UPDATE uploads SET size = ?, crc = ?, completed = ?, owner = ?, ticket = ?, touched = ? WHERE id = ?",
            (size, crc, last, owner, bound, now, handler.id),
        )
        return replace(handler, size=size, crc=crc, completed=last, owner=owner, ticket=bound, touched=now)

    def take(self, handler: UploadHandler, target: Path) -> None:
        """Put the staged bytes at `target`, over what a crash may have left there; the handler is gone."""
        link(self._path(handler.id), target)
        self.delete(handler)

    def hold(self, handler: UploadHandler) -> None:
        """Keep its bytes, even if somebody deletes or consumes it, until as many have let go as have held."""
        self._held[handler.id] += 1

    def let_go(self, handler: UploadHandler) -> None:
        self._held[handler.id] -= 1

    def delete(self, handler: UploadHandler) -> None:
        """The handler is gone; its bytes go when that is certain (`sweep`)."""
        self._db.execute("DELETE FROM uploads WHERE id = ?", (handler.id,))
        self._leaving.add(handler.id)

    def sweep(self) -> None:
        """After each transaction: remove the bytes of handlers that are gone.

        Not within it. A process killed in between has a handler without a row, which `recover` clears away, and never
        a row without its bytes.
        """
        leaving, self._leaving = self._leaving, {handler for handler in self._leaving if self._held[handler] > 0}
        for handler in leaving - self._leaving:
            # The row is still there if the transaction was taken back.
            if self._db.execute("SELECT 1 FROM uploads WHERE id = ?", (handler,)).fetchone() is None:
                self._path(handler).unlink(missing_ok=True)

    def delete_all(self) -> None:
        for handler in self.open():
            self.delete(handler)

    def recover(self) -> None:
        """Make files and database agree after a crash: cut what is not recorded, drop what is lost."""
        known = {handler.id: handler for handler in self.open()}
        for path in self._staging.iterdir():
            if path.is_dir():
                shutil.rmtree(path)
            elif not path.name.isdecimal() or int(path.name) not in known:
                path.unlink()
        for handler in known.values():
            path = self._path(handler.id)
            if not path.exists() and handler.size == 0:
                continue
            if not path.exists() or path.stat().st_size < handler.size:
                self.delete(handler)
            elif path.stat().st_size > handler.size:
                with path.open("r+b") as file:
                    file.truncate(handler.size)

    def file(self, handler: UploadHandler) -> Path:
        """Where the staged bytes are; nothing is there before the first chunk."""
        return self._path(handler.id)

    def _path(self, handler: int) -> Path:
        return self._staging / str(handler)


def _handler(row: tuple[int, str, int | None, str | None, int, int, int, int, float, float]) -> UploadHandler:
    number, guid, owner, ticket, chunk_size, size, crc, completed, created, touched = row
    return UploadHandler(number, guid, owner, ticket, chunk_size, size, crc, bool(completed), created, touched)

"""The ledger: one line for every document that was stored, kept for years, to ask the server again one day."""

import hashlib
import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import anyio.to_thread

from asyncupload._targets import open_regular
from asyncupload.errors import TargetUnwritable, UsageError

from .locking import locked
from .queue import Queue
from .rows import Row, State
from .spelling import spelled, unspelled

_AT_ONCE = 1000
"""Lines that are written and on disk at once. A run that died has left that many at most that nobody marked."""


class LedgerError(UsageError):
    """A ledger cannot be used; the message tells the line."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A document that was stored."""

    source: bytes
    """The local path, as `os.fsencode` has it."""
    destination: str
    size: int | None
    """Bytes, as planned; None if nobody could tell."""
    mtime_ns: int | None
    """When the source was last written, in nanoseconds since 1970."""
    crc32: int | None
    """Of the bytes that were stored; None if the run that would know died in the moment of storing."""
    sha256: str | None
    """In hexadecimal digits, if it was asked for."""
    document_id: int | None
    version_id: int | None
    stored_at: str
    """ISO 8601, UTC."""
    server: str
    user: str


def read(path: Path) -> Iterator[Entry]:
    """Everything in a ledger, one by one. Blocks.

    Raises:
        LedgerError: A line is none of a ledger's, or the file cannot be read. A last line without its end is one:
            the next load that writes to the ledger repairs it.
    """
    try:
        with open(path, "rb", opener=open_regular) as file:
            for number, line in enumerate(file, start=1):
                yield _entry(line, f"{path} line {number}")
    except OSError as error:
        raise LedgerError(f"the ledger {path} cannot be read: {error}") from error


class Ledger:
    """Writes what a queue has stored, each document once, also over runs that are killed.

    The queue remembers how far its rows are written, and how long the ledger was then. Lines behind that, of a run that
    died before it could say so, are recognized; half a line at the end is taken off. Several processes, and several
    loads, may write to one ledger on a local disk.

    Args:
        path: The file; it is made when there is something to write.
        queue: Whose rows. What its run keeps as ``server`` and ``user`` stands in every line.
    """

    def __init__(self, path: Path, queue: Queue) -> None:
        self._path = path
        self._queue = queue

    async def catch_up(self) -> int:
        """Write all that is stored and not written yet, and return how many lines that were.

        To be called now and then, at the end of a run, and *before* a run plans its files anew: what is planned anew
        is no longer known to have been stored.

        Raises:
            TargetUnwritable: The ledger cannot be written. Nothing is lost: the next call writes it.
            LedgerError: The ledger is shorter than it was.
            JournalError: The queue cannot be read or written.

        On cancellation: the lines that are being written are written; the next call finds them.
        """
        run = await self._queue.run()
        written = 0
        try:
            async with locked(self._path):
                while count := await self._write_some(run.get("server", ""), run.get("user", "")):
                    written += count
        except OSError as error:
            raise TargetUnwritable(
                f"the ledger {self._path} cannot be written: {error}. The journal knows what is missing in it: run "
                "again with the same ledger when it can"
            ) from error
        return written

    async def _write_some(self, server: str, user: str) -> int:
        name, length = await anyio.to_thread.run_sync(_repaired, self._path)
        mark = _Mark(**json.loads((await self._queue.run()).get(name, "{}")))
        if length < mark.length:
            raise LedgerError(
                f"the ledger {self._path} is shorter ({length} bytes) than when the load last wrote to it "
                f"({mark.length}): somebody has taken lines out of it. Name another ledger, which will have every line"
            )
        rows = await self._stored(mark.after)
        if not rows:
            return 0
        lines = [_line(row, server, user) for row in rows]
        name, count, length = await anyio.to_thread.run_sync(_append, self._path, lines, mark.length)
        await self._queue.note_run(**{name: json.dumps({"after": rows[-1].due, "length": length})})
        return count or await self._write_some(server, user)

    async def _stored(self, after: float) -> list[Row]:
        rows: list[Row] = []
        async for row in self._queue.rows([State.STORED], after=after):
            rows.append(row)
            if len(rows) == _AT_ONCE:
                break
        return rows


def _line(row: Row, server: str, user: str) -> bytes:
    item, facts = row.item, row.facts
    told = {
        "source": spelled(item.source),
        "destination": item.destination,
        "size": item.size,
        "mtime_ns": item.mtime_ns,
        "crc32": None if facts.crc32 is None else f"{facts.crc32:08X}",
        "sha256": facts.sha256 or None,
        "document_id": facts.document_id,
        "version_id": facts.version_id,
        "stored_at": datetime.fromtimestamp(row.due, UTC).isoformat(timespec="microseconds"),
        "server": server,
        "user": user,
    }
    return json.dumps(told).encode() + b"\n"


class _Mark(NamedTuple):
    """What the queue remembers of a ledger."""

    after: float = -1.0
    """When the last row that is written was stored."""
    length: int = 0
    """Bytes up to the end of its line, or more."""


def _repaired(path: Path) -> tuple[str, int]:
    """Take off what follows the last line end, the beginning of a line whose writer died.

    Returns:
        The ledger's name, and how many bytes it has.
    """
    if not path.exists():
        return "", 0
    with open(path, "rb+", opener=open_regular) as file:
        end = file.seek(0, os.SEEK_END)
        keep = _end_of_lines(file, end)
        if keep < end:
            file.truncate(keep)
        return _name(file), keep


def _end_of_lines(file: BinaryIO, end: int) -> int:
    while end:
        begin = max(0, end - 65536)
        file.seek(begin)
        if (found := file.read(end - begin).rfind(b"\n")) >= 0:
            return begin + found + 1
        end = begin
    return 0


def _name(file: BinaryIO) -> str:
    """What the queue knows it by: its first line, so that it may be moved, and one that was emptied is another one."""
    file.seek(0)
    first = file.readline()
    return f"ledger {hashlib.sha256(first).hexdigest()[:32]}" if first else ""


def _append(path: Path, lines: Sequence[bytes], marked: int) -> tuple[str, int, int]:
    """Append those lines that do not stand behind ``marked`` bytes already.

    Returns:
        The ledger's name, how many lines were appended, and how many bytes it has then.
    """
    with open(path, "ab+", opener=open_regular) as file:
        file.seek(marked)
        wanted = {_document(line) for line in lines}
        there = wanted.intersection(map(_document, file))
        missing = [line for line in lines if _document(line) not in there]
        file.write(b"".join(missing))
        file.flush()
        os.fsync(file.fileno())
        return _name(file), len(missing), file.seek(0, os.SEEK_END)


def _document(line: bytes) -> bytes:
    """A line without who wrote it, which may be another user after the one who died."""
    return line.rpartition(b', "server": ')[0]


def _entry(line: bytes, where: str) -> Entry:
    if not line.endswith(b"\n"):
        raise LedgerError(f"{where}: it has no end; a load that writes to this ledger again repairs it")
    try:
        return _checked(json.loads(line))
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise LedgerError(f"{where}: it is no line of a ledger: {type(error).__name__} {error}") from error


def _checked(told: dict[str, Any]) -> Entry:
    texts = {name: _is(told[name], str) for name in ("source", "destination", "stored_at", "server", "user")}
    numbers = {name: _is(told[name], int, type(None)) for name in ("size", "mtime_ns", "document_id", "version_id")}
    crc32, sha256 = _is(told["crc32"], str, type(None)), _is(told["sha256"], str, type(None))
    datetime.fromisoformat(texts["stored_at"])
    source = unspelled(texts.pop("source"))
    return Entry(source=source, crc32=None if crc32 is None else int(crc32, 16), sha256=sha256, **texts, **numbers)


def _is(value: Any, *kinds: type) -> Any:
    if type(value) not in kinds:
        raise TypeError(f"{value!r} has no place there")
    return value

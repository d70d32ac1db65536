"""A row of the journal as a line for other programs: CSV or JSON Lines."""

import csv
import io
import json
from collections.abc import Iterable

from .rows import ENDED, Row
from .spelling import spelled

COLUMNS = (
    "source",
    "destination",
    "size",
    "state",
    "reason",
    "attempts",
    "document_id",
    "version_id",
    "crc32",
    "sha256",
    "seconds",
    "line",
)

CANCELLED = "cancelled"
"""How a row that has not ended is reported."""

_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "'")


def outcome(row: Row) -> str:
    """stored, unchanged, skipped, failed or cancelled."""
    return str(row.state) if row.state in ENDED else CANCELLED


def record(row: Row) -> dict[str, str | int | float | None]:
    """What is reported of a row, by `COLUMNS`; None where nobody knows.

    ``size`` is in bytes as planned, ``seconds`` are of the last attempt, ``crc32`` are eight hexadecimal digits,
    ``line`` is the manifest's. The source is written as `spelling.spelled` tells.
    """
    facts = row.facts
    return {
        "source": spelled(row.item.source),
        "destination": row.item.destination,
        "size": row.item.size,
        "state": outcome(row),
        "reason": row.reason,
        "attempts": row.attempts,
        "document_id": facts.document_id,
        "version_id": facts.version_id,
        "crc32": None if facts.crc32 is None else f"{facts.crc32:08X}",
        "sha256": facts.sha256 or None,
        "seconds": round(facts.seconds, 3),
        "line": row.item.line or None,
    }


class Csv:
    """RFC 4180: commas, CRLF, a header; UTF-8. What nobody knows is an empty cell.

    A text that begins with ``=``, ``+``, ``-``, ``@``, a tab or a line end is a formula to spreadsheets, and a file's
    name may be anybody's: it is written with an apostrophe in front of it, and so is a text that begins with an
    apostrophe. To have the text back, take one apostrophe away. That holds where commas separate cells: a spreadsheet
    that takes semicolons instead has to be told.
    """

    def first(self) -> str:
        """The header."""
        return _lines([COLUMNS])

    def of(self, rows: Iterable[Row]) -> str:
        """A line for each row."""
        return _lines([[guarded(value) for value in record(row).values()] for row in rows])

    def last(self) -> str:
        """Nothing."""
        return ""


class JsonLines:
    """One object on each line, in ASCII."""

    def first(self) -> str:
        """Nothing."""
        return ""

    def of(self, rows: Iterable[Row]) -> str:
        """A line for each row."""
        return "".join(json.dumps(record(row)) + "\n" for row in rows)

    def last(self) -> str:
        """Nothing."""
        return ""


def guarded(value: str | float | None) -> str | float | None:
    """A cell that no spreadsheet takes for a formula. Numbers are none."""
    return f"'{value}" if isinstance(value, str) and value.startswith(_FORMULA) else value


def _lines(cells: Iterable[Iterable[str | float | None]]) -> str:
    text = io.StringIO()
    csv.writer(text).writerows(cells)
    return text.getvalue()

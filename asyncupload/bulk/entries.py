"""What a manifest says, line by line. Knows the two formats and all that can be wrong with a line; opens no file.

    CSV     a header line, then one line per file; comma, semicolon or tab, whichever the header has
    JSONL   one object per line, under the same names

The names are those of `COLUMNS`. Others must begin with ``x-``, and are passed over.
"""

import csv
import json
import re
from collections.abc import Iterator
from datetime import date
from typing import Any, BinaryIO, Literal, NamedTuple, TypeAlias

from .rows import Metadata

REQUIRED = ("source", "destination")
COLUMNS = (*REQUIRED, "version_comment", "description", "keywords", "created", "modified")

LONGEST_LINE = 1024 * 1024
"""Bytes of a line, and of a CSV record whose quotes hold several lines."""

Format: TypeAlias = Literal["csv", "jsonl"]

_BOM = b"\xef\xbb\xbf"
_DATES = ("created", "modified")
_NOT_IN_XML = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff]")
"""What tells of a document travels in XML, which has no way to write these."""


class ManifestProblem(NamedTuple):
    """What is wrong with a manifest, and where."""

    line: int
    """Counted from 1. Of a record over several lines the first one."""
    text: str

    def __str__(self) -> str:
        return f"line {self.line}: {self.text}"


class Entry(NamedTuple):
    """A file to send, as written."""

    line: int
    source: str
    destination: str
    metadata: Metadata


class _Bad(Exception):
    """This line cannot be used, but others may."""


class _Lost(_Bad):
    """Nor can what follows: nobody knows where the next record begins."""


def entries(file: BinaryIO, format_: Format | None) -> Iterator[Entry | ManifestProblem]:
    """Everything that a manifest says, and everything that is wrong with it, in the order of its lines.

    Args:
        file: From the beginning; at most some lines of it are held.
        format_: If None, the first character that is no space tells: ``{`` or ``[`` begins JSONL.
    """
    lines = _Lines(file)
    try:
        lines.skip_blank()
    except _Bad as bad:
        yield ManifestProblem(lines.number, str(bad))
        return
    reader = {"csv": _csv, "jsonl": _jsonl}[format_ or _sniffed(lines.peek())]
    yield from reader(lines)


class _Lines:
    """Lines of bytes, their number known and their length bounded. The byte order mark is taken off."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._ahead: bytes | None = None
        self.number = 0
        self.offset = 0
        """Bytes up to the end of the line `number`."""

    def peek(self) -> bytes:
        """The next line, which stays the next; empty at the end."""
        if self._ahead is None:
            self._ahead = self._file.readline(LONGEST_LINE + 1)
            if self.number == 0:
                self._ahead = self._ahead.removeprefix(_BOM)
        return self._ahead

    def next(self) -> bytes:
        """The next line with its end; empty after the last.

        Raises:
            _Bad: It is too long, and was passed over.
        """
        line, self._ahead = self.peek(), None
        self.number += bool(line)
        self.offset += len(line)
        if len(line) <= LONGEST_LINE:
            return line
        while line and not line.endswith(b"\n"):
            line = self._file.readline(LONGEST_LINE)
        raise _Bad(f"it is longer than {LONGEST_LINE} bytes")

    def skip_blank(self) -> None:
        """Go to the first line that has something on it."""
        while self.peek() and not self.peek().strip():
            self.next()


def _sniffed(line: bytes) -> Format:
    return "jsonl" if line.lstrip()[:1] in {b"{", b"["} else "csv"


def _jsonl(lines: _Lines) -> Iterator[Entry | ManifestProblem]:
    while lines.peek():
        try:
            if text := _decoded(lines.next()).strip():
                yield _entry(lines.number, _object(text))
        except _Bad as bad:
            yield ManifestProblem(lines.number, str(bad))


class _Pairs(list[tuple[str, Any]]):
    """A JSON object with nothing lost: a dict would keep only the last of two values under one name."""


def _object(text: str) -> dict[str, str]:
    try:
        # A number is wrong in any length; as an integer, a long one would say so in other words.
        found = json.loads(text, object_pairs_hook=_Pairs, parse_int=float)
    except (ValueError, RecursionError) as error:
        raise _Bad(f"it is not JSON: {error}") from error
    if not isinstance(found, _Pairs):
        raise _Bad("it is not an object in braces; JSON Lines has one on each line")
    _require_columns([name for name, _ in found])
    known = {name: value for name, value in found if name in COLUMNS and value is not None}
    if wrong := [name for name, value in known.items() if not isinstance(value, str)]:
        raise _Bad(f"not a string: {', '.join(wrong)}")
    return known


def _csv(lines: _Lines) -> Iterator[Entry | ManifestProblem]:
    if not lines.peek():
        yield ManifestProblem(1, "there is nothing in it; CSV begins with a header, source,destination at least")
        return
    begin = lines.number + 1
    try:
        delimiter = _delimiter(lines.peek())
        names = _header(_record(lines, delimiter))
    except _Bad as bad:
        yield ManifestProblem(begin, str(bad))
        return
    while lines.peek():
        begin = lines.number + 1
        try:
            if any(record := _record(lines, delimiter)):
                yield _entry(begin, _named(names, record))
        except _Bad as bad:
            yield ManifestProblem(begin, str(bad))
            if isinstance(bad, _Lost):
                return


def _delimiter(header: bytes) -> str:
    if header.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise _Bad("it is written in UTF-16; save it as UTF-8")
    return max(",;\t", key=lambda sign: header.count(sign.encode()))


def _record(lines: _Lines, delimiter: str) -> list[str]:
    """The fields of the next record, which may go over several lines; none for a blank line."""
    begin = lines.number + 1
    end = lines.offset + LONGEST_LINE

    def fed() -> Iterator[str]:
        while line := lines.next():
            if lines.offset > end:
                raise _Bad(f"it is longer than {LONGEST_LINE} bytes")
            yield _decoded(line)

    try:
        return next(csv.reader(fed(), delimiter=delimiter, strict=True), [])
    except (csv.Error, _Bad) as error:
        if lines.number > begin:
            raise _Lost("a quote opens on it that is not closed, and nothing after it was read") from error
        raise (_Bad(f"it is not CSV: {error}") if isinstance(error, csv.Error) else _Lost(str(error))) from error


def _header(record: list[str]) -> list[str]:
    names = [name.strip().casefold() for name in record]
    _require_columns(names)
    return names


def _named(names: list[str], record: list[str]) -> dict[str, str]:
    if len(record) != len(names):
        raise _Bad(f"it has {len(record)} fields, and the header has {len(names)}")
    return dict(zip(names, record, strict=True))


def _require_columns(names: list[str]) -> None:
    if missing := [name for name in REQUIRED if name not in names]:
        raise _Bad(f"it does not tell {' and '.join(missing)}")
    if unknown := [name for name in names if name not in COLUMNS and not name.startswith("x-")]:
        shown = ", ".join(map(repr, unknown))
        raise _Bad(f"unknown: {shown}; there are {', '.join(COLUMNS)}, and your own if they begin with x-")
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise _Bad(f"there more than once: {', '.join(twice)}")


def _entry(line: int, fields: dict[str, str]) -> Entry:
    texts = {name: _text(name, fields.get(name, "")) for name in COLUMNS}
    source, destination = (texts.pop(name) for name in REQUIRED)
    if not source or not destination:
        raise _Bad("the source is empty" if not source else "the destination is empty")
    return Entry(line, source, destination, Metadata(**texts))


def _text(name: str, text: str) -> str:
    if any("\ud800" <= c <= "\udfff" for c in text):
        raise _Bad(f"the {name} is not UTF-8: {text!r}")
    if "\0" in text or (name not in REQUIRED and _NOT_IN_XML.search(text)):
        raise _Bad(f"there is a control character in the {name}: {text!r}")
    if text and name in _DATES and not _is_date(text):
        raise _Bad(f"{name} is {text!r}, and not a date as 2024-01-31")
    return text


def _is_date(text: str) -> bool:
    try:
        return date.fromisoformat(text).isoformat() == text
    except ValueError:
        return False


def _decoded(line: bytes) -> str:
    """As text; bytes that are not UTF-8 become surrogates, to be found in the field where they are."""
    return line.decode("utf-8", "surrogateescape")

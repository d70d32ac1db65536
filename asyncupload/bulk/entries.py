"""What a manifest says, line by line. Knows the forms that lists have and all that can be wrong with a line; opens no
file.

    CSV     a header line, then one line per file; comma, semicolon, tab or bar, whichever the header has
    JSONL   one object per line, under the same names; or an array of objects
    xlsx    an Excel workbook: one sheet with a header and a row per file

The names are those of `COLUMNS`. Others must begin with ``x-``, and are passed over.
"""

import csv
import re
from collections.abc import Iterator
from datetime import date
from typing import Any, BinaryIO, Literal, NamedTuple, TypeAlias

from .columns import COLUMNS, REQUIRED, Header, plain, require_columns
from .lines import LONGEST_LINE, Bad, Lines, Lost
from .objects import Pairs, go_over_lines, value_of, values
from .rows import Metadata
from .workbook import is_workbook, other, records

__all__ = ["COLUMNS", "LONGEST_LINE", "Entry", "Format", "ManifestProblem", "entries"]

Format: TypeAlias = Literal["csv", "jsonl"]

_SEPARATORS = ",;\t|"
_SEP = re.compile(r'"?sep=(.)"?\s*', re.IGNORECASE)
"""A first line that tells Excel how columns are separated."""

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


def entries(file: BinaryIO, format_: Format | None, encoding: str | None = None) -> Iterator[Entry | ManifestProblem]:
    """Everything that a manifest says, and everything that is wrong with it, in the order of its lines.

    Args:
        file: From the beginning; it can be moved. At most some lines of it are held, and a workbook's texts.
        format_: If None, the first character that is no space tells: ``{`` or ``[`` begins JSONL.
        encoding: Of what is no workbook; None for Unicode in one of its forms.
    """
    head = file.read(64)
    file.seek(0)
    if told := other(head):
        yield ManifestProblem(1, told)
    elif is_workbook(head):
        yield from _workbook(file)
    else:
        lines = Lines(file, encoding)
        try:
            yield from _written(lines, format_)
        finally:
            lines.close()


def _written(lines: Lines, format_: Format | None) -> Iterator[Entry | ManifestProblem]:
    try:
        lines.skip_blank()
    except Bad as bad:
        yield ManifestProblem(lines.number, str(bad))
        return
    if (format_ or _sniffed(lines.peek())) == "csv":
        yield from _csv(lines)
    elif go_over_lines(lines.peek()):
        yield from _array(lines)
    else:
        yield from _jsonl(lines)


def _sniffed(line: str) -> Format:
    return "jsonl" if line.lstrip()[:1] in {"{", "["} else "csv"


def _workbook(file: BinaryIO) -> Iterator[Entry | ManifestProblem]:
    header: Header | None = None
    number = 1
    try:
        for number, record in records(file):
            if header is None:
                header = Header(_good(record))
                continue
            try:
                yield _entry(number, header.fields(_good(record)))
            except Bad as bad:
                yield ManifestProblem(number, str(bad))
    except Bad as bad:
        yield ManifestProblem(number, str(bad))


def _good(record: list[str] | Bad) -> list[str]:
    if isinstance(record, Bad):
        raise record
    return record


def _jsonl(lines: Lines) -> Iterator[Entry | ManifestProblem]:
    while lines.peek():
        try:
            if text := lines.next().strip():
                yield _entry(lines.number, _object(value_of(text)), lines.encoding)
        except Bad as bad:
            yield ManifestProblem(lines.number, str(bad))


def _array(lines: Lines) -> Iterator[Entry | ManifestProblem]:
    for number, found in values(lines):
        try:
            if isinstance(found, Bad):
                raise found
            yield _entry(number, _object(found), lines.encoding)
        except Bad as bad:
            yield ManifestProblem(number, str(bad))


def _object(found: Any) -> dict[str, str]:
    if not isinstance(found, Pairs):
        raise Bad("it is not an object in braces; JSON Lines has one on each line")
    require_columns([name for name, _ in found])
    known = {name: value for name, value in found if name in COLUMNS and value is not None}
    if wrong := [name for name, value in known.items() if not isinstance(value, str)]:
        raise Bad(f"not a string: {', '.join(wrong)}")
    return known


def _csv(lines: Lines) -> Iterator[Entry | ManifestProblem]:
    delimiter = _told(lines)
    if not lines.peek():
        yield ManifestProblem(1, "there is nothing in it; CSV begins with a header, source,destination at least")
        return
    begin = lines.number + 1
    try:
        delimiter = delimiter or _delimiter(lines.peek())
        header = Header(_record(lines, delimiter))
    except Bad as bad:
        yield ManifestProblem(begin, str(bad))
        return
    while lines.peek():
        begin = lines.number + 1
        try:
            record = _record(lines, delimiter)
            if any(cell.strip() for cell in record):
                yield _entry(begin, header.fields(record), lines.encoding)
        except Bad as bad:
            yield ManifestProblem(begin, str(bad))
            if isinstance(bad, Lost):
                return


def _told(lines: Lines) -> str:
    """The separator that a first line of its own tells; empty if there is none."""
    if found := _SEP.fullmatch(lines.peek()):
        lines.next()
        return found[1]
    return ""


def _delimiter(header: str) -> str:
    """With which the header tells what it must, or else which it has most of."""

    def tells(sign: str) -> int:
        try:
            names = next(csv.reader([header], delimiter=sign), [])
        except csv.Error:
            names = []
        return len({plain(name) for name in names}.intersection(REQUIRED))

    return max(_SEPARATORS, key=lambda sign: (tells(sign), header.count(sign)))


def _record(lines: Lines, delimiter: str) -> list[str]:
    """The fields of the next record, which may go over several lines; none for a blank line."""
    begin = lines.number + 1
    end = lines.offset + LONGEST_LINE

    def fed() -> Iterator[str]:
        while line := lines.next():
            if lines.offset > end:
                raise Bad(f"it is longer than {LONGEST_LINE} bytes")
            yield line

    try:
        return next(csv.reader(fed(), delimiter=delimiter, strict=True), [])
    except (csv.Error, Bad) as error:
        if lines.number > begin:
            raise Lost("a quote opens on it that is not closed, and nothing after it was read") from error
        raise (Bad(f"it is not CSV: {error}") if isinstance(error, csv.Error) else Lost(str(error))) from error


def _entry(line: int, fields: dict[str, str], encoding: str = "utf-8") -> Entry:
    texts = {name: _text(name, fields.get(name, ""), encoding) for name in COLUMNS}
    source, destination = (texts.pop(name) for name in REQUIRED)
    if not source or not destination:
        raise Bad("the source is empty" if not source else "the destination is empty")
    return Entry(line, source, destination, Metadata(**texts))


def _text(name: str, text: str, encoding: str) -> str:
    if not text.isascii() and any("\ud800" <= c <= "\udfff" for c in text):
        raise Bad(
            f"the {name} is not {encoding.upper()}: {text!r}; save the list as UTF-8 (in Excel: 'CSV UTF-8'), or tell "
            "its encoding by --manifest-encoding"
        )
    if "\0" in text or (name not in REQUIRED and _NOT_IN_XML.search(text)):
        raise Bad(f"there is a control character in the {name}: {text!r}")
    if text and name in _DATES and not _is_date(text):
        raise Bad(f"{name} is {text!r}, and not a date as 2024-01-31")
    return text


def _is_date(text: str) -> bool:
    try:
        return date.fromisoformat(text).isoformat() == text
    except ValueError:
        return False

"""A list in an Excel workbook, read by openpyxl where that is installed."""

import warnings
from collections.abc import Iterator
from datetime import date, datetime, time
from typing import Any, BinaryIO

from .columns import REQUIRED, plain
from .lines import Bad

SAVE_AS = "save it as .xlsx, or as 'CSV UTF-8'"

_ZIP = b"PK\x03\x04"

_OTHERS = {
    b"\xd0\xcf\x11\xe0": f"it is an old Excel workbook (.xls), or one with a password: {SAVE_AS}",
    b"\x1f\x8b": "it is compressed by gzip: unpack it first",
    b"%PDF": f"it is a PDF: export the list from where it was made; {SAVE_AS}",
    b"{\\rt": "it is a text with formats (RTF): save it as plain text in UTF-8",
    b"PAR1": "it is a Parquet file: export it as CSV",
    b"SQLi": "it is a database: export the list as CSV",
}
"""By their first four bytes at most."""


def is_workbook(head: bytes) -> bool:
    """Whether what a file begins with is that of a workbook, or of another archive."""
    return head.startswith(_ZIP)


def other(head: bytes) -> str:
    """What to do with a file that is no list, by what it begins with; empty if it may be one."""
    if (text := head.lstrip(b"\xef\xbb\xbf \t\r\n")).startswith(b"<"):
        what = "a page (HTML)" if text[:5].lower() in {b"<html", b"<!doc", b"<tabl", b"<meta"} else "XML"
        return f"it is {what}: open it in your spreadsheet and {SAVE_AS}"
    return next((told for begin, told in _OTHERS.items() if head.startswith(begin)), "")


def records(file: BinaryIO) -> Iterator[tuple[int, list[str] | Bad]]:
    """The rows of the one sheet that has a list, each with its number, counted from 1. Empty ones are left out.

    The texts of the workbook are in memory, and one row.

    Raises:
        Bad: It cannot be read as a workbook, or not one sheet of it is the list.
    """
    openpyxl = _library()
    try:
        book = openpyxl.load_workbook(file, read_only=True, data_only=True)
        sheet = _sheet(book)
        # What some programs write there is not true.
        sheet.reset_dimensions()
        for number, row in enumerate(sheet.iter_rows(), start=1):
            if cells := _cells(row):
                yield number, cells
    except Bad:
        raise
    except Exception as error:  # whatever may be wrong within an archive
        raise Bad(f"it cannot be read as an Excel workbook ({type(error).__name__}): {SAVE_AS}") from error


def _library() -> Any:
    try:
        import openpyxl  # noqa: PLC0415  (an extra)
    except ImportError as error:
        raise Bad(
            "it is an Excel workbook: install openpyxl to have it read (pip install 'asyncupload[xlsx]'), or save it "
            "as 'CSV UTF-8'"
        ) from error
    # It warns of what it leaves out of a workbook, as of rules for what may be typed.
    warnings.filterwarnings("ignore", module=r"openpyxl(\..*)?")
    return openpyxl


def _sheet(book: Any) -> Any:
    shown = [sheet for sheet in book.worksheets if sheet.sheet_state == "visible"]
    lists = [sheet for sheet in shown if _has_list(sheet)]
    if len(lists) == 1:
        return lists[0]
    if lists:
        names = ", ".join(repr(sheet.title) for sheet in lists)
        raise Bad(f"more than one sheet of it is a list ({names}): keep one, or hide the others")
    if not shown:
        raise Bad("no sheet of it is to be seen: show the one that has the list")
    raise Bad(f"no sheet of it has a list: its first row must tell {' and '.join(REQUIRED)} at least")


def _has_list(sheet: Any) -> bool:
    sheet.reset_dimensions()
    for row in sheet.iter_rows():
        if cells := _cells(row):
            return not isinstance(cells, Bad) and set(REQUIRED) <= {plain(cell) for cell in cells}
    return False


def _cells(row: Any) -> list[str] | Bad:
    """Empty cells at the end are left out; empty for an empty row."""
    try:
        cells = [_text(cell) for cell in row]
    except Bad as bad:
        return bad
    while cells and not cells[-1].strip():
        cells.pop()
    return cells


def _text(cell: Any) -> str:
    """As somebody would have typed it."""
    value = cell.value
    if value is None:
        return ""
    if cell.data_type == "e":
        raise Bad(f"its cell {cell.coordinate} has the error {value}")
    if isinstance(value, datetime):
        whole = value.time() == time()
        return value.date().isoformat() if whole else value.isoformat(sep=" ", timespec="seconds")
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value)

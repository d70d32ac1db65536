"""The names over a list's columns, and what stands below them, be it in CSV or in a workbook."""

import re
from collections.abc import Sequence

from .lines import Bad

REQUIRED = ("source", "destination")
COLUMNS = (*REQUIRED, "version_comment", "description", "keywords", "created", "modified")

_AROUND = "\ufeff\u200b"
"""What shows as nothing, and is no blank to Python."""


def plain(name: str) -> str:
    """A name as it is meant: in either case, with blanks around it, or with a blank or a hyphen for the underscore."""
    name = name.strip().strip(_AROUND).strip().casefold()
    return name if name.startswith("x-") else re.sub(r"[\s_-]+", "_", name)


def require_columns(names: Sequence[str]) -> None:
    """Names that a list, or an object of one, can have.

    Raises:
        Bad: One is missing, unknown, or there twice.
    """
    if missing := [name for name in REQUIRED if name not in names]:
        raise Bad(f"it does not tell {' and '.join(missing)}")
    if unknown := [name for name in names if name and name not in COLUMNS and not name.startswith("x-")]:
        shown = ", ".join(map(repr, unknown))
        raise Bad(f"unknown: {shown}; there are {', '.join(COLUMNS)}, and your own if they begin with x-")
    if twice := sorted({name for name in names if name and names.count(name) > 1}):
        raise Bad(f"there more than once: {', '.join(twice)}")


class Header:
    """A list's first record.

    Args:
        record: Its cells. Columns without a name are passed over, as long as nothing stands in them.

    Raises:
        Bad: It cannot be a header.
    """

    def __init__(self, record: Sequence[str]) -> None:
        self._names = [plain(name) for name in record]
        require_columns(self._names)

    def fields(self, record: Sequence[str]) -> dict[str, str]:
        """What stands in a record, by name. Spreadsheets leave out empty cells at its end, or add some.

        Raises:
            Bad: It has too many cells, or too few.
        """
        names = self._names
        if any(cell.strip() for cell in record[len(names) :]) or set(names[len(record) :]) & set(REQUIRED):
            raise Bad(f"it has {len(record)} fields, and the header has {len(names)}")
        found = dict(zip(names, record, strict=False))
        for number, (name, cell) in enumerate(zip(names, record, strict=False), start=1):
            if not name and cell.strip():
                raise Bad(f"column {number} has no name in the header, and {cell!r} stands in it")
        found.pop("", None)
        return found

"""Amounts of bytes as people write them."""

import re
from decimal import Decimal

import click

_UNITS = {"": 1, "k": 1000, "m": 1000**2, "g": 1000**3, "t": 1000**4}
_BINARY = {"ki": 1024, "mi": 1024**2, "gi": 1024**3, "ti": 1024**4}


def bytes_of(text: str | int) -> int:
    """The number of bytes in ``1000``, ``64K``, ``256MiB``, ``1.5GB``: with ``i`` by 1024, otherwise by 1000."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([kmgt]i?)?b?", str(text).strip(), flags=re.IGNORECASE)
    if match is None:
        raise click.BadParameter(f"{text!r} is no amount of bytes, as 1000, 64K, 256MiB or 1.5GB")
    return int(Decimal(match[1]) * (_BINARY | _UNITS)[(match[2] or "").lower()])

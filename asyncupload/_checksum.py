"""CRC-32 (IEEE 802.3, reflected) of a chunk, and of a whole from its parts.

The protocol writes checksums as hexadecimal text, here padded and there not, in either case: text is made in one way
and every text that comes in is compared as a number.
"""

from collections.abc import Collection, Sequence
from itertools import accumulate
from typing import NamedTuple

from zlib_ng import zlib_ng

EMPTY = 0
"""The CRC-32 of no bytes at all: where every combination begins."""


def crc32(data: bytes | bytearray | memoryview) -> int:
    """CRC-32 of ``data``. Releases the interpreter lock, so that threads checksum chunks side by side."""
    return zlib_ng.crc32(data)


def combine(whole: int, part: int, part_length: int) -> int:
    """CRC-32 of a whole followed by a part, from the two checksums and the part's length in bytes."""
    return zlib_ng.crc32_combine(whole, part, part_length)


def to_text(crc: int, *, padded: bool = False) -> str:
    """Upper-case and unpadded: the newest pages ask for it, and every client seen in the field writes it so.

    Args:
        crc: The checksum.
        padded: Whether eight digits are wanted, for servers that compare the text.
    """
    return f"{crc:08X}" if padded else f"{crc:X}"


def spelled_in_two_ways(crc: int) -> bool:
    """Whether padding makes a difference to its text: one in sixteen."""
    return crc < 1 << 28


def from_text(text: str) -> int:
    """The number that a server's checksum text stands for.

    Raises:
        ValueError: The text is not 1 to 8 hexadecimal digits.
    """
    digits = text.strip()
    if not 1 <= len(digits) <= 8 or not all(digit in "0123456789abcdefABCDEF" for digit in digits):
        raise ValueError(f"not a CRC-32: {text!r}")
    return int(digits, 16)


class Part(NamedTuple):
    """One chunk's share of the whole."""

    crc32: int
    length: int


NOTHING = Part(EMPTY, 0)


def explain(parts: Sequence[Part], found: int, suspects: Collection[int] = ()) -> str:
    """Which single chunk, doubled or left out, makes the whole's checksum ``found``. Empty if none does.

    Combination makes it cheap: two of them per chunk and guess, and no byte is read again. Identical chunks explain
    alike, so the suspects (chunks whose reply was lost; numbers count from 1) are tried first.
    """
    before, after = _ends(parts)
    for number in sorted(range(1, len(parts) + 1), key=lambda number: number not in suspects):
        if _joined(_joined(before[number], parts[number - 1]), after[number]).crc32 == found:
            return f"chunk {number} was appended twice"
        if _joined(before[number - 1], after[number]).crc32 == found:
            return f"chunk {number} is missing"
    return ""


def _ends(parts: Sequence[Part]) -> tuple[list[Part], list[Part]]:
    """What stands before each place between chunks, and what behind it."""
    before = list(accumulate(parts, _joined, initial=NOTHING))
    after = list(accumulate(reversed(parts), lambda whole, part: _joined(part, whole), initial=NOTHING))
    return before, after[::-1]


def _joined(first: Part, second: Part) -> Part:
    return Part(combine(first.crc32, second.crc32, second.length), first.length + second.length)

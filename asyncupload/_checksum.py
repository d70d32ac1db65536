"""CRC-32 (IEEE 802.3, reflected) of a chunk, and of a whole from its parts.

The protocol writes checksums as hexadecimal text, here padded and there not, in either case: text is made in one way
and every text that comes in is compared as a number.
"""

from collections.abc import Collection, Sequence
from functools import reduce
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


def to_text(crc: int) -> str:
    """Upper-case and unpadded: the newest pages ask for it, and every client seen in the field writes it so."""
    return f"{crc:X}"


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


MOST_SUSPECTS = 6
"""Chunks whose lost replies are tried in every combination: 729 of them. More would keep the event loop waiting."""

LATEST = 8
"""Chunks after a suspect behind which a late copy of it is looked for."""


def came_twice(parts: Sequence[Part], found: int, suspects: Collection[int]) -> bool:
    """Whether suspects that the server appended more than once make the whole's checksum ``found``.

    Any of them, twice or three times in a row, or one of them late, behind one of the chunks that followed. Where there
    are more than six suspects it is taken for granted: a line that loses so much explains any checksum.

    Args:
        parts: All chunks.
        found: The server's checksum of the whole.
        suspects: Numbers of chunks that went again after their reply was lost; they count from 1.
    """
    if len(suspects) > MOST_SUSPECTS:
        return True
    known = [number for number in sorted(suspects) if number <= len(parts)]
    return found in _doubled_in_place(parts, known) or found in _doubled_late(parts, known)


def _doubled_in_place(parts: Sequence[Part], suspects: Sequence[int]) -> set[int]:
    """The whole's checksum for each choice of suspects that stand there twice or three times, at least one."""
    wholes, done = {EMPTY}, 0
    for number in suspects:
        run, chunk = _whole(parts[done:number]), parts[number - 1]
        once = {combine(whole, run.crc32, run.length) for whole in wholes}
        twice = {combine(whole, chunk.crc32, chunk.length) for whole in once}
        wholes = once | twice | {combine(whole, chunk.crc32, chunk.length) for whole in twice}
        done = number
    rest = _whole(parts[done:])
    return {combine(whole, rest.crc32, rest.length) for whole in wholes} - {_whole(parts).crc32}


def _doubled_late(parts: Sequence[Part], suspects: Sequence[int]) -> set[int]:
    """The whole's checksum for each suspect whose second copy stands behind a later chunk."""
    before, after = _ends(parts)
    return {
        _joined(_joined(before[place], parts[number - 1]), after[place]).crc32
        for number in suspects
        for place in range(number + 1, min(number + LATEST, len(parts)) + 1)
    }


def _ends(parts: Sequence[Part]) -> tuple[list[Part], list[Part]]:
    """What stands before each place between chunks, and what behind it."""
    before = list(accumulate(parts, _joined, initial=NOTHING))
    after = list(accumulate(reversed(parts), lambda whole, part: _joined(part, whole), initial=NOTHING))
    return before, after[::-1]


def _whole(parts: Sequence[Part]) -> Part:
    return reduce(_joined, parts, NOTHING)


def _joined(first: Part, second: Part) -> Part:
    return Part(combine(first.crc32, second.crc32, second.length), first.length + second.length)

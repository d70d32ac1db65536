"""CRC-32 (IEEE 802.3, reflected) of a chunk, and of a whole from its parts.

The protocol writes checksums as hexadecimal text, here padded and there not, in either case: text is made in one way
and every text that comes in is compared as a number.
"""

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

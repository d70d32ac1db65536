"""Lines of a list, however it is written down: which encoding, which line ends. Opens no file."""

import codecs
import io
from contextlib import suppress
from typing import BinaryIO

from asyncupload._marks import WIDE

LONGEST_LINE = 1024 * 1024
"""Characters of a line, of a CSV record whose quotes hold several lines, and of an object that goes over lines."""

_UNREADABLE = "\udcff"
"""Stands for what cannot be decoded: it is found in the field where it is."""

_ZEROS = {"x0x0": "utf-16-le", "0x0x": "utf-16-be", "x000": "utf-32-le", "000x": "utf-32-be"}
"""Of the first two or one letters, which are ASCII in every list."""

_ESCAPE = "asyncupload-unreadable"


def _escaped(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeDecodeError):
        raise error
    return _UNREADABLE, error.end


codecs.register_error(_ESCAPE, _escaped)


class Bad(Exception):
    """This line cannot be used, but others may."""


class Lost(Bad):
    """Nor can what follows: nobody knows where the next record begins."""


class Lines:
    """Lines of text, their number known and their length bounded. The byte order mark is taken off.

    A line ends with LF, CR LF or CR.

    Args:
        file: From the beginning; it can be moved. At most some lines of it are held.
        encoding: How it is written; None to find out which Unicode encoding it is.
    """

    def __init__(self, file: BinaryIO, encoding: str | None = None) -> None:
        self.encoding = encoding or encoding_of(file)
        utf8 = self.encoding == "utf-8"
        self._text = io.TextIOWrapper(
            file,
            encoding="utf-8-sig" if utf8 else self.encoding,
            errors="surrogateescape" if utf8 else _ESCAPE,
            newline="",
        )
        self._ahead: str | None = None
        self.number = 0
        self.offset = 0
        """Characters up to the end of the line `number`."""

    def close(self) -> None:
        """Let go of the file, which stays open."""
        with suppress(ValueError):  # it is closed, or was let go of
            self._text.detach()

    def peek(self) -> str:
        """The next line, which stays the next; empty at the end."""
        if self._ahead is None:
            self._ahead = self._text.readline(LONGEST_LINE + 1)
            if self.number == 0:
                self._ahead = self._ahead.lstrip("\ufeff")
        return self._ahead

    def next(self) -> str:
        """The next line with its end; empty after the last.

        Raises:
            Bad: It is too long, and was passed over.
        """
        line, self._ahead = self.peek(), None
        self.number += bool(line)
        self.offset += len(line)
        if len(line) <= LONGEST_LINE:
            return line
        while line and not line.endswith(("\n", "\r")):
            line = self._text.readline(LONGEST_LINE)
        raise Bad(f"it is longer than {LONGEST_LINE} bytes")

    def skip_blank(self) -> None:
        """Go to the first line that has something on it."""
        while self.peek() and not self.peek().strip():
            self.next()

    def piece(self) -> str:
        """Some of what follows, whatever lines are in it; empty at the end. Lines are not counted any more."""
        piece, self._ahead = self._ahead or self._text.read(65536), None
        return piece


def encoding_of(file: BinaryIO) -> str:
    """Which Unicode encoding a file is written in, by its mark or by where zeros stand in its first letters; UTF-8 if
    nothing tells. The file is at its beginning before and after."""
    head = file.read(4)
    file.seek(0)
    for mark, encoding in WIDE:
        if head.startswith(mark):
            return encoding
    return _ZEROS.get("".join("x" if byte else "0" for byte in head), "utf-8")

"""Objects of JSON in a list's text, one on each line or not: in an array, or one after another over lines."""

import json
from collections.abc import Iterator
from typing import Any

from .lines import LONGEST_LINE, Bad, Lines, Lost

_BLANK = " \t\r\n\ufeff"


class Pairs(list[tuple[str, Any]]):
    """A JSON object with nothing lost: a dict would keep only the last of two values under one name."""


# A number is wrong in any length; as an integer, a long one would say so in other words.
_DECODER = json.JSONDecoder(object_pairs_hook=Pairs, parse_int=float)


def value_of(line: str) -> Any:
    """What stands on one line.

    Raises:
        Bad: It is not JSON.
    """
    try:
        return _DECODER.decode(line)
    except (ValueError, RecursionError) as error:
        raise Bad(f"it is not JSON: {error}") from error


def go_over_lines(line: str) -> bool:
    """Whether the first line of a list shows that its objects do not stand on one line each."""
    text = line.strip(_BLANK)
    return text.startswith("[") or (text.startswith("{") and text.endswith(("{", "[", ",")))


def values(lines: Lines) -> Iterator[tuple[int, Any | Bad]]:
    """What stands in an array, or one after another, each with the line on which it begins; what is wrong likewise.

    At most one value and a piece are in memory. What is wrong comes last: nobody knows where the next value begins.
    """
    text = _Text(lines)
    try:
        if text.next() == "[":
            yield from _array(text)
        else:
            while text.next():
                yield text.number, text.value()
    except Bad as bad:
        yield text.number, bad


def _array(text: "_Text") -> Iterator[tuple[int, Any]]:
    text.pass_over()
    while (sign := text.next()) != "]":
        if not sign:
            raise Lost("the list has no end, a ] is missing: is the file whole?")
        yield text.number, text.value()
        if text.next() == ",":
            text.pass_over()
        elif text.next() not in {"]", ""}:
            raise Lost("a comma is missing between two objects, and nothing after it was read")
    text.pass_over()
    if text.next():
        raise Lost("something stands after the end of the list, and was not read")


class _Text:
    """The text, and a place in it."""

    def __init__(self, lines: Lines) -> None:
        self.number = lines.number + 1
        """The line on which the place is."""
        self._lines = lines
        self._held = ""
        self._at = 0

    def next(self) -> str:
        """The next character that is not blank; empty at the end."""
        while True:
            end = len(self._held)
            at = end - len(self._held[self._at :].lstrip(_BLANK))
            self._move(at)
            if at < end:
                return self._held[at]
            if not self._more():
                return ""

    def pass_over(self) -> None:
        """Go one character on."""
        self._move(self._at + 1)

    def value(self) -> Any:
        """What stands at the place, which is behind it then."""
        while True:
            try:
                found, end = _DECODER.raw_decode(self._held, self._at)
            except (ValueError, RecursionError) as error:
                if len(self._held) - self._at > LONGEST_LINE:
                    raise Lost(f"an object is longer than {LONGEST_LINE} bytes, or has no end") from error
                if isinstance(error, RecursionError) or not self._more():
                    told = error.msg if isinstance(error, json.JSONDecodeError) else str(error)
                    raise Lost(f"it is not JSON: {told}; nothing after it was read") from error
                continue
            self._move(end)
            return found

    def _move(self, to: int) -> None:
        self.number += _breaks(self._held[self._at : to])
        self._at = to

    def _more(self) -> bool:
        piece = self._lines.piece()
        if piece.endswith("\r"):  # a line end must not be cut in two
            piece += self._lines.piece()
        self._held, self._at = self._held[self._at :] + piece, 0
        return bool(piece)


def _breaks(text: str) -> int:
    return text.count("\n") + text.count("\r") - text.count("\r\n")

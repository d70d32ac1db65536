"""Text from outside, as far as it may be shown to people: on a terminal, in a page."""

import re

_INVISIBLE = re.compile("[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u2800\u3164\uffa0\U000e0100-\U000e01ef]")
"""Letters and marks that show as nothing, which Python calls printable."""


def shown(text: str) -> str:
    """One line of text, of which nothing moves a cursor, turns the direction of reading, hides, or ends the line."""
    if not text.isprintable():
        text = "".join(c if c.isprintable() else _instead_of(c) for c in text)
    return _INVISIBLE.sub("?", text)


def _instead_of(character: str) -> str:
    """Of a name that is not Unicode one can tell its bytes."""
    return f"\\u{ord(character):x}" if "\ud800" <= character <= "\udfff" else "?"

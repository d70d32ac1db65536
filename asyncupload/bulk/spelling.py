"""How a local path is written down as text that can be read back, in reports and ledgers."""

import os
import re

_MARK = re.compile(r"\\ud[89a-f]")
"""What the escape of an undecodable byte begins with, and so what tells an escaped text from a plain one."""

_ESCAPE = re.compile(r"\\(?:\\|u(d[89a-f][0-9a-f]{2}))")


def spelled(source: bytes) -> str:
    """The path as text; one that is not UTF-8 with escapes.

    A byte that cannot be decoded is written ``\\udcNN``, with NN the byte in hexadecimal digits, and in a text with
    such an escape every backslash is doubled. A path that has such an escape in its own letters is treated alike. All
    others, nearly all of them, stand there as they are.
    """
    text = _decoded(source)
    if text.isascii() and "\\" not in text:  # most are, and there are millions of them
        return text
    escaped = text.replace("\\", "\\\\").encode("utf-8", "backslashreplace").decode("utf-8")
    return escaped if _MARK.search(escaped) else text


def unspelled(text: str) -> bytes:
    """The path that was written down as ``text``. Raises ValueError: it cannot be one."""
    if _MARK.search(text):
        text = _ESCAPE.sub(lambda found: chr(int(found[1], 16)) if found[1] else "\\", text)
    return _encoded(text)


def as_path(text: str) -> bytes:
    """A path that stands in a list, as the operating system has it: in its own encoding, or in UTF-8 where that has no
    way to write it, as in a locale that knows ASCII only."""
    try:
        return os.fsencode(text)
    except UnicodeEncodeError:
        return _encoded(text)


def _decoded(source: bytes) -> str:
    """The same in every locale: what one has written, another may read."""
    return os.fsdecode(source) if os.name == "nt" else source.decode("utf-8", "surrogateescape")


def _encoded(text: str) -> bytes:
    return os.fsencode(text) if os.name == "nt" else text.encode("utf-8", "surrogateescape")

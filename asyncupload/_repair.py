"""XML as servers do send it, made XML as parsers read it. No I/O.

What a user has pasted into a description stands in answers that have nothing to do with it. So it is read liberally:
characters are replaced, none is moved, nothing is closed that was left open.
"""

import html.entities
import re

from ._marks import MARKS

_BOMS = (*MARKS, (b"<\0", "utf-16-le"), (b"\0<", "utf-16-be"))
_DECLARED = re.compile(rb"\s*<\?xml\b[^>]{0,99}?\bencoding\s*=\s*[\"']([\w.:-]{1,99})[\"'][^>]{0,99}\?>", re.IGNORECASE)
_DECLARATION = re.compile(r"<\?xml\b[^>]{0,299}\?>")
_FORBIDDEN = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_CONTROL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f]")
"""They separate, like the tab, wherever they stand."""
_AMPERSAND = re.compile(r"&(?:#(\d{1,9});|#[xX]([0-9a-fA-F]{1,8});|([A-Za-z]\w{0,31});)?")
_ATTRIBUTE = re.compile(r"[\w:.-]\s*=\s*(?:\"[^\"]*\"|'[^']*')")
_PREFIX = re.compile(r"[<\s/]([A-Za-z_][\w.-]*):[A-Za-z_]")
_NAMED = re.compile(r"\bxmlns:([\w.-]+)\s*=")
_ROOT = re.compile(r"<[A-Za-z_][\w.:-]*")
_NO_CHARSETS = frozenset({"idna", "punycode", "raw_unicode_escape", "unicode_escape"})
"""Python knows them by the same way. Some take their time."""
_OWN = frozenset({"amp", "lt", "gt", "quot", "apos"})
INSTEAD = "\ufffd"


def decoded(body: bytes, charset: str = "") -> str:
    """An answer's text.

    Args:
        body: As it came.
        charset: What its header says. It may be wrong, and so may be what the text says of itself: the first that fits
            is taken, and in the end UTF-8 with what is none of it replaced.
    """
    body = body.strip(b" \t\r\n") if not body.startswith(tuple(mark for mark, _ in _BOMS)) else body
    told = next((name for mark, name in _BOMS if body.startswith(mark)), "")
    declared = _DECLARED.match(body)
    for name in (told, charset, declared[1].decode("ascii") if declared else "", "utf-8"):
        text = _tried(body, name)
        if text is not None and "\0" not in text[:2]:
            return text
    return body.decode("utf-8", "replace")


def _tried(body: bytes, name: str) -> str | None:
    # .NET writes "utf-16" of a string before it is sent as UTF-8.
    name = name.strip().lower().replace("-", "_")
    if not name or name in _NO_CHARSETS or (name.startswith(("utf_16", "utf_32", "unicode")) and b"\0" not in body[:4]):
        return None
    try:
        return body.decode(name)
    except (LookupError, ValueError):  # no charset, one that is none of text, or not this one
        return None


def repaired(body: bytes, charset: str = "") -> str:
    """The text without what XML forbids in it: what stands for it are U+FFFD, escapes, and names for prefixes that were
    not declared. The declaration is left out, since the text has been decoded.

    Args:
        body: As it came.
        charset: What its header says.
    """
    text = decoded(body, charset).strip("\ufeff\0 \t\r\n")
    if declaration := _DECLARATION.match(text):
        text = text[declaration.end() :]
    text = _AMPERSAND.sub(_reference, _FORBIDDEN.sub(INSTEAD, _CONTROL.sub(" ", text)))
    text = _ATTRIBUTE.sub(lambda found: found[0].replace("<", "&lt;"), text)
    missing = set(_PREFIX.findall(text)) - set(_NAMED.findall(text)) - {"xml", "xmlns"}
    names = "".join(f' xmlns:{prefix}="urn:undeclared:{prefix}"' for prefix in sorted(missing))
    return _ROOT.sub(lambda found: found[0] + names, text, count=1) if names else text


def _reference(found: re.Match[str]) -> str:
    """What an ampersand begins, if it can stand; otherwise what is meant."""
    decimal, hexadecimal, name = found.groups()
    if decimal or hexadecimal:
        number = int(decimal) if decimal else int(hexadecimal, 16)
        legal = number <= 0x10FFFF and not _FORBIDDEN.match(chr(number))
        return found[0] if legal else INSTEAD
    if name in _OWN:
        return found[0]
    meant = html.entities.html5.get(f"{name};", "") if name else ""
    return meant or f"&amp;{found[0][1:]}"

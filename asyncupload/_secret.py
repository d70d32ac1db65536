"""Words that must not be seen: passwords and tickets."""

import base64
import html
import itertools
import re
import traceback
from collections.abc import Iterable, Iterator
from contextlib import suppress
from typing import SupportsIndex
from urllib.parse import quote, quote_plus, unquote

from ._marks import MARKS


class Secret:
    """A string that shows itself only when asked to, so that no log, repr or traceback can give it away."""

    __slots__ = ("_text", "_written")

    def __init__(self, text: str) -> None:
        self._text = text
        self._written: re.Pattern[str] | None = None

    @classmethod
    def of(cls, value: "str | Secret | None") -> "Secret | None":
        """Wrap a string, without its marks (`unmarked`); what is wrapped already, or absent, stays as it is."""
        return cls(unmarked(value)) if isinstance(value, str) else value

    def reveal(self) -> str:
        """The string itself: to be called where the request's bytes are made, and nowhere else."""
        return self._text

    def blot(self, text: str) -> str:
        """``text`` with the secret struck out wherever it stands, also as pages, addresses, forms or base64 write it.

        Nothing is left of a text that holds it in yet another writing.
        """
        if not self._text:
            return text
        if self._written is None:
            page = html.escape(self._text)
            forms = {self._text, page, page.replace("&#x27;", "&#39;")} | _in_addresses(self._text)
            forms |= _in_base64(self._text)
            # The longest first, or what is left of one would still tell of it.
            ordered = sorted(forms, key=len, reverse=True)
            self._written = re.compile("|".join(map(_pattern_of, ordered)), re.IGNORECASE)
        blotted = self._written.sub("•••", text)
        return "•••" if any(map(self._written.search, _plainer(blotted))) else blotted

    def __repr__(self) -> str:
        return "Secret(•••)"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and other._text == self._text

    def __hash__(self) -> int:
        return hash(self._text)


_BYTE_ORDER = "\ufeff"
_LINE_END = "\r\n"


def unmarked(text: str) -> str:
    """A secret without what editors, shells and programs put around it: byte order marks before it, line ends behind
    it. Nobody can type either. Blanks are its own."""
    return text.lstrip(_BYTE_ORDER).rstrip(_LINE_END)


def first_line(content: bytes, *encodings: str) -> tuple[str, bool]:
    """The first line of what a file or a program gives, without its marks; empty if it is none or no text.

    Args:
        content: All of it. A byte order mark tells how it is written.
        encodings: How it may be written otherwise; the first one that fits counts.

    Returns:
        The line, and whether a byte order mark stood before it.
    """
    marked = [encoding for mark, encoding in MARKS if content.startswith(mark)]
    for encoding in marked[:1] or encodings:
        # An error of the decoder's would have all of it.
        with suppress(UnicodeDecodeError):
            line = re.split(r"[\r\n]", unmarked(content.decode(encoding)), maxsplit=1)[0]
            return ("" if "\0" in line else line), bool(marked)
    return "", bool(marked)


class Hidden(str):
    """A text for a library that takes nothing else: it goes out as it is, and does not show itself where local
    variables are shown."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "'•••'"

    def __getitem__(self, key: SupportsIndex | slice) -> "Hidden":
        """Hidden too: what shows local variables cuts long ones first."""
        return Hidden(super().__getitem__(key))


def forget_locals(error: BaseException) -> None:
    """Empty the package's frames of an error that came through them, and of those that it came from: bodies of requests
    and answers may be in them. Where it came from can still be seen."""
    package, seen, behind = __name__.partition(".")[0], set[int](), [error]
    while behind:
        one = behind.pop()
        if id(one) in seen:
            continue
        seen.add(id(one))
        for frame, _ in traceback.walk_tb(one.__traceback__):
            if frame.f_globals.get("__name__", "").partition(".")[0] == package:
                with suppress(RuntimeError):  # it is not left yet
                    frame.clear()
        behind += [each for each in (one.__cause__, one.__context__) if each is not None]


_USER_IN_URL = re.compile(r"(\b[a-z][a-z0-9+.-]*://)[^/\s@'\"<>]+@", re.IGNORECASE)


def blot_all(secrets: Iterable[Secret], text: str) -> str:
    """``text`` without any of them, and without users and passwords in addresses."""
    for secret in secrets:
        text = secret.blot(text)
    return _USER_IN_URL.sub(r"\1•••@", text)


ROUNDS = 3
"""A page may quote an address that quotes a page."""

_ESCAPE = re.compile(r"\\(?:u([0-9a-f]{4})|x([0-9a-f]{2})|(.))", re.IGNORECASE | re.DOTALL)
"""As JSON and programs write what would end a string."""


def _plainer(text: str) -> Iterator[str]:
    """What the text is when what pages, addresses and strings escape is read, again and again."""
    for _ in range(ROUNDS):
        before, text = text, unquote(html.unescape(_ESCAPE.sub(_unescaped, text)))
        # The halves of what JSON writes as two.
        text = text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
        if text == before:
            return
        yield text
        yield text.replace("+", " ")


def _unescaped(found: re.Match[str]) -> str:
    unit, byte, other = found.groups()
    if byte:
        return f"%{byte}"
    return chr(int(unit, 16)) if unit else str(other)


def _in_addresses(text: str) -> set[str]:
    data = text.encode("utf-8", "surrogatepass")
    return {quote(data, safe=""), quote(data), quote_plus(data)}


_TELLING = 4
"""ASCII characters by which a secret is known, whatever became of the others."""

_MISREAD = re.compile(r"[^\x00-\x7f]+")


def _pattern_of(text: str) -> str:
    """Whoever reads UTF-8 as something else, or something else as UTF-8, makes up to four other characters of each that
    is not ASCII, or question marks."""
    if sum(map(str.isascii, text)) < _TELLING:
        return re.escape(text)
    pattern, end = "", 0
    for run in _MISREAD.finditer(text):
        pattern += re.escape(text[end : run.start()]) + rf"[^\x00-\x3e\x40-\x7f]{{1,{4 * len(run[0])}}}"
        end = run.end()
    return pattern + re.escape(text[end:])


_SHORTEST = 6
"""Characters of base64 that are no accident."""


def _in_base64(text: str) -> set[str]:
    """What is the same wherever ``text`` stands in what is written as base64: at each of three places its bits lie
    otherwise."""
    found, latin = set[str](), text.encode("latin-1", "replace")
    for data, before in itertools.product({text.encode("utf-8", "surrogatepass"), latin}, range(3)):
        written = base64.b64encode(bytes(before) + data).decode()
        # Six bits a character: those that hold bits of a neighbour's are left standing.
        core = written[-(-8 * before // 6) : 8 * (before + len(data)) // 6]
        found |= {core, core.replace("+", "-").replace("/", "_"), quote(core, safe="")}
    return {core for core in found if len(core) >= _SHORTEST}


# ── tickets that were in no request yet ───────────────────────────────────────────────────────────────────────────────

_GUID = re.compile(r"\b[0-9a-f]{8}-[0-9a-f]{4}[0-9a-f-]*|\b[0-9a-f]{32}", re.IGNORECASE)
_BEGUN = re.compile(r"[0-9a-f]{8}[0-9a-f-]*", re.IGNORECASE)
"""A GUID in any of its forms, or its beginning where the answer was cut off."""

_NAMED = re.compile(r"(ticket[\"']?\s*(?:=|:|>|&gt;)\s*(?:[\"']|&quot;|&#0*3[49];)?)[^\"'\s<>&]+", re.IGNORECASE)
"""Some are no GUIDs."""

_WHOLE = re.compile(
    r"ticket[\"']?\s*(?:[=:]\s*(?:[\"']|&quot;|&#0*3[49];)|>|&gt;)\s*([^\"'\s<>&]{8,256})\s*(?=[\"'<]|&(?:quot|lt|#0*3[49]);)"
    r"|\bticket=([\w-]{8,256})(?=[;\r\n])",
    re.IGNORECASE,
)

MOST = 4
"""Tickets that are looked for in one answer."""


def blot_new_tickets(text: str) -> str:
    """``text`` without what may be a ticket, or the beginning of one: of what comes with an answer that gives them."""
    return _BEGUN.sub("•••", blot_tickets(text))


def blot_tickets(text: str) -> str:
    """``text`` without what is called a ticket, and without GUIDs: of what may quote any answer."""
    return _GUID.sub("•••", _NAMED.sub(r"\1•••", text))


def tickets_in(heard: bytes | bytearray) -> list[Secret]:
    """The tickets that stand whole in what was heard of an answer that nobody could read. Of what was cut off, none."""
    text = heard.replace(b"\0", b"").decode("latin-1")
    return [Secret(ticket) for ticket in dict.fromkeys(map("".join, _WHOLE.findall(text)))][:MOST]

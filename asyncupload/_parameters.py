"""What a document is stored with, beside its bytes: its names, and how it is written into ``xmlParameters``. No I/O.

The pages have had three grammars, and a server may read another one than theirs of today: it then ignores what it does
not know, and says success.
"""

from collections.abc import Mapping
from enum import Enum
from typing import Any, NamedTuple
from xml.sax.saxutils import quoteattr

from .properties import NONE_GIVEN, Properties

NAMES = ("comment", "description", "keywords", "text", "created", "modified", "publish", "notify", "version")
"""What may be asked for, as `Receipt.not_kept` calls it."""

_KEYS = {
    "comment": "VERSIONCOMMENT",
    "description": "DESCRIPTION",
    "keywords": "KEYWORDS",
    "text": "TEXTONLYCONTENT",
    "created": "CREATIONDATE",
    "modified": "MODIFICATIONDATE",
    "publish": "PUBLISHOPTION",
    "notify": "SENDEMAILS",
}
_WORDS: Mapping[Any, str] = {"publish": "Publish", "dont": "DontPublish", True: "TRUE", False: "FALSE"}


class Grammar(Enum):
    """How ``xmlParameters`` are written; in the order in which they are tried."""

    ITEM = "item"
    """``<item NAME=".." VALUE=".."/>``, which the pages of May 2026 define."""

    PARAMETER = "parameter"
    """``<parameter>`` with the attributes of the pages before and after that: a reader of either finds its own."""


class Way(NamedTuple):
    """How what was asked for went to the server: by which operation, and, if that takes parameters, in which
    grammar."""

    operation: str
    grammar: Grammar

    def carries(self, name: str) -> bool:
        """Whether there is a place for it."""
        return name in _CARRIED.get(self.operation, NAMES)

    @property
    def key(self) -> str:
        """What all requests have in common that a server understands, or does not, alike."""
        return self.operation if self.operation in _CARRIED else self.grammar.value


PLAIN = "UploadDocumentWithHandler"
COMMENT = "UploadDocumentWithHandler1"
NUMBER = "UploadDocumentWithHandler2"
PARAMETERS = "UploadDocumentWithHandler3"
_CARRIED: Mapping[str, tuple[str, ...]] = {PLAIN: (), COMMENT: ("comment",), NUMBER: ("comment", "version")}


def asked(comment: str, given: Properties) -> dict[str, Any]:
    """What is asked for, by its names."""
    values = {
        "comment": comment,
        **{name: getattr(given, name) for name in NAMES if name != "comment"},
    }
    return {name: value for name, value in values.items() if value != getattr(NONE_GIVEN, name, "")}


def operations(comment: str, given: Properties) -> tuple[str, ...]:
    """By which operations a document can be made at a path, the simplest that carries all that is given first. Those
    behind it are for servers that lack it, and carry what they can.

    An empty comment would be an HTTP 400 on a strict server.
    """
    number = given.version is not None
    simple = [name for name, fits in ((NUMBER, number and comment), (COMMENT, comment)) if fits]
    if not given.only_version or (number and not comment):
        return (PARAMETERS, *simple, PLAIN)
    return (*simple[:1], *([PARAMETERS] if simple else []), *simple[1:], PLAIN)


def written(comment: str, given: Properties, grammar: Grammar) -> str:
    """The field's text; empty it must still be a document, since "" is an HTTP 400 on a strict server."""
    pairs: list[tuple[str, str]] = []
    for name, value in asked(comment, given).items():
        if name == "version":
            parts = zip(("MAJOR", "MINOR", "REVISION"), map(str, value), strict=True)
            pairs += [(f"MPVERSION{part}", number) for part, number in parts]
        else:
            pairs.append((_KEYS[name], _word(name, value)))
    write = _item if grammar is Grammar.ITEM else _parameter
    root = "xmlparameters" if grammar is Grammar.ITEM else "parameters"
    return f"<{root}>{''.join(write(key, value) for key, value in pairs)}</{root}>"


def _word(name: str, value: Any) -> str:
    if name in {"publish", "notify"}:
        return _WORDS[value]
    return value if isinstance(value, str) else str(value.isoformat())


def _item(key: str, value: str) -> str:
    return f"<item NAME={quoteattr(key)} VALUE={quoteattr(value)}/>"


def _parameter(key: str, value: str) -> str:
    """The older reader takes the text inside."""
    quoted = quoteattr(value)
    return f"<parameter key={quoteattr(key)} Name={quoteattr(key)} Value={quoted}>{quoted[1:-1]}</parameter>"

"""What the server's settings and a folder's rules allow: asked before the first byte, since a refusal at the end costs
the whole upload.

All of it is advice. What a server does not tell, or not in a form that is known, is unknown and forbids nothing.
"""

import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import NoReturn, TypeVar

import anyio

from ._log import get_logger
from ._names import Destination
from ._outcome import lacks_operation
from ._patience import Patience
from ._retry import persist
from .errors import AsyncUploadError, RuleViolated, UsageError

T = TypeVar("T")

LASTS = 300.0
"""Seconds for which an answer is taken for true: somebody may change a rule while a client lives."""

ATTEMPTS = 2
"""For what is only advice. A server in real trouble is outwaited by the requests that an upload cannot do without."""

_ANY = frozenset({"*", ""})
_YES = frozenset({"true", "yes", "on", "1"})


@dataclass(frozen=True, slots=True)
class Allowed:
    """What is allowed at one place.

    Attributes:
        path: The document's, or what else is brought.
        most: Bytes of it; None for no limit that is known.
        rule: What the server calls that limit.
    """

    path: str
    most: int | None = None
    rule: str = "DocumentMaxSize"

    def require(self, size: int) -> None:
        """Raises RuleViolated where so many bytes are too many."""
        if self.most is not None and size > self.most:
            raise RuleViolated(
                f"{self.path} has {size} bytes or more, and the server's {self.rule} is {self.most}; nothing was "
                "stored. An administrator can raise that limit",
                rule=self.rule,
                limit=str(self.most),
                value=str(size),
            )


@dataclass(slots=True)
class _Told:
    """An answer, or that there is none, and those who wait for it."""

    at: float = float("-inf")
    answer: object = None
    asking: anyio.Lock = field(default_factory=lambda: anyio.Lock(fast_acquire=True))


class Rulebook:
    """A client's, for all of its uploads: each folder is asked about once in `LASTS` seconds, and so are the settings.

    Args:
        patience: The client's.
    """

    def __init__(self, patience: Patience) -> None:
        self._patience = patience
        self._told = dict[str, _Told]()
        self._missing = set[str]()

    async def require_allowed(self, to: Destination, *, exists: bool, size: int | None) -> Allowed:
        """Make sure that nothing that the server tells speaks against this document.

        Args:
            to: Its destination.
            exists: Whether it is there, and would get a version.
            size: Bytes to come; None if nobody knows. Then they are to be counted as they go.

        Raises:
            RuleViolated: Something does.
        """
        allowed = await self.allowed(to.path)
        allowed.require(size or 0)
        require_obeyed(await self.rules(to.folder) or {}, to, exists=exists)
        return allowed

    async def allowed(self, path: str) -> Allowed:
        """How large what is called ``path`` may be."""
        settings = await self._ask("settings", "", self._patience.remote.limits)
        if settings is None:
            return Allowed(path)
        return Allowed(path, settings.document_max_size or None, settings.name)

    async def rules(self, folder: str) -> Mapping[str, str] | None:
        """A folder's, by their names in lower case; None where the server does not tell, as of one that is not
        there."""
        return await self._ask("rules", folder, lambda: self._patience.remote.folder_rules(folder))

    async def _ask(self, what: str, where: str, ask: Callable[[], Awaitable[T]]) -> T | None:
        """The answer, fresh or remembered; None if there is none."""
        if what in self._missing:
            return None
        told = self._told.setdefault(f"{what} {where.casefold()}", _Told())
        async with told.asking:
            if anyio.current_time() - told.at >= LASTS:
                told.answer = await self._answer(what, where, ask)
                told.at = anyio.current_time()
        return told.answer  # type: ignore[return-value]  # what the same question brought

    async def _answer(self, what: str, where: str, ask: Callable[[], Awaitable[T]]) -> T | None:
        patience = self._patience
        rules = replace(patience.settings.retries, attempts=ATTEMPTS)
        try:
            return await persist(lambda: patience.remote.with_ticket(ask), rules, pause=patience.pause)
        except UsageError:
            raise
        except AsyncUploadError as error:
            if lacks_operation(error):
                self._missing.add(what)
            get_logger().debug("rules_unknown", about=what, folder=where, reason=str(error))
            return None


def require_obeyed(rules: Mapping[str, str], to: Destination, *, exists: bool) -> None:
    """Raises RuleViolated. Types are looked at for new documents: whether a server would refuse a version of one that
    it has already is nowhere said."""

    def refuse(rule: str, value: str, what: str) -> NoReturn:
        limit = rules[rule.lower()]
        raise RuleViolated(
            f"{to.path}: {what} (rule {rule} of the folder {to.folder}: {limit}); nothing was sent",
            rule=rule,
            limit=limit,
            value=value,
        )

    if exists:
        for rule in ("Checkouts", "Checkins"):
            if _forbids(rules, rule):
                refuse(rule, to.name, "the folder takes no versions")
        return
    for rule in ("NewDocuments", "DisallowNewDocument", "DisallowNewDocuments"):
        if _forbids(rules, rule):
            refuse(rule, to.name, "the folder takes no new documents")
    kind, kinds = extension(to.name), file_types(rules.get("allowablefiletypes", ""))
    if kinds and kind not in kinds:
        what = f"the folder takes no documents of type {kind}" if kind else "the folder takes no documents without type"
        refuse("AllowableFileTypes", kind, what)


def _forbids(rules: Mapping[str, str], rule: str) -> bool:
    said = rules.get(rule.lower(), "").strip().lower()
    return said in _YES if rule.startswith("Disallow") else said.startswith("disallow")


def file_types(text: str) -> frozenset[str]:
    """The types that a rule lists, as ``.pdf,.docx``, ``BMP,DOC`` or ``*.pdf; *.doc``, in lower case and without dots;
    none if all are allowed."""
    found = {word.strip().removeprefix("*.").removeprefix(".").lower() for word in re.split(r"[,;|\s]+", text)}
    return frozenset() if "*" in found else frozenset(found - _ANY)


def extension(name: str) -> str:
    """The type that a document's name tells, in lower case; empty if it tells none."""
    return name.rpartition(".")[2].lower() if "." in name else ""

"""Whether the server's limits and the folders' rules allow an archive and its entries: found out before the first byte,
as far as the archive can be looked into without reading it."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

import anyio.to_thread

from ._entries import Entry, directory_of, stored_crc32
from ._names import Destination, destination
from ._patience import Patience
from ._rules import Allowed, Rulebook, require_obeyed
from ._staging import Threads
from .errors import RuleViolated, SourceError, UsageError
from .sources import Source

ASKED = 100
"""Entries that are looked for on the server at most: of those that a rule forbids only if they are there, or only if
they are not. The server says of each of the others what it thinks of it."""


class Placed(NamedTuple):
    """An entry, and where it is to go."""

    entry: Entry
    to: Destination


@dataclass(frozen=True, slots=True)
class Unpackable:
    """What is to be unpacked.

    Attributes:
        source: The archive.
        folder: Where to.
        size: Its bytes; None if nobody knows.
        changed_only: Whether entries that are equal to what is there are left out.
    """

    source: Source
    folder: str
    size: int | None
    changed_only: bool


async def require_unpackable(patience: Patience, rulebook: Rulebook, threads: Threads, what: Unpackable) -> Allowed:
    """Make sure that nothing that the server tells speaks against an archive, or against one of its entries.

    Args:
        patience: The upload's.
        rulebook: The client's.
        threads: The client's.
        what: The archive.

    Returns:
        What is allowed of the archive, for one whose size shows only while it is read.

    Raises:
        RuleViolated: Something does. It names the archive or the entry, and nothing was sent.
    """
    allowed = await rulebook.allowed(f"the archive {what.source.name} for {what.folder}")
    allowed.require(what.size or 0)
    try:
        found = await directory_of(what.source, threads)
    except SourceError:  # what is the matter with it is told by whoever reads it
        return allowed
    placed = await anyio.to_thread.run_sync(_placed, what.folder, found or (), limiter=threads.checksums)
    for entry, _ in placed:
        Allowed(f"{entry.name} in {what.source.name}", allowed.most, allowed.rule).require(entry.size)
    await _Entries(patience, rulebook, what).require_obeyed(placed)
    return allowed


def _placed(folder: str, found: Iterable[Entry]) -> list[Placed]:
    """Where each is to go, but for those that cannot be a document's name. Blocks."""
    placed = list[Placed]()
    for entry in found:
        try:
            placed.append(Placed(entry, destination(f"{folder}/{entry.name}")))
        except UsageError:
            continue
    return placed


class _Entries:
    """An archive's, and the rules of the folders that they are to go to."""

    def __init__(self, patience: Patience, rulebook: Rulebook, what: Unpackable) -> None:
        self._patience = patience
        self._rulebook = rulebook
        self._what = what
        self._rules = dict[str, Mapping[str, str] | None]()

    async def require_obeyed(self, placed: Iterable[Placed]) -> None:
        """Raises RuleViolated for the first that a rule forbids."""
        asked = 0
        for entry, to in placed:
            rules = await self._rules_of(to.folder)
            if not rules or not (_forbids(rules, to, exists=True) or _forbids(rules, to, exists=False)):
                continue
            if asked == ASKED:
                return
            asked += 1
            crc32 = await stored_crc32(self._patience, to.path)
            if not (self._what.changed_only and crc32 == entry.crc32):
                self._require(rules, entry, to, exists=crc32 is not None)

    async def _rules_of(self, folder: str) -> Mapping[str, str] | None:
        """None if they are not told. Below a folder that is not there is none: so a new tree costs one question."""
        if folder not in self._rules:
            above = None if folder == self._what.folder else await self._rules_of(folder.rpartition("/")[0])
            told = folder == self._what.folder or above is not None
            self._rules[folder] = await self._rulebook.rules(folder) if told else None
        return self._rules[folder]

    def _require(self, rules: Mapping[str, str], entry: Entry, to: Destination, *, exists: bool) -> None:
        try:
            require_obeyed(rules, to, exists=exists)
        except RuleViolated as error:
            raise RuleViolated(
                f"{entry.name} in {self._what.source.name}: {error}",
                rule=error.rule,
                limit=error.limit,
                value=error.value,
            ) from None


def _forbids(rules: Mapping[str, str], to: Destination, *, exists: bool) -> bool:
    try:
        require_obeyed(rules, to, exists=exists)
    except RuleViolated:
        return True
    return False

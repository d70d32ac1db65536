"""Whether the server has kept what a document was to be stored with: asked of it once for each way and name, and told.

A server that reads another grammar, or lacks an operation, says success all the same.
"""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, date, datetime
from typing import Any

from . import _wire
from ._parameters import NAMES, PARAMETERS, Way, asked
from ._patience import Patience
from ._retry import persist
from ._ways import TELLING
from .errors import AsyncUploadError
from .properties import Properties

ATTEMPTS = 3
"""The document is stored: what cannot be looked at soon is not waited for."""


class Keeping:
    """One upload's.

    Args:
        patience: The upload's.
        log: A logger bound to this upload.
        comment: The version's comment that was asked for.
        properties: What else was.
    """

    def __init__(self, patience: Patience, log: Any, comment: str, properties: Properties) -> None:
        self._patience = patience
        self._remote = patience.remote
        self._log = log
        self._given = properties
        self._asked = {_key(name, value): value for name, value in asked(comment, properties).items()}
        self.not_kept: tuple[str, ...] = ()
        """The names of what is known not to be kept."""

    @asynccontextmanager
    async def turn(self, *, new: bool) -> AsyncIterator[None]:
        """While nobody knows how parameters are to be written, only one upload finds out; others wait, or would lose
        theirs, too.

        Args:
            new: Whether a document is made, and no version of one.
        """
        ways = self._remote.ways
        by_parameters = (new and self._remote.creates_only) or ways.by_parameters("" if new else "token", self._given)
        told = ways.unknown(ways.way(PARAMETERS), self._asked.keys() & TELLING)
        if ways.settled or not by_parameters or not told:
            yield
            return
        async with ways.learning:
            yield

    async def look(self, path: str, stored: _wire.Stored, way: Way | None, *, token: str) -> None:
        """Find out what was kept, and remember it for other uploads.

        Args:
            path: The document's.
            stored: What was made.
            way: How it was asked for; None if another process did. Then nothing can be concluded for others.
            token: Stands in the comment of a version, beside what was asked for; empty for a new document.
        """
        if not self._asked:
            return
        ways, wanted = self._remote.ways, dict(self._asked)
        if token:
            wanted["comment"] = " ".join(filter(None, (wanted.get("comment"), token)))
        unknown = ways.unknown(way, wanted) if way is not None else wanted.keys()
        found = await self._found(path, stored, {name: wanted[name] for name in unknown}) if unknown else {}
        if way is not None:
            ways.learn(way, found, evident={"comment"} if token else set(filter(self._is_own, self._asked)))
        lost = {name.partition(":")[0] for name in self._asked if self._is_lost(way, name, found, stored)}
        self.not_kept = tuple(name for name in NAMES if name in lost)
        if self.not_kept:
            self._log.warning("not_kept", names=self.not_kept, way=way and f"{way.operation} ({way.grammar.value})")

    def _is_own(self, name: str) -> bool:
        """Whether a new document has it only because it was asked for. A version's comment has a token of its own, but
        its document may have had the same description before."""
        if name in {"created", "modified"}:
            return bool(abs((datetime.now(UTC).date() - self._asked[name]).days) > 2 * ZONES)
        return name in TELLING

    def _is_lost(self, way: Way | None, name: str, found: Mapping[str, bool | None], stored: _wire.Stored) -> bool:
        if name == "version" and stored.version_id is not None:  # told with each document
            return bool(stored.version_id != self._asked[name].packed)
        if (there := found.get(name)) is not None:
            return not there
        return way is not None and self._remote.ways.lost(way, name)

    async def _found(self, path: str, stored: _wire.Stored, wanted: Mapping[str, Any]) -> dict[str, bool | None]:
        """Of each, whether it is there; None where nobody can tell."""

        async def look() -> dict[str, bool | None]:
            version, told = None, dict[str, str]()
            if wanted.keys() & _OF_VERSIONS:
                versions = await self._remote.versions(path)
                version = next((one for one in versions if one.number == stored.version_id), None)
            if wanted.keys() & _OF_DOCUMENTS:
                told = dict((await self._remote.document(path)).told)
            found = {name: _is_there(name, value, stored, version, told) for name, value in wanted.items()}
            if False in found.values() and not await self._is_ours(path, stored):
                raise AsyncUploadError(f"another document, or version, stands at {path} now")
            return found

        rules = replace(self._patience.settings.retries, attempts=ATTEMPTS)
        try:
            return await persist(lambda: self._remote.with_ticket(look), rules, pause=self._patience.pause)
        except AsyncUploadError as error:
            self._log.warning("not_compared", reason=str(error))
            return {}

    async def _is_ours(self, path: str, stored: _wire.Stored) -> bool:
        """Whether what stands there is yet what was stored: what others have made of it says nothing of the server."""
        document, versions = await self._remote.document(path), await self._remote.versions(path)
        return stored.document_id in {None, document.document_id} and (
            stored.version_id in {None, _wire.latest(versions)}
        )


_OF_VERSIONS = frozenset({"comment", "publish:publish", "publish:dont"})
_OF_DOCUMENTS = frozenset({"description", "keywords", "created", "modified"})

ZONES = 1
"""Days that a date may be off: a server may take it for midnight in its own zone."""


def _key(name: str, value: Any) -> str:
    """A server may keep one of two wishes only because it would have done so anyway."""
    return f"{name}:{value}" if name == "publish" else name


def _is_there(
    name: str, value: Any, stored: _wire.Stored, version: _wire.Version | None, told: Mapping[str, str]
) -> bool | None:
    text = told.get(name)
    match name:
        case "version":
            return None if stored.version_id is None else bool(stored.version_id == value.packed)
        case "comment":
            return None if version is None else _plain(value) in _plain(version.comment)
        case "publish:publish" | "publish:dont":
            published = version and version.published
            return None if published is None else published is (value == "publish")
        case "description":
            return None if text is None else _plain(text) == _plain(value)
        case "keywords":
            return None if text is None else _words(text) == _words(value)
        case _:
            return _is_day(text, value)


def _is_day(text: str | None, day: date) -> bool | None:
    moment = _wire.moment(text or "")
    return None if moment is None else abs((moment.date() - day).days) <= ZONES


def _plain(text: str) -> str:
    return " ".join(text.split())


def _words(text: str) -> list[str]:
    return [_plain(word).casefold() for word in text.split(",") if word.strip()]

"""What is known of how one server keeps what a document is stored with. No I/O."""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping

import anyio

from ._parameters import NAMES, PARAMETERS, Grammar, Way, operations
from .properties import Properties

_GRAMMARS = frozenset(grammar.value for grammar in Grammar)

READABLE = frozenset(NAMES) - {"text", "notify"}
"""What a server can be asked about afterwards."""

TELLING = frozenset({"comment", "description", "keywords", "created", "modified"})
"""What tells that a request was not understood, if none of it is found."""


DOUBT = 2
"""Failures inside the server at requests in one grammar, after which another is tried. One passes, as a deadlock."""


class Ways:
    """A client's, for all of its uploads.

    Attributes:
        grammar: In which parameters are written.
        missing: Operations that the server does not have.
        learning: Held by the upload that finds out how parameters are to be written, so that others do not lose theirs
            meanwhile.
    """

    def __init__(self) -> None:
        self.grammar = Grammar.ITEM
        self.missing = set[str]()
        self.learning = anyio.Lock(fast_acquire=True)
        self._proven = set[str]()
        self._ignored = set[str]()
        self._accepted = set[str]()
        self._failures = Counter[str]()
        self._kept = dict[tuple[str, str], bool | None]()

    @property
    def settled(self) -> bool:
        """Whether there is nothing left to find out about grammars."""
        return self.grammar.value in self._proven or self._ignored | self._refused >= _GRAMMARS

    @property
    def found(self) -> Grammar | None:
        """The grammar that is used since something was found out; None before."""
        return self.grammar if self._proven or self._ignored or self._refused else None

    def begin_with(self, grammar: Grammar) -> None:
        """Write parameters as the server read them once; what it keeps is looked at all the same."""
        if self.found is None:
            self.grammar = grammar

    @property
    def _refused(self) -> set[str]:
        return {key for key, failures in self._failures.items() if failures >= DOUBT}

    def way(self, operation: str) -> Way:
        """That of a request that leaves now."""
        return Way(operation, self.grammar)

    def by_parameters(self, comment: str, given: Properties) -> bool:
        """Whether a request that makes a document at a path takes parameters."""
        return next(name for name in operations(comment, given) if name not in self.missing) == PARAMETERS

    def accept(self, way: Way) -> None:
        """The server has said success to a request in which something was asked for: it does not fail at that."""
        self._accepted.add(way.key)
        del self._failures[way.key]

    def fail(self, way: Way) -> None:
        """The server has failed inside, at a request in a grammar of which nobody knows whether it can be read."""
        if not self.doubts(way):
            return
        self._failures[way.key] += 1
        if self._refused >= _GRAMMARS:  # so it was perhaps something else: all that is known is which failed last
            self._failures = Counter({way.key: DOUBT})
        if way.grammar is self.grammar and way.key in self._refused:
            self._change(way)

    def doubts(self, way: Way | None) -> bool:
        """Whether a failure inside the server may come of how its parameters were written."""
        return way is not None and way.key in _GRAMMARS and way.key not in self._accepted

    def unknown(self, way: Way, names: Iterable[str]) -> set[str]:
        """Of these, what the server must be asked about."""
        return {
            name for name in names if _readable(name) and way.carries(_plain(name)) and not self._is_known(way, name)
        }

    def lost(self, way: Way, name: str) -> bool:
        """Whether it is known that what goes that way is not kept."""
        if not way.carries(_plain(name)):
            return True
        known = self._kept.get((way.key, name))
        return way.key in self._ignored if known is None else not known

    def learn(self, way: Way, found: Mapping[str, bool | None], *, evident: Collection[str]) -> None:
        """Conclude from what was found of one document.

        Args:
            way: How it was asked for.
            found: Whether each is there; None where the server does not tell.
            evident: What nothing but this request can have put there: if it is found, the request was understood.
        """
        told = {name: there for name, there in found.items() if there is not None}
        # A comment may only have been looked for under the number of a version that nobody told.
        self._kept |= {(way.key, name): None for name, there in found.items() if there is None and name != "comment"}
        if any(told.get(name) for name in evident):
            self._proven.add(way.key)
            self._ignored.discard(way.key)
            self._kept |= {(way.key, name): there for name, there in told.items()}
        elif not any(told.values()) and told.keys() & TELLING and way.key not in self._proven:
            self._ignored.add(way.key)
            self._change(way)
        else:  # by default, perhaps; but then the next one has it by default, too
            self._kept |= {
                (way.key, name): True for name, there in told.items() if there and name.startswith("publish")
            }

    def _change(self, way: Way) -> None:
        """Write parameters otherwise, if there is a grammar that was not tried; or as the pages of today have it."""
        if way.key in _GRAMMARS:
            usable = [one for one in Grammar if one.value not in self._refused]
            self.grammar = next((one for one in usable if one.value not in self._ignored), usable[0])

    def _is_known(self, way: Way, name: str) -> bool:
        given_up = way.key in self._ignored and (self.settled or way.key not in _GRAMMARS)
        return given_up or (way.key, name) in self._kept


def _plain(name: str) -> str:
    return name.partition(":")[0]


def _readable(name: str) -> bool:
    return _plain(name) in READABLE

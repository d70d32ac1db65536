"""Which files of a tree are wanted. Pure: decides on names, sizes and ages that others found out."""

import unicodedata
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from math import inf

from pathspec import GitIgnoreSpec

from asyncupload.errors import UsageError

from .destinations import LONGEST_PATH


def _require(met: object, message: str) -> None:
    if not met:
        raise UsageError(message)


@dataclass(frozen=True, slots=True, kw_only=True)
class TreeRules:
    """What to take from a tree. What a rule leaves out makes no row, and is counted.

    Patterns are those of ``.gitignore``: ``*.tmp``, ``/build/``, ``**/cache/*.db``, ``!keep.tmp``. They see paths below
    the root in composed form (NFC), and case matters.

    Raises:
        UsageError: A value is out of range, or a pattern is none.
    """

    include: tuple[str, ...] = ()
    """Only files that one of these matches; all if there are none. Folders are entered nevertheless."""

    exclude: tuple[str, ...] = ()
    """No files that one of these matches. A folder that matches is not entered: nothing in it comes back by ``!``."""

    min_size: int = 0
    """Bytes. With 1 or more, empty files make no rows."""

    max_size: int | None = None
    """Bytes; None for any."""

    newer_than: datetime | None = None
    """Only files changed after this moment, with a time zone."""

    older_than: datetime | None = None
    """Only files changed before this moment, with a time zone: a minute ago spares what is still being copied in."""

    follow_symlinks: bool = False
    """Otherwise a symbolic link makes a row that is passed over. A link back to a folder above always does."""

    stay_inside: bool = True
    """With ``follow_symlinks``: pass over links that lead out of the tree."""

    longest_path: int = LONGEST_PATH
    """Characters of a path on the server that are not too many."""

    def __post_init__(self) -> None:
        _require(self.min_size >= 0, "TreeRules.min_size must not be negative")
        _require(
            self.max_size is None or self.max_size >= self.min_size, "TreeRules.max_size must not be below min_size"
        )
        _require(self.longest_path >= 1, "TreeRules.longest_path must be at least 1")
        for name in ("newer_than", "older_than"):
            moment: datetime | None = getattr(self, name)
            _require(moment is None or moment.tzinfo is not None, f"TreeRules.{name} needs a time zone")
        for name in ("include", "exclude"):
            _spec(getattr(self, name), name)


_BEGINNING = datetime(1970, 1, 1, tzinfo=UTC)


class Choice:
    """Rules, ready to decide on millions of files."""

    def __init__(self, rules: TreeRules) -> None:
        self._rules = rules
        self._include = _spec(rules.include, "include")
        self._exclude = _spec(rules.exclude, "exclude")
        self._newer = _ns(rules.newer_than) if rules.newer_than else -inf
        self._older = _ns(rules.older_than) if rules.older_than else inf

    def wants_folder(self, relative: bytes) -> bool:
        """Whether to look into a folder."""
        return not self._exclude.match_file(_shown(relative) + "/")

    def wants_name(self, relative: bytes) -> bool:
        """Whether the patterns let a file pass."""
        name = _shown(relative)
        return not self._exclude.match_file(name) and (not self._rules.include or self._include.match_file(name))

    def unwanted(self, size: int, mtime_ns: int) -> str:
        """Which measure leaves a file out, ``size`` or ``age``; empty if none does."""
        if size < self._rules.min_size or (self._rules.max_size is not None and size > self._rules.max_size):
            return "size"
        return "" if self._newer < mtime_ns < self._older else "age"


def _ns(moment: datetime) -> int:
    """Since 1970, exactly: in seconds, the last nanosecond of a day would be the next day's first."""
    return (moment - _BEGINNING) // timedelta(microseconds=1) * 1000


def _spec(patterns: tuple[str, ...], name: str) -> GitIgnoreSpec:
    try:
        spec = GitIgnoreSpec.from_lines([unicodedata.normalize("NFC", pattern) for pattern in patterns])
    except ValueError as error:
        raise UsageError(f"TreeRules.{name}: not a pattern of .gitignore: {error}") from error
    _require(
        sum(pattern.include is not None for pattern in spec.patterns) == len(patterns),
        f"TreeRules.{name}: one of {', '.join(map(repr, patterns))} is empty, a comment or broken",
    )
    return spec


def _shown(relative: bytes) -> str:
    """Bytes that are not UTF-8 are matched by ``*`` and ``?`` only."""
    return unicodedata.normalize("NFC", relative.decode("utf-8", "surrogateescape"))

"""A folder of files, as the plan of what to send."""
# ruff: noqa: PTH116, PTH118, PTH119, PTH208  (paths are bytes here: not every name is text)

import os
import stat
from collections import Counter
from collections.abc import AsyncGenerator
from concurrent.futures import Executor
from contextlib import aclosing
from typing import NamedTuple

from asyncupload._cutting import reading
from asyncupload.errors import SourceMissing, SourceUnreadable, UsageError

from . import destinations
from .batches import Pause, Steps, batches
from .found import EMPTY, Problem, item, kind, unseen
from .ground import Blame, Ground, is_missing
from .rows import Item
from .rules import Choice, TreeRules

TRIES = 5
"""Times that a folder or a file in trouble is looked at again, while others are well: the waits add up to half a minute
where they double from a second."""


class _Folder(NamedTuple):
    """A folder that is being walked through."""

    path: bytes
    relative: bytes
    identity: tuple[int, int]
    """Device and inode: a link back to it has the same."""
    names: list[bytes]
    """Still to be looked at, the next one last."""


class _Sight(NamedTuple):
    """What was seen at one name."""

    path: bytes
    relative: bytes
    seen: os.stat_result | None
    problem: Problem | None

    def folder(self) -> os.stat_result | None:
        """What was seen of a folder that may be entered; None for anything else."""
        return self.seen if self.seen and not self.problem and stat.S_ISDIR(self.seen.st_mode) else None

    def file(self) -> os.stat_result | None:
        """What was seen of a file that may be sent; None for anything else."""
        return self.seen if self.seen and not self.problem and stat.S_ISREG(self.seen.st_mode) else None


class Tree:
    """The files below a folder, each one with its destination, in the order of their names' bytes, depth first.

    Every entry makes a row, but folders that could be read and what the rules leave out. A folder that cannot be read
    makes one that has failed, and the others go on. While the root is gone, empty, stale or may not be read, there is a
    `Pause`, and then it goes on where it was.

    Memory: the names in the folders from the root to the current one, about 100 bytes each, and one batch of rows. A
    single folder of a million files so takes about 100 MB until it is done.

    Args:
        root: The folder on this side. It may be a symbolic link.
        to: The folder on the server that stands for it, ``/Library/Folder``; it need not be there.
        rules: Which files to take.

    Raises:
        UsageError: ``to`` cannot be a folder on the server.
    """

    def __init__(self, root: str | os.PathLike[str], to: str, rules: TreeRules | None = None) -> None:
        self._root = os.fsencode(root)
        self._to = destinations.folder(to)
        self._rules = rules or TreeRules()
        self._choice = Choice(self._rules)
        self._ground = Ground()
        self._tries = 0
        self.left_out: Counter[str] = Counter()
        """What the rules left out so far: files by ``pattern``, ``size`` and ``age``, and ``folder`` for each folder
        that was not entered. It is whole when the items have ended."""

    async def items(self, threads: Executor) -> AsyncGenerator[list[Item], None]:
        """The rows, some hundred at a time, as they are found: the first ones come long before the last one is seen.

        Args:
            threads: Where to look at the disk.

        Raises:
            SourceMissing: There is no folder at the root.
            SourceUnreadable: The root cannot be read.
            UsageError: The root is a file.

        On cancellation: a look at the disk under way ends first (at most some seconds), and nothing is left open.
        """
        self.left_out.clear()
        async with aclosing(batches(self._walk(), threads)) as found:
            async for batch in found:
                yield batch

    def _walk(self) -> Steps:
        above = [self._start()]
        if not above[-1].names:
            yield Pause(SourceMissing(f"{above[-1].path.decode('utf-8', 'replace')} is empty"), last=True)
        while above:
            if not above[-1].names:
                above.pop()
                continue
            sight = self._look(above)
            if isinstance(sight, Pause):
                yield sight
            elif seen := sight.folder():
                yield self._enter(sight, seen, above)
            else:
                yield self._row(sight) if self._wanted(sight) else None

    def _start(self) -> _Folder:
        # Only the disk knows where ".." leads from a symbolic link.
        whole = os.path.realpath if b".." in self._root.split(b"/") else os.path.abspath
        path = whole(self._root)
        shown = path.decode("utf-8", "replace")
        with reading(shown):
            seen = os.stat(path)
            if not stat.S_ISDIR(seen.st_mode):
                raise UsageError(f"{shown} is not a folder; to send one file, upload it by itself")
            self._ground, self._tries = Ground(path), 0
            self._ground.stand()
            return _Folder(path, b"", _identity(seen), _names(path))

    def _look(self, above: list[_Folder]) -> _Sight | Pause:
        """See what stands at the next name of the innermost folder."""
        folder = above[-1]
        name = folder.names.pop()
        path = os.path.join(folder.path, name)
        relative = folder.relative + b"/" + name if folder.relative else name
        try:
            seen = os.lstat(path)
        except OSError as error:
            pause = self._trouble(path, error, folder)
            return _Sight(path, relative, None, unseen(error)) if pause is None else pause
        self._tries = 0
        if not stat.S_ISLNK(seen.st_mode):
            return _Sight(path, relative, seen, None)
        if not self._rules.follow_symlinks:
            return _Sight(path, relative, None, _pass("it is a symbolic link, and links are not followed"))
        return _Sight(path, relative, *self._follow(path, above))

    def _trouble(self, path: bytes, error: OSError, folder: _Folder) -> Pause | None:
        """A pause, after which what could not be looked at is looked at again; None if that would not help."""
        blame = self._ground.blame(path, error)
        if blame is Blame.FILE or (blame is not Blame.ALL and isinstance(error, PermissionError)):
            return None
        self._tries += blame is not Blame.ALL
        if self._tries > TRIES:
            return None
        folder.names.append(os.path.basename(path))
        kind_ = SourceMissing if is_missing(error) else SourceUnreadable
        said = kind_(f"{path.decode('utf-8', 'replace')} cannot be looked at: {error.strerror or error}")
        said.__cause__ = error
        return Pause(said)

    def _follow(self, path: bytes, above: list[_Folder]) -> tuple[os.stat_result | None, Problem | None]:
        """What is at the other end of a link, or why nobody goes there."""
        try:
            seen = os.stat(path)
        except OSError as error:
            text = f"it is a symbolic link that cannot be followed: {error.strerror or error}"
            return None, Problem(text, fatal=True)
        if _identity(seen) in {folder.identity for folder in above}:
            return None, _pass("it is a symbolic link back to a folder above it")
        if self._rules.stay_inside and not _inside(path, above[0].path):
            return None, _pass("it is a symbolic link out of the tree")
        return seen, None

    def _enter(self, sight: _Sight, seen: os.stat_result, above: list[_Folder]) -> Item | Pause | None:
        """Go into a folder, if it is wanted. A row if it cannot be read."""
        if not self._choice.wants_folder(sight.relative):
            self.left_out["folder"] += 1
            return None
        try:
            names = _names(sight.path)
        except OSError as error:
            if (pause := self._trouble(sight.path, error, above[-1])) is not None:
                return pause
            text = f"the folder cannot be read, and nothing in it was seen: {error.strerror or error}"
            return self._row(_Sight(sight.path, sight.relative, None, Problem(text, fatal=True)))
        above.append(_Folder(sight.path, sight.relative, _identity(seen), names))
        return None

    def _wanted(self, sight: _Sight) -> bool:
        """Whether the rules let an entry pass. Only a file has a size and an age that matter."""
        reason = "" if self._choice.wants_name(sight.relative) else "pattern"
        if not reason and (seen := sight.file()):
            reason = self._choice.unwanted(seen.st_size, seen.st_mtime_ns)
        if reason:
            self.left_out[reason] += 1
        return not reason

    def _row(self, sight: _Sight) -> Item:
        destined = destinations.from_tree(sight.relative, self._to, longest_path=self._rules.longest_path)
        return item(sight.path, destined, sight.seen, sight.problem or _unfit(sight.seen))


def _unfit(seen: os.stat_result | None) -> Problem | None:
    """Why something that is no folder is passed over."""
    if seen and not stat.S_ISREG(seen.st_mode):
        return _pass(f"it is {kind(seen.st_mode)}, and only files can be sent")
    return None if seen and seen.st_size else _pass(EMPTY)


def _pass(text: str) -> Problem:
    return Problem(text, fatal=False)


def _inside(path: bytes, root: bytes) -> bool:
    return os.path.realpath(path).startswith(os.path.join(os.path.realpath(root), b""))


def _identity(seen: os.stat_result) -> tuple[int, int]:
    return seen.st_dev, seen.st_ino


def _names(path: bytes) -> list[bytes]:
    """What is in a folder, the first name last. Only names: all that is known of a million files would take a GB."""
    return sorted(os.listdir(path), reverse=True)

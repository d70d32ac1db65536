"""A list of files, as the plan of what to send: one line for each, with its destination and what else is told of it."""
# ruff: noqa: PTH116, PTH118  (sources are bytes here: not every name is text)

import os
import shutil
import stat
import sys
import tempfile
from collections.abc import AsyncGenerator, Iterator
from concurrent.futures import Executor
from contextlib import aclosing, contextmanager
from pathlib import Path
from typing import BinaryIO, cast

from asyncupload._cutting import reading
from asyncupload.errors import SourceMissing, SourceUnreadable, UsageError

from . import destinations
from .batches import Pause, Steps, batches
from .destinations import Destined
from .entries import Entry, Format, ManifestProblem, entries
from .found import EMPTY, Problem, item, kind, unseen
from .ground import Blame, Ground, is_missing
from .rows import Item

STANDARD_INPUT = "-"

_SHOWN = 20
_KEPT = 1000

_FORMATS: dict[str, Format] = {
    ".csv": "csv",
    ".tsv": "csv",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".json": "jsonl",
}


class ManifestError(UsageError):
    """A manifest has lines that cannot be used; nothing was planned.

    Attributes:
        problems: What is wrong, by line; the first thousand.
        count: How many lines are wrong.
        lines: The message, one after another.
    """

    def __init__(self, name: str, problems: list[ManifestProblem], count: int) -> None:
        lines = [f"{name} cannot be used: {count} {'line is' if count == 1 else 'lines are'} wrong"]
        lines += map(str, problems[:_SHOWN])
        if count > _SHOWN:
            lines.append(f"... and {count - _SHOWN} more")
        super().__init__("\n  ".join(lines))
        self.lines = (lines[0], *(f"  {line}" for line in lines[1:]))
        self.problems = tuple(problems)
        self.count = count


class Manifest:
    """The files that a list names, in its order: a CSV file or JSON Lines, as `entries` describes them.

    Every line makes a row or a problem. The file's name tells the format, and where it does not, its first character.
    A source that is missing makes a row that has failed.

    Memory: some lines, one batch of rows, and the first thousand problems. What is not a regular file (standard input,
    a pipe) is copied to a temporary file first, since it is read twice.

    Args:
        path: The manifest; ``-`` for standard input.
        to: The folder on the server below which relative destinations are; empty if there are none.
        root: The folder below which relative sources are; None for the manifest's own, or the current one for standard
            input and pipes.
        keep_going: Make rows of the good lines although others are wrong. Otherwise every line is read before the first
            row is made.
        longest_path: Characters of a path on the server that are not too many.

    Raises:
        UsageError: ``to`` cannot be a folder on the server.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        to: str = "",
        root: str | os.PathLike[str] | None = None,
        keep_going: bool = False,
        longest_path: int = destinations.LONGEST_PATH,
    ) -> None:
        self._path = os.fspath(path)
        self._to = destinations.folder(to) if to else ""
        self._root = root
        self._keep_going = keep_going
        self._longest_path = longest_path
        self.problems: list[ManifestProblem] = []
        """What is wrong with it as far as it was read; the first thousand."""
        self.bad_lines = 0
        """How many lines are wrong, as far as it was read."""

    @property
    def name(self) -> str:
        """What to call it in messages."""
        return "standard input" if self._path == STANDARD_INPUT else self._path.encode("utf-8", "replace").decode()

    async def items(self, threads: Executor) -> AsyncGenerator[list[Item], None]:
        """The rows, some hundred at a time.

        Args:
            threads: Where to read it, and to look at the sources.

        Raises:
            ManifestError: Lines are wrong, and ``keep_going`` is not set.
            SourceMissing: There is no manifest.
            SourceUnreadable: It cannot be read.

        On cancellation: a look at the disk under way ends first (at most some seconds); one that waits for somebody to
        write to a pipe ends when he does.
        """
        async with aclosing(batches(self._rows(), threads)) as found:
            async for batch in found:
                yield batch

    def _rows(self) -> Steps:
        with reading(self.name), self._opened() as file:
            root = self._sources()
            if not self._keep_going:
                yield from (None for _ in self._planned(file))
                self._require_good()
            ground = Ground()
            for planned in self._planned(file):
                yield from self._seen(*planned, root, ground) if planned else (None,)
            if not self._keep_going:
                self._require_good()  # somebody may have written to it meanwhile

    @contextmanager
    def _opened(self) -> Iterator[BinaryIO]:
        """The manifest in a form that can be read twice."""
        if self._path == STANDARD_INPUT:
            with _copied(sys.stdin.buffer) as copy:
                yield copy
            return
        with Path(self._path).open("rb") as file:
            if stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                yield file
                return
            with _copied(file) as copy:
                yield copy

    def _sources(self) -> bytes:
        """The folder of relative sources."""
        if self._root is not None:
            return os.fsencode(Path(self._root).absolute())
        regular = self._path != STANDARD_INPUT and Path(self._path).is_file()
        return os.fsencode(Path(self._path).absolute().parent if regular else Path.cwd())

    def _planned(self, file: BinaryIO) -> Iterator[tuple[Entry, Destined] | None]:
        """All lines from the first on: good ones, and None for the bad ones, which are noted."""
        file.seek(0)
        self.problems, self.bad_lines = [], 0
        for found in entries(file, _FORMATS.get(Path(self._path).suffix.lower())):
            planned = self._destined(found) if isinstance(found, Entry) else found
            if isinstance(planned, ManifestProblem):
                self._note(planned)
            yield None if isinstance(planned, ManifestProblem) else planned

    def _destined(self, entry: Entry) -> tuple[Entry, Destined] | ManifestProblem:
        destined = destinations.from_text(entry.destination, self._to, longest_path=self._longest_path)
        return ManifestProblem(entry.line, destined.problem) if destined.problem else (entry, destined)

    def _note(self, problem: ManifestProblem) -> None:
        self.bad_lines += 1
        if len(self.problems) < _KEPT:
            self.problems.append(problem)

    def _require_good(self) -> None:
        if self.bad_lines:
            raise ManifestError(self.name, self.problems, self.bad_lines)

    def _seen(self, entry: Entry, destined: Destined, root: bytes, ground: Ground) -> Steps:
        """A row; before it pauses, while all that was seen before is gone. What never was may be mistyped."""
        source = os.path.join(root, os.fsencode(entry.source))
        while True:
            try:
                seen = os.stat(source)
            except OSError as error:
                if ground.blame(source, error) is Blame.ALL:
                    yield Pause(_unseen(source, error))
                    continue
                yield item(source, destined, None, unseen(error), line=entry.line, metadata=entry.metadata)
            else:
                if ground.learn(source):
                    ground.stand()
                ground.read(source)
                yield item(source, destined, seen, _unfit(seen), line=entry.line, metadata=entry.metadata)
            return


def _unseen(source: bytes, error: OSError) -> SourceMissing | SourceUnreadable:
    kind_ = SourceMissing if is_missing(error) else SourceUnreadable
    said = kind_(f"{source.decode('utf-8', 'replace')} cannot be looked at: {error.strerror or error}")
    said.__cause__ = error
    return said


def _unfit(seen: os.stat_result) -> Problem | None:
    """Why something that was named on purpose cannot be sent."""
    if not stat.S_ISREG(seen.st_mode):
        return Problem(f"it is {kind(seen.st_mode)}, and only files can be sent", fatal=True)
    return None if seen.st_size else Problem(EMPTY, fatal=False)


@contextmanager
def _copied(file: BinaryIO) -> Iterator[BinaryIO]:
    with tempfile.TemporaryFile() as copy:
        shutil.copyfileobj(file, copy)
        yield cast(BinaryIO, copy)

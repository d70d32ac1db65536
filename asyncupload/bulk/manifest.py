"""A list of files, as the plan of what to send: one line for each, with its destination and what else is told of it."""
# ruff: noqa: PTH116, PTH117, PTH118  (sources are bytes here: not every name is text)

import codecs
import os
import shutil
import stat
import sys
import tempfile
from collections.abc import AsyncGenerator, Iterator
from concurrent.futures import Executor
from contextlib import aclosing, closing, contextmanager
from pathlib import Path
from typing import BinaryIO, NamedTuple, cast

from asyncupload._cutting import reading
from asyncupload.errors import SourceMissing, SourceUnreadable, UsageError

from . import destinations
from .batches import Pause, Steps, batches
from .destinations import Destined
from .entries import Entry, Format, ManifestProblem, entries
from .found import EMPTY, Problem, item, kind, unseen
from .ground import Blame, Ground, is_missing
from .rows import Item
from .spelling import as_path
from .twins import Twins

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


class _Planned(NamedTuple):
    """A good line."""

    entry: Entry
    source: bytes
    destined: Destined


class Manifest:
    """The files that a list names, in its order: CSV, JSON or an Excel workbook, as `entries` describes them.

    Every line makes a row or a problem, and so do two that contradict each other: one place on the server cannot have
    two sources, nor one document two descriptions. The file's name tells the format, and where it does not, its first
    character; a workbook is known by what is in it. A source that is missing makes a row that has failed.

    Memory: some lines, one batch of rows, the first thousand problems, and some MiB to find contradictions (for long
    lists a temporary file besides, of about 60 bytes for each line). What is not a regular file (standard input, a
    pipe) is copied to a temporary file first, since it is read twice.

    Args:
        path: The manifest; ``-`` for standard input.
        to: The folder on the server below which relative destinations are; empty if there are none.
        root: The folder below which relative sources are; None for the manifest's own, or the current one for standard
            input and pipes.
        keep_going: Make rows of the good lines although others are wrong. Otherwise every line is read before the first
            row is made.
        longest_path: Characters of a path on the server that are not too many.
        encoding: How it is written, as Python names it; None for UTF-8, UTF-16 or UTF-32, whichever it is.

    Raises:
        UsageError: ``to`` cannot be a folder on the server, or there is no such encoding.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        to: str = "",
        root: str | os.PathLike[str] | None = None,
        keep_going: bool = False,
        longest_path: int = destinations.LONGEST_PATH,
        encoding: str | None = None,
    ) -> None:
        self._path = os.fspath(path)
        self._to = destinations.folder(to) if to else ""
        self._root = root
        self._keep_going = keep_going
        self._longest_path = longest_path
        self._encoding = None if encoding is None else _encoding(encoding)
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
        root = self._sources()
        with reading(self.name), self._opened() as file:
            if not self._keep_going:
                yield from (None for _ in self._planned(file, root))
                self._require_good()
            ground = Ground()
            for planned in self._planned(file, root):
                yield from self._seen(planned, ground) if planned else (None,)
            if not self._keep_going:
                self._require_good()  # somebody may have written to it meanwhile

    @contextmanager
    def _opened(self) -> Iterator[BinaryIO]:
        """The manifest in a form that can be read twice."""
        if self._path == STANDARD_INPUT:
            if sys.stdin is None:  # Python's word for a descriptor that was closed before it started
                raise SourceUnreadable("standard input is closed: give the list by --manifest FILE, or on a pipe")
            with _copied(sys.stdin.buffer, self.name) as copy:
                yield copy
            return
        with Path(self._path).open("rb") as file:
            if stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                yield file
                return
            with _copied(file, self.name) as copy:
                yield copy

    def _sources(self) -> bytes | None:
        """The folder of relative sources; None if the current folder is gone, which matters where there are some."""
        regular = self._path != STANDARD_INPUT and Path(self._path).is_file()
        try:
            if self._root is not None:
                return os.fsencode(Path(self._root).absolute())
            return os.fsencode(Path(self._path).absolute().parent if regular else Path.cwd())
        except FileNotFoundError:
            return None

    def _planned(self, file: BinaryIO, root: bytes | None) -> Iterator[_Planned | None]:
        """All lines from the first on: good ones, and None for the bad ones, which are noted."""
        file.seek(0)
        self.problems, self.bad_lines = [], 0
        with closing(Twins()) as twins:
            for found in entries(file, _FORMATS.get(Path(self._path).suffix.lower()), self._encoding):
                planned = self._plan(found, root, twins) if isinstance(found, Entry) else found
                if isinstance(planned, ManifestProblem):
                    self._note(planned)
                yield None if isinstance(planned, ManifestProblem) else planned

    def _plan(self, entry: Entry, root: bytes | None, twins: Twins) -> _Planned | ManifestProblem:
        source = as_path(entry.source)
        if root is None and not os.path.isabs(source):
            return ManifestProblem(entry.line, "the current folder is gone, below which the source would be")
        source = os.path.join(root or b"", source)
        destined = destinations.from_text(entry.destination, self._to, longest_path=self._longest_path)
        problem = destined.problem or twins.contradiction(entry.line, source, destined.path, entry.metadata)
        return ManifestProblem(entry.line, problem) if problem else _Planned(entry, source, destined)

    def _note(self, problem: ManifestProblem) -> None:
        self.bad_lines += 1
        if len(self.problems) < _KEPT:
            self.problems.append(problem)

    def _require_good(self) -> None:
        if self.bad_lines:
            raise ManifestError(self.name, self.problems, self.bad_lines)

    def _seen(self, planned: _Planned, ground: Ground) -> Steps:
        """A row; before it pauses, while all that was seen before is gone. What never was may be mistyped."""
        entry, source, destined = planned
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
def _copied(file: BinaryIO, name: str) -> Iterator[BinaryIO]:
    try:
        copy = tempfile.TemporaryFile()  # noqa: SIM115  (closed below)
    except OSError as error:
        raise SourceUnreadable(
            f"{name} has to be read twice, and there is nowhere to keep it meanwhile: {error}; set TMPDIR to a folder "
            "with room, or give the list as a file"
        ) from error
    with copy:
        shutil.copyfileobj(file, copy)
        yield cast(BinaryIO, copy)


def _encoding(name: str) -> str:
    """A text's, by the name that Python has for it. Raises UsageError."""
    try:
        found = codecs.lookup(name)
        "".encode(name)  # not every codec is one of texts
    except LookupError as error:
        raise UsageError(f"there is no encoding {name!r}; there are utf-8, utf-16, windows-1252, and more") from error
    return found.name

"""The report of a load: every row for other programs, or one page for people. Written beside and renamed into place."""

import os
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import IO, Protocol

import anyio
import anyio.to_thread

from asyncupload._targets import Beside, settled
from asyncupload.errors import TargetUnwritable, UsageError

from .page import Page
from .progress import Progress
from .queue import Queue
from .records import Csv, JsonLines
from .regular import require_regular
from .rows import Row

FORMATS = (".csv", ".jsonl", ".html")
"""By the end of the report's name."""

_AT_ONCE = 500


class _Form(Protocol):
    """How rows become text."""

    def first(self) -> str:
        """What stands before all rows."""
        ...

    def of(self, rows: Iterable[Row]) -> str:
        """What stands for some rows."""
        ...

    def last(self) -> str:
        """What stands after all rows."""
        ...


def require_usable(path: Path) -> None:
    """Find out before a load whether its report can be written there at its end. Blocks.

    Raises:
        UsageError: Its name tells no format, its folder is missing or cannot be written to, or what is there already is
            no regular file.
    """
    if path.suffix.lower() not in FORMATS:
        raise UsageError(f"the report {path} must end in {', '.join(FORMATS)}: that tells how it is to be written")
    if not path.absolute().parent.is_dir():
        raise UsageError(f"the report {path} cannot be written: name a file in a folder that exists")
    require_regular(path, "report")
    if not os.access(path.absolute().parent, os.W_OK):
        raise UsageError(f"the report {path} cannot be written: its folder is not yours to write to")


async def write(queue: Queue, path: Path, *, progress: Progress | None = None) -> None:
    """Write the report of all rows to ``path``, in the format that the end of its name tells.

    ``.csv`` and ``.jsonl`` have a line for every row (see `records`), ``.html`` is one page that needs nothing else.
    Rows that have not ended are reported as cancelled. A file that stands there is replaced in one step, when the new
    one is complete and on disk. Some hundred rows are in memory.

    Args:
        queue: With the rows.
        path: The report.
        progress: How the load ended in this process, for what rows do not tell: only the page has it.

    Raises:
        TargetUnwritable: It cannot be written; what stood there stands there, and the load is as good as before.
        UsageError: Its name tells no format.
        JournalError: The rows cannot be read.

    On cancellation nothing is left beside it, and what stood there stands there.
    """
    form = await _form(queue, path, progress)
    try:
        await _replace(path, form, queue)
    except (OSError, TargetUnwritable) as error:
        raise TargetUnwritable(
            f"the report {path} cannot be written: {error}. The load itself is complete in its journal, from which a "
            "report can be written again"
        ) from error


async def _replace(path: Path, form: _Form, queue: Queue) -> None:
    beside = Beside(await anyio.to_thread.run_sync(settled, path), str(os.getpid()))
    file: IO[str] | None = None
    try:
        file = await anyio.to_thread.run_sync(_opened, beside)
        await _fill(file, form, queue)
        await anyio.to_thread.run_sync(_put_in_place, file, beside)
    except BaseException:
        with anyio.CancelScope(shield=True):
            await anyio.to_thread.run_sync(_remove, file, beside)
        raise
    finally:
        with anyio.CancelScope(shield=True):
            await anyio.to_thread.run_sync(_close, file, beside)


def _opened(beside: Beside) -> IO[str]:
    file = open(beside.path, "r+", encoding="utf-8", newline="", opener=beside.open)  # noqa: SIM115
    file.truncate()  # what a process of the same number has left
    return file


def _put_in_place(file: IO[str], beside: Beside) -> None:
    file.flush()
    beside.seal(file.fileno())
    file.close()
    beside.take_place()


def _remove(file: IO[str] | None, beside: Beside) -> None:
    with suppress(OSError, ValueError):  # the latter if it is closed already
        if file is not None:
            beside.remove(file.fileno())


def _close(file: IO[str] | None, beside: Beside) -> None:
    with suppress(OSError):  # what could not be written has been told
        if file is not None:
            file.close()
    beside.close()


async def _form(queue: Queue, path: Path, progress: Progress | None) -> _Form:
    match path.suffix.lower():
        case ".csv":
            return Csv()
        case ".jsonl":
            return JsonLines()
        case ".html":
            planned = sum(tally.rows for tally in (await queue.counts()).values())
            return Page(await queue.run(), planned, progress)
    raise UsageError(f"the report {path} must end in {', '.join(FORMATS)}: that tells how it is to be written")


async def _fill(file: IO[str], form: _Form, queue: Queue) -> None:
    await anyio.to_thread.run_sync(lambda: file.write(form.first()))
    batch: list[Row] = []
    async for row in queue.rows():
        batch.append(row)
        if len(batch) == _AT_ONCE:
            await _add(file, form, batch)
            batch = []
    await _add(file, form, batch)
    await anyio.to_thread.run_sync(_finish, file, form)


async def _add(file: IO[str], form: _Form, rows: list[Row]) -> None:
    await anyio.to_thread.run_sync(lambda: file.write(form.of(rows)))


def _finish(file: IO[str], form: _Form) -> None:
    file.write(form.last())

"""Shows a load of many files: a picture on a terminal, a line every so often elsewhere, nothing when quiet."""

from contextlib import suppress

import anyio
from rich.console import Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from asyncupload._shown import shown
from asyncupload._units import amount
from asyncupload.bulk.loader import Loader
from asyncupload.bulk.progress import Phase, Progress
from asyncupload.bulk.rows import State
from asyncupload.errors import JournalError

from . import terminal
from .options import Voice

FRAME = 0.5
"""Seconds between two pictures on a terminal."""
LINE_EVERY = 30.0
"""Seconds between two lines where there is no terminal."""
MEMORY = 30
"""Pictures that the rate is taken over: a quarter of a minute."""


async def show(loader: Loader, voice: Voice) -> None:
    """Show on standard error how far a loader is, until cancelled.

    Ends by itself, and the load goes on, when nobody can see it any more, or the journal cannot tell.
    """
    if voice.quiet:
        return
    with suppress(OSError, JournalError):
        await (_draw(loader) if terminal.watched() else _write(loader))


async def _draw(loader: Loader) -> None:
    rate = Rate()
    console = terminal.console()
    with (
        Live(console=console, auto_refresh=False, transient=True, redirect_stdout=False, redirect_stderr=False) as live,
        terminal.above(console),
    ):
        while True:
            progress = await loader.progress()
            live.update(picture(progress, rate.after(progress)), refresh=True)
            await anyio.sleep(FRAME)


async def _write(loader: Loader) -> None:
    rate = Rate()
    while True:
        await anyio.sleep(LINE_EVERY)
        progress = await loader.progress()
        terminal.warn(f"asyncupload: {sentence(progress, rate.after(progress))}")


class Rate:
    """Bytes and files per second, over the last pictures."""

    def __init__(self) -> None:
        self._seen: list[tuple[float, int, int]] = [(0.0, 0, 0)]

    def after(self, progress: Progress) -> tuple[float, float]:
        """Bytes per second, files per second."""
        self._seen = [*self._seen, (progress.seconds, progress.sent, progress.ended)][-MEMORY:]
        before, now = self._seen[0], self._seen[-1]
        seconds = max(now[0] - before[0], 1e-6)
        return (now[1] - before[1]) / seconds, (now[2] - before[2]) / seconds


def sentence(progress: Progress, rate: tuple[float, float]) -> str:
    """All of it in one line."""
    failed = progress.counts[State.FAILED].rows
    parts = [
        str(progress.phase.value) + (f" ({shown(progress.pause)})" if progress.pause else ""),
        f"{progress.ended:,} of {progress.rows:,}{'+' if progress.phase is Phase.PLANNING else ''} files ended",
        f"{amount(rate[0])}/s, {rate[1]:.0f} files/s",
        f"{progress.sending} in flight, {progress.committing} of them being stored",
    ]
    if failed:
        parts.append(f"{failed:,} failed")
    if left := time_left(progress, rate):
        parts.append(left)
    return "; ".join(parts)


def time_left(progress: Progress, rate: tuple[float, float]) -> str:
    """An estimate by files and by bytes, the later one; empty while nobody can tell."""
    waiting = [progress.counts[state] for state in (State.PLANNED, State.SENDING, State.COMMITTING)]
    rows, size = sum(tally.rows for tally in waiting), sum(tally.size for tally in waiting)
    if progress.phase is not Phase.SENDING or rate[1] <= 0:
        return ""
    seconds = round(max(rows / rate[1], size / rate[0] if rate[0] > 0 else 0.0))
    return f"{seconds // 3600}:{seconds // 60 % 60:02}:{seconds % 60:02} left"


def picture(progress: Progress, rate: tuple[float, float]) -> Group:
    """What stands on the terminal: planned, sending, storing, and the last failures."""
    total = sum(tally.size for tally in progress.counts.values())
    done = sum(progress.counts[state].size for state in (State.STORED, State.UNCHANGED, State.SKIPPED, State.FAILED))
    table = Table.grid(padding=(0, 2))
    table.add_row("planned", f"{progress.rows:,} files", amount(total), f"{progress.left_out:,} left out")
    table.add_row(
        "sending",
        ProgressBar(total=max(progress.rows, 1), completed=progress.ended, width=40),
        f"{progress.ended:,} files, {amount(done)}",
        f"{amount(rate[0])}/s, {rate[1]:.0f} files/s {time_left(progress, rate)}",
    )
    table.add_row(
        "storing",
        f"{progress.committing} of {progress.sending} in flight",
        f"{progress.counts[State.STORED].rows:,} stored, {progress.counts[State.UNCHANGED].rows:,} unchanged",
        f"{progress.counts[State.FAILED].rows:,} failed, {progress.counts[State.SKIPPED].rows:,} skipped",
    )
    lines = [Text(f"{progress.phase.value}{': ' + shown(progress.pause) if progress.pause else ''}", style="bold")]
    failures = [
        Text(f"{shown(failure.destination)}: {shown(failure.reason)}", style="red", overflow="ellipsis", no_wrap=True)
        for failure in progress.failures[-5:]
    ]
    return Group(*lines, table, *failures)

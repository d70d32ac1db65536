"""Shows a transfer: a bar on a terminal, a line every so often elsewhere, nothing when told to be quiet."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

from asyncupload._shown import shown as tamed
from asyncupload._units import amount
from asyncupload.events import (
    ChunkReceived,
    ChunkRetried,
    ChunkSent,
    Committing,
    Event,
    HandlerOpened,
    Listener,
    Restarted,
    Stored,
    Waiting,
)

from . import terminal
from .options import Voice

LINE_EVERY = 5.0
"""Seconds between two lines where there is no terminal."""


@contextmanager
def shown(voice: Voice, title: str) -> Iterator[Listener]:
    """A listener that shows what it is told, on standard error."""
    if voice.quiet:
        yield lambda event: None  # noqa: ARG005  (a listener takes an event)
    elif terminal.watched():
        with _bar() as bar, terminal.above(bar.console):
            yield _Bar(bar, tamed(title))
    else:
        yield _Lines(title)


def _bar() -> Progress:
    return Progress(
        TextColumn("{task.description}", markup=False),  # a file may be called [bold].txt
        BarColumn(),
        DownloadColumn(binary_units=True),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
        console=terminal.console(),
        redirect_stdout=False,
        redirect_stderr=False,
    )


class _Bar:
    """Feeds a rich progress bar."""

    def __init__(self, bar: Progress, title: str) -> None:
        self._bar = bar
        self._task = bar.add_task(title, total=None)
        self._title = title

    def __call__(self, event: Event) -> None:
        match event:
            case HandlerOpened(size=size):
                self._bar.update(self._task, total=size)
            case ChunkSent(sent=done, size=size) | ChunkReceived(received=done, size=size):
                self._bar.update(self._task, completed=done, total=size, description=self._title)
            case ChunkRetried(number=number, wait=wait):
                self._bar.update(self._task, description=f"{self._title} (chunk {number} again in {wait:.1f} s)")
            case Waiting(reason=reason, give_up_after=seconds):
                self._bar.update(self._task, description=f"{self._title} (waiting for the server)")
                terminal.warn(_waiting(reason, seconds))
            case Restarted():
                self._bar.update(self._task, completed=0, description=f"{self._title} (from the beginning)")
            case Committing(sent=sent):
                self._bar.update(self._task, total=sent, completed=sent, description=f"{self._title} (storing)")
            case Stored():
                self._bar.update(self._task, description=self._title)


class _Lines:
    """Writes a line now and then."""

    def __init__(self, title: str) -> None:
        self._title = title
        self._began = self._last = time.monotonic()

    def __call__(self, event: Event) -> None:
        match event:
            case ChunkSent(sent=done, size=size) | ChunkReceived(received=done, size=size):
                if time.monotonic() - self._last >= LINE_EVERY:
                    self._say(self._state(done, size))
            case ChunkRetried(number=number, wait=wait, reason=reason):
                self._say(f"chunk {number} goes again in {wait:.1f} s: {reason}")
            case Waiting(reason=reason, give_up_after=seconds):
                self._say(_waiting(reason, seconds))
            case Restarted(reason=reason):
                self._say(f"from the beginning, in another handler: {reason}")
            case Committing(sent=sent):
                self._say(f"{self._state(sent, sent)}; the server is storing it")

    def _state(self, done: int, size: int | None) -> str:
        rate = done / max(time.monotonic() - self._began, 1e-6)
        state = f"{amount(done)} at {amount(rate)}/s"
        if size is None:
            return state
        return (
            f"{done * 100 // size} % ({amount(done)} of {amount(size)}) at {amount(rate)}/s, {_left(size - done, rate)}"
        )

    def _say(self, text: str) -> None:
        self._last = time.monotonic()
        terminal.warn(f"{self._title}: {text}")


def _waiting(reason: str, seconds: float) -> str:
    return f"the server is asked again and again, for {seconds:.0f} s at most: {reason}"


def _left(size: int, rate: float) -> str:
    seconds = round(size / max(rate, 1e-6))
    return f"{seconds // 3600}:{seconds // 60 % 60:02}:{seconds % 60:02} left"

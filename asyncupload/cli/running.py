"""Runs a coroutine to its end, or until somebody interrupts it, and says which."""

import asyncio
import signal
from collections.abc import Callable, Coroutine
from types import FrameType
from typing import Any, TypeVar

from asyncupload import _signals

T = TypeVar("T")

WITHIN = 15.0
"""Seconds after a signal within which the work has ended, the time for cleaning up and a little more, or is left."""


class Interrupted(Exception):
    """A signal ended the work.

    Attributes:
        code: 130 for Ctrl-C, 143 for SIGTERM, 129 for SIGHUP.
        hurried: Whether the work had not cleaned up: a second Ctrl-C came meanwhile, or it took too long.
    """

    def __init__(self, code: int, *, hurried: bool = False) -> None:
        super().__init__(code)
        self.code = code
        self.hurried = hurried


class Signals:
    """What comes to one piece of work.

    Attributes:
        code: What to exit with; 0 if none has come.
        react: Called in the event loop with the code of each signal, instead of cancelling the work. What it does not
            end is not ended here.
    """

    def __init__(self, react: Callable[[int], None] | None = None) -> None:
        self.code = 0
        self.react = react
        self._task: asyncio.Task[Any] | None = None
        self._interrupted = False

    def begin(self) -> None:
        """The work is about to: to be called in its task.

        Raises:
            CancelledError: A signal has come already.
        """
        self._task = asyncio.current_task()
        if self.code:
            raise asyncio.CancelledError

    def come(self, number: int, _: FrameType | None = None) -> None:
        """One has."""
        _signals.hang_up(number)
        again, self.code = self.code, self.code or _signals.code_of(number)
        task, react = self._task, self.react
        if task is None:
            return
        if react is not None:
            task.get_loop().call_soon_threadsafe(react, _signals.code_of(number))
        elif not again:
            task.get_loop().call_soon_threadsafe(self._cancel, task)
        if number == signal.SIGINT and react is None:
            if self._interrupted:
                raise KeyboardInterrupt
            self._interrupted = True
            if again:
                task.get_loop().call_soon_threadsafe(task.cancel)

    def _cancel(self, task: "asyncio.Task[Any]") -> None:
        task.cancel()
        self.leave_after(WITHIN)

    def leave_after(self, seconds: float) -> asyncio.TimerHandle:
        """Do not wait longer for what has not ended by then. To be called in the event loop."""
        return asyncio.get_running_loop().call_later(seconds, _raise)


def _raise() -> None:
    raise KeyboardInterrupt  # out of the loop, which hands on this one


def run(work: Callable[[], Coroutine[Any, Any, T]], signals: Signals | None = None) -> T:
    """Run ``work`` in a new event loop.

    The first Ctrl-C, SIGTERM or SIGHUP cancels it, which cleans up; a second Ctrl-C does not wait for that, and nobody
    waits longer than WITHIN. A result that there was before is returned all the same.

    Raises:
        Interrupted: A signal came.
    """
    heeded, done, hurried = signals or Signals(), list[T](), False
    runner = asyncio.Runner()

    async def supervised() -> None:
        heeded.begin()
        done.append(await work())

    with _signals.heeding(heeded.come):
        try:
            _run_and_close(runner, supervised())
        except KeyboardInterrupt:
            hurried = True
        except asyncio.CancelledError:
            if not heeded.code:
                raise
    if done:
        return done[0]
    raise Interrupted(heeded.code or 130, hurried=hurried)


def _run_and_close(runner: asyncio.Runner, work: Coroutine[Any, Any, None]) -> None:
    try:
        runner.run(work)
    except KeyboardInterrupt:
        # Closing waits for every task that is left, and so for the very cleaning up that nobody waits for any more.
        raise
    except BaseException:
        runner.close()
        raise
    runner.close()

"""Runs a coroutine to its end, or until somebody interrupts it, and says which."""

import asyncio
import signal
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Any, TypeVar

T = TypeVar("T")


class Interrupted(Exception):
    """A signal ended the work.

    Attributes:
        code: 130 for Ctrl-C, 143 for SIGTERM.
        hurried: Whether a second Ctrl-C came while the work cleaned up after the first: nobody waited for that.
    """

    def __init__(self, code: int, *, hurried: bool = False) -> None:
        super().__init__(code)
        self.code = code
        self.hurried = hurried


def run(work: Callable[[], Coroutine[Any, Any, T]]) -> T:
    """Run ``work`` in a new event loop.

    The first Ctrl-C or SIGTERM cancels it, which cleans up; a second Ctrl-C does not wait for that.

    Raises:
        Interrupted: A signal came.
    """
    task: asyncio.Task[Any] | None = None
    terminated = hurried = False

    def terminate() -> None:
        nonlocal terminated
        terminated = True
        if task is not None:
            task.cancel()

    async def supervised() -> T:
        nonlocal task
        task = asyncio.current_task()
        with suppress(NotImplementedError):  # Windows has no SIGTERM to speak of
            asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, terminate)
        return await work()

    runner = asyncio.Runner()
    try:
        return runner.run(supervised())
    except KeyboardInterrupt:
        # After a single Ctrl-C the task ends as cancelled; a second one breaks into whatever it is doing.
        hurried = task is not None and not task.cancelled()
        raise Interrupted(130, hurried=hurried) from None
    except asyncio.CancelledError:
        if not terminated:
            raise
        raise Interrupted(143) from None
    finally:
        # Closing waits for every task that is left, and so for the very cleaning up that nobody waits for any more.
        if not hurried:
            runner.close()

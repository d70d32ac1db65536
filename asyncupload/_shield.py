"""Work that a cancellation must not tear in two."""

import asyncio
import math
import time
from collections.abc import Coroutine, Sequence
from typing import Any, TypeVar

import anyio

T = TypeVar("T")


async def undisturbed(work: Coroutine[Any, Any, T], *, grace: float) -> T:
    """Await ``work`` to its end, even when the awaiting task is cancelled meanwhile.

    Two kinds of work need this: what cleans up, and what makes something on the server that must be cleaned up later
    (cancelled half-way, nobody would know its name).

    Args:
        work: What to do. It runs in a task of its own: anyio's shield alone would not hold back a plain
            ``task.cancel()``.
        grace: Seconds that ``work`` may still take after the first cancellation. Then it is cancelled itself.

    On cancellation: ``work`` ends first, then ``CancelledError`` goes on. Its result or error is dropped in that case.
    """
    task = asyncio.ensure_future(work)
    try:
        await asyncio.wait({task})
    except asyncio.CancelledError:
        await _outlast([task], grace)
        raise
    return task.result()


async def ended(*tasks: "asyncio.Future[Any]", grace: float = math.inf) -> None:
    """Cancel tasks and wait until they have ended, all their cleaning up included.

    Args:
        tasks: Theirs.
        grace: Seconds that they may take for it. Then they are cancelled again and again.

    On cancellation: likewise, then ``CancelledError`` goes on.
    """
    for task in tasks:
        task.cancel()
    if await _outlast(tasks, grace):
        raise asyncio.CancelledError


def _look_at(task: "asyncio.Future[Any]") -> None:
    """So that asyncio does not report an error that nobody wants to know as forgotten."""
    if not task.cancelled():
        task.exception()


async def _outlast(tasks: "Sequence[asyncio.Future[Any]]", grace: float) -> bool:
    """Wait until ``tasks`` are done, deaf to cancellation, and cancel them when ``grace`` seconds are over.

    Returns:
        Whether a cancellation came meanwhile. Whoever calls sees that it goes on.
    """
    deadline, cancelled = time.monotonic() + grace, False
    while left := [task for task in tasks if not task.done()]:
        now = time.monotonic()
        if now >= deadline:
            for task in left:
                task.cancel()
        with anyio.CancelScope(shield=True):
            try:
                await asyncio.wait(left, timeout=None if math.isinf(deadline) else max(deadline - now, 0.1))
            except asyncio.CancelledError:
                cancelled = True
    for task in tasks:
        _look_at(task)
    return cancelled

"""Work that a cancellation must not tear in two."""

import asyncio
import math
import time
from collections.abc import Coroutine
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
        with anyio.CancelScope(shield=True):
            await _outlast(task, grace)
        raise
    return task.result()


async def ended(*tasks: "asyncio.Future[Any]", grace: float = math.inf) -> None:
    """Cancel tasks and wait until they have ended, all their cleaning up included.

    Args:
        tasks: Theirs.
        grace: Seconds that they may take for it. Then they are cancelled again and again.

    On cancellation: likewise, then ``CancelledError`` goes on.
    """
    deadline, cancelled = time.monotonic() + grace, False
    for task in tasks:
        task.cancel()
    while left := [task for task in tasks if not task.done()]:
        with anyio.CancelScope(shield=True):
            try:
                await asyncio.wait(left, timeout=None if math.isinf(grace) else max(deadline - time.monotonic(), 0.1))
            except asyncio.CancelledError:
                cancelled = True
        if time.monotonic() >= deadline:
            for task in left:
                task.cancel()
    for task in tasks:
        _look_at(task)
    if cancelled:
        raise asyncio.CancelledError


def _look_at(task: "asyncio.Future[Any]") -> None:
    """So that asyncio does not report an error that nobody wants to know as forgotten."""
    if not task.cancelled():
        task.exception()


async def _outlast(task: "asyncio.Future[Any]", grace: float) -> None:
    """Wait until ``task`` is done, deaf to further cancellations, and cancel it when ``grace`` seconds are over."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + grace
    while not task.done():
        if loop.time() >= deadline:
            task.cancel()
        try:
            await asyncio.wait({task}, timeout=max(deadline - loop.time(), 0.1))
        except asyncio.CancelledError:
            continue  # the first one is raised again by the caller; this one asks for the same
    _look_at(task)

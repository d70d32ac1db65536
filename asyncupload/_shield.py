"""Work that a cancellation must not tear in two, and work that must end however little it listens."""

import asyncio
import math
import time
from collections.abc import AsyncGenerator, Coroutine, Sequence
from contextlib import suppress
from typing import Any, TypeVar

import anyio

from ._ending import this_ending
from ._log import get_logger

T = TypeVar("T")

_HALF = 0.5
"""Of the time that a journey has left for cleaning up: the other half is for what comes after."""
AGAIN = 0.1
"""Seconds between two cancellations of a task that has outlived its grace."""
TIMES = 10
"""How often it is cancelled. Then it is ended by force."""


async def undisturbed(work: Coroutine[Any, Any, T], *, grace: float) -> T:
    """Await ``work`` to its end, even when the awaiting task is cancelled meanwhile.

    Two kinds of work need this: what cleans up, and what makes something on the server that must be cleaned up later
    (cancelled half-way, nobody would know its name).

    Args:
        work: What to do. It runs in a task of its own: anyio's shield alone would not hold back a plain
            ``task.cancel()``.
        grace: Seconds that ``work`` may still take after the first cancellation, if the journey that it belongs to has
            as many left for its cleaning up. Then it is cancelled itself.

    On cancellation: ``work`` ends first, then ``CancelledError`` goes on. Its result or error is dropped in that case.
    """
    task = asyncio.ensure_future(work)
    try:
        await asyncio.wait({task})
    except asyncio.CancelledError:
        with this_ending(grace).take(grace, _HALF) as seconds:
            await _outlast([task], seconds)
        raise
    return task.result()


async def bounded(work: Coroutine[Any, Any, object], *, grace: float) -> None:
    """Await ``work`` that cleans up: whatever happens, and for no longer than there is time.

    Args:
        work: What to do, in a task of its own.
        grace: Seconds that it may take, if the journey has as many left. Then it is ended, as by `ended`.

    On cancellation: likewise, then ``CancelledError`` goes on.
    """
    task = asyncio.ensure_future(work)
    with this_ending(grace).take(grace, _HALF) as seconds:
        if await _outlast([task], seconds):
            raise asyncio.CancelledError
    if task.done() and not task.cancelled():
        task.result()


async def closed(generator: AsyncGenerator[Any, None], *, grace: float) -> None:
    """Let a generator run its own ``finally`` now, and not when the garbage collector finds it.

    Args:
        generator: A stranger's, perhaps. One that has come to its end is closed already, and one that somebody could
            not make end is left.
        grace: As of `bounded`.
    """
    if getattr(generator, "ag_frame", generator) is None:
        return
    if getattr(generator, "ag_running", False):
        get_logger().warning("generator_left_running", generator=repr(generator))
        return

    async def close() -> None:
        await generator.aclose()

    await bounded(close(), grace=grace)


async def abandonable(work: Coroutine[Any, Any, T], *, grace: float) -> T:
    """Await ``work`` of a stranger's, who may not listen to a cancellation.

    Args:
        work: What to do, in a task of its own.
        grace: As of `ended`.

    On cancellation: as `ended`, then ``CancelledError`` goes on.
    """
    task = asyncio.ensure_future(work)
    try:
        await asyncio.wait({task})
    except asyncio.CancelledError:
        await ended(task, grace=grace)
        raise
    return task.result()


async def ended(*tasks: "asyncio.Future[Any]", grace: float = math.inf) -> None:
    """Cancel tasks and wait until they have ended, all their cleaning up included.

    Args:
        tasks: Theirs.
        grace: Seconds that they may take for it, if the journey has as many left. Then they are cancelled again and
            again for a second, and those that do not listen to that either are ended by force.

    On cancellation: likewise, then ``CancelledError`` goes on.
    """
    for task in tasks:
        task.cancel()
    if math.isinf(grace):
        cancelled = await _outlast(tasks, grace)
    else:
        with this_ending(grace).take(grace, _HALF) as seconds:
            cancelled = await _outlast(tasks, seconds)
    if cancelled:
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
    cancelled = await _done(tasks, grace)
    for _ in range(TIMES):
        for task in (left := [task for task in tasks if not task.done()]):
            task.cancel()
        # Within a short grace less of it: whatever is cleaned up after this needs some time, too.
        cancelled = await _done(left, min(AGAIN, max(0.01, grace / (4 * TIMES)))) or cancelled
    for task in tasks:
        if not task.done():
            await _end_by_force(task)
        if task.done():
            _look_at(task)
        else:  # it may end yet
            task.add_done_callback(_look_at)
    return cancelled


async def _done(tasks: "Sequence[asyncio.Future[Any]]", within: float) -> bool:
    """Wait so many seconds at most; whether a cancellation came meanwhile."""
    deadline, cancelled = time.monotonic() + within, False
    while left := [task for task in tasks if not task.done()]:
        now = time.monotonic()
        if now >= deadline:
            break
        with anyio.CancelScope(shield=True):
            try:
                await asyncio.wait(left, timeout=None if math.isinf(deadline) else deadline - now)
            except asyncio.CancelledError:
                cancelled = True
    return cancelled


class _Left(BaseException):
    """Ends a coroutine that does not listen to its cancellation. Nobody catches it by name."""


async def _end_by_force(task: "asyncio.Future[Any]") -> None:
    """Not by ``close()``: the asynchronous generators that the coroutine waits in would stand as running for ever."""
    get_logger().warning("task_ended_by_force", task=repr(task))
    if isinstance(task, asyncio.Task) and isinstance(coroutine := task.get_coro(), Coroutine):
        with suppress(BaseException):  # whatever it still says; one that does not listen to this either is left
            coroutine.throw(_Left())
    task.cancel()  # its next step finds that there is nothing to go on with
    await _done([task], AGAIN)

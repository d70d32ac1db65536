"""An upload as a stream of its events, for whoever would rather iterate than be called."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Coroutine
from typing import Any

import anyio

from ._shield import ended
from .events import Event, Listener


class _Latest:
    """The latest event of each kind that nobody has taken yet, in the order of happening.

    Never more than there are kinds, however slow the taker. Byte counts are totals, so nothing is lost by seeing the
    latest only; and nothing is seen out of order.
    """

    def __init__(self) -> None:
        self._events: dict[type[Event], Event] = {}
        self._something = anyio.Event()
        self._over = False

    def put(self, event: Event) -> None:
        self._events.pop(type(event), None)  # so that the new one stands at the end, and not in the old one's place
        self._events[type(event)] = event
        self._something.set()

    def end(self) -> None:
        self._over = True
        self._something.set()

    async def take(self) -> Event | None:
        """The oldest of them, once there is one; None when there will be no more."""
        while not self._events and not self._over:
            self._something = anyio.Event()
            await self._something.wait()
        return self._events.pop(next(iter(self._events))) if self._events else None


async def following(journey: Callable[[Listener], Coroutine[Any, Any, object]]) -> AsyncGenerator[Event, None]:
    """The events of a journey, which begins with the first ``anext`` and goes on whether or not they are taken.

    Args:
        journey: Told whom to tell.

    Raises: what the journey raised, bare, after the last event.

    On cancellation, and when the generator is closed, the journey is cancelled and has ended, all its cleaning up
    included, before the generator has.
    """
    latest = _Latest()
    # A task of asyncio's and no task group: a scope must not be left open across a yield.
    task = asyncio.ensure_future(journey(latest.put))
    task.add_done_callback(lambda _: latest.end())
    try:
        while (event := await latest.take()) is not None:
            yield event
        task.result()
    finally:
        await ended(task)

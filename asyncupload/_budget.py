"""What those at work may hold together: bytes, or places. Nobody is passed over."""

from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio


class Budget:
    """Bytes, or places, to be shared. Those who wait are served in the order in which they came, so that a large file
    is not put off for ever by small ones.

    Args:
        size: How much there is.
    """

    def __init__(self, size: int) -> None:
        self._size = size
        self._free = size
        self._waiting = deque[tuple[int, anyio.Event]]()

    @asynccontextmanager
    async def share(self, amount: int) -> AsyncIterator[None]:
        """Hold ``amount`` of it, once there is room. One who needs more than there is gets all of it, alone.

        On cancellation of one who waits, those behind go on waiting as if it had never come.
        """
        amount = min(amount, self._size)
        await self._take(amount)
        try:
            yield
        finally:
            self._give(amount)

    async def _take(self, amount: int) -> None:
        if not self._waiting and amount <= self._free:
            self._free -= amount
            return
        place = (amount, anyio.Event())
        self._waiting.append(place)
        try:
            await place[1].wait()
        except BaseException:
            if place[1].is_set():  # served, and cancelled in the same turn of the loop
                self._give(amount)
            else:
                self._waiting.remove(place)
                self._serve()
            raise

    def _give(self, amount: int) -> None:
        self._free += amount
        self._serve()

    def _serve(self) -> None:
        while self._waiting and self._waiting[0][0] <= self._free:
            amount, served = self._waiting.popleft()
            self._free -= amount
            served.set()

"""Times in which the server, or what stands before it, answers nobody."""

import asyncio
from collections.abc import Callable


class Outages:
    """What is down now, and until when.

    Args:
        leave: Stops listening for that many seconds.
    """

    def __init__(self, leave: Callable[[float], None]) -> None:
        self.leave = leave
        self._recycled_until = 0.0

    def recycle(self, seconds: float) -> None:
        """For so long nothing behind the gateway answers."""
        self._recycled_until = max(self._recycled_until, asyncio.get_running_loop().time() + seconds)

    @property
    def recycling(self) -> bool:
        """Whether the gateway has nothing to pass requests on to."""
        return asyncio.get_running_loop().time() < self._recycled_until

"""A client's journeys under way: each ends before the session does that it needs to clean up with."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from ._ending import ending
from .errors import OutcomeUnknown, UsageError


class Journeys:
    """Knows which are under way, and ends them.

    Args:
        cleanup: Seconds that each has for cleaning up, and then the client.
    """

    def __init__(self, cleanup: float) -> None:
        self._cleanup = cleanup
        self._limits = set[asyncio.Timeout]()
        self._none = asyncio.Event()

    @asynccontextmanager
    async def one(self) -> AsyncIterator[None]:
        """What happens within is one of them.

        Raises:
            UsageError: The client was closed under it. What it had made is cleaned up.
            OutcomeUnknown: Likewise, when the request to store may have left.
        """
        # One that is set when the client is closed: asyncio then cancels once, and tells its cancellation from others.
        limit = asyncio.timeout(None)
        with ending(self._cleanup) as own:
            try:
                async with limit:
                    self._limits.add(limit)
                    yield
            except TimeoutError as error:
                if not (limit.expired() and isinstance(error.__cause__, asyncio.CancelledError)):
                    raise
                if own.may_be_stored:
                    raise OutcomeUnknown(
                        "the client was closed while the server was asked to store; look whether the document is there"
                    ) from None
                raise UsageError(
                    "the client was closed while this was under way: leave `async with` when all has ended"
                ) from None
            finally:
                self._limits.discard(limit)
                if not self._limits:
                    self._none.set()

    async def end(self) -> None:
        """Cancel those that are under way, and wait until they have cleaned up."""
        if not self._limits:
            return
        self._none.clear()
        for limit in self._limits:
            limit.reschedule(0.0)
        await self._none.wait()

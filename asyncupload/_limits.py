"""How many uploads of a client run at once, and how many bytes they hold together."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

from ._budget import Budget
from ._retry import Waited
from .settings import Settings


class Limits:
    """A client's. Waiting is in the order of coming, first for a place among the uploads, then for memory.

    Args:
        settings: The user's.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._places = Budget(settings.uploads) if settings.uploads is not None else None
        self._memory = Budget(settings.memory) if settings.memory is not None else None

    @asynccontextmanager
    async def one(self, size: int | None, chunk_size: int, waited: Waited | None = None) -> AsyncIterator[None]:
        """Be one of the uploads that run, once there is room. Nothing is read, and nothing asked of the server, before.

        Args:
            size: Bytes to come; None if unknown.
            chunk_size: Bytes per chunk that the server is asked for at most.
            waited: Where to add the time that it took.

        On cancellation the place is given back, or was never taken, and those who wait go on.
        """
        async with AsyncExitStack() as held:
            with (waited or Waited()).counting("memory"):
                if self._places is not None:
                    await held.enter_async_context(self._places.share(1))
                if self._memory is not None:
                    amount = most_held(self._settings.depth, size, chunk_size)
                    await held.enter_async_context(self._memory.share(amount))
            yield


def most_held(depth: int, size: int | None, chunk_size: int) -> int:
    """Bytes of file content that one upload holds at most.

    Args:
        depth: How many chunks may be read ahead.
        size: Bytes to come; None if unknown.
        chunk_size: Bytes.
    """
    most = (depth + 2) * chunk_size
    return most if size is None else min(size, most)

"""One server's requests, outwaited: what a client's uploads and downloads share to get through trouble that passes."""

import copy
import time
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, Self, TypeVar

import anyio

from ._ending import this_ending
from ._log import get_logger
from ._remote import Remote
from ._retry import Pause, Waited, persist, without_end
from ._shield import undisturbed
from .errors import AsyncUploadError, ForeignReply, Leftover, TimedOut
from .events import Audience, Waiting
from .settings import Settings

T = TypeVar("T")

WORTH_SAYING = 3.0
"""Seconds of waiting for one request after which a user would like to know why nothing moves."""


class Patience:
    """A client's. One of them for all of its uploads, so that a pause the server asks for is kept by all.

    Args:
        remote: The server.
        settings: The user's.
    """

    def __init__(self, remote: Remote, settings: Settings) -> None:
        self.remote = remote
        self.settings = settings
        self.pause = Pause()
        self.waited = Waited()
        """Of one upload or download, if it is told to somebody."""
        self._audience: Audience | None = None
        self._path = ""

    def told_to(self, audience: Audience, path: str) -> Self:
        """The same, for one upload or download, whose audience hears of long waits.

        Args:
            audience: Told.
            path: The document's.
        """
        own = copy.copy(self)
        own._audience, own._path = audience, path  # noqa: SLF001  (its own class)
        own.waited = Waited()
        return own

    @property
    def congestion(self) -> int:
        """How many requests so far the server had no capacity for: refused for a while (429, 503), or not answered in
        time."""
        return self.pause.congestion

    async def persist(
        self,
        attempt: Callable[[], Awaitable[T]],
        *,
        on_retry: Callable[[AsyncUploadError, int, float], None] = lambda *_: None,
    ) -> T:
        """Make attempts at one request until it succeeds or another would not help; a refused ticket is renewed.

        Raises:
            AsyncUploadError: The last attempt's.
        """
        began, said = time.monotonic(), False

        def retried(error: AsyncUploadError, number: int, wait: float) -> None:
            nonlocal said
            on_retry(error, number, wait)
            if not said and time.monotonic() + wait - began >= WORTH_SAYING:
                said = True
                self._say(error)

        return await persist(
            lambda: self._counted(attempt),
            self.settings.retries,
            pause=self.pause,
            waited=self.waited,
            on_retry=retried,
        )

    def _say(self, error: AsyncUploadError) -> None:
        seconds = self.settings.retries.give_up_after
        get_logger().warning("waiting_for_server", reason=str(error), give_up_after=seconds, destination=self._path)
        if self._audience is not None:
            self._audience.tell(Waiting(path=self._path, reason=str(error), give_up_after=seconds))

    async def _counted(self, attempt: Callable[[], Awaitable[T]]) -> T:
        try:
            return await self.remote.with_ticket(attempt)
        except (TimedOut, ForeignReply) as error:
            self.pause.congestion += isinstance(error, TimedOut) or error.status in {429, 503}
            raise

    async def make(self, attempt: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """The same for a request that leaves something on the server, to be cleaned up later by what it notes down.

        On cancellation the request under way is waited for, at most ``timeouts.cleanup`` seconds: torn in the middle,
        nobody would know what the server has made.
        """
        await self.persist(lambda: undisturbed(attempt(), grace=self.settings.timeouts.cleanup))

    async def clean_up(
        self, attempt: Callable[[], Awaitable[None]], left: Callable[[str], Leftover], *, share: float = 0.5
    ) -> str:
        """Make attempts to remove something, within the time that the journey has left for cleaning up, whatever
        cancellation comes meanwhile. If it is left, the journey's receipt or error will tell.

        Args:
            attempt: One request.
            left: What it is and what a user can do about it, given why it is left.
            share: Of the time. What is cleaned up last may have all of it.

        Returns:
            Why it is left; empty if it is not. Never raises an error: the reason for coming here must go on.
        """
        own, rules = this_ending(self.settings.timeouts.cleanup), without_end(self.settings.retries)
        why = "no time was left"

        def note(error: AsyncUploadError, *_: object) -> None:
            nonlocal why
            why = str(error)

        async def bounded(seconds: float) -> str:
            nonlocal why
            try:
                with anyio.fail_after(seconds):
                    # Without the pause that the server may have asked for: it could outlast the time.
                    await persist(lambda: self.remote.insisting(attempt), rules, on_retry=note)
                why = ""
            except AsyncUploadError as error:
                note(error)
            except TimeoutError:  # what is known is why it was tried again
                pass
            finally:  # here, since nobody looks at what is returned when a cancellation goes on
                if why:
                    own.leftovers.append(left(why))
            return why

        with own.take(self.settings.timeouts.cleanup, share) as seconds:
            return await undisturbed(bounded(seconds), grace=seconds)

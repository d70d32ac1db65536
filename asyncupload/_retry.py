"""How long to wait and whether to go on. Knows outcomes, not requests; the only room in which time is waited out."""

import random
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

import anyio

from .errors import AsyncUploadError, Outcome
from .settings import Retries

T = TypeVar("T")

UNTIL_TIME_IS_UP = 1_000_000
"""Attempts, where a time limit around them is what ends them."""


def next_wait(error: AsyncUploadError, failures: int, rules: Retries, chance: float) -> float | None:
    """Seconds to wait before the same request goes again, or None to give up.

    ``min(first_wait · 2^(failures - 1), longest_wait) · (1 - chance / 2)``, or the server's own wish if that is longer,
    up to ``longest_obeyed``. Only what was certainly not applied, and may pass, is tried again.

    Args:
        error: How the last attempt ended.
        failures: How many attempts have failed in a row, at least 1.
        rules: The user's.
        chance: Between 0 and 1, drawn at random, so that many clients do not come back in the same instant.
    """
    if not error.transient or error.outcome is not Outcome.NOT_APPLIED or failures >= rules.attempts:
        return None
    # 2.0 ** 1024 overflows, and long before that the cap has taken over.
    backoff = min(rules.first_wait * 2.0 ** min(failures - 1, 60), rules.longest_wait) * (1 - chance / 2)
    wish = min(error.retry_after or 0.0, rules.longest_obeyed)
    return max(backoff, wish)


class Pause:
    """A time to be quiet that the server asked one upload for, and that all of a client's keep."""

    def __init__(self) -> None:
        self._until = 0.0

    def heed(self, error: AsyncUploadError, rules: Retries) -> None:
        """Take note of an error's Retry-After."""
        wish = min(error.retry_after or 0.0, rules.longest_obeyed)
        self._until = max(self._until, time.monotonic() + wish)

    async def over(self) -> None:
        """Return when it is over. Those who wait come back one after another, not in the same instant."""
        left = self._until - time.monotonic()
        if left > 0:
            await anyio.sleep(left * (1 + random.random() / 10))  # noqa: S311  (spreads load, guards nothing)


async def persist(
    attempt: Callable[[], Awaitable[T]],
    rules: Retries,
    *,
    pause: Pause | None = None,
    on_retry: Callable[[AsyncUploadError, int, float], None] = lambda *_: None,
) -> T:
    """Make attempts until one succeeds or another would not help.

    Args:
        attempt: Sends one request, the same each time.
        rules: The user's.
        pause: The client's; None for what must not wait for it, as cleaning up.
        on_retry: Told the error, the number of attempts that failed and the seconds until the next.

    Raises:
        AsyncUploadError: The last attempt's.

    On cancellation a wait ends at once.
    """
    failures = 0
    while True:
        if pause is not None:
            await pause.over()
        try:
            return await attempt()
        except AsyncUploadError as error:
            failures += 1
            if pause is not None:
                pause.heed(error, rules)
            wait = next_wait(error, failures, rules, random.random())  # noqa: S311  (spreads load, guards nothing)
            if wait is None:
                raise
            on_retry(error, failures, wait)
        await anyio.sleep(wait)

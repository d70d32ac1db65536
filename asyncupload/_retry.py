"""How long to wait and whether to go on. Knows outcomes, not requests; the only room in which time is waited out."""

import math
import random
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TypeVar

import anyio

from .errors import AsyncUploadError, Outcome
from .settings import Retries

T = TypeVar("T")


def without_end(rules: Retries) -> Retries:
    """The same waits, for attempts that only a time limit around them ends."""
    return replace(rules, attempts=None, give_up_after=math.inf)


def next_wait(
    error: AsyncUploadError,
    failures: int,
    rules: Retries,
    chance: float,
    elapsed: float = 0.0,
    answers: int | None = None,
) -> float | None:
    """Seconds to wait before the same request goes again, or None to give up.

    The backoff, or the server's own wish if that is longer, up to ``longest_obeyed``. Only what was certainly not
    applied, and may pass, is tried again. The last attempt is made when ``give_up_after`` is over, not before.

    Args:
        error: How the last attempt ended.
        failures: How many attempts have failed in a row, at least 1.
        rules: The user's.
        chance: Between 0 and 1, drawn at random, so that many clients do not come back in the same instant.
        elapsed: Seconds since the first of them failed.
        answers: How many of them the server did answer; all, if None.
    """
    if not error.transient or error.outcome is not Outcome.NOT_APPLIED:
        return None
    if failures >= _most_attempts(error, rules) or elapsed >= rules.give_up_after:
        return None
    # Those in between that nobody answered tell nothing of the request.
    answers = failures if answers is None else answers
    if rules.give_up_after < math.inf and error.most_attempts is not None and answers >= error.most_attempts:
        return None
    wish = min(error.retry_after or 0.0, rules.longest_obeyed)
    return max(min(backoff(failures, rules, chance), rules.give_up_after - elapsed), wish)


def backoff(failures: int, rules: Retries, chance: float) -> float:
    """``min(first_wait · 2^(failures - 1), longest_wait) · (1 - chance / 2)`` seconds."""
    # 2.0 ** 1024 overflows, and long before that the cap has taken over.
    return min(rules.first_wait * 2.0 ** min(failures - 1, 60), rules.longest_wait) * (1 - chance / 2)


async def wait_to_begin_anew(restarts: int, rules: Retries, waited: "Waited") -> None:
    """Wait before an upload's next pass, as long as before a request that failed so often.

    An application pool that recycles, or a server that restarts, takes some seconds.

    Args:
        restarts: How often the upload has begun anew, at least 1.
        rules: The user's.
        waited: Where to add the time.
    """
    with waited.counting("restarts"):
        await anyio.sleep(backoff(restarts, rules, random.random()))  # noqa: S311  (spreads load, guards nothing)


def _most_attempts(error: AsyncUploadError, rules: Retries) -> float:
    # A rule without any end is a time limit's around it, and that limit is the only one then.
    if rules.give_up_after == math.inf:
        return math.inf if rules.attempts is None else rules.attempts
    limits = (rules.attempts, rules.first_attempts if error.first_contact else None)
    return min((limit for limit in limits if limit is not None), default=math.inf)


@dataclass(slots=True)
class Waited:
    """Seconds that one upload waited instead of sending, by reason; as in :class:`~asyncupload.Times`."""

    retries: float = 0.0
    retry_after: float = 0.0
    pauses: float = 0.0
    restarts: float = 0.0
    memory: float = 0.0

    @property
    def total(self) -> float:
        """All of it."""
        return self.retries + self.retry_after + self.pauses + self.restarts + self.memory

    @contextmanager
    def counting(self, reason: str) -> Iterator[None]:
        """Count the time within."""
        began = time.monotonic()
        try:
            yield
        finally:
            setattr(self, reason, getattr(self, reason) + time.monotonic() - began)


class Pause:
    """A time to be quiet that the server asked one upload for, and that all of a client's keep.

    Attributes:
        congestion: How many requests so far the server had no capacity for.
    """

    def __init__(self) -> None:
        self._until = 0.0
        self.congestion = 0

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
    waited: Waited | None = None,
    on_retry: Callable[[AsyncUploadError, int, float], None] = lambda *_: None,
) -> T:
    """Make attempts until one succeeds, another would not help, or ``rules`` allow no more.

    Args:
        attempt: Sends one request, the same each time.
        rules: The user's.
        pause: The client's; None for what must not wait for it, as cleaning up.
        waited: Where to add the time that it takes to wait.
        on_retry: Told the error, the number of attempts that failed and the seconds until the next.

    Raises:
        AsyncUploadError: The last attempt's.

    On cancellation a wait ends at once.
    """
    failures, answers, first_failure, waited = 0, 0, math.inf, waited or Waited()
    while True:
        if pause is not None:
            with waited.counting("pauses"):
                await pause.over()
        try:
            return await attempt()
        except AsyncUploadError as error:
            failures += 1
            answers += error.most_attempts is not None
            first_failure = min(first_failure, time.monotonic())
            if pause is not None:
                pause.heed(error, rules)
            elapsed = time.monotonic() - first_failure
            chance = random.random()  # noqa: S311  (spreads load, guards nothing)
            wait = next_wait(error, failures, rules, chance, elapsed, answers)
            if wait is None:
                if failures > 1:
                    error.add_note(f"given up after {failures} attempts in {elapsed:.0f} s")
                raise
            on_retry(error, failures, wait)
            reason = "retry_after" if error.retry_after else "retries"
        with waited.counting(reason):
            await anyio.sleep(wait)

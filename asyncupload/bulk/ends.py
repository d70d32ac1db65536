"""How the work on a row ended, and what that means for the row."""

import time
from dataclasses import dataclass

from asyncupload.errors import StoredDifferently, StoredTwice
from asyncupload.events import Receipt

from .options import LoadOptions
from .owners import LONGEST_LEASE
from .queue import Claim, Queue
from .rows import State
from .verdict import Verdict

ASK_AGAIN = 30.0
"""Seconds until the server is asked for the first time about a document of which nobody knows whether it is stored.
After that it is asked when it must have ended with the request."""

MOST_CLAIMS = 10
"""Times the attempts allowed, that a row is claimed whose question nobody can answer: each claim is one more try."""


@dataclass(frozen=True, slots=True, kw_only=True)
class End:
    """How the work on a row ended."""

    receipt: Receipt | None = None
    """None: it is not stored, or the row is no longer ours."""
    verdict: Verdict | None = None
    """None: it is stored, or equal to what stands there."""
    error: Exception | None = None
    unsettled: bool = False
    """Whether a document may be there, or come to be there yet: the row must keep the question, and the file not be
    sent again before it is answered."""
    wait: float = 0.0
    """Seconds until the file is tried again, if the attempt does not count."""


async def settle_end(
    queue: Queue, options: LoadOptions, claim: Claim, end: End, *, counted: bool, finalize: float
) -> None:
    """Write down what a row's failure means for it.

    Args:
        queue: Where to.
        options: The user's.
        claim: The row.
        end: How the work on it ended, with a verdict.
        counted: Whether the attempt was one of the file's own.
        finalize: Seconds after which the server must have ended with a request to store.

    Raises:
        LeaseLost: Somebody else has the row now.
        JournalError: It is not written down.
    """
    left = "".join(f"; {one}" for one in getattr(end.error, "left", ()))
    reason, attempts = f"{type(end.error).__name__}: {end.error}{left}", claim.row.attempts + counted
    # A refusal is an answer. So is a document of other bytes, or two of them: asked for again, it would pass for what
    # was sent.
    answered = not end.unsettled or isinstance(end.error, StoredDifferently | StoredTwice)
    match end.verdict:
        case Verdict.GIVE_UP:
            await queue.park(claim, reason, answered=answered)
        case _ if end.unsettled and counted and claim.fence > MOST_CLAIMS * options.attempts:
            await queue.park(claim, f"{reason} (after {claim.fence} claims)", answered=answered)
        case _ if end.unsettled:
            await queue.renew([claim], lease=_ask_after(claim, end, finalize))
        case Verdict.SKIP:
            await queue.finish(claim, State.SKIPPED, reason=reason)
        case _ if counted and attempts >= options.attempts:
            await queue.park(claim, f"{reason} (attempt {attempts} of {options.attempts})", answered=answered)
        case _:
            wait = options.wait_after(attempts) if counted else end.wait
            await queue.release(claim, reason=reason, not_before=time.time() + wait, counted=counted)


def _ask_after(claim: Claim, end: End, finalize: float) -> float:
    """Seconds until the server is asked again. Each time it was, the request left again: it must have time to end, or
    nobody would ever know."""
    return min(finalize, LONGEST_LEASE) if claim.row.commit and end.verdict is Verdict.ASK_LATER else ASK_AGAIN

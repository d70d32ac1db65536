"""All of a file through one upload handler, and through another if that one cannot lead to a document any more."""

import time
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from typing import Any, TypeVar

from ._ending import this_ending
from ._handler import Handler
from ._raised import let_go, raise_kept
from ._retry import wait_to_begin_anew
from ._staging import Staging, Threads
from ._tally import Reason, StartOver, Tally
from ._units import amount
from .events import Audience, Committing, Restarted
from .sources import Content, Source

T = TypeVar("T")

LEARNED = {Reason.TOO_LARGE: 7, Reason.ENCODING: 2, Reason.GRAMMAR: 1}
"""What was learned about the server is no fault of the file's. How often there may be something to learn: from the
largest chunk to the smallest by halves, another two ways of writing chunks, and one of writing parameters."""


class Passes:
    """An upload's passes over its source.

    Args:
        staging: The upload's.
        source: The upload's.
        threads: The client's.
        audience: Told what happens.
        log: A logger bound to this upload.
    """

    def __init__(self, staging: Staging, source: Source, threads: Threads, audience: Audience, log: Any) -> None:
        self._staging = staging
        self._source = source
        self._threads = threads
        self._audience = audience
        self._log = log
        self._reasons = Counter[Reason]()
        self._began = time.monotonic()
        self.commit_seconds = 0.0
        """Spent in ``commit``, in all passes, but for waits that have a name of their own."""

    @property
    def restarted(self) -> int:
        """How many passes were in vain. Those from which something was learned about the server do not count."""
        return self._reasons.total() - sum(self._reasons[reason] for reason in LEARNED)

    async def run(
        self, content: Content, opened: AsyncExitStack, commit: Callable[[Handler, Tally], Awaitable[T]]
    ) -> tuple[Tally, T]:
        """Make passes until one gets through.

        Args:
            content: The opened source.
            opened: What it was entered into: it is closed before anything is stored, and opened again for each pass.
            commit: Makes of a handler, with all bytes in it, what is to be made.

        Returns:
            What was sent, and what ``commit`` returned.
        """
        try:
            return await self._until_one_gets_through(content, opened, commit)
        finally:
            await self._staging.let_go()

    async def _until_one_gets_through(
        self, content: Content, opened: AsyncExitStack, commit: Callable[[Handler, Tally], Awaitable[T]]
    ) -> tuple[Tally, T]:
        while True:
            this_ending().begin_anew()
            try:
                return await self._pass(content, opened, commit)
            except StartOver as start_over:
                again = start_over
                let_go(again)  # or the chunks of this pass would be there while the next one reads
            self._count_restart(again)
            if self._source.rereadable:
                await opened.aclose()
            if again.reason not in LEARNED:  # then the server answers, and has said what it wants
                await wait_to_begin_anew(self.restarted, self._staging.settings.retries, self._staging.waited)
            if self._source.rereadable:
                content = await opened.enter_async_context(self._source.open(self._threads.reading))

    async def _pass(
        self, content: Content, opened: AsyncExitStack, commit: Callable[[Handler, Tally], Awaitable[T]]
    ) -> tuple[Tally, T]:
        async with self._staging.handler(content.size) as handler:
            tally = await self._staging.send_all(handler, content)
            await self._staging.require_proof(handler, tally)
            # Now, while its errors can still keep the document from being made, and before a wait of many minutes.
            await opened.aclose()
            self._audience.tell(Committing(path=self._staging.path, sent=tally.sent))
            began, waited = time.monotonic(), self._staging.waited.total
            try:
                return tally, await commit(handler, tally)
            finally:
                self.commit_seconds += time.monotonic() - began - (self._staging.waited.total - waited)

    def _count_restart(self, again: StartOver) -> None:
        """Let the upload begin anew, if it can and the user's rules allow it."""
        self._reasons[again.reason] += 1
        can = self._source.rereadable or self._staging.keeps
        if not can or not self._allowed(again.reason):
            if self.restarted > 1:
                sent = amount(self._staging.resent_bytes + self._staging.tally.sent)
                seconds = time.monotonic() - self._began
                again.error.add_note(f"given up after {self.restarted} passes in {seconds:.0f} s, and {sent} in vain")
            raise_kept(again.error)
        self._staging.begin_anew()
        self._log.info("upload_restarted", reason=str(again.error))
        self._audience.tell(Restarted(path=self._staging.path, reason=str(again.error)))

    def _allowed(self, reason: Reason) -> bool:
        """Whether one more pass is within the user's rules: their number, their time, their bytes."""
        rules, staging = self._staging.settings.retries, self._staging
        # Bytes that arrive wrong twice, a document refused twice, or two handlers at which the server fails, are no
        # accident: more would change nothing.
        once = reason in {Reason.MISMATCH, Reason.REFUSED, Reason.BROKEN}
        limit = LEARNED.get(reason, min(rules.restarts, 1) if once else rules.restarts)
        again = staging.resent_bytes + staging.tally.sent
        return (
            self._reasons[reason] <= limit
            and self.restarted <= rules.restarts
            and time.monotonic() - self._began <= rules.restart_within
            and (rules.restart_bytes is None or again <= rules.restart_bytes)
        )

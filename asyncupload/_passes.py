"""All of a file through one upload handler, and through another if that one cannot lead to a document any more."""

import time
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from typing import Any, TypeVar

from ._remote import Handler
from ._staging import Reason, Staging, StartOver, Tally, Threads
from .events import Audience, Committing, Restarted
from .sources import Content, Source

T = TypeVar("T")

HALVINGS = 7
"""From the largest chunk to the smallest: so often a smaller one can be tried."""


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
        self.commit_seconds = 0.0
        """Spent in ``commit``, in all passes."""

    @property
    def restarted(self) -> int:
        """How many passes were in vain. Smaller chunks do not count: what was learned about the server is no fault of
        the file's."""
        return self._reasons.total() - self._reasons[Reason.TOO_LARGE]

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
        while True:
            try:
                return await self._pass(content, opened, commit)
            except StartOver as again:
                ended = again
            # Not in the handler: the error would get what came of it for its context, and the chain would be a ring.
            self._count_restart(ended)
            await opened.aclose()
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
            began = time.monotonic()
            try:
                return tally, await commit(handler, tally)
            finally:
                self.commit_seconds += time.monotonic() - began

    def _count_restart(self, again: StartOver) -> None:
        """Let the upload begin anew, if it can and has not too often."""
        restarts = self._staging.settings.retries.restarts
        # Bytes that arrive wrong twice, or a document refused twice, are no accident: more would change nothing.
        limit = min(restarts, 1) if again.reason in {Reason.MISMATCH, Reason.REFUSED} else restarts
        if again.reason is Reason.TOO_LARGE:
            limit = HALVINGS
        self._reasons[again.reason] += 1
        if not self._source.rereadable or self._reasons[again.reason] > limit or self.restarted > restarts:
            raise again.error
        self._log.info("upload_restarted", reason=str(again.error))
        self._audience.tell(Restarted(path=self._staging.path, reason=str(again.error)))

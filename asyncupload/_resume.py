"""A request to store that another process was about to send, or sent: what became of it, and to its end."""

import time
from typing import Any

from . import _wire
from ._ending import left_behind
from ._handler import Handler
from ._keeping import Keeping
from ._names import destination
from ._patience import Patience
from ._place import Keeper, Place
from ._settle import Settlement, find
from .checkpoints import Checkpoints, Commit
from .errors import AsyncUploadError, Outcome, OutcomeUnknown, ServerError
from .events import Receipt
from .properties import Properties


class Resumption:
    """Takes up a commit.

    Args:
        patience: The client's.
        log: A logger bound to this journey.
        commit: What was written down before the request left.
        properties: What the document is stored with.
        checkpoints: Awaited before the request leaves again.
        may_be_running: Whether the server may be at work on the request yet.
    """

    def __init__(
        self,
        patience: Patience,
        log: Any,
        commit: Commit,
        properties: Properties,
        checkpoints: Checkpoints,
        *,
        may_be_running: bool,
    ) -> None:
        self._patience = patience
        self._remote = patience.remote
        self._log = log
        self._commit = commit
        self._properties = properties
        self._checkpoints = checkpoints
        self._may_be_running = may_be_running
        self._keeper = Keeper(patience, log, checkpoints)

    async def run(self) -> Receipt | None:
        """Look for the document; if it is not there, send the request once more, and look again.

        A request that makes a version, and may be running yet, is not sent again: it would make another one.

        Returns:
            None if the document is not there, and the handler is gone: the bytes must be sent again.

        Raises:
            StoredTwice: Two versions carry the token of this commit.
            OutcomeUnknown: Nobody can tell.

        On cancellation nothing is deleted, and ``CancelledError`` goes on.
        """
        began, commit = time.monotonic(), self._commit
        place = Place(destination(commit.path), commit.existed, None)
        await self._patience.persist(self._remote.log_in)
        async with self._keeper.take_over(place):
            stored = await self._found() or await self._finish(place)
        self._log.info("commit_resumed", found=stored is not None)
        if stored is None:
            return None
        keeping = Keeping(
            self._patience, self._log, commit.comment.removesuffix(commit.token).strip(), self._properties
        )
        await keeping.look(commit.path, stored, None, token=commit.token)
        return Receipt(
            status="stored",
            path=commit.path,
            document_id=stored.document_id,
            version_id=stored.version_id,
            size=commit.size,
            crc32=commit.crc32,
            chunks=0,
            resent=0,
            restarted=0,
            verified_by="staged checksum",
            seconds=time.monotonic() - began,
            not_kept=keeping.not_kept,
            left=left_behind(),
        )

    async def _found(self) -> _wire.Stored | None:
        return await self._patience.persist(lambda: find(self._remote, self._commit))

    async def _finish(self, place: Place) -> _wire.Stored | None:
        """The bytes may lie in the handler yet. A consumed one can do nothing twice: it refuses."""
        if self._commit.existed and self._may_be_running:
            raise self._unknown()
        try:
            return await self._ask_again(place)
        except OutcomeUnknown:
            raise
        except AsyncUploadError as error:
            self._log.info("commit_refused", reason=str(error))
        if found := await self._found():
            return found
        if self._may_be_running:
            raise self._unknown()
        # After this a request that was held up on its way can do nothing any more, so one more look is the last word.
        await self._patience.persist(lambda: self._remote.delete_handler(self._commit.handler))
        return await self._found()

    async def _ask_again(self, place: Place) -> _wire.Stored:
        commit, handler = self._commit, Handler(_wire.Grant(self._commit.handler, 0))

        async def request(fall_back: bool) -> _wire.Stored:  # noqa: FBT001  (handed on as it is)
            await self._checkpoints.committing(commit)
            return await self._remote.finalize(
                handler, place.to, commit.comment, self._properties, new=not commit.existed, fall_back=fall_back
            )

        lost: AsyncUploadError | None = None
        try:
            await self._patience.persist(lambda: request(not self._may_be_running))
        except AsyncUploadError as error:
            if error.outcome is not Outcome.UNKNOWN:
                raise
            lost = error
        # Looked for whatever the answer was: the request before may have come about as well.
        ended = isinstance(lost, ServerError) and not self._may_be_running
        ends = handler.asked_at + (0 if ended else self._patience.settings.timeouts.finalize)
        return await Settlement(self._patience, commit, request, ends=ends, error=lost).run()

    def _unknown(self) -> OutcomeUnknown:
        return OutcomeUnknown(
            f"{self._commit.path}: the request to store it left a short time ago, and the document is not there; "
            "look again when the server must have ended with it"
        )

"""From a handler that has all bytes to a document: the request to store, and what became of it."""

import math
import secrets
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, NoReturn

from . import _wire
from ._handler import Handler
from ._outcome import lacks_operation
from ._parameters import Way
from ._patience import Patience
from ._place import Keeper, Place
from ._raised import raise_kept
from ._settle import Settlement, find, must_have_ended
from ._staging import Staging
from ._tally import Reason, StartOver, Tally
from ._task import Task
from ._verify import Verification
from .checkpoints import Commit
from .errors import (
    AlreadyExists,
    AsyncUploadError,
    Outcome,
    OutcomeUnknown,
    ServerError,
    StoredDifferently,
    StoredTwice,
)


class Storing:
    """An upload's last step. One of it for all passes.

    Args:
        patience: The upload's.
        task: The upload's.
        keeper: Holds the document.
        staging: The upload's.
        verification: Compares what is stored, where the staged checksum does not tell.
        log: A logger bound to this upload.

    Attributes:
        was_there: Whether another program stored the same meanwhile.
        token: Stands in the comment of a version that this upload makes.
        way: How the last request to store carried what was asked for.
    """

    def __init__(
        self, patience: Patience, task: Task, keeper: Keeper, staging: Staging, verification: Verification, log: Any
    ) -> None:
        self._patience = patience
        self._remote = patience.remote
        self._settings = patience.settings
        self._task = task
        self._keeper = keeper
        self._staging = staging
        self._verification = verification
        self._log = log
        # One for all passes: what an earlier one has made after all is known by it.
        self.token = f"[upload {secrets.token_hex(4)}]"
        self.way: Way | None = None
        self._grammar = self._remote.ways.grammar
        self._asked = False
        """Whether a request to store may have left."""
        self.was_there = False

    async def store(self, handler: Handler, place: Place, tally: Tally) -> _wire.Stored:
        """Make a document, or a version, of a handler that has all bytes.

        Raises:
            StartOver: No document can be made of this handler; of another one perhaps.
            AsyncUploadError: It is not stored; with OutcomeUnknown it may be.
        """
        token, self._grammar = self.token if place.exists else "", self._remote.ways.grammar
        comment = " ".join(filter(None, (self._task.comment, token)))

        commit = Commit(
            path=place.to.path,
            handler=handler.id,
            size=tally.sent,
            crc32=tally.crc32,
            existed=place.exists,
            token=token,
            comment=comment,
            replaces=None if place.shared else place.crc32,
        )

        async def request(fall_back: bool = True) -> _wire.Stored:  # noqa: FBT001, FBT002  (handed on as it is)
            self._asked = True
            await self._task.checkpoints.committing(commit)
            try:
                return await self._remote.finalize(
                    handler, place.to, comment, self._task.properties, new=not place.exists, fall_back=fall_back
                )
            finally:
                self.way = handler.way

        again = self._asked
        if again and (found := await self._found(commit)):
            return found
        await self._keeper.require_unchanged(place)
        if there := await self._stored_meanwhile(tally, place):
            await self._staging.discard(handler)
            self.was_there = not again  # it may have come of what was asked for in an earlier pass
            return there
        try:
            stored = await self._stored(handler, place, commit, request)
        except AsyncUploadError as error:
            if error.outcome is Outcome.UNKNOWN:
                raise
            found = await self._refused(error, place, commit)
            if not handler.consumed:  # what was found was not made of it
                await self._staging.discard(handler)
            return found
        if again:
            await self._found(commit)  # raises if the request of an earlier pass has come about as well
        return stored

    async def _stored_meanwhile(self, tally: Tally, place: Place) -> _wire.Stored | None:
        """An equal version that another program has stored while this one was about to."""
        since = None if place.changed else self._task.since
        if not (place.changed or since):
            return None
        return await self._keeper.same(place, size=tally.sent, crc32=tally.crc32, since=since)

    async def _stored(
        self, handler: Handler, place: Place, commit: Commit, request: Callable[..., Awaitable[_wire.Stored]]
    ) -> _wire.Stored:
        """Send the request to store, and find out what became of it if its answer does not tell."""
        lost: AsyncUploadError | None = None
        try:
            stored = await self._patience.persist(request)
            if stored.version_id is not None:
                return stored
        except AsyncUploadError as error:
            if error.outcome is not Outcome.UNKNOWN:
                raise
            lost = error
        # A success that names nothing may be the answer to another request: only what stands there is proof.
        self._log.info("settling", reason=str(lost or "the answer names no version"))
        ends = must_have_ended(lost, handler.asked_at, self._settings.timeouts)
        try:
            doubtful = partial(self._doubts, handler)
            return await Settlement(self._patience, commit, request, ends=ends, error=lost, doubtful=doubtful).run()
        except ServerError as error:  # it had ended, and nothing is there: nobody is at work on the handler
            handler.consumed = False
            # That the handler is gone is the consequence: what went wrong was said before.
            why = lost if isinstance(lost, ServerError) else error
            why.outcome = Outcome.NOT_APPLIED
            if _gone(error):
                await self._start_over_if_ours(why, place)
            raise_kept(why)

    def _doubts(self, handler: Handler) -> bool:
        return self._remote.ways.doubts(handler.way)

    async def _refused(self, error: AsyncUploadError, place: Place, commit: Commit) -> _wire.Stored:
        """The request to store was refused. Something on the way may have sent it twice: this answers the second."""
        gone = _gone(error)
        if gone or isinstance(error, AlreadyExists):
            found = await self._found(commit)
            if not found and gone:
                found = await self._found_in_time(commit)
            if found:
                return found
            if gone:
                await self._start_over_if_ours(error, place)
        raise error

    async def _found_in_time(self, commit: Commit) -> _wire.Stored | None:
        """What a request that is running yet will have made, within ``timeouts.settle``.

        A handler that is gone at this moment may be the other request's: to begin anew would make a second version, and
        a failure after that would deny what comes to be stored.
        """
        try:
            return await Settlement(self._patience, commit, None, ends=math.inf).run()
        except (StoredTwice, StoredDifferently):
            raise
        except OutcomeUnknown as error:
            self._log.warning("not_found", reason=str(error))
            return None

    async def _found(self, commit: Commit) -> _wire.Stored | None:
        """What stands at the destination, if it is ours; None also if another document does.

        Raises:
            StoredTwice, StoredDifferently: It is ours, and not as it should be.
            OutcomeUnknown: Nobody can tell.
        """
        try:
            return await self._patience.persist(lambda: find(self._remote, commit))
        except (StoredTwice, StoredDifferently):
            raise
        except OutcomeUnknown as error:
            self._log.warning("not_found", reason=str(error))
            return None
        except AsyncUploadError as error:
            raise OutcomeUnknown(
                f"{commit.path}: a request to store it may have come about, and looking for it did not tell ({error}); "
                "look whether it is there before you send it again"
            ) from error

    async def _start_over_if_ours(self, error: AsyncUploadError, place: Place) -> NoReturn:
        """4000 means that the handler is gone, or that the document is not checked out: the second is not for us to
        mend."""
        if place.exists:
            await self._keeper.require_ours(place.to.path)
        # What the server could not read may go in another grammar now.
        changed = self._remote.ways.grammar is not self._grammar
        raise StartOver(error, Reason.GRAMMAR if changed else Reason.REFUSED) from error

    async def require_right(self, stored: _wire.Stored, place: Place, tally: Tally) -> None:
        """Compare what is stored, where the staged checksum was not told, or does not tell everything.

        Raises:
            StoredDifferently, StoredTwice: It is not as it should be.
            OutcomeUnknown: It cannot be compared.
        """
        if self.was_there:
            return
        if not tally.proven:
            await self._verify(tally, stored, place.to.path)
        if not (place.exists or self._remote.creates_only):
            await self._require_alone(tally, stored, place.to.path)

    async def _verify(self, tally: Tally, stored: _wire.Stored, path: str) -> None:
        try:
            size, crc32 = await self._held(path, stored.version_id)
        except AsyncUploadError as error:
            raise OutcomeUnknown(f"{path} is stored, but it could not be compared: {error}") from error
        if size != tally.sent or crc32 != tally.crc32:
            raise StoredDifferently(
                f"{path} is stored, but with {size} bytes and CRC-32 {crc32:08X} where {tally.sent} and "
                f"{tally.crc32:08X} were sent; compare it with the source before you rely on it",
                expected=tally.crc32,
                found=crc32,
            )

    async def _require_alone(self, tally: Tally, stored: _wire.Stored, path: str) -> None:
        """Where the operation is missing that only creates, another program's document may have come in between our
        look and our request, which has made a version of it then. It cannot be helped, but told."""
        try:
            versions = await self._patience.persist(lambda: self._remote.versions(path))
        except AsyncUploadError as error:
            self._log.warning("not_compared", reason=str(error))
            return
        ours = stored.version_id or _wire.latest(versions) or 0
        before = sorted((one for one in versions if one.number < ours), key=lambda one: one.number)
        unwanted = self._task.if_exists in {"fail", "same"}
        if before and (unwanted or before[-1].size in {None, tally.sent}):
            numbers = (before[-1].number, ours)
            raise StoredTwice(
                f"{path} is stored as version {numbers[1]}, of a document that another program made at the same moment "
                f"(version {numbers[0]}): this server has no operation that only creates; compare the two, and delete "
                "one if they are equal",
                versions=numbers,
            )

    async def _held(self, path: str, version: int | None) -> tuple[int, int]:
        """Size and checksum of what the server holds as this version."""
        try:
            found = await self._verification.describe(path, version)
        except AsyncUploadError as error:
            if not lacks_operation(error):
                raise
            return await self._held_as_latest(path, version)
        return found.size, found.crc32

    async def _held_as_latest(self, path: str, version: int | None) -> tuple[int, int]:
        """The same, from what a server without a download by version tells of the latest one."""
        crc32 = await self._patience.persist(lambda: self._remote.document_crc32(path))
        document = await self._patience.persist(lambda: self._remote.document(path))
        versions = await self._patience.persist(lambda: self._remote.versions(path))
        if version is not None and _wire.latest(versions) != version:
            raise AsyncUploadError(f"version {version} is not the latest one any more")
        if document.size is None or crc32 is None:
            raise AsyncUploadError("the server does not tell size and checksum")
        return document.size, crc32


def _gone(error: AsyncUploadError) -> bool:
    """Whether a request to store was refused in the words for a handler that is not there (any more)."""
    if type(error) is not ServerError or error.unexpected:
        return False
    return error.code in {None, 4000} and not lacks_operation(error)

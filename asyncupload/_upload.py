"""One file up: look first, open a handler, send chunks, compare, finalize, settle; clean up on every other way out."""

import math
import secrets
import time
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, Literal, NoReturn

from . import _wire
from ._ending import left_behind
from ._names import Destination
from ._outcome import lacks_operation
from ._passes import Passes
from ._patience import Patience
from ._pipeline import sealed_chunks
from ._place import IfExists, Keeper, Place
from ._remote import Handler
from ._settle import Settlement, find
from ._staging import Reason, Staging, StartOver, Tally, Threads
from ._verify import Verification
from .checkpoints import Checkpoints, Commit, NoCheckpoints
from .errors import (
    AlreadyExists,
    AsyncUploadError,
    Outcome,
    OutcomeUnknown,
    ServerError,
    StoredDifferently,
    StoredTwice,
)
from .events import Audience, Failed, Receipt, Stored
from .properties import NONE_GIVEN, Properties
from .sources import Source


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """What is to be done."""

    source: Source
    to: Destination
    comment: str = ""
    properties: Properties = NONE_GIVEN
    if_exists: IfExists = "version"
    chunk_size: int | None = None
    folder_exists: bool = False
    """Whether that is known, and need not be asked."""
    checkpoints: Checkpoints = field(default_factory=NoCheckpoints)
    since: datetime | None = None
    """An equal version that was stored since then is not stored again, by the server's clock."""


class Upload:
    """The journey of one file.

    Args:
        patience: The client's.
        threads: The client's.
        audience: Told what happens.
        log: A logger bound to this upload.
        task: What is to be done.
    """

    def __init__(self, patience: Patience, threads: Threads, audience: Audience, log: Any, task: Task) -> None:
        self._patience = patience
        self._remote = patience.remote
        self._settings = patience.settings
        self._threads = threads
        self._audience = audience
        self._log = log
        self._task = task
        self._keeper = Keeper(patience, log, task.checkpoints)
        self._staging = Staging(
            patience,
            threads,
            audience,
            log,
            path=task.to.path,
            rereadable=task.source.rereadable,
            checkpoints=task.checkpoints,
            chunk_size=task.chunk_size,
        )
        self._passes = Passes(self._staging, task.source, threads, audience, log)
        # One for all passes: what an earlier one has made after all is known by it.
        self._token = f"[upload {secrets.token_hex(4)}]"
        self._asked = False
        """Whether a request to store may have left."""
        self._was_there = False
        """Whether another program stored the same meanwhile."""

    async def run(self) -> Receipt:
        """Bring the source to its destination, and say in one line of the log how it ended.

        Raises:
            AsyncUploadError: It is not stored; with OutcomeUnknown it may be.

        On cancellation the handler is deleted, unless the request to store may have left, and ``CancelledError`` goes
        on.
        """
        began = time.monotonic()
        try:
            receipt = await self._bring(began)
        except BaseException as error:
            status = Failed(path=self._task.to.path, error=error).status
            self._log.warning("upload_ended", status=status, reason=_reason(error), **self._facts(began))
            raise
        self._log.info("upload_ended", status=receipt.status, document_id=receipt.document_id, **self._facts(began))
        self._audience.tell(Stored(path=receipt.path, receipt=receipt))
        return receipt

    async def preview(self) -> Literal["new", "version", "unchanged"]:
        """What :meth:`run` would make, found out without sending anything or checking anything out.

        Raises:
            AsyncUploadError: It would fail, and this is why.
        """
        task = self._task
        async with task.source.open(self._threads.reading):
            await self._patience.persist(self._remote.log_in)
            place = await self._keeper.look(task.to, task.if_exists, folder_exists=True)
        if not place.exists:
            return "new"
        if self._compares and await self._unchanged(await self._read_through(), place):
            return "unchanged"  # whoever has it checked out
        self._require_wanted(place)
        await self._keeper.require_free(task.to.path)
        return "version"

    def _facts(self, began: float) -> dict[str, Any]:
        """For the canonical log line."""
        staging = self._staging
        return {
            "handler": staging.last_handler,
            "sent": staging.tally.sent,
            "chunks": len(staging.tally.parts),
            "crc32": f"{staging.tally.crc32:08X}",
            "resent": staging.resent,
            "resent_bytes": staging.resent_bytes,
            "restarted": self._passes.restarted,
            "seconds": round(time.monotonic() - began, 3),
        }

    async def _bring(self, began: float) -> Receipt:
        """Open the source, look at the place, hold it, and make passes until one gets through."""
        task = self._task
        async with AsyncExitStack() as opened:
            content = await opened.enter_async_context(task.source.open(self._threads.reading))
            await self._patience.persist(self._remote.log_in)
            place = await self._keeper.look(task.to, task.if_exists, folder_exists=task.folder_exists)
            here: Tally | None = None
            if place.exists and self._compares:
                await opened.aclose()  # a file object cannot be read in two places
                here = await self._read_through()
                if same := await self._unchanged(here, place):
                    return self._receipt(place, here, same, began, status="unchanged")
                content = await opened.enter_async_context(task.source.open(self._threads.reading))
            self._require_wanted(place)
            async with self._keeper.hold(place) as held:
                # Somebody may have stored the same between the look and the check-out.
                if here and held.changed and (same := await self._unchanged(here, held)):
                    return self._receipt(place, here, same, began, status="unchanged")
                tally, stored = await self._passes.run(
                    content, opened, lambda handler, tally: self._finalize(handler, held, tally)
                )
                if self._was_there:
                    return self._receipt(place, tally, stored, began, status="unchanged")
                if not tally.proven:
                    await self._verify(tally, stored, task.to.path)
                if not (place.exists or self._remote.creates_only):
                    await self._require_alone(tally, stored, task.to.path)
        return self._receipt(place, tally, stored, began, status="stored")

    # ── the document ──

    async def _finalize(self, handler: Handler, place: Place, tally: Tally) -> _wire.Stored:
        token = self._token if place.exists else ""
        comment = " ".join(filter(None, (self._task.comment, token)))

        commit = Commit(
            path=place.to.path,
            handler=handler.id,
            size=tally.sent,
            crc32=tally.crc32,
            existed=place.exists,
            token=token,
            comment=comment,
        )

        async def request(fall_back: bool = True) -> _wire.Stored:  # noqa: FBT001, FBT002  (handed on as it is)
            self._asked = True
            await self._task.checkpoints.committing(commit)
            return await self._remote.finalize(
                handler, place.to, comment, self._task.properties, new=not place.exists, fall_back=fall_back
            )

        again = self._asked
        if again and (found := await self._found(commit)):
            return found
        await self._keeper.require_unchanged(place)
        if there := await self._stored_meanwhile(tally, place):
            await self._staging.discard(handler)
            self._was_there = not again  # it may have come of what was asked for in an earlier pass
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
        since = self._task.since
        if not (place.changed or since) or not (there := await self._equal(tally, place)):
            return None
        document, versions = there
        made = max(versions, key=lambda version: version.number).created if versions else None
        return _stored(document, versions) if place.changed or (since and made and made >= since) else None

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
        ends = handler.asked_at + self._settings.timeouts.finalize
        try:
            return await Settlement(self._patience, commit, request, ends=ends, error=lost).run()
        except ServerError as error:  # it had ended, and nothing is there: nobody is at work on the handler
            handler.consumed = False
            if _gone(error):
                await self._start_over_if_ours(error, place)
            raise

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
        """What stands at the destination, if it is ours; None also if another document does, or nobody can tell.

        Raises:
            StoredTwice, StoredDifferently: It is ours, and not as it should be.
        """
        try:
            return await self._patience.persist(lambda: find(self._remote, commit))
        except (StoredTwice, StoredDifferently):
            raise
        except AsyncUploadError as error:
            self._log.warning("not_found", reason=str(error))
            return None

    async def _start_over_if_ours(self, error: AsyncUploadError, place: Place) -> NoReturn:
        """4000 means that the handler is gone, or that the document is not checked out: the second is not for us to
        mend."""
        if place.exists:
            await self._keeper.require_ours(place.to.path)
        raise StartOver(error, Reason.REFUSED) from error

    async def _verify(self, tally: Tally, stored: _wire.Stored, path: str) -> None:
        """Compare what is stored, where the staged checksum was not told, or does not tell everything."""
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
            found = await Verification(self._patience, self._threads, self._audience, self._log).describe(path, version)
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

    @property
    def _compares(self) -> bool:
        return self._task.if_exists in {"skip", "same"} and self._task.source.rereadable

    def _require_wanted(self, place: Place) -> None:
        if place.exists and self._task.if_exists == "same":
            raise AlreadyExists(f"{place.to.path} exists already, and was not found to be equal; nothing was sent")

    async def _read_through(self) -> Tally:
        tally = Tally()
        async with (
            self._task.source.open(self._threads.reading) as content,
            sealed_chunks(
                content.chunks(self._settings.chunk_size),
                depth=self._settings.depth,
                threads=self._threads.checksums,
            ) as line,
        ):
            async for chunk in line:
                tally.add(chunk, None)
        return tally

    async def _unchanged(self, here: Tally, place: Place) -> _wire.Stored | None:
        """What stands there, if it is equal to what was read."""
        there = await self._equal(here, place)
        return there and _stored(*there)

    async def _equal(self, here: Tally, place: Place) -> tuple[_wire.Document, tuple[_wire.Version, ...]] | None:
        """The document and its versions, if the latest is equal to what was read."""
        if here.crc32 != place.crc32:
            return None
        document = await self._patience.persist(lambda: self._remote.document(place.to.path))
        if document.size != here.sent:
            return None
        return document, await self._patience.persist(lambda: self._remote.versions(place.to.path))

    def _receipt(
        self,
        place: Place,
        tally: Tally,
        stored: _wire.Stored,
        began: float,
        *,
        status: Literal["stored", "unchanged"],
    ) -> Receipt:
        return Receipt(
            status=status,
            path=place.to.path,
            document_id=stored.document_id,
            version_id=stored.version_id,
            size=tally.sent,
            crc32=tally.crc32,
            chunks=len(tally.parts) if status == "stored" else 0,
            resent=self._staging.resent,
            restarted=self._passes.restarted,
            resent_bytes=self._staging.resent_bytes,
            verified_by="staged checksum" if tally.proven else "stored checksum",
            seconds=time.monotonic() - began,
            times=replace(self._staging.times, commit=self._passes.commit_seconds),
            left=left_behind(),
        )


def _gone(error: AsyncUploadError) -> bool:
    """Whether a request to store was refused in the words for a handler that is not there (any more)."""
    return type(error) is ServerError and error.code in {None, 4000}


def _stored(document: _wire.Document, versions: tuple[_wire.Version, ...]) -> _wire.Stored:
    return _wire.Stored(document.document_id, _wire.latest(versions))


def _reason(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__

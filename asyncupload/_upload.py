"""One file up: look first, send chunks, store, tell; clean up on every other way out."""

import time
from contextlib import AsyncExitStack
from dataclasses import asdict, replace
from typing import Any, Literal

from . import _wire
from ._ending import left_behind
from ._handler import Handler
from ._keeping import Keeping
from ._passes import Passes
from ._patience import Patience
from ._pipeline import sealed_chunks
from ._place import Keeper, Place
from ._rules import Rulebook
from ._staging import Staging, Threads
from ._storing import Storing
from ._tally import Tally
from ._task import Task
from ._verify import Verification
from .errors import AlreadyExists
from .events import Audience, Failed, Receipt, Stored, Times


class Upload:
    """The journey of one file.

    Args:
        patience: The client's.
        threads: The client's.
        audience: Told what happens.
        log: A logger bound to this upload.
        task: What is to be done.
        rulebook: The client's.
    """

    def __init__(
        self, patience: Patience, threads: Threads, audience: Audience, log: Any, task: Task, rulebook: Rulebook
    ) -> None:
        self._patience = patience
        self._remote = patience.remote
        self._settings = patience.settings
        self._threads = threads
        self._audience = audience
        self._log = log
        self._task = task
        self._rulebook = rulebook
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
        verification = Verification(patience, threads, audience, log)
        self._keeping = Keeping(patience, log, task.comment, task.properties)
        self._storing = Storing(patience, task, self._keeper, self._staging, verification, log)

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
            self._audience.times = self._times()
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
        async with task.source.open(self._threads.reading) as content:
            await self._patience.persist(self._remote.log_in)
            place = await self._keeper.look(task.to, task.if_exists, folder_exists=True)
        if not place.exists:
            await self._rulebook.require_allowed(task.to, exists=False, size=content.size)
            return "new"
        if self._compares and await self._unchanged(await self._read_through(), place):
            return "unchanged"  # whoever has it checked out
        self._require_wanted(place)
        await self._rulebook.require_allowed(task.to, exists=True, size=content.size)
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
            "waited": self._times().words,
        }

    def _times(self) -> Times:
        return replace(self._staging.times, commit=self._passes.commit_seconds, **asdict(self._patience.waited))

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
                    await self._keeper.give_back_left(place)
                    return self._receipt(place, here, same, began, status="unchanged")
                content = await opened.enter_async_context(task.source.open(self._threads.reading))
            self._require_wanted(place)
            allowed = await self._rulebook.require_allowed(task.to, exists=place.exists, size=content.size)
            self._staging.require_allowed = allowed.require
            async with self._keeper.hold(place) as held:
                # Somebody may have stored the same between the look and the check-out.
                if here and held.changed and (same := await self._unchanged(here, held)):
                    return self._receipt(place, here, same, began, status="unchanged")
                tally, stored = await self._passes.run(
                    content, opened, lambda handler, tally: self._store(handler, held, tally)
                )
                await self._storing.require_right(stored, place, tally)
        status: Literal["stored", "unchanged"] = "unchanged" if self._storing.was_there else "stored"
        return self._receipt(place, tally, stored, began, status=status)

    async def _store(self, handler: Handler, place: Place, tally: Tally) -> _wire.Stored:
        async with self._keeping.turn(new=not place.exists):
            stored, storing = await self._storing.store(handler, place, tally), self._storing
            if not storing.was_there:
                token = storing.token if place.exists else ""
                await self._keeping.look(place.to.path, stored, storing.way, token=token)
        return stored

    async def _unchanged(self, here: Tally, place: Place) -> _wire.Stored | None:
        return await self._keeper.same(place, size=here.sent, crc32=here.crc32)

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
            times=self._times(),
            not_kept=self._keeping.not_kept,
            left=left_behind(),
        )


def _reason(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__

"""One ZIP archive up, of whose entries the server makes documents."""

import time
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any

from . import _wire
from ._ending import left_behind
from ._handler import Handler
from ._passes import Passes
from ._patience import Patience
from ._staging import Staging, Threads
from ._tally import Tally
from .checkpoints import NoCheckpoints
from .errors import AsyncUploadError, Outcome, OutcomeUnknown
from .events import Audience, Unpacked, UnpackedItem
from .sources import Source


@dataclass(frozen=True, slots=True, kw_only=True)
class ArchiveTask:
    """What is to be done."""

    source: Source
    folder: str
    changed_only: bool = False
    check_out: bool = False
    notify: bool = False


class Archive:
    """The journey of one archive: arguments as of an upload."""

    def __init__(self, patience: Patience, threads: Threads, audience: Audience, log: Any, task: ArchiveTask) -> None:
        self._patience = patience
        self._threads = threads
        self._task = task
        staging = Staging(
            patience,
            threads,
            audience,
            log,
            path=task.folder,
            rereadable=task.source.rereadable,
            checkpoints=NoCheckpoints(),
        )
        self._passes = Passes(staging, task.source, threads, audience, log)

    async def run(self) -> Unpacked:
        """Bring the archive, and have it unpacked.

        Raises:
            NotFound: There is no such folder.
            OutcomeUnknown: The request to unpack left, and its reply was lost: some entries may be documents now.
            AsyncUploadError: Nothing was unpacked.

        On cancellation the handler is deleted, unless the request to unpack may have left.
        """
        began, task = time.monotonic(), self._task
        async with AsyncExitStack() as opened:
            content = await opened.enter_async_context(task.source.open(self._threads.reading))
            await self._patience.persist(self._patience.remote.log_in)
            await self._patience.persist(lambda: self._patience.remote.folder_exists(task.folder))
            tally, log = await self._passes.run(content, opened, self._unpack)
        items = tuple(UnpackedItem(name=entry.item, error=entry.error) for entry in log)
        return Unpacked(
            folder=task.folder,
            size=tally.sent,
            crc32=tally.crc32,
            items=items,
            seconds=time.monotonic() - began,
            left=left_behind(),
        )

    async def _unpack(self, handler: Handler, _: Tally) -> tuple[_wire.Unpacked, ...]:
        task = self._task
        try:
            return await self._patience.persist(
                lambda: self._patience.remote.unpack(
                    handler,
                    task.folder,
                    changed_only=task.changed_only,
                    check_out=task.check_out,
                    notify=task.notify,
                )
            )
        except AsyncUploadError as error:
            if error.outcome is not Outcome.UNKNOWN:
                raise
            # Any number of documents: nothing that could be looked for would tell of all of them.
            raise OutcomeUnknown(
                f"{task.folder}: all bytes arrived, but the reply to the request to unpack them was lost ({error}); "
                "look what is there before you send the archive again, or send it with changed_only"
            ) from error

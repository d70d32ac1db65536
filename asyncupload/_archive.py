"""One ZIP archive up, of whose entries the server makes documents."""

import time
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any

import anyio

from . import _wire
from ._archive_rules import Unpackable, require_unpackable
from ._ending import left_behind
from ._entries import Entry, entries, missing
from ._handler import Handler
from ._outcome import lacks_operation
from ._passes import Passes
from ._patience import Patience
from ._retry import persist
from ._rules import Rulebook
from ._settle import NotThere, looking_rules, must_have_ended
from ._staging import Staging, Threads
from ._tally import Reason, StartOver, Tally
from .checkpoints import NoCheckpoints
from .errors import (
    AsyncUploadError,
    OperationMissing,
    Outcome,
    OutcomeUnknown,
    ServerError,
    SourceError,
    TransportError,
)
from .events import Audience, Unpacked, UnpackedItem
from .sources import Source

UNPACK = "UploadZipWithHandler"


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

    def __init__(
        self,
        patience: Patience,
        threads: Threads,
        audience: Audience,
        log: Any,
        task: ArchiveTask,
        rulebook: Rulebook,
    ) -> None:
        self._patience = patience
        self._rulebook = rulebook
        self._threads = threads
        self._task = task
        self._log = log
        staging = Staging(
            patience,
            threads,
            audience,
            log,
            path=task.folder,
            rereadable=task.source.rereadable,
            checkpoints=NoCheckpoints(),
        )
        self._staging = staging
        self._passes = Passes(staging, task.source, threads, audience, log)

    async def run(self) -> Unpacked:
        """Bring the archive, and have it unpacked.

        Raises:
            NotFound: There is no such folder.
            OperationMissing: The server does not unpack archives; nothing was sent.
            RuleViolated: The server's limits or a folder's rules forbid the archive or an entry; no more was sent than
                they allow.
            OutcomeUnknown: The request to unpack left, its reply was lost, and looking for the entries did not tell of
                all: the message says how many are there.
            AsyncUploadError: Nothing was unpacked.

        On cancellation the handler is deleted, unless the request to unpack may have left.
        """
        began, task = time.monotonic(), self._task
        async with AsyncExitStack() as opened:
            content = await opened.enter_async_context(task.source.open(self._threads.reading))
            await self._patience.persist(self._patience.remote.log_in)
            await self._patience.persist(lambda: self._patience.remote.folder_exists(task.folder))
            await self._require_operation()
            unpackable = Unpackable(task.source, task.folder, content.size, changed_only=task.changed_only)
            allowed = await require_unpackable(self._patience, self._rulebook, self._threads, unpackable)
            self._staging.require_allowed = allowed.require
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

    async def _require_operation(self) -> None:
        """Before the first byte: an older server would take all of them, and not know what to do with them.

        Raises:
            OperationMissing: It does not unpack archives, says its description of itself, or it has said so before.
        """
        asker = self._patience.remote.asker
        if not await self._patience.persist(lambda: asker.offers(UNPACK)):
            raise OperationMissing(
                f"this server does not unpack archives (it has no {UNPACK}), and nothing was sent; unpack the archive "
                "here, and bring its files as they are",
                operation=UNPACK,
            )

    async def _unpack(self, handler: Handler, tally: Tally) -> tuple[_wire.Unpacked, ...]:
        try:
            return await self._patience.persist(lambda: self._request(handler))
        except AsyncUploadError as error:
            if error.outcome is not Outcome.UNKNOWN:
                if lacks_operation(error):  # with all bytes there; the next archive is told at once
                    self._patience.remote.asker.lacking.add(UNPACK)
                raise
            if not self._task.source.rereadable:  # nobody knows what was in it
                raise self._unknown(error, "") from error
            lost = error
        self._log.info("settling", reason=str(lost))
        return await self._look_into(lost, handler, tally)

    async def _request(self, handler: Handler) -> tuple[_wire.Unpacked, ...]:
        task = self._task
        return await self._patience.remote.unpack(
            handler, task.folder, changed_only=task.changed_only, check_out=task.check_out, notify=task.notify
        )

    async def _look_into(self, lost: AsyncUploadError, handler: Handler, tally: Tally) -> tuple[_wire.Unpacked, ...]:
        """What became of a request to unpack that was not answered, within ``timeouts.settle``."""
        settings = self._patience.settings
        ends = must_have_ended(lost, handler.asked_at, settings.timeouts)
        rules = looking_rules(settings)
        why = ""
        try:
            wanted = await entries(self._task.source, self._patience, self._threads, tally)

            async def look() -> tuple[_wire.Unpacked, ...]:
                nonlocal why
                ended = anyio.current_time() >= ends  # asked before the look: what it does not find then will not come
                gone = await missing(self._patience, self._task.folder, wanted)
                if gone and not ended:
                    why = _amount(wanted, gone)
                    raise NotThere(why)
                return await self._end(handler, lost, wanted, gone) if gone else _log_of(wanted, gone)

            with anyio.move_on_after(settings.timeouts.settle):
                return await persist(look, rules, pause=self._patience.pause, waited=self._patience.waited)
        except (SourceError, TransportError) as error:
            why = why or str(error)
        raise self._unknown(lost, why)

    async def _end(
        self, handler: Handler, lost: AsyncUploadError, wanted: tuple[Entry, ...], gone: set[str]
    ) -> tuple[_wire.Unpacked, ...]:
        """The server has ended with the request, and some entries, or all, are not there."""
        handler.consumed = False  # so it is deleted, if nothing comes of it any more
        if len(gone) < len({one.name for one in wanted}):  # the others would be refused, or become versions once more
            return _log_of(wanted, gone)
        try:
            return await self._patience.persist(lambda: self._request(handler))
        except ServerError as error:
            if error.outcome is Outcome.UNKNOWN:
                raise self._unknown(error, "") from error
        lost.outcome = Outcome.NOT_APPLIED
        raise StartOver(lost, Reason.REFUSED)

    def _unknown(self, error: AsyncUploadError, found: str) -> OutcomeUnknown:
        return OutcomeUnknown(
            f"{self._task.folder}: all bytes arrived, but the reply to the request to unpack them was lost ({error})"
            f"{'; ' if found else ''}{found}; "
            "look what is there before you send the archive again, or send it with changed_only"
        )


SHOWN = 5
"""Names of missing entries in a message."""


def _amount(wanted: tuple[Entry, ...], gone: set[str]) -> str:
    names = ", ".join(sorted(gone)[:SHOWN]) + (", …" if len(gone) > SHOWN else "")
    return f"{len(wanted) - len(gone)} of {len(wanted)} entries are there, and not {names}"


def _log_of(wanted: tuple[Entry, ...], gone: set[str]) -> tuple[_wire.Unpacked, ...]:
    """What the server would have said of each entry, as far as it can be seen."""
    why = "no document with its size and checksum is there; what the server said of it was lost"
    return tuple(_wire.Unpacked(one.name, why if one.name in gone else "") for one in wanted)

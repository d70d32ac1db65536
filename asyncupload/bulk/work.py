"""One row's way, from its claim to its end."""

import json
import os
import time
from collections import defaultdict
from dataclasses import asdict, dataclass, field, fields
from datetime import date, datetime
from typing import Any

import anyio

from asyncupload._budget import Budget
from asyncupload._limits import most_held
from asyncupload._log import get_logger
from asyncupload._shield import undisturbed
from asyncupload.checkpoints import Commit
from asyncupload.client import Client
from asyncupload.errors import (
    AsyncUploadError,
    JournalError,
    LeaseLost,
    NotFound,
    OutcomeUnknown,
    ServerError,
    TransportError,
    UsageError,
)
from asyncupload.events import ChunkSent, Committing, Event, Failed, Receipt, Restarted, Times, not_kept
from asyncupload.properties import Properties
from asyncupload.sources import PathSource

from .ends import End
from .folders import Folders
from .notes import Notes
from .options import LoadOptions
from .owners import age, moment
from .queue import Claim, Queue
from .rows import Facts, Metadata, State
from .verdict import Verdict, verdict
from .watched import Rate, WatchedSource


@dataclass(slots=True)
class Meter:
    """What all files together have come to in this process."""

    sent: int = 0
    ended: int = 0
    committing: int = 0
    waited: defaultdict[str, float] = field(default_factory=lambda: defaultdict(float))
    """Seconds, by the names of :class:`~asyncupload.Times`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bench:
    """What those who work on rows share."""

    client: Client
    queue: Queue
    options: LoadOptions
    folders: Folders
    budget: Budget
    rate: Rate
    hashing: anyio.CapacityLimiter
    since: datetime | None = None
    """When the load was begun, by the server's clock, if that is known."""
    meter: Meter = field(default_factory=Meter)


class Work:
    """Works on one claimed row.

    Args:
        bench: What all share.
        claim: The row.
    """

    def __init__(self, bench: Bench, claim: Claim) -> None:
        self._bench = bench
        self._client = bench.client
        self._queue = bench.queue
        self._options = bench.options
        self._claim = claim
        self._row = claim.row
        self._notes = Notes(bench.queue, claim, bench.options.lease)
        self._log = get_logger(row=self._row.id, destination=self._row.item.destination)
        self._sent = 0
        self._in_commit = False
        self._in_folder = False
        """Whether the folder was found, or made."""
        self._asking = bool(claim.row.commit)
        self._may_be_running = True

    async def run(self) -> End:
        """Bring the file, and write down how it ended.

        Raises:
            LeaseLost: Somebody else has the row now, and will write down how it ended.
            JournalError: It could not be written down: nothing more must be sent.

        On cancellation what was staged is deleted, the row is given back, and ``CancelledError`` goes on.
        """
        try:
            return await self._brought()
        except (LeaseLost, JournalError):
            raise
        except AsyncUploadError as error:
            unsettled = self._asking or isinstance(error, OutcomeUnknown)
            if self._notes.held and not unsettled:
                await self._give_back_left()
            return End(verdict=self._verdict(error), error=error, unsettled=unsettled)
        except Exception as error:  # noqa: BLE001  (a fault of the program's, which must not cost the other files)
            self._log.error("work_failed", exc_info=True)
            # Left as it is if it may be stored: what fails here would fail alike at every look.
            committed = self._notes.committed
            return End(verdict=Verdict.GIVE_UP if committed else Verdict.AGAIN, error=error, unsettled=committed)
        except BaseException:
            await undisturbed(self._give_back(), grace=self._client.settings.timeouts.cleanup)
            raise
        finally:
            self._note_commit(begins=False)

    async def _give_back_left(self) -> None:
        """The document may be checked out since an earlier attempt, and this one did not come so far: as when the file
        is gone. Nobody else may wait for it meanwhile."""
        try:
            await self._client.give_back(self._row.item.destination)
            await self._notes.given_back()
        except (ServerError, TransportError, UsageError) as error:  # the row keeps it, and the next run tries again
            self._log.warning("checkout_left", reason=str(error))

    def _verdict(self, error: AsyncUploadError) -> Verdict:
        """What only the way so far can tell of an error comes first."""
        found = verdict(error)
        if found is Verdict.SKIP and self._notes.committed:  # it was not empty before: look at it again
            return Verdict.AGAIN
        if isinstance(error, NotFound) and self._in_folder:  # somebody has removed the folder since
            return Verdict.AGAIN
        if found is Verdict.ASK_LATER and not (self._may_be_running or self._notes.left):  # nothing will change
            return Verdict.GIVE_UP
        return found

    async def _give_back(self) -> None:
        """On cancellation. A row with a question keeps it: whoever comes next asks the server."""
        try:
            if self._notes.committed:
                await self._queue.let_go([self._claim])
            else:
                await self._queue.release(self._claim, reason="interrupted")
        except (LeaseLost, JournalError) as error:  # the reason for coming here must go on
            self._log.warning("row_not_given_back", reason=str(error))

    async def _brought(self) -> End:
        if self._row.commit:
            receipt = await self._taken_up()
            self._asking = False
            if receipt is None:  # counted: a server that stumbles over this file looks like that each time
                nothing = AsyncUploadError("the server was asked to store it, and has not; it is sent again")
                return End(verdict=Verdict.AGAIN, error=nothing)
            await self._finish(receipt, "")
            return End(receipt=receipt)
        await self._delete_left_handler()
        source = WatchedSource(
            PathSource(os.fsdecode(self._row.item.source), check=self._options.check_source),
            self._bench.rate,
            hashed=self._options.sha256,
            threads=self._bench.hashing,
        )
        receipt = await self._sent_up(source)
        await self._finish(receipt, source.sha256)
        return End(receipt=receipt)

    async def _taken_up(self) -> Receipt | None:
        """What became of a request to store that an earlier owner wrote down."""
        facts: dict[str, Any] = json.loads(self._row.commit)
        if (passed := age(facts)) is None:  # nobody knows when it left: it is waited for as if it left now
            facts |= moment()
        self._may_be_running = (passed or 0.0) < self._client.settings.timeouts.finalize
        await self._queue.committing(self._claim, json.dumps(facts), lease=self._options.lease)
        return await self._client.resume_commit(
            Commit(**{field.name: facts[field.name] for field in fields(Commit) if field.name in facts}),
            properties=self._properties(),
            checkpoints=self._notes,
            may_be_running=self._may_be_running,
        )

    async def _delete_left_handler(self) -> None:
        if not self._row.handler:
            return
        try:
            await self._client.discard(self._row.handler)
        except (ServerError, UsageError) as error:  # it removes it by itself, some day; unanswered, the row keeps it
            self._log.warning("handler_left", handler=self._row.handler, reason=str(error))

    async def _sent_up(self, source: WatchedSource) -> Receipt:
        folders, folder = self._bench.folders, self._row.item.destination.rpartition("/")[0]
        await folders.ensure(folder)
        self._in_folder = True
        try:
            return await self._uploaded(source)
        except NotFound:
            folders.forget(folder)
            raise

    async def _uploaded(self, source: WatchedSource) -> Receipt:
        item, settings = self._row.item, self._client.settings
        before = time.monotonic()
        async with self._bench.budget.share(most_held(settings.depth, item.size, settings.chunk_size)):
            self._bench.meter.waited["memory"] += time.monotonic() - before
            return await self._client.upload(
                source,
                to=item.destination,
                if_exists=self._options.if_exists_for(self._row),
                version_comment=item.metadata.version_comment,
                properties=self._properties(),
                folder_exists=True,
                checkpoints=self._notes,
                since=self._bench.since,
                on_event=self._listen,
            )

    def _properties(self) -> Properties:
        return properties_of(self._row.item.metadata, notify=self._options.notify)

    def _listen(self, event: Event) -> None:
        match event:
            case ChunkSent(sent=sent):
                self._bench.meter.sent += sent - self._sent
                self._sent = sent
            case Restarted():
                self._sent = 0
                self._note_commit(begins=False)
            case Committing():
                self._note_commit(begins=True)
            case Failed(times=times):
                self._count(times)
            case _:
                pass

    def _note_commit(self, *, begins: bool) -> None:
        self._bench.meter.committing += begins - self._in_commit
        self._in_commit = begins

    async def _finish(self, receipt: Receipt, sha256: str) -> None:
        facts = Facts(
            document_id=receipt.document_id,
            version_id=receipt.version_id,
            crc32=receipt.crc32,
            sha256=sha256,
            sent=receipt.size if receipt.status == "stored" else 0,
            seconds=receipt.seconds,
        )
        await self._queue.finish(
            self._claim,
            State.STORED if receipt.status == "stored" else State.UNCHANGED,
            reason="; ".join([*([not_kept(receipt.not_kept)] if receipt.not_kept else []), *map(str, receipt.left)]),
            facts=facts,
            waited=receipt.times.words,
        )
        self._bench.meter.ended += 1
        self._count(receipt.times)

    def _count(self, times: Times) -> None:
        for name, seconds in asdict(times).items():
            self._bench.meter.waited[name] += seconds


def properties_of(metadata: Metadata, *, notify: bool) -> Properties:
    """What a document is stored with, from its line in the plan."""

    def day(text: str) -> date | None:
        return date.fromisoformat(text) if text else None

    return Properties(
        description=metadata.description,
        keywords=metadata.keywords,
        created=day(metadata.created),
        modified=day(metadata.modified),
        notify=notify,
    )

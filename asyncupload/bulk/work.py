"""One row's way, from its claim to its end."""

import json
import os
import time
from dataclasses import asdict, dataclass, field
from datetime import date
from typing import Any

import anyio

from asyncupload._log import get_logger
from asyncupload._shield import undisturbed
from asyncupload.checkpoints import Commit
from asyncupload.client import Client
from asyncupload.errors import AsyncUploadError, JournalError, LeaseLost, ServerError
from asyncupload.events import ChunkSent, Committing, Event, Receipt, Restarted
from asyncupload.properties import Properties
from asyncupload.sources import PathSource

from .budget import Budget
from .folders import Folders
from .options import LoadOptions
from .queue import Claim, Queue
from .rows import Facts, Metadata, State
from .verdict import Verdict, verdict
from .watched import Rate, WatchedSource

ASK_AGAIN = 30.0
"""Seconds until the server is asked again about a document of which nobody knows whether it is stored."""


@dataclass(slots=True)
class Meter:
    """What all files together have come to in this process."""

    sent: int = 0
    ended: int = 0
    committing: int = 0
    memory_waited: float = 0.0
    reading: float = 0.0
    checksums: float = 0.0
    network: float = 0.0
    commit: float = 0.0


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
    meter: Meter = field(default_factory=Meter)


@dataclass(frozen=True, slots=True, kw_only=True)
class End:
    """How the work on a row ended."""

    verdict: Verdict | None = None
    """None: it is stored, or equal to what stands there, or no longer ours."""
    error: AsyncUploadError | None = None


class Notes:
    """Writes an upload's checkpoints into the queue, behind the fence."""

    def __init__(self, queue: Queue, claim: Claim, lease: float) -> None:
        self._queue = queue
        self._claim = claim
        self._lease = lease
        self.committed = claim.found is State.COMMITTING
        """Whether the row is COMMITTING."""

    @property
    def checked_out_before(self) -> bool:
        """What an earlier owner wrote down."""
        return self._claim.row.checked_out

    async def checking_out(self) -> None:
        """Before the request leaves: its reply can be lost."""
        await self._queue.note_checkout(self._claim, held=True)

    async def given_back(self) -> None:
        """Nothing is left of it."""
        await self._queue.note_checkout(self._claim, held=False)

    async def staging(self, handler: str) -> None:
        """Whoever comes after us deletes it."""
        await self._queue.note_handler(self._claim, handler)

    async def committing(self, commit: Commit) -> None:
        """Ask whether the row is still ours, and write down what is about to leave, in one step."""
        text = json.dumps(asdict(commit) | {"at": time.time()})
        await self._queue.committing(self._claim, text, lease=self._lease)
        self.committed = True


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

    async def run(self) -> End:
        """Bring the file, and write down how it ended.

        Raises:
            JournalError: It could not be written down: nothing more must be sent.

        On cancellation what was staged is deleted, the row is given back, and ``CancelledError`` goes on.
        """
        try:
            return await self._brought()
        except LeaseLost as lost:
            self._log.warning("row_lost", reason=str(lost))
            return End()
        except JournalError:
            raise
        except AsyncUploadError as error:
            return End(verdict=verdict(error), error=error)
        except BaseException:
            await undisturbed(self._give_back(), grace=self._client.settings.timeouts.cleanup)
            raise
        finally:
            self._note_commit(begins=False)

    async def _give_back(self) -> None:
        """On cancellation. A row that is COMMITTING stays so: whoever comes next asks the server."""
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
            if receipt is not None:
                await self._finish(receipt, "")
                return End()
            await self._queue.release(self._claim, reason="an earlier request to store it came to nothing")
            return End()
        await self._delete_left_handler()
        source = WatchedSource(
            PathSource(os.fsdecode(self._row.item.source)),
            self._bench.rate,
            hashed=self._options.sha256,
            threads=self._bench.hashing,
        )
        receipt = await self._sent_up(source)
        await self._finish(receipt, source.sha256)
        return End()

    async def _taken_up(self) -> Receipt | None:
        """What became of a request to store that an earlier owner wrote down."""
        facts: dict[str, Any] = json.loads(self._row.commit)
        at = float(facts.pop("at"))
        await self._queue.committing(self._claim, self._row.commit, lease=self._options.lease)
        self._notes.committed = True
        return await self._client.resume_commit(
            Commit(**facts),
            properties=self._properties(),
            checkpoints=self._notes,
            may_be_running=time.time() - at < self._client.settings.timeouts.finalize,
        )

    async def _delete_left_handler(self) -> None:
        if not self._row.handler:
            return
        try:
            await self._client.discard(self._row.handler)
        except ServerError as error:  # it removes it by itself, some day; without an answer the row keeps its name
            self._log.warning("handler_left", handler=self._row.handler, reason=str(error))

    async def _sent_up(self, source: WatchedSource) -> Receipt:
        item = self._row.item
        await self._bench.folders.ensure(item.destination.rpartition("/")[0])
        chunk_size = self._options.chunk_for(item.size)
        at_most = (self._client.settings.depth + 2) * chunk_size
        before = time.monotonic()
        async with self._bench.budget.share(at_most if item.size is None else min(item.size, at_most)):
            self._bench.meter.memory_waited += time.monotonic() - before
            return await self._client.upload(
                source,
                to=item.destination,
                if_exists=self._options.if_exists,
                version_comment=item.metadata.version_comment,
                properties=self._properties(),
                chunk_size=chunk_size,
                folder_exists=True,
                checkpoints=self._notes,
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
            self._claim, State.STORED if receipt.status == "stored" else State.UNCHANGED, facts=facts
        )
        meter, times = self._bench.meter, receipt.times
        meter.ended += 1
        meter.reading += times.reading
        meter.checksums += times.checksums
        meter.network += times.network
        meter.commit += times.commit


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


async def settle_end(bench: Bench, claim: Claim, end: End, *, counted: bool) -> None:
    """Write down what a row's failure means for it.

    Args:
        bench: What all share.
        claim: The row.
        end: How the work on it ended, with a verdict.
        counted: Whether the attempt was one of the file's own.
    """
    queue, options, reason = bench.queue, bench.options, f"{type(end.error).__name__}: {end.error}"
    attempts = claim.row.attempts + counted
    # A refusal is an answer. So is a document of other bytes: asked for again, it would pass for what was sent.
    answered = not claim.row.commit
    match end.verdict:
        case Verdict.SKIP:
            await queue.finish(claim, State.SKIPPED, reason=reason)
        case Verdict.ASK_LATER:
            await queue.renew([claim], lease=ASK_AGAIN)
        case Verdict.GIVE_UP:
            await queue.park(claim, reason, answered=answered)
        case _ if attempts >= options.attempts:
            await queue.park(claim, f"{reason} (attempt {attempts} of {options.attempts})", answered=answered)
        case _:
            wait = min(options.retry_after * 2.0 ** min(attempts, 20), 3600.0) if counted else 0.0
            await queue.release(claim, reason=reason, not_before=time.time() + wait, counted=counted)

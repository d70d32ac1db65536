"""A run of ``asyncupload bulk``: the loader at work, what is told of it meanwhile, and how it is stopped."""

import asyncio
import os
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Any, TypeVar

import anyio

from asyncupload._raised import raise_kept
from asyncupload.bulk import report
from asyncupload.bulk.disks import network_of
from asyncupload.bulk.ends import End
from asyncupload.bulk.journal import Journal
from asyncupload.bulk.ledger import Ledger
from asyncupload.bulk.loader import Loader
from asyncupload.bulk.progress import Progress
from asyncupload.bulk.rows import Row, State
from asyncupload.errors import AsyncUploadError, UsageError

from . import results, terminal
from .display import show
from .job import Job, make_default_folder, opened
from .running import WITHIN, Signals, run

T = TypeVar("T")

LEDGER_EVERY = 60.0
"""Seconds between two times that what is stored is written into the ledger."""

NAMED = 10
"""Files that are named at the end, of those that were not sent. JSON and the report have them all."""


def loaded(job: Job) -> int:
    """Send what is planned, and say how it ended; returns the exit code.

    Raises:
        AsyncUploadError: There can be no run, or it cannot go on.
        Interrupted: A signal came before the first file was begun.
    """
    if job.report is not None:
        report.require_usable(job.report)
    client = job.client()
    make_default_folder(job.journal)
    if kind := network_of(job.journal):
        terminal.warn(
            f"asyncupload: the journal {job.journal} is on a network file system ({kind}), where two machines can "
            "damage it; name one on a local disk by --journal"
        )

    signals = Signals()
    teller = _Teller(job)

    async def work() -> tuple[Progress, Exception | None, int]:
        async with opened(client, job.journal) as (journal, threads):
            await _note(job, journal)
            loader = Loader(client, journal, job.options, on_end=teller.tell, ready=lambda: not terminal.behind())
            stopping = _Stopping(loader, job.grace, signals)
            ledger = Ledger(job.ledger, journal) if job.ledger is not None else None
            if ledger is not None:
                await ledger.catch_up()  # before the plan says of a file that it is another one now
            last = await _accompanied(
                lambda: loader.run(
                    job.plan.items(threads), plan_first=job.plan.whole_first, left_out=job.plan.left_out
                ),
                lambda: show(loader, job.voice),
                lambda: _keep(ledger),
            )
            stopping.ended()
            await _tell_of_unsent(journal, job)
            if ledger is not None:
                await ledger.catch_up()
            if job.report is not None:
                await report.write(journal, job.report, progress=last)
            return last, loader.error, stopping.code

    last, error, stopped = run(work, signals)
    code = results.loaded(
        last, error, stopped, job.journal, job.voice, blocked=teller.blocked, incomplete=teller.incomplete
    )
    if stopped:
        # The regular end waits for threads, and one of them may read a list that nobody goes on with.
        terminal.end_now(code, within=terminal.STDERR_PATIENCE)
    return code


async def _note(job: Job, journal: Journal) -> None:
    """Write down what the journal is of.

    Raises:
        UsageError: It is another server's: what it says to be stored is not stored here.
    """
    plan, connection = job.plan, job.connection
    known = await journal.run()
    there = known.get("server", connection.server)
    if there.rstrip("/").casefold() != connection.server.rstrip("/").casefold():
        raise UsageError(
            f"the journal {job.journal} is of a load to {there}, and what is stored there is not stored on "
            f"{connection.server}: name another journal for it"
        )
    if not known and job.options.if_exists == "version":
        terminal.warn(
            f"asyncupload: the journal {job.journal} is new, and knows of no earlier run: every document that is there "
            "already gets another version; --if-exists skip leaves equal ones as they are"
        )
    await journal.note_run(
        server=connection.server, user=connection.user or "", source=plan.origin, destination=plan.destination
    )


async def _accompanied(
    work: Callable[[], Coroutine[Any, Any, T]], *beside: Callable[[], Coroutine[Any, Any, None]]
) -> T:
    """Do some work, and something else beside it for as long as it takes. An error comes out bare."""
    outcome: list[T] = []
    failure: Exception | None = None
    async with anyio.create_task_group() as group:
        for one in beside:
            group.start_soon(one)
        try:
            outcome.append(await work())
        except Exception as error:  # noqa: BLE001  (raised again where no group wraps it)
            failure = error
        group.cancel_scope.cancel()
    if failure is not None:
        raise_kept(failure)
    return outcome[0]


async def _keep(ledger: Ledger | None) -> None:
    """Write the ledger now and then. What it cannot write now is told at the end, and the files go on."""
    while ledger is not None:
        await anyio.sleep(LEDGER_EVERY)
        with suppress(AsyncUploadError):
            await ledger.catch_up()


class _Stopping:
    """The first signal lets the files in flight end, the second ends the process."""

    def __init__(self, loader: Loader, grace: float, signals: Signals) -> None:
        self._loader = loader
        self._grace = grace
        self._signals = signals
        self._last: asyncio.TimerHandle | None = None
        self.code = 0
        """What to exit with; 0 if nobody stopped it."""
        signals.react = self._come

    def _come(self, code: int) -> None:
        if self.code:
            # The journal's transactions are whole or not at all, so it is as good as after a power cut.
            terminal.warn("asyncupload: ended at once; the same command goes on from here")
            terminal.show_cursor()
            terminal.end_now(code)
        self.code = code
        self._last = self._signals.leave_after(self._grace + WITHIN)
        self._loader.stop(self._grace)
        terminal.warn(
            f"asyncupload: stopping; files in flight have {self._grace:.0f} s, and another Ctrl-C ends at once"
        )

    def ended(self) -> None:
        """The files in flight have: what is still to be written of a load may take its time."""
        if self._last is not None:
            self._last.cancel()


class _Teller:
    """Says of each file that it is stored, as soon as it is. Of others it is known at the end only: they are tried
    again, and what they left on the server is cleaned up then, or told in their reasons."""

    def __init__(self, job: Job) -> None:
        self._job = job
        self.blocked = 0
        """How many documents are stored and left checked out."""
        self.incomplete = 0
        """How many are stored without something that was asked for."""

    def tell(self, row: Row, end: End) -> None:
        """A row has ended, or was given back."""
        if end.receipt is None:
            return
        self.blocked += results.blocks(end.receipt.left)
        self.incomplete += bool(end.receipt.not_kept)
        if self._job.voice.json:
            terminal.tell({"source": os.fsdecode(row.item.source), **results.receipt(end.receipt)})
        results.tell_of_stored(end.receipt)


async def _tell_of_unsent(journal: Journal, job: Job) -> None:
    """Say of each file that is not on the server why; without JSON of the first few."""
    told = 0
    async for row in journal.rows([State.FAILED, State.SKIPPED]):
        told += 1
        item = row.item
        source = os.fsdecode(item.source)
        if job.voice.json:
            terminal.tell({"status": str(row.state), "source": source, "path": item.destination, "message": row.reason})
            await terminal.room()
        elif told <= NAMED:
            # Of one that could not be looked at, the name here says what is wrong.
            unseen = item.problem and item.size is None
            named = f"{source} → {item.destination}" if unseen and item.destination else item.destination
            terminal.warn(f"asyncupload: {row.state}: {named or source}: {row.reason}")
        else:
            terminal.warn("asyncupload: and more; --report names them all")
            return

"""Many files: takes rows from the queue, lets as many as is good be on their way, and sees each of them to its end."""

import os
import secrets
import socket
import time
from collections import deque
from collections.abc import AsyncIterator, Callable

import anyio
from anyio.abc import TaskGroup

from asyncupload._log import get_logger
from asyncupload.client import Client
from asyncupload.errors import AsyncUploadError, JournalError

from .budget import Budget
from .folders import Folders
from .gate import Gate
from .options import LoadOptions
from .pace import FILE, Pace
from .progress import Failure, Phase, Progress, Waits
from .queue import Claim, Queue
from .rows import Item, Row, State
from .verdict import Verdict
from .watched import Rate
from .work import Bench, End, Work, settle_end

LOOK = 1.0
"""Seconds between two looks at the pace and at what is due."""
CLAIM = 32
"""Rows that are claimed at once, at least, where there are as many: small files end faster than the disk syncs."""
FAILURES_SHOWN = 10


class Loader:
    """One process's part in a load. Several may work on one queue.

    Args:
        client: The server's, entered.
        queue: What is to be sent.
        options: The user's.
        on_end: Called with every row that this process has seen to an end, or given back after a failed attempt, and
            how it stands now.
    """

    def __init__(
        self,
        client: Client,
        queue: Queue,
        options: LoadOptions | None = None,
        *,
        on_end: Callable[[Row, End], object] = lambda *_: None,
    ) -> None:
        self._options = options or LoadOptions()
        self._client = client
        self._queue = queue
        self._bench = Bench(
            client=client,
            queue=queue,
            options=self._options,
            folders=Folders(client),
            budget=Budget(self._options.memory),
            rate=Rate(self._options.limit_rate),
            hashing=anyio.CapacityLimiter(client.settings.checksum_threads),
        )
        self._owner = f"{socket.gethostname()} {os.getpid()} {secrets.token_hex(4)}"
        self._pace = Pace(most=self._options.files)
        self._gate = Gate()
        self._hand = deque[Claim]()
        self._active: dict[int, tuple[Claim, anyio.CancelScope]] = {}
        self._changed = anyio.Event()
        self._planned = False
        self._stopping = False
        self._ended = False
        self._workers = anyio.CancelScope()
        self._began = time.monotonic()
        self._failures = deque[Failure](maxlen=FAILURES_SHOWN)
        self._on_end = on_end
        self._left_out: Callable[[], int] = lambda: 0
        self._log = get_logger(owner=self._owner)
        self.error: AsyncUploadError | None = None
        """What ended the load before all files were ended; None if nothing did."""

    async def run(
        self,
        plan: AsyncIterator[list[Item]] | None = None,
        *,
        plan_first: bool = False,
        left_out: Callable[[], int] = lambda: 0,
    ) -> Progress:
        """Send all that is planned, in the queue and by ``plan``.

        Args:
            plan: Batches of files to add to the queue. They are sent while it is read on.
            plan_first: Whether nothing is sent before the plan is read to its end, as with a list that may be wrong.
            left_out: How many files the plan has left out so far.

        Returns:
            How it ended. ``error`` says what ended it early, if anything did.

        Raises:
            UsageError: The plan is wrong.
            JournalError: The queue cannot be written: nothing more was sent.

        On cancellation the files in flight are given up, what they staged is deleted, their rows are given back, and
        ``CancelledError`` goes on.
        """
        self._left_out = left_out
        if plan is None:
            self._planned = True
        elif plan_first:
            await self._read(plan)
        async with anyio.create_task_group() as beside:
            if plan is not None and not plan_first:
                beside.start_soon(self._read_beside, plan)
            beside.start_soon(self._keep_leases)
            beside.start_soon(self._keep_pace)
            with self._workers:
                async with anyio.create_task_group() as workers:
                    await self._hand_out(workers)
            beside.cancel_scope.cancel()
        await self._put_back()
        self._ended = True
        if isinstance(self.error, JournalError):
            raise self.error
        return await self.progress()

    def stop(self, grace: float) -> None:
        """Begin no new file. Those in flight are given up after ``grace`` seconds."""
        self._stopping = True
        self._workers.deadline = min(self._workers.deadline, anyio.current_time() + grace)
        self._change()

    async def progress(self) -> Progress:
        """How far it is."""
        meter, rate = self._bench.meter, self._bench.rate
        return Progress(
            phase=self._phase(),
            pause=self._gate.reason if self._gate.ajar else "",
            counts=await self._queue.counts(),
            sending=len(self._active),
            committing=meter.committing,
            limit=self._allowed(),
            sent=meter.sent,
            left_out=self._left_out(),
            seconds=time.monotonic() - self._began,
            waits=Waits(
                reading=max(0.0, meter.reading - rate.waited),
                checksums=meter.checksums,
                network=meter.network,
                commit=meter.commit,
                rate_limit=rate.waited,
                memory=meter.memory_waited,
            ),
            failures=tuple(self._failures),
        )

    def _phase(self) -> Phase:
        if self._ended:
            return Phase.ENDED
        if self._stopping:
            return Phase.STOPPING
        if self._gate.ajar:
            return Phase.PAUSED
        return Phase.SENDING if self._planned else Phase.PLANNING

    # ── planning ──

    async def _read(self, plan: AsyncIterator[list[Item]]) -> None:
        reading = await self._queue.begin_plan()
        async for items in plan:
            await self._queue.add(items, reading)
            self._change()
        await self._queue.end_plan(reading)
        self._planned = True
        self._change()

    async def _read_beside(self, plan: AsyncIterator[list[Item]]) -> None:
        try:
            await self._read(plan)
        except AsyncUploadError as error:
            self._end_early(error)

    # ── handing out ──

    async def _hand_out(self, workers: TaskGroup) -> None:
        """Start work until there is no more, or no more is wanted."""
        while not self._stopping:
            self._changed = anyio.Event()
            if len(self._active) >= self._allowed():
                await self._wait(LOOK)
            elif claim := await self._next():
                scope = anyio.CancelScope()
                self._active[claim.row.id] = (claim, scope)
                workers.start_soon(self._work, claim, scope)
            elif not await self._wait_for_more():
                return

    def _allowed(self) -> int:
        return self._gate.allowed(self._pace.limit, time.monotonic())

    async def _next(self) -> Claim | None:
        if not self._hand:
            try:
                wanted = max(self._allowed() - len(self._active), CLAIM) if not self._gate.ajar else 1
                self._hand.extend(await self._queue.claim(self._owner, wanted, lease=self._options.lease))
            except JournalError as error:
                self._end_early(error)
        return self._hand.popleft() if self._hand else None

    async def _wait_for_more(self) -> bool:
        """Wait until something may have become due. False if nothing can."""
        try:
            due = await self._queue.due()
        except JournalError as error:
            self._end_early(error)
            return False
        if due is None and self._planned and not self._active:
            return False
        await self._wait(LOOK if due is None else max(0.02, min(LOOK, due - time.time())))
        return True

    async def _wait(self, seconds: float) -> None:
        with anyio.move_on_after(seconds):
            await self._changed.wait()

    def _change(self) -> None:
        self._changed.set()

    async def _put_back(self) -> None:
        """Rows that were claimed and not begun."""
        claims, self._hand = list(self._hand), deque()
        try:
            for claim in claims:
                if claim.found is State.PLANNED:
                    await self._queue.release(claim, reason="")
            await self._queue.let_go([claim for claim in claims if claim.found is not State.PLANNED])
        except AsyncUploadError as error:  # their leases end by themselves
            self._log.warning("rows_not_given_back", reason=str(error))

    # ── working ──

    async def _work(self, claim: Claim, scope: anyio.CancelScope) -> None:
        try:
            with scope:
                end = await Work(self._bench, claim).run()
                await self._judge(claim, end)
                self._on_end(claim.row, end)
        except JournalError as error:
            self._end_early(error)
        finally:
            del self._active[claim.row.id]
            self._change()

    async def _judge(self, claim: Claim, end: End) -> None:
        if end.verdict is None or end.error is None:
            self._gate = self._gate.success()
            return
        item = claim.row.item
        self._failures.append(Failure(source=item.source, destination=item.destination, reason=str(end.error)))
        self._log.info("row_failed", row=claim.row.id, verdict=end.verdict.name, reason=str(end.error))
        counted = end.verdict is not Verdict.STOP
        if end.verdict is Verdict.TROUBLE:
            counted = not await self._in_trouble(end.error)
        if end.verdict is Verdict.STOP:
            self._end_early(end.error)
        try:
            await settle_end(self._bench, claim, end, counted=counted)
        except AsyncUploadError as error:
            if isinstance(error, JournalError):
                raise
            self._log.warning("row_lost", row=claim.row.id, reason=str(error))

    async def _in_trouble(self, error: AsyncUploadError) -> bool:
        """Whether it is the server's trouble, and not that of one file."""
        try:
            await self._client.ping()
            answering = True
        except AsyncUploadError:
            answering = False
        now = time.monotonic()
        self._gate = self._gate.trouble(str(error), now, answering=answering)
        if self._gate.hopeless(now, self._options.give_up_after):
            self._end_early(error)
        return self._gate.ajar

    def _end_early(self, error: AsyncUploadError) -> None:
        if self.error is None:
            self.error = error
        self._log.error("load_ended_early", reason=str(error))
        self.stop(0.0 if isinstance(error, JournalError) else self._client.settings.timeouts.cleanup)

    # ── beside ──

    async def _keep_leases(self) -> None:
        """As long as this process is alive, what it has begun is its own."""
        while True:
            await anyio.sleep(self._options.lease / 3)
            working = [claim for claim, _ in self._active.values()]
            claims = [*working, *self._hand]
            try:
                ours = await self._queue.renew(claims, lease=self._options.lease)
            except JournalError as error:
                self._end_early(error)
                return
            for claim, scope in list(self._active.values()):
                if claim in working and claim.row.id not in ours:
                    scope.cancel()
            self._hand = deque(claim for claim in self._hand if claim.row.id in ours or claim not in claims)

    async def _keep_pace(self) -> None:
        meter = self._bench.meter
        sent, ended, congestion = meter.sent, meter.ended, self._client.congestion
        while True:
            await anyio.sleep(LOOK)
            work = (meter.sent - sent + (meter.ended - ended) * FILE) / LOOK
            before, self._pace = (
                self._pace,
                self._pace.after(
                    work=work,
                    congested=self._client.congestion > congestion,
                    busy=len(self._active) >= self._pace.limit,
                ),
            )
            if self._pace.limit != before.limit:
                self._log.debug("pace", files=self._pace.limit)
            sent, ended, congestion = meter.sent, meter.ended, self._client.congestion
            self._change()

"""Many files: takes rows from the queue, lets as many as is good be on their way, and sees each of them to its end."""

import asyncio
import math
import time
from collections import deque
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from dataclasses import replace

import anyio
import anyio.to_thread
from anyio.abc import TaskGroup

from asyncupload._budget import Budget
from asyncupload._log import get_logger
from asyncupload._raised import raise_kept
from asyncupload._shield import undisturbed
from asyncupload._unharmed import unharmed
from asyncupload.client import Client
from asyncupload.errors import AsyncUploadError, JournalError, LeaseLost, SourceError

from .bank import Bank
from .batches import Pause
from .begun import note_begun
from .ends import End, settle_end
from .folders import Folders
from .gate import Gate
from .learned import Learned
from .options import LoadOptions
from .owners import ourselves
from .pace import FILE, Pace
from .progress import Failure, Phase, Progress, Waits
from .queue import Claim, Queue
from .rows import Item, Row, State
from .tidying import give_back_left
from .verdict import Verdict, blames_nobody, stops
from .watched import Rate
from .work import Bench, Work

LOOK = 1.0
"""Seconds between two looks at the pace and at what is due."""
LAST_WAIT = 300.0
"""Seconds until a file is due that a load with nothing else to do still waits for, or those that the server has to end
with a request. If there is more to wait for it ends, and says what is left: the same command again goes on."""
CLAIM = 32
"""Rows that are claimed at once, at least, where there are as many: small files end faster than the disk syncs."""
FAILURES_SHOWN = 10


class Loader:
    """One process's part in a load. Several may work on one queue. To be made in the event loop, and run once.

    Args:
        client: The server's, entered.
        queue: What is to be sent.
        options: The user's.
        on_end: Called with every row that this process has seen to an end, or given back after a failed attempt, and
            how it stands now.
        ready: Asked before a row is begun: whether ``on_end`` could say more. Those in flight go on.
    """

    def __init__(
        self,
        client: Client,
        queue: Queue,
        options: LoadOptions | None = None,
        *,
        on_end: Callable[[Row, End], object] = lambda *_: None,
        ready: Callable[[], bool] = lambda: True,
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
        self._owner = ""
        self._learned = Learned(queue, client)
        self._pace = Pace(most=self._options.files)
        self._gate = Gate()
        self._bank = Bank(self._options.give_up_after, self._bench.meter.waited)
        self._hand = deque[Claim]()
        self._active: dict[tuple[int, int], tuple[Claim, anyio.CancelScope]] = {}
        """By row and fence: one whose lease ended unseen, as on a machine that slept, can be claimed a second time."""
        self._changed = anyio.Event()
        self._planned = False
        self._stopping = False
        self._ended = False
        self._beginning = anyio.CancelScope()
        self._reading = anyio.CancelScope()
        self._workers = anyio.CancelScope()
        self._began = time.monotonic()
        self._failures = deque[Failure](maxlen=FAILURES_SHOWN)
        self._on_end = on_end
        self._ready = ready
        self._left_out: Callable[[], int] = lambda: 0
        self._log = get_logger()
        self.error: Exception | None = None
        """What ended the load before all files were ended; None if nothing did."""
        self._raised: Exception | None = None

    async def run(
        self,
        plan: AsyncGenerator[list[Item], None] | None = None,
        *,
        plan_first: bool = False,
        left_out: Callable[[], int] = lambda: 0,
    ) -> Progress:
        """Send all that is planned, in the queue and by ``plan``.

        Args:
            plan: Batches of files to add to the queue. They are sent while it is read on. It is closed at the end.
            plan_first: Whether nothing is sent before the plan is read to its end, as with a list that may be wrong.
            left_out: How many files the plan has left out so far.

        Returns:
            How it ended, when all rows have, or none is due soon (see LAST_WAIT), or `stop` was called, or ``error``
            ended it early.

        Raises:
            JournalError: The queue cannot be read or written: nothing more was sent.
            Exception: What the plan raised, as UsageError if it is wrong. The files in flight were ended first.

        On cancellation the files in flight are given up, what they staged is deleted, their rows are given back, and
        ``CancelledError`` goes on.
        """
        self._left_out = left_out
        self._planned = plan is None
        self._owner = await anyio.to_thread.run_sync(ourselves)
        self._log = get_logger(owner=self._owner)
        try:
            if plan is not None and plan_first:
                await self._read(plan)
            with self._beginning:
                await self._learned.recall()
                self._bench = replace(self._bench, since=await note_begun(self._queue, self._client))
                await give_back_left(self._queue, self._client)
            async with anyio.create_task_group() as beside:
                if plan is not None and not plan_first:
                    beside.start_soon(self._read, plan)
                beside.start_soon(self._keep_leases)
                beside.start_soon(self._keep_pace)
                with self._workers:
                    async with anyio.create_task_group() as workers:
                        await self._hand_out(workers)
                beside.cancel_scope.cancel()
        finally:
            await undisturbed(self._put_back(), grace=self._client.settings.timeouts.cleanup)
            self._bank.leave()
            self._ended = True
        if self._raised is not None:
            raise_kept(self._raised)
        return await self.progress()

    def stop(self, grace: float) -> None:
        """Begin no new file, and read no further in the plan. Those in flight are given up after ``grace`` seconds."""
        self._stopping = True
        self._beginning.cancel()
        self._reading.cancel()
        # Of the loop itself, since a signal's handler runs in no task: anyio would not know where it is.
        self._workers.deadline = min(self._workers.deadline, asyncio.get_running_loop().time() + grace)
        self._change()

    async def progress(self) -> Progress:
        """How far it is."""
        meter, rate = self._bench.meter, self._bench.rate
        return Progress(
            phase=self._phase(),
            pause=self._pause(),
            counts=await self._queue.counts(),
            sending=len(self._active),
            committing=meter.committing,
            limit=self._allowed(),
            sent=meter.sent,
            left_out=self._left_out(),
            seconds=time.monotonic() - self._began,
            waits=Waits(
                **meter.waited | {"reading": max(0.0, meter.waited["reading"] - rate.waited), "rate_limit": rate.waited}
            ),
            failures=tuple(self._failures),
        )

    def _pause(self) -> str:
        return next((one.reason or "trouble" for one in (self._gate, self._bank.gate) if one.ajar), "")

    def _phase(self) -> Phase:
        if self._ended:
            return Phase.ENDED
        if self._stopping:
            return Phase.STOPPING
        if self._pause():
            return Phase.PAUSED
        return Phase.SENDING if self._planned else Phase.PLANNING

    # ── planning ──

    async def _read(self, plan: AsyncGenerator[list[Item], None]) -> None:
        try:
            with self._reading:
                reading = await self._queue.begin_plan()
                async with aclosing(plan):
                    whole = await self._add_all(plan, reading)
                if whole:
                    await self._queue.end_plan(reading)
                self._planned = True
        except Exception as error:  # noqa: BLE001  (whatever a plan raises is raised when the files in flight are ended)
            self._raised = self._raised or error
            self._end_early(error)
        self._change()

    async def _add_all(self, plan: AsyncGenerator[list[Item], None], reading: int) -> bool:
        """Whether that was all of it: a mount point without its mount is no reason to forget anything."""
        pause: Pause | None = None
        async for items in plan:
            if isinstance(items, Pause):
                pause = items
                await self._bank.wait(pause)
                if self._bank.hopeless:
                    self._end_early(pause.error)
                continue
            if pause is not None:
                self._bank.opened()
            pause = None
            await self._queue.add(items, reading)
            self._change()
        return pause is None or not pause.last

    # ── handing out ──

    async def _hand_out(self, workers: TaskGroup) -> None:
        """Start work until there is no more, or no more is wanted."""
        while not self._stopping:
            self._changed = anyio.Event()
            if len(self._active) >= self._allowed() or not self._ready():
                await self._wait(LOOK)
            elif claim := await self._next():
                self._begin(claim, workers)
            elif not await self._wait_for_more():
                return

    def _begin(self, claim: Claim, workers: TaskGroup) -> None:
        for (row, _), (_, scope) in self._active.items():
            if row == claim.row.id:  # its lease has ended unseen: what it still writes would be refused
                scope.cancel()
        scope = anyio.CancelScope()
        self._active[claim.row.id, claim.fence] = (claim, scope)
        workers.start_soon(self._work, claim, scope)

    def _allowed(self) -> int:
        now = time.monotonic()
        return self._bank.gate.allowed(self._gate.allowed(self._pace.limit, now), now)

    async def _next(self) -> Claim | None:
        if not self._hand:
            try:
                wanted = 1 if self._pause() else max(self._allowed() - len(self._active), CLAIM)
                self._hand.extend(await self._queue.claim(self._owner, wanted, lease=self._options.lease))
                await self._bank.learn([claim.row.item.source for claim in self._hand])
            except JournalError as error:
                self._end_early(error)
        return self._hand.popleft() if self._hand and not self._stopping else None

    async def _wait_for_more(self) -> bool:
        """Wait until something may have become due. False if nothing can soon."""
        try:
            due = await self._queue.due()
        except JournalError as error:
            self._end_early(error)
            return False
        left = math.inf if due is None else due - time.time()
        worth = max(LAST_WAIT, self._client.settings.timeouts.finalize + LOOK)
        if self._planned and not self._active and left > worth:
            return False
        await self._wait(max(0.02, min(LOOK, left)))
        return True

    async def _wait(self, seconds: float) -> None:
        with anyio.move_on_after(seconds):
            await self._changed.wait()

    def _change(self) -> None:
        self._changed.set()

    async def _put_back(self) -> None:
        """Rows that were claimed and not begun."""
        claims, self._hand = list(self._hand), deque()
        for claim in claims:
            try:
                # To release a row is to say that no document is there: one with a question stays for the next owner.
                if claim.found is State.PLANNED and not claim.row.commit:
                    await self._queue.release(claim, reason=claim.row.reason)
                else:
                    await self._queue.let_go([claim])
            except AsyncUploadError as error:  # its lease ends by itself
                self._log.warning("row_not_given_back", row=claim.row.id, reason=str(error))

    # ── working ──

    async def _work(self, claim: Claim, scope: anyio.CancelScope) -> None:
        try:
            with scope:
                end = await Work(self._bench, claim).run()
                await self._judge(claim, end)
                await self._learned.note()
                with unharmed(lambda _: self._log.warning("listener_failed", exc_info=True)):
                    self._on_end(claim.row, end)
        except LeaseLost as lost:
            self._log.warning("row_lost", row=claim.row.id, reason=str(lost))
        except JournalError as error:
            self._end_early(error)
        finally:
            del self._active[claim.row.id, claim.fence]
            self._change()

    async def _judge(self, claim: Claim, end: End) -> None:
        if end.verdict is None or end.error is None:
            self._gate = self._gate.success()
            await self._bank.read(claim.row.item.source)
            return
        item, error = claim.row.item, end.error
        self._failures.append(Failure(source=item.source, destination=item.destination, reason=str(error)))
        self._log.info("row_failed", row=claim.row.id, verdict=end.verdict.name, reason=str(error))
        if end.verdict is Verdict.STOP:
            self._end_early(error)
        counted = end.verdict is not Verdict.STOP
        try:
            if isinstance(error, SourceError) and end.verdict is not Verdict.SKIP:
                end, counted = await self._unread(claim, end, error)
            elif end.verdict in {Verdict.TROUBLE, Verdict.ASK_LATER}:
                counted = False
                counted = await self._in_trouble(error)
        finally:
            # Also if a cancellation ends the question: the row must not stay claimed.
            timeouts = self._client.settings.timeouts
            written = settle_end(self._queue, self._options, claim, end, counted=counted, finalize=timeouts.finalize)
            await undisturbed(written, grace=timeouts.cleanup)

    async def _unread(self, claim: Claim, end: End, error: SourceError) -> tuple[End, bool]:
        """How it ended, by whose trouble it is that the file could not be read; whether that counts as its attempt."""
        told = await self._bank.judge(claim.row.item.source, error)
        if self._bank.hopeless:
            self._end_early(error)
        return replace(end, verdict=told.verdict or end.verdict, wait=told.wait), told.counted

    async def _in_trouble(self, error: Exception) -> bool:
        """Whether the trouble may be this file's, and counts as its attempt: the server was reached, and answers.

        Three in trouble one after another close the gate all the same, as with a disk that is full; what they lose by
        it is one of their attempts.
        """
        answering = True
        try:
            await self._client.ping()
        except AsyncUploadError as refusal:
            answering = False
            if stops(refusal):
                self._end_early(refusal)
        now, before = time.monotonic(), self._gate
        self._gate = before.trouble(str(error), now, answering=answering)
        # Counted when it begins: a file that is stored meanwhile does not shorten it.
        self._bench.meter.waited["pauses"] += max(0.0, self._gate.closed_until - max(now, before.closed_until))
        if self._gate.hopeless(now, self._options.give_up_after):
            self._end_early(error)
        return answering and not blames_nobody(error)

    def _end_early(self, error: Exception) -> None:
        if isinstance(error, JournalError):
            self._raised = self._raised or error
        if self.error is None:
            self.error = error
        self._log.error("load_ended_early", reason=str(error))
        self.stop(0.0 if isinstance(error, JournalError) else self._client.settings.timeouts.cleanup)

    # ── beside ──

    async def _keep_leases(self) -> None:
        """As long as this process is alive, what it has begun is its own."""
        while True:
            await anyio.sleep(self._options.lease / 3)
            working, waiting = dict(self._active), list(self._hand)
            claims = [*(claim for claim, _ in working.values()), *waiting]
            try:
                ours = await self._queue.renew(claims, lease=self._options.lease)
            except JournalError as error:
                self._end_early(error)
                return
            for key, (claim, scope) in working.items():
                if key in self._active and claim.row.id not in ours:
                    scope.cancel()
            lost = {(claim.row.id, claim.fence) for claim in waiting if claim.row.id not in ours}
            self._hand = deque(claim for claim in self._hand if (claim.row.id, claim.fence) not in lost)

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

"""Work that runs to its end however its caller is cancelled, and is not allowed to take for ever."""

import asyncio
import gc
from collections.abc import AsyncIterator
from typing import Any

import anyio
import pytest

from asyncupload._shield import ended, undisturbed

pytestmark = pytest.mark.anyio

LONG = 30.0
"""Seconds of grace that no test here uses up."""


class Work:
    """Waits for a sign, and notes how it ended."""

    def __init__(self, error: Exception | None = None) -> None:
        self.begun = asyncio.Event()
        self.sign = asyncio.Event()
        self.ended: str | None = None
        self._error = error

    async def run(self) -> str:
        self.begun.set()
        try:
            await self.sign.wait()
        except asyncio.CancelledError:
            self.ended = "cancelled"
            raise
        self.ended = "whole"
        if self._error is not None:
            raise self._error
        return "result"


@pytest.fixture(autouse=True)
async def complaints() -> AsyncIterator[list[str]]:
    """What asyncio has to complain of, such as an exception that nobody looked at: nothing, after any test."""
    heard: list[str] = []

    def hear(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        heard.append(str(context["message"]))

    loop = asyncio.get_running_loop()
    loop.set_exception_handler(hear)
    yield heard
    gc.collect()
    await asyncio.sleep(0)
    loop.set_exception_handler(None)
    assert heard == []
    others = asyncio.all_tasks() - {asyncio.current_task()}
    assert [task for task in others if "TestRunner" not in repr(task.get_coro())] == []


async def test_the_result_comes_back() -> None:
    work = Work()
    work.sign.set()

    assert await undisturbed(work.run(), grace=LONG) == "result"


async def test_the_error_comes_back_as_it_is() -> None:
    error = LookupError("x")
    work = Work(error)
    work.sign.set()

    with pytest.raises(LookupError) as caught:
        await undisturbed(work.run(), grace=LONG)

    assert caught.value is error


async def test_work_without_any_wait_is_done() -> None:
    async def at_once() -> int:
        return 7

    assert await undisturbed(at_once(), grace=0.0) == 7


@pytest.mark.parametrize("times", [1, 2, 5])
async def test_cancelled_natively_however_often_the_work_ends_first(times: int) -> None:
    work = Work()
    task = asyncio.ensure_future(undisturbed(work.run(), grace=LONG))
    await work.begun.wait()

    for _ in range(times):
        task.cancel()
        await anyio.wait_all_tasks_blocked()
        assert not task.done()
        assert work.ended is None
    work.sign.set()

    with pytest.raises(asyncio.CancelledError):
        await task
    assert task.cancelled()
    assert work.ended == "whole"


async def test_cancelled_before_it_could_begin_the_work_is_done_all_the_same() -> None:
    """A task that is cancelled before its first step never runs; one that is cancelled on the way here does."""
    work = Work()

    async def on_the_way() -> str:
        current = asyncio.current_task()
        assert current is not None
        current.cancel()
        return await undisturbed(work.run(), grace=LONG)

    task = asyncio.ensure_future(on_the_way())
    await work.begun.wait()
    work.sign.set()

    with pytest.raises(asyncio.CancelledError):
        await task
    assert work.ended == "whole"


async def test_cancelled_by_a_scope_the_work_ends_first() -> None:
    work = Work()

    async def in_scope(scope: anyio.CancelScope) -> None:
        with scope:
            await undisturbed(work.run(), grace=LONG)
            pytest.fail("the cancellation did not go on")

    scope = anyio.CancelScope()
    task = asyncio.ensure_future(in_scope(scope))
    await work.begun.wait()
    scope.cancel()
    await anyio.sleep(0.01)  # a scope cancels again and again, in every turn of the loop
    assert not task.done()
    assert work.ended is None
    work.sign.set()
    await task

    outcome: str | None = work.ended
    assert outcome == "whole"
    assert scope.cancelled_caught


async def test_in_a_scope_that_is_cancelled_already_the_work_is_done() -> None:
    """Cleaning up begins there: something was cancelled, and therefore there is something to clean up."""
    done = []

    async def clean_up() -> None:
        await anyio.sleep(0.01)
        done.append("clean")

    with anyio.CancelScope() as scope:
        scope.cancel()
        await undisturbed(clean_up(), grace=LONG)

    assert done == ["clean"]
    assert scope.cancelled_caught


async def test_cancelled_by_both_kinds_at_once() -> None:
    work = Work()

    async def in_scope(scope: anyio.CancelScope) -> None:
        with scope:
            await undisturbed(work.run(), grace=LONG)

    scope = anyio.CancelScope()
    task = asyncio.ensure_future(in_scope(scope))
    await work.begun.wait()
    scope.cancel()
    await anyio.wait_all_tasks_blocked()
    task.cancel()
    await anyio.wait_all_tasks_blocked()
    assert not task.done()
    work.sign.set()
    await asyncio.wait({task})

    assert work.ended == "whole"


async def test_a_timeout_waits_for_the_work_and_is_a_timeout_still() -> None:
    work = Work()

    async def sign_later() -> None:
        while work.ended is None:
            await anyio.sleep(0.03)
            work.sign.set()

    signs = asyncio.ensure_future(sign_later())
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            await undisturbed(work.run(), grace=LONG)
    await signs

    assert work.ended == "whole"
    current = asyncio.current_task()
    assert current is not None
    assert current.cancelling() == 0


async def test_the_outcome_of_work_is_dropped_when_the_caller_is_cancelled() -> None:
    """And looked at: the fixture sees asyncio's complaint of an exception that was never retrieved."""
    work = Work(LookupError("dropped"))
    task = asyncio.ensure_future(undisturbed(work.run(), grace=LONG))
    await work.begun.wait()
    task.cancel()
    await anyio.wait_all_tasks_blocked()
    work.sign.set()

    with pytest.raises(asyncio.CancelledError):
        await task
    assert work.ended == "whole"


async def test_when_grace_runs_out_the_work_is_cancelled_too() -> None:
    work = Work()
    task = asyncio.ensure_future(undisturbed(work.run(), grace=0.02))
    await work.begun.wait()
    task.cancel()

    with pytest.raises(asyncio.CancelledError), anyio.fail_after(LONG):
        await task
    assert work.ended == "cancelled"


async def test_before_the_first_cancellation_there_is_no_deadline() -> None:
    work = Work()
    task = asyncio.ensure_future(undisturbed(work.run(), grace=0.0))
    await anyio.sleep(0.15)  # longer than the steps in which the waiting is done
    assert work.ended is None
    work.sign.set()

    assert await task == "result"


async def test_work_that_does_not_listen_is_told_again() -> None:
    told = []

    async def stubborn() -> None:
        for _ in range(2):
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                told.append("once more")
        await asyncio.Event().wait()

    task = asyncio.ensure_future(undisturbed(stubborn(), grace=0.0))
    await anyio.wait_all_tasks_blocked()
    task.cancel()

    with pytest.raises(asyncio.CancelledError), anyio.fail_after(LONG):
        await task
    assert told == ["once more"] * 2


async def test_work_that_ends_itself_by_cancellation_is_no_result() -> None:
    async def gives_up() -> None:
        raise asyncio.CancelledError

    with pytest.raises(asyncio.CancelledError):
        await undisturbed(gives_up(), grace=LONG)


async def test_what_is_to_end_is_cancelled_once_and_waited_for() -> None:
    """Also by one who is cancelled again and again meanwhile, and by one whose scope is cancelled already."""
    begun, sign, told = asyncio.Event(), asyncio.Event(), list[str]()

    async def slow_to_end() -> None:
        begun.set()
        try:
            await asyncio.sleep(LONG)
        finally:
            await sign.wait()
            told.append("ended")

    task = asyncio.ensure_future(slow_to_end())
    await begun.wait()
    with anyio.CancelScope() as scope:
        scope.cancel()
        waiting = asyncio.ensure_future(ended(task))
        for _ in range(3):
            with anyio.CancelScope(shield=True):
                await asyncio.sleep(0)
            waiting.cancel()
        with anyio.CancelScope(shield=True):
            await asyncio.sleep(0)
            assert not waiting.done()
            sign.set()
            with pytest.raises(asyncio.CancelledError):
                await waiting
    assert told == ["ended"]


async def test_the_error_of_what_ended_anyway_is_nobodys() -> None:
    async def failing() -> None:
        raise LookupError

    task = asyncio.ensure_future(failing())
    await asyncio.sleep(0)
    await ended(task)
    await ended(task)


async def test_what_outlives_its_grace_is_cancelled_until_it_gives_in() -> None:
    cancelled = 0

    async def stubborn() -> None:
        nonlocal cancelled
        while cancelled < 4:
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                cancelled += 1

    async def obedient() -> None:
        await asyncio.Event().wait()

    tasks = [asyncio.ensure_future(stubborn()), asyncio.ensure_future(obedient())]
    await asyncio.sleep(0)
    with anyio.fail_after(10):
        await ended(*tasks, grace=0.01)

    assert all(task.done() for task in tasks)
    assert cancelled == 4


async def test_within_its_grace_nothing_is_cancelled_twice() -> None:
    """What a source awaits in its cleaning up must not be torn again."""
    cleaned = False

    async def cleaning_up() -> None:
        nonlocal cleaned
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0.3)
            cleaned = True

    task = asyncio.ensure_future(cleaning_up())
    await asyncio.sleep(0)
    await ended(task, grace=LONG)

    assert cleaned

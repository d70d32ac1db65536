"""A plan at work in threads: some rows at a time, and an end on every way out."""

import asyncio
import inspect
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asyncupload.bulk import batches as room
from asyncupload.bulk.batches import BATCH, Steps, batches
from asyncupload.bulk.rows import Item

pytestmark = pytest.mark.anyio


@pytest.fixture
def threads() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(1) as executor:
        yield executor


def row(number: int) -> Item:
    return Item(source=b"%d" % number, destination=f"/F/{number}", size=1, mtime_ns=0)


@settings(max_examples=20, deadline=None)
@given(st.lists(st.tuples(st.booleans(), st.integers(1, BATCH)), max_size=6))
def test_all_rows_come_in_order_and_no_batch_is_empty(runs: list[tuple[bool, int]]) -> None:
    wanted = [good for good, length in runs for _ in range(length)]

    def steps() -> Steps:
        yield from (row(number) if good else None for number, good in enumerate(wanted))

    async def gathered() -> list[list[Item]]:
        with ThreadPoolExecutor(1) as threads:
            return [batch async for batch in batches(steps(), threads)]

    found = asyncio.run(gathered())

    assert [item for batch in found for item in batch] == [row(number) for number, good in enumerate(wanted) if good]
    assert all(1 <= len(batch) <= BATCH for batch in found)


async def test_the_loop_goes_on_while_a_visit_waits(threads: ThreadPoolExecutor) -> None:
    go, began = threading.Event(), threading.Event()

    def steps() -> Steps:
        began.set()
        go.wait(30)
        yield row(1)

    found = asyncio.ensure_future(anext(batches(steps(), threads)))
    while not began.is_set():  # noqa: ASYNC110  (this is the loop going on)
        await asyncio.sleep(0)
    go.set()

    assert await found == [row(1)]


async def test_an_error_of_the_plan_comes_out_bare(threads: ThreadPoolExecutor) -> None:
    def steps() -> Steps:
        yield row(1)
        raise LookupError("broken")

    with pytest.raises(LookupError, match="broken"):
        _ = [batch async for batch in batches(steps(), threads)]


async def test_a_cancelled_visit_ends_before_the_plan_is_closed(threads: ThreadPoolExecutor) -> None:
    go, began, order = threading.Event(), threading.Event(), list[str]()

    def steps() -> Steps:
        try:
            began.set()
            go.wait(30)
            order.append("visited")
            yield row(1)
        finally:
            order.append("closed")

    found = asyncio.ensure_future(anext(batches(steps(), threads)))
    while not began.is_set():  # noqa: ASYNC110
        await asyncio.sleep(0)
    found.cancel()
    asyncio.get_running_loop().call_soon(go.set)
    with pytest.raises(asyncio.CancelledError):
        await found

    assert order == ["visited", "closed"]


async def test_a_visit_that_does_not_end_is_not_waited_for(
    threads: ThreadPoolExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A network share that has gone away: the thread is stuck, and the cancellation is not."""
    monkeypatch.setattr(room, "GRACE", 0.0)
    go, began = threading.Event(), threading.Event()

    def steps() -> Steps:
        began.set()
        go.wait(30)
        yield row(1)

    plan = steps()
    found = asyncio.ensure_future(anext(batches(plan, threads)))
    while not began.is_set():  # noqa: ASYNC110
        await asyncio.sleep(0)
    found.cancel()
    with pytest.raises(asyncio.CancelledError):
        await found

    assert inspect.getgeneratorstate(plan) == inspect.GEN_RUNNING
    go.set()

"""The byte budget: never more than there is, in the order of asking, given back whatever happens."""

import asyncio

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asyncupload._budget import Budget

pytestmark = pytest.mark.anyio

SIZE = 100


class Holders:
    """Files that want a share. Each holds it until it is told to let go."""

    def __init__(self) -> None:
        self.budget = Budget(SIZE)
        self.held = dict[int, int]()
        self.order = list[int]()
        self.tasks = dict[int, asyncio.Task[None]]()
        self.leave = dict[int, asyncio.Event]()

    def ask(self, number: int, amount: int) -> None:
        self.leave[number] = asyncio.Event()
        self.tasks[number] = asyncio.ensure_future(self._hold(number, amount))

    async def _hold(self, number: int, amount: int) -> None:
        async with self.budget.share(amount):
            self.held[number] = min(amount, SIZE)
            self.order.append(number)
            assert sum(self.held.values()) <= SIZE
            try:
                await self.leave[number].wait()
            finally:
                del self.held[number]

    async def settle(self) -> None:
        for _ in range(4):
            await asyncio.sleep(0)

    async def all_end(self) -> None:
        for _ in range(len(self.tasks) + 1):
            for event in self.leave.values():
                event.set()
            await self.settle()
        await asyncio.gather(*self.tasks.values(), return_exceptions=True)


STEPS = st.lists(
    st.one_of(st.integers(0, 150), st.tuples(st.sampled_from(["leave", "cancel"]), st.integers(0, 20))), max_size=40
)


@given(STEPS)
@settings(max_examples=60, deadline=None)
def test_never_over_in_order_and_all_given_back(steps: list[int | tuple[str, int]]) -> None:
    async def play() -> None:
        holders, cancelled = Holders(), set[int]()
        for step in steps:
            if isinstance(step, int):
                holders.ask(len(holders.tasks), step)
            elif step[1] in holders.tasks and step[0] == "leave":
                holders.leave[step[1]].set()
            elif step[1] in holders.tasks:
                holders.tasks[step[1]].cancel()
                cancelled.add(step[1])
            if not isinstance(step, int) or step % 2:  # some follow at once, some after a turn of the loop
                await holders.settle()
        await holders.all_end()
        assert holders.order == sorted(holders.order)
        assert set(holders.order) >= set(holders.tasks) - cancelled, "somebody was never served"
        async with holders.budget.share(SIZE):  # all of it is there again, or this waits for ever
            pass

    asyncio.run(asyncio.wait_for(play(), 20))


async def test_a_large_one_is_not_put_off_by_small_ones_that_come_later() -> None:
    holders = Holders()
    holders.ask(0, 60)
    await holders.settle()
    holders.ask(1, 90)
    await holders.settle()
    holders.ask(2, 10)
    await holders.settle()
    assert holders.order == [0], "there is room for the last one, and it is not its turn"
    holders.leave[0].set()
    await holders.settle()
    assert holders.order == [0, 1, 2]
    await holders.all_end()


async def test_one_who_needs_more_than_there_is_gets_all_alone() -> None:
    holders = Holders()
    holders.ask(0, SIZE * 10)
    holders.ask(1, 1)
    await holders.settle()
    assert holders.held == {0: SIZE}
    await holders.all_end()


async def test_one_who_gives_up_waiting_lets_those_behind_go_on() -> None:
    holders = Holders()
    holders.ask(0, 60)
    holders.ask(1, 90)
    holders.ask(2, 40)
    await holders.settle()
    holders.tasks[1].cancel()
    await holders.settle()
    assert holders.held == {0: 60, 2: 40}
    await holders.all_end()


async def test_one_who_is_served_and_cancelled_in_the_same_turn_gives_back() -> None:
    holders = Holders()
    holders.ask(0, SIZE)
    await holders.settle()
    holders.ask(1, SIZE)
    await holders.settle()
    holders.leave[0].set()
    await asyncio.sleep(0)  # the first is just leaving
    await asyncio.sleep(0)
    holders.tasks[1].cancel()
    await holders.settle()
    async with asyncio.timeout(5), holders.budget.share(SIZE):
        pass

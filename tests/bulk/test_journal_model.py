"""The journal against a plain list of rows, through any order of deeds by any owners."""

import asyncio
import tempfile
from collections.abc import Coroutine, Sequence
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from asyncupload import LeaseLost
from asyncupload.bulk.journal import Journal
from asyncupload.bulk.queue import Added, Claim, Tally
from asyncupload.bulk.rows import ENDED, LEASED, MOVES, Item, State, fold
from bulk.files import Clock, item, opened

T = TypeVar("T")

ITEMS = st.builds(
    item,
    st.sampled_from("abcd"),
    st.sampled_from(["", "", "/Archive/A", "/Archive/z"]),
    size=st.integers(1, 2),
    problem=st.sampled_from(["", "", "", "empty"]),
    fatal=st.booleans(),
)
OWNERS = st.sampled_from(["anna", "bert"])
LEASES = st.sampled_from([5.0, 50.0])


@dataclass
class Known:
    """What the model knows of a row."""

    id: int
    item: Item
    state: State = State.PLANNED
    twin: str = ""
    due: float = 0.0
    owner: str = ""
    fence: int = 0
    attempts: int = 0
    handler: str = ""
    commit: str = ""

    @property
    def sendable(self) -> bool:
        return not self.item.problem and not self.twin

    def plan(self) -> tuple[object, ...]:
        return (self.item, self.twin)


def _key(item: Item) -> tuple[bytes, str]:
    return item.source, fold(item.destination)


@dataclass
class Model:
    """A queue as one would write it on paper."""

    now: float
    rows: dict[tuple[bytes, str], Known] = field(default_factory=dict)
    latest: dict[State, float] = field(default_factory=dict)

    def add(self, items: Sequence[Item]) -> Added:
        told = [self._add(item) for item in items]
        return Added(told.count("new"), told.count("changed"), told.count("known"))

    def _add(self, item: Item) -> str:
        planned = Known(len(self.rows) + 1, item, twin=self._twin(item))
        if planned.item.problem:
            planned.state = State.FAILED if item.fatal else State.SKIPPED
        elif planned.twin:
            planned.state = State.FAILED
        old = self.rows.get(_key(item))
        if old is None:
            self.rows[_key(item)] = planned
            return "new"
        busy = old.state is State.COMMITTING or (old.state is State.SENDING and old.due > self.now)
        if old.plan() == planned.plan() or busy:
            return "known"
        planned.id, planned.owner, planned.fence, planned.handler = old.id, old.owner, old.fence, old.handler
        self.rows[_key(item)] = planned
        return "changed"

    def _twin(self, item: Item) -> str:
        """The place that is taken, as the other row spells it: the reason that is told is made of both."""
        for other in self.rows.values():
            same = other.sendable and fold(other.item.destination) == fold(item.destination)
            if same and other.item.source != item.source and not item.problem:
                return f"{other.item.source!r} {other.item.destination}"
        return ""

    def claim(self, owner: str, count: int, lease: float) -> list[tuple[int, int, State]]:
        order = [State.COMMITTING, State.SENDING, State.PLANNED]
        waiting = [one for one in self.rows.values() if one.state in order and one.due <= self.now]
        waiting.sort(key=lambda one: (order.index(one.state), one.due, one.id))
        taken = []
        for one in waiting[:count]:
            one.fence += 1
            taken.append((one.id, one.fence, one.state))
            one.owner, one.due = owner, self.now + lease
            if one.state is State.PLANNED:
                one.state = State.SENDING
        return taken

    def of(self, claim: Claim) -> Known | None:
        """The row, if it is still the claimer's."""
        one = self.rows[_key(claim.row.item)]
        return one if (one.fence, one.owner) == (claim.fence, claim.owner) and one.state in LEASED else None


class JournalAndModel(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.folder = tempfile.TemporaryDirectory()
        self.clock = Clock()
        self.model = Model(self.clock.now)
        self.claims: list[Claim] = []
        self.stack = AsyncExitStack()
        self.journal: Journal

    def do(self, work: Coroutine[Any, Any, T]) -> T:
        return self.runner.run(work)

    @initialize()
    def open(self) -> None:
        path = Path(self.folder.name) / "journal"
        self.journal = self.do(self.stack.enter_async_context(opened(path, self.clock)))

    @rule()
    def reopen(self) -> None:
        self.do(self.stack.aclose())
        self.open()

    @rule(items=st.lists(ITEMS, min_size=1, max_size=4))
    def add(self, items: list[Item]) -> None:
        assert self.do(self.journal.add(items)) == self.model.add(items)

    @rule(owner=OWNERS, count=st.integers(1, 3), lease=LEASES)
    def claim(self, owner: str, count: int, lease: float) -> None:
        claims = self.do(self.journal.claim(owner, count, lease=lease))
        assert [(one.row.id, one.fence, one.found) for one in claims] == self.model.claim(owner, count, lease)
        self.claims += claims

    @rule(seconds=st.sampled_from([1.0, 6.0, 60.0]))
    def wait(self, seconds: float) -> None:
        self.clock.now += seconds
        self.model.now = self.clock.now

    @precondition(lambda self: self.claims)
    @rule(lease=LEASES)
    def renew(self, lease: float) -> None:
        mine = {claim.row.id for claim in self.claims if self.model.of(claim)}
        assert self.do(self.journal.renew(self.claims, lease=lease)) == mine
        self._mine_are_due(self.clock.now + lease)

    @precondition(lambda self: self.claims)
    @rule()
    def let_go(self) -> None:
        self.do(self.journal.let_go(self.claims))
        self._mine_are_due(0.0)

    def _mine_are_due(self, due: float) -> None:
        for one in filter(None, map(self.model.of, self.claims)):
            one.due = due

    @precondition(lambda self: self.claims)
    @rule(data=st.data(), handler=st.sampled_from(["", "H-1", "H-2"]))
    def note_handler(self, data: st.DataObject, handler: str) -> None:
        claim, one = self._one_of_the_claims(data)
        if self._is_done(one, self.journal.note_handler(claim, handler)):
            one.handler = handler

    @precondition(lambda self: self.claims)
    @rule(data=st.data(), lease=LEASES)
    def commit(self, data: st.DataObject, lease: float) -> None:
        claim, one = self._one_of_the_claims(data)
        if one and one.state is not State.SENDING:
            return
        if self._is_done(one, self.journal.committing(claim, "{}", lease=lease)):
            one.state, one.commit, one.due = State.COMMITTING, "{}", self.clock.now + lease

    @precondition(lambda self: self.claims)
    @rule(data=st.data(), there=st.sampled_from(sorted(ENDED)))
    def finish(self, data: st.DataObject, there: State) -> None:
        claim, one = self._one_of_the_claims(data)
        if one and there not in MOVES[one.state]:
            return
        if self._is_done(one, self.journal.finish(claim, there)):
            one.state, one.due = there, max(self.clock.now, self.model.latest.get(there, 0.0) + 1e-6)
            self.model.latest[there] = one.due
            if there in {State.STORED, State.UNCHANGED}:
                one.commit = one.handler = ""

    @precondition(lambda self: self.claims)
    @rule(data=st.data(), wait=st.sampled_from([0.0, 10.0]), counted=st.booleans())
    def release(self, data: st.DataObject, wait: float, counted: bool) -> None:
        claim, one = self._one_of_the_claims(data)
        due = self.clock.now + wait
        if self._is_done(one, self.journal.release(claim, reason="x", not_before=due, counted=counted)):
            one.state, one.due, one.commit = State.PLANNED, due, ""
            one.attempts += counted

    @rule(states=st.sets(st.sampled_from([State.FAILED, State.SKIPPED])))
    def retry(self, states: set[State]) -> None:
        again = [one for one in self.model.rows.values() if one.state in states and one.sendable]
        assert self.do(self.journal.retry(states)) == len(again)
        for one in again:
            one.state, one.attempts, one.due = State.PLANNED, 0, 0.0

    def _one_of_the_claims(self, data: st.DataObject) -> tuple[Claim, Any]:
        claim = data.draw(st.sampled_from(self.claims))
        return claim, self.model.of(claim)

    def _is_done(self, one: Known | None, deed: Coroutine[Any, Any, None]) -> bool:
        """Whether the deed is done; it is refused exactly if the row is no longer the claimer's."""
        refused = True
        with suppress(LeaseLost):
            self.do(deed)
            refused = False
        assert refused is (one is None)
        return not refused

    @invariant()
    def every_row_is_the_same(self) -> None:
        async def rows() -> list[tuple[object, ...]]:
            return [
                (row.id, row.state, row.due, row.owner, row.fence, row.attempts, row.handler, row.commit)
                async for row in self.journal.rows()
            ]

        if not hasattr(self, "journal"):
            return
        assert self.do(rows()) == [
            (one.id, one.state, one.due, one.owner, one.fence, one.attempts, one.handler, one.commit)
            for one in self.model.rows.values()
        ]

    @invariant()
    def the_tally_adds_up(self) -> None:
        if not hasattr(self, "journal"):
            return
        rows = self.model.rows.values()
        assert self.do(self.journal.counts()) == {
            state: Tally(
                sum(one.state is state for one in rows), sum(one.item.size or 0 for one in rows if one.state is state)
            )
            for state in State
        }

    def teardown(self) -> None:
        self.do(self.stack.aclose())
        self.runner.close()
        self.folder.cleanup()


TestJournalAndModel = JournalAndModel.TestCase
TestJournalAndModel.settings = settings(max_examples=25, stateful_step_count=30, deadline=None)

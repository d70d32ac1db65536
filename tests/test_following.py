"""An upload as a stream of events: all of it or a clean end, however slow or hasty the one who takes them."""

import asyncio
import os
import types
from collections.abc import AsyncGenerator, AsyncIterator, Coroutine, Generator
from contextlib import aclosing
from dataclasses import replace
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any, cast

import pytest
from conftest import FOLDER, PATIENT, Leftovers
from hypothesis import given, settings
from hypothesis import strategies as st

from asyncupload import (
    ChunkRetried,
    ChunkSent,
    Client,
    Committing,
    Event,
    Failed,
    HandlerOpened,
    NotFound,
    Receipt,
    Restarted,
    Stored,
    UsageError,
)
from asyncupload._following import following
from asyncupload.emulator import Emulator, at
from asyncupload.events import Listener

pytestmark = pytest.mark.anyio

TO = f"{FOLDER}/report.bin"
CHUNK = PATIENT.chunk_size


async def _turns(number: int) -> None:
    for _ in range(number):
        await asyncio.sleep(0)


async def test_the_events_are_those_of_on_event_and_the_last_has_the_receipt(
    client: Client, emulator: Emulator
) -> None:
    data = os.urandom(2 * CHUNK + 1)
    events = [event async for event in client.upload_events(data, to=TO)]
    kinds = [type(event) for event in events]
    assert kinds[0] is HandlerOpened
    assert kinds[-2:] == [Committing, Stored]
    assert [event.sent for event in events if isinstance(event, ChunkSent)] == [CHUNK, 2 * CHUNK, 2 * CHUNK + 1]
    assert isinstance(events[-1], Stored)
    assert events[-1].receipt.size == len(data)
    assert (await emulator.content(TO)).read_bytes() == data


async def test_nothing_begins_before_the_first_event_is_asked_for(client: Client, emulator: Emulator) -> None:
    events = client.upload_events(b"data", to=TO)
    await _turns(10)
    assert emulator.calls == []
    await events.aclose()


async def test_an_error_comes_bare_after_the_events_before_it(client: Client, emulator: Emulator) -> None:
    nowhere = client.upload_events(b"data", to="/Nowhere/report.bin")
    failed = await anext(nowhere)
    with pytest.raises(NotFound) as caught:
        await anext(nowhere)
    assert isinstance(failed, Failed)
    assert failed.error is caught.value
    with pytest.raises(UsageError):
        await anext(client.upload_events(b"data", to="no path"))

    async def broken() -> AsyncIterator[bytes]:
        yield bytes(3 * CHUNK)
        raise LookupError("gone")

    seen = list[type[Event]]()
    with pytest.raises(LookupError):  # noqa: PT012  (it is the loop that raises)
        async for event in client.upload_events(broken(), to=TO):
            seen.append(type(event))
    assert seen[:2] == [HandlerOpened, ChunkSent]
    assert seen[-1] is Failed
    assert await emulator.open_handlers() == []


async def test_closing_it_early_cancels_the_upload_and_waits_for_its_cleaning_up(emulator: Emulator) -> None:
    closed = list[bool]()

    async def endless() -> AsyncIterator[bytes]:
        try:
            while True:
                yield bytes(CHUNK)
        finally:
            closed.append(True)

    async with Client(emulator.url, user="demo", password="demo", settings=PATIENT) as client:
        before = Leftovers()
        async with aclosing(client.upload_events(endless(), to=TO)) as events:
            async for event in events:
                if isinstance(event, ChunkSent):
                    break
        assert closed == [True]
        assert await emulator.open_handlers() == []
        assert await emulator.documents() == []
        assert {"tasks": Leftovers().tasks - before.tasks} == {"tasks": set()}


async def test_a_loop_that_is_just_left_ends_the_upload_soon_after(client: Client, emulator: Emulator) -> None:
    async def endless() -> AsyncIterator[bytes]:
        while True:
            yield bytes(CHUNK)

    async for event in client.upload_events(endless(), to=TO):
        if isinstance(event, ChunkSent):
            break
    async with asyncio.timeout(10):
        while await emulator.open_handlers():
            await _turns(1)


class Sweep:
    """Uploads of a short stream, each cancelled a little later than the one before."""

    def __init__(self, client: Client, emulator: Emulator, how: str) -> None:
        self._client = client
        self._emulator = emulator
        self._how = how
        self._before = asyncio.all_tasks()
        self._state = list[str]()

    async def journey(self, to: str) -> None:
        """One of them."""
        self._state.clear()
        if self._how == "upload":
            await self._client.upload(self._slow(), to=to)
            return
        async for _ in self._client.upload_events(self._slow(), to=to):
            pass

    async def _slow(self) -> AsyncIterator[bytes]:
        """Three pieces, with time to be cancelled before each, and in closing."""
        self._state.append("begun")
        try:
            for piece in (b"a", b"b", b"c"):
                await asyncio.sleep(0)
                yield piece
        finally:
            try:
                await asyncio.sleep(0)
            finally:
                self._state.append("closed")

    async def got_through(self, task: "asyncio.Task[None]", to: str) -> bool:
        """See it end, find nothing left, and say whether it was too late to cancel it.

        If the request to store had left, the server makes the document, and its handler is gone a moment later.
        """
        await asyncio.wait({task})
        async with asyncio.timeout(5):
            while await self._emulator.open_handlers():
                await _turns(1)
        assert not {left for left in asyncio.all_tasks() - self._before if "asyncupload" in repr(left)}, to
        assert self._state in ([], ["begun", "closed"]), to
        if task.cancelled():
            return False
        task.result()
        assert (await self._emulator.content(to)).read_bytes() == b"abc"
        return True


@pytest.mark.parametrize("how", ["upload", "upload_events"])
async def test_cancelled_after_any_number_of_turns_of_the_loop_nothing_is_left(
    how: str, client: Client, emulator: Emulator
) -> None:
    """Fault 28, also while only other tasks of the upload are at work."""
    await client.ping()
    sweep = Sweep(client, emulator, how)
    for turns in range(4000):
        task = asyncio.ensure_future(sweep.journey(f"{FOLDER}/{turns}"))
        await _turns(turns)
        task.cancel()
        if await sweep.got_through(task, f"{FOLDER}/{turns}"):
            return
    pytest.fail("it never got through")


@pytest.mark.parametrize("how", ["upload", "upload_events"])
async def test_cancelled_at_every_await_in_turn_nothing_is_left(how: str, client: Client, emulator: Emulator) -> None:
    """Of the task that uploads, or that follows the events: its first await, its second, and so on to the last."""
    await client.ping()
    sweep = Sweep(client, emulator, how)
    for number in range(1000):
        task = asyncio.ensure_future(_cancelled_at(number, sweep.journey(f"{FOLDER}/{number}")))
        if await sweep.got_through(task, f"{FOLDER}/{number}"):
            return
    pytest.fail("it never got through")


@types.coroutine
def _cancelled_at(number: int, journey: Coroutine[Any, Any, None]) -> Generator[Any, Any, None]:
    """Go on with ``journey``, and cancel the task when it awaits something for the ``number``-th time."""
    step = partial(journey.send, None)
    for count_ in count():
        try:
            awaited = step()
        except StopIteration:
            return
        if count_ == number:
            cast("asyncio.Task[None]", asyncio.current_task()).cancel()
        try:
            yield awaited
            step = partial(journey.send, None)
        except BaseException as error:  # noqa: BLE001  (thrown into the journey, where it belongs)
            step = partial(journey.throw, error)


async def test_one_who_never_takes_does_not_hold_the_upload_up(client: Client, emulator: Emulator) -> None:
    """The first event is taken, and no other before the document stands: then the latest of each kind are there."""
    async with aclosing(client.upload_events(os.urandom(9 * CHUNK), to=TO)) as events:
        assert isinstance(await anext(events), HandlerOpened)
        async with asyncio.timeout(20):
            while not await emulator.documents():
                await _turns(1)
            await _turns(10)
            rest = [event async for event in events]
    assert [type(event) for event in rest] == [ChunkSent, Committing, Stored]
    assert isinstance(rest[0], ChunkSent)
    assert rest[0].sent == 9 * CHUNK


async def test_a_restart_is_seen_before_what_comes_after_it(tmp_path: Path) -> None:
    script = at({("UploadFileChunk", 2): "drop-after"})
    settings_ = replace(PATIENT, prove=lambda loss: False)
    async with (
        Emulator(tmp_path, script=script) as server,
        Client(server.url, user="demo", password="demo", settings=settings_) as client,
    ):
        events = [event async for event in client.upload_events(bytes(3 * CHUNK), to=TO)]
    kinds = [type(event) for event in events]
    assert kinds.count(HandlerOpened) == 2
    assert kinds.index(Restarted) < len(kinds) - 1 - kinds[::-1].index(ChunkSent)


EVENTS: dict[str, Event] = {
    "opened": HandlerOpened(path=TO, handler="", chunk_size=1, size=None),
    "committing": Committing(path=TO, sent=1),
    "restarted": Restarted(path=TO, reason=""),
    "retried": ChunkRetried(path=TO, number=1, attempt=1, wait=0, reason="", sent=0, size=None),
}


@given(st.lists(st.one_of(st.sampled_from(sorted(EVENTS)), st.integers(1, 9), st.just("take")), max_size=60))
@settings(max_examples=60, deadline=None)
def test_what_is_taken_is_in_order_the_latest_of_each_kind_and_never_more_than_the_kinds(
    script: list[str | int],
) -> None:
    """Against a model: of what happened since, the last of each kind, in the order of happening."""

    async def play() -> None:
        told, happened = list[Listener](), list[Event]()
        release = asyncio.Event()

        async def journey(listener: Listener) -> Receipt | None:
            told.append(listener)
            await release.wait()
            return None

        def tell(event: Event) -> None:
            happened.append(event)
            told[0](event)

        def waiting() -> list[Event]:
            latest = {type(event): number for number, event in enumerate(happened)}
            return [happened[number] for number in sorted(latest.values())]

        async with aclosing(following(journey)) as events:
            first = asyncio.ensure_future(_next(events))
            await _turns(10)
            tell(Committing(path=TO, sent=0))
            assert await first == happened.pop()
            for number, step in enumerate(script):
                if step != "take":
                    tell(
                        EVENTS[step]
                        if isinstance(step, str)
                        else ChunkSent(path=TO, number=number, sent=step, size=None)
                    )
                elif happened:
                    event = waiting()[0]
                    assert await anext(events) is event
                    happened[:] = [other for other in happened if type(other) is not type(event)]
            expected = waiting()
            release.set()
            assert [event async for event in events] == expected

    asyncio.run(asyncio.wait_for(play(), 20))


async def _next(events: AsyncGenerator[Event, None]) -> Event:
    return await anext(events)

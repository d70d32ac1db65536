"""Chunks come out sealed and in file order, no more of them alive than promised, and nothing is left when it ends."""

import asyncio
import gc
import io
import sys
import threading
import weakref
import zlib
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import replace
from types import FrameType, TracebackType
from typing import Any, cast

import anyio
import pytest
from conftest import Leftovers
from hypothesis import given, settings
from hypothesis import strategies as st

from asyncupload import AsyncUploadError, IteratorSource, SourceChanged, SourceUnreadable, _pipeline
from asyncupload._cutting import Buffer, ChunkBuffer
from asyncupload._pipeline import INLINE, SealedChunk, sealed_chunks

pytestmark = pytest.mark.anyio


@pytest.fixture(autouse=True)
def few_bytes_count_as_many(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that chunks which fit into a line of this file go to threads, as large ones do."""
    monkeypatch.setattr(_pipeline, "INLINE", 0)


@pytest.fixture
async def threads() -> anyio.CapacityLimiter:
    """Bounds the checksum workers."""
    return anyio.CapacityLimiter(2)


class Cut:
    """A source, cut: notes what becomes of it."""

    def __init__(self, *chunks: ChunkBuffer, error: BaseException | None = None) -> None:
        self.handed_out = 0
        self.closed = False
        self._chunks = chunks
        self._error = error

    async def chunks(self) -> AsyncGenerator[ChunkBuffer, None]:
        try:
            for chunk in self._chunks:
                self.handed_out += 1
                yield chunk
            if self._error is not None:
                raise self._error
        finally:
            self.closed = True


class Endless:
    """A source without an end, of buffers that are counted while they live."""

    def __init__(self) -> None:
        self.closed = False
        self.made = 0
        self.most_alive = 0
        self._known: list[weakref.ref[Counted]] = []

    def alive(self) -> int:
        self._known = [reference for reference in self._known if reference() is not None]
        return len(self._known)

    def _make(self) -> "Counted":
        buffer = Counted(b"content")
        self._known.append(weakref.ref(buffer))
        self.made += 1
        self.most_alive = max(self.most_alive, self.alive())
        return buffer

    async def chunks(self) -> AsyncGenerator[ChunkBuffer, None]:
        try:
            while True:
                await asyncio.sleep(0)
                yield self._make()
        finally:
            self.closed = True


class Counted(bytearray):
    """One that can be referred to weakly, to see when it goes."""


async def pull(
    chunks: AsyncGenerator[ChunkBuffer, None], threads: anyio.CapacityLimiter, depth: int = 3
) -> list[SealedChunk]:
    """All of them, kept: what the line lends it takes back."""
    async with sealed_chunks(chunks, depth=depth, threads=threads) as line:
        return [replace(chunk) async for chunk in line]


# ── order, seals, the last one ────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("depth", [1, 2, 5])
@pytest.mark.parametrize("count", [1, 2, 3, 10])
async def test_chunks_come_out_numbered_sealed_and_in_order(
    count: int, depth: int, threads: anyio.CapacityLimiter
) -> None:
    chunks = [bytes([number]) * (number + 1) for number in range(count)]
    cut = Cut(*chunks)

    line = await pull(cut.chunks(), threads, depth)

    assert [bytes(chunk.data) for chunk in line] == chunks
    assert [chunk.number for chunk in line] == list(range(1, count + 1))
    assert [chunk.crc32 for chunk in line] == [zlib.crc32(chunk) for chunk in chunks]
    assert [chunk.last for chunk in line] == [False] * (count - 1) + [True]
    assert cut.closed


async def test_nothing_comes_out_of_nothing(threads: anyio.CapacityLimiter) -> None:
    assert await pull(Cut().chunks(), threads) == []


async def test_a_chunk_is_handed_on_and_not_copied(threads: anyio.CapacityLimiter) -> None:
    chunk = b"content"

    (sealed,) = await pull(Cut(chunk).chunks(), threads)

    assert sealed.data is chunk


@settings(max_examples=60, deadline=None)
@given(data=st.binary(min_size=1, max_size=300), size=st.integers(1, 100), depth=st.integers(1, 4))
def test_only_the_last_chunk_is_the_last(data: bytes, size: int, depth: int) -> None:
    """Faults 13 and 14: exact multiples, and less than one chunk, of a source that does not know its size."""

    async def pieces() -> AsyncGenerator[bytes, None]:
        yield data

    async def read() -> list[SealedChunk]:
        with ThreadPoolExecutor(1) as pool:
            async with IteratorSource(pieces()).open(pool) as content:
                return await pull(content.chunks(size), anyio.CapacityLimiter(2), depth)

    line = asyncio.run(read())

    assert b"".join(bytes(chunk.data) for chunk in line) == data
    assert len(line) == -(-len(data) // size)
    assert [chunk.last for chunk in line] == [False] * (len(line) - 1) + [True]


class Backwards:
    """Lets the checksums begin in the reverse of the order in which they were asked for."""

    def __init__(self, together: int) -> None:
        self._together = together
        self._waiting: list[anyio.Event] = []
        self.order: list[int] = []

    async def __aenter__(self) -> None:
        turn, number = anyio.Event(), len(self._waiting) + 1
        self._waiting.append(turn)
        if number == self._together:
            turn.set()
        await turn.wait()
        self.order.append(number)

    async def __aexit__(self, kind: object, error: BaseException | None, trace: TracebackType | None) -> None:
        before = self.order[-1] - 2
        if before >= 0:
            self._waiting[before].set()


async def test_order_is_kept_when_the_first_checksum_is_the_last_to_be_ready() -> None:
    chunks = [bytes([number]) * 10 for number in range(6)]
    backwards = Backwards(together=len(chunks))

    with anyio.fail_after(10):
        line = await pull(Cut(*chunks).chunks(), cast(anyio.CapacityLimiter, backwards), depth=len(chunks))

    assert backwards.order == [6, 5, 4, 3, 2, 1]
    assert [bytes(chunk.data) for chunk in line] == chunks
    assert [chunk.crc32 for chunk in line] == [zlib.crc32(chunk) for chunk in chunks]


# ── threads ───────────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_checksums_are_computed_off_the_event_loops_thread(threads: anyio.CapacityLimiter) -> None:
    seen: set[int] = set()

    def watch(frame: FrameType, event: str, called: object) -> None:
        if event == "c_call" and getattr(called, "__name__", "") == "crc32":
            seen.add(threading.get_ident())

    # Both: one for the threads that are still to begin, one for this one.
    threading.setprofile(watch)
    sys.setprofile(watch)
    try:
        await pull(Cut(b"a", b"b", b"c").chunks(), threads)
    finally:
        sys.setprofile(None)
        threading.setprofile(None)

    assert seen, "the checksums were computed where nobody looked"
    assert threading.get_ident() not in seen


async def test_no_more_checksums_are_computed_than_the_limiter_allows() -> None:
    busiest, threads = 0, anyio.CapacityLimiter(2)

    async with sealed_chunks(Endless().chunks(), depth=10, threads=threads) as line:
        async for chunk in line:
            busiest = max(busiest, int(threads.borrowed_tokens))
            if chunk.number == 50:
                break

    assert 1 <= busiest <= 2


async def test_a_limiter_without_room_holds_the_line() -> None:
    """All uploads of a client share it."""
    threads, others = anyio.CapacityLimiter(1), object()
    await threads.acquire_on_behalf_of(others)
    task = asyncio.ensure_future(pull(Cut(b"a", b"b").chunks(), threads))

    await anyio.wait_all_tasks_blocked()
    assert not task.done()
    threads.release_on_behalf_of(others)

    assert [chunk.data for chunk in await task] == [b"a", b"b"]


async def test_few_bytes_are_not_sent_to_a_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    """The way there and back would take longer than their checksum; many bytes would hold up the loop."""
    monkeypatch.undo()
    threads = anyio.CapacityLimiter(1)
    await threads.acquire_on_behalf_of(object())
    few, many = bytes(INLINE), bytes(INLINE + 1)

    (chunk,) = await pull(Cut(few).chunks(), threads)
    assert chunk.crc32 == zlib.crc32(few)

    task = asyncio.ensure_future(pull(Cut(many).chunks(), threads))
    await anyio.wait_all_tasks_blocked()
    assert not task.done()
    task.cancel()


async def test_what_was_checksummed_when_it_was_read_needs_no_worker() -> None:
    threads, buffer = anyio.CapacityLimiter(1), Buffer()
    await threads.acquire_on_behalf_of(object())
    buffer.fill(io.BytesIO(b"content").readinto, 10)
    buffer.seal()

    with anyio.fail_after(10):
        (chunk,) = await pull(Cut(buffer.content).chunks(), threads)

    assert chunk.crc32 == zlib.crc32(b"content")


async def test_a_checksum_that_the_reading_thread_makes_is_counted_as_one(threads: anyio.CapacityLimiter) -> None:
    """As of a file: the thread reads, and checksums what it has read."""

    async def chunks() -> AsyncGenerator[ChunkBuffer, None]:
        for _ in range(2):
            buffer = Buffer()
            buffer.fill(io.BytesIO(b"content").readinto, 7)
            buffer.seal()
            assert buffer.crc32_seconds > 0
            buffer.crc32_seconds = 0.02
            await asyncio.sleep(0.05)
            yield buffer.content

    async with sealed_chunks(chunks(), depth=1, threads=threads) as line:
        assert len([chunk async for chunk in line]) == 2
    assert line.waited_for_checksums >= 0.02
    assert line.waited_for_bytes >= 0.03


# ── memory ────────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("depth", [1, 2, 3, 6])
async def test_a_stalled_consumer_stops_the_reader_at_depth_plus_two(
    depth: int, threads: anyio.CapacityLimiter
) -> None:
    source = Endless()
    async with sealed_chunks(source.chunks(), depth=depth, threads=threads) as line:
        await anyio.wait_all_tasks_blocked()
        assert source.made <= depth + 1, "read ahead of a consumer that has not begun"
        async for chunk in line:
            await anyio.wait_all_tasks_blocked()  # as long as it takes the reader to come as far as it can
            assert source.alive() == depth + 2
            if chunk.number == 4:
                break

    assert source.most_alive == depth + 2


@pytest.mark.parametrize("depth", [1, 2, 3, 6])
async def test_a_sender_that_waits_for_every_chunk_lets_no_more_of_them_live(
    depth: int, threads: anyio.CapacityLimiter
) -> None:
    """The reader goes on in the moment in which it hands a chunk over: the one before must be gone by then."""
    source = Endless()

    async with sealed_chunks(source.chunks(), depth=depth, threads=threads) as line:
        async for chunk in line:
            if chunk.number == 50:
                break

    assert source.most_alive <= depth + 2


async def test_a_chunk_is_the_senders_until_it_pulls_the_next_or_leaves(threads: anyio.CapacityLimiter) -> None:
    """Whoever keeps the chunk, as the frames of an error do, does not keep its buffer."""
    async with sealed_chunks(Cut(b"first", b"second").chunks(), depth=1, threads=threads) as line:
        first = await anext(line)
        await anyio.wait_all_tasks_blocked()
        assert first.data == b"first"
        second = await anext(line)
        assert (first.data, second.data) == (b"", b"second")

    assert (second.number, second.data, second.crc32) == (2, b"", zlib.crc32(b"second"))


class OneByOne:
    """Lets a checksum begin whenever it is told to."""

    def __init__(self) -> None:
        self.passes = anyio.Semaphore(0)

    async def __aenter__(self) -> None:
        await self.passes.acquire()

    async def __aexit__(self, kind: object, error: BaseException | None, trace: TracebackType | None) -> None:
        pass


@pytest.mark.parametrize("depth", [1, 2, 3, 6])
async def test_slow_checksums_let_no_more_than_depth_plus_two_buffers_live(depth: int) -> None:
    """The chunk before is still in the loop's variable while the next one waits for its checksum."""
    source, threads, got = Endless(), OneByOne(), 0

    async def consume() -> None:
        nonlocal got
        async with sealed_chunks(source.chunks(), depth=depth, threads=cast(anyio.CapacityLimiter, threads)) as line:
            async for chunk in line:
                got = chunk.number

    task = asyncio.ensure_future(consume())
    for round_ in range(1, 4):
        threads.passes.release()
        with anyio.fail_after(10):
            while got < round_:  # noqa: ASYNC110  (the checksum is in a thread, which no task waits for visibly)
                await asyncio.sleep(0.001)
        await anyio.wait_all_tasks_blocked()
        assert source.alive() <= depth + 2
    task.cancel()
    await asyncio.wait({task})

    assert source.most_alive <= depth + 2


async def test_nothing_is_alive_when_the_line_is_left(threads: anyio.CapacityLimiter) -> None:
    source = Endless()

    async def use() -> None:
        async with sealed_chunks(source.chunks(), depth=3, threads=threads) as line:
            async for chunk in line:
                if chunk.number == 3:
                    break

    await use()
    gc.collect()

    while source.alive():  # noqa: ASYNC110  (the thread that made its checksum tells nobody)
        await asyncio.sleep(0.01)


# ── errors ────────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("depth", [1, 3])
@pytest.mark.parametrize("good", [0, 1, 2, 5])
async def test_a_sources_error_comes_out_bare_after_what_came_before_it(
    good: int, depth: int, threads: anyio.CapacityLimiter
) -> None:
    """All but the chunk that was still held back: without its successor nobody knows whether it is the last."""
    error = SourceChanged("x")
    cut, got = Cut(*[b"chunk"] * good, error=error), []

    with pytest.raises(SourceChanged) as caught:  # noqa: PT012
        async with sealed_chunks(cut.chunks(), depth=depth, threads=threads) as line:
            async for chunk in line:
                got.append(chunk)  # noqa: PERF401  (what came before the error is kept)

    assert caught.value is error
    assert [chunk.number for chunk in got] == list(range(1, good))
    assert not any(chunk.last for chunk in got)
    assert cut.closed


async def test_a_sources_error_keeps_its_cause(threads: anyio.CapacityLimiter) -> None:
    """Fault 6: what the operating system said is what its owner needs to know."""
    cause = OSError(5, "Input/output error")

    async def failing() -> AsyncGenerator[bytes, None]:
        yield b"chunk"
        try:
            raise cause
        except OSError as error:
            raise SourceUnreadable("disk cannot be read") from error

    with pytest.raises(SourceUnreadable) as caught:
        await pull(failing(), threads)

    assert caught.value.__cause__ is cause


async def test_a_line_that_has_failed_has_ended(threads: anyio.CapacityLimiter) -> None:
    async with sealed_chunks(Cut(b"a", error=SourceChanged("x")).chunks(), depth=2, threads=threads) as line:
        with pytest.raises(SourceChanged):
            await anext(line)
        with pytest.raises(StopAsyncIteration):
            await anext(line)


async def test_a_source_that_is_cancelled_by_itself_does_not_end_as_if_it_were_whole(
    threads: anyio.CapacityLimiter,
) -> None:
    """A generator that waits for a task of the application's, which somebody cancelled: half a file is no file."""

    async def relayed() -> AsyncGenerator[bytes, None]:
        yield b"first"
        yield b"second"
        other = asyncio.ensure_future(asyncio.Event().wait())
        other.cancel()
        await other
        yield b"third"

    ended_well = False
    with pytest.raises((asyncio.CancelledError, AsyncUploadError)):  # noqa: PT012
        await pull(relayed(), threads)
        ended_well = True

    assert not ended_well


async def test_a_checksum_that_fails_comes_out_bare(threads: anyio.CapacityLimiter) -> None:
    """A source of somebody else's may hand out anything."""
    with pytest.raises(TypeError):
        await pull(Cut(b"a", cast(bytes, "text"), b"c").chunks(), threads)


async def test_a_consumers_error_comes_out_bare(threads: anyio.CapacityLimiter) -> None:
    error, cause, source = LookupError("x"), KeyError("y"), Endless()
    error.__cause__ = cause

    with pytest.raises(LookupError) as caught:  # noqa: PT012
        async with sealed_chunks(source.chunks(), depth=3, threads=threads) as line:
            async for _ in line:
                raise error

    assert caught.value is error
    assert caught.value.__cause__ is cause
    assert source.closed


async def test_a_consumer_that_ends_the_program_ends_it_bare(threads: anyio.CapacityLimiter) -> None:
    with pytest.raises(SystemExit):  # noqa: PT012
        async with sealed_chunks(Endless().chunks(), depth=3, threads=threads) as line:
            async for _ in line:
                raise SystemExit(3)


async def test_a_consumers_error_counts_more_than_the_sources(threads: anyio.CapacityLimiter) -> None:
    """Who stops pulling does not hear why the pulling would have failed."""
    with pytest.raises(LookupError):  # noqa: PT012
        async with sealed_chunks(Cut(b"a", b"b", error=SourceChanged("x")).chunks(), depth=3, threads=threads) as line:
            async for _ in line:
                await anyio.wait_all_tasks_blocked()
                raise LookupError


# ── leaving, and being made to leave ──────────────────────────────────────────────────────────────────────────────────


@asynccontextmanager
async def leaving_nothing() -> AsyncIterator[None]:
    before = Leftovers()
    yield
    await asyncio.sleep(0)
    assert Leftovers().since(before) == {}


@pytest.mark.parametrize("after", [0, 1, 4])
async def test_leaving_early_stops_the_reader_and_closes_the_source(after: int, threads: anyio.CapacityLimiter) -> None:
    source = Endless()

    async with leaving_nothing():
        async with sealed_chunks(source.chunks(), depth=3, threads=threads) as line:
            for _ in range(after):
                await anext(line)
            await anyio.wait_all_tasks_blocked()
        made = source.made
        assert source.closed
        await anyio.sleep(0.01)

    assert source.made == made, "it was read on"


async def test_a_source_that_was_never_asked_is_closed(threads: anyio.CapacityLimiter) -> None:
    """Left before the reader has had its first turn."""
    chunks = Endless().chunks()

    async with sealed_chunks(chunks, depth=3, threads=threads):
        pass

    with pytest.raises(StopAsyncIteration):
        await anext(chunks)


class Stage:
    """A journey that stands still at one stage until it is cancelled."""

    def __init__(self, threads: anyio.CapacityLimiter) -> None:
        self.threads = threads
        self.closed = False

    async def stuck_source(self) -> AsyncGenerator[bytes, None]:
        try:
            yield b"a"
            yield b"b"
            await asyncio.Event().wait()
        finally:
            self.closed = True

    async def endless_source(self) -> AsyncGenerator[bytes, None]:
        try:
            while True:
                yield b"a"
        finally:
            self.closed = True

    async def waiting_for_the_source(self) -> None:
        async with sealed_chunks(self.stuck_source(), depth=3, threads=self.threads) as line:
            async for _ in line:
                pass

    async def sending_while_the_queue_is_full(self) -> None:
        async with sealed_chunks(self.endless_source(), depth=2, threads=self.threads) as line:
            async for _ in line:
                await asyncio.Event().wait()

    async def waiting_for_a_checksum(self) -> None:
        await self.threads.acquire_on_behalf_of(self)
        self.threads.total_tokens = 1
        async with sealed_chunks(self.endless_source(), depth=2, threads=self.threads) as line:
            async for _ in line:
                pytest.fail("a chunk came out without a checksum")

    async def before_the_first_pull(self) -> None:
        async with sealed_chunks(self.endless_source(), depth=2, threads=self.threads):
            await asyncio.Event().wait()


STAGES: dict[str, Callable[[Stage], Awaitable[None]]] = {
    "waiting for the source": Stage.waiting_for_the_source,
    "sending": Stage.sending_while_the_queue_is_full,
    "waiting for a checksum": Stage.waiting_for_a_checksum,
    "before the first pull": Stage.before_the_first_pull,
}


@pytest.mark.parametrize("name", STAGES)
async def test_a_native_cancellation_goes_through_at_every_stage(name: str, threads: anyio.CapacityLimiter) -> None:
    stage = Stage(threads)
    async with leaving_nothing():
        task = asyncio.ensure_future(STAGES[name](stage))
        await anyio.wait_all_tasks_blocked()
        task.cancel()
        with pytest.raises(asyncio.CancelledError), anyio.fail_after(10):
            await task

    assert task.cancelled()
    assert stage.closed


@pytest.mark.parametrize("name", STAGES)
async def test_a_scope_is_cancelled_at_every_stage(name: str, threads: anyio.CapacityLimiter) -> None:
    stage, scope, went_on = Stage(threads), anyio.CancelScope(), False

    async def in_scope() -> None:
        nonlocal went_on
        with scope:
            await STAGES[name](stage)
            went_on = True

    async with leaving_nothing():
        task = asyncio.ensure_future(in_scope())
        await anyio.wait_all_tasks_blocked()
        scope.cancel()
        with anyio.fail_after(10):
            await task

    assert scope.cancelled_caught
    assert not went_on
    assert stage.closed


@pytest.mark.parametrize("name", STAGES)
async def test_a_timeout_is_a_timeout_at_every_stage(name: str, threads: anyio.CapacityLimiter) -> None:
    stage = Stage(threads)
    async with leaving_nothing():
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.02):
                await STAGES[name](stage)

    assert stage.closed


@pytest.mark.parametrize("name", STAGES)
async def test_a_task_group_around_it_sees_a_cancellation_and_nothing_else(
    name: str, threads: anyio.CapacityLimiter
) -> None:
    """One of many uploads fails, and the group cancels the others."""
    stage = Stage(threads)

    async def fail() -> None:
        await anyio.wait_all_tasks_blocked()
        raise LookupError("another upload's")

    async with leaving_nothing():
        with pytest.raises(ExceptionGroup) as caught:  # noqa: PT012
            async with asyncio.TaskGroup() as group:
                group.create_task(cast(Any, STAGES[name](stage)))
                group.create_task(fail())

    assert [type(error) for error in caught.value.exceptions] == [LookupError]
    assert stage.closed


async def test_a_sources_own_cleaning_up_may_wait(threads: anyio.CapacityLimiter) -> None:
    """A relayed response is closed with an ``await``: cancelled there, its connection would be left open."""
    cleaned = []

    async def relayed() -> AsyncGenerator[bytes, None]:
        try:
            yield b"a"
            yield b"b"
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0.01)
            cleaned.append("response")

    task = asyncio.ensure_future(pull(relayed(), threads))
    await anyio.wait_all_tasks_blocked()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    assert cleaned == ["response"]


@pytest.mark.parametrize("error", [None, LookupError("x")], ids=["early", "error"])
async def test_leaving_does_not_wait_for_a_source_that_gives_nothing(
    error: Exception | None, threads: anyio.CapacityLimiter
) -> None:
    """Whatever the way out, nobody waits for a browser that has stopped sending."""
    stage = Stage(threads)

    async def leave() -> None:
        async with sealed_chunks(stage.stuck_source(), depth=3, threads=threads) as line:
            await anext(line)
            await anyio.wait_all_tasks_blocked()
            if error is not None:
                raise error

    async with leaving_nothing():
        with anyio.fail_after(10):
            (result,) = await asyncio.gather(leave(), return_exceptions=True)

    assert result is error
    assert stage.closed


async def test_leaving_does_not_wait_for_a_checksum_that_cannot_begin(threads: anyio.CapacityLimiter) -> None:
    """The threads may be busy with other uploads for long."""
    others = [object(), object()]
    for other in others:
        await threads.acquire_on_behalf_of(other)

    async with leaving_nothing():
        with anyio.fail_after(5):
            async with sealed_chunks(Cut(b"a", b"b", b"c").chunks(), depth=3, threads=threads):
                await anyio.wait_all_tasks_blocked()


async def test_a_source_that_does_not_close_is_left_to_itself_no_longer_than_promised(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(_pipeline, "CLOSING", 0.05)
    cancelled = 0

    async def stuck() -> AsyncGenerator[bytes, None]:
        nonlocal cancelled
        yield b"a"
        try:
            await asyncio.Event().wait()
        finally:
            cancelled += 1
            await asyncio.Event().wait()

    with anyio.fail_after(10):
        async with sealed_chunks(stuck(), depth=1, threads=anyio.CapacityLimiter(1)):
            await anyio.wait_all_tasks_blocked()

    assert cancelled == 1

"""How fast is the line to this server, and with which settings? Found out by uploads that give themselves up.

Each sends random bytes for a while and then fails from within its source, so it goes the way of every failed upload:
the handler is deleted, and no request to store ever leaves. Nothing in the server's libraries is touched.
"""

import asyncio
import secrets
import time
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from concurrent.futures import Executor
from contextlib import asynccontextmanager
from dataclasses import dataclass

from ._raised import raise_kept
from .client import Client
from .errors import AsyncUploadError
from .events import ChunkSent, Event, HandlerOpened
from .settings import KIB, MIB
from .sources import Content

CHUNK_SIZES = (256 * KIB, MIB, 4 * MIB, 16 * MIB)
"""Bytes; tried from the smallest."""
AT_ONCE = (1, 2, 4, 8, 16)
"""How many uploads at the same time; tried from the fewest."""
FEWEST = 4
"""Chunks of each upload. The first is not counted: the connection is still new."""
ENOUGH = 0.95
"""Share of the best rate with which more of something is not worth its memory."""


@dataclass(frozen=True, slots=True)
class Rate:
    """What one setting gave."""

    chunk_size: int
    """Bytes, as the server granted them."""
    at_once: int
    """Uploads at the same time."""
    bytes_per_second: float
    """Of all of them together, acknowledged by the server."""


@dataclass(frozen=True, slots=True)
class Proposal:
    """The smallest settings that reach nearly all that was seen."""

    chunk_size: int
    at_once: int


def propose(rates: Sequence[Rate]) -> Proposal:
    """The smallest chunk size that reaches 95 % of the best rate of one upload, and the fewest at once likewise.

    Args:
        rates: At least one of them with one upload at a time.
    """
    alone = [rate for rate in rates if rate.at_once == 1]
    best = max(rate.bytes_per_second for rate in alone)
    chunk = min(rate.chunk_size for rate in alone if rate.bytes_per_second >= ENOUGH * best)
    together = [rate for rate in rates if rate.chunk_size == chunk]
    most = max(rate.bytes_per_second for rate in together)
    return Proposal(chunk, min(rate.at_once for rate in together if rate.bytes_per_second >= ENOUGH * most))


async def measure(client: Client, *, seconds: float = 2.0) -> AsyncIterator[Rate]:
    """Try chunk sizes with one upload, then more uploads at once with the best of the sizes.

    Args:
        client: With ``settings.chunk_size`` as large as may be tried.
        seconds: About how long each setting is tried. A slow line takes longer: four chunks are sent at least.

    Raises:
        AsyncUploadError: The server cannot be used.

    On cancellation, or when it is left early, handlers are deleted as by any upload.
    """
    rates: list[Rate] = []
    for size in (size for size in CHUNK_SIZES if size <= client.settings.chunk_size):
        try:
            rate = await _together(client, size, 1, seconds)
        except AsyncUploadError:
            if not rates:
                raise
            break  # smaller ones have just worked: what refuses this size is on the way, as a limit on requests
        if rate.chunk_size in {other.chunk_size for other in rates}:  # the server grants no larger ones
            break
        rates.append(rate)
        yield rate
        if rate.chunk_size * FEWEST > rate.bytes_per_second * seconds:  # the next would take four times as long
            break
    chunk = propose(rates).chunk_size
    before = max(rate.bytes_per_second for rate in rates)
    for count in AT_ONCE[1:]:
        rate = await _together(client, chunk, count, seconds)
        yield rate
        if rate.bytes_per_second < before / ENOUGH:
            break
        before = rate.bytes_per_second


class _GivenUp(AsyncUploadError):
    """It was long enough."""


class _Endless:
    """Random bytes, the same for every chunk, until it is long enough."""

    name = "random bytes"
    rereadable = False
    size = None

    def __init__(self, block: memoryview, seconds: float) -> None:
        self._block = block
        self._seconds = seconds

    @asynccontextmanager
    async def open(self, threads: Executor) -> AsyncIterator[Content]:  # noqa: ARG002  (the protocol's)
        """Nothing to open."""
        yield self

    async def chunks(self, size: int) -> AsyncGenerator[memoryview, None]:
        began, count = time.monotonic(), 0
        # One more than are counted is held back, and never leaves.
        while count <= FEWEST or time.monotonic() - began < self._seconds:
            yield self._block[:size]
            count += 1
        raise _GivenUp("the measurement was long enough")


class _Clock:
    """Notes what one upload's server acknowledged, and when."""

    def __init__(self) -> None:
        self.chunk_size = 0
        self._acknowledged: list[tuple[float, int]] = []

    def hear(self, event: Event) -> None:
        if isinstance(event, HandlerOpened):
            self.chunk_size = event.chunk_size
        elif isinstance(event, ChunkSent):
            self._acknowledged.append((time.monotonic(), event.sent))

    @property
    def rate(self) -> float:
        """Bytes per second, from the first acknowledgement to the last."""
        (began, first), *_, (ended, last) = self._acknowledged
        return (last - first) / max(ended - began, 1e-9)


async def _together(client: Client, chunk_size: int, count: int, seconds: float) -> Rate:
    block = memoryview(secrets.token_bytes(chunk_size))
    clocks = [_Clock() for _ in range(count)]
    failures: list[AsyncUploadError] = []
    try:
        async with asyncio.TaskGroup() as group:
            for clock in clocks:
                group.create_task(_alone(client, _Endless(block, seconds), chunk_size, clock))
    except* AsyncUploadError as errors:
        failures += _within(errors)
    if failures:
        raise_kept(failures[0])
    return Rate(clocks[0].chunk_size, count, sum(clock.rate for clock in clocks))


def _within(error: AsyncUploadError | BaseExceptionGroup[AsyncUploadError]) -> list[AsyncUploadError]:
    if isinstance(error, BaseExceptionGroup):
        return [found for one in error.exceptions for found in _within(one)]
    return [error]


async def _alone(client: Client, source: _Endless, chunk_size: int, clock: _Clock) -> None:
    # The path is only looked for: nothing can stand there, since no library has such a name, and nothing will.
    path = f"/asyncupload-measures-{secrets.token_hex(8)}/nothing.bin"
    try:
        await client.upload(source, to=path, chunk_size=chunk_size, folder_exists=True, on_event=clock.hear)
    except _GivenUp:
        return

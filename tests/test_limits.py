"""How much a client does at once: never more than was allowed, in the order of coming, whoever gives up."""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest
from conftest import FOLDER, PATIENT
from hypothesis import given
from hypothesis import strategies as st
from web.serving import until

from asyncupload import Client, IteratorSource, Settings, UsageError
from asyncupload._limits import most_held
from asyncupload.emulator import Emulator

pytestmark = pytest.mark.anyio

CHUNK = PATIENT.chunk_size


class Bodies:
    """Bodies that end when they are told to."""

    def __init__(self) -> None:
        self.begun = list[int]()
        self.go = asyncio.Event()
        self.at_once = self.most = 0

    async def body(self, number: int, size: int = 100) -> AsyncIterator[bytes]:
        self.begun.append(number)
        self.at_once += 1
        self.most = max(self.most, self.at_once)
        try:
            yield bytes(size)
            await self.go.wait()
        finally:
            self.at_once -= 1


@asynccontextmanager
async def against(server: Emulator, settings: Settings) -> AsyncIterator[tuple[Client, Bodies]]:
    async with Client(server.url, user="demo", password="demo", settings=settings) as client:
        await client.ping()
        bodies = Bodies()
        try:
            yield client, bodies
        finally:
            bodies.go.set()


async def _until_begun(bodies: Bodies, count: int) -> None:
    await until(lambda: len(bodies.begun) >= count)
    for _ in range(50):  # one too many would come now
        await asyncio.sleep(0)
    assert len(bodies.begun) == count


async def test_no_more_uploads_than_allowed_and_in_order(emulator: Emulator) -> None:
    async with against(emulator, replace(PATIENT, uploads=3)) as (client, bodies):
        uploads = [asyncio.ensure_future(client.upload(bodies.body(n), to=f"{FOLDER}/{n}")) for n in range(10)]
        await _until_begun(bodies, 3)
        bodies.go.set()
        await asyncio.gather(*uploads)
    assert bodies.most == 3
    assert bodies.begun == list(range(10))
    assert len(await emulator.documents()) == 10


async def test_one_that_waits_asks_nothing_and_can_be_cancelled(emulator: Emulator) -> None:
    async with against(emulator, replace(PATIENT, uploads=1)) as (client, bodies):
        first, second, third = (
            asyncio.ensure_future(client.upload(bodies.body(n), to=f"{FOLDER}/{n}")) for n in range(3)
        )
        await _until_begun(bodies, 1)
        second.cancel()
        await asyncio.wait({second})
        bodies.go.set()
        await asyncio.gather(first, third)
    assert bodies.begun == [0, 2]


async def test_an_upload_that_fails_makes_room(emulator: Emulator) -> None:
    async with against(emulator, replace(PATIENT, uploads=1, memory=PATIENT.memory_per_upload)) as (client, _):
        for _ in range(3):
            with pytest.raises(UsageError):
                await client.upload(_broken(), to=f"{FOLDER}/broken")
        await client.upload(b"data", to=f"{FOLDER}/whole")
        with pytest.raises(UsageError):
            await client.upload_zip(_broken(), to=FOLDER)
        await client.upload(b"data", to=f"{FOLDER}/whole")


async def _broken() -> AsyncIterator[bytes]:
    yield bytes(CHUNK)
    raise UsageError("broken")


async def test_those_who_wait_for_one_place_do_not_fill_the_room(emulator: Emulator) -> None:
    """Uploads to one document go one after another: the others of them must not use up what elsewhere could run."""
    async with against(emulator, replace(PATIENT, uploads=2)) as (client, bodies):
        same = [asyncio.ensure_future(client.upload(bodies.body(n), to=f"{FOLDER}/same")) for n in range(5)]
        await _until_begun(bodies, 1)
        async with asyncio.timeout(10):
            await client.upload(b"data", to=f"{FOLDER}/other")
        bodies.go.set()
        await asyncio.gather(*same)


async def test_memory_is_shared_by_what_each_may_hold(emulator: Emulator) -> None:
    """Room for two of unknown size, or for ten that say that they are one chunk."""
    memory = 2 * PATIENT.memory_per_upload
    async with against(emulator, replace(PATIENT, memory=memory)) as (client, bodies):
        uploads = [asyncio.ensure_future(client.upload(bodies.body(n), to=f"{FOLDER}/{n}")) for n in range(4)]
        await _until_begun(bodies, 2)
        bodies.go.set()
        await asyncio.gather(*uploads)
    async with against(emulator, replace(PATIENT, memory=memory)) as (client, bodies):
        uploads = [
            asyncio.ensure_future(client.upload(IteratorSource(bodies.body(n, CHUNK), size=CHUNK), to=f"{FOLDER}/{n}"))
            for n in range(12)
        ]
        await _until_begun(bodies, 10)
        bodies.go.set()
        await asyncio.gather(*uploads)
    assert bodies.most == 10


async def test_a_budget_that_one_upload_would_exceed_is_refused() -> None:
    with pytest.raises(UsageError, match="one upload may hold"):
        Settings(memory=Settings().memory_per_upload - 1)
    with pytest.raises(UsageError, match="uploads"):
        Settings(uploads=0)


@given(st.integers(1, 10), st.one_of(st.none(), st.integers(0, 10**9)), st.integers(1, 2**25))
def test_never_more_than_the_formula_and_enough_for_the_content(depth: int, size: int | None, chunk: int) -> None:
    amount = most_held(depth, size, chunk)
    assert amount <= (depth + 2) * chunk
    assert amount >= min(size if size is not None else (depth + 2) * chunk, (depth + 2) * chunk)


async def test_many_with_some_cancelled_leave_nothing_and_all_others_are_stored(emulator: Emulator) -> None:
    data, gone = os.urandom(CHUNK), set(range(0, 40, 5))
    async with against(emulator, replace(PATIENT, uploads=6, memory=3 * PATIENT.memory_per_upload)) as (client, _):

        async def pieces(number: int) -> AsyncIterator[bytes]:
            yield data
            if number in gone:
                uploads[number].cancel()
                await asyncio.sleep(0)
            yield b"end"

        uploads = [asyncio.ensure_future(client.upload(pieces(n), to=f"{FOLDER}/{n}")) for n in range(40)]
        await asyncio.wait(uploads)
    assert {n for n, upload in enumerate(uploads) if upload.cancelled()} == gone
    assert {document.path for document in await emulator.documents()} == {
        f"{FOLDER}/{n}" for n in range(40) if n not in gone
    }
    assert await emulator.open_handlers() == []

"""Connections that are kept, by a server that ends them as it likes. Public reports: psf/requests#3458,
aio-libs/aiohttp#850, jawah/urllib3.future#280, tokuhirom/Furl#16."""

import asyncio
import os
from collections.abc import Awaitable, Callable
from dataclasses import replace

import aiohttp
import pytest
from conftest import FOLDER, PATIENT
from front import Message, front

from asyncupload import Client, Receipt, Retries, Settings
from asyncupload._connections import Connections
from asyncupload.emulator import Emulator

pytestmark = pytest.mark.anyio

CHUNK = PATIENT.chunk_size
TO = f"{FOLDER}/report.bin"
WATCHED = replace(PATIENT, timeouts=replace(PATIENT.timeouts, settle=30), retries=Retries(first_wait=0.001))
"""To look for a document whose answer was lost takes longer than a test may."""


def closing(seconds: float, every: int = 1, at: str = "") -> Callable[[Message], Awaitable[bool]]:
    """Hangs up some time after each answer, or after every so many of them, or after those to one operation."""
    answers = 0

    async def stay(request: Message) -> bool:
        nonlocal answers
        answers += 1
        if answers % every or (at and request.operation != at):
            return True
        await asyncio.sleep(seconds)
        return False

    return stay


async def stored(url: str, data: bytes, settings: Settings = WATCHED) -> Receipt:
    async with Client(url, user="demo", password="demo", settings=settings) as client:
        return await client.upload(data, to=TO)


@pytest.mark.parametrize("seconds", [0.0, 0.005, 0.05])
async def test_a_server_that_closes_after_every_answer_without_saying_so_gets_the_document(
    emulator: Emulator, seconds: float
) -> None:
    """Be it at once, or when the next request is on its way: no request is lost that could not go again."""
    data = os.urandom(3 * CHUNK + 1)
    async with front(emulator.url, stay=closing(seconds)) as seen:
        receipt = await stored(seen.url, data)
    assert (receipt.status, receipt.size, receipt.restarted) == ("stored", len(data), 0)
    assert len(seen.connections_of("UploadNewDocumentWidthHandler") + seen.connections_of("UploadDocumentWithHandler1"))


@pytest.mark.parametrize("every", [2, 3, 5, 7])
async def test_so_does_one_that_closes_after_every_few_answers(emulator: Emulator, every: int) -> None:
    data = os.urandom(2 * CHUNK + 1)
    async with front(emulator.url, stay=closing(0.02, every)) as seen:
        receipt = await stored(seen.url, data)
    assert (receipt.status, receipt.size) == ("stored", len(data))


@pytest.mark.parametrize("seconds", [0.0, 0.02])
async def test_so_does_one_that_closes_after_the_last_chunk(emulator: Emulator, seconds: float) -> None:
    """What would be the first that it shows of itself: the request to store has a connection of its own anyway."""
    async with front(emulator.url, stay=closing(seconds, at="UploadFileChunk")) as seen:
        receipt = await stored(seen.url, b"one chunk")
    assert (receipt.status, receipt.restarted) == ("stored", 0)


async def test_what_must_not_be_doubled_goes_on_a_connection_of_its_own(emulator: Emulator) -> None:
    """And no more connections stay open for that: a kept one makes room."""
    async with front(emulator.url) as seen, Client(seen.url, user="demo", password="demo", settings=PATIENT) as client:
        for _ in range(3):
            await client.upload(os.urandom(10), to=TO)
        kept = client._transport._session().connector
        assert kept is not None
        assert sum(map(len, kept._conns.values())) == 1
    for operation in ("Lock", "UploadDocumentWithHandler1"):
        before = [number for number, request in seen.requests if request.operation != operation]
        for number in seen.connections_of(operation):
            first = next(request for on, request in seen.requests if on == number)
            assert first.operation == operation, before


async def test_others_share_one(emulator: Emulator) -> None:
    async with front(emulator.url) as seen, Client(seen.url, user="demo", password="demo", settings=PATIENT) as client:
        for _ in range(5):
            await client.folder_exists(FOLDER)
    assert seen.connections == 1


async def test_a_server_that_was_seen_to_hang_up_is_asked_on_new_connections(emulator: Emulator) -> None:
    """So that no chunk is lost by it."""
    async with front(emulator.url, stay=closing(0.02, at="FolderExists")) as seen:
        receipt = await stored(seen.url, os.urandom(2 * CHUNK + 1))
    assert receipt.resent == receipt.restarted == 0
    assert len(set(seen.connections_of("UploadFileChunk"))) == 3


async def test_a_connection_that_ends_when_it_was_idle_for_a_while_tells_nothing_of_a_server(
    emulator: Emulator,
) -> None:
    """Every server ends those some time: its others are used on."""
    async with front(emulator.url, stay=closing(1.2)) as seen:
        async with Client(seen.url, user="demo", password="demo", settings=PATIENT) as client:
            await client._transport.describe(seconds=10, limit=16 * 1024 * 1024)
            await asyncio.sleep(1.5)
            connector = client._transport._session().connector
            assert isinstance(connector, Connections)
            assert connector.manners.seen == 0
            assert not connector.manners.hangs_up


async def test_a_lent_sessions_connections_are_its_own(emulator: Emulator) -> None:
    """Nothing is asked of them but what they are made for."""
    async with front(emulator.url) as seen, aiohttp.ClientSession() as lent:
        async with Client(seen.url, user="demo", password="demo", settings=PATIENT, session=lent) as client:
            await client.upload(b"x", to=TO)
    assert seen.connections == 1

"""Folders on the server: each looked for and made once, however many files go there."""

import asyncio

import pytest
from conftest import PATIENT
from troubled import count

from asyncupload import Client, NotFound
from asyncupload.bulk.folders import Folders
from asyncupload.emulator import Emulator

pytestmark = pytest.mark.anyio

DEEP = "/Library/2026/March/Invoices"


async def test_one_that_is_missing_is_made_once_with_those_above_it(client: Client, emulator: Emulator) -> None:
    folders = Folders(client)
    await asyncio.gather(*(folders.ensure(path) for path in [DEEP, DEEP.upper(), DEEP] * 10))
    assert count(emulator, "CreateFolder") == 1
    assert count(emulator, "FolderExists") == 1
    assert await client.folder_exists(DEEP)


async def test_one_that_is_there_is_looked_for_once_and_not_made(client: Client, emulator: Emulator) -> None:
    """The user may lack the right to make it."""
    folders = Folders(client)
    for _ in range(3):
        await folders.ensure("/Finance/Reports")
    assert count(emulator, "FolderExists") == 1
    assert count(emulator, "CreateFolder") == 0


async def test_one_that_cannot_be_made_is_not_taken_for_made(client: Client, emulator: Emulator) -> None:
    folders = Folders(client)
    for _ in range(2):
        with pytest.raises(NotFound):
            await folders.ensure("/NoSuchLibrary/Folder")
    assert count(emulator, "CreateFolder") == 2


async def test_one_that_may_be_gone_is_looked_for_again(client: Client, emulator: Emulator) -> None:
    folders = Folders(client)
    await folders.ensure(DEEP)
    folders.forget(DEEP.lower())
    await folders.ensure(DEEP)
    assert count(emulator, "FolderExists") == 2
    assert count(emulator, "CreateFolder") == 1


async def test_two_processes_may_make_one_at_the_same_time(client: Client, emulator: Emulator) -> None:
    async with Client(emulator.url, user="demo", password="demo", settings=PATIENT) as other:
        await asyncio.gather(Folders(client).ensure(DEEP), Folders(other).ensure(DEEP))
    assert await client.folder_exists(DEEP)


async def test_one_who_gives_up_waiting_leaves_it_to_the_next(client: Client, emulator: Emulator) -> None:
    folders = Folders(client)
    first = asyncio.ensure_future(folders.ensure(DEEP))
    await asyncio.sleep(0)
    first.cancel()
    await folders.ensure(DEEP)
    assert await client.folder_exists(DEEP)

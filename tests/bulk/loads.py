"""What the loader's tests load: real files, a journal, and the questions that are asked of both afterwards."""

import os
from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

from conftest import PATIENT

from asyncupload import Client
from asyncupload.bulk.journal import Journal
from asyncupload.bulk.loader import Loader
from asyncupload.bulk.options import LoadOptions
from asyncupload.bulk.progress import Progress
from asyncupload.bulk.rows import Item, Row, State
from asyncupload.emulator import Emulator

TO = "/Library/Load"

OPTIONS = LoadOptions(retry_after=0.01, lease=30.0)
"""Waits that keep their order but not their length."""


class Files:
    """Files in a folder, and where each of them is to go.

    Args:
        folder: It is made.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir()

    def write(self, contents: Mapping[str, bytes]) -> list[Item]:
        """Write files, and plan them."""
        for name, data in contents.items():
            path = self.folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
        return [self.item(name) for name in contents]

    def item(self, name: str) -> Item:
        """As the plan of a tree would have it, if the file is there."""
        path = self.folder / name
        seen = path.stat() if path.exists() else None
        return Item(
            source=os.fsencode(path),
            destination=f"{TO}/{name}",
            size=seen.st_size if seen else None,
            mtime_ns=seen.st_mtime_ns if seen else None,
        )


def many(count: int, *, size: int = 1000) -> dict[str, bytes]:
    """Small files in a few folders, no two of them equal."""
    return {f"{number % 3}/{number}.bin": b"%d " % number * (number % size + 1) for number in range(count)}


async def plan(*batches: list[Item]) -> AsyncGenerator[list[Item], None]:
    """Batches, as a tree or a manifest gives them."""
    for batch in batches:
        yield batch


@asynccontextmanager
async def client_of(
    server: Emulator, password: str = "demo", *, settle: float = 6.0, finalize: float = 10.0
) -> AsyncIterator[Client]:
    """Another client of demo's."""
    settings = replace(PATIENT, timeouts=replace(PATIENT.timeouts, settle=settle, finalize=finalize))
    async with Client(server.url, user="demo", password=password, settings=settings) as client:
        yield client


async def load(
    client: Client, path: Path, items: list[Item] | None = None, options: LoadOptions = OPTIONS
) -> tuple[Progress, Loader]:
    """One run over the journal at ``path``, as a process would make it."""
    async with Journal.open(path) as journal:
        loader = Loader(client, journal, options)
        return await loader.run(plan(items) if items is not None else None), loader


def states(progress: Progress) -> dict[str, int]:
    """Rows by state, without those that are in none."""
    return {str(state): tally.rows for state, tally in progress.counts.items() if tally.rows}


async def rows_of(path: Path) -> list[Row]:
    """All rows of a journal that nobody works on."""
    async with Journal.open(path) as journal:
        return [row async for row in journal.rows()]


async def assert_stored_once(server: Emulator, contents: Mapping[str, bytes], *, unknown: int = 0) -> None:
    """Each file is one document of one version with equal bytes, and nothing else is there or left.

    But for so many handlers of which nobody heard, because the server went away before it could answer.
    """
    documents = {document.path: document for document in await server.documents()}
    assert set(documents) == {f"{TO}/{name}" for name in contents}
    for name, data in contents.items():
        assert len(documents[f"{TO}/{name}"].versions) == 1, name
        assert (await server.content(f"{TO}/{name}")).read_bytes() == data, name
    await assert_nothing_left(server, unknown=unknown)


async def assert_nothing_left(server: Emulator, *, unknown: int = 0) -> None:
    """No handler, no check-out."""
    left = await server.open_handlers()
    assert len(left) <= unknown
    assert all(handler.size == 0 for handler in left)
    assert await server.checkouts() == {}


async def assert_consistent(path: Path, expected: int) -> Counter[State]:
    """Every row is in one state, the tally agrees, and nobody owns one. Returns how many are in each."""
    rows = await rows_of(path)
    found = Counter(row.state for row in rows)
    async with Journal.open(path) as journal:
        counts = await journal.counts()
    assert {state: tally.rows for state, tally in counts.items() if tally.rows} == dict(found)
    assert found.total() == expected
    return found

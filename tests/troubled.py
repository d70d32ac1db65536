"""A server in trouble, a client of it, and the questions that tests ask of both."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
from conftest import PATIENT, Leftovers

from asyncupload import Client, Settings
from asyncupload.emulator import Emulator, Script


@asynccontextmanager
async def against(
    folder: Path, script: Script | None = None, settings: Settings = PATIENT, *, variants: Iterable[str] = ()
) -> AsyncIterator[tuple[Emulator, Client]]:
    """A server with the users demo and anna, and a client of demo's. Nothing of both may be alive at the end."""
    before = Leftovers()
    users = {"demo": "demo", "anna": "anna"}
    async with (
        Emulator(folder / "server", script=script, users=users, variants=variants) as server,
        Client(server.url, user="demo", password="demo", settings=settings) as client,
    ):
        yield server, client
    assert not Leftovers().since(before)


def count(server: Emulator, operation: str) -> int:
    """How many requests for it have come in."""
    return [call.operation for call in server.calls].count(operation)


async def until(condition: Callable[[], object]) -> None:
    """Looks at every turn of the loop, so as not to miss a stage that passes quickly."""
    with anyio.fail_after(10):
        while not condition():  # noqa: ASYNC110  (what is waited for knows nothing of events)
            await asyncio.sleep(0)


async def version_comments(server: Emulator, path: str) -> list[str]:
    """Of the document at the path, from the oldest."""
    return [v.comment for document in await server.documents() if document.path == path for v in document.versions]


async def holder(server: Emulator, path: str) -> str | None:
    """Who has the document at the path checked out."""
    (checkout,) = (document.checkout for document in await server.documents() if document.path == path)
    return checkout.login if checkout is not None else None

"""An emulator on a real socket, and somebody who is signed in to it."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from asyncupload.emulator import Emulator
from emulator.caller import Caller


@pytest.fixture
def anyio_backend() -> str:
    """aiohttp is asyncio's."""
    return "asyncio"


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[Emulator]:
    async with Emulator(tmp_path / "data", users={"demo": "demo", "other": "secret"}) as started:
        yield started


@pytest.fixture
async def caller(server: Emulator) -> AsyncIterator[Caller]:
    """Signed in as demo."""
    async with Caller(server.url) as opened:
        await opened.sign_in("demo", "demo")
        yield opened


@pytest.fixture
async def other(server: Emulator) -> AsyncIterator[Caller]:
    """Signed in as other."""
    async with Caller(server.url) as opened:
        await opened.sign_in("other", "secret")
        yield opened

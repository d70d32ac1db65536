"""The same under uvloop, and beside an application that has used up the loop's own threads."""

import asyncio
import io
import os
import sys
from collections.abc import AsyncIterator, Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from conftest import FOLDER, PATIENT, Leftovers

from asyncupload import ChunkSent, Client, Settings, Timeouts
from asyncupload.emulator import Emulator, at
from web.serving import application, backend, browser, example, until

pytestmark = pytest.mark.anyio

TO = f"{FOLDER}/report.bin"
CHUNK = PATIENT.chunk_size
LOOPS = [
    pytest.param(("asyncio", {"use_uvloop": False}), id="asyncio"),
    pytest.param(
        ("asyncio", {"use_uvloop": True}),
        id="uvloop",
        marks=pytest.mark.skipif(sys.platform == "win32", reason="there is no uvloop for Windows"),
    ),
]


@pytest.fixture(params=LOOPS)
def anyio_backend(request: pytest.FixtureRequest) -> Any:
    """Both loops."""
    return request.param


class UsedUp(ThreadPoolExecutor):
    """No thread of it will ever be free."""

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> "Future[Any]":
        raise AssertionError(f"{fn} was given to the loop's default executor")


async def _pieces(data: bytes) -> AsyncIterator[bytes]:
    for start in range(0, len(data), 70_000):
        yield data[start : start + 70_000]


async def test_the_loop_is_the_one_that_is_said(anyio_backend: Any) -> None:
    assert ("uvloop" in type(asyncio.get_running_loop()).__module__) == anyio_backend[1]["use_uvloop"]


async def test_every_kind_goes_up_and_down_without_the_loops_own_threads(emulator: Emulator, tmp_path: Path) -> None:
    """Fault 86. The server is asked for by name: looking that up takes a thread, too."""
    data, file = os.urandom(3 * CHUNK + 1), tmp_path / "file"
    file.write_bytes(data)
    url = emulator.url.replace("127.0.0.1", "localhost")
    asyncio.get_running_loop().set_default_executor(UsedUp())
    async with Client(url, user="demo", password="demo", settings=PATIENT) as client:
        for source in (file, data, io.BytesIO(data), _pieces(data)):
            assert (await client.upload(source, to=TO)).size == len(data)
        await client.download(TO, tmp_path / "back")
        await client.verify(file, TO)
    assert (tmp_path / "back").read_bytes() == data


async def test_trouble_is_outwaited(tmp_path: Path) -> None:
    script = at({("UploadFileChunk", 1): "tryagain", ("UploadFileChunk", 2): "drop-after"})
    async with (
        Emulator(tmp_path, script=script) as server,
        Client(server.url, user="demo", password="demo", settings=PATIENT) as client,
    ):
        receipt = await client.upload(os.urandom(4 * CHUNK), to=TO)
        assert (receipt.restarted, await server.open_handlers()) == (1, [])


async def test_a_server_that_does_not_answer_is_given_up_in_time(tmp_path: Path) -> None:
    settings = Settings(timeouts=Timeouts(reply=0.3, cleanup=0.3, connect=1, slowest_rate=10**9))
    async with (
        Emulator(tmp_path, script=lambda call: "stall" if call.operation == "UploadFileChunk" else None) as server,
        Client(server.url, user="demo", password="demo", settings=settings) as client,
    ):
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.5):
                await client.upload(b"data", to=TO)
        assert await server.documents() == []


@pytest.mark.parametrize("steps", [1, 20, 50, 100, 150, 200, 300])
async def test_cancelled_here_and_there_nothing_is_left(steps: int, emulator: Emulator) -> None:
    async with Client(emulator.url, user="demo", password="demo", settings=PATIENT) as client:
        await client.ping()
        before = Leftovers()
        task = asyncio.ensure_future(client.upload(_pieces(os.urandom(2 * CHUNK)), to=TO))
        for _ in range(steps):
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait({task})
        assert Leftovers().tasks - before.tasks <= {task}
        assert await emulator.open_handlers() == []


async def test_an_event_stream_that_is_left_leaves_nothing(client: Client, emulator: Emulator) -> None:
    async for event in client.upload_events(_pieces(bytes(9 * CHUNK)), to=TO):
        if isinstance(event, ChunkSent):
            break
    async with asyncio.timeout(10):
        while await emulator.open_handlers():
            pass
    assert await emulator.documents() == []


async def test_a_browser_that_goes_away_leaves_nothing(server: Emulator) -> None:
    async with backend(application(example("Starlette"))) as url:
        async with browser(f"{url}/files/report.bin", "Content-Length: 8000000") as writer:
            writer.write(os.urandom(6_000_000))
            await until(lambda: "UploadFileChunk" in [call.operation for call in server.calls])
        await until(lambda: "DeleteUploadHandler" in [call.operation for call in server.calls])
    assert await server.documents() == []
    assert await server.open_handlers() == []

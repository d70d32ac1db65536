"""Web backends out of docs/web.md, behind real servers on real sockets."""

import asyncio
import re
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

import uvicorn
from aiohttp import web

PAGE = (Path(__file__).parents[2] / "docs" / "web.md").read_text("utf-8")

FRAMEWORKS = ["FastAPI", "Starlette", "aiohttp.web", "Litestar", "Quart"]


def example(heading: str) -> str:
    """The program under a heading of the page."""
    (section,) = (part for part in PAGE.split("\n## ") if part.startswith(f"{heading}\n"))
    (program,) = re.findall(r"^```python\n(.*?)^```", section, flags=re.MULTILINE | re.DOTALL)
    return str(program)


def application(program: str) -> Any:
    """What it calls ``app``."""
    module = sys.modules["example"] = ModuleType("example")  # Litestar looks there for what annotations mean
    exec(compile(program, "docs/web.md", "exec"), module.__dict__)
    return module.__dict__["app"]


@asynccontextmanager
async def backend(app: Any) -> AsyncIterator[str]:
    """Serve an application: aiohttp's by its own server, others by uvicorn. Yields its address."""
    served = aiohttp_backend(app) if isinstance(app, web.Application) else uvicorn_backend(app)
    async with served as url:
        yield url


@asynccontextmanager
async def aiohttp_backend(app: web.Application) -> AsyncIterator[str]:
    """By aiohttp's own server."""
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=5)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


@asynccontextmanager
async def uvicorn_backend(app: Any) -> AsyncIterator[str]:
    """By uvicorn, in this loop."""
    server = uvicorn.Server(
        uvicorn.Config(app, port=0, log_config=None, access_log=False, timeout_graceful_shutdown=5, ws="none")
    )
    task = asyncio.ensure_future(server.serve())
    await until(lambda: server.started or task.done())
    try:
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    finally:
        server.should_exit = True
        await task


async def until(condition: Callable[[], object]) -> None:
    """Wait for something that will be so."""
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110  (what is waited for knows of no event)
            await asyncio.sleep(0.005)


@asynccontextmanager
async def browser(url: str, *headers: str, method: str = "PUT") -> AsyncIterator[asyncio.StreamWriter]:
    """A request begun by hand: what is written is the body, as it stands. Leaving closes the connection."""
    host, _, rest = url.removeprefix("http://").partition("/")
    _, writer = await asyncio.open_connection(host.partition(":")[0], int(host.partition(":")[2]))
    try:
        writer.write("\r\n".join([f"{method} /{rest} HTTP/1.1", f"Host: {host}", *headers, "", ""]).encode())
        yield writer
    finally:
        writer.close()

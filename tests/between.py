"""A real proxy on a real socket, which may rewrite what passes: for servers that the emulator does not play."""

import io
from collections.abc import AsyncIterator, Awaitable, Callable, Collection
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import aiohttp
from aiohttp import web

Rewrite = Callable[[str, bytes], bytes]
"""From the operation's name and a body to the body that passes instead."""


Instead = Callable[[str, bytes], tuple[int, bytes] | None]
"""From the operation's name and a body to the status and the body that answer it; None lets it pass to the server."""

Meanwhile = Callable[[str], Awaitable[None]]
"""Called with the operation's name before a request goes on: what others do to the server at that moment."""


def as_it_is(operation: str, body: bytes) -> bytes:
    """Rewrites nothing."""
    return body


def nothing_instead(operation: str, body: bytes) -> None:
    """Everything passes."""


async def nothing(operation: str) -> None:
    """Nobody does anything."""


@dataclass
class Between:
    """What passed."""

    url: str = ""
    urls: list[str] = field(default_factory=list)
    """Paths and queries that were asked for."""
    requests: list[tuple[str, bytes]] = field(default_factory=list)
    """Operations and bodies."""


@asynccontextmanager
async def between(
    server: str,
    *,
    request: Rewrite = as_it_is,
    answer: Rewrite = as_it_is,
    instead: Instead = nothing_instead,
    meanwhile: Meanwhile = nothing,
    twice: Collection[str] = (),
) -> AsyncIterator[Between]:
    """A proxy before ``server``. It sends the operations in ``twice`` twice, and passes on the second's answer."""
    seen = Between()

    async def pass_on(incoming: web.Request) -> web.Response:
        operation, body = incoming.path.rpartition("/")[2], await incoming.read()
        seen.urls.append(incoming.path_qs)
        seen.requests.append((operation, body))
        await meanwhile(operation)
        if (given := instead(operation, body)) is not None:
            return web.Response(status=given[0], body=given[1], headers={"Content-Type": "text/xml"})
        headers = {name: incoming.headers[name] for name in ("Content-Type", "SOAPAction") if name in incoming.headers}
        if operation in twice:
            async with session.post(
                server + incoming.path, data=io.BytesIO(request(operation, body)), headers=headers
            ) as first:
                await first.read()
        async with session.request(
            incoming.method, server + incoming.path_qs, data=io.BytesIO(request(operation, body)), headers=headers
        ) as outgoing:
            return web.Response(
                status=outgoing.status,
                body=answer(operation, await outgoing.read()),
                headers={"Content-Type": outgoing.headers.get("Content-Type", "text/plain")},
            )

    app = web.Application(client_max_size=64 * 1024 * 1024)
    app.router.add_route("*", "/{path:.*}", pass_on)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0)
        async with aiohttp.ClientSession() as session:
            await site.start()
            seen.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
            yield seen
    finally:
        await runner.cleanup()

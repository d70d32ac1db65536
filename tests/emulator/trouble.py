"""A server in trouble, and what is heard from it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from asyncupload.emulator import Emulator, Script
from emulator.caller import Caller
from emulator.raw import Heard, connected, hear

SENT = {"drop-headers": 0.0, "drop-body": 0.6}
"""How much of the body is sent to meet a fault, if not all of it: the server must not wait for more."""


DELAY = 0.03
"""Seconds that a server in trouble pauses."""

SLOW = 0.1
"""Seconds that a slow call takes; a gateway has half of that patience."""

AWAY = 0.3
"""Seconds that a server is away."""


@asynccontextmanager
async def troubled(data: Path, script: Script, *, variant: str = "") -> AsyncIterator[tuple[Emulator, Caller]]:
    """A server in trouble, and somebody signed in to it."""
    variants = [variant] if variant else []
    server = Emulator(
        data,
        script=script,
        variants=variants,
        delay=DELAY,
        retry_after=7,
        huge_size=100_000,
        slow=SLOW,
        gateway=SLOW / 2,
        away=AWAY,
    )
    async with server, Caller(server.url) as caller:
        await caller.sign_in("demo", "demo")
        yield server, caller


async def told(url: str, request: tuple[bytes, bytes], share: float = 1.0) -> tuple[Heard, Heard]:
    """The answer, and then that to a harmless call on the same connection."""
    reader, writer = await connected(url)
    try:
        writer.write(request[0] + request[1][: int(len(request[1]) * share)])
        first = await hear(reader)
        writer.write(b"GET /srv.asmx/ServerInfo HTTP/1.1\r\nHost: e\r\n\r\n")
        return first, await hear(reader)
    finally:
        writer.transport.abort()


async def settled(server: Emulator) -> None:
    """Wait for what comes late; what never ends is left after a moment."""
    await server.settled(1.0)

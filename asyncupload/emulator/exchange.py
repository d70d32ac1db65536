"""One call while it is being answered: what a fault may do with it, besides letting it happen."""

import socket
import struct
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import NoReturn

import anyio
from aiohttp import web

from asyncupload.emulator.forms import Form, read_form, read_pairs
from asyncupload.emulator.operations import Operation
from asyncupload.emulator.operations.desk import Chunk, Desk
from asyncupload.emulator.replies import Answer, Rejected, Reply

# The largest chunk (32 MiB) in base64 whose every sixteenth character is escaped is 50 MB; the rest is room.
BODY_LIMIT = 64 * 1024 * 1024
DELAY = 0.05
RETRY_AFTER = 1
HUGE_SIZE = 8 * 1024 * 1024

# Linger for 0 seconds: closing throws away what is unsent, and tells the other side by a reset.
_RESET = struct.pack("ii", 1, 0)


@dataclass(slots=True)
class CallRecord:
    """A call that came in. `status` is None until it is answered, and stays so if it never is.

    `applied` says whether the operation did its work, whatever the client was told: the truth to hold a client to.
    """

    operation: str
    number: int
    faults: tuple[str, ...] = ()
    status: int | None = None
    applied: bool = False

    @property
    def fault(self) -> str | None:
        """The faults' names, the outermost first, joined by ``+``; None if there were none."""
        return "+".join(self.faults) or None


@dataclass(frozen=True, slots=True)
class Measures:
    """`delay` and `retry_after` in seconds; `huge_size` and `body_limit` in bytes.

    A longer body than `body_limit` is refused, unread if its length is declared, with `body_limit_status`.
    """

    delay: float = DELAY
    retry_after: int = RETRY_AFTER
    huge_size: int = HUGE_SIZE
    body_limit: int = BODY_LIMIT
    body_limit_status: int = 413


Background = Callable[[Coroutine[None, None, None]], None]
"""Runs something that may outlive its request; not the server."""


class Exchange:
    """A request and everything that can become of it. What never returns ends by cancellation, with the connection."""

    def __init__(
        self,
        request: web.BaseRequest,
        operation: Operation,
        desk: Desk,
        record: CallRecord,
        measures: Measures,
        background: Background,
    ) -> None:
        self.operation = operation
        self.measures = measures
        self.record = record
        self.close_on_reuse = False
        self._request = request
        self._desk = desk
        self._background = background
        self._read: Callable[[], Form] | None = None
        self._lost = False

    async def receive(self) -> Callable[[], Form]:
        """Read the request whole, and say how its form is read from it: that is work for the store's thread."""
        if self._read is None:
            self._read = await self._received()
        return self._read

    async def receive_half(self) -> None:
        """Read about half of the body, or the first of it if its length is not declared."""
        half, size = (self._request.content_length or 0) // 2, 0
        async for piece in self._request.content.iter_any():
            size += len(piece)
            if size >= half:
                return

    async def apply(self) -> Reply:
        """Do what was asked for, as without a fault."""
        read = await self.receive()

        def job() -> Reply:
            reply = self.operation.reply(self._desk, read)
            # Set here, and not by who waits: the work is done also for a client that has left meanwhile.
            self.record.applied = reply.done and not self._lost
            return reply

        return await self._desk.store.run(job)

    async def answer(self, make: Callable[[Desk, Form], Answer]) -> Reply:
        """Do this instead of what was asked for, and write the answer as the operation would."""
        read = await self.receive()
        return await self._desk.store.run(lambda: self.operation.answered(self._desk, lambda: make(self._desk, read())))

    async def work(self, job: Callable[[Desk, Form], None]) -> None:
        """Something that happens to the server beside the call."""
        read = await self.receive()
        await self._desk.store.run(lambda: job(self._desk, read()))

    def bare_success(self) -> Reply:
        """The operation's success without anything that it would tell."""
        return self.operation.answered(self._desk, Answer)

    def damage(self, change: Callable[[Chunk], Chunk]) -> None:
        """Stage something else than the chunk, whose CRC was right."""
        before = self._desk.staged
        self._desk = replace(self._desk, staged=lambda chunk: change(before(chunk)))

    def lose_chunk(self) -> None:
        """Acknowledge the chunk, but do not stage it."""
        self._lost = True
        self.damage(lambda _: b"")

    async def later(self, rest: Callable[[], Awaitable[Reply]]) -> None:
        """Let the rest happen after the delay, whether or not anybody is still waiting for it."""
        await self.receive()

        async def late() -> None:
            await anyio.sleep(self.measures.delay)
            with suppress(Rejected):
                await rest()

        self._background(late())

    async def stall(self) -> NoReturn:
        """Wait until the client or the emulator goes away."""
        while True:
            await anyio.sleep_forever()

    async def drop(self, *, reset: bool = False) -> NoReturn:
        """Close the connection without a word; with `reset` also impolitely."""
        transport = self._request.transport
        if transport is not None:
            if reset:
                transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
            transport.abort()
        await self.stall()

    async def send(self, raw: bytes) -> NoReturn:
        """Write these bytes in place of an answer, and close the connection behind them."""
        if self._request.transport is not None:
            self._request.transport.write(raw)
            self._request.transport.close()
        await self.stall()

    async def _received(self) -> Callable[[], Form]:
        request, operation = self._request, self.operation
        if request.method not in {"GET", "POST"}:
            raise Rejected(405, f"{request.method} is not a method of {operation.name}")
        if not operation.takes(request.method, self._desk.how):
            raise Rejected(415, f"{operation.name} takes bytes, which a query string cannot carry")
        cookie = request.cookies.get("ticket", "")
        if request.method == "GET":
            query = request.rel_url.raw_query_string.encode()
            return lambda: read_pairs(query, cookie)
        body = await self._body()
        content_type = request.headers.get("Content-Type", "")
        return lambda: read_form(content_type, body, cookie)

    async def _body(self) -> bytearray:
        """The body, whole or not at all: one that breaks off raises, or cancels this task."""
        request = self._request
        self._refuse_beyond_limit(request.content_length or 0)
        if request.headers.get("Expect", "").lower() == "100-continue" and request.transport is not None:
            request.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        body = bytearray()
        async for piece in request.content.iter_any():
            body += piece
            self._refuse_beyond_limit(len(body))
        return body

    def _refuse_beyond_limit(self, size: int) -> None:
        if size > self.measures.body_limit:
            raise Rejected(self.measures.body_limit_status, f"a request may have {self.measures.body_limit} bytes")

"""One call while it is being answered: what a fault may do with it, besides letting it happen."""

import asyncio
import select
import socket
import struct
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any, NoReturn, Protocol, TypeVar

import anyio

from asyncupload.emulator import pages, soap
from asyncupload.emulator.forms import Form, read_form, read_pairs
from asyncupload.emulator.host import Connection
from asyncupload.emulator.incoming import Incoming, Way
from asyncupload.emulator.operations import Operation
from asyncupload.emulator.operations.desk import Begun, Chunk, Desk
from asyncupload.emulator.outages import Outages
from asyncupload.emulator.replies import Answer, Refusal, Rejected, Reply, Unread, rejected_reply

T = TypeVar("T")

# The largest chunk (32 MiB) in base64 whose every sixteenth character is escaped is 50 MB; the rest is room.
BODY_LIMIT = 64 * 1024 * 1024
DELAY = 0.05
RETRY_AFTER = 1
HUGE_SIZE = 8 * 1024 * 1024
SLOW = 3.0
GATEWAY = 1.0
ECHO = 0.005
AWAY = 3.0

# Linger for 0 seconds: closing throws away what is unsent, and tells the other side by a reset.
_RESET = struct.pack("ii", 1, 0)


@dataclass(slots=True)
class CallRecord:
    """A call that came in. `status` is None until it is answered, and stays so if it never is.

    `applied` says whether the operation did its work, whatever the client was told: the truth to hold a client to.
    `way` is ``query``, ``form``, ``multipart`` or ``soap``.
    """

    operation: str
    number: int
    faults: tuple[str, ...] = ()
    status: int | None = None
    applied: bool = False
    way: Way = "form"

    @property
    def fault(self) -> str | None:
        """The faults' names, the outermost first, joined by ``+``; None if there were none."""
        return "+".join(self.faults) or None


@dataclass(frozen=True, slots=True)
class Measures:
    """`delay`, `retry_after`, `slow`, `gateway`, `echo` and `away` in seconds; `huge_size` and `body_limit` in bytes.

    A longer body than `body_limit` is refused, unread if its length is declared, with `body_limit_status`.
    """

    delay: float = DELAY
    retry_after: int = RETRY_AFTER
    huge_size: int = HUGE_SIZE
    body_limit: int = BODY_LIMIT
    body_limit_status: int = 413
    slow: float = SLOW
    gateway: float = GATEWAY
    echo: float = ECHO
    away: float = AWAY


class Background(Protocol):
    """Runs something that may outlive its request; not the server."""

    def __call__(self, work: Coroutine[Any, Any, T]) -> "asyncio.Task[T]": ...


class Exchange:
    """A request and everything that can become of it. What never returns ends by cancellation, with the connection."""

    def __init__(
        self,
        incoming: Incoming,
        operation: Operation,
        desk: Desk,
        record: CallRecord,
        measures: Measures,
        background: Background,
        outages: Outages,
    ) -> None:
        self.operation = operation
        self.outages = outages
        self.measures = measures
        self.record = record
        self.close_on_reuse = False
        self.twice = False
        self._incoming = incoming
        self._desk = desk
        self._background = background
        self._slow = False
        self._read: Callable[[], Form] | None = None
        self._lost = False

    async def receive(self) -> Callable[[], Form]:
        """Read the request whole, and say how its form is read from it: that is work for the store's thread."""
        if self._read is None:
            self._read = await self._received()
        return self._read

    async def receive_half(self) -> None:
        await self._incoming.half()

    async def apply(self) -> Reply:
        """Do what was asked for, as without a fault."""
        read = await self.receive()
        if self.operation.name in self._desk.missing:
            return self._missing()

        def job() -> Reply:
            reply = self.operation.reply(self._desk, read)
            # Set here, and not by who waits: the work is done also for a client that has left meanwhile.
            self.record.applied = reply.done and not self._lost
            return self.dressed(reply)

        return await self._desk.store.run(job)

    async def answer(self, make: Callable[[Desk, Form], Answer]) -> Reply:
        """Do this instead of what was asked for, and write the answer as the operation would."""
        read = await self.receive()

        def job() -> Reply:
            return self.dressed(self.operation.answered(self._desk, lambda: make(self._desk, read())))

        return await self._desk.store.run(job)

    async def work(self, job: Callable[[Desk, Form], None]) -> None:
        """Something that happens to the server beside the call."""
        read = await self.receive()
        await self._desk.store.run(lambda: job(self._desk, read()))

    def bare_success(self) -> Reply:
        """The operation's success without anything that it would tell."""
        return self.dressed(self.operation.answered(self._desk, Answer))

    def dressed(self, reply: Reply) -> Reply:
        """The reply in an envelope, if that is how the call came."""
        version = self._incoming.soap
        return reply if version is None else soap.enveloped(self.operation.name, reply, version)

    def refused(self, rejected: Rejected) -> Reply:
        """The answer to a request that reached no operation."""
        reply = rejected_reply(rejected, self._desk.how)
        return reply if isinstance(rejected, Unread) else self.dressed(reply)

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

    async def slowly(self, rest: Callable[[], Awaitable[Reply]]) -> Reply:
        """Let the rest take its time, whether or not anybody is still waiting for it."""
        if self._slow:
            return await rest()
        self._slow = True
        await self.receive()

        async def run() -> Reply:
            try:
                return await self._at_length(rest)
            except Rejected as rejected:
                return self.refused(rejected)

        return await asyncio.shield(self._background(run()))

    async def _at_length(self, rest: Callable[[], Awaitable[Reply]]) -> Reply:
        """A finalize looks at its ticket and its handler when it begins, and uses the handler up at its end."""
        if not self.operation.consumes or self.operation.name in self._desk.missing:
            await anyio.sleep(self.measures.slow)
            return await rest()
        begun = await self._begin()
        if begun is None:
            return await rest()
        await anyio.sleep(self.measures.slow)
        self._desk = replace(self._desk, begun=begun)
        reply = await rest()
        await self._desk.store.run(lambda: self._desk.store.handlers.let_go(begun.handler))
        return reply

    async def _begin(self) -> Begun | None:
        """None if it is refused at once."""
        read, desk = await self.receive(), self._desk

        def job() -> Begun | None:
            try:
                form = read()
                ticket = desk.signed_in(form)
                handler = desk.handler(form, ticket)
            except (Refusal, Rejected):
                return None
            desk.store.handlers.hold(handler)
            return Begun(ticket, handler)

        return await desk.store.run(job)

    def echo(self, reply: Reply) -> None:
        """Write this answer once more a moment later, if its connection is idle then.

        Behind the next request nobody could tell it from that one's own answer.
        """
        transport, connection = self._incoming.transport, self._incoming.request.protocol
        if transport is None or not isinstance(connection, Connection):
            return
        heard = connection.heard

        async def late() -> None:
            await anyio.sleep(self.measures.echo)
            # Of the next request something may have been read that nobody has begun to answer.
            if connection.heard == heard and not transport.is_closing() and not _has_unread(transport):
                transport.write(reply.head + reply.body)

        self._background(late())

    async def stall(self) -> NoReturn:
        """Wait until the client or the emulator goes away."""
        while True:
            await anyio.sleep_forever()

    async def drop(self, *, reset: bool = False) -> NoReturn:
        """Close the connection without a word; with `reset` also impolitely."""
        transport = self._incoming.transport
        if transport is not None:
            if reset:
                transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
            transport.abort()
        await self.stall()

    async def send(self, raw: bytes) -> NoReturn:
        """Write these bytes in place of an answer, and close the connection behind them."""
        if self._incoming.transport is not None:
            self._incoming.transport.write(raw)
            self._incoming.transport.close()
        await self.stall()

    def _missing(self) -> Reply:
        """How a server says that it has no such operation. In an envelope it is a fault whatever else it says."""
        if self._incoming.soap is not None:
            return soap.no_such_action(self.operation.name, self._incoming.soap)
        return pages.page(404) if self._desk.how.missing_404 else pages.no_such_operation(self.operation.name)

    async def _received(self) -> Callable[[], Form]:
        incoming, operation, cookie = self._incoming, self.operation, self._incoming.cookie
        classic, validated = self._desk.how.classic_binding, self._desk.how.request_validation
        if incoming.request.method not in {"GET", "POST"}:
            raise Unread(405, f"{incoming.request.method} is not a method of {operation.name}")
        if incoming.way == "query":
            if not operation.takes("GET", self._desk.how):
                raise Unread(415, f"{operation.name} takes bytes, which a query string cannot carry")
            asked = "QueryString" if validated else ""
            return lambda: read_pairs(incoming.query, cookie, classic=classic, validated=asked)
        body, version = await incoming.body(), incoming.soap
        if version is not None:
            exactly = operation.fields if self._desk.how.case_soap else None
            return lambda: soap.read_envelope(body, operation.name, cookie, exactly, version=version, classic=classic)
        return lambda: read_form(incoming.header("Content-Type"), body, cookie, classic=classic, validated=validated)


def _has_unread(transport: asyncio.Transport) -> bool:
    """Whether something has come on the connection that nobody has looked at yet."""
    try:
        return bool(select.select([transport.get_extra_info("socket")], [], [], 0)[0])
    except (OSError, ValueError):  # closed by now, or a number that is too high for this
        return True

"""Connections on which nothing is an answer that came before it was asked for.

HTTP/1.1 numbers neither requests nor answers: what comes next on a connection is taken for the answer to what went
last. An answer that something on the way delivers twice would so be the answer to the next request too.
"""

import asyncio
import contextvars
import functools
import select
import socket
import time
from typing import Any, cast

import aiohttp
import anyio
import anyio.lowlevel
import anyio.to_thread
from aiohttp.abc import AbstractResolver, AbstractStreamWriter, ResolveResult
from aiohttp.client_proto import ResponseHandler
from aiohttp.http import RawResponseMessage

from ._tls import ClientRefused, refuses_client

TURNS = 3
"""Of the event loop: it asks the kernel in the first, hands over what was there in the second, and whoever waits for it
has it in the third."""

NOTHING_LEFT = "asyncupload: nothing was left unread"
PROBE = f"HTTP/1.1 299 {NOTHING_LEFT}\r\nContent-Length: 0\r\n\r\n".encode()
"""An answer that no server gives."""


FRESH: contextvars.ContextVar[bool] = contextvars.ContextVar("FRESH", default=False)
"""Whether the request that is sent in this context must have a connection on which nothing was asked before."""

AT_ONCE = 1.0
"""Seconds after an answer. Who hangs up so soon and did not say so keeps no connections; to do so later is usual."""

REMEMBERED = 600.0
"""Seconds for which a server that hung up unasked is taken to be one that does."""

KEPT = 64 * 1024
"""Bytes of an answer that are kept for whoever cannot read it."""


class Manners:
    """How one server treats kept connections.

    Attributes:
        seen: How often it hung up unasked.
    """

    def __init__(self) -> None:
        self.seen = 0
        self._until = 0.0

    def note(self) -> None:
        """It has hung up on a connection that it had let stand."""
        self.seen += 1
        self._until = time.monotonic() + REMEMBERED

    @property
    def hangs_up(self) -> bool:
        """Whether a kept connection is better not used."""
        return self.seen > 0 and time.monotonic() < self._until


class Line(ResponseHandler):
    """A connection that knows what was said on it unasked.

    Attributes:
        heard: Bytes that came since the request began, without those of an interim answer (1xx).
        used: Whether it has carried a request.
        answered: Whether it has brought an answer.
        alert: By which the server refused the client's certificate, or missed one.
        opening: The first bytes that came.
        kept: What came since the request began, for whoever asked for it; see :data:`KEPT`.
    """

    heard = 0
    used = False
    answered = False
    alert: ClientRefused | None = None
    opening = b""
    kept: bytearray | None = None

    def __init__(self, loop: asyncio.AbstractEventLoop, manners: Manners | None = None) -> None:
        super().__init__(loop)
        self._manners = manners or Manners()
        self._told_at = 0.0
        self._ended = False
        self._hung_up = False

    def eof_received(self) -> None:
        self._hung_up = True
        super().eof_received()

    def connection_lost(self, exc: BaseException | None) -> None:
        if not self.answered and refuses_client(exc):
            # Another kind of error, since the same alert later on would be about something else.
            exc = self.alert = ClientRefused(exc)
        by_them = self._hung_up or isinstance(exc, ConnectionError)
        if by_them and self.answered and not self._ended and self._is_unasked():
            self._manners.note()
        super().connection_lost(exc)

    def _is_unasked(self) -> bool:
        """Whether the other side hangs up before a byte of an answer, or soon after one that did not say so."""
        waiting = self._told_at == 0.0
        return self.heard == 0 if waiting else time.monotonic() - self._told_at < AT_ONCE

    def data_received(self, data: bytes) -> None:
        self.heard += len(data)
        if len(self.opening) < 3:
            self.opening += data[:3]
        if self.kept is not None:
            self.kept += data[: max(0, KEPT - len(self.kept))]
        super().data_received(data)

    def force_close(self) -> None:
        self._ended = True
        super().force_close()

    def feed_data(self, data: Any, size: int = 0) -> None:
        message: RawResponseMessage = data[0]
        self.answered, self._told_at = True, time.monotonic()
        if message.code < 200:
            self.heard = 0
        super().feed_data(data, size)

    def close(self) -> None:
        """At once where something is unread or unsent: nobody waits for it, and the other side may never take it. Under
        TLS always, as the library does when it closes all: there the other side would have to answer."""
        self._ended, transport = True, self.transport
        at_once = self.should_close or (transport is not None and _is_unquiet(transport))
        super().close()
        if at_once and transport is not None:
            transport.abort()

    async def may_begin(self) -> bool:
        """Whether nothing has come since the last answer, not even the beginning of one. To be asked once for each
        request."""
        await _have_heard_all()
        if self.should_close or not self.is_connected():
            await _have_heard_all()  # why it ended comes a turn after the end
            return False
        if self.used and not await self._reads_nothing_else():
            return False
        self.heard, self.used, self.kept, self._told_at = 0, True, None, 0.0
        return True

    async def _reads_nothing_else(self) -> bool:
        """Half a head lies in the parser, and nobody can look there: so it gets an answer of ours to read, which comes
        out as it went in only if it is the first."""
        self.data_received(PROBE)
        if self.exception() is not None or not len(self):
            return False
        message, _ = await self.read()
        return message.reason == NOTHING_LEFT and len(message.raw_headers) == 1 and not self.should_close


def _is_unquiet(transport: asyncio.Transport) -> bool:
    return transport.get_write_buffer_size() > 0 or transport.get_extra_info("ssl_object") is not None


class Connections(aiohttp.TCPConnector):
    """Hands out lines that are quiet, and closes those that are not."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.manners = Manners()
        self._factory = cast(Any, functools.partial(Line, loop=self._loop, manners=self.manners))

    async def _get(self, key: Any, traces: Any) -> aiohttp.connector.Connection | None:
        """A kept connection. Where there must be none, it makes room: as many stay open as before."""
        kept = await super()._get(key, traces)
        if kept is not None and (FRESH.get() or self.manners.hangs_up):
            kept.close()
            return None
        return kept

    async def connect(self, *arguments: Any, **named: Any) -> aiohttp.connector.Connection:
        """A kept connection, or a new one.

        Raises:
            ClientConnectionError: A server speaks before anything was asked of it.
        """
        while True:
            connection = await super().connect(*arguments, **named)
            line = connection.protocol
            try:
                if not isinstance(line, Line) or await line.may_begin():
                    return connection
            except BaseException:
                connection.close()
                raise
            line.force_close()
            connection.close()
            if not line.used:
                if line.alert is not None:
                    raise line.alert
                raise aiohttp.ClientConnectionError("the server spoke, or hung up, before it was asked anything")


async def is_answered(writer: AbstractStreamWriter) -> bool:
    """Whether an answer has begun while a request is yet being written, up to the moment when this returns.

    Of a connection of a lent session, the head of the answer must be complete to be seen.
    """
    line = getattr(writer, "protocol", None)
    ours = isinstance(line, Line)
    if writer.output_size or not ours:
        await _have_heard_all()
    heard = line.heard > 0 if isinstance(line, Line) else line is not None and bool(line.should_close)
    return heard or _has_unread(getattr(writer, "transport", None))


def _has_unread(transport: asyncio.Transport | None) -> bool:
    """Whether the kernel has something of the other side, be it the end, that the loop has not fetched yet.

    False under TLS, where that tells nothing: the library's own words arrive, too.
    """
    if transport is None or transport.get_extra_info("ssl_object") is not None:
        return False
    number = transport.get_extra_info("socket").fileno()
    if not hasattr(select, "poll"):  # Windows, where any number may be asked about otherwise
        return bool(select.select([number], [], [], 0)[0])
    poll = select.poll()
    poll.register(number, select.POLLIN)
    return bool(poll.poll(0))


async def alert_behind(error: Exception, writer: AbstractStreamWriter | None) -> ClientRefused | None:
    """The server's word about the client's certificate, if a request failed because of it."""
    if isinstance(error.__cause__, ClientRefused):
        return error.__cause__
    line = getattr(writer, "protocol", None)
    if isinstance(line, Line) and line.alert is None:  # it was told only that nobody can write any more
        await _have_heard_all()
    return line.alert if isinstance(line, Line) else None


GRACE = 2.0
"""Seconds for the rest of an answer that has begun before the request had left."""


def leave_unfinished(writer: AbstractStreamWriter, grace: float) -> None:
    """See that nothing else goes on the connection on which half a request stands, and that nobody waits there long:
    the server may be waiting for the other half."""
    line, transport = getattr(writer, "protocol", None), getattr(writer, "transport", None)
    if line is not None:
        line.force_close()
    if transport is not None:
        asyncio.get_running_loop().call_later(grace, transport.abort)


def abort_if_closed(transport: asyncio.Transport | None) -> None:
    """End a closed connection at once. What is unsent would hold it open until the other side takes it, which may never
    happen, and longer than the event loop runs."""
    if transport is not None and transport.is_closing() and transport.get_write_buffer_size() > 0:
        transport.abort()


async def _have_heard_all() -> None:
    """What has arrived by now, on whatever kind of loop and connection, has been read when this returns."""
    for _ in range(TURNS):
        await anyio.lowlevel.checkpoint()


RESOLVING_THREADS = 4
"""Threads that look host names up, for all requests of a client. A name server that does not answer holds one up for
many seconds, and the checksums must not wait for it."""


class Resolver(AbstractResolver):
    """The operating system's, asked in a thread of anyio's: aiohttp's own would use the loop's default pool, which
    belongs to the application and may be full."""

    def __init__(self) -> None:
        self._threads = anyio.CapacityLimiter(RESOLVING_THREADS)

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        """All addresses of ``host``. A look-up that is cancelled goes on in its thread, and nobody waits for it."""
        return await anyio.to_thread.run_sync(
            _look_up, host, port, family, limiter=self._threads, abandon_on_cancel=True
        )

    async def close(self) -> None:
        """Nothing is open."""


def _look_up(host: str, port: int, family: socket.AddressFamily) -> list[ResolveResult]:
    found = socket.getaddrinfo(host, port, family=family, type=socket.SOCK_STREAM, flags=socket.AI_ADDRCONFIG)
    return [
        ResolveResult(
            hostname=host,
            # Written anew, since an address of the local link is nothing without its zone.
            host=socket.getnameinfo(address, socket.NI_NUMERICHOST | socket.NI_NUMERICSERV)[0],
            port=port,
            family=kind,
            proto=protocol,
            flags=socket.AI_NUMERICHOST | socket.AI_NUMERICSERV,
        )
        for kind, _, protocol, _, address in found
    ]

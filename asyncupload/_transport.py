"""One POST, one answer, and how much of the body had left: the only room that knows aiohttp's client."""

import email.utils
import socket
import ssl
import time
import urllib.request
from dataclasses import dataclass
from typing import Any, TypeAlias

import aiohttp
import anyio
import anyio.to_thread
from aiohttp.abc import AbstractResolver, AbstractStreamWriter, ResolveResult
from yarl import URL

from ._body import Base64, Body, Piece
from ._reply import Answer
from .errors import (
    AsyncUploadError,
    ConnectFailed,
    ConnectionLost,
    ForeignReply,
    TimedOut,
    TLSFailed,
    UsageError,
)

Session: TypeAlias = aiohttp.ClientSession

SLICE = 1024 * 1024
"""Bytes handed to the connection at a time. The kernel takes what it can at once and asyncio copies the rest of the
slice, so this bounds both that copy and how long the loop is kept from others (a fifth of a millisecond). Of smaller
slices each costs as much as to copy 100 KiB; TLS, which encrypts a slice as a whole, gains nothing from larger ones."""

RESOLVING_THREADS = 4
"""Threads that look host names up, for all requests of a client. A name server that does not answer holds one up for
many seconds, and the checksums must not wait for it."""

HEADERS = {"Accept-Encoding": "identity", "User-Agent": "asyncupload"}
"""No compression: an answer's bound then holds for what it costs in memory."""


@dataclass(slots=True)
class Delivery:
    """How far one request's body came."""

    complete: bool = False
    """Whether the body's last byte was handed over. While it was not, the server cannot have acted: the declared length
    is not met."""
    at: float = 0.0
    """When, by the clock of ``anyio.current_time``."""

    def done(self) -> None:
        """The last byte is handed over now."""
        self.complete, self.at = True, anyio.current_time()


class Transport:
    """Posts to one server. Redirects are never followed: they would carry the ticket along, or turn the POST into a
    GET.

    Args:
        url: The server's address, with its virtual directory if it has one; ``/srv.asmx`` at the end may be given or
            left out.
        session: A lent session, which stays open; None makes one, which :meth:`close` closes.
        tls: How to check the server's certificate; None means the system's authorities.
        connect_timeout: Seconds for the connection, and again for TLS.

    Raises:
        UsageError: The URL cannot be one of a server.
    """

    def __init__(
        self,
        url: str,
        *,
        session: Session | None = None,
        tls: ssl.SSLContext | None = None,
        connect_timeout: float,
    ) -> None:
        self.url = _endpoint(url)
        self._addresses: dict[str, URL] = {}
        self._lent = session
        self._own: Session | None = None
        self._tls: ssl.SSLContext | bool = tls if tls is not None else True
        self._connect_timeout = connect_timeout
        self._proxy = _proxy(self.url)
        self._closed = False
        self.threads: anyio.CapacityLimiter | None = None

    def __repr__(self) -> str:
        return f"<Transport {self.url}>"

    def open(self, threads: anyio.CapacityLimiter | None = None) -> None:
        """May be used (again).

        Args:
            threads: Bounds the threads in which base64 is made; None for anyio's own bound.
        """
        self._closed, self.threads = False, threads

    async def close(self) -> None:
        """Close what is ours. A lent session stays open."""
        self._closed = True
        if self._own is not None:
            await self._own.close()
            self._own = None

    async def post(self, operation: str, body: Body, *, seconds: float, limit: int, delivery: Delivery) -> Answer:
        """Send one request and read its answer, whatever its status.

        Args:
            operation: The last part of the URL.
            body: What to send, in pieces.
            seconds: For everything: connecting, sending, waiting, reading.
            limit: Bytes of an answer that are read at most.
            delivery: Told when the last byte is handed over; to be looked at by a caller that is cancelled.

        Raises:
            TransportError: No answer, or one larger than ``limit``.

        On cancellation the connection is closed: a body half sent is never taken for a whole one.
        """
        if body.action:
            url, headers = self.url, {**HEADERS, "SOAPAction": body.action}
        else:
            url, headers = self._address(operation), HEADERS
        payload = _Payload(body, delivery, self.threads)
        return await self._request("POST", url, operation, seconds, limit, data=payload, headers=headers)

    def _address(self, operation: str) -> URL:
        """Made once for each: a chunk needs the same as the one before."""
        if operation not in self._addresses:
            self._addresses[operation] = self.url / operation
        return self._addresses[operation]

    async def describe(self, *, seconds: float, limit: int) -> Answer:
        """The service's description of itself (WSDL): the only thing that is not asked by POST, and without a ticket.

        Raises and limits as :meth:`post`.
        """
        url = self.url.with_query("WSDL")
        return await self._request("GET", url, "WSDL", seconds, limit, headers=HEADERS)

    async def _request(self, method: str, url: URL, operation: str, seconds: float, limit: int, **rest: Any) -> Answer:
        timeout = aiohttp.ClientTimeout(total=seconds, sock_connect=self._connect_timeout)
        session = self._session()
        try:
            async with session.request(
                method,
                url,
                timeout=timeout,
                allow_redirects=False,
                raise_for_status=False,
                proxy=self._proxy,
                ssl=self._tls,
                **rest,
            ) as response:
                content = await _read_at_most(response.content, limit)
                location, after = (response.headers.get(name, "") for name in ("Location", "Retry-After"))
                answer = Answer(response.status, content[:limit], location, _seconds(after))
        except (aiohttp.ClientError, OSError) as error:
            raise translate(error, f"{operation} at {self.url}", seconds) from error
        if len(content) > limit:
            raise ForeignReply(
                f"{operation}: the answer is larger than {limit} bytes",
                status=answer.status,
            )
        return answer

    def _session(self) -> Session:
        if self._closed:  # a straggler must not open another session that nobody would close
            raise UsageError("the client is closed")
        if self._lent is not None:
            if self._lent.closed:
                raise UsageError("the lent session is closed")
            return self._lent
        if self._own is None:
            # No limit on connections: how many uploads run at once is decided above, and each uses one at a time.
            connector = aiohttp.TCPConnector(limit=0, keepalive_timeout=30, resolver=_Resolver())
            self._own = aiohttp.ClientSession(connector=connector)
        return self._own


class _Resolver(AbstractResolver):
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


class _Payload(aiohttp.Payload):
    """A body written piece by piece, in slices, without joining or copying."""

    def __init__(self, body: Body, delivery: Delivery, threads: anyio.CapacityLimiter | None = None) -> None:
        super().__init__(None, content_type=body.content_type)
        self._size = body.size
        self._pieces = body.pieces
        self._delivery = delivery
        self._threads = threads

    def decode(self, encoding: str = "utf-8", errors: str = "strict") -> str:
        """Demanded by the base class."""
        raise TypeError(f"a request's body is not shown, in {encoding} ({errors}) or otherwise")

    async def write(self, writer: AbstractStreamWriter) -> None:
        *before, last = self._pieces
        for piece in before:
            await self._write(piece, writer)
        # Set before the last piece: once it has begun, nobody can say any more that the last byte did not leave.
        self._delivery.done()
        await self._write(last, writer)

    async def _write(self, piece: Piece, writer: AbstractStreamWriter) -> None:
        if isinstance(piece, Base64):
            for number in range(piece.slices):
                await writer.write(await anyio.to_thread.run_sync(piece.slice, number, limiter=self._threads))
            return
        view = memoryview(piece)
        for start in range(0, len(view), SLICE):
            await writer.write(view[start : start + SLICE])


async def _read_at_most(content: aiohttp.StreamReader, limit: int) -> bytes:
    """The answer, or one byte more than ``limit`` of it."""
    parts: list[bytes] = []
    wanted = limit + 1
    while wanted > 0 and (part := await content.read(wanted)):
        parts.append(part)
        wanted -= len(part)
    return b"".join(parts)


def translate(error: Exception, where: str, seconds: float) -> AsyncUploadError:
    """This package's word for an error of aiohttp's or the operating system's. The most specific kinds come first."""
    told = f"{where}: {{}} ({str(error) or type(error).__name__})".format
    match error:
        case aiohttp.InvalidURL():
            found: AsyncUploadError = UsageError(told("not a URL that can be asked"))
        case aiohttp.ClientSSLError() | ssl.SSLError() | aiohttp.ServerFingerprintMismatch():
            found = TLSFailed(told("the TLS handshake failed; --ca-file (ca_file) names a private authority"))
        case aiohttp.ClientConnectorError() | aiohttp.ConnectionTimeoutError():
            found = ConnectFailed(told("cannot connect"))
        case aiohttp.ClientHttpProxyError():
            found = ForeignReply(told("the proxy refused"), status=error.status)
        case TimeoutError():
            found = TimedOut(f"{where}: no answer within {seconds:.0f} s")
        case _:
            found = ConnectionLost(told("the connection broke"))
    return found


def _endpoint(url: str) -> URL:
    """The address of ``srv.asmx``.

    Raises:
        UsageError: It is no http(s) URL, or carries what must not be in one. The message shows no password.
    """
    shown = "the server's URL" if "@" in url else repr(url)
    try:
        parsed = URL(url.strip())
    except ValueError as error:
        raise UsageError(f"{shown} cannot be read as a URL; it looks like https://host/InfoRouter") from error
    if parsed.scheme not in {"http", "https"} or not parsed.host:
        raise UsageError(f"{shown} is not a server's URL; it looks like https://host/InfoRouter")
    if parsed.user or parsed.password:
        raise UsageError("the server's URL must not carry a user or a password: URLs end up in logs")
    if parsed.query_string or parsed.fragment:
        raise UsageError(f"{shown} must be given without a query and without a fragment")
    path = parsed.path.rstrip("/")
    return parsed.with_path(path if path.lower().endswith("/srv.asmx") else f"{path}/srv.asmx")


def _proxy(url: URL) -> str | None:
    """The proxy that the environment names for this server. Looked up once: aiohttp would do it for every chunk."""
    if url.host and urllib.request.proxy_bypass(url.host):
        return None
    return urllib.request.getproxies().get(url.scheme)


def _seconds(text: str) -> float | None:
    """Seconds to wait by a Retry-After header, which gives them as a number or as a date."""
    if not text:
        return None
    if text.strip().isascii() and text.strip().isdigit():
        return float(text)
    try:
        return max(0.0, email.utils.parsedate_to_datetime(text).timestamp() - time.time())
    except (ValueError, OverflowError):  # no date, or one that no clock will show
        return None

"""One POST, one answer, and how much of the body had left: the only room that knows aiohttp's client."""

import asyncio
import email.utils
import io
import re
import ssl
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any, TypeAlias

import aiohttp
import anyio
import anyio.to_thread
from aiohttp.abc import AbstractStreamWriter
from yarl import URL

from ._address import endpoint
from ._body import Base64, Body, Piece
from ._carried import carried_by
from ._connections import (
    FRESH,
    GRACE,
    Connections,
    Line,
    Resolver,
    abort_if_closed,
    alert_behind,
    is_answered,
    leave_unfinished,
)
from ._cookies import Jar
from ._failure import Asked, quotes, translate
from ._proxy import overlooked, proxy_for
from ._reply import Answer
from ._secret import blot_all, blot_tickets
from .errors import AsyncUploadError, ConnectFailed, ConnectionLost, ForeignReply, UsageError

Session: TypeAlias = aiohttp.ClientSession

SLICE = 1024 * 1024
"""Bytes handed to the connection at a time. The kernel takes what it can at once and asyncio copies the rest of the
slice, so this bounds both that copy and how long the loop is kept from others (a fifth of a millisecond). Of smaller
slices each costs as much as to copy 100 KiB; TLS, which encrypts a slice as a whole, gains nothing from larger ones."""

HEADERS = {"Accept-Encoding": "identity", "User-Agent": "asyncupload"}
"""No compression: an answer's bound then holds for what it costs in memory."""

GENEROUS: dict[str, Any] = {"max_line_size": 64 * 1024, "max_field_size": 64 * 1024, "max_headers": 1024}
"""Bytes of a header, and how many of them are read: gateways add policies and cookies to what the server says."""


@dataclass(slots=True)
class Delivery:
    """How far one request's body came."""

    begun: bool = False
    """Whether anything of it was handed over, or was about to be."""
    complete: bool = False
    """Whether the body's last byte was handed over. While it was not, the server cannot have acted: the declared length
    is not met."""
    at: float = 0.0
    """When, by the clock of ``anyio.current_time``."""
    heard: bytearray | None = field(default=None, repr=False)
    """Where what is heard of the answer is kept, for one that may have to be undone; None if nobody asks for it."""

    def begin_anew(self) -> None:
        """The request goes once more, and what became of the first is known."""
        self.begun, self.complete, self.at = False, False, 0.0

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
        identified: Whether ``tls`` has a certificate of the client's.
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
        identified: bool = False,
        connect_timeout: float,
    ) -> None:
        self.url = endpoint(url)
        self._addresses: dict[str, URL] = {}
        self._lent = session
        self._own: Session | None = None
        self._tls: ssl.SSLContext | bool = tls if tls is not None else True
        self._identified = identified
        self._connect_timeout = connect_timeout
        self._proxy = proxy_for(self.url)  # once: aiohttp would look it up for every chunk
        self._closed = False
        self.threads: anyio.CapacityLimiter | None = None

    def __repr__(self) -> str:
        return f"<Transport {getattr(self, 'url', None)}>"

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

    def hiding(self) -> Callable[[str], str]:
        """Strikes out of a text what travels with each request: the proxy's password, cookies, a lent session's
        headers. May be used in a thread."""
        secrets = list(self._proxy.secrets) if self._proxy is not None else []
        session = self._lent or self._own
        if session is not None:
            secrets += carried_by(session, self.url)
        return partial(blot_all, secrets)

    async def post(
        self,
        operation: str,
        body: Body,
        *,
        seconds: float,
        limit: int,
        delivery: Delivery,
        hide: Callable[[str], str] = str,
        fresh: bool = False,
    ) -> Answer:
        """Send one request and read its answer, whatever its status.

        Args:
            operation: The last part of the URL.
            body: What to send, in pieces.
            seconds: For everything: connecting, sending, waiting, reading.
            limit: Bytes of an answer that are read at most.
            delivery: Told when the last byte is handed over; to be looked at by a caller that is cancelled.
            hide: Strikes the request's secrets out of what an error quotes.
            fresh: Whether it must go on a connection of its own: where its answer is lost, that is not because the
                server had ended a kept one. Of a lent session's connections nothing is known.

        Raises:
            TransportError: No answer, or one larger than ``limit``, or a success that came before the request had left
                whole: that is somebody else's. A refusal may come early.

        On cancellation the connection is closed: a body half sent is never taken for a whole one.
        """
        if body.action:
            url, headers = self.url, {**HEADERS, "SOAPAction": body.action}
        else:
            url, headers = self._address(operation), HEADERS
        payload = _Payload(body, delivery, self.threads)
        request = _Request("POST", url, operation, seconds, limit, delivery, hide)
        token = FRESH.set(fresh)
        try:
            return await self._request(request, data=payload, headers=headers)
        finally:
            FRESH.reset(token)
            abort_if_closed(payload.transport)

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
        request = _Request("GET", url, "WSDL", seconds, limit, Delivery(begun=True, complete=True))
        return await self._request(request, headers=HEADERS)

    async def _request(self, request: "_Request", **rest: Any) -> Answer:
        session = self._session()
        try:
            answer = await self._exchange(session, request, **rest)
            if (failure := _objection(request, answer)) is None:
                return answer
            del answer  # it may echo a password, and tracebacks may show local variables
        except (aiohttp.ClientError, OSError) as error:
            writer = getattr(rest.get("data"), "writer", None)
            alert = await alert_behind(error, writer)
            failure = self._translated(alert or error, request, getattr(writer, "protocol", None))
        except RuntimeError as error:
            if self._lent is None or not re.search(r"\bloop\b|inside a task", str(error)):
                raise
            failure = UsageError("the lent session belongs to another event loop: make it in the one that uses it")
        # Not in the handler: the error of the library would be its context, with all frames.
        raise failure

    async def _exchange(self, session: Session, request: "_Request", *, headers: dict[str, str], **rest: Any) -> Answer:
        proxy, told = self._proxy, {}
        if proxy is not None and self.url.scheme == "http":
            headers = {**headers, **proxy.headers}  # there is no tunnel: the proxy reads the request itself
        elif proxy is not None:
            told = proxy.headers
        async with session.request(
            request.method,
            request.url,
            timeout=aiohttp.ClientTimeout(total=request.seconds, sock_connect=self._connect_timeout),
            allow_redirects=False,
            raise_for_status=False,
            proxy=proxy.url if proxy is not None else None,
            proxy_headers=told or None,
            ssl=self._tls,
            headers=headers,
            **GENEROUS,
            **rest,
        ) as response:
            heads = response.headers
            location, after = (heads.get(name, "") for name in ("Location", "Retry-After"))
            asked = [*heads.getall("WWW-Authenticate", []), *heads.getall("Proxy-Authenticate", [])]
            # In no variable: leaving the response may be interrupted.
            return Answer(
                response.status,
                await _read_at_most(response.content, request.limit),
                location,
                _seconds(after),
                response.charset or "",
                tuple(one.split()[0].rstrip(",") for one in asked if one.split()),
            )

    def _translated(self, error: Exception, request: "_Request", protocol: Any) -> AsyncUploadError:
        """Our word for it. The original is chained without its frames, and only if nothing has to be hidden in it."""

        hide_ours, line = self.hiding(), protocol if isinstance(protocol, Line) else None

        def hide(text: str) -> str:
            return blot_tickets(hide_ours(request.hide(text)))

        asked = Asked(
            f"{request.operation} at {self.url}",
            request.seconds,
            encrypted=self.url.scheme == "https",
            identified=self._identified,
            proxy=self._proxy,
            heard=line.opening if line is not None else b"",
            answered=line is None or line.answered,
        )
        failure = translate(error, asked, hide)
        if isinstance(failure, ConnectFailed) and (named := overlooked(self.url)):
            failure.add_note(named)
        if request.delivery.heard is not None and line is None:  # a lent session's: all that is known of the answer
            request.delivery.heard += str(error).encode()
        if not quotes(error) and hide(str(error)) == str(error) and hide(repr(error)) == repr(error):
            error.__context__ = error.__cause__ = None
            failure.__cause__ = error.with_traceback(None)
        return failure

    def _session(self) -> Session:
        if self._closed:  # a straggler must not open another session that nobody would close
            raise UsageError("the client is closed")
        if self._lent is not None:
            if self._lent.closed:
                raise UsageError("the lent session is closed")
            return self._lent
        if self._own is None:
            # No limit on connections: how many uploads run at once is decided above, and each uses one at a time.
            connector = Connections(limit=0, keepalive_timeout=30, resolver=Resolver())
            self._own = aiohttp.ClientSession(connector=connector, cookie_jar=Jar(self.url))
        return self._own


@dataclass(frozen=True, slots=True)
class _Request:
    """One request, but for its body."""

    method: str
    url: URL
    operation: str
    seconds: float
    limit: int
    delivery: Delivery
    hide: Callable[[str], str] = str


def _objection(request: _Request, answer: Answer) -> AsyncUploadError | None:
    """Why this cannot be the answer, if it cannot."""
    delivery = request.delivery
    if not delivery.complete and (not delivery.begun or 200 <= answer.status < 300):
        return ConnectionLost(
            f"{request.operation}: an answer came before the request had left; it is somebody else's, and the "
            "connection was closed"
        )
    if len(answer.body) > request.limit:
        message = f"{request.operation}: the answer is larger than {request.limit} bytes"
        return ForeignReply(message, status=answer.status)
    return None


class _Payload(aiohttp.Payload):
    """A body written piece by piece, in slices, without joining or copying."""

    def __init__(self, body: Body, delivery: Delivery, threads: anyio.CapacityLimiter | None = None) -> None:
        super().__init__(None, content_type=body.content_type)
        self._size = body.size
        self._pieces = body.pieces
        self._delivery = delivery
        self.writer: AbstractStreamWriter | None = None
        self.transport: asyncio.Transport | None = None
        self._threads = threads

    def decode(self, encoding: str = "utf-8", errors: str = "strict") -> str:
        """Demanded by the base class."""
        raise TypeError(f"a request's body is not shown, in {encoding} ({errors}) or otherwise")

    async def write(self, writer: AbstractStreamWriter) -> None:
        self.writer = writer
        self.transport = getattr(writer, "transport", None)  # now: a writer forgets it when the connection is closed
        # What came on a lent session's connection while nobody asked. Ours has been listened to before.
        if not writer.output_size and await is_answered(writer):
            leave_unfinished(writer, 0.0)
            raise ConnectionAbortedError("the connection had unread bytes when the request began")
        self._delivery.begun = True
        if isinstance(line := getattr(writer, "protocol", None), Line):
            line.kept = self._delivery.heard
        *before, last = self._pieces
        for piece in before:
            await self._write(piece, writer)
        if before and await is_answered(writer):
            # The last byte stays here. So the server cannot act, whatever the answer is; and since half a request
            # stands on the connection, nothing else may go there.
            leave_unfinished(writer, GRACE)
            return
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
    # In no variable meanwhile: what was read so far may echo a password, and reading on may fail.
    read = io.BytesIO()
    while read.write(await content.read(limit + 1 - read.tell())):
        pass
    return read.getvalue()


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

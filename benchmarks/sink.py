"""A server that takes uploads and keeps nothing: the other end of every measurement, in a process of its own.

    python benchmarks/sink.py [--port N] [--rtt SECONDS] [--bandwidth BYTES] [--verify] [--cert FILE]

It reads the request line, the length and, of a chunk, the fields that stand before the bytes; the bytes go round and
round in one buffer per connection. What a chunk's checksum field says is believed and combined into ``filehexcrc``, so
that a client which compares is content; with ``--verify`` the bytes are checksummed instead, and a chunk that arrived
otherwise is refused with ``tryagain``. It never looks at tickets, and is no emulator: see ``asyncupload serve`` for
that.

The line is modelled in user space: one line for all connections, on which bytes follow each other at ``--bandwidth``,
and an answer that leaves ``--rtt`` seconds after the last byte of its request came off the line.

It prints ``{"url": …}`` when it is ready, and what came when it is terminated: ``bytes`` off the line, bytes
``appended``, ``requests``, and its own ``cpu`` seconds.
"""

import argparse
import asyncio
import fcntl
import json
import re
import resource
import signal
import ssl
import sys
import termios
from collections.abc import Callable
from dataclasses import dataclass, field
from urllib.parse import unquote_plus

from zlib_ng import zlib_ng

BUFFER = 1024 * 1024
SPIN = 0.0015
"""Seconds before a moment at which timers, which have the grain of a millisecond, are no longer trusted."""

_HEAD = re.compile(rb"POST \S*?/(\w+)[ ?].*?\r\ncontent-length: *(\d+)", re.IGNORECASE | re.DOTALL)
_FIELD = re.compile(rb'name="?(\w+)"?\r\n(?:[^\r\n]+\r\n)*\r\n([^\r\n]*)\r\n', re.IGNORECASE)
_BOUNDARY = re.compile(rb'boundary="?([^\r\n";]+)', re.IGNORECASE)
_BYTES = re.compile(rb'name="?fileChunk"?[^\r\n]*\r\n(?:[^\r\n]+\r\n)*\r\n', re.IGNORECASE)


@dataclass
class Line:
    """One line for all connections."""

    rtt: float = 0.0
    bandwidth: float = 0.0
    """Bytes per second; 0 for as fast as they come."""
    free_at: float = 0.0

    def take(self, now: float, size: int, *, waited: bool) -> float:
        """When the last of these bytes is off the line.

        Those that ``waited`` in the kernel's buffer, because they came faster than the line has them, followed on those
        before, however late this process looks.
        """
        if not self.bandwidth:
            return now
        self.free_at = (self.free_at if waited else max(self.free_at, now)) + size / self.bandwidth
        return self.free_at


@dataclass
class Counts:
    """What came."""

    bytes: int = 0
    """Off the line, heads and fields included."""
    appended: int = 0
    """Of chunks that were not refused."""
    requests: int = 0
    handlers: int = 0
    crc32: dict[str, int] = field(default_factory=dict)
    """Of each handler's bytes so far."""


@dataclass
class Request:
    """A chunk whose bytes are coming in."""

    operation: str
    fields: dict[str, str]
    left: int
    """Bytes of the request yet to come."""
    size: int = 0
    """Of the chunk."""
    unchecked: int = 0
    """Of these, those that were not checksummed yet."""
    found: int = 0


class Sink(asyncio.BufferedProtocol):
    """One connection."""

    def __init__(self, line: Line, counts: Counts, *, verify: bool) -> None:
        self._line = line
        self._counts = counts
        self._verify = verify
        self._buffer = memoryview(bytearray(BUFFER))
        self._filled = 0
        self._request: Request | None = None
        self._waiting = 0
        """Bytes that were in the kernel's buffer when the line was free for them."""
        self._asked_to_go_on = False
        self._loop = asyncio.get_running_loop()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def get_buffer(self, sizehint: int) -> memoryview:  # noqa: ARG002  (the protocol's)
        return self._buffer[self._filled :]

    def buffer_updated(self, nbytes: int) -> None:
        self._counts.bytes += nbytes
        due = self._line.take(self._loop.time(), nbytes, waited=self._waiting > 0)
        self._waiting = max(0, self._waiting - nbytes)
        if self._request is None:
            self._filled += nbytes
            self._begin()
        else:
            self._count(self._request, self._buffer[:nbytes])
        if self._request is not None and self._request.left == 0:
            request, self._request, self._filled, self._waiting = self._request, None, 0, 0
            content = self._answer(request)
            self._at(due + self._line.rtt, lambda: self._transport.write(content))
        elif due > self._loop.time():
            self._transport.pause_reading()
            self._at(due, self._go_on)

    def _go_on(self) -> None:
        if self._line.bandwidth:
            count = bytearray(4)
            fcntl.ioctl(self._transport.get_extra_info("socket").fileno(), termios.FIONREAD, count)
            self._waiting = int.from_bytes(count, sys.byteorder)
        self._transport.resume_reading()

    def _at(self, due: float, act: Callable[[], None]) -> None:
        if self._transport.is_closing():
            return
        left = due - self._loop.time()
        if left <= 0:
            act()
        elif left > SPIN:
            self._loop.call_later(left - SPIN, self._at, due, act)
        else:
            self._loop.call_soon(self._at, due, act)

    def _begin(self) -> None:
        """Look whether everything before the chunk's bytes is there."""
        came = bytes(self._buffer[: min(self._filled, 16384)])
        end = came.find(b"\r\n\r\n") + 4
        if end < 4:
            return
        head = _HEAD.match(came)
        assert head is not None, came[:200]
        self._invite(came[:end])
        operation, length = head[1].decode(), int(head[2])
        boundary = _BOUNDARY.search(came, 0, end)
        if boundary is None:
            fields = _form(came[end:]) if self._filled - end >= length else {}
            self._request = Request(operation, fields, max(0, length - (self._filled - end)))
        elif place := _BYTES.search(came, end):
            fields = {
                name.decode().lower(): value.decode() for name, value in _FIELD.findall(came[end : place.start()])
            }
            size = length - (place.end() - end) - len(boundary[1]) - 8
            request = Request(operation, fields, length - (place.end() - end), size, size)
            self._count(request, self._buffer[place.end() : self._filled])
            self._request = request
        if self._request is not None:
            self._filled, self._asked_to_go_on = 0, False

    def _invite(self, head: bytes) -> None:
        """curl sends no large body uninvited."""
        if b"100-continue" in head and not self._asked_to_go_on:
            self._asked_to_go_on = True
            self._transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def _count(self, request: Request, came: memoryview) -> None:
        request.left -= len(came)
        if self._verify and request.unchecked:
            part = came[: request.unchecked]
            request.found = zlib_ng.crc32(part, request.found)
            request.unchecked -= len(part)

    def _answer(self, request: Request) -> bytes:
        self._counts.requests += 1
        xml = self._operate(request)
        head = f"HTTP/1.1 200 OK\r\nContent-Type: text/xml; charset=utf-8\r\nContent-Length: {len(xml)}\r\n\r\n"
        return head.encode() + xml.encode()

    def _operate(self, request: Request) -> str:  # noqa: PLR0911  (one per operation)
        match request.operation:
            case "AuthenticateUser":
                return '<root success="true" ticket="0f0f0f0f-0000-4000-8000-000000000000" username="bench"/>'
            case "CreateUploadHandler":
                self._counts.handlers += 1
                size = min(max(int(request.fields.get("preferedchunksize", "0")), 1 << 18), 1 << 25)
                handler = f"00000000-0000-4000-8000-{self._counts.handlers:012x}"
                return f'<response success="true" error="" UploadHandler="{handler}" ChunkSize="{size}"/>'
            case "UploadFileChunk":
                return self._append(request)
            case "DocumentExists" | "GetDocument":
                return '<response success="false" errorCode="4041" error="Document not found."/>'
            case "ServerInfo":
                return '<response success="true" VersionNumber="sink"/>'
            case "isValidTicket":
                return '<root success="true" username="bench"/>'
            case _:
                return '<response success="true" error="" DocumentId="1" VersionId="1000000"/>'

    def _append(self, request: Request) -> str:
        fields, crcs = request.fields, self._counts.crc32
        handler, told = fields.get("uploadhandler", ""), int(fields.get("chunkhexcrc", "0"), 16)
        if self._verify and request.found != told:
            return '<root success="false" tryagain="true" error="other bytes arrived"/>'
        self._counts.appended += request.size
        crcs[handler] = zlib_ng.crc32_combine(crcs.get(handler, 0), told, request.size)
        if fields.get("lastchunk") == "true":
            return f'<root success="true" tryagain="false" filehexcrc="{crcs.pop(handler):X}"/>'
        return '<root success="true" tryagain="false"/>'


def _form(text: bytes) -> dict[str, str]:
    pairs = (pair.partition("=") for pair in text.decode().split("&"))
    return {name.lower(): unquote_plus(value) for name, _, value in pairs}


async def serve(options: argparse.Namespace) -> None:
    counts, line = Counts(), Line(options.rtt, options.bandwidth)
    tls = None
    if options.cert:
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        tls.load_cert_chain(options.cert)
    loop, stop = asyncio.get_running_loop(), asyncio.Event()
    loop.add_signal_handler(signal.SIGTERM, stop.set)
    server = await loop.create_server(
        lambda: Sink(line, counts, verify=options.verify), "127.0.0.1", options.port, ssl=tls, backlog=1024
    )
    scheme, port = "https" if tls else "http", server.sockets[0].getsockname()[1]
    print(json.dumps({"url": f"{scheme}://localhost:{port}/InfoRouter"}), flush=True)
    await stop.wait()
    usage = resource.getrusage(resource.RUSAGE_SELF)
    told = {
        "bytes": counts.bytes,
        "appended": counts.appended,
        "requests": counts.requests,
        "cpu": usage.ru_utime + usage.ru_stime,
    }
    print(json.dumps(told), flush=True)
    server.close()


def main() -> None:
    parser = argparse.ArgumentParser(description="A server that takes uploads and keeps nothing.")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--rtt", type=float, default=0.0, help="seconds")
    parser.add_argument("--bandwidth", type=float, default=0.0, help="bytes per second; 0 for no bound")
    parser.add_argument("--verify", action="store_true", help="checksum what comes")
    parser.add_argument("--cert", help="PEM file with a key and a certificate: speak TLS")
    asyncio.run(serve(parser.parse_args()))


if __name__ == "__main__":
    main()

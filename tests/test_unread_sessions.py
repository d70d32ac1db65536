"""A session that was opened, and whose answer nobody can read, is ended, and its ticket seen by nobody. Public reports:
UsefulSoftwareCo/executor#1567, apache/kafka#13119, dell/OpenManage-Enterprise#3, pedramamini/sandboxapi#3."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from urllib.parse import parse_qs

import aiohttp
import pytest
from conftest import PATIENT
from front import read_message
from locals_shown import with_locals

from asyncupload import AsyncUploadError, Client
from asyncupload._secret import tickets_in

pytestmark = pytest.mark.anyio

TICKETS = "6f9619ff-8b86-d011-b42d-00c04fc9{:04x}"
ENVELOPE = "<s:Envelope><s:Body><R><X>{}</X></R></s:Body></s:Envelope>"
GOOD = '<root success="true" ticket="{}" username="demo"/>'


def http(body: str, *, length: int | None = None, heads: str = "") -> bytes:
    data = body.encode("utf-8", "surrogateescape")
    size = len(data) if length is None else length
    return f"HTTP/1.1 200 OK\r\n{heads}Content-Length: {size}\r\n\r\n".encode() + data


ANSWERS: dict[str, str | bytes] = {
    "stray bytes behind it": http(GOOD) + b"stray: bytes",
    "the same again behind it": http(GOOD) + GOOD.encode(),
    "a length that is too small": http(GOOD, length=10),
    "a length of nothing": http(GOOD, length=0),
    "a length that is too large": http(GOOD, length=5000),
    "no HTTP at all": GOOD.encode(),
    "chunks that are none": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + GOOD.encode(),
    "behind a broken header": http(GOOD, heads="X\x01y: z\r\n"),
    "behind two lengths": http(GOOD, heads="Content-Length: 7\r\n"),
    "a tag that is open": http('<root success="true" ticket="{}">'),
    "two roots": http(GOOD + GOOD),
    "in an element": http('<root success="true"><ticket>{}</ticket></root>'),
    "in JSON": http('{{"success": true, "ticket": "{}"}}'),
    "in text": http("<string>&lt;root success=&quot;true&quot; ticket=&quot;{}&quot;/&gt;</string>"),
    "in another place of an envelope": http(ENVELOPE.format(ENVELOPE.format(GOOD))),
    "a web page around it": http("<!DOCTYPE html><p>" + GOOD),
    "in a cookie": http("", heads="Set-Cookie: ticket={}; Path=/\r\n"),
    "beside HTTP 500": b"HTTP/1.1 500 No\r\nContent-Length: 100\r\n\r\n" + GOOD.encode().ljust(100),
    "compressed, as it says": http(GOOD, heads="Content-Encoding: gzip\r\n"),
}


@dataclass
class Server:
    """Opens sessions, and says so in its own way.

    Attributes:
        open: Their tickets.
    """

    answer: bytes
    url: str = ""
    open: list[str] = field(default_factory=list, repr=False)
    opened: int = 0
    serving: set[asyncio.Task[None] | None] = field(default_factory=set, repr=False)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.serving.add(asyncio.current_task())
        with suppress(OSError, asyncio.IncompleteReadError):
            while True:
                request = await read_message(reader)
                writer.write(self._act(request.operation, request.body.decode()))
                await writer.drain()
                if request.operation != "LogOut":
                    await asyncio.sleep(0.05)
                    break
        writer.transport.abort()

    def _act(self, operation: str, body: str) -> bytes:
        if operation == "LogOut":
            (ticket,) = parse_qs(body)["AuthenticationTicket"]
            with suppress(ValueError):
                self.open.remove(ticket)
            return http('<root success="true"/>')
        self.opened += 1
        ticket = TICKETS.format(self.opened)
        self.open.append(ticket)
        return self.answer.replace(b"{}", ticket.encode()).replace(b"{{", b"{").replace(b"}}", b"}")


@asynccontextmanager
async def running(answer: str | bytes) -> AsyncIterator[Server]:
    told = answer.encode() if isinstance(answer, str) else answer
    # The length counts the ticket, not what stands for it.
    head, split, body = told.partition(b"\r\n\r\n")
    length = f"Content-Length: {len(body)}".encode()
    grown = len(body.replace(b"{}", TICKETS.format(1).encode()).replace(b"{{", b"{").replace(b"}}", b"}"))
    server = Server(head.replace(length, f"Content-Length: {grown}".encode()) + split + body)
    listener = await asyncio.start_server(server.serve, "127.0.0.1", 0)
    async with listener:
        server.url = f"http://127.0.0.1:{listener.sockets[0].getsockname()[1]}"
        yield server
        await asyncio.gather(*filter(None, server.serving))


async def failure(server: Server, session: aiohttp.ClientSession | None = None) -> AsyncUploadError:
    with pytest.raises(AsyncUploadError) as caught:
        async with Client(server.url, user="demo", password="demo", settings=PATIENT, session=session) as client:
            await client.folder_exists("/Finance")
    return caught.value


@pytest.mark.parametrize("answer", ANSWERS)
async def test_a_session_is_ended_whose_answer_cannot_be_read(answer: str) -> None:
    async with running(ANSWERS[answer]) as server:
        error = await failure(server)
    assert server.opened >= 1
    assert not server.open
    shown = with_locals(error) + repr([error.__cause__, error.__context__, vars(error)]) + json.dumps(str(error))
    assert "6f9619ff" not in shown.lower()


@pytest.mark.parametrize("answer", ["stray bytes behind it", "a tag that is open", "no HTTP at all"])
async def test_so_it_is_with_a_lent_session(answer: str, caplog: pytest.LogCaptureFixture) -> None:
    """As far as the library's words tell."""
    async with running(ANSWERS[answer]) as server, aiohttp.ClientSession() as lent:
        error = await failure(server, lent)
    assert "6f9619ff" not in with_locals(error).lower()
    assert "6f9619ff" not in caplog.text.lower()
    assert answer != "a tag that is open" or not server.open


async def test_a_ticket_that_is_cut_off_is_none() -> None:
    """To log out with half of one is of no use."""
    assert not tickets_in(b'<root success="true" ticket="6f9619ff-8b86-d011')
    assert not tickets_in(b"ticket of the day")
    assert not tickets_in(b"")


async def test_a_ticket_is_found_in_whatever_is_written_two_bytes_a_character() -> None:
    found = tickets_in('<root ticket="6f9619ff-8b86-d011"/>'.encode("utf-16"))
    assert [each.reveal() for each in found] == ["6f9619ff-8b86-d011"]


async def test_a_server_that_does_not_answer_the_log_out_does_not_hold_the_error_up() -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        request = await read_message(reader)
        if request.operation == "AuthenticateUser":
            writer.write(http(GOOD.format("6f9619ff-8b86-d011-b42d-00c04fc9ffff") + "--"))
        await reader.read()
        writer.transport.abort()

    listener = await asyncio.start_server(serve, "127.0.0.1", 0)
    brief = PATIENT.timeouts.__class__(connect=5, reply=10, cleanup=0.1)
    settings = PATIENT.__class__(timeouts=brief, retries=PATIENT.retries.__class__(attempts=1))
    async with listener:
        url = f"http://127.0.0.1:{listener.sockets[0].getsockname()[1]}"
        with pytest.raises(AsyncUploadError, match="AuthenticateUser"):
            async with Client(url, user="demo", password="demo", settings=settings) as client:
                await client.folder_exists("/Finance")

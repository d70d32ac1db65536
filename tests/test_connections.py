"""What comes on a connection before it is asked for is nobody's answer. Threads with raw sockets play the servers, so
that they speak while the client's loop stands still."""

import asyncio
import contextlib
import gc
import select
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, cast

import aiohttp
import anyio.to_thread
import pytest
import trustme
from conftest import FOLDER, PATIENT
from yarl import URL

from asyncupload import AsyncUploadError, Client
from asyncupload._body import Body
from asyncupload._connections import Line
from asyncupload._transport import Delivery, Transport
from asyncupload.emulator import Emulator
from asyncupload.errors import ConnectionLost

pytestmark = pytest.mark.anyio

Send = Callable[[bytes], None]


@pytest.fixture(params=["asyncio", "uvloop"])
def anyio_backend(request: pytest.FixtureRequest) -> tuple[str, dict[str, bool]]:
    return "asyncio", {"use_uvloop": request.param == "uvloop"}


@dataclass
class Scripted:
    """A server on threads.

    Attributes:
        talk: What it does to each connection, which is closed afterwards.
        connections: How many came.
        said: Set by ``talk`` when all that it wants to say has left.
    """

    talk: "Callable[[Scripted, socket.socket], None]"
    tls: ssl.SSLContext | None = None
    connections: int = 0
    said: threading.Event = field(default_factory=threading.Event)
    requests: list[bytes] = field(default_factory=list)

    @contextmanager
    def running(self) -> Iterator[str]:
        with socket.create_server(("127.0.0.1", 0)) as listener, contextlib.ExitStack() as opened:
            threading.Thread(target=self._accept, args=(listener, opened), daemon=True).start()
            yield f"{'https' if self.tls else 'http'}://127.0.0.1:{listener.getsockname()[1]}"
            listener.shutdown(socket.SHUT_RDWR)

    def _accept(self, listener: socket.socket, opened: contextlib.ExitStack) -> None:
        with contextlib.suppress(OSError):
            while True:
                accepted, _ = listener.accept()
                self.connections += 1
                opened.callback(hang_up, accepted)
                threading.Thread(target=self._serve, args=(accepted,), daemon=True).start()

    def _serve(self, accepted: socket.socket) -> None:
        accepted.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with contextlib.suppress(OSError, EOFError):
            line = self.tls.wrap_socket(accepted, server_side=True) if self.tls else accepted
            with line:
                self.talk(self, line)


def hang_up(line: socket.socket) -> None:
    """The thread that uses the connection sees its end, and closes it: nobody else may, as its number could by then be
    another file's."""
    with contextlib.suppress(OSError):  # it may have ended before
        line.shutdown(socket.SHUT_RDWR)


def read_head(line: socket.socket) -> bytes:
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        byte = line.recv(1)
        if not byte:
            raise EOFError
        head += byte
    return head


def read_exactly(line: socket.socket, size: int) -> bytes:
    parts = []
    while size > 0:
        part = line.recv(size)
        if not part:
            raise EOFError
        parts.append(part)
        size -= len(part)
    return b"".join(parts)


def length_of(head: bytes) -> int:
    return next(
        (int(each.split(b":")[1]) for each in head.splitlines() if each.lower().startswith(b"content-length")), 0
    )


def read_message(line: socket.socket) -> tuple[bytes, bytes]:
    head = read_head(line)
    return head, read_exactly(line, length_of(head))


def ok(body: bytes) -> bytes:
    return b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body)


def with_chunks(body: bytes) -> bytes:
    return b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n" % (len(body), body)


def apart(send: Send, first: bytes, second: bytes, seconds: float = 0.03) -> None:
    send(first)
    time.sleep(seconds)
    send(second)


SURPLUS: dict[str, Callable[[Send, bytes], None]] = {
    "twice at once": lambda send, reply: send(reply + reply),
    "twice, one after the other": lambda send, reply: apart(send, reply, reply, seconds=0),
    "later": lambda send, reply: apart(send, reply, reply),
    "and half a head": lambda send, reply: send(reply + reply[:20]),
    "and half a head later": lambda send, reply: apart(send, reply, reply[:20]),
    "and half a body": lambda send, reply: send(reply + reply[:-2]),
    "and half a body later": lambda send, reply: apart(send, reply, reply[:-2]),
    "three times": lambda send, reply: send(reply * 3),
    "and a byte": lambda send, reply: send(reply + b"H"),
    "and a line without an end": lambda send, reply: send(reply + b"HTTP/1.1 200 OK\r\nX: y"),
    "and a head without its end": lambda send, reply: send(reply + b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n"),
    "and no HTTP later": lambda send, reply: apart(send, reply, b"garbage"),
    "in chunks, twice": lambda send, reply: send(with_chunks(reply[-6:]) * 2),
}
"""How an answer is sent, and what comes after it."""


def echoing(surplus: str) -> Callable[[Scripted, socket.socket], None]:
    """Answers each request with its own body, and says more than that. What it has begun to say it ends when the next
    request comes."""

    def talk(server: Scripted, line: socket.socket) -> None:
        while True:
            _, body = read_message(line)
            server.requests.append(body)
            SURPLUS[surplus](line.sendall, ok(body))
            server.said.set()

    return talk


async def stand_still(server: Scripted) -> None:
    """Wait with the loop blocked: what comes meanwhile lies in the kernel, and nobody has read it."""
    assert server.said.wait(10)


async def turn(server: Scripted) -> None:
    """Wait while the loop turns and reads what comes."""
    assert await anyio.to_thread.run_sync(server.said.wait, 10)


async def posted(transport: Transport, body: bytes, delivery: Delivery | None = None) -> bytes:
    request = Body("text/plain", (body,))
    answer = await transport.post("Op", request, seconds=10, limit=1000, delivery=delivery or Delivery())
    return answer.body


async def answers_of(server: Scripted, url: str, wait: Callable[[Scripted], Any], **options: Any) -> None:
    transport = Transport(url, connect_timeout=5, **options)
    try:
        for number in range(3):
            server.said.clear()
            assert await posted(transport, b"body-%d" % number) == b"body-%d" % number
            await wait(server)
    finally:
        await transport.close()


WAITS = {"while the loop stands still": stand_still, "while the loop turns": turn}


@pytest.mark.parametrize("wait", WAITS)
@pytest.mark.parametrize("surplus", SURPLUS)
async def test_what_comes_on_an_idle_connection_is_no_answer(surplus: str, wait: str) -> None:
    """The connection is closed, and the request goes on another one."""
    server = Scripted(echoing(surplus))
    with server.running() as url:
        await answers_of(server, url, WAITS[wait])
    assert server.connections == 3
    assert server.requests == [b"body-0", b"body-1", b"body-2"], "a request was sent twice"


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


def tls_of(authority: trustme.CA) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    theirs, ours = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), ssl.create_default_context()
    authority.issue_cert("127.0.0.1", "documents.invalid").configure_cert(theirs)
    authority.configure_trust(ours)
    return theirs, ours


@pytest.mark.parametrize("wait", WAITS)
@pytest.mark.parametrize("surplus", SURPLUS)
async def test_neither_is_it_under_tls(surplus: str, wait: str, authority: trustme.CA) -> None:
    theirs, ours = tls_of(authority)
    server = Scripted(echoing(surplus), tls=theirs)
    with server.running() as url:
        await answers_of(server, url, WAITS[wait], tls=ours)
    assert server.connections == 3


async def test_neither_is_it_through_a_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    proxy = Scripted(echoing("later"))
    with proxy.running() as url:
        monkeypatch.setenv("http_proxy", url)
        monkeypatch.delenv("no_proxy", raising=False)
        await answers_of(proxy, "http://documents.invalid", stand_still)
    assert proxy.connections == 3


def tunnel(inner: Scripted, port: int, proxy: Scripted, line: socket.socket) -> None:
    read_head(line)
    with socket.create_connection(("127.0.0.1", port)) as there:
        line.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
        ends = {line: there, there: line}
        while True:
            ready, _, _ = select.select(list(ends), [], [], 0.01)
            for end in ready:
                data = end.recv(65536)
                if not data:
                    return
                ends[end].sendall(data)
            if not ready and inner.said.is_set():
                proxy.said.set()


async def test_neither_is_it_through_a_tunnel(monkeypatch: pytest.MonkeyPatch, authority: trustme.CA) -> None:
    theirs, ours = tls_of(authority)
    server = Scripted(echoing("later"), tls=theirs)
    with server.running() as inner:
        proxy = Scripted(partial(tunnel, server, URL(inner).port or 0))

        async def stand_still_for_both(_: Scripted) -> None:
            await stand_still(server)
            await stand_still(proxy)
            server.said.clear()
            proxy.said.clear()

        with proxy.running() as url:
            monkeypatch.setenv("https_proxy", url)
            monkeypatch.delenv("no_proxy", raising=False)
            await answers_of(proxy, "https://documents.invalid", stand_still_for_both, tls=ours)
    assert server.connections == 3


async def test_several_connections_with_unread_bytes_are_all_passed_over() -> None:
    server = Scripted(echoing("later"))
    with server.running() as url:
        transport = Transport(url, connect_timeout=5)
        try:
            await asyncio.gather(*(posted(transport, b"first-%d" % number) for number in range(4)))
            await asyncio.sleep(0.2)
            assert await posted(transport, b"then") == b"then"
        finally:
            await transport.close()
    assert server.connections == 5


def silent(server: Scripted, line: socket.socket) -> None:
    while True:
        _, body = read_message(line)
        line.sendall(ok(body))
        server.said.set()


@pytest.mark.parametrize("tls", [False, True], ids=["plain", "TLS"])
async def test_a_connection_with_nothing_unread_is_kept(tls: bool, authority: trustme.CA) -> None:
    """Also under TLS, where the library has words of its own to read."""
    theirs, ours = tls_of(authority)
    server = Scripted(silent, tls=theirs if tls else None)
    with server.running() as url:
        await answers_of(server, url, stand_still, **({"tls": ours} if tls else {}))
    assert server.connections == 1


async def test_our_connections_are_of_the_kind_that_listens() -> None:
    """The library has no public place for it: should that place move, nothing else would say so."""
    server = Scripted(silent)
    with server.running() as url:
        transport = Transport(url, connect_timeout=5)
        await posted(transport, b"x")
        connector = transport._session().connector
        assert connector is not None
        ((line, _),) = next(iter(connector._conns.values()))
        await transport.close()
    assert type(line) is Line


async def test_a_connection_that_was_closed_meanwhile_is_not_tried() -> None:
    def once(server: Scripted, line: socket.socket) -> None:
        line.sendall(ok(read_message(line)[1]))
        line.close()
        server.said.set()

    server = Scripted(once)
    with server.running() as url:
        transport = Transport(url, connect_timeout=5)
        try:
            for number in range(5):
                assert await posted(transport, b"%d" % number) == b"%d" % number
                await stand_still(server)  # so that the loop has not heard of it
                server.said.clear()
        finally:
            await transport.close()


async def test_a_line_on_which_the_server_speaks_first_is_not_used() -> None:
    """As one of another protocol does, or a line that is mixed up with another."""

    def greeting(server: Scripted, line: socket.socket) -> None:
        line.sendall(ok(b"welcome"))
        server.said.set()
        line.recv(1)

    server, loop = Scripted(greeting), asyncio.get_running_loop()
    with server.running() as url:
        made, line = await loop.create_connection(lambda: Line(loop), "127.0.0.1", URL(url).port or 0)
        await stand_still(server)
        assert not await line.may_begin()
        made.abort()


# ── lent sessions ─────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("surplus", ["twice at once", "later", "and half a body", "and half a body later"])
async def test_an_idle_connection_of_a_lent_session_is_refused_before_anything_leaves(surplus: str) -> None:
    server, lost = Scripted(echoing(surplus)), 0
    with server.running() as url:
        async with aiohttp.ClientSession() as lent:
            transport = Transport(url, connect_timeout=5, session=lent)
            for number in range(3):
                body, delivery = b"body-%d" % number, Delivery()
                server.said.clear()
                try:
                    assert await posted(transport, body, delivery) == body
                except ConnectionLost:
                    lost += 1
                    assert not delivery.begun
                    assert await posted(transport, body) == body
                await stand_still(server)
    assert server.requests == [b"body-0", b"body-1", b"body-2"]
    assert lost == (2 if "later" in surplus else 0), "the library itself sees what came with the answer"


# ── while a request leaves ────────────────────────────────────────────────────────────────────────────────────────────

LARGE = Body("text/plain", (b"head", bytes(32 * 1024 * 1024), b"tail"))
"""More than all the buffers between two sockets of one machine can hold."""


def answering_early(early: bytes, then: bytes = b"") -> Callable[[Scripted, socket.socket], None]:
    def talk(server: Scripted, line: socket.socket) -> None:
        head = read_head(line)
        read_exactly(line, 100_000)
        line.sendall(early)
        try:
            server.requests.append(read_exactly(line, length_of(head) - 100_000))
        finally:
            server.said.set()  # also when the other side has hung up
            line.sendall(then)
            line.recv(1)

    return talk


@pytest.mark.parametrize("lent", [False, True], ids=["our session", "a lent one"])
async def test_a_success_that_comes_before_the_request_has_left_is_none(lent: bool) -> None:
    """It is somebody else's. The last byte stays here, so that the server cannot act on the request."""
    server, delivery = Scripted(answering_early(ok(b"for another"))), Delivery()
    with server.running() as url:
        async with aiohttp.ClientSession() as session:
            transport = Transport(url, connect_timeout=5, session=session if lent else None)
            try:
                with pytest.raises(ConnectionLost, match="before the request had left"):
                    await transport.post("Op", LARGE, seconds=20, limit=1000, delivery=delivery)
            finally:
                await transport.close()
        await turn(server)
    assert not delivery.complete
    assert not server.requests, "the whole body arrived"


async def test_a_success_whose_beginning_comes_before_the_request_has_left_is_none() -> None:
    server, delivery = Scripted(answering_early(ok(b"another")[:20], ok(b"another")[20:])), Delivery()
    with server.running() as url:
        transport = Transport(url, connect_timeout=5)
        try:
            with pytest.raises(ConnectionLost):
                await transport.post("Op", LARGE, seconds=30, limit=1000, delivery=delivery)
        finally:
            await transport.close()
    assert not delivery.complete


class Echo(asyncio.Protocol):
    """Answers the first request twice, the second time so many turns of the loop later, if nothing has come by then."""

    def __init__(self, turns: int) -> None:
        self._turns = turns
        self._answered = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._line = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        reply = ok(data.rpartition(b"\r\n\r\n")[2])
        self._line.write(reply)
        self._answered += 1
        if self._answered == 1:
            self._later(reply, self._turns)

    def _later(self, reply: bytes, turns: int) -> None:
        if turns:
            asyncio.get_running_loop().call_soon(self._later, reply, turns - 1)
        elif not self._line.is_closing() and not select.select([self._line.get_extra_info("socket")], [], [], 0)[0]:
            self._line.write(reply)


@pytest.mark.parametrize("lent", [False, True], ids=["our session", "a lent one"])
async def test_what_comes_in_the_very_moment_in_which_a_request_leaves_is_no_answer_to_it(lent: bool) -> None:
    """It may lie in the kernel when the request is written: one that has come later could not be told apart."""
    for turns in range(40):
        server = await asyncio.get_running_loop().create_server(partial(Echo, turns), "127.0.0.1", 0)
        async with server, aiohttp.ClientSession() as session:
            url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
            transport = Transport(url, connect_timeout=5, session=session if lent else None)
            try:
                assert await posted(transport, b"first") == b"first"
                with suppress(ConnectionLost):
                    assert await posted(transport, b"second") == b"second", f"{turns} turns later"
            finally:
                await transport.close()


@pytest.mark.parametrize("lent", [False, True], ids=["our session", "a lent one"])
async def test_a_refusal_may_come_before_the_request_has_left(lent: bool) -> None:
    refusal = b"HTTP/1.1 413 Too Large\r\nContent-Length: 3\r\n\r\nbig"
    server, delivery = Scripted(answering_early(refusal)), Delivery()
    with server.running() as url:
        async with aiohttp.ClientSession() as session:
            transport = Transport(url, connect_timeout=5, session=session if lent else None)
            try:
                answer = await transport.post("Op", LARGE, seconds=20, limit=1000, delivery=delivery)
            finally:
                await transport.close()
    assert (answer.status, answer.body, delivery.complete) == (413, b"big", False)


@pytest.mark.parametrize("lent", [False, True], ids=["our session", "a lent one"])
async def test_a_connection_on_which_half_a_request_stands_is_gone_when_the_request_ends(lent: bool) -> None:
    """Although the other side takes nothing any more: what is unsent would keep it open, and the loop may end."""

    def busy(server: Scripted, line: socket.socket) -> None:
        read_head(line)
        line.sendall(b"HTTP/1.1 413 Too Large\r\nContent-Length: 3\r\n\r\nbig")
        assert ended.wait(10)
        with suppress(ConnectionResetError):
            while line.recv(1024 * 1024):
                pass

    ended, server = threading.Event(), Scripted(busy)
    with server.running() as url:
        async with aiohttp.ClientSession() as session:
            transport = Transport(url, connect_timeout=5, session=session if lent else None)
            try:
                with anyio.move_on_after(5):
                    await transport.post("Op", LARGE, seconds=20, limit=1000, delivery=Delivery())
            finally:
                await transport.close()
        await asyncio.sleep(0.05)
        lines = [each for each in gc.get_objects() if isinstance(each, asyncio.Transport) and each.is_closing()]
        unsent = [each.get_write_buffer_size() for each in lines]
        ended.set()
    assert not any(unsent)


@pytest.mark.parametrize("lent", [False, True], ids=["our session", "a lent one"])
async def test_an_interim_answer_is_none_and_harms_nobody(lent: bool) -> None:
    """Some servers say ``100 Continue`` without being asked whether to."""
    server = Scripted(answering_early(b"HTTP/1.1 100 Continue\r\n\r\n", ok(b"done")))
    with server.running() as url:
        async with aiohttp.ClientSession() as session:
            transport = Transport(url, connect_timeout=5, session=session if lent else None)
            try:
                answer = await transport.post("Op", LARGE, seconds=20, limit=1000, delivery=Delivery())
            finally:
                await transport.close()
    assert answer.body == b"done"
    assert server.requests


SOON_SETTLED = replace(PATIENT, timeouts=replace(PATIENT.timeouts, settle=0.5))
"""A request to store that overtakes a chunk, which a copy has acknowledged, is refused, and then looked into."""

# ── whole uploads ─────────────────────────────────────────────────────────────────────────────────────────────────────


def doubling(port: int, operations: set[bytes], pause: float) -> Callable[[Scripted, socket.socket], None]:
    """Passes on to a server what comes, and its answers to some operations twice."""

    def talk(relay: Scripted, line: socket.socket) -> None:
        with socket.create_connection(("127.0.0.1", port)) as there:
            while True:
                head, body = read_message(line)
                there.sendall(head + body)
                answer = b"".join(read_message(there))
                line.sendall(answer)
                if head.split(b" ")[1].rpartition(b"/")[2] in operations:
                    time.sleep(pause)
                    line.sendall(answer)

    return talk


@pytest.mark.parametrize("pause", [0.0, 0.001, 0.02])
@pytest.mark.parametrize("existing", [False, True], ids=["new", "version"])
async def test_an_upload_whose_answers_come_twice_is_stored_once_and_told_rightly(
    tmp_path: Path, pause: float, existing: bool
) -> None:
    async with Emulator(tmp_path / "server") as server:
        relay = Scripted(doubling(URL(server.url).port or 0, {b"UploadFileChunk", b"CreateUploadHandler"}, pause))
        stored = 0
        with relay.running() as url:
            async with Client(
                url + URL(server.url).path.rstrip("/"), user="demo", password="demo", settings=SOON_SETTLED
            ) as client:
                for number in range(3):
                    path, data = f"{FOLDER}/{0 if existing else number}.bin", b"%d" % number * 600_000
                    # A copy that comes when the next request has left is beyond telling: then nothing is claimed.
                    with suppress(AsyncUploadError):
                        receipt = await client.upload(data, to=path)
                        assert (await server.content(path, receipt.version_id)).read_bytes() == data
                        stored += 1
        assert stored <= sum(len(document.versions) for document in await server.documents()) <= 3
        assert stored >= 1

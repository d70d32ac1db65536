"""One POST, one answer: what is known of the request however the connection ends. Raw sockets play the server."""

import asyncio
import base64
import ssl
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from email.utils import formatdate
from pathlib import Path
from typing import Any, Literal

import aiohttp
import anyio.to_thread
import pybase64
import pytest
import trustme
from aiohttp.abc import AbstractStreamWriter
from blockbuster import BlockBusterFunction, BlockingError
from conftest import FOLDER
from multidict import CIMultiDict

from asyncupload import Client, Settings
from asyncupload._address import endpoint
from asyncupload._body import SLICE as BASE64_SLICE
from asyncupload._body import Base64, Body
from asyncupload._failure import Asked, translate
from asyncupload._reply import Answer
from asyncupload._transport import SLICE, Delivery, Transport, _Payload, _seconds
from asyncupload.emulator import Emulator
from asyncupload.errors import (
    AsyncUploadError,
    ConnectFailed,
    ConnectionLost,
    ForeignReply,
    TimedOut,
    TLSFailed,
    UsageError,
)

pytestmark = pytest.mark.anyio

SMALL = Body("text/plain", (b"small",))
LARGE = Body("text/plain", (b"head", bytes(64 * 1024 * 1024), b"tail"))
"""More than all the buffers between two sockets of one machine can hold."""

Conversation = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def _server(talk: Conversation, tls: ssl.SSLContext | None = None) -> AsyncIterator[str]:
    """A server that does to each connection what ``talk`` says, and then closes it."""

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await talk(reader, writer)
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.transport.abort()

    server = await asyncio.start_server(handle, "127.0.0.1", 0, ssl=tls)
    port = server.sockets[0].getsockname()[1]
    try:
        yield f"{'https' if tls else 'http'}://127.0.0.1:{port}"
    finally:
        server.close()
        await asyncio.sleep(0)


@asynccontextmanager
async def _transport(url: str, **options: Any) -> AsyncIterator[Transport]:
    transport = Transport(url, connect_timeout=options.pop("connect_timeout", 5), **options)
    try:
        yield transport
    finally:
        await transport.close()


async def _read_request(reader: asyncio.StreamReader) -> bytes:
    head = await reader.readuntil(b"\r\n\r\n")
    length = next(int(line.split(b":")[1]) for line in head.splitlines() if line.lower().startswith(b"content-length"))
    return head + await reader.readexactly(length)


def _answering(answer: bytes) -> Conversation:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await _read_request(reader)
        writer.write(answer)
        await writer.drain()
        await reader.read(1)

    return talk


async def _post(
    url: str,
    body: Body = SMALL,
    *,
    seconds: float = 10,
    limit: int = 1000,
    delivery: Delivery | None = None,
    **options: Any,
) -> Answer:
    async with _transport(url, **options) as transport:
        return await transport.post("Op", body, seconds=seconds, limit=limit, delivery=delivery or Delivery())


async def _failure(url: str, body: Body = SMALL, **options: Any) -> tuple[AsyncUploadError, bool]:
    """The error, and whether all of the body had left."""
    delivery = Delivery()
    with pytest.raises(AsyncUploadError) as caught:
        await _post(url, body, delivery=delivery, **options)
    return caught.value, delivery.complete


async def test_an_answer_is_handed_on_whatever_its_status() -> None:
    head = b"HTTP/1.1 503 Busy\r\nRetry-After: 7\r\nLocation: /there\r\nContent-Length: 4\r\n\r\nbody"
    async with _server(_answering(head)) as url:
        assert await _post(url) == Answer(503, b"body", "/there", 7.0)


async def test_the_request_is_a_post_to_the_operation_with_its_whole_body() -> None:
    seen = list[bytes]()

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen.append(await _read_request(reader))
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")

    async with _server(talk) as url:
        await _post(f"{url}/InfoRouter/", Body("text/x", (b"a", b"", memoryview(b"bc"), b"d")))
    (request,) = seen
    assert request.startswith(b"POST /InfoRouter/srv.asmx/Op HTTP/1.1\r\n")
    assert b"Content-Type: text/x\r\n" in request
    assert b"Accept-Encoding: identity\r\n" in request, "an answer's bound must hold for what it becomes in memory"
    assert request.endswith(b"\r\n\r\nabcd")


async def test_what_goes_in_an_envelope_goes_to_the_service_itself() -> None:
    """And says in a header what is asked."""
    seen = list[bytes]()

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen.append(await _read_request(reader))
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")

    async with _server(talk) as url:
        await _post(f"{url}/ir", Body("text/xml; charset=utf-8", (b"<x/>",), action='"http://tempuri.org/Op"'))
    (request,) = seen
    assert request.startswith(b"POST /ir/srv.asmx HTTP/1.1\r\n")
    assert b'SOAPAction: "http://tempuri.org/Op"\r\n' in request
    assert b"Content-Type: text/xml; charset=utf-8\r\n" in request


async def test_the_service_is_asked_about_itself_without_a_word_about_the_user() -> None:
    seen = list[bytes]()

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\n<wsdl/>")

    async with _server(talk) as url, _transport(f"{url}/ir") as transport:
        assert await transport.describe(seconds=5, limit=7) == Answer(200, b"<wsdl/>")
    async with _server(talk) as url, _transport(url) as transport:
        with pytest.raises(ForeignReply, match="WSDL: the answer is larger than 6 bytes"):
            await transport.describe(seconds=5, limit=6)
    assert seen[0].startswith(b"GET /ir/srv.asmx?WSDL HTTP/1.1\r\n")
    assert b"cookie" not in seen[0].lower()
    assert b"authorization" not in seen[0].lower()


async def test_refused_connections_have_applied_nothing() -> None:
    """Fault 30."""
    async with _server(_answering(b"")) as url:
        pass
    error, left = await _failure(url)
    assert isinstance(error, ConnectFailed)
    assert (left, error.transient) == (False, True)


async def test_names_that_do_not_resolve_have_applied_nothing() -> None:
    """Fault 29: and the message names the host."""
    error, _ = await _failure("http://no-such-host.invalid")
    assert isinstance(error, ConnectFailed)
    assert "no-such-host.invalid" in str(error)


async def test_a_handshake_that_never_ends_is_a_failed_connection() -> None:
    """Fault 35: within the time for connecting, not the longer time for the answer."""

    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(-1)

    async with _server(silent) as url:
        error, _ = await _failure(url.replace("http", "https"), seconds=60, connect_timeout=0.2)
    assert isinstance(error, ConnectFailed)


async def test_a_body_cut_short_has_applied_nothing() -> None:
    """Fault 37: the server closes while the body is on its way, and cannot have its declared length."""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readexactly(1_000_000)

    async with _server(talk) as url:
        error, left = await _failure(url, LARGE)
    assert isinstance(error, ConnectionLost)
    assert (left, error.transient) == (False, True)


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhal",
        b"this is not HTTP at all\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Le",
    ],
    ids=["nothing", "half a body", "half a chunk", "no HTTP", "half a head"],
)
async def test_a_whole_body_without_a_whole_answer_is_unknown(answer: bytes) -> None:
    """Fault 41."""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await _read_request(reader)
        writer.write(answer)
        await writer.drain()
        writer.close()

    async with _server(talk) as url:
        error, left = await _failure(url)
    assert isinstance(error, ConnectionLost)
    assert (left, error.transient) == (True, True)


async def test_a_whole_body_without_an_answer_in_time_is_unknown() -> None:
    """Fault 40."""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(-1)

    async with _server(talk) as url:
        error, left = await _failure(url, seconds=0.2)
    assert isinstance(error, TimedOut)
    assert left


async def test_a_body_that_nobody_takes_times_out_unapplied() -> None:
    """Fault 39: the time runs while the body is being sent, too."""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(2)

    async with _server(talk) as url:
        error, left = await _failure(url, LARGE, seconds=0.3)
    assert isinstance(error, TimedOut)
    assert not left


async def test_an_endless_answer_is_read_no_further_than_its_limit() -> None:
    sent = 0

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        await _read_request(reader)
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
        while True:
            writer.write(bytes(100_000))
            sent += 100_000
            await writer.drain()

    async with _server(talk) as url:
        error, left = await _failure(url, limit=50_000)
    assert isinstance(error, ForeignReply)
    assert left
    assert sent < 50_000_000


async def test_a_redirect_is_not_followed() -> None:
    """Fault 34: followed, the POST would become a GET, or carry the ticket to another host."""
    requests = 0

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal requests
        requests += 1
        await _read_request(reader)
        writer.write(b"HTTP/1.1 307 Go\r\nLocation: /elsewhere\r\nContent-Length: 0\r\n\r\n")

    async with _server(talk) as url:
        assert (await _post(url)).location == "/elsewhere"
    assert requests == 1


async def test_connections_are_kept_for_the_next_request() -> None:
    connections = 0

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal connections
        connections += 1
        for _ in range(3):
            await _read_request(reader)
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")

    async with _server(talk) as url, _transport(url) as transport:
        for _ in range(3):
            await transport.post("Op", SMALL, seconds=5, limit=10, delivery=Delivery())
    assert connections == 1


async def test_a_cancelled_request_closes_its_connection() -> None:
    """So that a body half sent can never be taken for a whole one."""
    closed = asyncio.Event()

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await _read_request(reader)
        await reader.read(-1)
        closed.set()

    delivery = Delivery()
    async with _server(talk) as url, _transport(url) as transport:
        task = asyncio.ensure_future(transport.post("Op", SMALL, seconds=60, limit=10, delivery=delivery))
        await asyncio.sleep(0.1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await asyncio.wait_for(closed.wait(), 5)
    assert delivery.complete


async def test_a_lent_session_stays_open() -> None:
    answer = b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
    async with _server(_answering(answer)) as url, aiohttp.ClientSession() as lent:
        await _post(url, session=lent)
        assert not lent.closed
        assert (await _post(url, session=lent)).status == 200


# ── TLS ─────────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def server_tls(authority: trustme.CA) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    return context


OK = _answering(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")


async def test_a_certificate_of_an_unknown_authority_is_refused_for_good(server_tls: ssl.SSLContext) -> None:
    """Fault 31: and the message says which option would help."""
    async with _server(OK, server_tls) as url:
        error, left = await _failure(url)
    assert isinstance(error, TLSFailed)
    assert (left, error.transient) == (False, False)
    assert "--ca-file" in str(error)


async def test_a_private_authority_can_be_trusted(
    server_tls: ssl.SSLContext, authority: trustme.CA, tmp_path: Path
) -> None:
    """Fault 32."""
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    context = ssl.create_default_context(cafile=tmp_path / "ca.pem")
    async with _server(OK, server_tls) as url:
        assert (await _post(url, tls=context)).body == b"ok"
        assert isinstance((await _failure(url.replace("127.0.0.1", "localhost"), tls=context))[0], TLSFailed)


# ── proxies ─────────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_the_environments_proxy_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    lines = list[bytes]()

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        lines.append((await _read_request(reader)).splitlines()[0])
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")

    async with _server(talk) as proxy:
        monkeypatch.setenv("http_proxy", proxy)
        monkeypatch.delenv("no_proxy", raising=False)
        await _post("http://documents.invalid/ir")
    assert lines == [b"POST http://documents.invalid/ir/srv.asmx/Op HTTP/1.1"]


async def test_a_host_excepted_from_the_proxy_is_asked_directly(monkeypatch: pytest.MonkeyPatch) -> None:
    async with _server(OK) as url:
        monkeypatch.setenv("http_proxy", "http://no-such-proxy.invalid")
        monkeypatch.setenv("no_proxy", "127.0.0.1")
        assert (await _post(url)).body == b"ok"


# ── how the body is written ─────────────────────────────────────────────────────────────────────────────────────────


class _Recorder(AbstractStreamWriter):
    """Keeps what is written, object for object."""

    def __init__(self, delivery: Delivery) -> None:
        self.written: list[tuple[Any, bool]] = []
        self._delivery = delivery

    async def write(self, chunk: Any) -> None:
        self.written.append((chunk, self._delivery.complete))

    async def write_eof(self, chunk: bytes = b"") -> None: ...
    async def drain(self) -> None: ...
    def enable_compression(self, encoding: str = "deflate", strategy: int | None = None) -> None: ...
    def enable_chunking(self) -> None: ...
    async def write_headers(self, status_line: str, headers: "CIMultiDict[str]") -> None: ...


async def test_a_chunk_is_written_in_slices_of_its_own_buffer() -> None:
    """Neither joined with what stands around it, nor copied."""
    chunk, delivery = bytearray(2 * SLICE + 5), Delivery()
    recorder = _Recorder(delivery)
    await _Payload(Body("x", (b"head", chunk, b"tail")), delivery).write(recorder)
    pieces = [piece for piece, _ in recorder.written]
    assert [len(piece) for piece in pieces] == [4, SLICE, SLICE, 5, 4]
    assert all(piece.obj is chunk for piece in pieces[1:4])


async def test_the_last_byte_counts_as_gone_when_its_write_begins() -> None:
    """Not before: a body cut short is harmless. Not after: while it is being written nobody knows."""
    delivery = Delivery()
    recorder = _Recorder(delivery)
    await _Payload(Body("x", (b"head", bytes(SLICE), b"tail")), delivery).write(recorder)
    assert [complete for _, complete in recorder.written] == [False, False, True]


async def test_a_bodys_payload_does_not_show_it() -> None:
    payload = _Payload(Body("x", (b"hush-hush",)), Delivery())
    assert "hush" not in repr(payload)
    with pytest.raises(TypeError):
        payload.decode()


# ── base64 ──────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def watched_base64() -> Iterator[None]:
    """Base64 made by the package on the event loop raises BlockingError: a chunk of 32 MiB would hold up everybody."""
    watch = BlockBusterFunction(pybase64, "b64encode", scanned_modules="asyncupload").activate()
    yield
    watch.deactivate()


@pytest.mark.usefixtures("watched_base64")
async def test_base64_on_the_event_loop_would_be_noticed() -> None:
    with pytest.raises(BlockingError):
        Base64(b"data").slice(0)


@pytest.mark.usefixtures("watched_base64")
@pytest.mark.parametrize("plus", [b"+", b"%2B"])
async def test_a_chunk_in_base64_arrives_whole_and_is_written_in_threads(plus: bytes) -> None:
    chunk, seen = b"\xfb\xef\xbe" * 400_000 + b"rest", list[bytes]()

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen.append(await _read_request(reader))
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")

    delivery = Delivery()
    async with _server(talk) as url:
        piece = await anyio.to_thread.run_sync(Base64, chunk, plus)
        await _post(url, Body("text/x", (b"before", piece, b"after")), delivery=delivery)
    (request,) = seen
    expected = b"before" + base64.b64encode(chunk).replace(b"+", plus) + b"after"
    assert request.partition(b"\r\n\r\n")[2] == expected
    assert b"Content-Length: %d\r\n" % len(expected) in request
    assert delivery.complete


@pytest.mark.usefixtures("watched_base64")
@pytest.mark.parametrize("encoding", ["form", "soap"])
async def test_no_base64_is_made_on_the_event_loop_in_a_whole_upload(
    encoding: Literal["form", "soap"], emulator: Emulator
) -> None:
    """Neither to write it nor, in a form, to find out beforehand how long it will be."""
    settings, data = Settings(chunk_size=500_000, encoding=encoding), bytes(range(256)) * 5000
    async with Client(emulator.url, user="demo", password="demo", settings=settings) as client:
        await client.upload(data, to=f"{FOLDER}/file")
    assert (await emulator.content(f"{FOLDER}/file")).read_bytes() == data
    assert {call.way for call in emulator.calls if call.operation == "UploadFileChunk"} == {encoding}


async def test_base64_is_made_a_slice_at_a_time() -> None:
    """So that a chunk costs no more memory than it does raw."""
    chunk, delivery = bytes(2 * BASE64_SLICE + 5), Delivery()
    recorder = _Recorder(delivery)
    await _Payload(Body("x", (b"head", Base64(chunk), b"tail")), delivery).write(recorder)
    assert [len(piece) for piece, _ in recorder.written] == [4, BASE64_SLICE * 4 // 3, BASE64_SLICE * 4 // 3, 8, 4]
    assert [complete for _, complete in recorder.written] == [False, False, False, False, True]


# ── words for errors ────────────────────────────────────────────────────────────────────────────────────────────────


def _all_kinds(kind: type[BaseException]) -> set[type[BaseException]]:
    return {kind}.union(*(_all_kinds(below) for below in kind.__subclasses__()))


def test_every_error_of_the_client_library_has_a_word_of_ours() -> None:
    for kind in _all_kinds(aiohttp.ClientError):
        try:
            error = kind.__new__(kind)
            error.status = 407  # type: ignore[attr-defined]
            ours = translate(error, Asked("Op", 1.0))  # type: ignore[arg-type]
        except AttributeError:  # its text needs the details of a real one, which other tests of this file meet
            continue
        assert isinstance(ours, AsyncUploadError), kind


# ── addresses ───────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("given", "asked"),
    [
        ("https://host", "https://host/srv.asmx"),
        ("https://host/", "https://host/srv.asmx"),
        (" https://host/InfoRouter// ", "https://host/InfoRouter/srv.asmx"),
        ("http://host:8080/ir/srv.asmx", "http://host:8080/ir/srv.asmx"),
        ("http://[::1]:81/IR/SRV.ASMX/", "http://[::1]:81/IR/SRV.ASMX"),
    ],
)
def test_addresses_are_completed(given: str, asked: str) -> None:
    assert str(endpoint(given)) == asked


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ("", "looks like https://host"),
        ("host/InfoRouter", "looks like https://host"),
        ("ftp://host", "looks like https://host"),
        ("https://", "looks like https://host"),
        ("https://host:port", "looks like https://host"),
        ("https://anna:hush-hush@host", "must not carry"),
        ("anna:hush-hush@host", "looks like https://host"),
        ("https://host/?ticket=1", "without a query"),
        ("https://host/#top", "without a query"),
    ],
)
def test_addresses_that_cannot_work_are_refused(given: str, words: str) -> None:
    with pytest.raises(UsageError, match=words) as caught:
        endpoint(given)
    assert "hush-hush" not in str(caught.value)


@pytest.mark.parametrize(("text", "seconds"), [("0", 0.0), (" 120 ", 120.0), ("soon", None), ("", None), ("-5", None)])
def test_a_wish_to_be_left_alone_is_read_in_seconds(text: str, seconds: float | None) -> None:
    assert _seconds(text) == seconds


def test_a_wish_to_be_left_alone_is_read_as_a_date() -> None:
    assert 50 < (_seconds(formatdate(time.time() + 60, usegmt=True)) or 0) <= 60
    assert _seconds("Wed, 21 Oct 2015 07:28:00 GMT") == 0.0

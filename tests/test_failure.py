"""The reason and the way out, where the other side speaks something else. Public reports: encode/httpx#951,
encode/httpx#646, psf/requests#5843, projectdiscovery/httpx#307, lwthiker/curl-impersonate#214."""

import asyncio
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import trustme
from front import Message, front

from asyncupload import AsyncUploadError, Client, ConnectFailed, Retries, Settings, TLSFailed, UsageError
from asyncupload._failure import words
from asyncupload._secret import blot_all
from asyncupload._tls import advice
from asyncupload.emulator import Emulator

pytestmark = pytest.mark.anyio

IMPATIENT = Settings(retries=Retries(attempts=2, first_wait=0.001))


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture(scope="module")
def ca(authority: trustme.CA, tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("ca") / "ca.pem"
    authority.cert_pem.write_to_path(str(file))
    return file


@contextmanager
def listening(talk: Callable[[socket.socket], None]) -> Iterator[int]:
    """The port of a server on a thread, that takes one connection after another and waits for its end."""

    def serve() -> None:
        while True:
            try:
                line, _ = listener.accept()
            except OSError:
                return
            line.settimeout(10)
            with line, suppress(OSError):
                talk(line)
                read_on(line)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield listener.getsockname()[1]
        listener.shutdown(socket.SHUT_RDWR)
    thread.join()


def read_on(line: socket.socket) -> None:
    """To the end of the other side. A reset would overtake what was said."""
    line.shutdown(socket.SHUT_WR)
    while line.recv(65536):
        pass


async def failure(url: str, **options: Any) -> AsyncUploadError:
    with pytest.raises(AsyncUploadError) as caught:
        async with Client(url, ticket="x", settings=IMPATIENT, **options) as client:
            await client.folder_exists("/Finance")
    return caught.value


def tls_of(authority: trustme.CA, version: ssl.TLSVersion, name: str = "127.0.0.1", **issued: Any) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.set_ciphers("ALL:@SECLEVEL=0")
    context.minimum_version = context.maximum_version = version
    authority.issue_cert(name, **issued).configure_cert(context)
    return context


def shaking_hands(context: ssl.SSLContext) -> Callable[[socket.socket], None]:
    def talk(line: socket.socket) -> None:
        with context.wrap_socket(line, server_side=True, do_handshake_on_connect=False) as wrapped:
            with suppress(ssl.SSLError):
                wrapped.do_handshake()
            read_on(wrapped)

    return talk


@pytest.mark.filterwarnings("ignore:.*TLSv1.* is deprecated:DeprecationWarning")
@pytest.mark.parametrize("least", [None, "1.2", "1.3"])
@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1])
async def test_a_server_that_speaks_old_tls_only_is_said_to(
    authority: trustme.CA, ca: Path, version: ssl.TLSVersion, least: str | None
) -> None:
    with listening(shaking_hands(tls_of(authority, version))) as port:
        error = await failure(f"https://127.0.0.1:{port}", ca_file=ca, tls_min=least)
    assert isinstance(error, TLSFailed)
    assert "no version of TLS in common" in str(error)
    assert "TLS 1.2 has to be enabled there" in str(error)
    assert "--ca-file" not in str(error)


async def test_a_server_that_breaks_the_handshake_off_may_speak_old_tls_or_none() -> None:
    def talk(line: socket.socket) -> None:
        line.recv(10)
        line.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        line.close()

    with listening(talk) as port:
        error = await failure(f"https://127.0.0.1:{port}")
    assert type(error) is ConnectFailed
    assert "broke the TLS handshake off" in str(error)
    assert "http://" in str(error)
    assert "None" not in str(error)


@pytest.mark.parametrize("said", [b"HTTP/1.1 400 Bad Request\r\n\r\n", b"220 mail ESMTP\r\n"])
async def test_a_port_without_tls_is_said_to_be_one(said: bytes) -> None:
    with listening(lambda line: line.sendall(said)) as port:
        error = await failure(f"https://127.0.0.1:{port}")
    assert isinstance(error, TLSFailed)
    assert "speaks no TLS; give the address with http://" in str(error)


async def test_a_port_for_tls_is_said_to_be_one() -> None:
    """By the alert with which TLS answers what it does not understand."""

    def talk(line: socket.socket) -> None:
        line.recv(10)
        line.sendall(b"\x15\x03\x01\x00\x02\x02\x46")

    with listening(talk) as port:
        error = await failure(f"http://127.0.0.1:{port}")
    assert "speaks TLS; give the address with https://" in str(error)


async def test_so_is_one_that_only_hangs_up() -> None:
    def talk(line: socket.socket) -> None:
        line.recv(10)

    with listening(talk) as port:
        error = await failure(f"http://127.0.0.1:{port}")
    assert "if it speaks TLS at this port, the address begins with https://" in str(error)


async def test_a_certificate_for_another_name_is_said_to_be_one(authority: trustme.CA, ca: Path) -> None:
    with listening(shaking_hands(tls_of(authority, ssl.TLSVersion.TLSv1_2, "docs.example.com"))) as port:
        error = await failure(f"https://127.0.0.1:{port}", ca_file=ca)
    assert "the server's certificate is for another name" in str(error)
    assert "--ca-file" not in str(error)


async def test_a_certificate_of_nobody_known_still_names_the_option(authority: trustme.CA) -> None:
    with listening(shaking_hands(tls_of(authority, ssl.TLSVersion.TLSv1_2))) as port:
        error = await failure(f"https://127.0.0.1:{port}")
    assert "--ca-file (ca_file) names a private authority" in str(error)


@pytest.mark.parametrize("reason", ["DH_KEY_TOO_SMALL", "UNSAFE_LEGACY_RENEGOTIATION_DISABLED", "EE_KEY_TOO_SMALL"])
def test_what_openssl_takes_for_too_weak_is_said_to_be(reason: str) -> None:
    error = ssl.SSLError(1, f"[SSL: {reason}]")
    error.reason = reason
    assert "too weak" in advice(error, identified=False)


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "br", "zstd"])
async def test_an_answer_that_is_not_compressed_as_it_says_is_said_to_be(emulator: Emulator, encoding: str) -> None:
    def change(_: Message, answer: Message) -> Message:
        answer.heads.append(("Content-Encoding", encoding))
        return answer

    async with front(emulator.url, change=change) as seen:
        error = await failure(seen.url)
    assert f"says that it is compressed ({encoding})" in str(error)
    assert "cannot be read so" in str(error)


@pytest.mark.parametrize("encoding", ["identity", "utf-8", "none", ""])
async def test_what_only_looks_like_a_compression_does_no_harm(emulator: Emulator, encoding: str) -> None:
    def change(_: Message, answer: Message) -> Message:
        answer.heads.append(("Content-Encoding", encoding))
        return answer

    async with front(emulator.url, change=change) as seen:
        async with Client(seen.url, user="demo", password="demo", settings=IMPATIENT) as client:
            assert await client.folder_exists("/Finance/Reports")


def test_a_client_that_was_opened_in_another_event_loop_says_so(tmp_path: Path) -> None:
    async def open_one() -> tuple[Client, Emulator]:
        server = await Emulator(tmp_path / "server").__aenter__()
        client = await Client(server.url, user="demo", password="demo", settings=IMPATIENT).__aenter__()
        return client, server

    async def use(client: Client) -> None:
        for attempt in (client.folder_exists("/Finance"), client.ping(), client.upload(b"x", to="/Finance/x")):
            with pytest.raises(UsageError, match="opened in another event loop"):
                await attempt

    with asyncio.Runner() as first:
        client, server = first.run(open_one())
        with asyncio.Runner() as second:
            second.run(use(client))
        first.run(client.__aexit__(None, None, None))
        first.run(server.__aexit__(None, None, None))


def test_a_session_that_was_made_in_another_event_loop_says_so(tmp_path: Path) -> None:
    async def make() -> tuple[aiohttp.ClientSession, Emulator]:
        return aiohttp.ClientSession(), await Emulator(tmp_path / "server").__aenter__()

    async def use(session: aiohttp.ClientSession) -> None:
        async with Client("http://127.0.0.1:9", ticket="x", session=session, settings=IMPATIENT) as client:
            with pytest.raises(UsageError, match="lent session belongs to another event loop"):
                await client.folder_exists("/Finance")

    with asyncio.Runner() as first:
        session, server = first.run(make())
        with asyncio.Runner() as second:
            second.run(use(session))
        first.run(session.close())
        first.run(server.__aexit__(None, None, None))


QUOTING = {
    "a line": aiohttp.ClientPayloadError("broken:\n\n  b'ticket=6f9619ff'"),
    "a ticket": aiohttp.ClientPayloadError('not a number: ticket="abc-secret"'),
    "a GUID": aiohttp.ClientPayloadError("what is 6f9619ff-8b86-d011-b42d-00c04fc964ff?"),
    "half a GUID": aiohttp.ClientPayloadError("what is 6f9619ff-8b86-d0"),
    "one without dashes": aiohttp.ClientPayloadError("what is 6f9619ff8b86d011b42d00c04fc964ff"),
    "bytes": aiohttp.ClientPayloadError("what is b'6f9619ff'"),
    "bytes behind a colon": aiohttp.ClientPayloadError('Got more than 8190 bytes when reading: b"6f9619ff'),
    "an address": aiohttp.ClientPayloadError("http://jane:abc-secret@host"),
}


@pytest.mark.parametrize("case", QUOTING)
def test_what_a_library_quotes_is_not_passed_on(case: str) -> None:
    """Whatever was asked."""
    told = words(QUOTING[case], lambda text: blot_all((), text))
    assert "6f9619ff" not in told
    assert "secret" not in told

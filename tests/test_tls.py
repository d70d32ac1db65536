"""Servers that ask for a certificate, and the oldest version of TLS: what is shown to them, and what a refusal says."""

import socket
import ssl
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
import trustme
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    load_pem_private_key,
)

from asyncupload import Client, Outcome, Retries, Settings, TLSFailed, UsageError
from asyncupload.emulator import Emulator

pytestmark = pytest.mark.anyio

IMPATIENT = Settings(retries=Retries(attempts=2, first_wait=0.01))
PASSWORD = "s3cret of the key"


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture(scope="module")
def pem(authority: trustme.CA, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with all that a client may have: ``cert``, ``key``, ``both``, ``locked``, ``stranger`` and ``ca``."""
    folder = tmp_path_factory.mktemp("pem")
    own, stranger = authority.issue_cert("client@example.org"), trustme.CA().issue_cert("client@example.org")
    own.cert_chain_pems[0].write_to_path(str(folder / "cert"))
    own.private_key_pem.write_to_path(str(folder / "key"))
    own.private_key_and_cert_chain_pem.write_to_path(str(folder / "both"))
    stranger.private_key_and_cert_chain_pem.write_to_path(str(folder / "stranger"))
    stranger.private_key_pem.write_to_path(str(folder / "other key"))
    authority.cert_pem.write_to_path(str(folder / "ca"))
    key = load_pem_private_key(own.private_key_pem.bytes(), None)
    locked = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(PASSWORD.encode()))
    (folder / "locked").write_bytes(locked)
    return folder


@asynccontextmanager
async def serving(
    folder: Path, authority: trustme.CA, version: ssl.TLSVersion, *, asks: bool = True
) -> AsyncIterator[Emulator]:
    """A server that speaks this version of TLS only, and wants to know who asks."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = context.maximum_version = version
    authority.issue_cert("127.0.0.1").configure_cert(context)
    if asks:
        context.verify_mode = ssl.CERT_REQUIRED
        authority.configure_trust(context)
    async with Emulator(folder / "server", ssl_context=context) as server:
        yield server


def at(server: Emulator, pem: Path, **tls: Any) -> Client:
    return Client(server.url, user="demo", password="demo", ca_file=pem / "ca", settings=IMPATIENT, **tls)


BOTH_VERSIONS = pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3], ids=["1.2", "1.3"])


@BOTH_VERSIONS
@pytest.mark.parametrize(
    ("cert", "key", "password"),
    [("both", None, None), ("cert", "key", None), ("cert", "locked", PASSWORD), ("both", None, "not needed")],
)
async def test_a_client_shows_its_certificate(
    version: ssl.TLSVersion,
    cert: str,
    key: str | None,
    password: str | None,
    pem: Path,
    authority: trustme.CA,
    tmp_path: Path,
) -> None:
    tls = {"client_cert": pem / cert, "client_key": key and pem / key, "client_key_password": password}
    async with serving(tmp_path, authority, version) as server, at(server, pem, **tls) as client:
        receipt = await client.upload(b"data", to="/Finance/Reports/a.bin")
    assert receipt.status == "stored"


@contextmanager
def refusing(authority: trustme.CA, version: ssl.TLSVersion, *, asks: bool = True) -> Iterator[str]:
    """A server whose TLS says why it refuses, as asyncio's does not: it hangs up before its alert is out. Nobody gets
    further than the handshake."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = context.maximum_version = version
    authority.issue_cert("127.0.0.1").configure_cert(context)
    if asks:
        context.verify_mode = ssl.CERT_REQUIRED
        authority.configure_trust(context)

    def serve() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            with connection, suppress(OSError):
                # The alert is out when this raises. Then all is read, for a reset would overtake it.
                with context.wrap_socket(connection, server_side=True, do_handshake_on_connect=False) as line:
                    with suppress(ssl.SSLError):
                        line.do_handshake()
                    line.shutdown(socket.SHUT_WR)
                    while line.recv(65536):
                        pass

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield f"https://127.0.0.1:{listener.getsockname()[1]}"
        listener.shutdown(socket.SHUT_RDWR)
    thread.join()


@BOTH_VERSIONS
@pytest.mark.parametrize("size", [1, 30_000])
async def test_a_client_without_a_certificate_is_told_that_it_needs_one(
    version: ssl.TLSVersion, size: int, pem: Path, authority: trustme.CA
) -> None:
    """By TLS 1.3 the alert is late: to the client the handshake is over, and a request on its way."""
    with refusing(authority, version) as url:
        async with Client(url, ticket="x" * size, ca_file=pem / "ca", settings=IMPATIENT) as client:
            with pytest.raises(
                TLSFailed, match="asks for a client certificate, and none was given: --client-cert"
            ) as e:
                await client.folder_exists("/Finance")
    assert not e.value.transient
    assert e.value.outcome is Outcome.NOT_APPLIED


@BOTH_VERSIONS
async def test_a_strangers_certificate_is_said_to_be_refused(
    version: ssl.TLSVersion, pem: Path, authority: trustme.CA
) -> None:
    tls: dict[str, Any] = {"ca_file": pem / "ca", "client_cert": pem / "stranger"}
    with refusing(authority, version) as url:
        async with Client(url, ticket="x", settings=IMPATIENT, **tls) as client:
            with pytest.raises(TLSFailed, match=r"(?i)refused the client certificate; look who issued it.*unknown.ca"):
                await client.folder_exists("/Finance")


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"client_cert": "missing"}, "missing cannot be read"),
        ({"client_cert": "cert", "client_key": "missing"}, "missing cannot be read"),
        ({"client_cert": "cert"}, "cert holds no private key.*--client-key"),
        ({"client_cert": "key"}, "key holds no certificate"),
        ({"client_cert": "cert", "client_key": "ca"}, "ca holds no private key"),
        ({"client_cert": "cert", "client_key": "other key"}, "other key is not that of the certificate in .*cert"),
        ({"client_cert": "cert", "client_key": "locked"}, "is encrypted: give its password"),
        ({"client_cert": "cert", "client_key": "locked", "client_key_password": "wrong"}, "its password is wrong"),
        ({"client_key": "key"}, "without a client_cert"),
        ({"client_key_password": "x"}, "without a client_cert"),
        ({"tls_min": "1.1"}, "it may be 1.2 or 1.3"),
    ],
)
def test_what_cannot_work_is_said_before_anything_is_asked(given: dict[str, str], message: str, pem: Path) -> None:
    words = {name: text if name in {"client_key_password", "tls_min"} else pem / text for name, text in given.items()}
    with pytest.raises(UsageError, match=message) as caught:
        Client("https://127.0.0.1", user="demo", password="demo", **words)  # type: ignore[arg-type]
    assert "wrong" not in str(caught.value).replace("is wrong", "")


async def test_an_older_tls_than_the_oldest_is_not_spoken(pem: Path, authority: trustme.CA, tmp_path: Path) -> None:
    async with serving(tmp_path, authority, ssl.TLSVersion.TLSv1_2, asks=False) as server:
        async with at(server, pem, tls_min="1.2") as client:
            await client.ping()
    with refusing(authority, ssl.TLSVersion.TLSv1_2, asks=False) as url:
        async with Client(url, ticket="x", ca_file=pem / "ca", tls_min="1.3", settings=IMPATIENT) as client:
            with pytest.raises(TLSFailed, match="no version of TLS in common"):
                await client.ping()

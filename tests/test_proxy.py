"""Proxies as curl reads them from the environment. Public reports: curl/curl#12120, curl/curl#15305, curl/curl#9773,
curl/curl#2477, websocket-client/websocket-client#700, git-ecosystem/git-credential-manager#503."""

import asyncio
import base64
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

import pytest
from conftest import FOLDER, PATIENT

from asyncupload import AsyncUploadError, Client, ConnectFailed, ForeignReply, UsageError
from asyncupload._address import endpoint
from asyncupload._proxy import Proxy, overlooked, proxy_for
from asyncupload.emulator import Emulator

pytestmark = pytest.mark.anyio

VARIABLES = ("http_proxy", "https_proxy", "all_proxy", "no_proxy")


@pytest.fixture(autouse=True)
def _bare(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


def named(monkeypatch: pytest.MonkeyPatch, url: str, **variables: str) -> Proxy | None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    return proxy_for(endpoint(url))


PLAIN, SAFE = "http://docs.example.com/ir", "https://docs.example.com/ir"

FOUND: dict[str, tuple[str, dict[str, str], str | None]] = {
    "a host and a port": (PLAIN, {"http_proxy": "proxy:3128"}, "http://proxy:3128"),
    "for encrypted lines": (SAFE, {"https_proxy": "proxy:3128"}, "http://proxy:3128"),
    "in upper case": (SAFE, {"HTTPS_PROXY": "proxy:3128"}, "http://proxy:3128"),
    "in upper case, where anybody may set it": (PLAIN, {"HTTP_PROXY": "host:3128"}, None),
    "in both": (SAFE, {"HTTPS_PROXY": "upper:1", "https_proxy": "lower:2"}, "http://lower:2"),
    "empty, and in upper case": (SAFE, {"https_proxy": "", "HTTPS_PROXY": "upper:1"}, "http://upper:1"),
    "the other one's": (PLAIN, {"https_proxy": "proxy:3128"}, None),
    "for all": (PLAIN, {"all_proxy": "all:8080"}, "http://all:8080"),
    "for all in upper case": (PLAIN, {"ALL_PROXY": "all:8080", "HTTP_PROXY": "upper:1"}, "http://all:8080"),
    "its own before that for all": (SAFE, {"all_proxy": "all:8080", "https_proxy": "own:1"}, "http://own:1"),
    "without a port": (PLAIN, {"http_proxy": "proxy"}, "http://proxy:1080"),
    "an address without a port": (PLAIN, {"http_proxy": "http://proxy/"}, "http://proxy:1080"),
    "one that speaks TLS": (PLAIN, {"http_proxy": "https://proxy"}, "https://proxy"),
    "at the port of the web": (PLAIN, {"http_proxy": "http://proxy:80"}, "http://proxy"),
    "with a path": (PLAIN, {"http_proxy": "http://proxy:8080/some/path"}, "http://proxy:8080"),
    "with space": (PLAIN, {"http_proxy": "  http://proxy:8080\n"}, "http://proxy:8080"),
    "an address in brackets": (PLAIN, {"http_proxy": "http://[::1]:8080"}, "http://[::1]:8080"),
    "in capitals": (PLAIN, {"http_proxy": "HTTP://PROXY:8080"}, "http://proxy:8080"),
    "nothing": (PLAIN, {"http_proxy": "  "}, None),
}


@pytest.mark.parametrize("case", FOUND)
def test_which_proxy_is_asked(monkeypatch: pytest.MonkeyPatch, case: str) -> None:
    url, variables, expected = FOUND[case]
    found = named(monkeypatch, url, **variables)
    assert (found and str(found.url)) == expected
    if found:
        assert found.variable in variables


EXEMPT: dict[str, tuple[str, str, bool]] = {
    "everything": ("http://docs.example.com", "*", True),
    "an asterisk among others": ("http://docs.example.com", "other,*", False),
    "the name": ("http://docs.example.com", "docs.example.com", True),
    "the domain": ("http://docs.example.com", "example.com", True),
    "with a dot before it": ("http://docs.example.com", ".example.com", True),
    "the domain itself, with a dot": ("http://example.com", ".example.com", True),
    "with an asterisk before it": ("http://docs.example.com", "*.example.com", True),
    "another domain with that end": ("http://docs.notexample.com", "example.com", False),
    "in capitals, among spaces": ("http://Docs.Example.com", " other , EXAMPLE.COM ", True),
    "separated by spaces": ("http://docs.example.com", "a.example b.example docs.example.com", True),
    "a dot at the end": ("http://docs.example.com.", "example.com", True),
    "with its port": ("http://docs.example.com:8080", "docs.example.com:8080", True),
    "with the usual port": ("https://docs.example.com", "docs.example.com:443", True),
    "with another port": ("http://docs.example.com:8081", "docs.example.com:8080", False),
    "an address": ("http://127.0.0.1:8080", "127.0.0.1", True),
    "another address": ("http://127.0.0.10", "127.0.0.1", False),
    "a network": ("http://10.20.30.40", "10.0.0.0/8", True),
    "a network written from a host": ("http://10.20.30.40", "10.20.30.1/24", True),
    "another network": ("http://11.20.30.40", "10.0.0.0/8", False),
    "a network that is none": ("http://10.20.30.40", "10.0.0.0/99,10.0/8", False),
    "a network with a port": ("http://10.20.30.40:81", "10.0.0.0/8:81", True),
    "a long address": ("http://[::1]:8080", "::1", True),
    "in brackets, with a port": ("http://[::1]:8080", "[::1]:8080", True),
    "a long network": ("http://[2001:db8::5]", "2001:db8::/32", True),
    "a name in a network": ("http://localhost", "127.0.0.0/8", False),
    "nothing": ("http://docs.example.com", "", False),
    "commas": ("http://docs.example.com", ", ,.", False),
}


@pytest.mark.parametrize("variable", ["no_proxy", "NO_PROXY"])
@pytest.mark.parametrize("case", EXEMPT)
def test_who_is_asked_directly(monkeypatch: pytest.MonkeyPatch, case: str, variable: str) -> None:
    url, listed, expected = EXEMPT[case]
    found = named(monkeypatch, url, all_proxy="proxy:3128", **{variable: listed})
    assert (found is None) is expected


@pytest.mark.parametrize("text", ["socks5://proxy:1080", "socks5h://u:hush@proxy", "SOCKS4://proxy", "socks://p"])
def test_a_proxy_that_speaks_socks_is_said_to(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    with pytest.raises(UsageError, match=r"\(all_proxy\) speaks SOCKS.*no_proxy") as caught:
        named(monkeypatch, PLAIN, all_proxy=text)
    assert "hush" not in str(caught.value)


@pytest.mark.parametrize("text", ["ftp://proxy:21", "http://", "http://proxy:99999", "://"])
def test_what_is_no_proxy_is_refused_by_the_name_of_its_variable(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    with pytest.raises(UsageError, match=r"\(HTTPS_PROXY\) is not the address"):
        named(monkeypatch, SAFE, HTTPS_PROXY=text)


def test_a_variable_that_is_overlooked_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    url = endpoint(PLAIN)
    assert overlooked(url) is None
    monkeypatch.setenv("HTTP_PROXY", "host:3128")
    assert "set http_proxy" in str(overlooked(url))
    assert overlooked(endpoint(SAFE)) is None
    monkeypatch.setenv("http_proxy", "host:3128")
    assert overlooked(url) is None


@dataclass
class Relay:
    """A proxy that wants a user, or none.

    Attributes:
        wants: What it answers to those that it does not know; empty if it lets everybody through.
    """

    wants: str = ""
    url: str = ""
    tokens: list[str] = field(default_factory=list)
    lines: list[str] = field(default_factory=list)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError, asyncio.IncompleteReadError):
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            self.lines.append(head.partition("\r\n")[0])
            tokens = [line.split(" ")[-1] for line in head.split("\r\n") if line.lower().startswith("proxy-auth")]
            self.tokens += tokens
            if self.wants and not tokens:
                writer.write(f"HTTP/1.1 407 No\r\n{self.wants}\r\nContent-Length: 0\r\n\r\n".encode())
            else:
                await self._pass_on(head, reader, writer)
        writer.transport.abort()

    async def _pass_on(self, head: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        _, address, _ = head.split(" ", 2)
        host, port = address.removeprefix("http://").partition("/")[0].split(":")
        there, back = await asyncio.open_connection(host, int(port))
        if not head.startswith("CONNECT"):
            back.write(head.replace(f"http://{host}:{port}", "", 1).encode())
        else:
            writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
        try:
            await asyncio.wait(
                [asyncio.ensure_future(_copy(reader, back)), asyncio.ensure_future(_copy(there, writer))],
            )
        finally:
            back.transport.abort()


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while data := await reader.read(65536):
            writer.write(data)
    with suppress(OSError, RuntimeError):
        writer.write_eof()


@asynccontextmanager
async def relaying(wants: str = "") -> AsyncIterator[Relay]:
    relay = Relay(wants)
    listener = await asyncio.start_server(relay.serve, "127.0.0.1", 0)
    async with listener:
        relay.url = f"127.0.0.1:{listener.sockets[0].getsockname()[1]}"
        yield relay


async def ask(url: str) -> None:
    async with Client(url, user="demo", password="demo", settings=PATIENT) as client:
        await client.folder_exists(FOLDER)


async def test_a_proxy_is_told_the_user_that_its_address_names(
    emulator: Emulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with relaying("Proxy-Authenticate: Basic realm=x") as relay:
        monkeypatch.setenv("http_proxy", f"jane%40corp:p%3Aw@{relay.url}")
        await ask(emulator.url)
    assert base64.b64decode(relay.tokens[0]).decode() == "jane@corp:p:w"
    assert relay.lines[0].startswith(f"POST {emulator.url}/srv.asmx/AuthenticateUser")


@pytest.mark.parametrize("scheme", ["http", "https"])
@pytest.mark.parametrize(
    ("wants", "words"),
    [
        ("Proxy-Authenticate: Basic realm=x", "http://user:password@host:port"),
        ("Proxy-Authenticate: Negotiate\r\nProxy-Authenticate: NTLM", "Negotiate, NTLM, which is not spoken.*cntlm"),
    ],
)
async def test_a_proxy_that_wants_another_user_is_said_to(
    monkeypatch: pytest.MonkeyPatch, scheme: str, wants: str, words: str
) -> None:
    async with relaying(wants) as relay:
        monkeypatch.setenv(f"{scheme}_proxy", relay.url)
        with pytest.raises(ForeignReply, match=words) as caught:
            await ask(f"{scheme}://documents.invalid")
    assert caught.value.status == 407


@pytest.mark.parametrize("scheme", ["http", "https"])
async def test_a_proxy_that_cannot_be_reached_is_named(monkeypatch: pytest.MonkeyPatch, scheme: str) -> None:
    async with relaying() as relay:
        pass
    monkeypatch.setenv(f"{scheme}_proxy", f"jane:hush@{relay.url}")
    words = rf"cannot connect through the proxy http://{relay.url} that {scheme}_proxy names"
    with pytest.raises(ConnectFailed, match=words) as caught:
        await ask(f"{scheme}://documents.invalid")
    assert "hush" not in str(caught.value)


async def test_a_server_that_cannot_be_reached_tells_of_a_proxy_that_is_not_read(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with relaying() as nobody:
        pass
    monkeypatch.setenv("HTTP_PROXY", "host:3128")
    with pytest.raises(AsyncUploadError) as caught:
        await ask(f"http://{nobody.url}")
    assert any("set http_proxy" in note for note in caught.value.__notes__)


async def test_it_is_not_asked_for_one_that_no_proxy_names(emulator: Emulator, monkeypatch: pytest.MonkeyPatch) -> None:
    async with relaying() as relay:
        monkeypatch.setenv("all_proxy", relay.url)
        monkeypatch.setenv("no_proxy", "10.0.0.0/8, 127.0.0.0/8")
        await ask(emulator.url)
    assert not relay.lines

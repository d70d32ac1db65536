"""However a request fails, and however the error is shown, local variables included: nobody sees the password, the
ticket, or the password of the proxy. Servers and proxies on raw sockets say back whatever they were told."""

import asyncio
import base64
import html
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from urllib.parse import quote, quote_plus, unquote_plus

import aiohttp
import pytest
from locals_shown import with_locals

from asyncupload import Client, Settings, UsageError
from asyncupload._address import endpoint, first_warning
from asyncupload._asker import Asker
from asyncupload._body import Encoding
from asyncupload._proxy import proxy_for
from asyncupload._secret import Secret
from asyncupload._transport import Delivery, Transport
from asyncupload._wire import send_chunk
from asyncupload.settings import Timeouts

pytestmark = pytest.mark.anyio

# Never in a local variable of a test: the tracebacks below show those too.
PASSWORD = "correct horse/bättery&'staple%"
TICKET = "0f8fad5b-d9cb-469f-a165-70867728950e"
OF_PROXY = "Tr0ub4dor &3/ü" * 8
"""Longer than what shows local variables leaves whole: it cuts such ones itself."""
HUSH = "hush-hush"
SOON = Settings(timeouts=Timeouts(connect=5, reply=0.5, cleanup=1))
LATER = Settings(timeouts=Timeouts(connect=30, reply=30, cleanup=1))


def _in_base64(secret: str) -> set[str]:
    """The middle of it, which is the same whatever stands before and after, at each of three places."""
    found = (base64.b64encode(bytes(before) + secret.encode()).decode()[4:-4] for before in range(3))
    return {form for each in found for form in (each, each.replace("+", "-").replace("/", "_"))}


FORMS = {
    form
    for secret in (PASSWORD, TICKET, OF_PROXY)
    for form in (
        {secret, repr(secret)[1:-1], json.dumps(secret)[1:-1], html.escape(secret), secret[:12], quote(secret)[:16]}
        | {str(secret.encode())[2:-1], quote(secret), quote(secret, safe=""), quote_plus(secret)}
        | _in_base64(secret)
    )
}


def seen_in(shown: str) -> set[str]:
    """In which forms a secret can be seen."""
    return {form for form in FORMS if form in shown}


Talk = Callable[[bytes, asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def talking(talk: Talk) -> AsyncIterator[int]:
    """The port of a server that reads one request, and then does what ``talk`` does."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await talk(await _read_request(reader), reader, writer)
        except asyncio.IncompleteReadError:
            pass
        finally:
            writer.transport.abort()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1]


async def _read_request(reader: asyncio.StreamReader) -> bytes:
    head = await reader.readuntil(b"\r\n\r\n")
    length = next((int(one[15:]) for one in head.split(b"\r\n") if one.lower().startswith(b"content-length:")), 0)
    return head + await reader.readexactly(length)


def told(request: bytes) -> str:
    """All that a request tells, as it came, and as whoever reads it understands it."""
    head, _, body = request.decode("latin-1").partition("\r\n\r\n")
    token = head.partition("Basic ")[2].partition("\r\n")[0]
    login = base64.b64decode(token)
    both = (login.decode("utf-8", "replace"), login.decode("latin-1"))
    return " ".join((head, body, *both, unquote_plus(body))).replace("\r\n", " ")


def saying(status: str, content: Callable[[str], str] = str, *, cut: int = 0, header: str = "X: y") -> Talk:
    """An answer with what the request told in it; ``cut`` bytes of it are missing."""

    async def talk(request: bytes, _: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        body, words = content(told(request)).encode(), told(request)
        line = f"HTTP/1.1 {status.format(words)}\r\n{header.format(words)}\r\nContent-Length: {len(body) + cut}\r\n\r\n"
        writer.write(line.encode() + body)
        await writer.drain()

    return talk


async def hang_up(_: bytes, __: asyncio.StreamReader, ___: asyncio.StreamWriter) -> None:
    """Says nothing."""


async def be_silent(_: bytes, reader: asyncio.StreamReader, __: asyncio.StreamWriter) -> None:
    await reader.read()


def _escaped(words: str) -> str:
    return html.escape(words)


ANSWERS: dict[str, Talk] = {
    "a page": saying("200 OK", "<html>{}".format),
    "no text": saying("200 OK", "\0\x01{}\ufffd".format),
    "XML that ends early": saying("200 OK", lambda words: f'<root success="true" ticket="{_escaped(words)}'),
    "XML of another kind": saying("200 OK", lambda words: f"<a>{_escaped(words)}</a>"),
    "XML with a DTD": saying("200 OK", lambda words: f'<!DOCTYPE a [<!ENTITY b "{_escaped(words)}">]><a/>'),
    "a refusal": saying("200 OK", lambda words: f'<r success="false" error="{_escaped(words)}" errorCode="4010"/>'),
    "a failure": saying("200 OK", lambda words: f'<r success="false" error="SystemError {_escaped(words)}"/>'),
    "a SOAP fault": saying(
        "500 No", lambda words: f"<f><faultcode>Client</faultcode><faultstring>{_escaped(words)}</faultstring></f>"
    ),
    "an error page": saying("502 Bad Gateway"),
    "a forbidding page": saying("403 Forbidden", lambda words: json.dumps({"you said": words})),
    "a redirect": saying("302 Found", header="Location: http://elsewhere/{0}"),
    "a redirect with a password": saying(
        "302 Found", header=f"Location: http://u:{quote(OF_PROXY, safe='')}@elsewhere/"
    ),
    "a reason": saying("503 {0}"),
    "a broken status line": saying("2xx {0}"),
    "a broken header": saying("200 OK", header="Content-Length: {0}"),
    "a header that is too long": saying("200 OK", header="X: {0}" + 90_000 * "x"),
    "half an answer": saying("200 OK", cut=1),
    "too large an answer": saying("200 OK", lambda words: words + 1024 * 1024 * " "),
    "407": saying("407 Proxy Authentication Required: {0}", header="Proxy-Authenticate: Basic realm={0}"),
    "nothing": hang_up,
}

WHO: dict[str, Callable[[str, Settings], Client]] = {
    "a user": lambda url, settings: Client(url, user="jsmith", password=PASSWORD, settings=settings),
    "a ticket": lambda url, settings: Client(url, ticket=TICKET, settings=settings),
}


async def fail(who: str, url: str, settings: Settings = LATER) -> BaseException:
    """The error of a client's first request."""
    with pytest.raises(Exception) as caught:
        async with WHO[who](url, settings) as client:
            await client.ping()
    return caught.value


def check(error: BaseException) -> None:
    shown = with_locals(error)
    assert "_session.py" in shown, "the frames that know the secrets are not shown at all"
    assert not seen_in(shown)
    assert not seen_in(repr([error, error.args, vars(error), error.__cause__, error.__context__]))


def test_secrets_would_be_seen() -> None:
    """Otherwise all that follows would hold of anything."""

    def fail() -> None:
        for_all_to_see = PASSWORD, TICKET.encode(), f"Basic {base64.b64encode(OF_PROXY.encode()).decode()}"
        raise LookupError(len(for_all_to_see))

    with pytest.raises(LookupError) as caught:
        fail()
    found = seen_in(with_locals(caught.value))
    assert {TICKET, PASSWORD[:12]} <= found
    assert found & _in_base64(OF_PROXY)


@pytest.mark.parametrize("who", WHO)
@pytest.mark.parametrize("answer", ANSWERS)
async def test_a_server_that_says_it_back(who: str, answer: str) -> None:
    async with talking(ANSWERS[answer]) as port:
        check(await fail(who, f"http://127.0.0.1:{port}"))


@pytest.mark.parametrize("encoding", ["utf-16", "cp1252"])
async def test_a_page_in_another_encoding(encoding: str) -> None:
    async def talk(request: bytes, _: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        page = told(request).encode(encoding, "replace")
        writer.write(b"HTTP/1.1 500 No\r\nContent-Length: %d\r\n\r\n%s" % (len(page), page))
        await writer.drain()

    async with talking(talk) as port:
        check(await fail("a user", f"http://127.0.0.1:{port}"))


async def test_a_login_that_gives_no_ticket() -> None:
    async with talking(saying("200 OK", lambda words: f'<r success="true" x="{_escaped(words)}"/>')) as port:
        check(await fail("a user", f"http://127.0.0.1:{port}"))


@pytest.mark.parametrize("who", WHO)
async def test_a_server_that_is_silent(who: str) -> None:
    async with talking(be_silent) as port:
        check(await fail(who, f"http://127.0.0.1:{port}", SOON))


# ── proxies ──

WRITTEN: dict[str, Callable[[int], str]] = {
    "as it should be": lambda port: f"http://jsmith:{quote(OF_PROXY, safe='')}@127.0.0.1:{port}",
    "without a scheme": lambda port: f"jsmith:{quote(OF_PROXY, safe='')}@127.0.0.1:{port}/",
    "with more escapes than needed": lambda port: (
        "HTTP://jsmith:" + "".join(f"%{byte:02x}" for byte in OF_PROXY.encode()) + f"@127.0.0.1:{port}"
    ),
    "a token for a user": lambda port: f"http://{quote(OF_PROXY, safe='')}@127.0.0.1:{port}",
}


async def establish_and_talk_nonsense(
    request: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> None:
    writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
    await reader.read(1)
    writer.write(told(request).encode())
    await writer.drain()


@pytest.fixture
def proxied(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Names a proxy in the environment."""
    monkeypatch.delenv("no_proxy", raising=False)

    def name(address: str) -> None:
        for variable in ("http_proxy", "https_proxy"):
            monkeypatch.setenv(variable, address)

    return name


@pytest.mark.parametrize("scheme", ["http", "https"])
@pytest.mark.parametrize("answer", ANSWERS)
async def test_a_proxy_that_says_it_back(proxied: Callable[[str], None], scheme: str, answer: str) -> None:
    async with talking(ANSWERS[answer]) as port:
        proxied(WRITTEN["as it should be"](port))
        check(await fail("a user", f"{scheme}://documents.invalid"))


async def test_a_proxy_that_says_it_back_in_the_tunnel(proxied: Callable[[str], None]) -> None:
    async with talking(establish_and_talk_nonsense) as port:
        proxied(WRITTEN["as it should be"](port))
        check(await fail("a user", "https://documents.invalid"))


@pytest.mark.parametrize("scheme", ["http", "https"])
@pytest.mark.parametrize("written", WRITTEN)
async def test_however_the_proxy_is_written(proxied: Callable[[str], None], scheme: str, written: str) -> None:
    async with talking(ANSWERS["407"]) as port:
        proxied(WRITTEN[written](port))
        error = await fail("a ticket", f"{scheme}://documents.invalid")
        check(error)
        assert "407" in str(error)


@pytest.mark.parametrize("scheme", ["http", "https"])
async def test_a_proxy_that_is_not_there(proxied: Callable[[str], None], scheme: str) -> None:
    async with talking(hang_up) as port:
        pass
    proxied(WRITTEN["as it should be"](port))
    check(await fail("a user", f"{scheme}://documents.invalid"))


@pytest.mark.parametrize(
    "form",
    [
        "http://jsmith:{}x/y@proxy:3128",
        "http://jsmith:12/{}@proxy:3128",
        "http://jsmith:12#{}@proxy:3128",
        "jsmith:12?{}@proxy:3128",
        "http:/jsmith:{}@proxy:3128",
        "//jsmith:{}@proxy:3128",
        "socks5://jsmith:{}@proxy:1080",
        "http://jsmith:{}@pro xy:3128",
        "http://jsmith:{}@proxy:66666",
        "http://jsmith:{}@[proxy:3128",
        "http://jsmith:{}@",
        "{}",
    ],
)
def test_what_is_no_proxy_is_not_quoted_nor_asked(proxied: Callable[[str], None], form: str) -> None:
    """Also where what stands before a slash in the password could be taken for a host."""
    proxied(form.format(f"{HUSH}:{PASSWORD}"))
    with pytest.raises(UsageError, match="http_proxy") as caught:
        proxy_for(endpoint("http://documents.invalid"))
    shown = with_locals(caught.value)
    assert "in proxy_for" in shown
    assert not seen_in(shown)
    assert HUSH not in shown


async def test_a_lent_sessions_own_proxy() -> None:
    async with talking(ANSWERS["407"]) as port:
        url = WRITTEN["as it should be"](port)
        async with aiohttp.ClientSession(proxy=url) as lent:
            del url
            with pytest.raises(Exception, match="407") as caught:
                async with Client("http://documents.invalid", ticket=TICKET, session=lent) as client:
                    await client.ping()
    check(caught.value)


# ── what nobody expects ──


async def test_a_cancelled_request() -> None:
    begun = asyncio.Event()

    async def begin(_: bytes, reader: asyncio.StreamReader, __: asyncio.StreamWriter) -> None:
        begun.set()
        await reader.read()

    async with talking(begin) as port:
        task = asyncio.create_task(ping(f"http://127.0.0.1:{port}"))
        await begun.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError) as caught:
            await task
    check(caught.value)


async def ping(url: str) -> None:
    async with WHO["a user"](url, LATER) as client:
        await client.ping()


@pytest.mark.parametrize("encoding", ["form", "soap", "multipart"])
async def test_a_body_that_cannot_be_made(encoding: str) -> None:
    """Since its chunk is gone, or there is no memory for it."""
    chunk = memoryview(b"chunk")
    async with talking(ANSWERS["a page"]) as port:
        transport = Transport(f"http://127.0.0.1:{port}", connect_timeout=30)
        asker = Asker(transport, Encoding(encoding), seconds=30)
        call = send_chunk(Secret(TICKET), "handler", chunk, 0, last=False)
        chunk.release()
        with pytest.raises(ValueError, match="released") as caught:
            await asker.ask(call, seconds=30, limit=1000, delivery=Delivery())
        await transport.close()
    shown = with_locals(caught.value)
    assert f"in {encoding}" in shown, "where it happened is not told"
    assert not seen_in(shown)


@pytest.mark.parametrize("hook", ["on_request_start", "on_request_headers_sent", "on_request_end"])
async def test_a_lent_session_whose_hooks_raise(hook: str) -> None:
    async def raise_it(*_: object) -> None:
        raise LookupError("a hook")

    trace = aiohttp.TraceConfig()
    getattr(trace, hook).append(raise_it)
    async with (
        talking(ANSWERS["a page"]) as port,
        aiohttp.ClientSession(trace_configs=[trace]) as lent,
    ):
        with pytest.raises(Exception, match=r"a hook|connection broke") as caught:
            async with Client(f"http://127.0.0.1:{port}", user="jsmith", password=PASSWORD, session=lent) as client:
                await client.ping()
    check(caught.value)


# ── the server's address ──


@pytest.mark.parametrize(
    "form",
    [
        "https://jsmith:{}@host",
        "https://jsmith:{}@host:port",
        "https://jsmith:12/{}@host",
        "https://{}@host",
        "jsmith:{}@host",
        "ftp://jsmith:{}@host",
        "https://jsmith:{}@[host",
    ],
)
def test_a_password_in_the_servers_address(form: str) -> None:
    with pytest.raises(UsageError) as caught:
        Client(form.format(quote_plus(PASSWORD)), user="jsmith", password="")
    shown = with_locals(caught.value)
    assert "_opened.py" in shown
    assert not seen_in(shown)


def test_a_server_at_home_is_not_warned_of_and_another_one_once() -> None:
    for host in ("localhost", "LOCALHOST", "127.0.0.1", "127.9.8.7", "[::1]"):
        assert first_warning(endpoint(f"http://{host}:8080/ir")) is None
    for number, host in enumerate(("10.0.0.1", "[fe80::1]", "localhost.invalid", "127.0.0.1.invalid")):
        url = f"{host}:{number}" if number else host
        assert first_warning(endpoint(f"https://{url}")) is None
        assert str(first_warning(endpoint(f"http://{url}"))).startswith(f"http://{url} is asked without encryption")
        assert first_warning(endpoint(f"http://{host}/another/path")) is None


async def test_a_library_warns_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    for _ in range(2):
        async with Client("http://warned-of.invalid/ir", ticket=TICKET):
            pass
    (line,) = (record for record in caplog.records if "not_encrypted" in record.getMessage())
    assert line.levelname == "WARNING"
    assert "http://warned-of.invalid is asked without encryption" in line.getMessage()

"""Passwords and tickets are seen by the server and by nobody else: not in a log, not in a repr, not in a traceback."""

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest
from bodies import joined
from hypothesis import given
from hypothesis import strategies as st
from locals_shown import with_locals

from asyncupload import AsyncUploadError, Client, ConnectFailed, ConnectionLost, Settings
from asyncupload._call import encode
from asyncupload._remote import Remote
from asyncupload._secret import Hidden, Secret
from asyncupload._transport import Delivery, Transport
from asyncupload._wire import authenticate, send_chunk
from asyncupload.settings import Timeouts

# Never in a local variable of a test: the tracebacks below show those too.
PASSWORD = "correct-horse-battery"
TICKET = "0f8fad5b-d9cb-469f-a165-70867728950e"

SHOWN: dict[str, Callable[[Secret], str]] = {
    "repr": repr,
    "str": str,
    "format": format,
    "f-string": lambda secret: f"{secret} {secret!s} {secret!r} {secret!a} {secret:>40}",
    "percent": lambda secret: "%s %r %a" % (secret, secret, secret),  # noqa: UP031
    "str.format": lambda secret: f"{secret} {secret!r} {secret.__class__}",
    "in a list": lambda secret: str([secret, (secret,), {secret: secret}]),
    "as JSON's last resort": lambda secret: json.dumps({"password": secret}, default=str),
    "its attributes": lambda secret: str(getattr(secret, "__dict__", {})),
}


@pytest.mark.parametrize("way", SHOWN)
def test_it_does_not_show_itself(way: str) -> None:
    try:
        shown = SHOWN[way](Secret(PASSWORD))
    except TypeError as error:  # a format specification, for instance: it says no more than that
        shown = str(error)

    assert PASSWORD not in shown


def test_it_is_shown_to_whom_asks() -> None:
    assert Secret(PASSWORD).reveal() == PASSWORD


def test_it_looks_the_same_whatever_it_holds() -> None:
    """Not even its length can be told."""
    assert repr(Secret("a")) == repr(Secret(PASSWORD)) == str(Secret(""))


def test_only_strings_are_wrapped() -> None:
    secret = Secret(PASSWORD)

    assert Secret.of(secret) is secret
    assert Secret.of(None) is None
    wrapped = Secret.of(PASSWORD)
    assert wrapped is not None
    assert wrapped.reveal() == PASSWORD


def test_secrets_are_compared_by_what_they_hold() -> None:
    assert Secret("a") == Secret("a")
    assert Secret("a") != Secret("b")
    assert Secret("a") != "a"
    assert len({Secret("a"), Secret("a"), Secret("b")}) == 2


@given(secret=st.text("abc", min_size=1, max_size=4), text=st.text("abcd", max_size=40))
def test_blotted_text_holds_the_secret_nowhere(secret: str, text: str) -> None:
    blotted = Secret(secret).blot(text)

    assert secret not in blotted
    assert blotted.replace("•••", secret) == text, "more was struck out than the secret"


WIDE = "Çok-gizli-şifre 1234€"


@pytest.mark.parametrize("written", ["utf-8", "cp1254"])
@pytest.mark.parametrize("read", ["utf-8", "cp1252", "latin-1", "ascii"])
def test_it_is_struck_out_also_where_it_is_misread(written: str, read: str) -> None:
    """As from a page in another encoding than it says."""
    page = f"before {WIDE} after".encode(written).decode(read, "replace")

    assert not any(part in Secret(WIDE).blot(page) for part in ("gizli", "ifre", "1234"))
    assert Secret(WIDE).blot("nothing of it: ÇokÇok????") == "nothing of it: ÇokÇok????"


@given(st.text(min_size=1))
def test_any_text_can_be_a_secret(text: str) -> None:
    for secret in (text, f"{text}\udce9"):  # undecodable bytes of the environment
        assert secret not in Secret(secret).blot(f"<{secret}>")


@given(st.text())
def test_an_empty_secret_strikes_nothing_out(text: str) -> None:
    assert Secret("").blot(text) == text


# ── tracebacks that show local variables ──────────────────────────────────────────────────────────────────────────────


def test_the_tracebacks_of_these_tests_do_show_local_variables() -> None:
    """Otherwise all that follows would hold of anything."""

    def fail() -> None:
        local = "a-tell-tale-" + "value"
        raise LookupError(len(local))

    with pytest.raises(LookupError) as caught:
        fail()

    assert with_locals(caught.value).count("a-tell-tale-value") >= 3


def test_a_traceback_does_not_give_it_away() -> None:
    def fail(password: Secret) -> None:
        everything = {"password": password, "pair": [password, password]}
        raise LookupError(len(everything))

    with pytest.raises(LookupError) as caught:
        fail(Secret(PASSWORD))

    assert PASSWORD not in with_locals(caught.value)


def test_a_text_for_a_library_does_not_show_itself_either_be_it_cut() -> None:
    """What shows local variables cuts long ones before it shows them."""

    def fail(header: str) -> None:
        raise LookupError(len(header))

    with pytest.raises(LookupError) as caught:
        fail(Hidden(PASSWORD * 10))

    assert "•••" in with_locals(caught.value)
    assert PASSWORD not in with_locals(caught.value)


@pytest.fixture
def nobody() -> str:
    """The address of a server that is not there."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{listener.getsockname()[1]}"


@pytest.mark.anyio
async def test_a_failed_upload_does_not_give_the_password_away(nobody: str) -> None:
    with pytest.raises(ConnectFailed) as caught:
        async with Client(nobody, user="jsmith", password=PASSWORD, settings=Settings()) as client:
            await client.upload(b"content", to="/Finance/Reports/a.txt")

    shown = with_locals(caught.value)
    assert "jsmith" in shown, "the frames that know the password are not shown at all"
    assert PASSWORD not in shown


@pytest.mark.anyio
async def test_a_call_cannot_be_encoded_without_giving_the_password_away(nobody: str) -> None:
    """A user name that is no Unicode text, as it comes from a command line that is not UTF-8 (fault 18)."""
    with pytest.raises((AsyncUploadError, UnicodeError)) as caught:
        async with Client(nobody, user="jos\udce9", password=PASSWORD) as client:
            await client.upload(b"content", to="/Finance/Reports/a.txt")

    assert PASSWORD not in with_locals(caught.value)


@asynccontextmanager
async def hanging_up(after: int) -> AsyncIterator[str]:
    """A server that reads some bytes and resets the connection."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readexactly(after)
        writer.transport.abort()

    server = await asyncio.start_server(serve, "127.0.0.1", 0, limit=1024)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"


@pytest.mark.anyio
async def test_a_connection_that_breaks_under_a_chunk_does_not_give_the_ticket_away() -> None:
    chunk = memoryview(bytes(32 * 1024 * 1024))  # more than any socket's buffers take
    call = send_chunk(Secret(TICKET), "handler", chunk, 0, last=False)
    async with hanging_up(after=2000) as url:
        transport = Transport(url, connect_timeout=5)
        try:
            with pytest.raises(ConnectionLost) as caught:
                await transport.post(call.operation, encode(call), seconds=30, limit=1000, delivery=Delivery())
        finally:
            await transport.close()

    assert TICKET not in with_locals(caught.value)


def test_clients_show_neither_password_nor_ticket() -> None:
    client = Client("http://host/", user="jsmith", password=PASSWORD, ticket=TICKET)
    remote = Remote(
        Transport("http://host", connect_timeout=1),
        user="jsmith",
        password=Secret(PASSWORD),
        ticket=Secret(TICKET),
        timeouts=Timeouts(),
    )

    for thing in (client, remote, vars(client), vars(remote), authenticate("jsmith", Secret(PASSWORD))):
        assert PASSWORD not in repr(thing)
        assert TICKET not in repr(thing)


def test_the_body_of_a_call_does_carry_it() -> None:
    """The one place where it has to be."""
    assert PASSWORD.encode() in joined(encode(authenticate("u", Secret(PASSWORD))))
    assert PASSWORD not in repr(encode(authenticate("u", Secret(PASSWORD))))

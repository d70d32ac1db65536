"""What became of a request that failed: one table, and every fault of the line that ends in an error."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest
from conftest import PATIENT
from hypothesis import given, settings
from hypothesis import strategies as st

from asyncupload import _reply, errors
from asyncupload._call import LostReply
from asyncupload._handler import Handler
from asyncupload._outcome import outcome_of
from asyncupload._pipeline import SealedChunk
from asyncupload._remote import Remote
from asyncupload._secret import Secret
from asyncupload._transport import Transport
from asyncupload._wire import Grant
from asyncupload.errors import (
    AccessDenied,
    AlreadyExists,
    AsyncUploadError,
    CheckedOut,
    ChunkDamaged,
    ChunkRefused,
    ConnectFailed,
    ConnectionLost,
    ForeignReply,
    HandlerLost,
    LoginRefused,
    NotFound,
    Outcome,
    Redirected,
    RuleViolated,
    ServerError,
    TicketRefused,
    TimedOut,
    TLSFailed,
    TransportError,
)

NOT_APPLIED, UNKNOWN = Outcome.NOT_APPLIED, Outcome.UNKNOWN

# ── the table ─────────────────────────────────────────────────────────────────────────────────────────────────────────

WHOLE_BODY_LEFT: list[tuple[AsyncUploadError, Outcome]] = [
    # how the request ended, and what that means where a repeat could do harm
    (TransportError("x"), UNKNOWN),
    (ConnectFailed("x"), NOT_APPLIED),
    (TLSFailed("x"), NOT_APPLIED),
    (ConnectionLost("x"), UNKNOWN),
    (TimedOut("x"), UNKNOWN),
    (ChunkDamaged("x"), UNKNOWN),
    (ForeignReply("x", status=200), UNKNOWN),
    (Redirected("x", status=302), NOT_APPLIED),
    (ServerError("x"), NOT_APPLIED),
    (ServerError("x", code=4000), NOT_APPLIED),
    (ServerError("x", code=4999), NOT_APPLIED),
    (ServerError("x", code=5000), UNKNOWN),
    (ServerError("x", code=5030, text="no database"), UNKNOWN),
    (ServerError("x", text="SystemError: Object reference not set"), UNKNOWN),
    (LoginRefused("x", code=4010), NOT_APPLIED),
    (TicketRefused("x", code=4010), NOT_APPLIED),
    (AccessDenied("x", code=4030), NOT_APPLIED),
    (RuleViolated("x", rule="NewDocuments"), NOT_APPLIED),
    (NotFound("x", code=4041), NOT_APPLIED),
    (AlreadyExists("x", code=4090), NOT_APPLIED),
    (CheckedOut("x", by="anna"), NOT_APPLIED),
    (HandlerLost("x", code=4000), NOT_APPLIED),
    (ChunkRefused("x"), NOT_APPLIED),
    *((ForeignReply("x", status=status), NOT_APPLIED) for status in (400, 401, 403, 404, 405, 407, 408, 411, 413, 414)),
    *((ForeignReply("x", status=status), NOT_APPLIED) for status in (415, 425, 429, 431)),
    *(
        (ForeignReply("x", status=status), UNKNOWN)
        for status in (201, 204, 206, 409, 418, 421, 423, 500, 501, 502, 504, 520, 522, 524, 599)
    ),
]


def _shown(error: object) -> str:
    facts = [str(value) for name in ("status", "code", "text") if (value := getattr(error, name, None))]
    return " ".join([type(error).__name__, *facts])


@pytest.mark.parametrize("lost_reply", [LostReply.PROVE, LostReply.ASK])
@pytest.mark.parametrize(("error", "outcome"), WHOLE_BODY_LEFT, ids=[_shown(row[0]) for row in WHOLE_BODY_LEFT])
def test_what_a_whole_request_that_failed_has_done(
    error: AsyncUploadError, outcome: Outcome, lost_reply: LostReply
) -> None:
    # There, what something on the way may say of an answer is no word about the request.
    if lost_reply is LostReply.ASK and getattr(error, "status", 0) in {302, 401, 403, 404, 407, 408}:
        outcome = UNKNOWN
    assert outcome_of(error, body_left=True, lost_reply=lost_reply) is outcome


@pytest.mark.parametrize("error", [row[0] for row in WHOLE_BODY_LEFT], ids=_shown)
def test_where_a_repeat_does_no_harm_nothing_is_unknown(error: AsyncUploadError) -> None:
    assert outcome_of(error, body_left=True, lost_reply=LostReply.REPEAT) is NOT_APPLIED


@pytest.mark.parametrize("lost_reply", LostReply)
@pytest.mark.parametrize("error", [row[0] for row in WHOLE_BODY_LEFT], ids=_shown)
def test_a_body_that_did_not_leave_whole_has_done_nothing(error: AsyncUploadError, lost_reply: LostReply) -> None:
    """Fault 37: its declared length is not met, so that no server takes it for a request."""
    assert outcome_of(error, body_left=False, lost_reply=lost_reply) is NOT_APPLIED


@pytest.mark.parametrize("left", [True, False])
def test_a_server_that_is_unavailable_may_have_been_so_after_it_had_begun_to_store(left: bool) -> None:
    """Fault 46: storing takes minutes, in which a gateway, or the server that is being stopped, may say so."""
    error = ForeignReply("x", status=503)

    assert outcome_of(error, body_left=left, lost_reply=LostReply.ASK) is (UNKNOWN if left else NOT_APPLIED)
    assert outcome_of(error, body_left=left, lost_reply=LostReply.PROVE) is NOT_APPLIED
    assert outcome_of(error, body_left=left, lost_reply=LostReply.REPEAT) is NOT_APPLIED


def test_every_kind_that_a_request_can_end_in_is_in_the_table() -> None:
    kinds = {kind for kind in vars(errors).values() if isinstance(kind, type)}
    ends = {kind for kind in kinds if issubclass(kind, TransportError | ServerError)}

    assert {type(error) for error, _ in WHOLE_BODY_LEFT} == ends


@given(
    status=st.integers(100, 599),
    body=st.sampled_from([b"", b"<p>", b'<root success="true"/>', b'<root success="false" errorCode="5000"/>']),
    lost_reply=st.sampled_from([LostReply.PROVE, LostReply.ASK]),
)
def test_only_a_status_that_comes_before_the_operation_vouches_that_it_did_not_run(
    status: int, body: bytes, lost_reply: LostReply
) -> None:
    """Fault 44: whatever stands in the page. Whoever made it up, it may have been after the operation had run."""
    try:
        _reply.read("UploadFileChunk", _reply.Answer(status, body), str)
    except AsyncUploadError as error:
        outcome = outcome_of(error, body_left=True, lost_reply=lost_reply)
    else:
        assert status == 200
        return
    early = {400, 405, 411, 413, 414, 415, 425, 429, 431}
    if lost_reply is LostReply.PROVE:
        early |= {401, 403, 404, 407, 408, 503, *range(300, 400)}
    assert (outcome is NOT_APPLIED) == (status in early)


def test_the_outcome_is_judged_and_not_carried_along() -> None:
    """What an error says by itself is a default, and no judgement."""
    said = ConnectionLost("x", outcome=Outcome.APPLIED)

    assert outcome_of(said, body_left=True, lost_reply=LostReply.ASK) is UNKNOWN
    assert outcome_of(said, body_left=False, lost_reply=LostReply.ASK) is NOT_APPLIED
    assert said.outcome is Outcome.APPLIED, "the function changes nothing"


REFUSALS: list[tuple[str, str, Outcome]] = [
    # operation, attributes of the answer, what they mean where a repeat could do harm
    ("UploadFileChunk", 'success="false" tryagain="true"', NOT_APPLIED),
    ("UploadFileChunk", 'success="true" tryagain="true"', NOT_APPLIED),
    ("UploadFileChunk", 'success="false" errorCode="4000"', NOT_APPLIED),
    ("UploadFileChunk", 'success="false" errorCode="4010"', NOT_APPLIED),
    ("UploadFileChunk", 'success="false" errorCode="4000" error="[901] x"', NOT_APPLIED),
    ("UploadFileChunk", 'success="false" errorCode="5030"', UNKNOWN),
    ("UploadFileChunk", 'success="false" error="SystemError: Object reference"', UNKNOWN),
    ("UploadDocumentWithHandler", 'success="false" errorCode="4000"', NOT_APPLIED),
    ("UploadDocumentWithHandler", 'success="false" errorCode="4090"', NOT_APPLIED),
    ("UploadDocumentWithHandler", 'success="false" errorCode="4030"', NOT_APPLIED),
    ("UploadDocumentWithHandler", 'success="false" errorCode="4170"', NOT_APPLIED),
    ("UploadDocumentWithHandler", 'success="false" error="odd"', NOT_APPLIED),
    ("UploadDocumentWithHandler", 'success="false"', NOT_APPLIED),
    ("UploadDocumentWithHandler", 'error="odd"', NOT_APPLIED),
    ("UploadDocumentWithHandler", 'success="false" error="SystemError: disk full"', UNKNOWN),
    ("UploadDocumentWithHandler", 'success="false" errorCode="5000"', UNKNOWN),
]


@pytest.mark.parametrize(
    ("operation", "attributes", "outcome"), REFUSALS, ids=[f"{row[0]} {row[1]}" for row in REFUSALS]
)
def test_what_a_refusal_as_it_is_read_has_done(operation: str, attributes: str, outcome: Outcome) -> None:
    """Fault 69: an exception inside the server tells nothing of how far it had come."""
    with pytest.raises(ServerError) as caught:
        _reply.read(operation, _reply.Answer(200, f"<root {attributes}/>".encode()), str)

    assert outcome_of(caught.value, body_left=True, lost_reply=LostReply.ASK) is outcome


PAGES = [
    b"",
    b"<html><form><input name='UID'></form></html>",
    b'{"success": true}',
    b'<root success="true" DocumentI',
    b'<root success="true"><logs>',
    b'<root DocumentId="7"/>',
    b'<!DOCTYPE root><root success="true"/>',
]


@pytest.mark.parametrize("body", PAGES, ids=repr)
def test_a_page_in_place_of_a_reply_vouches_for_nothing(body: bytes) -> None:
    """Fault 43: truncated, a login page, a maintenance page; with status 200 it is still no success."""
    with pytest.raises(ForeignReply) as caught:
        _reply.read("UploadFileChunk", _reply.Answer(200, body), str)

    assert outcome_of(caught.value, body_left=True, lost_reply=LostReply.PROVE) is UNKNOWN


# ── the faults of the line, met on real sockets ───────────────────────────────────────────────────────────────────────

Behave = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
"""What a server does with a connection, whose request's head is read already."""


@asynccontextmanager
async def _listening(behave: Behave) -> AsyncIterator[str]:
    """A server that does nothing else; its connections are gone at the end."""
    tasks: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        tasks.add(task := asyncio.current_task())  # type: ignore[arg-type]
        try:
            await reader.readuntil(b"\r\n\r\n")
            await behave(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass  # its client has gone, or the test is over
        finally:
            writer.transport.abort()
            tasks.discard(task)

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()
        for task in list(tasks):
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


LENGTH = 32 * 1024 * 1024
"""More than the buffers of any socket hold: the end of it does not leave unless somebody reads."""


def _reading_all(answer: bytes, *, then_wait: bool = False) -> Behave:
    """Reads the chunk to its end, and then says ``answer``."""

    async def behave(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen = b""
        while not seen.endswith(b"--\r\n"):
            seen = (seen + await reader.read(1 << 20))[-4:]
        writer.write(answer)
        await writer.drain()
        if then_wait:
            await asyncio.sleep(60)

    return behave


async def _hang_up_at_once(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    return


async def _hang_up_in_the_middle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.readexactly(LENGTH // 4)


async def _read_nothing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await asyncio.sleep(60)


def _http(status: str, body: bytes = b"", *headers: str) -> bytes:
    head = "\r\n".join([f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *headers, "", ""])
    return head.encode() + body


LINE: list[tuple[str, Behave, type[AsyncUploadError], Outcome]] = [
    # the number of the fault and what it is, what the server does, how it is told, what it means for a chunk
    ("34 login redirect", _reading_all(_http("302 Found", b"", "Location: /login")), Redirected, NOT_APPLIED),
    ("37 reset before the body", _hang_up_at_once, ConnectionLost, NOT_APPLIED),
    ("37 reset in the middle of the body", _hang_up_in_the_middle, ConnectionLost, NOT_APPLIED),
    ("38 closed without a word", _reading_all(b""), ConnectionLost, UNKNOWN),
    ("39 half-open before the body", _read_nothing, TimedOut, NOT_APPLIED),
    ("40 no reply in time", _reading_all(b"", then_wait=True), TimedOut, UNKNOWN),
    ("41 reply lost", _reading_all(b"HTTP/1.1 200 OK\r\nContent-Le"), ConnectionLost, UNKNOWN),
    ("43 reply cut", _reading_all(_http("200 OK", b'<root success="true"/>')[:-5]), ConnectionLost, UNKNOWN),
    ("43 reply cut and still in form", _reading_all(_http("200 OK", b'<root success="true"')), ForeignReply, UNKNOWN),
    ("43 login page", _reading_all(_http("200 OK", b"<form><input name='UID'></form>")), ForeignReply, UNKNOWN),
    ("44 error page", _reading_all(_http("500 Internal Server Error", b"<h1>oh</h1>")), ForeignReply, UNKNOWN),
    ("45 bad gateway", _reading_all(_http("502 Bad Gateway")), ForeignReply, UNKNOWN),
    ("45 gateway time-out", _reading_all(_http("504 Gateway Timeout")), ForeignReply, UNKNOWN),
    (
        "46 unavailable",
        _reading_all(_http("503 Service Unavailable", b"", "Retry-After: 1")),
        ForeignReply,
        NOT_APPLIED,
    ),
    ("47 too many requests", _reading_all(_http("429 Too Many Requests")), ForeignReply, NOT_APPLIED),
    ("48 request time-out", _reading_all(_http("408 Request Timeout")), ForeignReply, NOT_APPLIED),
    ("49 too large", _reading_all(_http("413 Content Too Large")), ForeignReply, NOT_APPLIED),
    ("49 not found, as IIS says too large", _reading_all(_http("404 Not Found")), ForeignReply, NOT_APPLIED),
    ("49 bad request", _reading_all(_http("400 Bad Request")), ForeignReply, NOT_APPLIED),
    ("50 unsupported media type", _reading_all(_http("415 Unsupported Media Type")), ForeignReply, NOT_APPLIED),
    ("51 gateway login", _reading_all(_http("401 Unauthorized")), ForeignReply, NOT_APPLIED),
    ("51 forbidden by a gateway", _reading_all(_http("403 Forbidden")), ForeignReply, NOT_APPLIED),
    ("33 proxy login", _reading_all(_http("407 Proxy Authentication Required")), ForeignReply, NOT_APPLIED),
    ("57 damaged on the way", _reading_all(_http("200 OK", b'<r tryagain="true"/>')), ChunkRefused, NOT_APPLIED),
]

CHUNK = bytes(LENGTH)

SHORT = 0.5
"""Seconds for a chunk and its reply: long for this machine, and all that some of these servers wait for."""


@asynccontextmanager
async def _remote(url: str, seconds: float) -> AsyncIterator[Remote]:
    timeouts = PATIENT.timeouts
    transport = Transport(url, connect_timeout=timeouts.connect)
    try:
        yield Remote(
            transport,
            user=None,
            password=None,
            ticket=Secret("a-ticket"),
            timeouts=type(timeouts)(reply=seconds, finalize=seconds, slowest_rate=1e12),
        )
    finally:
        await transport.close()


@pytest.mark.anyio
@pytest.mark.parametrize(("fault", "behave", "kind", "outcome"), LINE, ids=[row[0] for row in LINE])
async def test_a_fault_of_the_line_means_for_a_chunk(
    fault: str, behave: Behave, kind: type[AsyncUploadError], outcome: Outcome
) -> None:
    seconds = SHORT if issubclass(kind, TimedOut) else 10.0
    async with _listening(behave) as url, _remote(url, seconds) as remote:
        chunk = SealedChunk(1, CHUNK, 0, last=True)
        with pytest.raises(AsyncUploadError) as caught:
            await remote.send_chunk(Handler(Grant("a-handler", LENGTH)), chunk)
    assert (type(caught.value), caught.value.outcome) == (kind, outcome)


@pytest.mark.anyio
async def test_what_never_found_a_server_has_done_nothing() -> None:
    """Faults 29 and 30: no such name, and nobody listens."""
    async with _listening(_hang_up_at_once) as url:
        pass
    for where in ("http://name.invalid", url):
        async with _remote(where, 10.0) as remote:
            with pytest.raises(ConnectFailed) as caught:
                await remote.send_chunk(Handler(Grant("a-handler", 1)), SealedChunk(1, b"x", 0, last=True))
        assert caught.value.outcome is NOT_APPLIED


@pytest.mark.anyio
async def test_a_server_that_does_not_speak_tls_has_done_nothing() -> None:
    """Fault 31."""

    async def talk_plainly(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(talk_plainly, "127.0.0.1", 0)
    async with server, _remote(f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}", 10.0) as remote:
        with pytest.raises(ConnectFailed) as caught:
            await remote.send_chunk(Handler(Grant("a-handler", 1)), SealedChunk(1, b"x", 0, last=True))
    assert caught.value.outcome is NOT_APPLIED


@settings(max_examples=100)
@given(
    left=st.booleans(),
    lost_reply=st.sampled_from(LostReply),
    error=st.sampled_from([row[0] for row in WHOLE_BODY_LEFT]),
)
def test_no_failure_is_taken_for_a_success(left: bool, lost_reply: LostReply, error: AsyncUploadError) -> None:
    outcome = outcome_of(error, body_left=left, lost_reply=lost_reply)

    assert outcome in {NOT_APPLIED, UNKNOWN}
    assert outcome is NOT_APPLIED or (left and lost_reply is not LostReply.REPEAT)

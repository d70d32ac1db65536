"""All of a file through handlers until one holds what was read: losses, doubled chunks, sizes and ways of writing."""

import asyncio
import io
import os
import re
import time
import zlib
from collections import Counter
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path

import pytest
from between import Between, between
from conftest import FOLDER, PATIENT
from troubled import against, count

from asyncupload import (
    AsyncUploadError,
    ChecksumMismatch,
    ChunkSent,
    Client,
    ConnectionLost,
    Event,
    ForeignReply,
    HandlerLost,
    HandlerOpened,
    Loss,
    Restarted,
    Retries,
    ServerError,
)
from asyncupload.emulator import Call, Emulator, Script, at

pytestmark = pytest.mark.anyio

CHUNK = PATIENT.chunk_size
TO = f"{FOLDER}/report.bin"
MIB = 1024 * 1024


async def _pieces(data: bytes, size: int = 100_000) -> AsyncIterator[bytes]:
    for start in range(0, len(data), size):
        yield data[start : start + size]


def _always(loss: Loss) -> bool:
    return True


def _never(loss: Loss) -> bool:
    return False


async def _stored_once(server: Emulator, data: bytes) -> None:
    assert (await server.content(TO)).read_bytes() == data
    assert [len(document.versions) for document in await server.documents()] == [1]
    assert await server.open_handlers() == []


async def _nothing_left(server: Emulator) -> None:
    assert await server.documents() == []
    assert await server.open_handlers() == []


# ── a reply is lost: prove, or begin anew ───────────────────────────────────────────────────────────────────────────

LOST = ["drop-before", "drop-after", "refuse-500", "html"]


@pytest.mark.parametrize("fault", LOST)
@pytest.mark.parametrize(("chunk", "proved"), [(1, False), (3, False), (4, True), (6, True)])
async def test_early_losses_begin_anew_and_late_ones_are_proved(
    chunk: int, proved: bool, fault: str, tmp_path: Path
) -> None:
    """Faults 40, 41, 43 and 44. Beyond the half, what is left costs less than all of it again."""
    data = os.urandom(5 * CHUNK + 1)
    async with against(tmp_path, at({("UploadFileChunk", chunk): fault})) as (server, client):
        receipt = await client.upload(data, to=TO)
        await _stored_once(server, data)
        assert receipt.resent == (1 if proved else 0)
        # A chunk that was appended and goes again stands there twice, which only the whole's checksum tells.
        assert receipt.restarted == (0 if proved and fault != "drop-after" else 1)
        assert receipt.chunks == 6


@pytest.mark.parametrize("fault", LOST)
@pytest.mark.parametrize(("prove", "chunk"), [(_always, 1), (_never, 6)])
async def test_the_users_own_rule_is_asked(
    prove: Callable[[Loss], bool], chunk: int, fault: str, tmp_path: Path
) -> None:
    data, asked = os.urandom(5 * CHUNK + 1), list[Loss]()

    def rule(loss: Loss) -> bool:
        asked.append(loss)
        return prove(loss)

    script = at({("UploadFileChunk", chunk): fault})
    async with against(tmp_path, script, replace(PATIENT, prove=rule)) as (server, client):
        receipt = await client.upload(data, to=TO)
        await _stored_once(server, data)
        assert asked == [Loss(sent=(chunk - 1) * CHUNK, size=len(data), rereadable=True)]
        assert receipt.resent == (1 if prove is _always else 0)
        assert receipt.restarted == (1 if prove is _never or fault == "drop-after" else 0)


@pytest.mark.parametrize("fault", ["drop-before", "refuse-500", "html"])
@pytest.mark.parametrize("chunk", [2, 3])
async def test_a_source_that_cannot_be_read_again_proves_what_is_not_its_first(
    chunk: int, fault: str, tmp_path: Path
) -> None:
    """Fault 27: the chunk comes out of the sender's buffer, whatever has become of its source."""
    data = os.urandom(2 * CHUNK + 1)
    async with against(tmp_path, at({("UploadFileChunk", chunk): fault})) as (server, client):
        receipt = await client.upload(_pieces(data), to=TO)
        await _stored_once(server, data)
        assert (receipt.resent, receipt.restarted) == (1, 0)


async def test_what_cannot_begin_anew_and_stands_twice_is_not_stored(tmp_path: Path) -> None:
    """Fault 60: the second-best end, and the error names the chunk."""
    async with against(tmp_path, at({("UploadFileChunk", 2): "drop-after"})) as (server, client):
        with pytest.raises(ChecksumMismatch, match="chunk 2 was appended twice"):
            await client.upload(_pieces(os.urandom(2 * CHUNK + 1)), to=TO)
        await _nothing_left(server)


async def test_what_cannot_begin_anew_and_may_not_prove_fails(tmp_path: Path) -> None:
    script, settings = at({("UploadFileChunk", 2): "drop-before"}), replace(PATIENT, prove=_never)
    async with against(tmp_path, script, settings) as (server, client):
        with pytest.raises(ConnectionLost):
            await client.upload(_pieces(bytes(CHUNK + 1)), to=TO)
        await _nothing_left(server)


@pytest.mark.parametrize("fault", [*LOST, "lose-handler"])
@pytest.mark.parametrize("size", [1000, 2 * CHUNK + 1])
async def test_a_source_that_cannot_be_read_again_has_its_first_chunk_in_hand(
    size: int, fault: str, tmp_path: Path
) -> None:
    """Nothing was acknowledged, so another handler can have all of it. What is read ahead meanwhile is not lost."""
    data, events = os.urandom(size), list[Event]()
    async with against(tmp_path, at({("UploadFileChunk", 1): fault})) as (server, client):
        receipt = await client.upload(_pieces(data), to=TO, on_event=events.append)
        await _stored_once(server, data)
        assert (receipt.resent, receipt.restarted) == (0, 1)
        assert len([event for event in events if isinstance(event, HandlerOpened)]) == 2


async def test_a_source_that_cannot_be_read_again_is_left_closed_if_no_handler_comes(tmp_path: Path) -> None:
    closed = list[str]()

    async def pieces() -> AsyncIterator[bytes]:
        try:
            while True:
                yield bytes(CHUNK)
        finally:
            closed.append("now")

    hits = {("UploadFileChunk", 1): "lose-handler", ("CreateUploadHandler", 2): "refuse-403"}
    async with against(tmp_path, at(hits)) as (server, client):
        with pytest.raises(ForeignReply, match="403"):
            await client.upload(pieces(), to=TO)
        assert closed == ["now"]
        await _nothing_left(server)


@pytest.mark.parametrize("kind", ["path", "bytes", "file object", "file object read in part"])
async def test_a_source_begins_anew_where_it_began(kind: str, tmp_path: Path) -> None:
    data, file = os.urandom(2 * CHUNK + 1), tmp_path / "source.bin"
    file.write_bytes(data)
    async with against(tmp_path, at({("UploadFileChunk", 2): "drop-after"})) as (server, client):
        match kind:
            case "path":
                receipt = await client.upload(file, to=TO)
            case "bytes":
                receipt = await client.upload(data, to=TO)
            case "file object":
                receipt = await client.upload(io.BytesIO(data), to=TO)
            case _:
                begun = io.BytesIO(b"read before" + data)
                begun.read(11)
                receipt = await client.upload(begun, to=TO)
        await _stored_once(server, data)
        assert receipt.restarted == 1


async def test_a_restart_is_told_and_counts_from_zero_again(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Fault 89: within one pass, acknowledged bytes only grow."""
    caplog.set_level("INFO", "asyncupload")
    events = list[Event]()
    async with against(tmp_path, at({("UploadFileChunk", 2): "drop-before"})) as (_, client):
        receipt = await client.upload(os.urandom(3 * CHUNK), to=TO, on_event=events.append)
    kinds = [type(event) for event in events]
    assert kinds[:3] == [HandlerOpened, ChunkSent, Restarted]
    assert [event.sent for event in events if isinstance(event, ChunkSent)] == [CHUNK, CHUNK, 2 * CHUNK, 3 * CHUNK]
    (restarted,) = (event for event in events if isinstance(event, Restarted))
    assert restarted.path == TO
    assert "UploadFileChunk" in restarted.reason
    assert caplog.text.count("event='upload_restarted'") == 1
    assert receipt.restarted == 1
    handlers = [event.handler for event in events if isinstance(event, HandlerOpened)]
    assert len(set(handlers)) == 2


async def test_the_handler_of_a_pass_that_led_nowhere_is_deleted_before_the_next(tmp_path: Path) -> None:
    async with against(tmp_path, at({("UploadFileChunk", 1): "drop-after"})) as (server, client):
        await client.upload(os.urandom(3 * CHUNK), to=TO)
        order = [call.operation for call in server.calls if call.operation.endswith("UploadHandler")]
    assert order == ["CreateUploadHandler", "DeleteUploadHandler", "CreateUploadHandler"]


async def test_restarts_are_bounded(tmp_path: Path) -> None:
    """Each pass loses its first chunk's reply."""
    script: Script = lambda call: "drop-before" if call.operation == "UploadFileChunk" else None  # noqa: E731
    settings = replace(PATIENT, prove=lambda _: False)
    async with against(tmp_path, script, settings) as (server, client):
        with pytest.raises(ConnectionLost):
            await client.upload(os.urandom(3 * CHUNK), to=TO)
        assert count(server, "CreateUploadHandler") == PATIENT.retries.restarts + 1
        await _nothing_left(server)


@pytest.mark.parametrize(
    ("rules", "handlers"),
    [
        (replace(PATIENT.retries, restarts=5, restart_bytes=5 * CHUNK), 3),
        (replace(PATIENT.retries, restarts=5, restart_within=0.0), 1),
        (replace(PATIENT.retries, restarts=5), 6),
    ],
)
async def test_restarts_are_bounded_by_bytes_and_by_time(rules: Retries, handlers: int, tmp_path: Path) -> None:
    """Each pass sends two chunks, and loses the reply to the third."""

    def script(call: Call) -> str | None:
        return "drop-before" if call.operation == "UploadFileChunk" and call.number % 3 == 0 else None

    settings = replace(PATIENT, prove=lambda _: False, retries=rules)
    async with against(tmp_path, script, settings) as (server, client):
        with pytest.raises(ConnectionLost) as caught:
            await client.upload(os.urandom(4 * CHUNK), to=TO)
        assert count(server, "CreateUploadHandler") == handlers
        told = [f"given up after {handlers} passes in"] if handlers > 1 else []
        assert [note[: len(told[0])] for note in getattr(caught.value, "__notes__", [])] == told
        await _nothing_left(server)


async def test_a_chunk_that_a_bare_503_turned_away_is_doubted_also_where_no_checksum_shows_it(tmp_path: Path) -> None:
    """Some gateways say so of a server that they have lost, and which has the chunk. Doubled zeros behind four bytes of
    FF leave the CRC-32 as it was."""
    data = b"\xff" * 4 + bytes(3 * CHUNK)
    script = at({("UploadFileChunk", 2): "gateway-503"})
    async with Emulator(tmp_path, script=script, slow=0.2, gateway=0.01) as server:
        async with Client(server.url, user="demo", password="demo", settings=PATIENT) as client:
            receipt = await client.upload(data, to=TO)
        assert receipt.restarted == 1
        await _stored_once(server, data)


async def test_restarts_wait_longer_each_time(tmp_path: Path) -> None:
    """An application pool that recycles answers 502 for some seconds: three restarts at once would all meet it."""
    rules = replace(PATIENT.retries, restarts=2, first_wait=0.2, longest_wait=10.0)
    script = at({("UploadFileChunk", number): "refuse-502" for number in (1, 2)})
    data = os.urandom(CHUNK)
    async with against(tmp_path, script, replace(PATIENT, retries=rules, prove=_never)) as (server, client):
        began = time.monotonic()
        receipt = await client.upload(data, to=TO)
        assert receipt.restarted == 2, "each pass sends its only chunk once"
        assert time.monotonic() - began >= 0.1 + 0.2, "half of what the backoff has come to, at least"
        await _stored_once(server, data)


async def test_an_upload_that_loses_in_each_pass_goes_on_with_what_it_has(tmp_path: Path) -> None:
    """After a restart a pass without any loss is not to be hoped for: the checksum of the whole judges."""
    script = at({("UploadFileChunk", number): "drop-before" for number in (1, 2, 3)})
    data = os.urandom(4 * CHUNK)
    async with against(tmp_path, script) as (server, client):
        receipt = await client.upload(data, to=TO)
        assert (receipt.restarted, receipt.resent, receipt.resent_bytes) == (1, 2, 2 * CHUNK)
        await _stored_once(server, data)


async def test_faults_are_counted_in_a_row_and_not_per_file(tmp_path: Path) -> None:
    """More refusals in all than attempts allowed, but each chunk gets through at its last attempt."""
    rules = replace(PATIENT.retries, attempts=3)

    def script(call: Call) -> str | None:
        return "refuse-503" if call.operation == "UploadFileChunk" and call.number % 3 else None

    data = os.urandom(5 * CHUNK)
    async with against(tmp_path, script, replace(PATIENT, retries=rules)) as (server, client):
        receipt = await client.upload(data, to=TO)
        await _stored_once(server, data)
        assert (receipt.resent, receipt.restarted) == (10, 0)


async def test_one_refusal_more_in_a_row_ends_it(tmp_path: Path) -> None:
    """The test above counts, and does not merely tolerate."""
    rules = replace(PATIENT.retries, attempts=3)
    script = at({("UploadFileChunk", number): "refuse-503" for number in (2, 3, 4)})
    async with against(tmp_path, script, replace(PATIENT, retries=rules)) as (server, client):
        with pytest.raises(ForeignReply, match="503"):
            await client.upload(os.urandom(5 * CHUNK), to=TO)
        assert count(server, "UploadFileChunk") == 4
        await _nothing_left(server)


async def test_a_handler_that_the_server_lost_begins_anew(tmp_path: Path) -> None:
    """Fault 66: it goes between the first chunk and the second."""
    data, chunks = os.urandom(3 * CHUNK), list[str]()

    async def tidy_up(operation: str) -> None:
        chunks.extend([operation] if operation == "UploadFileChunk" else [])
        if operation == "UploadFileChunk" and len(chunks) == 2:
            (handler,) = await server.open_handlers()
            await server._store.run(lambda: server._store.handlers.delete(handler))

    async with (
        Emulator(tmp_path / "server") as server,
        between(server.url, meanwhile=tidy_up) as proxy,
        Client(proxy.url, user="demo", password="demo", settings=PATIENT) as client,
    ):
        receipt = await client.upload(data, to=TO)
        await _stored_once(server, data)
    assert len(chunks) == 5
    assert (receipt.restarted, receipt.resent) == (1, 0)


async def test_a_server_that_loses_every_handler_ends_it(tmp_path: Path) -> None:
    def forget(operation: str, body: bytes) -> tuple[int, bytes] | None:
        lost = b'<root success="false" errorCode="4000" error="The upload handler cannot be found."/>'
        return (200, lost) if operation == "UploadFileChunk" else None

    async with (
        Emulator(tmp_path / "server") as server,
        between(server.url, instead=forget) as proxy,
        Client(proxy.url, user="demo", password="demo", settings=PATIENT) as client,
    ):
        with pytest.raises(HandlerLost):
            await client.upload(b"data", to=TO)
        assert count(server, "CreateUploadHandler") == PATIENT.retries.restarts + 1
        await _nothing_left(server)


# ── the checksum of the whole ───────────────────────────────────────────────────────────────────────────────────────


async def test_a_doubled_chunk_is_found_and_named(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Fault 60: the reply to chunk 5 of 6 is lost after it was appended."""
    caplog.set_level("INFO", "asyncupload")
    data, events = os.urandom(6 * CHUNK), list[Event]()
    async with against(tmp_path, at({("UploadFileChunk", 5): "drop-after"})) as (server, client):
        receipt = await client.upload(data, to=TO, on_event=events.append)
        await _stored_once(server, data)
    assert (receipt.restarted, receipt.resent) == (1, 1)
    (restarted,) = (event for event in events if isinstance(event, Restarted))
    assert "chunk 5 was appended twice" in restarted.reason
    assert "chunk 5 was appended twice" in caplog.text


async def test_a_mismatch_that_a_lost_reply_explains_is_a_lost_chunk(tmp_path: Path) -> None:
    """Fault 60: the line's doing, and no corruption: as many restarts as other losses have."""
    # The first pass is calls 1 to 7 (the fifth chunk goes twice), the second 8 to 14, the third 15 to 20.
    script = at({("UploadFileChunk", 5): "drop-after", ("UploadFileChunk", 12): "drop-after"})
    data = os.urandom(6 * CHUNK)
    async with against(tmp_path, script) as (server, client):
        receipt = await client.upload(data, to=TO)
        assert (receipt.restarted, receipt.resent) == (2, 2)
        assert count(server, "UploadFileChunk") == 20
        await _stored_once(server, data)


async def test_a_chunk_doubled_by_the_server_in_both_passes_is_fatal(tmp_path: Path) -> None:
    """Fault 62: once more in a new handler, and then no more."""
    script = at({("UploadFileChunk", 5): "double-chunk", ("UploadFileChunk", 11): "double-chunk"})
    async with against(tmp_path, script) as (server, client):
        with pytest.raises(ChecksumMismatch, match="chunk 5 was appended twice") as caught:
            await client.upload(os.urandom(6 * CHUNK), to=TO)
        assert f"{caught.value.expected:08X}" in str(caught.value)
        assert f"{caught.value.found:08X}" in str(caught.value)
        assert caught.value.expected != caught.value.found
        assert count(server, "UploadFileChunk") == 12
        await _nothing_left(server)


@pytest.mark.parametrize("lost", [1, 2])
async def test_a_chunk_that_the_server_loses_is_found_and_named(lost: int, tmp_path: Path) -> None:
    """Fault 61: acknowledged, and not appended, each time."""
    number = Counter[str]()

    def swallow(operation: str, body: bytes) -> tuple[int, bytes] | None:
        number[operation] += 1
        if operation == "UploadFileChunk" and (number[operation] - 1) % 3 == lost - 1:
            return 200, b'<root success="true" tryagain="false"/>'
        return None

    async with (
        Emulator(tmp_path / "server") as server,
        between(server.url, instead=swallow) as proxy,
        Client(proxy.url, user="demo", password="demo", settings=PATIENT) as client,
    ):
        with pytest.raises(ChecksumMismatch, match=f"chunk {lost} is missing"):
            await client.upload(os.urandom(3 * CHUNK), to=TO)
        assert count(server, "CreateUploadHandler") == 2
        await _nothing_left(server)


def _falsely(times: int) -> Callable[[str, bytes], bytes]:
    """The first answers with a checksum of the whole tell another one."""
    told = list[bytes]()

    def falsify(operation: str, body: bytes) -> bytes:
        if b"filehexcrc" not in body or len(told) >= times:
            return body
        told.append(body)
        return re.sub(rb'filehexcrc="\w+"', b'filehexcrc="1"', body)

    return falsify


async def test_a_mismatch_that_nobody_can_explain_is_tried_once_more(tmp_path: Path) -> None:
    """Fault 62."""
    data = os.urandom(2 * CHUNK)
    async with (
        Emulator(tmp_path / "server") as server,
        between(server.url, answer=_falsely(1)) as proxy,
        Client(proxy.url, user="demo", password="demo", settings=PATIENT) as client,
    ):
        receipt = await client.upload(data, to=TO)
        await _stored_once(server, data)
    assert receipt.restarted == 1


async def test_a_mismatch_for_the_second_time_is_fatal(tmp_path: Path) -> None:
    async with (
        Emulator(tmp_path / "server") as server,
        between(server.url, answer=_falsely(2)) as proxy,
        Client(proxy.url, user="demo", password="demo", settings=PATIENT) as client,
    ):
        with pytest.raises(ChecksumMismatch, match="CBF43926") as caught:
            await client.upload(b"123456789", to=TO)
        assert (caught.value.expected, caught.value.found) == (0xCBF43926, 1)
        assert "00000001" in str(caught.value)
        assert count(server, "CreateUploadHandler") == 2
        await _nothing_left(server)


async def test_a_restart_for_another_reason_is_no_mismatch(tmp_path: Path) -> None:
    """A lost reply early in the file, and a doubled chunk in the pass after it: each may happen once."""
    # Call 1 is lost and the upload begins anew; the second pass is calls 2 to 8 (its fifth chunk goes twice).
    data = os.urandom(6 * CHUNK)
    script = at({("UploadFileChunk", 1): "drop-before", ("UploadFileChunk", 6): "drop-after"})
    async with against(tmp_path, script) as (server, client):
        receipt = await client.upload(data, to=TO)
        await _stored_once(server, data)
    assert receipt.restarted == 2


async def test_a_mismatch_does_not_begin_anew_where_nothing_may(tmp_path: Path) -> None:
    settings = replace(PATIENT, retries=replace(PATIENT.retries, restarts=0))
    async with (
        Emulator(tmp_path / "server") as server,
        between(server.url, answer=_falsely(1)) as proxy,
        Client(proxy.url, user="demo", password="demo", settings=settings) as client,
    ):
        with pytest.raises(ChecksumMismatch):
            await client.upload(b"data", to=TO)
        assert count(server, "CreateUploadHandler") == 1
        await _nothing_left(server)


@pytest.mark.parametrize("fault", LOST)
async def test_without_a_checksum_of_the_whole_nothing_doubtful_is_stored(fault: str, tmp_path: Path) -> None:
    """The chunk may stand there twice, and nobody would know: the pass is given up, however far it was."""
    data, events = os.urandom(6 * CHUNK), list[Event]()
    script = at({("UploadFileChunk", 5): fault})
    async with against(tmp_path, script, variants=["no-filehexcrc"]) as (server, client):
        receipt = await client.upload(data, to=TO, on_event=events.append)
        await _stored_once(server, data)
        assert count(server, "UploadNewDocumentWidthHandler") == 1
    assert (receipt.restarted, receipt.verified_by) == (1, "stored checksum")
    (restarted,) = (event for event in events if isinstance(event, Restarted))
    assert "the reply to chunk 5 was lost" in restarted.reason


async def test_without_a_checksum_of_the_whole_a_source_that_cannot_be_read_again_fails(tmp_path: Path) -> None:
    script = at({("UploadFileChunk", 2): "drop-before"})
    async with against(tmp_path, script, variants=["no-filehexcrc"]) as (server, client):
        with pytest.raises(AsyncUploadError, match="the reply to chunk 2 was lost"):
            await client.upload(_pieces(os.urandom(2 * CHUNK)), to=TO)
        await _nothing_left(server)


async def test_a_handler_at_which_the_server_fails_again_and_again_begins_anew(tmp_path: Path) -> None:
    """It may be this handler's trouble, and is not the end of a file that can be read again."""
    data, events = os.urandom(4 * CHUNK + 1), list[Event]()
    async with against(tmp_path, variants=["broken-handlers"]) as (server, client):
        receipt = await client.upload(data, to=TO, on_event=events.append)
        await _stored_once(server, data)
        assert (receipt.restarted, receipt.resent) == (1, 7)
        (why,) = [event.reason for event in events if isinstance(event, Restarted)]
        assert "SystemError:The process cannot access the file" in why


async def test_a_server_that_fails_at_two_handlers_ends_it_in_its_own_words(tmp_path: Path) -> None:
    """A full disk does not become emptier by more passes."""
    data = os.urandom(4 * CHUNK + 1)

    def full(call: Call) -> str | None:
        return "disk-full" if call.operation == "UploadFileChunk" and call.number > 3 else None

    async with against(tmp_path, full) as (server, client):
        with pytest.raises(ServerError, match="not enough space on the disk") as caught:
            await client.upload(data, to=TO)
        assert "2 passes" in " ".join(caught.value.__notes__)
        assert count(server, "CreateUploadHandler") == 2
        await _nothing_left(server)


async def test_a_stream_outlasts_a_server_that_fails_as_long_as_an_http_500(tmp_path: Path) -> None:
    """There is no other handler to turn to; more failures in a row than a file is given in one."""
    data, settings = os.urandom(2 * CHUNK), replace(PATIENT, retries=replace(PATIENT.retries, attempts=20))
    hits = {("UploadFileChunk", number): "system-error" for number in range(2, 15)}
    async with against(tmp_path, lambda call: hits.get((call.operation, call.number)), settings) as (server, client):
        receipt = await client.upload(_pieces(data), to=TO)
        await _stored_once(server, data)
        assert (receipt.resent, receipt.restarted) == (13, 0)


# ── a size that the server does not take ────────────────────────────────────────────────────────────────────────────

LARGE = replace(PATIENT, chunk_size=MIB)


def _refusing(status: int, limit: int) -> Callable[[str, bytes], tuple[int, bytes] | None]:
    """What stands before the server takes no larger body."""

    def refuse(operation: str, body: bytes) -> tuple[int, bytes] | None:
        return (status, b"<h1>too large</h1>") if len(body) > limit else None

    return refuse


@pytest.mark.parametrize("status", [413, 400, 404])
async def test_chunks_are_halved_until_they_pass_and_all_of_the_client_remember_it(status: int, tmp_path: Path) -> None:
    """Fault 49: IIS says 404, others 400."""
    data, events = os.urandom(MIB + 1), list[Event]()
    settings = replace(LARGE, encoding="multipart", retries=replace(PATIENT.retries, restarts=0))
    async with (
        Emulator(tmp_path / "server") as server,
        between(server.url, instead=_refusing(status, 300_000)) as proxy,
        Client(proxy.url, user="demo", password="demo", settings=settings) as client,
    ):
        receipt = await client.upload(data, to=TO, on_event=events.append)
        await _stored_once(server, data)
        wishes = [event.chunk_size for event in events if isinstance(event, HandlerOpened)]
        assert wishes == [MIB, MIB // 2, MIB // 4]
        assert receipt.chunks == 5
        assert receipt.restarted == 0, "what was learned is no fault of the file"
        events.clear()
        await client.upload(data, to=f"{FOLDER}/next.bin", on_event=events.append)
        assert [event.chunk_size for event in events if isinstance(event, HandlerOpened)] == [MIB // 4]


async def test_chunks_are_not_made_smaller_than_the_protocol_allows(tmp_path: Path) -> None:
    async with (
        Emulator(tmp_path / "server") as server,
        between(server.url, instead=_refusing(413, 100_000)) as proxy,
        Client(proxy.url, user="demo", password="demo", settings=LARGE) as client,
    ):
        with pytest.raises(ForeignReply, match="413") as caught:
            await client.upload(os.urandom(MIB), to=TO)
        assert caught.value.status == 413
        assert count(server, "CreateUploadHandler") == 3
        await _nothing_left(server)


async def test_a_server_that_grants_what_it_then_refuses_does_not_keep_us_for_ever(tmp_path: Path) -> None:
    """It grants a mebibyte whatever was wished for, and something before it takes none of that."""

    def grant(operation: str, body: bytes) -> bytes:
        return re.sub(rb"PreferedChunkSize=\d+", b"PreferedChunkSize=%d" % MIB, body)

    handlers = list[str]()

    def refuse(operation: str, body: bytes) -> tuple[int, bytes] | None:
        handlers.extend([operation] if operation == "CreateUploadHandler" else [])
        if len(handlers) == 10:
            return 403, b""  # it would go on for ever
        return (413, b"") if operation == "UploadFileChunk" else None

    async with (
        Emulator(tmp_path / "server") as server,
        between(server.url, request=grant, instead=refuse) as proxy,
        Client(proxy.url, user="demo", password="demo", settings=LARGE) as client,
    ):
        with pytest.raises(ForeignReply, match="413"):
            await client.upload(os.urandom(MIB), to=TO)
        await _nothing_left(server)
    assert len(handlers) < 10


@pytest.mark.parametrize("status", [413, 400, 404])
@pytest.mark.parametrize(("wish", "sizes"), [(MIB, [MIB, MIB // 2, MIB // 4]), (900_001, [900_001, 450_000, CHUNK])])
async def test_a_source_that_cannot_be_read_again_is_cut_anew(
    wish: int, sizes: list[int], status: int, tmp_path: Path
) -> None:
    """Its first chunk was refused, and is in hand yet: the same bytes in smaller pieces, and all that comes behind."""
    data, events = os.urandom(4 * MIB + 5), list[Event]()
    async with (
        Emulator(tmp_path / "server") as server,
        between(server.url, instead=_refusing(status, 300_000)) as proxy,
        Client(
            proxy.url, user="demo", password="demo", settings=replace(LARGE, chunk_size=wish, encoding="multipart")
        ) as client,
    ):
        receipt = await client.upload(_pieces(data), to=TO, on_event=events.append)
        await _stored_once(server, data)
        assert [event.chunk_size for event in events if isinstance(event, HandlerOpened)] == sizes
        assert receipt.restarted == 0, "what was learned is no fault of the stream"
        numbers = [event.number for event in events if isinstance(event, ChunkSent)]
        assert numbers == list(range(1, receipt.chunks + 1))


async def test_a_source_that_cannot_be_read_again_tells_of_a_later_chunk_that_is_too_large(tmp_path: Path) -> None:
    """What was acknowledged is not in hand any more. The next upload knows."""
    data, chunks = os.urandom(2 * MIB), Counter[str]()

    def refuse(operation: str, body: bytes) -> tuple[int, bytes] | None:
        chunks[operation] += 1
        return (413, b"") if operation == "UploadFileChunk" and chunks[operation] == 2 else None

    async with (
        Emulator(tmp_path / "server") as server,
        between(server.url, instead=refuse) as proxy,
        Client(proxy.url, user="demo", password="demo", settings=LARGE) as client,
    ):
        with pytest.raises(ForeignReply, match="413"):
            await client.upload(_pieces(data), to=TO)
        await _nothing_left(server)
        receipt = await client.upload(_pieces(data), to=TO)
        await _stored_once(server, data)
    assert receipt.chunks == 4


# ── a server that compares the text of checksums ────────────────────────────────────────────────────────────────────


def _with_leading_zero(chunks: int) -> bytes:
    """Bytes of which no chunk's checksum has eight digits."""
    found = list[bytes]()
    while len(found) < chunks:
        data = os.urandom(CHUNK)
        found.extend([data] if zlib.crc32(data) < 1 << 28 else [])
    return b"".join(found)


def _spellings(proxy: Between) -> list[int]:
    """How many digits each chunk's checksum had that went."""
    texts = (re.search(rb"chunkHEXCRC\"?\s+([0-9A-F]+)", body) for _, body in proxy.requests)
    return [len(found[1]) for found in texts if found]


@pytest.mark.parametrize("stream", [False, True])
async def test_a_server_that_compares_padded_text_is_understood_and_remembered(stream: bool, tmp_path: Path) -> None:
    """Fault 59. Twice as documented, once with eight digits, and so from then on."""
    data = _with_leading_zero(3)
    async with (
        Emulator(tmp_path / "server", variants=["padded-crc-text"]) as server,
        between(server.url) as proxy,
        Client(proxy.url, user="demo", password="demo", settings=PATIENT) as client,
    ):
        receipt = await client.upload(_pieces(data) if stream else data, to=TO)
        await _stored_once(server, data)
        assert (receipt.resent, receipt.restarted) == (2, 0)
        await client.upload(data, to=f"{FOLDER}/next.bin")
        short, long = _spellings(proxy)[:2], _spellings(proxy)[2:]
        assert max(short) < 8
        assert long == 6 * [8]


async def test_a_chunk_that_a_line_damages_is_spelled_otherwise_once(tmp_path: Path) -> None:
    """Refused in either spelling, it was not that; and nothing wrong is remembered."""
    data = _with_leading_zero(1)
    hits = {("UploadFileChunk", number): "tryagain" for number in (1, 2, 3, 4)}
    async with (
        Emulator(tmp_path / "server", script=at(hits), variants=["unpadded-crc-text"]) as server,
        between(server.url) as proxy,
        Client(proxy.url, user="demo", password="demo", settings=PATIENT) as client,
    ):
        receipt = await client.upload(data, to=TO)
        await _stored_once(server, data)
        assert receipt.resent == 4
        assert [digits == 8 for digits in _spellings(proxy)] == [False, False, True, False, False]


async def test_a_checksum_of_eight_digits_has_one_spelling(tmp_path: Path) -> None:
    """What a line damages twice teaches nothing."""
    data = b"data"
    assert zlib.crc32(data) >= 1 << 28
    hits = {("UploadFileChunk", number): "tryagain" for number in (1, 2)}
    async with against(tmp_path, at(hits), variants=["unpadded-crc-text"]) as (server, client):
        await client.upload(data, to=TO)
        await client.upload(_with_leading_zero(1), to=f"{FOLDER}/next.bin")
        assert count(server, "UploadFileChunk") == 4


# ── a way of writing chunks that the server does not take ───────────────────────────────────────────────────────────


def _is_chunk(operation: str) -> bool:
    return operation == "UploadFileChunk"


def _is_multipart(body: bytes) -> bool:
    return body.startswith(b"--")


def _only(form: str, status: int) -> Callable[[str, bytes], tuple[int, bytes] | None]:
    """A server that takes chunks in one way only."""

    def refuse(operation: str, body: bytes) -> tuple[int, bytes] | None:
        taken = {"multipart": _is_multipart(body), "form": not _is_multipart(body), "neither": False}[form]
        chunk = _is_chunk(operation) or b"<UploadFileChunk " in body
        return None if taken or not chunk else (status, b"")

    return refuse


@pytest.mark.parametrize("status", [400, 415])
async def test_a_server_that_takes_no_multipart_form_gets_base64(status: int, tmp_path: Path) -> None:
    """Fault 50: found out by the first chunk, remembered by the client, the same bytes."""
    data = bytes(range(256)) * 2048 + os.urandom(1000)
    async with (
        Emulator(tmp_path / "server") as server,
        between(server.url, instead=_only("form", status)) as proxy,
        Client(proxy.url, user="demo", password="demo", settings=PATIENT) as client,
    ):
        receipt = await client.upload(data, to=TO)
        await _stored_once(server, data)
        assert (receipt.restarted, receipt.chunks) == (0, 3)
        ways = [_is_multipart(body) for operation, body in proxy.requests if _is_chunk(operation)]
        assert ways == [True, True, False] + 3 * [False], "the chunk, a byte in each way, and the chunks"
        await client.upload(data, to=f"{FOLDER}/next.bin")
        ways = [_is_multipart(body) for operation, body in proxy.requests if _is_chunk(operation)]
        assert ways == [True, True, False] + 6 * [False]


async def test_a_source_that_cannot_be_read_again_changes_over_too(tmp_path: Path) -> None:
    data = os.urandom(2 * CHUNK)
    async with (
        Emulator(tmp_path / "server") as server,
        between(server.url, instead=_only("form", 415)) as proxy,
        Client(proxy.url, user="demo", password="demo", settings=PATIENT) as client,
    ):
        await client.upload(_pieces(data), to=TO)
        await _stored_once(server, data)


@pytest.mark.parametrize("stream", [False, True])
async def test_a_way_and_a_size_that_are_refused_are_both_found_by_the_first_chunk(
    stream: bool, tmp_path: Path
) -> None:
    """By a stream as by a file: the other way makes the chunk larger, and is then too large."""
    data, way, size = os.urandom(2 * MIB + 1), _only("form", 415), _refusing(413, 500_000)
    async with (
        Emulator(tmp_path / "server") as server,
        between(server.url, instead=lambda *what: way(*what) or size(*what)) as proxy,
        Client(proxy.url, user="demo", password="demo", settings=LARGE) as client,
    ):
        receipt = await client.upload(_pieces(data) if stream else data, to=TO)
        await _stored_once(server, data)
        assert receipt.chunks == 9


async def test_many_uploads_at_once_change_over_together(tmp_path: Path) -> None:
    """Each hears the refusal of its own first chunk: the second to hear it must not change back."""
    contents = {f"{FOLDER}/{number}": os.urandom(1000 + number) for number in range(8)}
    waiting, gate = list[str](), asyncio.Event()

    async def wait_for_all(operation: str) -> None:
        waiting.extend([operation] if _is_chunk(operation) else [])
        if len(waiting) >= len(contents):
            gate.set()
        if _is_chunk(operation):
            await gate.wait()

    async with (
        Emulator(tmp_path / "server") as server,
        between(server.url, instead=_only("form", 415), meanwhile=wait_for_all) as proxy,
        Client(proxy.url, user="demo", password="demo", settings=PATIENT) as client,
    ):
        uploads = (client.upload(data, to=to) for to, data in contents.items())
        ends = await asyncio.gather(*uploads, return_exceptions=True)
        assert [end for end in ends if isinstance(end, BaseException)] == []
        for to, data in contents.items():
            assert (await server.content(to)).read_bytes() == data


@pytest.mark.parametrize("status", [400, 415])
async def test_a_server_that_takes_no_way_is_told_with_its_status(status: int, tmp_path: Path) -> None:
    async with (
        Emulator(tmp_path / "server", variants=["no-soap"]) as server,
        between(server.url, instead=_only("neither", status)) as proxy,
        Client(proxy.url, user="demo", password="demo", settings=PATIENT) as client,
    ):
        with pytest.raises(ForeignReply) as caught:
            await client.upload(b"data", to=TO)
        assert caught.value.status == status
        ways = [_is_multipart(body) for operation, body in proxy.requests if _is_chunk(operation)]
        assert ways == [True, True, False], "the chunk, and a byte in each way"
        assert [operation for operation, _ in proxy.requests].count("srv.asmx") == 2, (
            "its description, and a chunk by SOAP"
        )
        await _nothing_left(server)


async def test_a_way_that_has_worked_is_not_changed(tmp_path: Path) -> None:
    """A refusal of one chunk later is that chunk's."""
    chunks = Counter[str]()

    def refuse(operation: str, body: bytes) -> tuple[int, bytes] | None:
        chunks[operation] += 1
        return (415, b"") if _is_chunk(operation) and chunks[operation] == 2 else None

    async with (
        Emulator(tmp_path / "server") as server,
        between(server.url, instead=refuse) as proxy,
        Client(proxy.url, user="demo", password="demo", settings=PATIENT) as client,
    ):
        await client.upload(b"data", to=f"{FOLDER}/before.bin")
        with pytest.raises(ForeignReply, match="415"):
            await client.upload(b"data", to=TO)
        ways = [_is_multipart(body) for operation, body in proxy.requests if _is_chunk(operation)]
        assert ways == [True, True]


@pytest.mark.parametrize(("encoding", "other"), [("multipart", "form"), ("form", "multipart")])
async def test_a_way_that_the_user_chose_is_the_only_one(encoding: str, other: str, tmp_path: Path) -> None:
    settings = replace(PATIENT, encoding=encoding)  # type: ignore[arg-type]
    data = os.urandom(CHUNK + 1)
    async with Emulator(tmp_path / "server") as server:
        async with (
            between(server.url, instead=_only(encoding, 415)) as proxy,
            Client(proxy.url, user="demo", password="demo", settings=settings) as client,
        ):
            await client.upload(data, to=TO)
            await _stored_once(server, data)
            ways = [_is_multipart(body) for operation, body in proxy.requests if _is_chunk(operation)]
            assert ways == 2 * [encoding == "multipart"]
        async with (
            between(server.url, instead=_only(other, 415)) as proxy,
            Client(proxy.url, user="demo", password="demo", settings=settings) as client,
        ):
            with pytest.raises(ForeignReply, match="415"):
                await client.upload(data, to=f"{FOLDER}/other.bin")
            assert [operation for operation, _ in proxy.requests].count("UploadFileChunk") == 1

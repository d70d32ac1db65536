"""Tickets that die while uploads go on: one login for all who wait, and none for those who hear of it late."""

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import anyio
import pytest
from between import between
from conftest import FOLDER, PATIENT
from troubled import against, count, holder

from asyncupload import ChunkRetried, ChunkSent, Client, Event, ForeignReply, HandlerLost, LoginRefused, TicketRefused
from asyncupload._names import Destination
from asyncupload._remote import Remote
from asyncupload._secret import Secret
from asyncupload._transport import Transport
from asyncupload.emulator import Call, Emulator, Script

pytestmark = pytest.mark.anyio

CHUNK = PATIENT.chunk_size
TO = f"{FOLDER}/report.bin"

STAGES = [
    "FolderExists",
    "DocumentExists",
    "GetDocument",
    "Lock",
    "UploadFileChunk",
    "UploadDocumentWithHandler1",
    "UnLock",
]


def _logins(server: Emulator) -> int:
    """Tickets that were asked for, in either way."""
    return count(server, "AuthenticateUser") + count(server, "RenewTicket")


def _forgetting(server: Callable[[], Emulator], stage: str) -> tuple[list[str], Callable[[str], Awaitable[None]]]:
    """Drops all tickets when the operation is asked for, once, after the list has got its first entry."""
    begun = list[str]()

    async def forget(operation: str) -> None:
        if operation == stage and begun == ["now"]:
            begun.append("forgotten")
            await server().forget_tickets()

    return begun, forget


@pytest.mark.parametrize("stage", STAGES)
async def test_a_ticket_that_dies_at_any_stage_is_renewed(stage: str, tmp_path: Path) -> None:
    """Fault 63: the refused request goes again, no byte more than that, and the upload ends as if nothing had been."""
    data = os.urandom(2 * CHUNK + 1)
    async with Emulator(tmp_path / "server") as server:
        begun, forget = _forgetting(lambda: server, stage)
        async with (
            between(server.url, meanwhile=forget) as proxy,
            Client(proxy.url, user="demo", password="demo", settings=PATIENT) as client,
        ):
            await client.upload(b"before", to=TO)
            begun.append("now")
            receipt = await client.upload(data, to=TO)
            assert begun == ["now", "forgotten"]
        (document,) = await server.documents()
        assert [version.number for version in document.versions][1:] == [receipt.version_id]
        assert (await server.content(TO)).read_bytes() == data
        assert await holder(server, TO) is None
        assert await server.open_handlers() == []
        assert _logins(server) == 2
        assert receipt.restarted == 0


async def test_a_chunk_that_met_a_dead_ticket_is_told_as_sent_again(tmp_path: Path) -> None:
    events = list[Event]()
    async with Emulator(tmp_path / "server") as server:
        begun, forget = _forgetting(lambda: server, "UploadFileChunk")
        begun.append("now")
        async with (
            between(server.url, meanwhile=forget) as proxy,
            Client(proxy.url, user="demo", password="demo", settings=PATIENT) as client,
        ):
            receipt = await client.upload(b"data", to=TO, on_event=events.append)
    (retried,) = (event for event in events if isinstance(event, ChunkRetried))
    assert (retried.number, retried.attempt) == (1, 1)
    assert "[901]" in retried.reason
    assert receipt.resent == 1


@pytest.mark.parametrize("uploads", [2, 25])
async def test_any_number_of_uploads_in_the_middle_log_in_once_together(uploads: int, tmp_path: Path) -> None:
    """Faults 64 and 67."""
    contents = {f"{FOLDER}/{number}.bin": os.urandom(2 * CHUNK + number) for number in range(uploads)}
    gate, waiting = asyncio.Event(), list[str]()

    async def wait_for_all(operation: str) -> None:
        # All second chunks stand before the server; then it forgets, and then they arrive.
        if operation == "UploadFileChunk" and not gate.is_set():
            waiting.append(operation)
            if len(waiting) == uploads:
                await server.forget_tickets()
                gate.set()
            await gate.wait()

    async with Emulator(tmp_path / "server") as server:
        async with (
            between(server.url, meanwhile=wait_for_all) as proxy,
            Client(proxy.url, user="demo", password="demo", settings=PATIENT) as client,
        ):
            receipts = await asyncio.gather(*(client.upload(data, to=to) for to, data in contents.items()))
        assert _logins(server) == 2
        assert [receipt.resent for receipt in receipts] == [1] * uploads
        for to, data in contents.items():
            assert (await server.content(to)).read_bytes() == data


@asynccontextmanager
async def _remote(url: str, password: str = "demo") -> AsyncIterator[Remote]:
    transport = Transport(url, connect_timeout=5)
    try:
        yield Remote(
            transport, user="demo", password=Secret(password), ticket=None, timeouts=PATIENT.timeouts, chunk_size=CHUNK
        )
    finally:
        await transport.close()


async def test_a_refusal_heard_late_does_not_log_in_again(tmp_path: Path) -> None:
    """Fault 64: the answer to a request with the old ticket arrives when the new one is there."""
    async with Emulator(tmp_path / "server") as server, _remote(server.url) as remote:
        await remote.log_in()
        await server.forget_tickets()
        refusals = list[TicketRefused]()
        for _ in range(3):
            with pytest.raises(TicketRefused) as caught:
                await remote.folder_exists(FOLDER)
            refusals.append(caught.value)
        for refusal in refusals:
            await remote.renew(refusal.generation)
        assert _logins(server) == 2
        await remote.folder_exists(FOLDER)

        await server.forget_tickets()
        with pytest.raises(TicketRefused) as again:
            await remote.folder_exists(FOLDER)
        assert again.value.generation != refusals[0].generation
        await remote.renew(again.value.generation)
        assert _logins(server) == 3
        await remote.folder_exists(FOLDER)


async def test_a_refused_ticket_is_worth_another_try_once_it_is_renewed(tmp_path: Path) -> None:
    async with Emulator(tmp_path / "server") as server, _remote(server.url) as remote:
        await remote.log_in()
        await server.forget_tickets()
        with pytest.raises(TicketRefused) as bare:
            await remote.folder_exists(FOLDER)
        assert not bare.value.transient
        with pytest.raises(TicketRefused) as renewed:
            await remote.with_ticket(lambda: remote.folder_exists(FOLDER))
        assert renewed.value.transient
        await remote.with_ticket(lambda: remote.folder_exists(FOLDER))


async def test_a_finalize_that_met_a_dead_ticket_has_used_up_no_handler(tmp_path: Path) -> None:
    async with Emulator(tmp_path / "server") as server, _remote(server.url) as remote:
        await remote.log_in()
        handler = await remote.create_handler()
        await server.forget_tickets()
        with pytest.raises(TicketRefused):
            await remote.finalize(handler, Destination(FOLDER, "file"), "", new=True)
        assert not handler.consumed


@pytest.mark.parametrize("fault", ["drop-before", "drop-after", "refuse-500", "refuse-503"])
async def test_trouble_in_logging_in_again_passes(fault: str, tmp_path: Path) -> None:
    hits = {("RenewTicket", 1): fault}
    script: Script = lambda call: hits.get((call.operation, call.number))  # noqa: E731
    async with against(tmp_path, script) as (server, client):
        await client.upload(b"before", to=f"{FOLDER}/before.bin")
        await server.forget_tickets()
        await client.upload(b"data", to=TO)
        assert (await server.content(TO)).read_bytes() == b"data"
        assert _logins(server) == 3


async def test_a_server_that_refuses_every_ticket_ends_it(tmp_path: Path) -> None:
    """Fault 68: servers behind a balancer that do not know each other's tickets."""
    refusal = b'<root success="false" errorCode="4010" error="[901] Session expired or Invalid ticket"/>'
    async with (
        Emulator(tmp_path / "server") as server,
        between(server.url, instead=lambda name, _: (200, refusal) if name == "FolderExists" else None) as proxy,
        Client(proxy.url, user="demo", password="demo", settings=PATIENT) as client,
    ):
        with pytest.raises(TicketRefused):
            await client.upload(b"data", to=TO)
        assert 1 < count(server, "AuthenticateUser") <= 9


async def test_a_lent_ticket_that_dies_ends_it_and_says_what_to_do(tmp_path: Path) -> None:
    events, dropped = list[Event](), list[str]()

    async def forget(operation: str) -> None:
        if operation == "UploadFileChunk" and not dropped:
            dropped.append(operation)
            await server.forget_tickets()

    async with Emulator(tmp_path / "server") as server, _remote(server.url) as lender:
        await lender.log_in()
        ticket = lender._ticket
        assert ticket is not None
        async with (
            between(server.url, meanwhile=forget) as proxy,
            Client(proxy.url, ticket=ticket, settings=PATIENT) as client,
        ):
            with pytest.raises(TicketRefused, match="the lent ticket is no longer valid; log in again") as caught:
                await client.upload(os.urandom(2 * CHUNK), to=TO, on_event=events.append)
        assert ticket.reveal() not in str(caught.value)
        assert not any(isinstance(event, ChunkSent | ChunkRetried) for event in events)
        assert count(server, "AuthenticateUser") == 1
        assert await server.documents() == []


async def test_a_password_that_is_wrong_by_now_is_tried_once_by_all_uploads_together(tmp_path: Path) -> None:
    """Fault 65: changed while the uploads went on. Accounts get locked by more."""
    uploads, waiting, gate = 5, list[str](), asyncio.Event()

    async def wait_for_all(operation: str) -> None:
        if operation == "UploadFileChunk" and not gate.is_set():
            waiting.append(operation)
            if len(waiting) == uploads:
                await server.forget_tickets()
                gate.set()
            await gate.wait()

    def change(operation: str, body: bytes) -> bytes:
        return body.replace(b"PWD=demo", b"PWD=wrong") if gate.is_set() else body

    async with Emulator(tmp_path / "server") as server:
        async with (
            between(server.url, request=change, meanwhile=wait_for_all) as proxy,
            Client(proxy.url, user="demo", password="demo", settings=PATIENT) as client,
        ):
            ends = await asyncio.gather(
                *(client.upload(os.urandom(2 * CHUNK), to=f"{FOLDER}/{n}") for n in range(uploads)),
                return_exceptions=True,
            )
            with pytest.raises(LoginRefused):
                await client.upload(b"data", to=TO)
        assert [type(end) for end in ends] == [LoginRefused] * uploads
        assert _logins(server) == 2
        assert await server.documents() == []


async def test_a_client_whose_ticket_died_still_closes_without_a_word(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG", "asyncupload")
    async with against(tmp_path) as (server, client):
        await client.upload(b"data", to=TO)
        await server.forget_tickets()
    assert "logout_failed" not in caplog.text
    assert count(server, "AuthenticateUser") == 1, "nobody logs in to log out"


# ── a pause that the server asks for ────────────────────────────────────────────────────────────────────────────────


async def test_a_pause_asked_of_one_upload_is_kept_by_all_of_the_client(tmp_path: Path) -> None:
    """Faults 46 and 47. Another client's are not meant, and cleaning up waits for nobody."""
    # The server asks for a second.
    rules = replace(PATIENT, retries=replace(PATIENT.retries, attempts=1, longest_obeyed=3600))

    def script(call: Call) -> str | None:
        return "refuse-503" if call.operation == "UploadFileChunk" and call.number == 1 else None

    async with against(tmp_path, script, rules) as (server, client):
        with pytest.raises(ForeignReply, match="503"):
            await client.upload(b"first", to=f"{FOLDER}/first.bin")
        assert await server.open_handlers() == []
        done = len(server.calls)
        second = asyncio.ensure_future(client.upload(b"second", to=f"{FOLDER}/second.bin"))
        await anyio.wait_all_tasks_blocked()
        assert len(server.calls) == done
        async with Client(server.url, user="anna", password="anna", settings=PATIENT) as other:
            await other.upload(b"third", to=f"{FOLDER}/third.bin")
        await second
        assert (await server.content(f"{FOLDER}/second.bin")).read_bytes() == b"second"


# ── servers that know a handler by its ticket only ──────────────────────────────────────────────────────────────────


async def _pieces(data: bytes) -> AsyncIterator[bytes]:
    for start in range(0, len(data), 100_000):
        yield data[start : start + 100_000]


def _log_of(caplog: pytest.LogCaptureFixture, event: str) -> list[str]:
    return [record.getMessage() for record in caplog.records if event in record.getMessage()]


@pytest.mark.parametrize("stage", ["UploadFileChunk", "UploadNewDocumentWidthHandler"])
async def test_a_renewed_ticket_keeps_a_handler_that_is_bound_to_it(
    stage: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Not a byte goes again, and a stream, which could not, is stored."""
    caplog.set_level("INFO", logger="asyncupload")
    data, hits = os.urandom(2 * CHUNK + 1), {(stage, 1 if stage.endswith("Handler") else 3): "expire-ticket"}
    script: Script = lambda call: hits.get((call.operation, call.number))  # noqa: E731
    async with against(tmp_path, script, variants=["ticket-bound", "renew-revives"]) as (server, client):
        receipt = await client.upload(_pieces(data), to=TO)
        assert (await server.content(TO)).read_bytes() == data
        assert receipt.restarted == 0
        assert (count(server, "AuthenticateUser"), count(server, "RenewTicket")) == (1, 1)
    (said,) = _log_of(caplog, "ticket_renewed")
    assert "True" in said or "true" in said


async def test_a_handler_that_no_renewal_keeps_begins_anew_and_that_is_said(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", logger="asyncupload")
    data, hits = os.urandom(2 * CHUNK + 1), {("UploadFileChunk", 3): "expire-ticket"}
    script: Script = lambda call: hits.get((call.operation, call.number))  # noqa: E731
    async with against(tmp_path, script, variants=["ticket-bound"]) as (server, client):
        receipt = await client.upload(data, to=TO)
        assert (await server.content(TO)).read_bytes() == data
        assert receipt.restarted == 1
    assert _log_of(caplog, "handler_lost")


async def test_a_stream_whose_handler_went_with_its_ticket_ends_with_a_word_about_that(tmp_path: Path) -> None:
    hits = {("UploadFileChunk", 3): "expire-ticket"}
    script: Script = lambda call: hits.get((call.operation, call.number))  # noqa: E731
    async with against(tmp_path, script, variants=["ticket-bound"]) as (_, client):
        with pytest.raises(HandlerLost) as caught:
            await client.upload(_pieces(os.urandom(2 * CHUNK + 1)), to=TO)
        assert "the ticket has been renewed since" in " ".join(caught.value.__notes__)


@pytest.mark.parametrize("fault", ["drop-before", "refuse-500", "refuse-400", "system-error", "refuse-404"])
async def test_a_server_that_cannot_renew_gives_another_ticket(fault: str, tmp_path: Path) -> None:
    """A passing fault costs one more try; what lasts, or is no fault, a login."""
    data = os.urandom(2 * CHUNK + 1)

    def script(call: Call) -> str | None:
        if call.operation == "RenewTicket":
            return fault
        return "expire-ticket" if (call.operation, call.number) == ("UploadFileChunk", 3) else None

    async with against(tmp_path, script) as (server, client):
        receipt = await client.upload(_pieces(data), to=TO)
        assert (await server.content(TO)).read_bytes() == data
        assert receipt.restarted == 0
        assert count(server, "AuthenticateUser") == 2
        assert count(server, "RenewTicket") == (2 if fault in {"drop-before", "refuse-500"} else 1)


async def test_a_password_that_is_wrong_by_now_is_not_tried_in_two_ways(tmp_path: Path) -> None:
    """Accounts get locked that way."""
    refusal = b'<root success="false" errorCode="4010" error="[900] Authentication failed"/>'
    hits = {("UploadFileChunk", 3): "expire-ticket"}
    async with (
        Emulator(tmp_path / "server", script=lambda call: hits.get((call.operation, call.number))) as server,
        between(server.url, instead=lambda name, _: (200, refusal) if name == "RenewTicket" else None) as proxy,
        Client(proxy.url, user="demo", password="demo", settings=PATIENT) as client,
    ):
        with pytest.raises(LoginRefused):
            await client.upload(os.urandom(2 * CHUNK + 1), to=TO)
        assert count(server, "AuthenticateUser") == 1

"""The document's place: what is done about what stands there, and that it is held while a version is brought."""

import asyncio
import io
import os
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from between import between
from conftest import FOLDER, PATIENT
from troubled import against, count, holder, until

from asyncupload import (
    AccessDenied,
    AlreadyExists,
    CheckedOut,
    ChunkSent,
    Client,
    ConnectionLost,
    Event,
    ForeignReply,
    HandlerOpened,
    OutcomeUnknown,
    Retries,
    Settings,
    StoredTwice,
    Timeouts,
)
from asyncupload.checkpoints import NoCheckpoints
from asyncupload.emulator import Call, Emulator, Script, at

pytestmark = pytest.mark.anyio

CHUNK = PATIENT.chunk_size
TO = f"{FOLDER}/report.bin"


async def _pieces(data: bytes) -> AsyncIterator[bytes]:
    yield data


async def _versions(server: Emulator) -> list[int]:
    (document,) = await server.documents()
    return [version.number for version in document.versions]


def _since(server: Emulator, first: int) -> list[str]:
    """The operations that came in after the first so many."""
    return [call.operation for call in server.calls[first:]]


async def _first(server: Emulator, client: Client, data: bytes = b"before") -> int:
    """A document stands there; how many requests that took."""
    await client.upload(data, to=TO)
    return len(server.calls)


# ── if it exists ────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_a_version_is_added_by_default(tmp_path: Path) -> None:
    """Fault 77: and not a second document."""
    async with against(tmp_path) as (server, client):
        first = await client.upload(b"before", to=TO)
        second = await client.upload(b"after", to=TO)
        assert first.document_id == second.document_id
        assert [first.version_id, second.version_id] == await _versions(server)
        assert (await server.content(TO)).read_bytes() == b"after"
        assert second.status == "stored"


async def test_a_new_document_is_made_by_what_can_do_nothing_else_and_is_not_checked_out(tmp_path: Path) -> None:
    async with against(tmp_path) as (server, client):
        await client.upload(b"data", to=TO, version_comment="March")
        asked = _since(server, 0)
        assert "UploadNewDocumentWidthHandler" in asked
        assert not {"Lock", "UnLock", "GetDocument", "UploadDocumentWithHandler1"} & set(asked)
        (document,) = await server.documents()
        assert document.latest.comment == "March", "no token stands in a comment that needs none"


@pytest.mark.parametrize("if_exists", ["version", "skip"])
async def test_a_version_keeps_the_users_comment_and_says_which_upload_it_was(if_exists: Any, tmp_path: Path) -> None:
    async with against(tmp_path) as (server, client):
        await client.upload(b"before", to=TO)
        await client.upload(b"after", to=TO, if_exists=if_exists, version_comment="March")
        (document,) = await server.documents()
        assert re.fullmatch(r"March \[upload [0-9a-f]{8}\]", document.latest.comment)


async def test_fail_sends_nothing(tmp_path: Path) -> None:
    async with against(tmp_path) as (server, client):
        done = await _first(server, client)
        with pytest.raises(AlreadyExists, match=r"report\.bin exists already, and nothing was sent"):
            await client.upload(b"after", to=TO, if_exists="fail")
        assert _since(server, done) == ["FolderExists", "DocumentExists"]
        assert len(await _versions(server)) == 1


async def test_fail_stores_where_nothing_stands(tmp_path: Path) -> None:
    async with against(tmp_path) as (server, client):
        receipt = await client.upload(b"data", to=TO, if_exists="fail")
        assert receipt.status == "stored"
        assert (await server.content(TO)).read_bytes() == b"data"


@pytest.mark.parametrize("if_exists", ["version", "fail", "skip"])
async def test_a_document_that_came_in_between_gets_no_version_of_ours(if_exists: Any, tmp_path: Path) -> None:
    """Nothing stood there when we looked, so nobody was asked whether a version is wanted, and nobody is kept out."""

    made = list[str]()

    async def make_another(operation: str) -> None:
        if operation == "UploadNewDocumentWidthHandler" and not made:
            made.append(operation)
            async with Client(server.url, user="anna", password="anna", settings=PATIENT) as other:
                await other.upload(b"theirs", to=TO)

    async with (
        Emulator(tmp_path / "server", users={"demo": "demo", "anna": "anna"}) as server,
        between(server.url, meanwhile=make_another) as proxy,
        Client(proxy.url, user="demo", password="demo", settings=PATIENT) as client,
    ):
        with pytest.raises(AlreadyExists):
            await client.upload(b"ours", to=TO, if_exists=if_exists)
        assert (await server.content(TO)).read_bytes() == b"theirs"
        assert len(await _versions(server)) == 1
        assert await server.open_handlers() == []


@pytest.mark.parametrize("kind", ["bytes", "path", "file object", "file object read in part"])
async def test_skip_sends_nothing_if_the_document_is_equal(kind: str, tmp_path: Path) -> None:
    data, events = os.urandom(2 * CHUNK + 1), list[Event]()
    async with against(tmp_path) as (server, client):
        first = await client.upload(data, to=TO)
        second = await client.upload(data + b"!", to=TO)
        done, data = len(server.calls), data + b"!"
        receipt = await client.upload(_source(kind, data, tmp_path), to=TO, if_exists="skip", on_event=events.append)
        assert receipt.status == "unchanged"
        assert (receipt.document_id, receipt.version_id) == (second.document_id, second.version_id)
        assert (receipt.document_id, receipt.crc32) == (first.document_id, second.crc32)
        assert (receipt.size, receipt.chunks, receipt.resent, receipt.restarted) == (len(data), 0, 0, 0)
        assert not {"CreateUploadHandler", "Lock"} & set(_since(server, done))
        assert len(await _versions(server)) == 2
        assert not any(isinstance(event, HandlerOpened | ChunkSent) for event in events)


def _source(kind: str, data: bytes, folder: Path) -> Any:
    match kind:
        case "bytes":
            return data
        case "path":
            (folder / "source.bin").write_bytes(data)
            return folder / "source.bin"
        case "file object":
            return io.BytesIO(data)
        case _:
            begun = io.BytesIO(b"read before" + data)
            begun.read(11)
            return begun


@pytest.mark.parametrize("kind", ["bytes", "path", "file object", "file object read in part"])
async def test_skip_adds_a_version_if_the_document_differs(kind: str, tmp_path: Path) -> None:
    """The source was read through once for that, and is read anew."""
    before, after = os.urandom(2 * CHUNK + 1), os.urandom(2 * CHUNK + 1)
    async with against(tmp_path) as (server, client):
        await client.upload(before, to=TO)
        receipt = await client.upload(_source(kind, after, tmp_path), to=TO, if_exists="skip")
        assert receipt.status == "stored"
        assert (await server.content(TO)).read_bytes() == after
        assert len(await _versions(server)) == 2


async def test_skip_is_not_taken_in_by_an_equal_checksum_of_another_length(tmp_path: Path) -> None:
    """Among many documents, some have one checksum by chance: the server says that of what we have here."""

    def as_ours(operation: str, body: bytes) -> bytes:
        return re.sub(rb'CRC32LASTVERSION="\w+"', b'CRC32LASTVERSION="CBF43926"', body)

    async with (
        Emulator(tmp_path / "server") as server,
        between(server.url, answer=as_ours) as proxy,
        Client(proxy.url, user="demo", password="demo", settings=PATIENT) as client,
    ):
        await client.upload(b"something else", to=TO)
        receipt = await client.upload(b"123456789", to=TO, if_exists="skip")
        assert receipt.status == "stored"
        assert (await server.content(TO)).read_bytes() == b"123456789"


async def test_skip_adds_a_version_from_a_source_that_can_be_read_only_once(tmp_path: Path) -> None:
    """To read it through would be to lose it."""
    async with against(tmp_path) as (server, client):
        await client.upload(b"data", to=TO)
        receipt = await client.upload(_pieces(b"data"), to=TO, if_exists="skip")
        assert receipt.status == "stored"
        assert len(await _versions(server)) == 2


async def test_skip_stores_where_nothing_stands(tmp_path: Path) -> None:
    async with against(tmp_path) as (server, client):
        receipt = await client.upload(b"data", to=TO, if_exists="skip")
        assert receipt.status == "stored"
        assert (await server.content(TO)).read_bytes() == b"data"


# ── held while a version is brought ─────────────────────────────────────────────────────────────────────────────────


async def test_it_is_checked_out_before_the_first_byte_and_given_back_after_the_last(tmp_path: Path) -> None:
    async with against(tmp_path) as (server, client):
        done = await _first(server, client)
        await client.upload(os.urandom(CHUNK + 1), to=TO)
        asked = [name for name in _since(server, done) if name not in {"FolderExists", "DocumentExists", "GetDocument"}]
        assert asked == [
            "Lock",
            "CreateUploadHandler",
            "UploadFileChunk",
            "UploadFileChunk",
            "UploadDocumentWithHandler1",
            "UnLock",
        ]
        assert await holder(server, TO) is None


@pytest.mark.parametrize("who", ["anna", "Anna"])
async def test_what_somebody_else_has_is_refused_before_a_byte_naming_who(who: str, tmp_path: Path) -> None:
    """Fault 71."""
    async with against(tmp_path) as (server, client):
        done = await _first(server, client)
        await server.set_checkout(TO, who)
        with pytest.raises(CheckedOut, match="checked out by anna; nothing was sent") as caught:
            await client.upload(b"after", to=TO)
        assert caught.value.by == "anna"
        assert not {"CreateUploadHandler", "Lock", "UnLock"} & set(_since(server, done))
        assert await holder(server, TO) == "anna"


@pytest.mark.parametrize("who", ["demo", "DEMO"])
async def test_a_check_out_of_the_same_user_is_another_programs(who: str, tmp_path: Path) -> None:
    """Or was made by hand. Under one check-out two programs would both add a version. It stays, and what to do is
    told."""
    async with against(tmp_path) as (server, client):
        done = await _first(server, client)
        await server.set_checkout(TO, who)
        with pytest.raises(CheckedOut, match=r"by demo, in another program or by hand.*give it back") as caught:
            await client.upload(b"after", to=TO)
        assert caught.value.by == "demo"
        with pytest.raises(CheckedOut):
            await client.preview(b"after", to=TO)
        assert not {"CreateUploadHandler", "Lock", "UnLock"} & set(_since(server, done))
        assert await holder(server, TO) == "demo"
        assert len(await _versions(server)) == 1


class _Left(NoCheckpoints):
    """An upload that died has written down that it checked the document out."""

    checked_out_before = True


async def test_a_check_out_that_an_earlier_upload_wrote_down_is_taken_over(tmp_path: Path) -> None:
    async with against(tmp_path) as (server, client):
        await _first(server, client)
        await server.set_checkout(TO, "demo")
        assert await client.preview(b"after", to=TO, checkpoints=_Left()) == "version"
        await client.upload(b"after", to=TO, checkpoints=_Left())
        assert await holder(server, TO) is None
        assert len(await _versions(server)) == 2


async def test_such_a_check_out_is_given_back_also_where_an_equal_document_stands_by_now(tmp_path: Path) -> None:
    """Another program has stored it before the check-out of the one that died came about."""
    async with against(tmp_path) as (server, client):
        await client.upload(b"the same", to=TO)
        await server.set_checkout(TO, "demo")
        receipt = await client.upload(b"the same", to=TO, if_exists="skip", checkpoints=_Left())
        assert (receipt.status, receipt.left) == ("unchanged", ())
        assert await holder(server, TO) is None


async def test_a_check_out_that_is_refused_is_written_down_as_none_of_ours(tmp_path: Path) -> None:
    """Another program of the account has it since a moment: whoever read the note would take it away from that one."""

    class Beaten(NoCheckpoints):
        held = False

        async def checking_out(self) -> None:
            self.held = True
            await server.set_checkout(TO, "demo")

        async def given_back(self) -> None:
            self.held = False

    async with against(tmp_path) as (server, client):
        await _first(server, client)
        beaten = Beaten()
        with pytest.raises(CheckedOut, match="in another program"):
            await client.upload(b"after", to=TO, checkpoints=beaten)
        assert not beaten.held
        assert await holder(server, TO) == "demo"


FAILURES: dict[str, tuple[str, str, type[Exception]]] = {
    "no handler": ("CreateUploadHandler", "refuse-503", ForeignReply),
    "no chunk": ("UploadFileChunk", "refuse-503", ForeignReply),
    "lost chunks": ("UploadFileChunk", "drop-before", ConnectionLost),
    "nobody knows whether stored": ("UploadDocumentWithHandler1", "refuse-500", OutcomeUnknown),
}


@pytest.mark.parametrize("case", FAILURES)
async def test_it_is_given_back_after_a_failure(case: str, tmp_path: Path) -> None:
    operation, fault, kind = FAILURES[case]
    trouble = list[str]()

    def script(call: Call) -> str | None:
        return fault if trouble and call.operation == operation else None

    hurried = replace(PATIENT, timeouts=replace(PATIENT.timeouts, settle=0.3))
    async with against(tmp_path, script, hurried) as (server, client):
        await client.upload(b"before", to=TO)
        trouble.append("now")
        with pytest.raises(kind):
            await client.upload(b"after", to=TO)
        assert await holder(server, TO) is None
        assert count(server, "UnLock") == 1


@pytest.mark.parametrize("fault", ["drop-before", "drop-after", "refuse-500", "refuse-503", "html"])
@pytest.mark.parametrize("operation", ["GetDocument", "Lock", "UnLock"])
async def test_trouble_in_holding_it_passes(operation: str, fault: str, tmp_path: Path) -> None:
    """A lost reply to Lock leaves it ours: the next Lock is refused, and it is found that we are who has it."""
    async with against(tmp_path, at({(operation, 1): fault})) as (server, client):
        await client.upload(b"before", to=TO)
        await client.upload(b"after", to=TO)
        assert (await server.content(TO)).read_bytes() == b"after"
        assert len(await _versions(server)) == 2
        assert await holder(server, TO) is None


@pytest.mark.parametrize("fault", ["drop-after", "drop-before"])
async def test_a_check_out_of_which_nobody_knows_whether_it_came_about_is_given_back(
    fault: str, tmp_path: Path
) -> None:
    """The reply to Lock is lost, and there is no other attempt."""
    settings = replace(PATIENT, retries=replace(PATIENT.retries, attempts=1))
    async with against(tmp_path, at({("Lock", 1): fault}), settings) as (server, client):
        await client.upload(b"before", to=TO)
        with pytest.raises(ConnectionLost):
            await client.upload(b"after", to=TO)
        assert await holder(server, TO) is None


async def test_a_check_out_that_cannot_be_given_back_is_told_in_the_log(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """And costs no upload: the version stands."""
    script: Script = lambda call: "refuse-500" if call.operation == "UnLock" else None  # noqa: E731
    async with against(tmp_path, script) as (server, client):
        await client.upload(b"before", to=TO)
        receipt = await client.upload(b"after", to=TO)
        assert receipt.version_id == (await _versions(server))[-1]
    assert caplog.text.count("event='checkout_left'") == 1


async def test_one_that_somebody_else_gave_back_already_is_as_good(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def give_back(operation: str) -> None:
        if operation == "UnLock":
            await server.set_checkout(TO, None)

    async with (
        Emulator(tmp_path / "server") as server,
        between(server.url, meanwhile=give_back) as proxy,
        Client(proxy.url, user="demo", password="demo", settings=PATIENT) as client,
    ):
        await client.upload(b"before", to=TO)
        await client.upload(b"after", to=TO)
        assert len(await _versions(server)) == 2
        assert count(server, "UnLock") == 1
    assert "checkout_left" not in caplog.text


async def test_somebody_who_checks_it_out_between_our_look_and_our_lock_keeps_it(tmp_path: Path) -> None:
    async def check_out(operation: str) -> None:
        if operation == "Lock":
            await server.set_checkout(TO, "anna")

    async with (
        Emulator(tmp_path / "server") as server,
        between(server.url, meanwhile=check_out) as proxy,
        Client(proxy.url, user="demo", password="demo", settings=PATIENT) as client,
    ):
        await client.upload(b"before", to=TO)
        done = len(server.calls)
        with pytest.raises(CheckedOut) as caught:
            await client.upload(b"after", to=TO)
        assert caught.value.by == "anna"
        assert await holder(server, TO) == "anna"
        assert "CreateUploadHandler" not in _since(server, done)


async def test_somebody_who_takes_the_check_out_away_while_bytes_are_sent_keeps_it(tmp_path: Path) -> None:
    """Fault 70: an administrator may. The version is not added, no pass is repeated for it, theirs is not undone."""

    async def take_away(operation: str) -> None:
        if operation == "UploadDocumentWithHandler1":
            await server.set_checkout(TO, "anna")

    async with (
        Emulator(tmp_path / "server") as server,
        between(server.url, meanwhile=take_away) as proxy,
        Client(proxy.url, user="demo", password="demo", settings=PATIENT) as client,
    ):
        await client.upload(b"before", to=TO)
        with pytest.raises(CheckedOut, match="taken away while bytes were sent") as caught:
            await client.upload(b"after", to=TO)
        assert caught.value.by == "anna"
        assert len(await _versions(server)) == 1
        assert await holder(server, TO) == "anna"
        assert count(server, "CreateUploadHandler") == 2
        assert await server.open_handlers() == []


async def test_a_user_who_may_not_check_out_hears_just_that(tmp_path: Path) -> None:
    """And not that somebody else has it."""
    denied = b'<response success="false" errorCode="4030" error="[921] Insufficient rights"/>'
    async with (
        Emulator(tmp_path / "server") as server,
        between(server.url, instead=lambda operation, _: (200, denied) if operation == "Lock" else None) as proxy,
        Client(proxy.url, user="demo", password="demo", settings=PATIENT) as client,
    ):
        await client.upload(b"before", to=TO)
        with pytest.raises(AccessDenied):
            await client.upload(b"after", to=TO)
        assert count(server, "CreateUploadHandler") == 1


async def test_a_ticket_that_was_renewed_by_another_while_ours_was_refused_is_no_check_out_of_anybodys(
    tmp_path: Path,
) -> None:
    """Fault 68: Lock goes out with the old ticket, and the look after it with the new one."""
    locks = list[str]()

    def spoil(operation: str, body: bytes) -> bytes:
        locks.extend([operation] if operation == "Lock" else [])
        stale = operation == "Lock" and len(locks) == 1
        return re.sub(rb"Ticket=[^&]*", b"Ticket=" + b"0" * 32, body) if stale else body

    async with (
        Emulator(tmp_path / "server") as server,
        between(server.url, request=spoil) as proxy,
        Client(proxy.url, user="demo", password="demo", settings=PATIENT) as client,
    ):
        await client.upload(b"before", to=TO)
        await client.upload(b"after", to=TO)
        assert len(await _versions(server)) == 2
        assert await holder(server, TO) is None


async def test_whoever_lends_a_ticket_is_asked_for_by_name(tmp_path: Path) -> None:
    """Otherwise nobody could say whose check-out it is."""
    async with against(tmp_path) as (server, client):
        await client.upload(b"before", to=TO)
        ticket = client._remote._ticket
        assert ticket is not None
        done = len(server.calls)
        async with Client(server.url, ticket=ticket, settings=PATIENT) as lent:
            await lent.upload(b"after", to=TO)
            assert _since(server, done).count("isValidTicket") == 1
            assert await holder(server, TO) is None
            await server.set_checkout(TO, "demo")
            with pytest.raises(CheckedOut, match="in another program or by hand"):
                await lent.upload(b"held by the lender", to=TO)
            assert await holder(server, TO) == "demo"
            await server.set_checkout(TO, "anna")
            with pytest.raises(CheckedOut, match="anna"):
                await lent.upload(b"held by another", to=TO)
        assert len(await _versions(server)) == 2


async def test_two_uploads_to_one_place_leave_two_whole_versions_or_say_why_not(tmp_path: Path) -> None:
    async with against(tmp_path) as (server, client):
        await client.upload(b"before", to=TO)
        contents = [os.urandom(CHUNK + 1), os.urandom(CHUNK + 2)]
        async with Client(server.url, user="anna", password="anna", settings=PATIENT) as other:
            ends = await asyncio.gather(
                client.upload(contents[0], to=TO), other.upload(contents[1], to=TO), return_exceptions=True
            )
        failed = [end for end in ends if isinstance(end, BaseException)]
        assert all(isinstance(end, CheckedOut) for end in failed)
        numbers = await _versions(server)
        assert len(numbers) == 3 - len(failed)
        stored = {(await server.content(TO, number)).read_bytes() for number in numbers[1:]}
        assert stored <= set(contents)
        assert len(stored) == len(numbers) - 1
        assert await holder(server, TO) is None


async def test_one_clients_uploads_to_one_place_go_one_after_another(tmp_path: Path) -> None:
    """In whatever case it is written: the first makes the document, each other a version."""
    contents = [os.urandom(CHUNK + number) for number in range(1, 6)]
    async with against(tmp_path) as (server, client):
        receipts = await asyncio.gather(
            *(
                client.upload(data, to=to)
                for data, to in zip(contents, [TO, TO.upper(), TO, TO.lower(), TO], strict=True)
            )
        )
        stored = [(await server.content(TO, receipt.version_id)).read_bytes() for receipt in receipts]
        assert stored == contents
        assert len(await _versions(server)) == len(contents)


async def test_a_lock_that_another_program_of_the_same_user_got_first_is_not_ours(tmp_path: Path) -> None:
    """Between our look and our lock: it is refused, and the other one's check-out stays."""

    async def take(operation: str) -> None:
        if operation == "Lock":
            await server.set_checkout(TO, "demo")

    async with (
        Emulator(tmp_path / "server") as server,
        between(server.url, meanwhile=take) as proxy,
        Client(proxy.url, user="demo", password="demo", settings=PATIENT) as client,
    ):
        await client.upload(b"before", to=TO)
        with pytest.raises(CheckedOut, match="demo, in another program") as caught:
            await client.upload(b"after", to=TO)
        assert caught.value.by == "demo"
        assert await holder(server, TO) == "demo"
        assert count(server, "UnLock") == 0
        assert count(server, "CreateUploadHandler") == 1


class _Rival:
    """Another program of the same account, that stores something right before a request of ours goes on."""

    def __init__(self, server: Emulator, operation: str, data: bytes) -> None:
        self._server, self._operation, self._data = server, operation, data
        self._done = False

    async def __call__(self, operation: str) -> None:
        if operation == self._operation and not self._done:
            self._done = True
            async with Client(self._server.url, user="demo", password="demo", settings=PATIENT) as other:
                await other.upload(self._data, to=TO)


@pytest.mark.parametrize("if_exists", ["version", "skip", "same"])
@pytest.mark.parametrize("kind", ["bytes", "pieces"])
async def test_what_another_program_stored_before_our_check_out_is_not_stored_again(
    kind: str, if_exists: Any, tmp_path: Path
) -> None:
    """Between our look and our lock. One that can be read only once is compared when all of it is sent."""
    if if_exists == "same" and kind == "pieces":
        return  # it is refused before
    data = os.urandom(CHUNK + 1)
    async with Emulator(tmp_path / "server") as server:
        async with Client(server.url, user="demo", password="demo", settings=PATIENT) as first:
            await first.upload(data if if_exists == "same" else b"before", to=TO)
        async with (
            between(server.url, meanwhile=_Rival(server, "Lock", data)) as proxy,
            Client(proxy.url, user="demo", password="demo", settings=PATIENT) as client,
        ):
            receipt = await client.upload(data if kind == "bytes" else _pieces(data), to=TO, if_exists=if_exists)
        assert receipt.status == "unchanged"
        assert receipt.version_id == (await _versions(server))[-1]
        assert len(await _versions(server)) == (1 if if_exists == "same" else 2)
        assert await holder(server, TO) is None
        assert await server.open_handlers() == []


async def test_what_another_program_stored_and_differs_gets_our_version(tmp_path: Path) -> None:
    async with Emulator(tmp_path / "server") as server:
        async with (
            between(server.url, meanwhile=_Rival(server, "Lock", b"theirs")) as proxy,
            Client(proxy.url, user="demo", password="demo", settings=PATIENT) as client,
        ):
            await client.upload(b"before", to=TO)
            receipt = await client.upload(b"ours", to=TO)
        assert receipt.status == "stored"
        assert (await server.content(TO)).read_bytes() == b"ours"
        assert len(await _versions(server)) == 3


MISSING = ("UploadNewDocumentWidthHandler",)


async def test_without_the_operation_that_only_creates_an_equal_document_is_found(tmp_path: Path) -> None:
    """Today's servers refuse a version of what is not checked out."""
    async with (
        Emulator(tmp_path / "server", missing=MISSING) as server,
        between(server.url, meanwhile=_Rival(server, "UploadDocumentWithHandler", b"the same")) as proxy,
        Client(proxy.url, user="demo", password="demo", settings=PATIENT) as client,
    ):
        receipt = await client.upload(b"the same", to=TO)
        assert [receipt.version_id] == await _versions(server)
        assert await server.open_handlers() == []


@pytest.mark.parametrize(("theirs", "if_exists"), [(b"the same", "version"), (b"another", "fail")])
async def test_without_it_an_older_server_stores_twice_and_that_is_told(
    theirs: bytes, if_exists: Any, tmp_path: Path
) -> None:
    """It makes a version of what came in between, which nothing of ours can prevent."""
    async with (
        Emulator(tmp_path / "server", missing=MISSING, variants=["auto-version"]) as server,
        between(server.url, meanwhile=_Rival(server, "UploadDocumentWithHandler", theirs)) as proxy,
        Client(proxy.url, user="demo", password="demo", settings=PATIENT) as client,
    ):
        with pytest.raises(StoredTwice, match="no operation that only creates; compare the two") as caught:
            await client.upload(b"the same", to=TO, if_exists=if_exists)
        assert list(caught.value.versions) == await _versions(server)


async def test_without_it_another_content_is_a_version_as_wanted(tmp_path: Path) -> None:
    async with (
        Emulator(tmp_path / "server", missing=MISSING, variants=["auto-version"]) as server,
        between(server.url, meanwhile=_Rival(server, "UploadDocumentWithHandler", b"another")) as proxy,
        Client(proxy.url, user="demo", password="demo", settings=PATIENT) as client,
    ):
        receipt = await client.upload(b"ours", to=TO)
        assert receipt.version_id == (await _versions(server))[-1]


# ── cancelled ───────────────────────────────────────────────────────────────────────────────────────────────────────

QUICK = Settings(
    chunk_size=CHUNK,
    timeouts=Timeouts(cleanup=0.5),
    retries=Retries(first_wait=30, longest_wait=30, longest_obeyed=30),
)
"""Waits before a retry that only a cancellation can end, and little time for cleaning up."""


async def _cancelled(upload: Awaitable[Any], when: Callable[[], object]) -> None:
    task = asyncio.ensure_future(upload)
    await until(when)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


@pytest.mark.parametrize(
    ("stage", "fault"),
    [
        ("Lock", None),
        ("Lock", "drop-after"),
        ("Lock", "refuse-503"),
        ("CreateUploadHandler", None),
        ("CreateUploadHandler", "refuse-503"),
        ("UploadFileChunk", "stall"),
        ("UploadFileChunk", "refuse-503"),
        ("UploadDocumentWithHandler1", "stall"),
        ("UploadDocumentWithHandler1", "refuse-503"),
        ("UnLock", None),
    ],
)
async def test_cancelled_at_any_stage_it_is_given_back(stage: str, fault: str | None, tmp_path: Path) -> None:
    begun = list[str]()

    def script(call: Call) -> str | None:
        return fault if begun and call.operation == stage else None

    async with against(tmp_path, script, QUICK) as (server, client):
        await client.upload(b"before", to=TO)
        begun.append("now")
        done = count(server, stage)
        await _cancelled(client.upload(os.urandom(CHUNK + 1), to=TO), lambda: count(server, stage) > done)
        # The server's own work goes on when its client goes away.
        await until(lambda: all(call.status or call.fault for call in server.calls))
        assert await holder(server, TO) is None


async def test_cancelled_after_any_number_of_steps_it_is_given_back(tmp_path: Path) -> None:
    """A sweep: five turns of the loop later each time, until a version gets through."""
    async with against(tmp_path, None, replace(QUICK, timeouts=Timeouts(cleanup=5))) as (server, client):
        await client.upload(b"before", to=TO)
        for steps in range(0, 4000, 5):
            before = len(await _versions(server))
            task = asyncio.ensure_future(client.upload(b"after", to=TO))
            for _ in range(steps):
                await asyncio.sleep(0)
            task.cancel()
            await asyncio.wait({task})
            assert await holder(server, TO) is None, steps
            assert await server.open_handlers() == [], steps
            assert len(await _versions(server)) - before in {0, 1}
            if not task.cancelled():
                assert task.result().version_id == (await _versions(server))[-1]
                break
        else:
            pytest.fail("it never got through")

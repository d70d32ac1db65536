"""One row, and every way that it can go."""

import asyncio
import hashlib
import json
import time
from collections.abc import AsyncIterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import anyio
import anyio.to_thread
import pytest
from conftest import PATIENT
from troubled import count, until, version_comments

from asyncupload import (
    AlreadyExists,
    CheckedOut,
    Client,
    ConnectFailed,
    LeaseLost,
    NotFound,
    OutcomeUnknown,
    SourceChanged,
    SourceMissing,
    StoredDifferently,
)
from asyncupload._budget import Budget
from asyncupload._checksum import crc32
from asyncupload._pipeline import SealedChunk
from asyncupload.bulk.ends import End, settle_end
from asyncupload.bulk.folders import Folders
from asyncupload.bulk.journal import Journal
from asyncupload.bulk.options import LoadOptions
from asyncupload.bulk.queue import Claim
from asyncupload.bulk.rows import Item, Metadata, Row, State
from asyncupload.bulk.tidying import give_back_left
from asyncupload.bulk.verdict import Verdict
from asyncupload.bulk.watched import Rate
from asyncupload.bulk.work import Bench, Work
from asyncupload.checkpoints import Commit
from asyncupload.emulator import Emulator
from bulk.loads import OPTIONS, TO, Files, assert_nothing_left

pytestmark = pytest.mark.anyio

NAME = "report.bin"
DOCUMENT = f"{TO}/{NAME}"
DATA = b"some bytes " * 100
USERS = {"demo": "demo", "anna": "anna"}
FINALIZE = "UploadNewDocumentWidthHandler"


@dataclass
class Desk:
    """A server, a client, a journal and a bench for one row after another."""

    server: Emulator
    client: Client
    journal: Journal
    files: Files
    bench: Bench
    script: dict[str, str]
    """Operations that meet a fault from now on."""

    async def planned(self, data: bytes | None = DATA, **change: object) -> None:
        if data is not None:
            self.files.write({NAME: data})
        await self.journal.add([replace(self.files.item(NAME), **change)])  # type: ignore[arg-type]

    async def claim(self, owner: str = "anna") -> Claim:
        (claim,) = await self.journal.claim(owner, 1, lease=30)
        return claim

    async def work(self, **options: object) -> tuple[End, Row]:
        """Work on the row that is next."""
        bench = replace(self.bench, options=replace(OPTIONS, **options))  # type: ignore[arg-type]
        end = await Work(bench, await self.claim()).run()
        return end, await self.row()

    async def row(self) -> Row:
        found = await self.journal.find(DOCUMENT)
        assert found is not None
        return found

    async def left(
        self, handler: str = "", *, commit: Commit | None = None, at: float = 0.0, held: bool = False
    ) -> None:
        """Leave the row as somebody does who dies at it."""
        claim = await self.claim("the dead one")
        await self.journal.note_handler(claim, handler)
        if held:
            await self.journal.note_checkout(claim, held=True)
        if commit is not None:
            await self.journal.committing(claim, json.dumps(asdict(commit) | {"at": at}), lease=30)
        await self.journal.let_go([claim])

    async def left_checked_out(self, holder: str) -> None:
        """Leave it while a document stands there that may be checked out by him; ``holder`` has it by now."""
        await self.client.create_folder(TO)
        await self.client.upload(b"older", to=DOCUMENT)
        await self.server.set_checkout(DOCUMENT, holder)
        await self.planned()
        await self.left(held=True)

    async def staged(self, data: bytes = DATA) -> str:
        """A handler with bytes in it, whose owner is dead."""
        remote = self.client._remote
        await remote.log_in()
        handler = await remote.create_handler()
        await remote.send_chunk(handler, SealedChunk(1, data, crc32(data), last=True))
        return handler.id

    async def stored(self) -> bytes:
        return (await self.server.content(DOCUMENT)).read_bytes()


def commit_of(handler: str, data: bytes = DATA, token: str = "") -> Commit:
    return Commit(
        path=DOCUMENT,
        handler=handler,
        size=len(data),
        crc32=crc32(data),
        existed=bool(token),
        token=token,
        comment=token,
    )


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    script: dict[str, str] = {}
    hurried = replace(PATIENT, timeouts=replace(PATIENT.timeouts, settle=0.2))
    async with (
        Emulator(tmp_path / "server", script=lambda call: script.get(call.operation), users=USERS) as server,
        Client(server.url, user="demo", password="demo", settings=hurried) as client,
        Journal.open(tmp_path / "journal") as journal,
    ):
        bench = Bench(
            client=client,
            queue=journal,
            options=OPTIONS,
            folders=Folders(client),
            budget=Budget(10**8),
            rate=Rate(None),
            hashing=anyio.CapacityLimiter(1),
        )
        yield Desk(server, client, journal, Files(tmp_path / "files"), bench, script)


# ── ends ────────────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_a_file_is_stored_with_all_that_is_known_of_it(desk: Desk) -> None:
    metadata = Metadata(description="about", keywords="a b", created="2020-02-29", version_comment="March")
    await desk.planned(metadata=metadata)
    end, row = await desk.work(sha256=True)
    assert end.verdict is None
    assert end.receipt is not None
    assert row.state is State.STORED
    (document,) = await desk.server.documents()
    assert (row.facts.document_id, row.facts.version_id) == (document.id, document.latest.number)
    assert row.facts.sha256 == hashlib.sha256(DATA).hexdigest()
    assert row.facts.sent == len(DATA)
    assert (document.description, document.keywords) == ("about", "a b")
    assert await version_comments(desk.server, DOCUMENT) == ["March"]
    assert await desk.stored() == DATA
    assert [deed.what for deed in await desk.journal.life(row.id)] == [
        "planned",
        "claimed",
        "handler",
        "committing",
        "stored",
    ]
    assert (desk.bench.meter.ended, desk.bench.meter.sent, desk.bench.meter.committing) == (1, len(DATA), 0)


async def test_an_equal_document_is_left_alone(desk: Desk) -> None:
    await desk.planned()
    await desk.client.create_folder(TO)
    await desk.client.upload(DATA, to=DOCUMENT)
    _, row = await desk.work()
    assert row.state is State.UNCHANGED
    assert row.facts.sent == 0
    assert row.facts.crc32 == commit_of("").crc32
    assert count(desk.server, "CreateUploadHandler") == 1


async def test_another_document_gets_a_version(desk: Desk) -> None:
    await desk.planned()
    await desk.client.create_folder(TO)
    await desk.client.upload(b"older", to=DOCUMENT)
    _, row = await desk.work()
    assert row.state is State.STORED
    assert not row.checked_out
    assert len(await version_comments(desk.server, DOCUMENT)) == 2
    assert await desk.stored() == DATA
    await assert_nothing_left(desk.server)


async def test_nobody_is_mailed_unless_asked(desk: Desk) -> None:
    """Fault 75."""
    await desk.planned()
    await desk.work()
    await desk.planned(DATA + b"!")
    await desk.work(notify=True)
    (document,) = await desk.server.documents()
    assert [version.notified for version in document.versions] == [False, True]


# ── failures ────────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_an_empty_file_is_left_out(desk: Desk) -> None:
    """Fault 12."""
    await desk.planned(b"")
    end, _ = await desk.work()
    assert end.verdict is Verdict.SKIP


async def test_a_file_that_vanished_is_given_up(desk: Desk) -> None:
    """Fault 5."""
    await desk.planned(None)
    end, _ = await desk.work()
    assert (end.verdict, type(end.error)) == (Verdict.GIVE_UP, SourceMissing)


async def test_a_name_that_is_no_text_can_be_read(desk: Desk) -> None:
    """Fault 18."""
    path = bytes(desk.files.folder) + b"/\xff.bin"
    Path(path.decode("utf-8", "surrogateescape")).write_bytes(DATA)
    await desk.journal.add([Item(source=path, destination=DOCUMENT, size=len(DATA), mtime_ns=1)])
    _, row = await desk.work()
    assert row.state is State.STORED


async def test_a_document_that_somebody_has_checked_out_is_tried_again(desk: Desk) -> None:
    """Fault 71."""
    await desk.planned()
    await desk.client.create_folder(TO)
    await desk.client.upload(b"older", to=DOCUMENT)
    await desk.server.set_checkout(DOCUMENT, "anna")
    end, _ = await desk.work()
    assert (end.verdict, type(end.error)) == (Verdict.AGAIN, CheckedOut)
    assert await desk.server.checkouts() == {DOCUMENT: "anna"}


async def test_one_that_must_not_be_there_is_given_up(desk: Desk) -> None:
    await desk.planned()
    await desk.client.create_folder(TO)
    await desk.client.upload(b"older", to=DOCUMENT)
    end, _ = await desk.work(if_exists="fail")
    assert (end.verdict, type(end.error)) == (Verdict.GIVE_UP, AlreadyExists)


async def test_a_file_that_changes_while_it_is_read_is_tried_again(desk: Desk) -> None:
    """Fault 1."""
    await desk.planned(b"x" * 600_000)

    class Writing(Rate):
        async def take(self, amount: int) -> None:
            await anyio.to_thread.run_sync(desk.files.write, {NAME: b"y" * 500_000})

    desk.bench = replace(desk.bench, rate=Writing(None))
    end, _ = await desk.work()
    assert (end.verdict, type(end.error)) == (Verdict.AGAIN, SourceChanged)
    assert await desk.server.documents() == []
    await assert_nothing_left(desk.server)


async def test_a_ticket_that_is_refused_for_good_stops_all(desk: Desk) -> None:
    await desk.planned()
    async with Client(desk.server.url, ticket="no ticket", settings=PATIENT) as stranger:
        desk.bench = replace(desk.bench, client=stranger, folders=Folders(stranger))
        end, _ = await desk.work()
    assert end.verdict is Verdict.STOP


async def test_a_library_that_is_missing_is_given_up(desk: Desk) -> None:
    await desk.planned(destination="/NoSuchLibrary/x.bin")
    end = await Work(desk.bench, await desk.claim()).run()
    assert (end.verdict, type(end.error)) == (Verdict.GIVE_UP, NotFound)


async def test_a_folder_that_was_removed_meanwhile_is_made_anew_the_next_time(desk: Desk) -> None:
    """Fault 70."""
    await desk.planned()
    desk.bench.folders._known.add(TO.casefold())
    end, _ = await desk.work()
    assert (end.verdict, type(end.error)) == (Verdict.AGAIN, NotFound)
    await desk.journal.release(await _again(desk), reason="")
    end, row = await desk.work()
    assert row.state is State.STORED


async def _again(desk: Desk) -> Claim:
    """The claim of whoever is at the row."""
    row = await desk.row()
    return Claim(row, row.owner, row.fence, State.PLANNED)


async def test_a_fault_of_the_programs_costs_one_file_and_not_the_load(desk: Desk) -> None:
    """Fault 91. Here: a date that no plan should have let through."""
    await desk.planned(metadata=Metadata(created="yesterday"))
    end, _ = await desk.work()
    assert (end.verdict, type(end.error)) == (Verdict.AGAIN, ValueError)
    await assert_nothing_left(desk.server)


# ── what an earlier owner left ──────────────────────────────────────────────────────────────────────────────────────


async def test_a_left_handler_is_deleted(desk: Desk) -> None:
    """Fault 74."""
    await desk.planned()
    await desk.left(await desk.staged())
    _, row = await desk.work()
    assert row.state is State.STORED
    await assert_nothing_left(desk.server)


async def test_a_left_handler_that_cannot_be_deleted_does_not_keep_the_file_from_being_sent(desk: Desk) -> None:
    await desk.planned()
    await desk.left("no handler at all")
    _, row = await desk.work()
    assert row.state is State.STORED


async def test_a_left_handler_keeps_its_name_until_the_server_has_answered(desk: Desk) -> None:
    """Else the next one would be written over it, and nobody would delete it any more."""
    await desk.planned()
    handler = await desk.staged()
    await desk.left(handler)
    desk.script["DeleteUploadHandler"] = "refuse-401"
    end, row = await desk.work()
    assert (end.verdict, row.handler) == (Verdict.TROUBLE, handler)
    desk.script.clear()
    await desk.journal.let_go([await _again(desk)])
    _, row = await desk.work()
    assert row.state is State.STORED
    await assert_nothing_left(desk.server)


async def test_a_left_check_out_is_given_back(desk: Desk) -> None:
    await desk.left_checked_out("demo")
    _, row = await desk.work()
    assert row.state is State.STORED
    assert not row.checked_out
    await assert_nothing_left(desk.server)


async def test_a_left_check_out_is_given_back_although_the_file_is_gone(desk: Desk) -> None:
    """imagej/imagej2#59: nobody else could work on the document."""
    await desk.left_checked_out("demo")
    (desk.files.folder / NAME).unlink()
    end, row = await desk.work()
    assert isinstance(end.error, SourceMissing)
    assert not row.checked_out
    await assert_nothing_left(desk.server)


async def test_a_left_check_out_that_is_somebody_elses_by_now_is_let_alone(desk: Desk) -> None:
    await desk.left_checked_out("anna")
    (desk.files.folder / NAME).unlink()
    await desk.work()
    assert await desk.server.checkouts() == {DOCUMENT: "anna"}


async def test_the_next_run_gives_back_what_rows_that_have_ended_hold(desk: Desk) -> None:
    """owncloud/core#17254: the server did not answer when it should have been given back."""
    await desk.client.create_folder(TO)
    await desk.client.upload(b"older", to=DOCUMENT)
    await desk.planned()
    desk.script["UnLock"] = "refuse-502"
    await desk.work()
    await desk.journal.end_plan(await desk.journal.begin_plan() + 1)
    row = await desk.row()
    if row.state is not State.STORED:
        await desk.journal.park(await desk.claim(), "given up")
    assert (await desk.row()).checked_out
    assert await desk.server.checkouts() == {DOCUMENT: "demo"}
    await give_back_left(desk.journal, desk.client)
    assert (await desk.row()).checked_out, "the server does not answer yet"
    desk.script.clear()
    await give_back_left(desk.journal, desk.client)
    assert not (await desk.row()).checked_out
    assert await desk.server.checkouts() == {}
    assert await desk.journal.left() == []


async def test_a_row_whose_document_may_be_checked_out_is_not_forgotten(desk: Desk) -> None:
    await desk.planned()
    claim = await desk.claim()
    await desk.journal.note_checkout(claim, held=True)
    await desk.journal.release(claim, reason="interrupted")
    await desk.journal.end_plan(await desk.journal.begin_plan() + 1)
    assert (await desk.row()).checked_out


async def test_a_left_commit_that_came_about_is_found_and_no_byte_goes_again(desk: Desk) -> None:
    """Faults 42 and 81."""
    await desk.client.create_folder(TO)
    receipt = await desk.client.upload(DATA, to=DOCUMENT)
    await desk.planned()
    await desk.left(commit=commit_of("00000000-0000-0000-0000-000000000000"), at=time.time())
    _, row = await desk.work()
    assert row.state is State.STORED
    assert row.facts.version_id == receipt.version_id
    assert row.commit == ""
    assert count(desk.server, "UploadFileChunk") == 1


async def test_a_left_commit_that_never_left_is_finished_on_the_same_handler(desk: Desk) -> None:
    await desk.client.create_folder(TO)
    await desk.planned()
    await desk.left(commit=commit_of(await desk.staged()), at=time.time())
    _, row = await desk.work()
    assert row.state is State.STORED
    assert await desk.stored() == DATA
    assert count(desk.server, "CreateUploadHandler") == 1
    await assert_nothing_left(desk.server)


async def test_a_left_commit_of_a_version_gives_back_its_check_out(desk: Desk) -> None:
    await desk.client.create_folder(TO)
    await desk.client.upload(b"older", to=DOCUMENT)
    await desk.server.set_checkout(DOCUMENT, "demo")
    await desk.planned()
    await desk.left(commit=commit_of(await desk.staged(), token="[upload 1]"), at=0.0, held=True)
    _, row = await desk.work()
    assert row.state is State.STORED
    assert len(await version_comments(desk.server, DOCUMENT)) == 2
    await assert_nothing_left(desk.server)


async def test_a_left_commit_of_a_version_that_may_be_running_is_not_sent_again(desk: Desk) -> None:
    """The bytes lie in the handler yet, as long as the server is at work on them: it would make another version."""
    await desk.client.create_folder(TO)
    await desk.client.upload(b"older", to=DOCUMENT)
    await desk.server.set_checkout(DOCUMENT, "demo")
    await desk.planned()
    await desk.left(commit=commit_of(await desk.staged(), token="[upload 1]"), at=time.time(), held=True)
    end, row = await desk.work()
    assert (end.verdict, end.unsettled, row.state) == (Verdict.ASK_LATER, True, State.COMMITTING)
    assert len(await version_comments(desk.server, DOCUMENT)) == 1
    assert len(await desk.server.open_handlers()) == 1


async def test_a_left_commit_that_came_to_nothing_long_ago_is_sent_again(desk: Desk) -> None:
    await desk.client.create_folder(TO)
    await desk.planned()
    await desk.left(commit=commit_of("00000000-0000-0000-0000-000000000000"), at=0.0)
    end, row = await desk.work()
    assert (end.verdict, end.unsettled) == (Verdict.AGAIN, False)
    await desk.journal.release(await _again(desk), reason="")
    _, row = await desk.work()
    assert row.state is State.STORED


async def test_one_that_may_be_running_yet_is_asked_about_later(desk: Desk) -> None:
    await desk.client.create_folder(TO)
    await desk.planned()
    await desk.left(commit=commit_of("00000000-0000-0000-0000-000000000000"), at=time.time())
    end, row = await desk.work()
    assert (end.verdict, end.unsettled, row.state) == (Verdict.ASK_LATER, True, State.COMMITTING)


async def test_another_document_in_its_place_is_for_a_human(desk: Desk) -> None:
    """Asked again and again, the answer would stay the same."""
    await desk.client.create_folder(TO)
    await desk.client.upload(b"somebody else's", to=DOCUMENT)
    await desk.planned()
    await desk.left(commit=commit_of("00000000-0000-0000-0000-000000000000"), at=0.0)
    end, _ = await desk.work()
    assert (end.verdict, type(end.error)) == (Verdict.GIVE_UP, OutcomeUnknown)


@pytest.mark.parametrize("found", [State.COMMITTING, State.PLANNED])
async def test_a_question_stays_while_the_server_cannot_be_asked(desk: Desk, found: State) -> None:
    """Sent again meanwhile, the document could be there twice. PLANNED: given up once, and now to be retried."""
    await desk.planned()
    await desk.left(commit=commit_of("00000000-0000-0000-0000-000000000000"), at=0.0)
    if found is State.PLANNED:
        await desk.journal.park(await desk.claim(), "given up")
        await desk.journal.retry()
    await desk.server.stop()
    end, row = await desk.work()
    await desk.server.start()
    assert (end.verdict, type(end.error), end.unsettled) == (Verdict.TROUBLE, ConnectFailed, True)
    assert row.state is State.COMMITTING
    assert row.commit


async def test_a_question_survives_that_the_asking_is_cancelled(desk: Desk) -> None:
    await desk.planned()
    await desk.left(commit=commit_of("00000000-0000-0000-0000-000000000000"), at=0.0)
    claim = await desk.claim()
    await desk.journal.park(claim, "given up")
    await desk.journal.retry()
    for turns in range(1, 12):
        work = asyncio.ensure_future(Work(desk.bench, await desk.claim()).run())
        for _ in range(turns):
            await asyncio.sleep(0)
        work.cancel()
        with pytest.raises(asyncio.CancelledError):
            await work
        assert (await desk.row()).commit


# ── interruptions ───────────────────────────────────────────────────────────────────────────────────────────────────


async def test_a_row_that_is_lost_makes_no_document(desk: Desk) -> None:
    """Fault 97. The fence is asked right before the request that makes it."""
    await desk.planned()
    claim = await desk.claim()

    class Late(Rate):
        async def take(self, amount: int) -> None:
            await desk.journal.let_go([claim])
            await desk.claim("another one")

    desk.bench = replace(desk.bench, rate=Late(None))
    with pytest.raises(LeaseLost):
        await Work(desk.bench, claim).run()
    assert await desk.server.documents() == []
    await assert_nothing_left(desk.server)


STEPS = ["AuthenticateUser", "DocumentExists", "CreateUploadHandler", "UploadFileChunk"]


@pytest.mark.parametrize("operation", STEPS)
async def test_a_cancelled_file_is_given_back_and_leaves_nothing(desk: Desk, operation: str) -> None:
    """Fault 78."""
    await desk.planned()
    desk.script[operation] = "delay"
    work = asyncio.ensure_future(Work(desk.bench, await desk.claim()).run())
    await until(lambda: count(desk.server, operation))
    work.cancel()
    with pytest.raises(asyncio.CancelledError):
        await work
    desk.script.clear()
    assert (await desk.row()).state is State.PLANNED
    await assert_nothing_left(desk.server)
    _, row = await desk.work()
    assert row.state is State.STORED


async def test_one_that_is_cancelled_while_the_document_is_made_is_asked_about(desk: Desk) -> None:
    await desk.planned()
    desk.script[FINALIZE] = "delay-after"
    work = asyncio.ensure_future(Work(desk.bench, await desk.claim()).run())
    await until(lambda: count(desk.server, FINALIZE))
    work.cancel()
    with pytest.raises(asyncio.CancelledError):
        await work
    desk.script.clear()
    assert (await desk.row()).state is State.COMMITTING
    _, row = await desk.work()
    assert row.state is State.STORED
    assert len(await version_comments(desk.server, DOCUMENT)) == 1


async def test_an_unknown_outcome_is_asked_about_and_found_once(desk: Desk) -> None:
    await desk.planned()
    desk.script |= {FINALIZE: "drop-after", "GetDocumentVersions": "refuse-500"}
    end, row = await desk.work()
    assert (end.verdict, end.unsettled, row.state) == (Verdict.ASK_LATER, True, State.COMMITTING)
    desk.script.clear()
    await desk.journal.let_go([await _again(desk)])
    _, row = await desk.work()
    assert row.state is State.STORED
    assert len(await version_comments(desk.server, DOCUMENT)) == 1


# ── what a failure means for a row ──────────────────────────────────────────────────────────────────────────────────


async def settled(desk: Desk, end: End, *, counted: bool = True, options: LoadOptions = OPTIONS) -> Row:
    await settle_end(desk.journal, options, await desk.claim(), end, counted=counted, finalize=1800.0)
    return await desk.row()


async def test_a_failed_file_waits_longer_each_time_and_is_given_up_at_last(desk: Desk) -> None:
    """Fault 92. Counted in the journal, whoever the owner is."""
    await desk.planned()
    options = LoadOptions(attempts=3, retry_after=0.0001)
    end = End(verdict=Verdict.AGAIN, error=CheckedOut("busy"))
    for attempts in (1, 2):
        row = await settled(desk, end, options=options)
        assert (row.state, row.attempts, row.reason) == (State.PLANNED, attempts, "CheckedOut: busy")
        await asyncio.sleep(0.001)
    row = await settled(desk, end, options=options)
    assert row.state is State.FAILED
    assert "attempt 3 of 3" in row.reason


@pytest.mark.parametrize(("attempts", "seconds"), [(1, 30), (2, 60), (3, 120), (100, 3600)])
def test_waits_double_from_the_first_one_up_to_an_hour(attempts: int, seconds: float) -> None:
    assert LoadOptions().wait_after(attempts) == seconds


async def test_what_is_not_the_files_fault_costs_it_nothing(desk: Desk) -> None:
    """Not even the last attempt: a run with fewer allowed than were made does not give up for a wrong password."""
    await desk.planned()
    options = LoadOptions(attempts=1)
    for verdict in (Verdict.STOP, Verdict.TROUBLE):
        row = await settled(desk, End(verdict=verdict, error=ConnectFailed("no")), counted=False, options=options)
        assert (row.state, row.attempts) == (State.PLANNED, 0)
        assert row.due <= time.time()


@pytest.mark.parametrize(("verdict", "state"), [(Verdict.SKIP, State.SKIPPED), (Verdict.GIVE_UP, State.FAILED)])
async def test_what_ends_at_once(desk: Desk, verdict: Verdict, state: State) -> None:
    await desk.planned()
    row = await settled(desk, End(verdict=verdict, error=SourceMissing("gone")))
    assert (row.state, row.reason) == (state, "SourceMissing: gone")


@pytest.mark.parametrize("verdict", [Verdict.ASK_LATER, Verdict.TROUBLE, Verdict.STOP, Verdict.AGAIN])
async def test_a_question_is_asked_again_in_a_while(desk: Desk, verdict: Verdict) -> None:
    await desk.planned()
    claim = await desk.claim()
    await desk.journal.committing(claim, "{}", lease=0)
    end = End(verdict=verdict, error=OutcomeUnknown("?"), unsettled=True)
    await settle_end(desk.journal, OPTIONS, claim, end, counted=verdict is not Verdict.STOP, finalize=1800.0)
    row = await desk.row()
    assert (row.state, row.commit) == (State.COMMITTING, "{}")
    assert 20 < row.due - time.time() < 40


@pytest.mark.parametrize(
    ("end", "question"),
    [
        (End(verdict=Verdict.GIVE_UP, error=AlreadyExists("taken")), ""),
        (End(verdict=Verdict.AGAIN, error=AlreadyExists("taken")), ""),
        (End(verdict=Verdict.GIVE_UP, error=StoredDifferently("x", expected=1, found=2), unsettled=True), ""),
        (End(verdict=Verdict.GIVE_UP, error=OutcomeUnknown("?"), unsettled=True), "{}"),
        (End(verdict=Verdict.GIVE_UP, error=ValueError("a fault in the program"), unsettled=True), "{}"),
    ],
)
async def test_a_file_that_is_given_up_keeps_only_what_nobody_has_answered(desk: Desk, end: End, question: str) -> None:
    """What was refused, or stands there with other bytes, is known: a retry sends it, and does not look for it."""
    await desk.planned()
    claim = await desk.claim()
    await desk.journal.committing(claim, "{}", lease=60)
    options = LoadOptions(attempts=1)
    await settle_end(desk.journal, options, claim, end, counted=True, finalize=1800.0)
    row = await desk.row()
    assert (row.state, row.commit) == (State.FAILED, question)


async def test_the_second_time_the_server_must_have_ended_with_it(desk: Desk) -> None:
    """Asked every half minute, each time with a request that leaves again, it would never be known to have ended."""
    await desk.planned()
    await desk.left(commit=commit_of("x"))
    row = await settled(desk, End(verdict=Verdict.ASK_LATER, error=OutcomeUnknown("?"), unsettled=True))
    assert 1700 < row.due - time.time() < 1900


async def test_a_question_that_nobody_answers_is_given_up_some_day_and_kept(desk: Desk) -> None:
    await desk.planned()
    await desk.left(commit=commit_of("x"))
    end = End(verdict=Verdict.AGAIN, error=NotFound("?"), unsettled=True)
    options = LoadOptions(attempts=1)
    row = await settled(desk, end, options=options)
    while row.state is State.COMMITTING:
        await desk.journal.let_go([await _again(desk)])
        row = await settled(desk, end, options=options)
    assert (row.state, bool(row.commit)) == (State.FAILED, True)
    assert row.fence == 11

"""Many files: all of them accounted for, whatever happens to the server, the files, the journal or us."""

import asyncio
import sqlite3
import time
from collections import Counter
from collections.abc import AsyncGenerator
from contextlib import suppress
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import anyio
import anyio.lowlevel
import pytest
from conftest import PATIENT, Leftovers
from troubled import count, until, version_comments

from asyncupload import AsyncUploadError, Client, JournalError, LoginRefused, UsageError
from asyncupload.bulk import ends, gate, loader, moves
from asyncupload.bulk.journal import Journal
from asyncupload.bulk.loader import Loader
from asyncupload.bulk.progress import Phase, Progress
from asyncupload.bulk.queue import Claim
from asyncupload.bulk.rows import Item, State
from asyncupload.emulator import Call, Emulator, at
from bulk.loads import (
    OPTIONS,
    TO,
    Files,
    assert_consistent,
    assert_nothing_left,
    assert_stored_once,
    client_of,
    load,
    many,
    plan,
    rows_of,
    states,
)

pytestmark = pytest.mark.anyio


@pytest.fixture
def journal(tmp_path: Path) -> Path:
    return tmp_path / "load.journal"


@pytest.fixture
def files(tmp_path: Path) -> Files:
    return Files(tmp_path / "files")


@pytest.fixture
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """Waits for the server that keep their order but not their length."""
    monkeypatch.setattr(gate, "FIRST_WAIT", 0.05)
    monkeypatch.setattr(gate, "LONGEST_WAIT", 0.1)
    monkeypatch.setattr(loader, "LOOK", 0.02)
    monkeypatch.setattr(ends, "ASK_AGAIN", 0.05)


# ── all accounted for ───────────────────────────────────────────────────────────────────────────────────────────────


async def test_every_file_is_stored_once_and_a_second_run_does_nothing(
    client: Client, emulator: Emulator, files: Files, journal: Path
) -> None:
    contents = {**many(60, size=30000), "large.bin": b"large " * 300_000, "sub/deep/exact.bin": b"x" * 262_144}
    items = files.write(contents)
    progress, this = await load(client, journal, items)
    assert states(progress) == {"stored": len(items)}
    assert (progress.cancelled, progress.phase, this.error) == (0, Phase.ENDED, None)
    assert progress.sent == sum(map(len, contents.values()))
    await assert_stored_once(emulator, contents)
    assert await assert_consistent(journal, len(items)) == {State.STORED: len(items)}
    assert count(emulator, "AuthenticateUser") == 1

    before = len(emulator.calls)
    progress, _ = await load(client, journal, items)
    assert states(progress) == {"stored": len(items)}
    assert len(emulator.calls) == before


async def test_what_the_server_asked_to_wait_is_named_in_the_summary_and_in_a_files_life(
    files: Files, journal: Path, tmp_path: Path
) -> None:
    """Not as the network's slowness."""
    settings = replace(PATIENT, retries=replace(PATIENT.retries, longest_obeyed=0.3))
    async with (
        Emulator(tmp_path / "busy", script=at({("UploadFileChunk", 1): "refuse-503"}), folders=[TO]) as server,
        Client(server.url, user="demo", password="demo", settings=settings) as client,
    ):
        progress, _ = await load(client, journal, files.write({"a.bin": b"data"}))
    assert progress.waits.retry_after >= 0.3
    async with Journal.open(journal) as opened:
        life = await opened.life(1)
    assert life[-1].what == "stored"
    assert "retry after " in life[-1].detail


@pytest.mark.usefixtures("hurried")
async def test_what_failed_files_waited_for_is_counted_too(files: Files, journal: Path, tmp_path: Path) -> None:
    settings = replace(PATIENT, retries=replace(PATIENT.retries, attempts=2, longest_obeyed=0.1))

    def script(call: Call) -> str | None:
        return "refuse-429" if call.operation == "CreateUploadHandler" else None

    async with (
        Emulator(tmp_path / "busy", script=script, folders=[TO]) as server,
        Client(server.url, user="demo", password="demo", settings=settings) as client,
    ):
        options = replace(OPTIONS, attempts=1, give_up_after=0.01)
        progress, _ = await load(client, journal, files.write({"a.bin": b"data"}), options)
    assert not states(progress).get("stored")
    assert progress.waits.retry_after >= 0.1


async def test_a_file_that_is_another_one_now_becomes_a_version(
    client: Client, emulator: Emulator, files: Files, journal: Path
) -> None:
    await load(client, journal, files.write(many(5)))
    progress, _ = await load(client, journal, files.write({"1/1.bin": b"changed"}))
    assert states(progress) == {"stored": 5}
    assert [len(await version_comments(emulator, f"{TO}/{name}")) for name in many(5)] == [1, 2, 1, 1, 1]
    assert (await emulator.content(f"{TO}/1/1.bin")).read_bytes() == b"changed"


async def test_without_its_journal_the_server_decides(
    client: Client, emulator: Emulator, files: Files, journal: Path
) -> None:
    """Fault 94. To lose it costs time only."""
    items = files.write(many(20))
    await load(client, journal, items)
    for path in journal.parent.glob("load.journal*"):
        path.unlink()
    progress, _ = await load(client, journal, items)
    assert states(progress) == {"unchanged": 20}
    await assert_stored_once(emulator, many(20))


async def test_files_that_fail_for_their_own_reasons_do_not_stop_the_others(
    client: Client, emulator: Emulator, files: Files, journal: Path
) -> None:
    """Faults 5, 9, 12, 91 and 93: each ends in one state, with its reason."""
    items = files.write({**many(10), "empty.bin": b""})
    (files.folder / "folder.bin").mkdir()
    items += [files.item("missing.bin"), files.item("folder.bin")]
    progress, _ = await load(client, journal, items)
    assert states(progress) == {"stored": 10, "skipped": 1, "failed": 2}
    reasons = {Path(row.item.source.decode()).name: row.reason for row in await rows_of(journal) if row.reason}
    assert {name: reason.partition(":")[0] for name, reason in reasons.items()} == {
        "empty.bin": "EmptySource",
        "missing.bin": "SourceMissing",
        "folder.bin": "NotAFile",
    }
    assert len(progress.failures) == 3
    await assert_stored_once(emulator, many(10))


async def test_files_are_sent_while_the_plan_is_read(
    client: Client, emulator: Emulator, files: Files, journal: Path
) -> None:
    items, ended = files.write(many(4)), list[str]()

    async def slow() -> AsyncGenerator[list[Item], None]:
        yield items[:2]
        with anyio.fail_after(10):
            while len(await emulator.documents()) < 2:  # noqa: ASYNC110
                await asyncio.sleep(0.005)
        ended.append("while planning")
        yield items[2:]

    async with Journal.open(journal) as queue:
        progress = await Loader(client, queue, OPTIONS).run(slow())
    assert ended
    assert states(progress) == {"stored": 4}


async def test_nothing_is_sent_of_a_plan_that_is_wrong(
    client: Client, emulator: Emulator, files: Files, journal: Path
) -> None:
    items, closed = files.write(many(3)), list[str]()

    async def wrong() -> AsyncGenerator[list[Item], None]:
        try:
            yield items
            raise UsageError("line 4 is wrong")
        finally:
            closed.append("closed")

    async with Journal.open(journal) as queue:
        with pytest.raises(UsageError, match="line 4"):
            await Loader(client, queue, OPTIONS).run(wrong(), plan_first=True)
    assert closed
    assert not emulator.calls


@pytest.mark.parametrize("error", [UsageError("the root is a file"), LookupError("the plan's own")])
async def test_what_a_plan_raises_comes_out_bare_when_the_files_in_flight_have_ended(
    client: Client, emulator: Emulator, files: Files, journal: Path, error: Exception
) -> None:
    async def broken() -> AsyncGenerator[list[Item], None]:
        yield items
        await until(lambda: count(emulator, "CreateUploadHandler"))
        raise error

    items = files.write(many(3))
    async with Journal.open(journal) as queue:
        with pytest.raises(type(error), match=str(error)):
            await Loader(client, queue, OPTIONS).run(broken())
    await assert_consistent(journal, 3)
    await assert_nothing_left(emulator)


# ── again ───────────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_a_document_that_somebody_has_is_tried_again_until_it_is_free(
    client: Client, emulator: Emulator, files: Files, journal: Path
) -> None:
    """Fault 71."""
    await load(client, journal, files.write(many(3)))
    await emulator.set_checkout(f"{TO}/1/1.bin", "demo2")
    items = files.write({name: data + b"!" for name, data in many(3).items()})
    async with Journal.open(journal) as queue:
        this = Loader(client, queue, replace(OPTIONS, attempts=50))
        async with anyio.create_task_group() as group:

            async def free() -> None:
                await until(lambda: this._failures)
                await emulator.set_checkout(f"{TO}/1/1.bin", None)

            group.start_soon(free)
            progress = await this.run(plan(items))
    assert states(progress) == {"stored": 3}
    (row,) = [row for row in await rows_of(journal) if row.attempts]
    assert row.item.destination == f"{TO}/1/1.bin"


async def test_attempts_count_over_runs_and_come_to_an_end(
    client: Client, emulator: Emulator, files: Files, journal: Path
) -> None:
    """Fault 92. What is not due soon is not waited for: the run ends and says what is left."""
    await load(client, journal, files.write(many(2)))
    await emulator.set_checkout(f"{TO}/1/1.bin", "anna")
    items = files.write({name: data + b"!" for name, data in many(2).items()})
    options = replace(OPTIONS, attempts=3, retry_after=3600)
    for attempts in (1, 2):
        progress, _ = await load(client, journal, items, options)
        assert (states(progress), progress.cancelled) == ({"stored": 1, "planned": 1}, 1)
        assert [row.attempts for row in await rows_of(journal)] == [0, attempts]
        _forget_waits(journal)
    progress, _ = await load(client, journal, items, options)
    assert states(progress) == {"stored": 1, "failed": 1}
    assert "attempt 3 of 3" in (await rows_of(journal))[1].reason


def _forget_waits(journal: Path) -> None:
    with sqlite3.connect(journal) as db:
        db.execute("UPDATE rows SET due = 0")
    db.close()


async def test_a_run_at_its_end_waits_for_what_is_due_soon(
    client: Client, emulator: Emulator, files: Files, journal: Path, tmp_path: Path
) -> None:
    items = files.write(many(2))
    (tmp_path / "away").mkdir()
    moved = (files.folder / "0" / "0.bin").rename(tmp_path / "away" / "0.bin")
    (files.folder / "0" / "0.bin").symlink_to(files.folder / "0" / "0.bin")  # a loop: it cannot be read now

    async with Journal.open(journal) as queue:
        this = Loader(client, queue, replace(OPTIONS, retry_after=0.2))
        async with anyio.create_task_group() as group:

            async def mend() -> None:
                await until(lambda: this._failures)
                moved.replace(files.folder / "0" / "0.bin")

            group.start_soon(mend)
            progress = await this.run(plan(items))
    assert states(progress) == {"stored": 2}


async def test_an_unknown_outcome_is_asked_about_by_the_next_run_and_stored_once(
    tmp_path: Path, files: Files, journal: Path
) -> None:
    """Fault 42."""
    hits = {"UploadNewDocumentWidthHandler": "drop-after", "GetDocumentVersions": "refuse-500"}
    async with Emulator(tmp_path / "server", script=lambda call: hits.get(call.operation)) as server:
        async with client_of(server, settle=0.2) as client, Journal.open(journal) as queue:
            this = Loader(client, queue, OPTIONS)
            async with anyio.create_task_group() as group:

                async def stop() -> None:
                    await until(lambda: this._failures)
                    this.stop(5)

                group.start_soon(stop)
                progress = await this.run(plan(files.write(many(1))))
        assert states(progress) == {"committing": 1}
        hits.clear()
        _forget_waits(journal)
        async with client_of(server) as client:
            progress, _ = await load(client, journal)
        assert states(progress) == {"stored": 1}
        await assert_stored_once(server, many(1))


# ── systemic trouble ────────────────────────────────────────────────────────────────────────────────────────────────


async def _watched(
    this: Loader, plan: AsyncGenerator[list[Item], None], seen: list[Progress] | None = None
) -> tuple[Progress, list[Progress]]:
    """Run, and look at the progress all the time."""
    seen = [] if seen is None else seen

    async def look() -> None:
        while True:
            seen.append(await this.progress())
            await anyio.sleep(0.01)

    async with anyio.create_task_group() as group:
        group.start_soon(look)
        ended = await this.run(plan)
        group.cancel_scope.cancel()
    return ended, seen


@pytest.mark.usefixtures("hurried")
async def test_a_server_that_goes_away_is_waited_for_and_no_file_fails(
    client: Client, emulator: Emulator, files: Files, journal: Path
) -> None:
    """Fault 67: one event for the pool, not one failure for each file."""
    contents = many(60)
    async with Journal.open(journal) as queue:
        this = Loader(client, queue, OPTIONS)
        async with anyio.create_task_group() as group:

            async def restart() -> None:
                await until(lambda: count(emulator, "UploadFileChunk") > 10)
                await emulator.stop()
                await until(lambda: this._gate.ajar)
                await emulator.start()

            group.start_soon(restart)
            progress, seen = await _watched(this, plan(files.write(contents)))
    assert states(progress) == {"stored": 60}
    assert any(one.phase is Phase.PAUSED and one.pause for one in seen)
    assert progress.waits.pauses >= 0.05
    assert max(row.attempts for row in await rows_of(journal)) <= 1, "one that was just being sent may count"
    # As many as can be in flight: a handler may have been made whose reply was cut off.
    await assert_stored_once(emulator, contents, unknown=OPTIONS.files)


@pytest.mark.usefixtures("hurried")
async def test_a_server_that_is_away_from_the_start_costs_no_file_an_attempt(
    client: Client, emulator: Emulator, files: Files, journal: Path
) -> None:
    await emulator.stop()
    progress, this = await load(client, journal, files.write(many(30)), replace(OPTIONS, attempts=1, give_up_after=0.3))
    assert states(progress) == {"planned": 30}
    assert isinstance(this.error, AsyncUploadError)
    await emulator.start()
    progress, this = await load(client, journal)
    assert (states(progress), this.error) == ({"stored": 30}, None)


async def test_a_wrong_password_ends_the_load_and_fails_no_file(
    emulator: Emulator, files: Files, journal: Path
) -> None:
    """Faults 65 and 78: one attempt, or the account is locked."""
    async with client_of(emulator, "wrong") as client:
        progress, this = await load(client, journal, files.write(many(40)), replace(OPTIONS, attempts=1))
    assert states(progress) == {"planned": 40}
    assert isinstance(this.error, LoginRefused)
    assert count(emulator, "AuthenticateUser") == 1
    async with client_of(emulator) as client:
        progress, _ = await load(client, journal)
    assert states(progress) == {"stored": 40}


@pytest.mark.usefixtures("hurried")
@pytest.mark.parametrize("fault", ["consume-handler", "html", "refuse-403"])
async def test_a_full_disk_pauses_the_pool_and_fails_no_file(
    fault: str, tmp_path: Path, files: Files, journal: Path
) -> None:
    """Faults 43, 51 and 69. Small requests are answered all the while. It lasts until the pool has paused."""
    seen = list[Progress]()

    def script(call: Call) -> str | None:
        paused = any(one.phase is Phase.PAUSED for one in seen)
        storing = call.operation == "UploadNewDocumentWidthHandler"
        return fault if storing and 5 < call.number < 500 and not paused else None

    contents = many(40)
    async with (
        Emulator(tmp_path / "server", script=script) as server,
        client_of(server, settle=0.05, finalize=0.3) as client,
    ):
        async with Journal.open(journal) as queue:
            this = Loader(client, queue, OPTIONS)
            progress, _ = await _watched(this, plan(files.write(contents)), seen)
        assert states(progress) == {"stored": 40}
        assert any(one.phase is Phase.PAUSED for one in seen)
        await assert_stored_once(server, contents)


@pytest.mark.usefixtures("hurried")
async def test_files_that_the_server_stumbles_over_are_given_up_at_last(
    tmp_path: Path, files: Files, journal: Path
) -> None:
    """Fault 92. They look like a server in trouble, and would be tried for ever."""
    contents = many(6)

    async with (
        Emulator(tmp_path / "server", script=_stumbles) as server,
        client_of(server, settle=0.05, finalize=0.1) as client,
    ):
        progress, _ = await load(client, journal, files.write(contents), replace(OPTIONS, attempts=2))
    assert states(progress) == {"failed": 6}


def _stumbles(call: Call) -> str | None:
    return "consume-handler" if call.operation == "UploadNewDocumentWidthHandler" else None


@pytest.mark.usefixtures("hurried")
@pytest.mark.parametrize("fault", ["refuse-429", "refuse-503"])
async def test_congestion_halves_the_pace(fault: str, tmp_path: Path, files: Files, journal: Path) -> None:
    """Faults 46 and 47."""

    def script(call: Call) -> str | None:
        return fault if call.operation == "CreateUploadHandler" and 20 < call.number < 40 else None

    contents = many(60)
    async with Emulator(tmp_path / "server", script=script) as server, client_of(server) as client:
        async with Journal.open(journal) as queue:
            this = Loader(client, queue, OPTIONS)
            progress, seen = await _watched(this, plan(files.write(contents)))
        limits = [one.limit for one in seen if one.phase is not Phase.PAUSED]
        assert any(later <= earlier // 2 for earlier, later in pairwise(limits))
        assert states(progress) == {"stored": 60}
        await assert_stored_once(server, contents)


# ── interruptions ───────────────────────────────────────────────────────────────────────────────────────────────────


MOMENTS = [1, 4, 16, 40]
"""Requests that the server has seen."""


@pytest.mark.parametrize("moment", MOMENTS)
@pytest.mark.parametrize("how", ["cancel", "stop"])
async def test_an_interrupted_load_is_gone_on_with(
    how: str, moment: int, client: Client, emulator: Emulator, files: Files, journal: Path
) -> None:
    """Faults 78 and 82."""
    contents, before = many(16), Leftovers()
    items = files.write(contents)
    async with Journal.open(journal) as queue:
        this = Loader(client, queue, OPTIONS)
        run = asyncio.ensure_future(this.run(plan(items)))
        await until(lambda: len(emulator.calls) >= moment or run.done())
        if how == "stop":
            this.stop(0.0)
            await run
        else:
            run.cancel()
            with pytest.raises(asyncio.CancelledError):
                await run
    left = await assert_consistent(journal, len(await rows_of(journal)))
    assert left[State.SENDING] == 0
    assert all(row.due <= time.time() for row in await rows_of(journal)), "somebody would have to wait for a lease"
    assert await emulator.checkouts() == {}
    assert len(await emulator.open_handlers()) <= left[State.COMMITTING]
    assert not {kind: what for kind, what in Leftovers().since(before).items() if kind == "tasks"}
    progress, _ = await load(client, journal, items)
    assert states(progress) == {"stored": 16}
    await assert_stored_once(emulator, contents)


async def test_stopped_with_grace_it_ends_what_it_has_begun(
    client: Client, emulator: Emulator, files: Files, journal: Path
) -> None:
    async with Journal.open(journal) as queue:
        this = Loader(client, queue, OPTIONS)
        async with anyio.create_task_group() as group:

            async def stop() -> None:
                await until(lambda: count(emulator, "UploadFileChunk"))
                this.stop(30)

            group.start_soon(stop)
            progress = await this.run(plan(files.write(many(100))))
    found = states(progress)
    assert set(found) == {"stored", "planned"}
    assert found["stored"] <= 8
    assert progress.cancelled == found["planned"]
    await assert_nothing_left(emulator)


@pytest.mark.parametrize("plan_first", [True, False])
async def test_stopped_before_it_runs_it_does_nothing(
    client: Client, emulator: Emulator, files: Files, journal: Path, plan_first: bool
) -> None:
    """A signal may come at any time: also while an endless plan is read first."""

    async def endless() -> AsyncGenerator[list[Item], None]:
        while True:
            yield items
            await anyio.lowlevel.checkpoint()

    items = files.write(many(1))
    async with Journal.open(journal) as queue:
        this = Loader(client, queue, OPTIONS)
        this.stop(1)
        with anyio.fail_after(10):
            await this.run(endless(), plan_first=plan_first)
    assert not emulator.calls


async def test_what_was_claimed_and_not_begun_keeps_its_question(
    client: Client, emulator: Emulator, files: Files, journal: Path
) -> None:
    """To send it again blindly could store it twice. 40 rows are more than are begun at once."""
    async with Journal.open(journal) as queue:
        await queue.add(files.write(many(40)))
        claims = await queue.claim("the dead one", 40, lease=30)
        for claim in claims:
            await queue.committing(claim, _question(claim.row.item), lease=30)
            await queue.park(claim, "nobody knows")
        await queue.retry()
        this = Loader(client, queue, OPTIONS)
        run = asyncio.ensure_future(this.run())
        await until(lambda: emulator.calls)
        this.stop(0.0)
        await run
    assert all(row.commit for row in await rows_of(journal))


def _question(item: Item) -> str:
    name = item.destination
    return (
        f'{{"path": "{name}", "handler": "00000000-0000-0000-0000-000000000000", "size": 1, "crc32": 1,'
        f' "existed": false, "token": "", "comment": "", "at": {time.time()}}}'
    )


# ── the journal ─────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_two_loaders_on_one_journal_store_each_file_once(
    client: Client, emulator: Emulator, files: Files, journal: Path
) -> None:
    """Fault 96."""
    contents = many(60)
    items = files.write(contents)
    async with (
        client_of(emulator) as other,
        Journal.open(journal) as one_queue,
        Journal.open(journal) as other_queue,
    ):
        await one_queue.add(items)
        runs = Loader(client, one_queue, OPTIONS).run(plan(items)), Loader(other, other_queue, OPTIONS).run(plan(items))
        await asyncio.gather(*runs)
    await assert_consistent(journal, 60)
    owners = Counter(row.owner for row in await rows_of(journal))
    assert len(owners) == 2
    await assert_stored_once(emulator, contents)
    assert count(emulator, "CreateUploadHandler") == 60


@pytest.mark.parametrize("writes", [1, 3, 8, 21])
async def test_what_cannot_be_written_down_is_not_sent(
    client: Client, emulator: Emulator, files: Files, journal: Path, writes: int
) -> None:
    """Fault 95: a journal whose disk is full. Here SQLite itself refuses to let it grow."""
    contents = many(30)
    items = files.write(contents)
    async with Journal.open(journal) as queue:
        await queue.add(items)
        done = list[str]()
        queue._database._between_writes = done.append
        this = Loader(client, queue, OPTIONS)
        async with anyio.create_task_group() as group:

            async def fill() -> None:
                await until(lambda: len(done) >= writes)
                with suppress(JournalError):  # what else is in the transaction is refused already
                    await queue._database.write("full", _full)

            group.start_soon(fill)
            with pytest.raises(JournalError):
                await this.run()
        after = len(emulator.calls)
        await anyio.sleep(0.05)
        assert len(emulator.calls) == after
    _forget_waits(journal)
    progress, _ = await load(client, journal)
    assert states(progress) == {"stored": 30}
    await assert_stored_once(emulator, contents)


def _full(db: sqlite3.Connection) -> None:
    """From now on nothing can be written."""
    db.execute("PRAGMA query_only = ON")


@pytest.mark.usefixtures("hurried")
async def test_a_row_whose_lease_ended_unseen_is_claimed_again_and_stored_once(
    client: Client, emulator: Emulator, files: Files, journal: Path
) -> None:
    """Faults 97 and 98: a machine that slept. The same process finds its own row left behind."""
    contents = {"slow.bin": b"slow " * 300_000}
    async with Journal.open(journal) as queue:
        this = Loader(client, queue, replace(OPTIONS, limit_rate=3_000_000))
        run = asyncio.ensure_future(this.run(plan(files.write(contents))))
        await until(lambda: count(emulator, "UploadFileChunk"))
        ((claim, _),) = this._active.values()
        await queue.let_go([claim])
        progress = await run
    (row,) = await rows_of(journal)
    assert row.fence == 2
    assert states(progress) == {"stored": 1}
    await assert_stored_once(emulator, contents)


async def test_a_row_that_somebody_else_has_claimed_is_let_alone(
    client: Client, emulator: Emulator, files: Files, journal: Path
) -> None:
    """Found out when the lease is renewed, before all bytes are sent in vain."""
    async with Journal.open(journal) as queue:
        options = replace(OPTIONS, limit_rate=2_000_000, lease=0.3)
        this = Loader(client, queue, options)
        run = asyncio.ensure_future(this.run(plan(files.write({"slow.bin": b"slow " * 2_000_000}))))
        await until(lambda: count(emulator, "UploadFileChunk"))
        ((claim, _),) = this._active.values()
        (other,) = await queue._database.write("taken over", lambda db: _taken_over(db, claim))
        await until(lambda: not this._active)
        assert count(emulator, "UploadFileChunk") < 39
        await queue.finish(other, State.SKIPPED, reason="by another one")
        progress = await run
    assert states(progress) == {"skipped": 1}
    assert await emulator.documents() == []
    await assert_nothing_left(emulator)


def _taken_over(db: sqlite3.Connection, claim: Claim) -> list[Claim]:
    """In one transaction: between two, its owner might claim it again."""
    moves.let_go(db, [claim], time.time())
    return moves.claim(db, "another one", 1, lease=60, now=time.time())


async def test_a_row_tells_what_was_left_on_the_server_with_its_document(
    journal: Path, files: Files, tmp_path: Path
) -> None:
    """A check-out keeps others from it, so it must not stand in a line of the log only."""

    def script(call: Call) -> str | None:
        return "refuse-502" if call.operation == "UnLock" else None

    items = files.write({"a.bin": b"after"})
    hurried = replace(PATIENT, timeouts=replace(PATIENT.timeouts, cleanup=0.5))
    async with (
        Emulator(tmp_path / "server", script=script) as server,
        Client(server.url, user="demo", password="demo", settings=hurried) as client,
    ):
        await client.create_folder(TO)
        await client.upload(b"before", to=f"{TO}/a.bin")
        await load(client, journal, items)
    (row,) = await rows_of(journal)
    assert row.state is State.STORED
    assert f"asyncupload discard {TO}/a.bin" in row.reason

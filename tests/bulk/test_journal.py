"""The journal: what one process sees of it."""

import asyncio
import contextlib
import resource
import sqlite3
import threading
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asyncupload import JournalError, LeaseLost
from asyncupload.bulk.journal import Journal
from asyncupload.bulk.queue import Added, Claim, Queue, Tally
from asyncupload.bulk.rows import MOVES, Facts, Item, Metadata, State
from bulk.files import Clock, damaged, item, opened, row

pytestmark = pytest.mark.anyio


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "load.journal"


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def journal(path: Path, clock: Clock) -> AsyncIterator[Journal]:
    async with opened(path, clock) as journal:
        yield journal


async def taken(journal: Journal, *, owner: str = "anna", lease: float = 60) -> Claim:
    (claim,) = await journal.claim(owner, 1, lease=lease)
    return claim


async def brought_to(journal: Journal, name: str, state: State) -> Claim:
    """Plan a file, and let it get as far as ``state``."""
    await journal.add([item(name)])
    claim = await taken(journal)
    if state in {State.COMMITTING, State.STORED}:
        await journal.committing(claim, "{}", lease=60)
    if state not in {State.SENDING, State.COMMITTING}:
        await journal.finish(claim, state)
    return claim


# --- planning


async def test_a_journal_is_a_queue(journal: Journal) -> None:
    queue: Queue = journal
    assert await queue.add([]) == Added(0, 0, 0)


async def test_a_file_planned_again_is_known(journal: Journal) -> None:
    assert await journal.add([item("a"), item("b")]) == Added(new=2, changed=0, known=0)
    assert await journal.add([item("b"), item("c")]) == Added(new=1, changed=0, known=1)


async def test_what_the_plan_says_comes_back(journal: Journal) -> None:
    planned = Item(
        source=b"/srv/\xff\xfe",
        destination="/Archive/x",
        size=None,
        mtime_ns=None,
        line=7,
        metadata=Metadata(description='"é"', created="2024-02-29"),
    )
    await journal.add([planned])

    found = await journal.find(b"/srv/\xff\xfe")

    assert found is not None
    assert found.item == planned


@pytest.mark.parametrize("state", [State.STORED, State.UNCHANGED, State.FAILED, State.SKIPPED])
async def test_an_ended_row_stays_ended_until_its_file_is_another(journal: Journal, state: State) -> None:
    await brought_to(journal, "a", state)

    assert await journal.add([item("a")]) == Added(0, 0, known=1)
    assert (await row(journal, "a")).state is state

    assert await journal.add([item("a", size=11)]) == Added(0, changed=1, known=0)
    assert (await row(journal, "a")).state is State.PLANNED


@pytest.mark.parametrize(
    "other",
    [
        Item(source=b"/srv/a", destination="/Archive/a", size=10, mtime_ns=2),
        Item(source=b"/srv/a", destination="/Archive/a", size=10, mtime_ns=1, metadata=Metadata(keywords="k")),
    ],
)
async def test_each_part_of_a_plan_counts(journal: Journal, other: Item) -> None:
    await brought_to(journal, "a", State.STORED)

    assert (await journal.add([other])).changed == 1
    assert (await row(journal, "a")).item == other


async def test_another_line_of_the_manifest_is_no_other_plan(journal: Journal) -> None:
    await journal.add([item("a")])

    assert (await journal.add([Item(source=b"/srv/a", destination="/Archive/a", size=10, mtime_ns=1, line=9)])).known


async def test_a_file_that_somebody_is_at_is_not_planned_anew(journal: Journal, clock: Clock) -> None:
    await brought_to(journal, "a", State.SENDING)

    assert (await journal.add([item("a", size=11)])).known == 1

    clock.now += 61
    assert (await journal.add([item("a", size=11)])).changed == 1


async def test_a_document_in_doubt_is_asked_for_before_its_file_is_planned_anew(journal: Journal, clock: Clock) -> None:
    await brought_to(journal, "a", State.COMMITTING)
    clock.now += 61

    assert (await journal.add([item("a", size=11)])).known == 1
    assert (await taken(journal)).found is State.COMMITTING


async def test_what_was_asked_about_other_bytes_is_asked_no_more(journal: Journal) -> None:
    claim = await brought_to(journal, "a", State.COMMITTING)
    await journal.park(claim, "no answer")
    await journal.add([item("a", size=11)])

    assert (await row(journal, "a")).commit == ""


async def test_a_batch_is_planned_whole_or_not_at_all(journal: Journal) -> None:
    with pytest.raises(OverflowError):
        await journal.add([item("a"), item("b", size=1 << 70)])

    assert await journal.find(b"/srv/a") is None
    assert (await journal.add([item("a")])).new == 1


async def test_a_file_with_a_problem_is_never_sent(journal: Journal) -> None:
    await journal.add([item("a", problem="empty"), item("b", problem="no name\udcff", fatal=True)])

    assert [(await row(journal, name)).state for name in "ab"] == [State.SKIPPED, State.FAILED]
    assert (await row(journal, "b")).reason == "no name\\udcff"
    assert await journal.retry([State.FAILED, State.SKIPPED]) == 0
    assert await journal.claim("anna", 9, lease=60) == []


@pytest.mark.parametrize("twin", ["/archive/REPORT", "/Archive/Report", "/Archive/Repo\u0301rt"])
async def test_two_files_for_one_destination_are_not_both_sent(journal: Journal, twin: str) -> None:
    first = "/Archive/Repórt" if "\u0301" in twin else "/Archive/Report"
    await journal.add([item("first", first), item("second", twin)])

    second = await row(journal, "second")
    assert second.state is State.FAILED
    assert "/srv/first" in second.reason
    assert await journal.retry() == 0

    # Twice the same plan is the same plan ...
    assert (await journal.add([item("first", first), item("second", twin)])).known == 2


async def test_when_the_plan_no_longer_has_one_of_two_the_other_is_sent(journal: Journal) -> None:
    await journal.add([item("first", "/Archive/x"), item("second", "/Archive/X")], await journal.begin_plan())

    reading = await journal.begin_plan()
    await journal.add([item("second", "/Archive/X")], reading)
    assert await journal.end_plan(reading) == 1
    assert await journal.find(b"/srv/first") is None

    assert (await journal.add([item("second", "/Archive/X")], await journal.begin_plan())).changed == 1
    assert (await row(journal, "second")).state is State.PLANNED


async def test_one_file_may_be_sent_to_several_places(journal: Journal) -> None:
    assert (await journal.add([item("a", "/Archive/x"), item("a", "/Archive/y")])).new == 2
    assert (await journal.add([item("a", "/Archive/x"), item("a", "/Archive/y")])).known == 2
    assert (await journal.counts())[State.PLANNED].rows == 2


@pytest.mark.parametrize("state", [State.STORED, State.UNCHANGED, State.SENDING, State.COMMITTING])
async def test_what_is_on_the_server_or_under_way_outlives_its_place_in_the_plan(
    journal: Journal, state: State
) -> None:
    await brought_to(journal, "a", state)

    assert await journal.end_plan(await journal.begin_plan()) == 0
    assert (await row(journal, "a")).state is state


@pytest.mark.parametrize("state", [State.SKIPPED, State.FAILED])
async def test_what_the_plan_no_longer_has_is_forgotten_at_its_end(journal: Journal, state: State) -> None:
    """By the reading that has seen all of it, and not by an older one of another process."""
    await brought_to(journal, "a", state)
    older, newer = await journal.begin_plan(), await journal.begin_plan()
    await journal.add([item("b")], newer)
    await journal.add([item("c")])

    assert await journal.end_plan(older) == 2
    assert await journal.find(b"/srv/a") is await journal.find(b"/srv/c") is None
    assert (await journal.counts())[State.PLANNED].rows == 1
    assert await journal.find(b"/srv/b") is not None


async def test_a_destination_belongs_to_the_row_that_is_sent_there(journal: Journal) -> None:
    await journal.add([item("empty", "/Archive/x", problem="empty"), item("full", "/Archive/X")])

    found = await journal.find("/ARCHIVE/x")

    assert found is not None
    assert found.item.source == b"/srv/full"
    assert found.state is State.PLANNED
    assert await journal.find("/Archive/y") is None


# --- leases


async def test_the_oldest_are_claimed_first_and_those_left_behind_before_them(journal: Journal, clock: Clock) -> None:
    await journal.add([item(name) for name in "abcd"])
    sending, committing = await journal.claim("anna", 2, lease=60)
    await journal.committing(committing, "{}", lease=60)
    clock.now += 61

    claims = await journal.claim("bert", 3, lease=60)

    assert [claim.found for claim in claims] == [State.COMMITTING, State.SENDING, State.PLANNED]
    assert [claim.row.id for claim in claims] == [committing.row.id, sending.row.id, 3]
    assert [claim.fence for claim in claims] == [2, 2, 1]


async def test_a_row_given_back_for_later_waits_until_then(journal: Journal, clock: Clock) -> None:
    await journal.add([item("a")])
    await journal.release(await taken(journal), reason="busy", not_before=clock.now + 5, counted=True)

    assert await journal.claim("anna", 1, lease=60) == []
    assert await journal.due() == clock.now + 5

    clock.now += 5
    assert (await taken(journal)).row.attempts == 1


async def test_nothing_is_due_when_all_have_ended(journal: Journal, clock: Clock) -> None:
    assert await journal.due() is None
    claim = await brought_to(journal, "a", State.SENDING)
    assert await journal.due() == clock.now + 60
    await journal.park(claim, "no")
    assert await journal.due() is None


async def test_what_an_earlier_owner_left_behind_is_told_to_the_next(journal: Journal, clock: Clock) -> None:
    """Faults 67 and 81: a handler to delete, a check-out to give back, a document to ask for."""
    await journal.add([item("a")])
    first = await taken(journal)
    await journal.note_handler(first, "H-1")
    await journal.note_checkout(first, held=True)
    await journal.committing(first, '{"versions": 3}', lease=60)
    clock.now += 61

    second = await taken(journal, owner="bert")

    assert second.found is State.COMMITTING
    assert (second.row.handler, second.row.checked_out, second.row.commit) == ("H-1", True, '{"versions": 3}')


async def test_whoever_lost_a_row_is_told_so_at_every_deed(journal: Journal, clock: Clock) -> None:
    """Fault 97: a machine that slept past its lease must not make a document that another one makes, too."""
    old = await brought_to(journal, "a", State.SENDING)
    clock.now += 61
    new = await taken(journal, owner="bert")

    for deed in (
        journal.committing(old, "{}", lease=60),
        journal.finish(old, State.UNCHANGED),
        journal.release(old, reason="x"),
        journal.park(old, "x"),
        journal.note_handler(old, "H"),
        journal.note_checkout(old, held=True),
    ):
        with pytest.raises(LeaseLost, match="claim 2 of bert"):
            await deed
    await journal.let_go([old])
    assert await journal.renew([old, new], lease=90) == {new.row.id}
    assert not await journal.still_mine(old)
    assert await journal.still_mine(new)
    assert await journal.due() == clock.now + 90
    assert await row(journal, "a") == replace(new.row, due=clock.now + 90)


async def test_a_name_that_claims_again_is_another_claim(journal: Journal, clock: Clock) -> None:
    """A process that was started again under its old name, and the old one that is still alive."""
    old = await brought_to(journal, "a", State.SENDING)
    clock.now += 61
    new = await taken(journal, owner=old.owner)

    with pytest.raises(LeaseLost):
        await journal.committing(old, "{}", lease=60)
    await journal.committing(new, "{}", lease=60)


async def test_a_lease_that_is_over_is_no_loss_while_nobody_else_wants_the_row(journal: Journal, clock: Clock) -> None:
    claim = await brought_to(journal, "a", State.SENDING)
    clock.now += 1_000

    await journal.committing(claim, "{}", lease=60)

    assert await journal.claim("bert", 1, lease=60) == []  # the commit came with a new lease


async def test_a_row_let_go_is_found_as_it_was_at_once(journal: Journal) -> None:
    claim = await brought_to(journal, "a", State.COMMITTING)

    await journal.let_go([claim])

    assert (await taken(journal, owner="bert")).found is State.COMMITTING
    assert [deed.what for deed in await journal.life(claim.row.id)][-2:] == ["let go", "claimed"]


@pytest.mark.parametrize("here", [State.SENDING, State.COMMITTING])
@pytest.mark.parametrize("there", [State.STORED, State.UNCHANGED, State.SKIPPED, State.FAILED])
async def test_no_row_makes_a_move_that_is_not_in_the_list(journal: Journal, here: State, there: State) -> None:
    claim = await brought_to(journal, "a", here)

    with (
        contextlib.nullcontext()
        if there in MOVES[here]
        else pytest.raises(JournalError, match=f"cannot become {there}")
    ):
        await journal.finish(claim, there)

    assert (await row(journal, "a")).state is (there if there in MOVES[here] else here)


async def test_an_ended_row_belongs_to_nobody(journal: Journal) -> None:
    claim = await brought_to(journal, "a", State.STORED)

    with pytest.raises(LeaseLost):
        await journal.release(claim, reason="x")
    assert not await journal.still_mine(claim)


async def test_only_an_end_finishes(journal: Journal) -> None:
    claim = await brought_to(journal, "a", State.SENDING)

    with pytest.raises(ValueError, match="no end"):
        await journal.finish(claim, State.PLANNED)


async def test_what_nobody_answered_can_be_asked_again_after_a_retry(journal: Journal) -> None:
    claim = await brought_to(journal, "a", State.COMMITTING)
    await journal.park(claim, "no answer")

    assert await journal.retry() == 1

    again = await taken(journal)
    assert (again.found, again.row.commit, again.row.attempts) == (State.PLANNED, "{}", 0)


async def test_what_was_answered_is_not_asked_again_after_a_retry(journal: Journal) -> None:
    """Nothing was stored, said the server: to look for it would find what others have put there."""
    claim = await brought_to(journal, "a", State.COMMITTING)
    await journal.park(claim, "refused", answered=True)

    assert await journal.retry() == 1

    assert (await taken(journal)).row.commit == ""


# --- reading


async def test_facts_come_back(journal: Journal) -> None:
    claim = await brought_to(journal, "a", State.COMMITTING)
    facts = Facts(document_id=1, version_id=2, crc32=0xFFFFFFFF, sha256="ab", sent=12, seconds=1.5)

    await journal.finish(claim, State.STORED, facts=facts)

    assert (await row(journal, "a")).facts == facts


async def test_rows_come_in_order_over_many_pages(journal: Journal) -> None:
    names = [f"{number:04d}" for number in range(1_203)]
    await journal.add([item(name, problem="" if number % 2 else "no") for number, name in enumerate(names)])

    assert [found.item.source.decode()[5:] async for found in journal.rows()] == names
    assert [found.item.source.decode()[5:] async for found in journal.rows([State.SKIPPED])] == names[::2]
    both = [found.state async for found in journal.rows([State.SKIPPED, State.PLANNED])]
    assert both == [State.SKIPPED] * 602 + [State.PLANNED] * 601


async def test_rows_that_ended_since_are_found_though_the_clock_was_set_back(journal: Journal, clock: Clock) -> None:
    """The ledger reads on from where it was."""
    read: list[bytes] = []
    last = -1.0
    for name, now in (("a", 1_000.0), ("b", 400.0), ("c", 400.0), ("d", 2_000.0)):
        clock.now = now
        await brought_to(journal, name, State.STORED)
        found = [one async for one in journal.rows([State.STORED], after=last)]
        read += [one.item.source for one in found]
        last = found[-1].due

    assert read == [b"/srv/a", b"/srv/b", b"/srv/c", b"/srv/d"]
    assert await journal.latest() == 2_000.0


async def test_only_what_was_to_be_sent_tells_when_it_ended(journal: Journal, clock: Clock) -> None:
    await journal.add([item("empty", problem="it is empty"), item("a"), item("b")])
    assert await journal.latest() is None
    (claim,) = await journal.claim("anna", 1, lease=60)
    await journal.finish(claim, State.FAILED, reason="gone")

    assert [one.ended async for one in journal.rows()] == [None, clock.now, None]


async def test_the_tally_is_kept(journal: Journal) -> None:
    await journal.add([item("a", size=3), item("b", size=4), item("c", problem="no")])
    assert (await journal.counts())[State.PLANNED] == Tally(2, 7)

    await journal.add([item("b", size=40)])
    await brought_to(journal, "d", State.SENDING)

    counts = await journal.counts()
    assert set(counts) == set(State)
    assert {state: tally for state, tally in counts.items() if tally.rows} == {
        State.PLANNED: Tally(2, 50),
        State.SENDING: Tally(1, 3),
        State.SKIPPED: Tally(1, 10),
    }


async def test_a_row_can_tell_its_life(journal: Journal, clock: Clock) -> None:
    await journal.add([Item(source=b"/srv/a", destination="/A/a", size=1, mtime_ns=1, line=4)])
    clock.now += 1
    claim = await taken(journal)
    await journal.note_handler(claim, "H-1")
    await journal.release(claim, reason="busy")
    await journal.add([Item(source=b"/srv/a", destination="/A/a", size=2, mtime_ns=1, line=4)])

    life = await journal.life(claim.row.id)

    assert [(deed.what, deed.detail) for deed in life] == [
        ("planned", "line 4"),
        ("claimed", "by anna, claim 1, found planned"),
        ("handler", "H-1"),
        ("planned", "busy"),
        ("planned", "it is another file now, or is to be stored otherwise"),
    ]
    assert [deed.at for deed in life] == [1_000, 1_001, 1_001, 1_001, 1_001]
    assert await journal.life(99) == []


async def test_facts_of_the_run_are_kept(path: Path) -> None:
    async with opened(path) as journal:
        await journal.note_run(server="https://a", user="demo")
        await journal.note_run(user="jsmith")
    async with opened(path) as journal:
        assert await journal.run() == {"server": "https://a", "user": "jsmith"}


# --- the thread


class Gate:
    """Holds the journal's thread after its first transaction, until it is opened. Counts the transactions."""

    def __init__(self) -> None:
        self.reached = threading.Event()
        self.open = threading.Event()
        self.written: list[str] = []

    def __call__(self, what: str) -> None:
        self.written.append(what)
        self.reached.set()
        self.open.wait()


@pytest.fixture
def gate() -> Iterator[Gate]:
    gate = Gate()
    yield gate
    gate.open.set()


async def asked(*deeds: "asyncio.Future[Any]") -> None:
    """Give the deeds their turn, so that the journal's thread has them in its list."""
    for _ in deeds:
        await asyncio.sleep(0)


async def test_writes_that_wait_share_a_transaction(path: Path, gate: Gate) -> None:
    async with opened(path, between_writes=gate) as journal:
        first = asyncio.ensure_future(journal.add([item("first")]))
        await asyncio.to_thread(gate.reached.wait)
        others = [asyncio.ensure_future(journal.add([item(str(number))])) for number in range(50)]
        await asked(*others)
        gate.open.set()
        await asyncio.gather(first, *others)

        assert gate.written == ["add", ", ".join(["add"] * 50)]
        assert (await journal.counts())[State.PLANNED].rows == 51


async def test_a_write_keeps_others_out_from_its_first_look_on(path: Path) -> None:
    """Fault 96: what it has seen and what it changes are the same rows."""
    told: list[str] = []

    def clock() -> float:
        with contextlib.closing(sqlite3.connect(path, timeout=0)) as other:
            try:
                other.execute("INSERT INTO run VALUES ('other', 'was here')")
                told.append("let in")
            except sqlite3.OperationalError as error:
                told.append(str(error))
        return 1_000.0

    async with Journal.open(path, clock=clock) as journal:
        await journal.claim("anna", 1, lease=60)

    assert told == ["database is locked"]


async def test_what_is_refused_takes_nothing_else_back(path: Path, gate: Gate) -> None:
    clock = Clock()
    async with opened(path, clock) as journal:
        old = await brought_to(journal, "a", State.SENDING)
        clock.now += 61
        new = await taken(journal, owner="bert")
    async with opened(path, clock, gate) as journal:
        first = asyncio.ensure_future(journal.add([item("b")]))
        await asyncio.to_thread(gate.reached.wait)
        lost = asyncio.ensure_future(journal.finish(old, State.UNCHANGED))
        kept = asyncio.ensure_future(journal.finish(new, State.UNCHANGED, reason="bert"))
        await asked(lost, kept)
        gate.open.set()
        await asyncio.gather(first, kept)

        with pytest.raises(LeaseLost):
            await lost
        assert len(gate.written) == 2
        assert (await row(journal, "a")).reason == "bert"


async def test_a_write_that_was_asked_for_happens_though_nobody_waits(path: Path, gate: Gate) -> None:
    async with opened(path, between_writes=gate) as journal:
        await asyncio.gather(asyncio.ensure_future(journal.add([item("a")])), asyncio.to_thread(gate.open.set))
        gate.open.clear()
        gate.reached.clear()
        held = asyncio.ensure_future(journal.add([item("b")]))
        await asyncio.to_thread(gate.reached.wait)
        dropped = asyncio.ensure_future(journal.add([item("c")]))
        await asked(dropped)
        dropped.cancel()
        gate.open.set()
        await held
        with pytest.raises(asyncio.CancelledError):
            await dropped

        assert (await row(journal, "c")).state is State.PLANNED


async def test_rows_whose_claim_nobody_received_can_be_claimed_at_once(path: Path, gate: Gate) -> None:
    async with opened(path, between_writes=gate) as journal:
        held = asyncio.ensure_future(journal.add([item("a")]))
        await asyncio.to_thread(gate.reached.wait)
        dropped = asyncio.ensure_future(journal.claim("anna", 1, lease=60))
        await asked(dropped)
        dropped.cancel()
        gate.open.set()
        await held
        with pytest.raises(asyncio.CancelledError):
            await dropped

        claim = await taken(journal, owner="bert")
        assert (claim.fence, claim.found) == (2, State.SENDING)


async def test_closing_writes_what_waits_and_ends_the_thread(path: Path) -> None:
    async with opened(path) as journal:
        waiting = asyncio.ensure_future(journal.add([item("a")]))
        await asked(waiting)
    assert (await waiting).new == 1
    assert "bulk-journal" not in {thread.name for thread in threading.enumerate()}
    with pytest.raises(JournalError, match="closed"):
        await journal.add([])


# --- the file


async def test_many_may_begin_a_journal_at_once(path: Path) -> None:
    async with contextlib.AsyncExitStack() as stack:
        journals = await asyncio.gather(*(stack.enter_async_context(opened(path)) for _ in range(8)))
        added = await asyncio.gather(*(journal.add([item("a")]) for journal in journals))

        assert sum(one.new for one in added) == 1
        assert {journal.notice for journal in journals} == {""}


async def test_a_damaged_journal_is_moved_aside(path: Path) -> None:
    """Fault 94: a journal that is lost costs time, not documents."""
    async with opened(path) as journal:
        await journal.add([item(str(number)) for number in range(100)])
    beside = path.with_name(f"{path.name}.lock")
    whole, told = path.read_bytes(), beside.read_bytes()
    for number, content in enumerate(damaged(path), 1):
        path.write_bytes(content)

        async with opened(path) as journal:
            kept = [file for file in path.parent.iterdir() if ".corrupt-" in file.name]
            assert len(kept) == number
            assert content in {file.read_bytes() for file in kept}
            assert any(file.name in journal.notice for file in kept)
            assert "what it knew of 100 files is lost" in journal.notice
            assert (await journal.add([item("a")])).new == 1

        path.write_bytes(whole)
        beside.write_bytes(told)
    async with opened(path) as journal:
        assert "was copied or restored" in journal.notice
        assert (await journal.counts())[State.PLANNED].rows == 100


async def test_the_log_beside_a_damaged_journal_goes_with_it(path: Path) -> None:
    """It stays while another process has the file open; a new file must not be mixed up with it."""
    async with opened(path) as journal:
        await journal.add([item(str(number)) for number in range(100)])
    async with opened(path) as other:
        await other.add([item("a")])
        log = path.with_name(path.name + "-wal").read_bytes()
        with path.open("r+b") as file:
            file.write(b"\xa5" * 4096)

        async with opened(path) as journal:
            assert log in {file.read_bytes() for file in path.parent.glob("*.corrupt-*-wal")}
            assert await journal.find(b"/srv/a") is None


async def test_a_newer_journal_is_left_alone(path: Path) -> None:
    async with opened(path):
        pass
    with contextlib.closing(sqlite3.connect(path)) as db:
        db.execute("PRAGMA user_version=99")
    before = path.read_bytes()

    with pytest.raises(JournalError, match="newer version"):
        async with opened(path):
            pass

    assert path.read_bytes() == before


async def test_another_programs_file_is_left_alone(path: Path) -> None:
    with contextlib.closing(sqlite3.connect(path)) as db:
        db.execute("CREATE TABLE recipes (name TEXT)")
    before = path.read_bytes()

    with pytest.raises(JournalError, match="another program"):
        async with opened(path):
            pass

    assert path.read_bytes() == before


async def test_a_folder_that_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(JournalError, match="cannot use the journal"):
        async with opened(tmp_path / "nowhere" / "load.journal"):
            pass


async def test_who_only_looks_makes_no_journal_and_moves_none(path: Path) -> None:
    with pytest.raises(JournalError, match="there is no journal"):
        async with Journal.open(path, existing=True):
            pass
    assert not path.exists()
    async with opened(path) as journal:
        await journal.add([item(str(number)) for number in range(100)])
    for broken in damaged(path):
        path.write_bytes(broken)
        with pytest.raises(JournalError):
            async with Journal.open(path, existing=True) as journal:
                await journal.counts()
        assert [one.name for one in path.parent.iterdir() if "corrupt" in one.name] == []


async def test_a_full_disk_stops_the_work_and_harms_nothing(path: Path) -> None:
    """Fault 95: bytes are never sent that cannot be recorded."""
    async with opened(path) as journal:
        claim = await brought_to(journal, "a", State.SENDING)
        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (8192, hard))
        try:
            with pytest.raises(JournalError, match="Nothing is sent that cannot be recorded: make room"):
                await journal.committing(claim, "{}", lease=60)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))

        assert (await row(journal, "a")).state is State.SENDING
        await journal.committing(claim, "{}", lease=60)
        assert (await row(journal, "a")).state is State.COMMITTING


@settings(max_examples=20, deadline=None)
@given(st.lists(st.tuples(st.text(max_size=8), st.binary(max_size=8)), max_size=5))
def test_any_text_and_any_path_can_be_recorded(
    tmp_path_factory: pytest.TempPathFactory, names: list[tuple[str, bytes]]
) -> None:
    async def record() -> None:
        async with opened(tmp_path_factory.mktemp("any") / "journal") as journal:
            await journal.add([Item(source=b, destination=a, size=1, mtime_ns=1, problem=a) for a, b in names])
            assert {found.item.source async for found in journal.rows()} == {source for _, source in names}

    asyncio.run(record())

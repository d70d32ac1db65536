"""The ledger: every stored document has one line, whatever happens to the loads that write it."""

import json
import os
import shutil
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from asyncupload import TargetUnwritable
from asyncupload.bulk import ledger as ledgers
from asyncupload.bulk import locking
from asyncupload.bulk.journal import Journal
from asyncupload.bulk.ledger import Entry, Ledger, LedgerError, read
from asyncupload.bulk.rows import Facts, Item, State
from bulk.files import item, opened
from bulk.stored import ended, stored

pytestmark = pytest.mark.anyio


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "stored.jsonl"


@pytest.fixture
async def journal(tmp_path: Path) -> AsyncIterator[Journal]:
    async with opened(tmp_path / "load.journal") as journal:
        await journal.note_run(server="https://dms/InfoRouter", user="anna")
        yield journal


def sources(path: Path) -> list[bytes]:
    return [entry.source for entry in read(path)]


async def test_a_line_tells_all_that_is_known(journal: Journal, path: Path) -> None:
    facts = Facts(document_id=7, version_id=1_000_000, crc32=0xAB, sha256="5e" * 32)
    file = Item(source=b"/srv/\xff", destination="/Archive/ä", size=10, mtime_ns=1)
    await ended(journal, file, State.STORED, facts=facts)

    assert await Ledger(path, journal).catch_up() == 1

    (entry,) = read(path)
    assert entry == Entry(
        source=b"/srv/\xff",
        destination="/Archive/ä",
        size=10,
        mtime_ns=1,
        crc32=0xAB,
        sha256="5e" * 32,
        document_id=7,
        version_id=1_000_000,
        stored_at="1970-01-01T00:16:40.000000+00:00",
        server="https://dms/InfoRouter",
        user="anna",
    )


async def test_only_what_was_stored_has_a_line(journal: Journal, path: Path) -> None:
    await ended(journal, item("same"), State.UNCHANGED)
    await ended(journal, item("bad"), State.FAILED, "refused")
    await ended(journal, item("a"), State.STORED)
    await journal.add([item("later")])

    await Ledger(path, journal).catch_up()

    assert sources(path) == [b"/srv/a"]
    (entry,) = read(path)
    assert entry.sha256 is None


async def test_what_is_written_is_not_written_again(
    journal: Journal, path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Under whatever name: relative, or moved."""
    await stored(journal, "a", item("a"))
    await Ledger(path, journal).catch_up()
    await stored(journal, "b", item("b"))
    monkeypatch.chdir(tmp_path)
    assert await Ledger(Path(path.name), journal).catch_up() == 1
    moved = path.rename(tmp_path / "moved.jsonl")
    await stored(journal, "c", item("c"))

    assert await Ledger(moved, journal).catch_up() == 1
    assert await Ledger(moved, journal).catch_up() == 0
    assert sources(moved) == [b"/srv/a", b"/srv/b", b"/srv/c"]


async def test_a_file_that_is_stored_again_has_another_line(journal: Journal, path: Path) -> None:
    await stored(journal, "a", item("a"))
    await Ledger(path, journal).catch_up()
    await stored(journal, "a", item("a", size=11), version=2_000_000)

    await Ledger(path, journal).catch_up()

    assert [(entry.size, entry.version_id) for entry in read(path)] == [(10, 1_000_000), (11, 2_000_000)]


@pytest.mark.parametrize("before", [b"", b'{"other": "ledgers line", "server": ""}\n'])
@pytest.mark.parametrize("torn", [0, 1, 40, 10_000])
async def test_a_run_that_died_while_writing_neither_loses_nor_doubles_a_line(
    tmp_path: Path, path: Path, monkeypatch: pytest.MonkeyPatch, torn: int, before: bytes
) -> None:
    """Its lines are there, the last ones perhaps not or in part, and the journal knows nothing of them yet."""
    monkeypatch.setattr(ledgers, "_AT_ONCE", 3)
    async with opened(tmp_path / "load.journal") as journal:
        for name in ("a", "b", "c", "d", "e"):
            await stored(journal, name, item(name))
    shutil.copy(tmp_path / "load.journal", tmp_path / "as.it.was")
    async with opened(tmp_path / "load.journal") as journal:
        await Ledger(path, journal).catch_up()
    whole = path.read_bytes()
    first_batch = before + b"".join(whole.splitlines(keepends=True)[:3])
    path.write_bytes(first_batch[: len(first_batch) - torn] if torn < 10_000 else b"")

    async with opened(tmp_path / "as.it.was") as journal:
        await journal.note_run(user="bert")
        await Ledger(path, journal).catch_up()

    found = [json.loads(line) for line in path.read_bytes().splitlines()]
    assert [line["source"] for line in found if "source" in line] == [f"/srv/{name}" for name in "abcde"]


async def test_two_loads_may_share_a_ledger(tmp_path: Path, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ledgers, "_AT_ONCE", 2)
    async with opened(tmp_path / "one") as one, opened(tmp_path / "two") as two:
        for number in range(5):
            await stored(one, f"a{number}", item(f"a{number}"))
            await stored(two, f"b{number}", item(f"b{number}"))
            if number % 2:
                await Ledger(path, one).catch_up()
            await Ledger(path, two).catch_up()
        await Ledger(path, one).catch_up()

    assert sorted(sources(path)) == [b"/srv/%s%d" % (name, number) for name in (b"a", b"b") for number in range(5)]


async def test_a_ledger_that_is_gone_or_emptied_is_begun_anew(journal: Journal, path: Path) -> None:
    await stored(journal, "a", item("a"))
    await Ledger(path, journal).catch_up()
    path.unlink()
    assert await Ledger(path, journal).catch_up() == 1
    path.write_bytes(b"")

    assert await Ledger(path, journal).catch_up() == 1
    assert sources(path) == [b"/srv/a"]


async def test_a_ledger_that_lost_lines_is_not_gone_on_with(journal: Journal, path: Path) -> None:
    for name in ("a", "b"):
        await stored(journal, name, item(name))
    await Ledger(path, journal).catch_up()
    path.write_bytes(path.read_bytes().splitlines(keepends=True)[0])
    await stored(journal, "c", item("c"))

    with pytest.raises(LedgerError, match="taken lines out"):
        await Ledger(path, journal).catch_up()


async def test_a_ledger_that_cannot_be_written_is_said_and_nothing_is_lost(journal: Journal, tmp_path: Path) -> None:
    await stored(journal, "a", item("a"))
    with pytest.raises(TargetUnwritable, match="nowhere"):
        await Ledger(tmp_path / "nowhere" / "stored.jsonl", journal).catch_up()

    assert await Ledger(tmp_path / "stored.jsonl", journal).catch_up() == 1


async def test_who_writes_waits_for_the_other_one_but_not_for_ever(
    journal: Journal, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(locking, "PATIENCE", 0.0)
    await stored(journal, "a", item("a"))
    async with locking.locked(path):
        with pytest.raises(TargetUnwritable):
            await Ledger(path, journal).catch_up()
    assert not path.exists()

    assert await Ledger(path, journal).catch_up() == 1


GOOD = {
    "source": "/srv/a",
    "destination": "/Archive/a",
    "size": 1,
    "mtime_ns": 1,
    "crc32": "000000AB",
    "sha256": None,
    "document_id": 1,
    "version_id": 1_000_000,
    "stored_at": "2026-03-01T00:00:00.000000+00:00",
    "server": "",
    "user": "",
}


@pytest.mark.parametrize(
    "bad",
    [
        b"\n",
        b"\xff\n",
        b"[]\n",
        b'{"source": "/srv/a"}\n',
        json.dumps({**GOOD, "size": "1"}).encode() + b"\n",
        json.dumps({**GOOD, "size": True}).encode() + b"\n",
        json.dumps({**GOOD, "crc32": "xyz"}).encode() + b"\n",
        json.dumps({**GOOD, "stored_at": "yesterday"}).encode() + b"\n",
        b"[" * 100_000 + b"\n",
        json.dumps(GOOD).encode(),
    ],
)
def test_a_line_that_is_none_is_told_by_its_number(path: Path, bad: bytes) -> None:
    path.write_bytes(json.dumps(GOOD).encode() + b"\n" + bad)
    found = read(path)

    assert next(found).crc32 == 0xAB
    with pytest.raises(LedgerError, match="line 2: "):
        next(found)


def test_a_ledger_that_is_not_there_is_said(path: Path) -> None:
    with pytest.raises(LedgerError, match="cannot be read"):
        list(read(path))


def test_what_a_later_version_adds_to_a_line_is_passed_over(path: Path) -> None:
    path.write_text(json.dumps({**GOOD, "weight": 3}) + "\n")
    (entry,) = read(path)

    assert replace(entry, source=os.fsencode("/x")).destination == "/Archive/a"

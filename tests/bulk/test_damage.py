"""A journal that has missed something: a part of what ``make damage`` plays, and how it is found out.

A seed that goes wrong is printed, and played again by ``python tests/damage.py --seed N``.
"""

import os
import random
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import damage
import pytest

import asyncupload
from asyncupload.bulk.journal import Journal
from asyncupload.bulk.rows import State
from asyncupload.errors import JournalError
from bulk.files import item, opened, row

pytestmark = pytest.mark.anyio

KINDS = ("all of before", "log noise", "rows reset", "noisy pages", "all but the lock deleted")
STOP = {"rows reset": signal.SIGTERM}


@pytest.mark.timeout(300)
async def test_whatever_the_damage_every_content_is_stored_once() -> None:
    plays = [
        damage.Play(number, kind, "version", STOP.get(kind, signal.SIGKILL), 0) for number, kind in enumerate(KINDS)
    ]

    played = await damage.damage(plays)

    assert not [play for play in played if play.wrong], "\n".join(map(str, played))


@pytest.fixture
def killed(tmp_path: Path) -> Path:
    """A journal whose process was killed when it had stored one of two files. Its files as they were before that are in
    the folder ``before``."""
    path = tmp_path / "load.journal"
    worker = [sys.executable, str(Path(__file__).with_name("worker.py")), "leave", str(path)]
    home = str(Path(asyncupload.__file__).parents[1])
    assert subprocess.run(worker, env={**os.environ, "PYTHONPATH": home}, check=False).returncode == -signal.SIGKILL
    return path


async def store(journal: Journal) -> None:
    (claim,) = await journal.claim("loader", 1, lease=60)
    await journal.committing(claim, "{}", lease=60)
    await journal.finish(claim, State.STORED)


def scene(path: Path) -> damage.Scene:
    return damage.Scene(path, path.with_name("before"), random.Random(0))


def cut_log(path: Path) -> None:
    log = path.with_name(f"{path.name}-wal")
    os.truncate(log, log.stat().st_size - 100)  # in the last page of the last transaction


async def test_a_journal_whose_process_was_killed_has_missed_nothing(killed: Path) -> None:
    async with opened(killed) as journal:
        assert journal.notice == ""
        assert [one.state async for one in journal.rows() if one.doubtful] == []


HURT: dict[str, tuple[Callable[[Path], object], str]] = {
    "all put back in place": (lambda path: scene(path).restore("", "-wal", "-shm"), "is an earlier state of itself"),
    "all put back, and the lock": (
        lambda path: damage.KINDS["all of before and its lock"](scene(path)),
        "was copied or restored since",
    ),
    "log put back in place": (lambda path: scene(path).restore("-wal"), "is an earlier state of itself"),
    "log cut": (cut_log, "is an earlier state of itself"),
    "log lost": (lambda path: scene(path).of("-wal").unlink(), "is not the one that was last worked with"),
    "lock lost": (lambda path: scene(path).of(".lock").unlink(), "is not the one that was last worked with"),
}


@pytest.mark.parametrize("case", HURT)
async def test_what_it_has_missed_is_found_out(case: str, killed: Path) -> None:
    """The files are the same ones, and nothing in them is wrong: what was noted beside them tells."""
    hurt, told = HURT[case]
    hurt(killed)
    async with opened(killed) as journal:
        assert told in journal.notice
        assert "each file is compared with the destination before it is sent" in journal.notice
        await journal.add([item("a")])
        assert (await row(journal, "a")).doubtful


@pytest.mark.parametrize("statement", ["DELETE FROM rows WHERE state = 'stored'", "UPDATE rows SET state = 'planned'"])
async def test_what_somebody_changed_by_hand_is_found_out(statement: str, tmp_path: Path) -> None:
    async with opened(tmp_path / "load.journal") as journal:
        await journal.add([item("a"), item("b")])
        await store(journal)
    scene(tmp_path / "load.journal").change(statement)

    async with opened(tmp_path / "load.journal") as journal:
        assert "was changed by another program" in journal.notice


async def test_rows_that_do_not_add_up_are_damage(tmp_path: Path) -> None:
    """As of pages of two times that fit each other."""
    path = tmp_path / "load.journal"
    async with opened(path) as journal:
        await journal.add([item("a"), item("b")])
    scene(path).change("UPDATE tally SET rows = 3 WHERE state = 'planned'")

    async with opened(path) as journal:
        assert "it has other rows than it has counted" in journal.notice
        assert "moved to load.journal.corrupt-" in journal.notice


async def test_an_earlier_state_that_is_put_under_its_hands_ends_the_work(tmp_path: Path) -> None:
    """What it had stored by then it would store again."""
    path = tmp_path / "load.journal"
    async with opened(path) as journal:
        await journal.add([item("a"), item("b")])
        with closing(sqlite3.connect(path)) as db:  # as if its pages had been put back
            db.execute("UPDATE run SET value = 1 WHERE fact = 'changes'")
            db.commit()
        with pytest.raises(JournalError, match="went back to an earlier state"):
            await journal.claim("loader", 1, lease=60)

    async with opened(path) as journal:
        assert "went back to an earlier state while it was worked with and moved to" in journal.notice

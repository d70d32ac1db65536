"""Leases that a wrong clock gave, and owners that have ended: nobody's rows wait for years."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import anyio.to_thread
import pytest

from asyncupload import UsageError
from asyncupload.bulk import owners
from asyncupload.bulk.journal import Journal
from asyncupload.bulk.options import LoadOptions
from asyncupload.bulk.owners import LONGEST_LEASE, age, is_gone, moment, ourselves
from asyncupload.bulk.rows import State

from .files import Clock, item, opened, row

pytestmark = pytest.mark.anyio

YEARS = 5 * 365 * 86_400.0

linux = pytest.mark.skipif(not owners.BOOT, reason="this system does not name its starts")

CLAIMS = """
import asyncio, sys, time
from pathlib import Path
from asyncupload.bulk.journal import Journal
from asyncupload.bulk.owners import ourselves

async def main():
    ahead = float(sys.argv[2])
    async with Journal.open(Path(sys.argv[1]), clock=lambda: time.time() + ahead) as journal:
        claims = await journal.claim(ourselves(), 10, lease=60)
        if sys.argv[3] == "commits":
            await journal.committing(claims[0], "{}", lease=60)
        print(claims[0].owner, flush=True)
        time.sleep(60)

asyncio.run(main())
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "load.journal"


@contextmanager
def claiming(path: Path, ahead: float = 0, deed: str = "") -> Iterator[tuple[subprocess.Popen[str], str]]:
    """A process that claims all rows, with its clock so many seconds ahead, and its name."""
    with subprocess.Popen(
        [sys.executable, "-c", CLAIMS, str(path), str(ahead), deed], stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            yield process, (process.stdout or sys.stdin).readline().strip()
        finally:
            process.kill()


# ── the clock ───────────────────────────────────────────────────────────────────────────────────────────────────────


@linux
@pytest.mark.parametrize("deed", ["", "commits"])
async def test_rows_of_a_load_that_was_killed_while_the_clock_was_years_ahead_are_claimed(
    path: Path, deed: str
) -> None:
    """moxystudio/node-proper-lockfile#109."""
    async with Journal.open(path) as journal:
        await journal.add([item("a"), item("b")])
    with claiming(path, YEARS, deed) as (_, owner):
        assert owner
    async with Journal.open(path) as journal:
        due = await journal.due()
        assert due is not None
        assert due <= time.time()
        claims = await journal.claim("next", 10, lease=60)
        assert {claim.row.item.source for claim in claims} == {b"/srv/a", b"/srv/b"}
        assert any(deed.what == "let go" for deed in await journal.life(1))


async def test_a_lease_longer_than_the_longest_is_none(path: Path) -> None:
    clock = Clock()
    async with opened(path, clock) as journal:
        await journal.add([item("a")])
        clock.now += YEARS
        await journal.claim("elsewhere", 1, lease=60)
        clock.now -= YEARS
        assert await journal.due() == clock.now
        (claim,) = await journal.claim("here", 1, lease=60)
        assert claim.found is State.SENDING


async def test_the_longest_lease_is_kept(path: Path) -> None:
    clock = Clock()
    async with opened(path, clock) as journal:
        await journal.add([item("a")])
        await journal.claim("elsewhere", 1, lease=LONGEST_LEASE)
        assert await journal.claim("here", 1, lease=60) == []
        assert await journal.due() == clock.now + LONGEST_LEASE


async def test_a_row_that_was_put_off_by_a_clock_that_was_ahead_is_claimed(path: Path) -> None:
    clock = Clock()
    async with opened(path, clock) as journal:
        await journal.add([item("a")])
        (claim,) = await journal.claim("loader", 1, lease=60)
        await journal.release(claim, reason="busy", not_before=clock.now + YEARS)
        assert (await row(journal, "a")).due > clock.now + YEARS - 1
        assert len(await journal.claim("loader", 1, lease=60)) == 1


async def test_a_row_that_waits_for_its_turn_goes_on_waiting(path: Path) -> None:
    clock = Clock()
    async with opened(path, clock) as journal:
        await journal.add([item("a")])
        (claim,) = await journal.claim("loader", 1, lease=60)
        await journal.release(claim, reason="busy", not_before=clock.now + 3600)
        assert await journal.claim("loader", 1, lease=60) == []
        assert await journal.due() == clock.now + 3600


def test_no_load_may_ask_for_a_longer_lease() -> None:
    with pytest.raises(UsageError, match="a day"):
        LoadOptions(lease=LONGEST_LEASE + 1)


@linux
def test_how_long_ago_something_was_is_measured_by_the_machine_and_not_by_its_wall_clock() -> None:
    facts = moment()
    for wrong in (-YEARS, YEARS):
        measured = age({**facts, "at": time.time() + wrong})
        assert measured is not None
        assert 0 <= measured < 60


def test_after_another_start_the_wall_clock_is_all_there_is_and_the_future_is_unknown() -> None:
    """borgbackup/borg#10077."""
    facts: dict[str, object] = {"boot": "another", "up": 1.0}
    measured = age({**facts, "at": time.time() - 100})
    assert measured is not None
    assert measured >= 100
    assert age({**facts, "at": time.time() + YEARS}) is None
    assert age({}) is None


# ── the owner ───────────────────────────────────────────────────────────────────────────────────────────────────────


async def _seen_gone(owner: str) -> bool:
    return await anyio.to_thread.run_sync(is_gone, owner)


@linux
async def test_a_killed_owner_of_this_machine_is_not_waited_for(path: Path) -> None:
    """borgbackup/borg#2101, restic/restic#4262. Also while nobody has fetched its exit code."""
    async with Journal.open(path) as journal:
        await journal.add([item("a")])
    with claiming(path) as (process, owner):
        async with Journal.open(path) as journal:
            assert not await _seen_gone(owner)
            assert await journal.claim("next", 1, lease=60) == []
            process.kill()
            await anyio.to_thread.run_sync(os.waitid, os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
            assert await _seen_gone(owner)
            assert len(await journal.claim("next", 1, lease=60)) == 1
    assert await _seen_gone(owner)


@linux
async def test_a_stopped_owner_has_its_lease(path: Path) -> None:
    async with Journal.open(path) as journal:
        await journal.add([item("a")])
    with claiming(path) as (process, owner):
        process.send_signal(signal.SIGSTOP)
        async with Journal.open(path) as journal:
            assert not await _seen_gone(owner)
            assert await journal.claim("next", 1, lease=60) == []


@linux
def test_what_is_known_of_an_owner() -> None:
    us = ourselves()
    host, pid, token, mark = us.rsplit(" ", 3)
    boot, namespace, start = mark.split("/")
    assert not is_gone(us)
    assert ourselves() != us, "two loads in one process are two owners"
    assert is_gone(f"{host} {pid} {token} {boot}/{namespace}/1"), "the number is another process's by now"
    assert is_gone(f"{host} {pid} {token} another/{namespace}/{start}"), "the machine was started anew"
    assert not is_gone(f"elsewhere {pid} {token} another/{namespace}/{start}"), "another machine's"
    assert not is_gone(f"{host} 4194304 {token} {boot}/[1]/{start}"), "another container's, which nobody sees"
    assert is_gone(f"{host} 4194304 {token} {boot}/{namespace}/{start}")
    for unknown in ("", "loader", f"{host} {pid} {token}", f"{host} {pid} {token} -"):
        assert not is_gone(unknown)

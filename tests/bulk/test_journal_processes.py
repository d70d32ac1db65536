"""The journal among real processes: two that share it, one that is frozen, and many that are killed."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

import asyncupload
from asyncupload.bulk.journal import Journal
from asyncupload.bulk.rows import Row, State
from bulk.files import Clock, opened

pytestmark = pytest.mark.anyio

WORKER = Path(__file__).with_name("worker.py")

Start = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def start() -> Iterator[Start]:
    """Start a worker. It ends with the test."""
    home = Path(asyncupload.__file__).parents[1]
    with ExitStack() as stack:

        def started(*arguments: object) -> "subprocess.Popen[str]":
            process = subprocess.Popen(
                [sys.executable, str(WORKER), *map(str, arguments)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
                bufsize=1,
                env={**os.environ, "PYTHONPATH": str(home)},
            )
            stack.enter_context(process)
            stack.callback(process.kill)
            return process

        yield started


def tell(process: "subprocess.Popen[str]") -> None:
    assert process.stdin is not None
    process.stdin.write("go on\n")
    process.stdin.flush()


def heard(process: "subprocess.Popen[str]") -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


async def test_two_processes_plan_and_send_each_file_once(start: Start, tmp_path: Path) -> None:
    """Fault 96. They begin at the same time, on a journal that is not there yet."""
    path = tmp_path / "journal"
    workers = [start("share", path, name) for name in ("anna", "bert")]
    for worker in workers:
        tell(worker)

    new = [int(heard(worker).split()[1]) for worker in workers]
    for worker in workers:
        tell(worker)
    claimed = [[int(word) for word in worker.communicate()[0].split() if word.isdigit()] for worker in workers]

    assert sum(new) == 120
    assert sorted(claimed[0] + claimed[1]) == list(range(1, 121))
    async with opened(path) as journal:
        rows = [row async for row in journal.rows()]
        assert {row.state for row in rows} == {State.STORED}
        assert {row.fence for row in rows} == {1}
        assert [{row.id for row in rows if row.reason == name} for name in ("anna", "bert")] == [
            set(claimed[0]),
            set(claimed[1]),
        ]


async def test_a_process_that_was_frozen_past_its_lease_makes_no_document(start: Start, tmp_path: Path) -> None:
    """Fault 97: seen elsewhere, a job that was done twice and logged once."""
    path = tmp_path / "journal"
    worker = start("freeze", path, "anna")
    assert heard(worker) == "claimed"
    worker.send_signal(signal.SIGSTOP)
    clock = Clock()
    clock.now = time.time() + 1_000

    async with opened(path, clock) as journal:
        (claim,) = await journal.claim("bert", 1, lease=60)
        assert claim.found is State.SENDING
        worker.send_signal(signal.SIGCONT)
        tell(worker)

        assert [heard(worker), heard(worker)] == ["lost", "lost"]
        await journal.committing(claim, "{}", lease=60)
        await journal.finish(claim, State.STORED)


async def test_a_process_that_is_killed_leaves_all_that_it_had_written(start: Start, tmp_path: Path) -> None:
    """Fault 81, after each write of a file's way."""
    said = start("die", tmp_path).communicate()[0].splitlines()
    killed = [line for line in said if line.endswith(f" {int(signal.SIGKILL)}")]
    assert len(killed) == len(LEFT)
    assert said[-1].endswith(" 0")

    for number, expected in enumerate(LEFT, 1):
        clock = Clock()
        clock.now = time.time() + 1_000
        async with opened(tmp_path / str(number), clock) as journal:
            assert journal.notice == ""
            rows = [row async for row in journal.rows()]
            assert (seen(rows[0]), rows[1].state) == expected, f"after {number} writes"
            assert await found_by_the_next(journal) == [
                state
                for state in (State.COMMITTING, State.SENDING, State.PLANNED)
                for row in rows
                if row.state is state
            ]


def seen(row: Row) -> tuple[State, str, bool, str]:
    return row.state, row.handler, row.checked_out, row.commit


async def found_by_the_next(journal: Journal) -> list[State]:
    return [claim.found for claim in await journal.claim("next", 9, lease=60)]


ASKED = '{"asked": 1}'

LEFT = [
    ((State.PLANNED, "", False, ""), State.PLANNED),
    ((State.SENDING, "", False, ""), State.SENDING),
    ((State.SENDING, "H-1", False, ""), State.SENDING),
    ((State.SENDING, "H-1", True, ""), State.SENDING),
    ((State.COMMITTING, "H-1", True, ASKED), State.SENDING),
    ((State.COMMITTING, "H-1", False, ASKED), State.SENDING),
    ((State.STORED, "", False, ""), State.SENDING),
    ((State.STORED, "", False, ""), State.PLANNED),
    ((State.STORED, "", False, ""), State.PLANNED),
]
"""What the two rows of ``worker.steps`` are after each of its writes."""

"""A process of its own at a journal: ``python worker.py DEED JOURNAL [NAME]``. It says what it does line by line, and
waits for a line before it goes on. ``tests/bulk/test_journal_processes.py`` runs it."""

import asyncio
import os
import shutil
import signal
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

from asyncupload.bulk.journal import Journal
from asyncupload.bulk.rows import Item, State
from asyncupload.errors import LeaseLost

LEASE = 60.0


def say(*words: object) -> None:
    print(*words, flush=True)


def wait() -> None:
    sys.stdin.readline()


def items(count: int) -> list[Item]:
    return [
        Item(source=b"/srv/%d" % number, destination=f"/Archive/{number}", size=1, mtime_ns=1)
        for number in range(count)
    ]


async def share(path: Path, name: str) -> None:
    """Plan the same as all others, then send what nobody else sends."""
    wait()
    async with Journal.open(path) as journal:
        added = [await journal.add(items(120)[first : first + 10]) for first in range(0, 120, 10)]
        say("new", sum(one.new for one in added))
        claims = await journal.claim(name, 3, lease=LEASE)
        wait()
        while claims:
            say("claimed", *(claim.row.id for claim in claims))
            for claim in claims:
                await journal.committing(claim, "{}", lease=LEASE)
                await journal.finish(claim, State.STORED, reason=name)
            claims = await journal.claim(name, 3, lease=LEASE)


async def freeze(path: Path, name: str) -> None:
    """Claim a row, be stopped, and go on as if nothing had happened."""
    async with Journal.open(path) as journal:
        await journal.add(items(1))
        (claim,) = await journal.claim(name, 1, lease=LEASE)
        say("claimed")
        wait()
        await attempt(journal.committing(claim, "{}", lease=LEASE))
        await attempt(journal.finish(claim, State.UNCHANGED))


async def attempt(deed: Awaitable[None]) -> None:
    try:
        await deed
        say("done")
    except LeaseLost:
        say("lost")


async def steps(path: Path, between_writes: Callable[[str], None]) -> None:
    """Send one file, with everything that is written down on the way."""
    async with Journal.open(path, between_writes=between_writes) as journal:
        await journal.add(items(2))
        claim, other = await journal.claim("worker", 2, lease=LEASE)
        await journal.note_handler(claim, "H-1")
        await journal.note_checkout(claim, held=True)
        await journal.committing(claim, '{"asked": 1}', lease=LEASE)
        await journal.note_checkout(claim, held=False)
        await journal.finish(claim, State.STORED)
        await journal.release(other, reason="busy", counted=True)
        await journal.retry()


async def leave(path: Path) -> None:
    """Send one of two files, keep the journal's files as they were before in the folder ``before``, and die."""
    async with Journal.open(path) as journal:
        await journal.add(items(2))
        (path.parent / "before").mkdir()
        for file in path.parent.glob(f"{path.name}*"):
            shutil.copy(file, path.parent / "before")
        (claim,) = await journal.claim("worker", 1, lease=LEASE)
        await journal.committing(claim, "{}", lease=LEASE)
        await journal.finish(claim, State.STORED)
        os.kill(os.getpid(), signal.SIGKILL)


def die(folder: Path) -> None:
    """For each number of writes, a process that is killed right after that many. Forked: a start takes long."""
    number, killed = 1, True
    while killed:
        child = os.fork()
        if child == 0:
            asyncio.run(steps(folder / str(number), _killer(number)))
            os._exit(0)
        _, status = os.waitpid(child, 0)
        killed = os.WIFSIGNALED(status)
        say(number, status)
        number += 1


def _killer(number: int) -> Callable[[str], None]:
    left = number

    def between_writes(what: str) -> None:
        nonlocal left
        left -= 1
        if not left:
            os.kill(os.getpid(), signal.SIGKILL)
            time.sleep(60)

    return between_writes


def main() -> None:
    deed, path, *name = sys.argv[1:]
    match deed:
        case "die":
            die(Path(path))
        case "leave":
            asyncio.run(leave(Path(path)))
        case "share":
            asyncio.run(share(Path(path), *name))
        case "freeze":
            asyncio.run(freeze(Path(path), *name))


if __name__ == "__main__":
    main()

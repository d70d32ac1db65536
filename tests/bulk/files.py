"""What the journal's tests plan: files that nobody opens."""

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path

from asyncupload.bulk.journal import Journal
from asyncupload.bulk.rows import Item, Row


def item(name: str, to: str = "", *, size: int = 10, problem: str = "", fatal: bool = False) -> Item:
    """A file of that name, for a destination of the same name."""
    return Item(
        source=f"/srv/{name}".encode(),
        destination=to or f"/Archive/{name}",
        size=size,
        mtime_ns=1,
        problem=problem,
        fatal=fatal,
    )


class Clock:
    """A wall clock that a test sets."""

    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now


def opened(
    path: Path, clock: Clock | None = None, between_writes: Callable[[str], None] | None = None
) -> "contextlib.AbstractAsyncContextManager[Journal]":
    """The journal of a test."""
    return Journal.open(path, clock=clock or Clock(), between_writes=between_writes)


async def row(journal: Journal, name: str) -> Row:
    """The row of a file that was planned."""
    found = await journal.find(f"/srv/{name}".encode())
    assert found is not None
    return found


def damaged(path: Path) -> Iterator[bytes]:
    """Each kind of damage that is tried: a head that is no longer SQLite's, and pages full of something else."""
    whole = path.read_bytes()
    yield b"\0" * 4096 + whole[4096:]
    yield whole[:4096] + b"\xa5" * (len(whole) - 4096)

"""What the commands about journals share: opening one only to look, and the words for what is in it."""

from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar

from asyncupload.bulk.journal import Journal
from asyncupload.bulk.queue import Tally
from asyncupload.bulk.rows import State

from .running import run

T = TypeVar("T")


def looked_at(path: Path, look: Callable[[Journal], Awaitable[T]]) -> T:
    """What ``look`` finds in a journal that exists.

    Raises:
        JournalError: It does not, or cannot be read.
        Interrupted: A signal came.
    """

    async def work() -> T:
        async with Journal.open(path, existing=True) as journal:
            return await look(journal)

    return run(work)


def local_time(seconds: float) -> str:
    """As the clock on the wall showed it, with its distance from UTC."""
    try:
        return datetime.fromtimestamp(seconds, UTC).astimezone().isoformat(sep=" ", timespec="seconds")
    except (OverflowError, ValueError, OSError):  # of a clock that was far off
        return f"{seconds:.0f} s since 1970"


def numbers(counts: Mapping[State, Tally]) -> dict[str, int]:
    """Rows by state."""
    return {str(state): counts[state].rows for state in State}


def in_words(found: Mapping[str, int]) -> str:
    """Rows by state, for people: ``3 planned, 1,200 stored``."""
    return ", ".join(f"{count:,} {name}" for name, count in found.items() if count) or "no rows"

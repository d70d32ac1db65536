"""Runs a plan in threads, some rows at a time: disks and network shares make whoever looks at them wait."""

import asyncio
from collections.abc import AsyncGenerator, Generator
from concurrent.futures import Executor
from contextlib import suppress
from itertools import islice
from typing import TypeAlias

import anyio

from asyncupload._shield import undisturbed
from asyncupload.errors import SourceError

from .rows import Item

BATCH = 500
"""Steps of one visit to a thread."""

GRACE = 10.0
"""Seconds that a cancelled plan waits for the visit under way."""

LEAST_PAUSE = 0.1
"""Seconds until a source in trouble is looked at again by who does not wait longer."""


class Pause(list[Item]):
    """An empty batch of a plan: its source is in trouble, and the same step is made again when the next one is asked
    for. Whoever takes it waits a while, or gives the plan up.

    Args:
        error: What was seen.
        last: Whether no step is made again: the source is empty, which may be the truth, or a mount point without its
            mount.
    """

    def __init__(self, error: SourceError, *, last: bool = False) -> None:
        super().__init__()
        self.error = error
        self.last = last


Steps: TypeAlias = Generator[Item | Pause | None, None, None]
"""A plan at work: a row, or None for a step that made none. Between two steps it can be stopped."""


async def batches(steps: Steps, threads: Executor) -> AsyncGenerator[list[Item], None]:
    """The rows of a plan, at most `BATCH` at a time and none only as a `Pause`. The next ones are made when they are
    asked for.

    Args:
        steps: Runs in ``threads`` only, and is closed on every way out.
        threads: The caller's.

    On cancellation: the visit under way ends first, for up to `GRACE` seconds, and its rows are dropped.
    """

    async def visit() -> list[Item | Pause | None]:
        return await asyncio.get_running_loop().run_in_executor(threads, _taken, steps)

    try:
        while taken := await undisturbed(visit(), grace=GRACE):
            if items := [item for item in taken if isinstance(item, Item)]:
                yield items
            if isinstance(pause := taken[-1], Pause):
                yield pause
                await anyio.sleep(0 if pause.last else LEAST_PAUSE)
    finally:
        with suppress(ValueError):  # a visit that outlived its grace: it ends by itself and is then forgotten
            steps.close()


def _taken(steps: Steps) -> list[Item | Pause | None]:
    taken = list[Item | Pause | None]()
    for step in islice(steps, BATCH):
        taken.append(step)
        if isinstance(step, Pause):
            break
    return taken

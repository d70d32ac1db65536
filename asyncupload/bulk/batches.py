"""Runs a plan in threads, some rows at a time: disks and network shares make whoever looks at them wait."""

import asyncio
from collections.abc import AsyncGenerator, Generator
from concurrent.futures import Executor
from contextlib import suppress
from itertools import islice
from typing import TypeAlias

from asyncupload._shield import undisturbed

from .rows import Item

BATCH = 500
"""Steps of one visit to a thread."""

GRACE = 10.0
"""Seconds that a cancelled plan waits for the visit under way."""

Steps: TypeAlias = Generator[Item | None, None, None]
"""A plan at work: a row, or None for a step that made none. Between two steps it can be stopped."""


async def batches(steps: Steps, threads: Executor) -> AsyncGenerator[list[Item], None]:
    """The rows of a plan, at most `BATCH` at a time and never none. The next ones are made when they are asked for.

    Args:
        steps: Runs in ``threads`` only, and is closed on every way out.
        threads: The caller's.

    On cancellation: the visit under way ends first, for up to `GRACE` seconds, and its rows are dropped.
    """

    async def visit() -> list[Item | None]:
        return await asyncio.get_running_loop().run_in_executor(threads, _taken, steps)

    try:
        while taken := await undisturbed(visit(), grace=GRACE):
            if items := [item for item in taken if item is not None]:
                yield items
    finally:
        with suppress(ValueError):  # a visit that outlived its grace: it ends by itself and is then forgotten
            steps.close()


def _taken(steps: Steps) -> list[Item | None]:
    return list(islice(steps, BATCH))

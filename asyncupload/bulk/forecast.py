"""What a run would do with each file, found out without sending any of it."""

import os
from collections.abc import AsyncIterator
from dataclasses import dataclass

import anyio

from asyncupload.client import Client
from asyncupload.errors import AsyncUploadError
from asyncupload.sources import PathSource

from .options import LoadOptions
from .queue import Queue
from .rows import Row, State

AT_ONCE = 8
"""Files that are looked at side by side."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Forecast:
    """One file's fate."""

    row: Row
    fate: str
    """``new``, ``version``, ``unchanged``, ``skipped`` or ``failed``."""
    reason: str = ""


async def forecasts(client: Client, queue: Queue, options: LoadOptions) -> AsyncIterator[Forecast]:
    """The fate of every row of the queue, in the order of the plan. Files that stand on the server are read through.

    Args:
        client: The server's, entered.
        queue: Planned, and not to be worked on meanwhile.
        options: As for the run.
    """
    batch: list[Row] = []
    async for row in queue.rows():
        batch.append(row)
        if len(batch) == AT_ONCE:
            for forecast in await _looked_at(client, batch, options):
                yield forecast
            batch = []
    for forecast in await _looked_at(client, batch, options):
        yield forecast


async def _looked_at(client: Client, rows: list[Row], options: LoadOptions) -> list[Forecast]:
    found: dict[int, Forecast] = {}

    async def look(row: Row) -> None:
        found[row.id] = await _forecast(client, row, options)

    async with anyio.create_task_group() as looking:
        for row in rows:
            looking.start_soon(look, row)
    return [found[row.id] for row in rows]


async def _forecast(client: Client, row: Row, options: LoadOptions) -> Forecast:
    if row.state in {State.SKIPPED, State.FAILED}:
        return Forecast(row=row, fate=str(row.state), reason=row.reason)
    try:
        fate = await client.preview(
            PathSource(os.fsdecode(row.item.source)), to=row.item.destination, if_exists=options.if_exists
        )
    except AsyncUploadError as error:
        return Forecast(row=row, fate="failed", reason=f"{type(error).__name__}: {error}")
    return Forecast(row=row, fate=fate)

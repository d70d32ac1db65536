"""What a run would do with each file, found out without sending any of it."""

import os
from collections.abc import AsyncIterator
from dataclasses import dataclass

import anyio

from asyncupload._raised import raise_kept
from asyncupload.checkpoints import NoCheckpoints
from asyncupload.client import Client
from asyncupload.errors import AsyncUploadError
from asyncupload.sources import PathSource

from .options import LoadOptions
from .queue import Queue
from .rows import ENDED, Row, State
from .verdict import Verdict, verdict

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

    Raises:
        AsyncUploadError: The server cannot be asked any more, or asks for another login.
        JournalError: The queue cannot be read.
    """
    prophet = _Prophet(client, options)
    batch: list[Row] = []
    async for row in queue.rows():
        batch.append(row)
        if len(batch) == AT_ONCE:
            for forecast in await prophet.look_at(batch):
                yield forecast
            batch = []
    for forecast in await prophet.look_at(batch):
        yield forecast


@dataclass(frozen=True)
class _Seen(NoCheckpoints):
    """What an earlier owner of a row wrote down."""

    checked_out_before: bool


class _Prophet:
    """Looks at files, and at each library once."""

    def __init__(self, client: Client, options: LoadOptions) -> None:
        self._client = client
        self._options = options
        self._libraries = dict[str, str]()
        """Why nothing can be stored in it; empty if it can."""

    async def look_at(self, rows: list[Row]) -> list[Forecast]:
        found: dict[int, Forecast | AsyncUploadError] = {}

        async def look(row: Row) -> None:
            try:
                found[row.id] = await self._fate(row)
            except AsyncUploadError as error:  # out of the task group it would come wrapped
                found[row.id] = error

        for name in {_library(row) for row in rows if row.state not in ENDED} - self._libraries.keys():
            there = await self._client.folder_exists(name)
            # Folders are made where they are missing, libraries are not.
            self._libraries[name] = "" if there else f"there is no library {name}, or it is not visible to this user"
        async with anyio.create_task_group() as looking:
            for row in rows:
                looking.start_soon(look, row)
        return [_good(found[row.id]) for row in rows]

    async def _fate(self, row: Row) -> Forecast:
        if row.state in ENDED:
            return _ended(row)
        if why := self._libraries[_library(row)]:
            return Forecast(row=row, fate="failed", reason=why)
        source = PathSource(os.fsdecode(row.item.source))
        try:
            fate = await self._client.preview(
                source,
                to=row.item.destination,
                if_exists=self._options.if_exists_for(row),
                checkpoints=_Seen(checked_out_before=row.checked_out),
            )
        except AsyncUploadError as error:
            match verdict(error):
                case Verdict.STOP | Verdict.TROUBLE:
                    raise
                case Verdict.SKIP:
                    return Forecast(row=row, fate="skipped", reason=str(error))
                case _:
                    return Forecast(row=row, fate="failed", reason=str(error))
        return Forecast(row=row, fate=fate)


def _ended(row: Row) -> Forecast:
    if row.state in {State.STORED, State.UNCHANGED}:
        return Forecast(row=row, fate=str(State.UNCHANGED), reason=f"{row.state} by an earlier run")
    return Forecast(row=row, fate=str(row.state), reason=row.reason)


def _library(row: Row) -> str:
    return "/" + row.item.destination.split("/")[1]


def _good(found: Forecast | AsyncUploadError) -> Forecast:
    if isinstance(found, AsyncUploadError):
        raise_kept(found)
    return found

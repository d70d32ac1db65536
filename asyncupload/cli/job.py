"""What one call of ``asyncupload bulk`` is about, and what it opens."""

import os
import stat
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from asyncupload.bulk import places
from asyncupload.bulk.journal import Journal
from asyncupload.bulk.options import LoadOptions
from asyncupload.bulk.rows import Item
from asyncupload.client import Client
from asyncupload.errors import JournalError
from asyncupload.settings import Settings

from . import terminal
from .options import Connection, Voice

Items: TypeAlias = Callable[[ThreadPoolExecutor], AsyncGenerator[list[Item], None]]
LeftOut: TypeAlias = Callable[[], int]


@dataclass(frozen=True, slots=True)
class Plan:
    """What to send."""

    items: Items
    whole_first: bool
    """A list may be wrong in its last line, and then nothing of it is sent."""
    left_out: LeftOut
    origin: str
    """The folder, or the list. With the destination it tells the journal's name."""
    destination: str


@dataclass(frozen=True, slots=True)
class Job:
    """All that one call of the command is about."""

    connection: Connection
    plan: Plan
    options: LoadOptions
    settings: Settings
    journal: Path
    grace: float
    report: Path | None
    ledger: Path | None
    voice: Voice

    def client(self) -> Client:
        """Not yet opened. May ask for the password: see `Connection.client`."""
        return self.connection.client(self.voice, self.settings)


@asynccontextmanager
async def opened(client: Client, path: Path) -> AsyncIterator[tuple[Journal, ThreadPoolExecutor]]:
    """The journal, the threads to plan in, and the client, of a server that was seen to answer.

    Raises:
        JournalError: There can be no journal there.
        LoginRefused: The password is wrong: better now, and once, than with every file.
        TransportError: The server is not there, and will not be waited for: nothing was begun yet.
    """
    threads = ThreadPoolExecutor(2, thread_name_prefix="asyncupload-plan")
    try:
        async with client:
            await client.ping()
            async with Journal.open(path) as journal:
                if journal.notice:
                    terminal.warn(f"asyncupload: {journal.notice}")
                yield journal, threads
    finally:
        # One of them may wait for what nobody types.
        threads.shutdown(wait=False, cancel_futures=True)


def make_default_folder(path: Path) -> None:
    """Make the folder of a journal, if it is the default one: the user's own, since it tells the names of files.

    Blocks. Any other folder is the user's to make.
    """
    try:
        folder = places.folder()
    except JournalError:  # it is another one then, or would have been refused already
        return
    if path.parent != folder:
        return
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        found = folder.stat()
    except OSError as error:
        raise JournalError(f"journals cannot be kept in {folder}: {error}; name another place by --journal") from error
    if hasattr(os, "geteuid") and (found.st_uid != os.geteuid() or found.st_mode & (stat.S_IWGRP | stat.S_IWOTH)):
        raise JournalError(
            f"journals are not kept in {folder}: others may write there, and could exchange them; make it yours alone "
            "(chmod 700), or name another place by --journal"
        )

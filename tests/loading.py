"""One process's part in a load, to be killed or frozen on the way: what ``tests/crash.py`` starts again and again."""

import asyncio
import logging
import os
import signal
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from enum import StrEnum
from multiprocessing.connection import Connection
from pathlib import Path

from chains import watched

from asyncupload import Client, Retries, Settings, Timeouts
from asyncupload.bulk.journal import Journal
from asyncupload.bulk.loader import Loader
from asyncupload.bulk.options import LoadOptions
from asyncupload.bulk.tree import Tree

SETTINGS = Settings(
    timeouts=Timeouts(connect=2, reply=1.0, slowest_rate=1e9, finalize=1.0, settle=2.5, cleanup=3.0),
    retries=Retries(first_attempts=None, give_up_after=3.0, first_wait=0.001, longest_wait=0.02, longest_obeyed=0.01),
)
"""A finalize is given twice as long as the slowest takes, as in life, and settling outlasts it."""

ENDED_EARLY = 3
"""Exit code: something ended the load, and it is to be started again."""

ENDLESS = 5
"""Exit code: an error came up that freezes whoever renders it."""


class When(StrEnum):
    """What is counted, from a process's start, until fate comes."""

    SECONDS = "seconds"
    CALLS = "calls"
    """Requests that have arrived at the server."""
    WRITES = "writes"
    """Transactions of the journal."""
    COMMITS = "commits"
    """Those of them after which a request to store leaves."""


@dataclass(frozen=True, kw_only=True)
class Fate:
    """What befalls a process, and when."""

    freezes: bool
    """Whether it is stopped for a while, rather than killed."""
    when: When
    count: float

    @property
    def signal(self) -> signal.Signals:
        """By which it comes."""
        return signal.SIGSTOP if self.freezes else signal.SIGKILL


@dataclass(frozen=True, kw_only=True)
class Job:
    """One process's part."""

    url: str
    root: Path
    to: str
    journal: Path
    options: LoadOptions
    log: Path
    fate: Fate | None = None
    said: "Connection | None" = None
    """Gets one message before the process stops itself."""


def load(job: Job) -> None:
    """Load the tree until it is ended, or until fate comes. The exit code is 0 if all files were ended."""
    logging.basicConfig(
        filename=job.log, level=logging.INFO, format=f"%(asctime)s {os.getpid()} %(levelname)s %(message)s"
    )
    wrong = list[str]()
    with watched(wrong.append):
        code = asyncio.run(_load(job))
    if wrong:
        logging.getLogger("chains").error("; ".join(wrong))
    sys.exit(ENDLESS if wrong else code)


async def _load(job: Job) -> int:
    async with (
        Client(job.url, user="demo", password="demo", settings=SETTINGS) as client,
        Journal.open(job.journal, between_writes=_struck(job)) as journal,
    ):
        with ThreadPoolExecutor(1) as threads:
            loader = Loader(client, journal, job.options)
            await loader.run(Tree(job.root, job.to).items(threads))
    return 0 if loader.error is None else ENDED_EARLY


def _struck(job: Job) -> Callable[[str], None] | None:
    """Lets fate come between two writes of the journal: nothing else happens in the process after the last of them."""
    fate = job.fate
    if fate is None or fate.when not in {When.WRITES, When.COMMITS}:
        return None
    left = fate.count

    def between_writes(what: str) -> None:
        nonlocal left
        left -= fate.when is When.WRITES or "committing" in what
        if left != 0:
            return
        left = -1
        if fate.freezes and job.said is not None:
            job.said.send("stopping")
        os.kill(os.getpid(), fate.signal)
        if not fate.freezes:
            time.sleep(60)

    return between_writes

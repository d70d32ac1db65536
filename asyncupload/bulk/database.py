"""The thread that owns the journal's file. Writes that wait while the disk is busy share the next transaction."""

import asyncio
import queue
import sqlite3
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar

import anyio

from asyncupload._raised import another
from asyncupload._shield import undisturbed
from asyncupload.errors import JournalError

from .opening import Damaged, Opened, is_damage, open_file, refused
from .tables import Unreadable

T = TypeVar("T")

_MOST = 256
"""Jobs in one transaction: the first one of them should not wait for ever."""

_FAREWELL = 60.0
"""Seconds that closing may take after a cancellation: what was asked for before is still written."""


class _Job:
    """Something to be done in the thread, and who waits for it."""

    def __init__(self, what: str, do: Callable[[sqlite3.Connection], Any], waiting: "asyncio.Future[Any]") -> None:
        self.what = what
        self.do = do
        self.waiting = waiting
        self.result: Any = None
        self.error: BaseException | None = None

    def tell(self) -> None:
        """Wake who waits, if anybody still does. To be called in the event loop."""
        if self.waiting.done():
            return
        if self.error is None:
            self.waiting.set_result(self.result)
        else:
            self.waiting.set_exception(self.error)


class Database:
    """One SQLite file, and a thread of its own: never the event loop's, whose threads may all be busy reading files.

    It is a daemon thread: a process that is interrupted twice does not wait for it, and the file stays whole.

    Args:
        path: The file. It is made if it is missing.
        existing: Neither make one nor move a damaged one aside.
        between_writes: Called in the thread after each transaction that wrote, with the names of what it wrote. For
            tests, which end their process there; it must not raise.
    """

    notice: str = ""
    """What a user should know since the file was opened."""

    def __init__(
        self, path: Path, between_writes: Callable[[str], None] | None = None, *, existing: bool = False
    ) -> None:
        self.path = path
        self._existing = existing
        self._between_writes = between_writes
        self._inbox: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="bulk-journal", daemon=True)
        self._open = False

    async def open(self) -> None:
        """Start the thread and open the file. To be followed by `close`, whatever happens.

        Raises:
            JournalError: The file cannot be used; see `opening.open_file`.
        """
        self._open = True
        self._thread.start()
        await self._give("", lambda _: None)

    async def close(self) -> None:
        """Return when all that was asked for is written and the thread has ended. Twice is once.

        On cancellation: it does so first.
        """
        if not self._open:
            return
        self._open = False
        self._inbox.put(None)
        await undisturbed(anyio.to_thread.run_sync(self._thread.join), grace=_FAREWELL)

    async def write(self, what: str, do: Callable[[sqlite3.Connection], T]) -> T:
        """Do something within a transaction, and return when that is on disk.

        An exception takes back what ``do`` did, and nothing else. On cancellation ``do`` still happens, whole.

        Raises:
            JournalError: It is not on disk.
        """
        return await self._give(what, do)

    async def read(self, do: Callable[[sqlite3.Connection], T]) -> T:
        """Do something that changes nothing. It sees all writes that were asked for before.

        Raises:
            JournalError: The file cannot be read.
        """
        return await self._give("", do)

    def write_soon(self, what: str, do: Callable[[sqlite3.Connection], object]) -> None:
        """Do something after all that was asked for before. Nobody learns whether it worked."""
        unheard = asyncio.get_running_loop().create_future()
        unheard.cancel()
        self._inbox.put(_Job(what, do, unheard))

    async def _give(self, what: str, do: Callable[[sqlite3.Connection], T]) -> T:
        if not self._open:
            raise JournalError(f"the journal {self.path} is closed")
        waiting: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self._inbox.put(_Job(what, do, waiting))
        return await waiting

    # What follows runs in the thread.

    def _run(self) -> None:
        try:
            opened = open_file(self.path, existing=self._existing)
        except JournalError as error:
            self._refuse_all(error)
            return
        except Exception as error:  # noqa: BLE001  (whoever waits must learn of it)
            self._refuse_all(refused(self.path, error))
            return
        self.notice = opened.notice
        try:
            while jobs := self._next():
                self._do_all(opened, jobs)
                self._note_damage(opened, jobs)
                _tell(jobs)
        finally:
            opened.close()

    def _note_damage(self, opened: Opened, jobs: Sequence[_Job]) -> None:
        for job in jobs:
            if isinstance(job.error, Unreadable):
                found: BaseException = job.error
                job.error = refused(self.path, job.error)
                job.error.__cause__ = found
            if job.error is not None and (cause := job.error.__cause__) is not None and is_damage(cause):
                opened.note_damage(cause)

    def _refuse_all(self, error: JournalError) -> None:
        while job := self._inbox.get():
            job.error = another(error)
            _tell([job])

    def _next(self) -> list[_Job]:
        """What waits; at least one job. Empty: it is time to end."""
        jobs: list[_Job] = []
        with suppress(queue.Empty):
            while len(jobs) < _MOST:
                job = self._inbox.get(block=not jobs)
                if job is None:
                    self._inbox.put(None)  # the end is next, once these are done
                    break
                jobs.append(job)
        return jobs

    def _do_all(self, opened: Opened, jobs: Sequence[_Job]) -> None:
        """One transaction. If SQLite itself fails in it, nothing of it has happened, and all are told so."""
        db, state = opened.db, None
        writes = ", ".join(job.what for job in jobs if job.what)
        try:
            # A transaction that begins as a reader and becomes a writer can be refused at once instead of waiting.
            db.execute("BEGIN IMMEDIATE" if writes else "BEGIN")
            for job in jobs:
                _do(db, job)
            if writes:
                state = opened.count()
            db.execute("COMMIT")
        except (sqlite3.Error, Damaged) as error:
            with suppress(sqlite3.Error):  # a full disk may have ended the transaction already
                db.execute("ROLLBACK")
            for job in jobs:
                job.error = refused(self.path, error)
                job.error.__cause__ = error
            return
        if state is not None:
            opened.note(state)
        if writes and self._between_writes is not None:
            self._between_writes(writes)


def _do(db: sqlite3.Connection, job: _Job) -> None:
    """One job, all of it or nothing."""
    db.execute("SAVEPOINT job")
    try:
        job.result = job.do(db)
    except sqlite3.Error:
        raise
    except BaseException as error:  # noqa: BLE001  it is raised again where the job came from
        job.error = error
        db.execute("ROLLBACK TO job")
    db.execute("RELEASE job")


def _tell(jobs: Sequence[_Job]) -> None:
    """Wake all who wait, in the event loop that they wait in."""

    def tell() -> None:
        for job in jobs:
            job.tell()

    with suppress(RuntimeError):  # the loop is closed: the process ends, and nobody waits any more
        jobs[0].waiting.get_loop().call_soon_threadsafe(tell)

"""The data folder: one SQLite file, staged uploads, stored contents, and the thread that owns them."""

import asyncio
import sqlite3
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from asyncupload.emulator.accounts import Accounts
from asyncupload.emulator.downloads import Downloads
from asyncupload.emulator.handlers import Handlers
from asyncupload.emulator.library import Library
from asyncupload.emulator.tables import LAYOUT, TABLES

T = TypeVar("T")


class Store:
    """Everything that lasts. Its four parts may be touched only within a job given to `run`.

    One thread does all jobs one after another: that is what serialises two requests on one handler, in the
    order in which they were received whole, and what keeps the event loop free of file and database work.
    """

    accounts: Accounts
    handlers: Handlers
    library: Library
    downloads: Downloads

    def __init__(self, folder: Path, passwords: Mapping[str, str]) -> None:
        self._folder = folder
        self._passwords = passwords
        self._executor: ThreadPoolExecutor | None = None
        self._db: sqlite3.Connection | None = None

    async def open(self) -> None:
        """Open or make the data folder. RuntimeError if another emulator has it, or if its layout is another."""
        self._executor = ThreadPoolExecutor(1, thread_name_prefix="emulator-store")
        await self._in_thread(self._open)

    async def close(self) -> None:
        """Return when every job already given is done and the thread has ended."""
        if self._executor is None:
            return
        thread = await self._in_thread(self._close)
        self._executor.shutdown(wait=False)
        self._executor = None
        # It ends within microseconds now. Joining it would block the event loop, and no event tells its end.
        while thread.is_alive():  # noqa: ASYNC110
            await asyncio.sleep(0.001)

    async def run(self, job: Callable[[], T]) -> T:
        """Do the job in the store's thread, as one transaction. An exception takes the transaction back.

        On cancellation the job still runs to its end, as a server's work does when its client goes away.
        """
        return await self._in_thread(lambda: self._transaction(job))

    async def _in_thread(self, job: Callable[[], T]) -> T:
        if self._executor is None:
            raise RuntimeError("the emulator is not started")
        return await asyncio.shield(asyncio.get_running_loop().run_in_executor(self._executor, job))

    def _transaction(self, job: Callable[[], T]) -> T:
        if self._db is None:
            raise RuntimeError("the store is closed")
        try:
            with self._db:
                return job()
        finally:
            self.handlers.sweep()

    def _open(self) -> None:
        staging, contents = self._folder / "staging", self._folder / "contents"
        for folder in (staging, contents):
            folder.mkdir(parents=True, exist_ok=True)
        database = self._folder / "emulator.sqlite"
        for path in (staging, contents, database):
            if path.is_symlink() or (path == database and path.exists() and not path.is_file()):
                raise RuntimeError(f"cannot use the data folder {self._folder}: {path.name} in it is not of its making")
        db = sqlite3.connect(database, timeout=0.5)
        try:
            _prepare(db)
        except (sqlite3.DatabaseError, RuntimeError) as error:
            db.close()
            raise RuntimeError(f"cannot use the data folder {self._folder}: {error}") from error
        self._db = db
        with db:
            self.accounts = Accounts(db, self._passwords)
            self.library = Library(db, contents)
            self.downloads = Downloads(db, contents)
            self.handlers = Handlers(db, staging)
            self.handlers.recover()

    def _close(self) -> threading.Thread:
        if self._db is not None:
            self._db.close()
            self._db = None
        return threading.current_thread()


def _prepare(db: sqlite3.Connection) -> None:
    # Exclusive: a second emulator on the folder is told at once, instead of both numbering versions alike.
    db.execute("PRAGMA locking_mode=EXCLUSIVE")
    db.execute("PRAGMA journal_mode=WAL")
    # A power cut may cost the last answers; a killed process does not, and that is what is promised.
    db.execute("PRAGMA synchronous=OFF")
    layout = db.execute("PRAGMA user_version").fetchone()[0]
    if layout == 0:
        db.executescript(f"BEGIN EXCLUSIVE; {TABLES} PRAGMA user_version={LAYOUT}; COMMIT;")
    elif layout != LAYOUT:
        raise RuntimeError(f"it has layout {layout}, this version reads {LAYOUT}")
    else:
        db.executescript("BEGIN EXCLUSIVE; COMMIT;")

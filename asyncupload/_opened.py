"""What a client's journeys share: the line to one server, its ticket, threads, turns and limits. Opened and closed."""

import asyncio
import time
from collections.abc import Callable, Coroutine, Iterable
from contextlib import AbstractAsyncContextManager
from datetime import datetime
from functools import wraps
from types import TracebackType
from typing import Any, Concatenate, ParamSpec, Self, TypeVar, cast

import anyio
import anyio.to_thread

from . import _tls
from ._address import first_warning, unseen
from ._archive import Archive, ArchiveTask
from ._body import Encoding
from ._ending import SHARE
from ._journeys import Journeys
from ._limits import Limits
from ._log import get_logger
from ._parameters import Grammar
from ._patience import Patience
from ._place import Turns
from ._raised import let_go
from ._remote import Remote
from ._retry import Waited
from ._rules import Rulebook
from ._secret import Secret
from ._shield import undisturbed
from ._staging import Threads
from ._task import Task
from ._threads import DaemonThreads
from ._transport import Session, Transport
from ._upload import Upload
from .errors import AsyncUploadError, UsageError
from .events import Audience, Observer
from .settings import LARGEST_CHUNK, Settings
from .sources import Source

P = ParamSpec("P")
T = TypeVar("T")
Own = TypeVar("Own", bound="Opened")

READING_THREADS = 4
"""Threads for blocking reads and writes of local files. They are the client's own: the loop's default pool belongs to
the application, and a stalled network drive must not use it up."""


class Opened:
    """What is there between entering and leaving a client, whose docstring tells of the arguments."""

    def __init__(
        self,
        url: str,
        *,
        user: str | None = None,
        password: str | Secret | None = None,
        ticket: str | Secret | None = None,
        ca_file: _tls.File | None = None,
        client_cert: _tls.File | None = None,
        client_key: _tls.File | None = None,
        client_key_password: str | Secret | None = None,
        tls_min: _tls.Minimum | None = None,
        session: Session | None = None,
        settings: Settings | None = None,
        observers: Iterable[Observer] = (),
    ) -> None:
        # Wrapped before anything can fail: a traceback that shows local variables must not show these.
        password, ticket, url = Secret.of(password), Secret.of(ticket), unseen(url)
        client_key_password = Secret.of(client_key_password)
        self.settings = settings or Settings()
        timeouts = self.settings.timeouts
        self._transport = Transport(
            url,
            session=session,
            tls=_tls.context(
                ca_file=ca_file,
                client_cert=client_cert,
                client_key=client_key,
                client_key_password=client_key_password,
                minimum=tls_min,
            ),
            identified=client_cert is not None,
            connect_timeout=timeouts.connect,
        )
        self._remote = Remote(
            self._transport,
            user=user,
            password=password,
            ticket=ticket,
            timeouts=timeouts,
            chunk_size=self.settings.chunk_size,
            encoding=None if self.settings.encoding == "auto" else Encoding(self.settings.encoding),
        )
        self._patience = Patience(self._remote, self.settings)
        self._turns = Turns()
        self._rulebook = Rulebook(self._patience)
        self._limits = Limits(self.settings)
        self._observers = tuple(observers)
        self._journeys = Journeys(timeouts.cleanup)
        self._threads: Threads | None = None

    def __repr__(self) -> str:
        # One that could not be made is shown by those who show what that came from.
        return f"<{type(self).__name__} of {getattr(self, '_remote', None)!r}>"

    async def __aenter__(self) -> Self:
        """Nothing is asked of the server yet."""
        pool = DaemonThreads(READING_THREADS, "asyncupload-files")
        self._threads, self._pool = Threads(pool, anyio.CapacityLimiter(self.settings.checksum_threads)), pool
        self._loop = asyncio.get_running_loop()
        self._transport.open(self._threads.checksums)
        if (warning := first_warning(self._transport.url)) is not None:
            get_logger().warning("not_encrypted", reason=warning)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """End what is under way, log out, and close what is the client's own: within the time for cleaning up, whatever
        the server does."""
        if self._threads is None:
            return
        self._threads = None
        await undisturbed(self._leave(), grace=self.settings.timeouts.cleanup)

    async def ping(self) -> None:
        """Find out whether the server answers and the session is good, with two small requests at most, once.

        Raises:
            AsyncUploadError: It does not, or is not.
        """
        self._entered()
        async with self._journeys.one():
            await self._remote.with_ticket(self._remote.log_in)
            await self._remote.with_ticket(self._remote.whoami)

    async def server_time(self) -> datetime | None:
        """The server's own clock; None if it does not tell it, or not in a form that is known.

        Raises:
            AsyncUploadError: The server does not answer.
        """
        self._entered()
        async with self._journeys.one():
            return (await self._patience.persist(self._remote.server_info)).now

    @property
    def encoding(self) -> str | None:
        """How chunks travel to this server: ``multipart``, ``form`` or ``soap``; None before that is known."""
        asker = self._remote.asker
        return None if asker.may_change_encoding else asker.encoding.value

    @property
    def grammar(self) -> str | None:
        """How this server reads what a document is stored with: ``item`` or ``parameter``; None before anything about
        that is known."""
        found = self._remote.ways.found
        return found and found.value

    def begin_with(self, encoding: str | None = None, *, grammar: str | None = None) -> None:
        """Begin with the ways in which the server took chunks and parameters when it was last spoken to.

        Others are tried if it refuses that one. Does nothing where the settings choose a way, or one is known.

        Args:
            encoding: What :attr:`encoding` was then; None if it was not known.
            grammar: What :attr:`grammar` was; likewise.

        Raises:
            UsageError: There is no such way.
        """
        try:
            if encoding is not None:
                self._remote.asker.begin_with(Encoding(encoding))
            if grammar is not None:
                self._remote.ways.begin_with(Grammar(grammar))
        except ValueError as error:
            raise UsageError(f"the server was not known as that: {error}") from None

    def _entered(self) -> Threads:
        if self._threads is None:
            raise UsageError("the client is not open: use it as `async with Client(...) as client`")
        if asyncio.get_running_loop() is not self._loop:
            raise UsageError("the client was opened in another event loop: open one in each loop that asks the server")
        return self._threads

    def _room_for(
        self, source: Source, chunk_size: int | None = None, waited: Waited | None = None
    ) -> AbstractAsyncContextManager[None]:
        """A place among the uploads of this client, and the memory that ``source`` needs."""
        most = min(self._remote.wish, chunk_size or LARGEST_CHUNK)
        return self._limits.one(getattr(source, "size", None), most, waited)

    def _upload(self, patience: Patience, threads: Threads, audience: Audience, log: Any, task: Task) -> Upload:
        return Upload(patience, threads, audience, log, task, self._rulebook)

    def _archive(
        self, patience: Patience, threads: Threads, audience: Audience, log: Any, task: ArchiveTask
    ) -> Archive:
        return Archive(patience, threads, audience, log, task, self._rulebook)

    async def _leave(self) -> None:
        seconds = self.settings.timeouts.cleanup
        with anyio.move_on_after(seconds):
            await self._journeys.end()
        deadline = time.monotonic() + (1 - SHARE) * seconds
        try:
            with anyio.move_on_after((1 - SHARE) * seconds):
                await self._remote.log_out()
        except AsyncUploadError as error:
            get_logger().debug("logout_failed", reason=str(error))
        finally:
            await self._transport.close()
            # But for one that hangs in a read that nothing can interrupt.
            self._pool.shutdown(wait=False)
            await anyio.to_thread.run_sync(self._pool.join, deadline - time.monotonic())


def journey(
    method: "Callable[Concatenate[Own, P], Coroutine[Any, Any, T]]",
) -> "Callable[Concatenate[Own, P], Coroutine[Any, Any, T]]":
    """What is under way when the client is closed ends first: see `Journeys.one`."""

    @wraps(method)
    async def made(self: Own, *args: P.args, **kwargs: P.kwargs) -> T:
        self._entered()
        try:
            async with self._journeys.one():
                return await method(self, *args, **kwargs)
        except BaseException as error:
            let_go(error)
            raise

    return cast("Callable[Concatenate[Own, P], Coroutine[Any, Any, T]]", made)

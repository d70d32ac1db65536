"""The emulator as an object: started, stopped, looked into."""

import asyncio
import os
import socket
import ssl
from collections.abc import Iterable, Mapping
from contextlib import ExitStack, suppress
from pathlib import Path
from types import TracebackType
from typing import Self

import anyio
from aiohttp import web

from asyncupload.emulator import names
from asyncupload.emulator.app import App
from asyncupload.emulator.exchange import (
    AWAY,
    BODY_LIMIT,
    DELAY,
    ECHO,
    GATEWAY,
    HUGE_SIZE,
    RETRY_AFTER,
    SLOW,
    CallRecord,
    Measures,
)
from asyncupload.emulator.generations import generation as find_generation
from asyncupload.emulator.handlers import LARGEST_CHUNK, SMALLEST_CHUNK, UploadHandler
from asyncupload.emulator.host import Host
from asyncupload.emulator.library import ROOT, Document
from asyncupload.emulator.operations.desk import Desk
from asyncupload.emulator.outages import Outages
from asyncupload.emulator.scripts import Call, Hit, Script, once, require_operations, together
from asyncupload.emulator.store import Store
from asyncupload.emulator.variants import behaviour

# Read sizes beyond the default bring whole chunks in with fewer turns of the loop.
_READ_BUFFER = 256 * 1024
_QUIET_TURNS = 5


class Emulator:
    """An infoRouter document server on this machine, as far as uploads go. Also an async context manager.

    What it is told lasts in `data`: stopped and started again, on the same folder, it goes on where it was.
    """

    def __init__(
        self,
        data: str | Path,
        *,
        users: Mapping[str, str] | None = None,
        folders: Iterable[str] = ("/Library", "/Finance/Reports"),
        host: str = "127.0.0.1",
        port: int = 0,
        prefix: str = "",
        script: Script | None = None,
        generation: str = "2026",
        variants: Iterable[str] = (),
        missing: Iterable[str] = (),
        ssl_context: ssl.SSLContext | None = None,
        document_max_size: int = 0,
        rules: Mapping[str, Mapping[str, str]] | None = None,
        default_chunk_size: int = 262_144,
        chunk_sizes: tuple[int, int] = (SMALLEST_CHUNK, LARGEST_CHUNK),
        body_limit: int = BODY_LIMIT,
        body_limit_status: int = 413,
        delay: float = DELAY,
        retry_after: int = RETRY_AFTER,
        huge_size: int = HUGE_SIZE,
        slow: float = SLOW,
        gateway: float = GATEWAY,
        echo: float = ECHO,
        away: float = AWAY,
    ) -> None:
        """Nothing is opened before `start`.

        Args:
            data: the data folder, made if it is missing. One emulator at a time may use it.
            users: login name (its case does not matter) to password; ``demo``/``demo`` if not given.
            folders: made at each start if they are missing, with their libraries; ValueError for a path without a
                name, or with one that the server would change.
            port: 0 takes a free one, and keeps it for the next start of this object.
            prefix: the virtual directory, for example ``/InfoRouter``.
            script: says which fault, if any, hits a call.
            generation: which server is played, a name from GENERATIONS: ``2026`` is the one that today's pages
                describe, ``2019`` the one that a real server's WSDL of that year does.
            variants: names from VARIANTS.
            missing: operations that this server does not have: HTTP 500 with ASP.NET's words, or what a variant says,
                and a fault to those who ask in SOAP. ValueError for a name that no operation has.
            document_max_size: bytes; 0 is no limit.
            rules: of folders, by path: ``{"/Finance": {"AllowableFileTypes": ".pdf,.docx"}}``, also ``NewDocuments``
                and ``Checkins``, which ``allows`` or ``disallows``.
            default_chunk_size: bytes, for a client that has no wish; 1 to 33,554,432. A real server's is
                never below 262,144; less is for tests that want many chunks from few bytes.
            chunk_sizes: bytes; a wish below the first or above the second is answered with that. A real server's
                are 262,144 and 33,554,432; less is for tests that want many chunks from few bytes.
            body_limit: bytes; a longer request is refused.
            body_limit_status: with this, for example 413, IIS's 404, or 400.
            delay: seconds, for the faults that pause.
            retry_after: seconds, for the faults that ask to wait.
            huge_size: bytes, for the fault whose answer is huge.
            slow: seconds that a slow call takes.
            gateway: seconds after which a gateway gives up on it.
            echo: seconds until an answer comes once more.
            away: seconds that a server is away, or its application pool takes to start again.
        """
        if not 1 <= default_chunk_size <= LARGEST_CHUNK:
            raise ValueError(f"default_chunk_size must lie between 1 and {LARGEST_CHUNK}: {default_chunk_size}")
        self.calls: list[CallRecord] = []
        self._generation = find_generation(generation)
        self._store = Store(Path(data), {"demo": "demo"} if users is None else users)
        self._desk = Desk(
            self._store,
            behaviour(self._generation.variants.union(variants)),
            default_chunk_size,
            document_max_size,
            chunk_sizes,
            require_operations(missing) | self._generation.missing,
            {names.exact_path(path).lower(): own for path, own in (rules or {}).items()},
        )
        self._folders = tuple(names.exact_path(folder) for folder in folders)
        self._host = host
        self._port = port
        self._prefix = prefix.strip("/")
        self._script = script
        self._measures = Measures(
            delay, retry_after, huge_size, body_limit, body_limit_status, slow, gateway, echo, away
        )
        self._outages = Outages(self._leave)
        self._returning: asyncio.Task[None] | None = None
        self._ssl_context = ssl_context
        self._server: web.Server | None = None
        self._listener: asyncio.Server | None = None
        self._app: App | None = None

    def __repr__(self) -> str:
        return f"<Emulator {'stopped' if self._listener is None else self.url}>"

    @property
    def url(self) -> str:
        """Where a client finds it, without ``/srv.asmx``. RuntimeError while the port is not known."""
        if self._port == 0:
            raise RuntimeError("the emulator has no port before it is started")
        scheme = "http" if self._ssl_context is None else "https"
        host = f"[{self._host}]" if ":" in self._host else self._host
        return f"{scheme}://{host}:{self._port}" + (f"/{self._prefix}" if self._prefix else "")

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    async def start(self) -> None:
        """Open the data folder and listen. RuntimeError if the folder cannot be used, OSError for the port."""
        if self._listener is not None:
            raise RuntimeError("the emulator is started already")
        try:
            await self._store.open()
            for folder in self._folders:
                await self.create_folder(folder)
            await self._listen()
        except BaseException:
            await self.stop()
            raise

    async def stop(self) -> None:
        """Stop at once: every connection is cut, whatever it was doing. Only the store ends what it began.

        Not cancellable, because it is short and would leave a thread and a locked data folder behind.
        """
        with anyio.CancelScope(shield=True):
            if self._returning is not None:
                self._returning.cancel()
                await asyncio.gather(self._returning, return_exceptions=True)
                self._returning = None
            if self._listener is not None and self._server is not None:
                # Closes its sockets now; to wait for it would also be to wait for a TLS handshake that hangs.
                await _stop_listening(self._listener)
                await _cut(self._server)
            self._listener = self._server = None
            if self._app is not None:
                await self._app.stop()
                self._app = None
            await self._store.close()

    def fail(self, fault: str, *, operation: str | None = None, at: int = 1) -> None:
        """Let one call to come meet a fault, inside of those that the script has for it.

        Args:
            fault: a name from FAULTS.
            operation: whose calls count; None for every one that the fault fits.
            at: which of them, from now on; 1 is the next.

        ValueError for a fault or an operation that does not exist, for two that do not fit, or a number below 1.
        """
        hit = once(fault, operation, at)
        self._script = hit if self._script is None else together(self._script, hit)

    async def go_away(self, seconds: float) -> None:
        """Cut every connection, and let nobody connect for so many seconds. What runs behind them runs on.

        Returns at once. RuntimeError if it is not started. One that is away already stays away as long as it was to.
        """
        if self._server is None:
            raise RuntimeError("the emulator is not started")
        self._leave(seconds)

    async def recycle(self, seconds: float) -> None:
        """What an application pool does that starts again: HTTP 502 to all for so many seconds, and what was in memory
        only is forgotten, tickets and upload handlers."""
        await self.forget_tickets()
        await self.expire_handlers()
        self._outages.recycle(seconds)

    async def settled(self, within: float = 10.0) -> bool:
        """Wait until what runs on after its connection has gone is done, at most so many seconds. Whether it is."""
        return self._app is None or await self._app.settled(within)

    async def open_handlers(self) -> list[UploadHandler]:
        """The upload handlers that were neither committed nor deleted, from the oldest."""
        return await self._store.run(lambda: self._store.handlers.open())  # noqa: PLW0108 -- set by start

    async def documents(self) -> list[Document]:
        """Every document with its versions, from the oldest."""
        return await self._store.run(lambda: self._store.library.documents())  # noqa: PLW0108 -- set by start

    async def content(self, path: str, version: int | None = None) -> Path:
        """The file that holds a document's latest version, or the given one; FileNotFoundError if there is none."""

        def find() -> Path:
            document = self._document(path)
            found = document.latest if version is None else document.version(version)
            if found is None:
                raise FileNotFoundError(f"{path} has no version {version}")
            return self._store.library.content(found)

        return await self._store.run(find)

    async def add_versions(self, path: str, count: int, comment: str = "") -> None:
        """Give a document so many more versions of its latest content, as years would. A thousand take a moment."""
        await self._store.run(lambda: self._store.library.repeat_latest(self._document(path), count, comment))

    async def create_folder(self, path: str) -> None:
        """Make the folder and what is missing above it, its library included. No error if it is there."""
        await self._store.run(lambda: self._make_folders(path))

    async def set_checkout(self, path: str, user: str | None) -> None:
        """Check the document out by that user, who need not have a password; None takes a checkout away."""

        def change() -> None:
            holder = None if user is None else self._store.accounts.user(user).id
            self._store.library.check_out(self._document(path), holder)

        await self._store.run(change)

    async def forget_tickets(self) -> None:
        """Drop every ticket, as a recycled application pool does."""
        await self._store.run(lambda: self._store.accounts.forget_tickets())  # noqa: PLW0108 -- set by start

    async def expire_ticket(self, user: str) -> None:
        """Drop every ticket of that user, as time does."""
        await self._store.run(lambda: self._store.accounts.withdraw_all(user))

    async def expire_handlers(self) -> None:
        """Drop every upload handler with its bytes, as a clean-up of temporary files does."""
        await self._store.run(lambda: self._store.handlers.delete_all())  # noqa: PLW0108 -- set by start

    async def checkouts(self) -> dict[str, str]:
        """Path of a document that is checked out, to the login name of its holder."""
        return await self._store.run(lambda: self._store.library.checkouts())  # noqa: PLW0108 -- set by start

    def _hit(self, call: Call) -> Hit:
        """What the script says now: it may have grown since the start."""
        return None if self._script is None else self._script(call)

    def _document(self, path: str) -> Document:
        found = self._store.library.document(path)
        if found is None:
            raise FileNotFoundError(f"no document at {path}")
        return found

    def _make_folders(self, path: str) -> None:
        library, parent = self._store.library, ROOT
        for wished in names.segments(path):
            name = names.folder_name(wished)
            parent = library.subfolder(parent.id, name) or library.make_folder(parent, name)

    async def _listen(self) -> None:
        app = App(self._desk, self._generation, self._prefix, self._hit, self.calls, self._measures, self._outages)
        # A request whose client has gone is cancelled; only the store's own work, and what runs on, goes on.
        server = Host(app, handler_cancellation=True, read_bufsize=_READ_BUFFER, access_log=None)
        self._server, self._app = server, app
        await self._serve(server)

    async def _serve(self, server: web.Server) -> None:
        # Noted down before it serves: cancelled in between, it would serve on behind everybody's back.
        self._listener = listener = await asyncio.get_running_loop().create_server(
            server, self._host, self._port, ssl=self._ssl_context, backlog=512, start_serving=False
        )
        self._port = listener.sockets[0].getsockname()[1]
        await listener.start_serving()

    def _leave(self, seconds: float) -> None:
        if self._returning is None or self._returning.done():
            self._returning = asyncio.get_running_loop().create_task(self._absence(seconds))

    async def _absence(self, seconds: float) -> None:
        if self._listener is None or self._server is None:
            return
        addresses = [(sock.family, sock.getsockname()) for sock in self._listener.sockets]
        await _stop_listening(self._listener)
        with ExitStack() as kept:
            for family, address in addresses:
                kept.enter_context(_kept_port(family, address))
            await _cut(self._server)
            await asyncio.sleep(seconds)
            await self._serve(self._server)


def _kept_port(family: socket.AddressFamily, address: tuple[object, ...]) -> socket.socket:
    """A socket at the address that refuses whoever connects: nobody else is given the port meanwhile."""
    kept = socket.socket(family, socket.SOCK_STREAM)
    if os.name == "posix":
        kept.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        with suppress(OSError):
            kept.bind(address)
    return kept


async def _stop_listening(listener: asyncio.Server) -> None:
    """Whoever was accepted in this turn of the loop arrives first: asyncio would drop the connection, unclosed."""
    with suppress(NotImplementedError):  # on Windows there are no readers
        for sock in listener.sockets:
            asyncio.get_running_loop().remove_reader(sock)
    for _ in range(2):
        await asyncio.sleep(0)
    listener.close()


async def _cut(server: web.Server) -> None:
    """Abort every connection and wait until its task is gone."""
    quiet_turns = 0
    # A connection that was accepted a moment ago takes some turns of the loop to appear.
    while quiet_turns < _QUIET_TURNS:
        quiet_turns = 0 if server.connections else quiet_turns + 1
        for connection in server.connections:
            if connection.transport is not None:
                connection.transport.abort()
        await asyncio.sleep(0)

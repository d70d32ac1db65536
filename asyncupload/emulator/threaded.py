"""The emulator for those who have no event loop, or one that is somebody else's."""

from collections.abc import Awaitable, Callable
from contextlib import ExitStack
from types import TracebackType
from typing import Self, TypeVar

from anyio.from_thread import BlockingPortal, start_blocking_portal

from asyncupload.emulator.exchange import CallRecord
from asyncupload.emulator.handlers import UploadHandler
from asyncupload.emulator.library import Document
from asyncupload.emulator.server import Emulator

T = TypeVar("T")


class ThreadedEmulator:
    """An emulator that runs in a thread of its own, from entering to leaving this.

    ::

        with ThreadedEmulator(Emulator("data", variants=["no-soap"])) as server:
            ...  # a client of server.url, async or not, in any thread or process

    Everything here blocks until it is done, which takes no longer than a look into a small database.
    """

    def __init__(self, emulator: Emulator) -> None:
        self.emulator = emulator
        self._opened = ExitStack()
        self._portal: BlockingPortal | None = None

    def __repr__(self) -> str:
        return f"<ThreadedEmulator of {self.emulator!r}>"

    def __enter__(self) -> Self:
        """Errors as of `Emulator.start`."""
        with ExitStack() as opened:
            portal = opened.enter_context(start_blocking_portal())
            opened.enter_context(portal.wrap_async_context_manager(self.emulator))
            self._portal, self._opened = portal, opened.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._portal = None
        self._opened.close()

    def run(self, ask: Callable[[], Awaitable[T]]) -> T:
        """What the emulator answers to a question that it has to be awaited for, as ``run(server.emulator.checkouts)``.

        RuntimeError if this is not entered.
        """
        if self._portal is None:
            raise RuntimeError("the emulator does not run: use it as `with ThreadedEmulator(...) as server`")
        return self._portal.call(ask)

    @property
    def url(self) -> str:
        """As `Emulator.url`."""
        return self.emulator.url

    @property
    def calls(self) -> list[CallRecord]:
        """The calls that came in so far, in order."""
        return list(self.emulator.calls)

    def fail(self, fault: str, *, operation: str | None = None, at: int = 1) -> None:
        """As `Emulator.fail`."""
        self.emulator.fail(fault, operation=operation, at=at)

    def documents(self) -> list[Document]:
        """As `Emulator.documents`."""
        return self.run(self.emulator.documents)

    def open_handlers(self) -> list[UploadHandler]:
        """As `Emulator.open_handlers`: what an upload left behind."""
        return self.run(self.emulator.open_handlers)

    def content(self, path: str, version: int | None = None) -> bytes:
        """The bytes of a document's latest version, or the given one; FileNotFoundError if there is none."""
        return self.run(lambda: self.emulator.content(path, version)).read_bytes()

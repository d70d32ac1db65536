"""A document server for the commands to talk to, and files for them to bring."""

import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest
import structlog
from anyio.from_thread import BlockingPortal, start_blocking_portal

from asyncupload.cli import main
from asyncupload.emulator import Call, Document, Emulator

from .commands import Ended, environment, eventually

CHUNK = 256 * 1024
"""The smallest chunk there is: many chunks from few bytes."""

PASSWORD = "correct horse 7"


class Server:
    """The emulator on a real socket, from the outside and, for what no client can see, from the inside."""

    def __init__(self, portal: BlockingPortal, emulator: Emulator, faults: dict[tuple[str, int], str]) -> None:
        self._portal = portal
        self._emulator = emulator
        self.faults = faults
        """What hits the calls to come: by operation and number, counted from 1."""
        self.url = emulator.url
        self.login = {"ASYNCUPLOAD_SERVER": self.url, "ASYNCUPLOAD_USER": "jsmith", "ASYNCUPLOAD_PASSWORD": PASSWORD}
        """An environment in which a command knows the server and the user."""

    def calls(self, operation: str) -> int:
        """How often an operation was called."""
        return sum(record.operation == operation for record in list(self._emulator.calls))

    def wait_for(self, operation: str, number: int = 1) -> None:
        """Wait until an operation was called so many times."""
        eventually(lambda: self.calls(operation) >= number, f"{operation} {number}")

    def left(self) -> int:
        """How many upload handlers were neither committed nor deleted."""
        return len(self._portal.call(self._emulator.open_handlers))

    def documents(self) -> list[str]:
        """Paths of all documents."""
        return [document.path for document in self._portal.call(self._emulator.documents)]

    def content(self, path: str) -> bytes:
        """A document's bytes."""
        return self._portal.call(self._emulator.content, path).read_bytes()

    def check_out(self, path: str, user: str) -> None:
        """Have somebody check a document out."""
        self._portal.call(self._emulator.set_checkout, path, user)

    def stop(self) -> None:
        """Be away."""
        self._portal.call(self._emulator.stop)

    def start(self) -> None:
        """Be there again, at the same address."""
        self._portal.call(self._emulator.start)

    def state(self) -> list[Document]:
        """All that is known of all documents."""
        return self._portal.call(self._emulator.documents)

    def ways(self, operation: str) -> set[str]:
        """In which forms an operation was asked for."""
        return {record.way for record in list(self._emulator.calls) if record.operation == operation}

    def document(self, path: str) -> Document:
        """All that is known of it."""
        (found,) = (one for one in self._portal.call(self._emulator.documents) if one.path == path)
        return found


@pytest.fixture(scope="session")
def portal() -> Iterator[BlockingPortal]:
    """A thread with an event loop, for servers."""
    with start_blocking_portal() as opened:
        yield opened


@pytest.fixture
def server(portal: BlockingPortal, tmp_path: Path) -> Iterator[Server]:
    """A server with the user jsmith, and the folders /Library and /Finance/Reports."""
    faults: dict[tuple[str, int], str] = {}

    def script(call: Call) -> str | None:
        return faults.get((call.operation, call.number))

    emulator = Emulator(tmp_path / "server", users={"jsmith": PASSWORD}, script=script)
    with portal.wrap_async_context_manager(emulator):
        yield Server(portal, emulator, faults)


Here = Callable[..., Ended]


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Here:
    """Types a command within this process, which is ten times faster than in one of its own. Not for what signals,
    pipes and terminals do to it."""

    def typed(*words: object, env: Mapping[str, str] | None = None) -> Ended:
        with monkeypatch.context() as patch:
            for name in os.environ.keys() - environment().keys():
                patch.delenv(name)
            for name, value in (env or {}).items():
                patch.setenv(name, value)
            code = main([str(word) for word in words])
        structlog.reset_defaults()  # what -v has changed
        out, err = capsys.readouterr()
        return Ended(code, out, err)

    return typed


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A file of four chunks, the last one short."""
    path = tmp_path / "report.bin"
    path.write_bytes(os.urandom(3 * CHUNK + 4711))
    return path

"""What every test runs under: detectors for blocking calls and for what is left behind, and the emulator."""

import asyncio
import gc
import signal
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from types import TracebackType

import chains
import hypothesis
import pytest
from blockbuster import blockbuster_ctx

from asyncupload import Client, Retries, Settings, Timeouts
from asyncupload.emulator import Emulator

# In the background of a shell, or under nohup, these come to us ignored, and commands that we start would heed that.
signal.signal(signal.SIGINT, signal.default_int_handler)
if hasattr(signal, "SIGHUP"):
    signal.signal(signal.SIGHUP, signal.SIG_DFL)

# How long one example may take says how busy the machine is.
hypothesis.settings.register_profile("house", deadline=None)
hypothesis.settings.load_profile("house")

FOLDER = "/Finance/Reports"

PATIENT = Settings(
    chunk_size=256 * 1024,
    timeouts=Timeouts(connect=5, reply=10, finalize=10, settle=6, cleanup=5),
    retries=Retries(attempts=8, restarts=3, first_wait=0.001, longest_wait=0.01, longest_obeyed=0.01),
)
"""Settings for tests: the smallest chunk, and waits that keep their order but not their length. Attempts are counted:
in five minutes of such waits there would be room for a hundred thousand."""

BRISK = replace(PATIENT, timeouts=replace(PATIENT.timeouts, finalize=0.4))
"""For requests to store that are lost and repeated: a server must have ended with one after so little time."""


def pytest_collection_finish() -> None:
    """What thousands of collected tests are made of lives as long as the process: no collection of garbage, and many
    tests ask for one, has to walk through it again."""
    gc.collect()
    gc.freeze()


@pytest.fixture
def anyio_backend() -> str:
    """aiohttp is asyncio's."""
    return "asyncio"


@pytest.fixture(autouse=True, scope="session")
def _no_blocking_calls() -> Iterator[None]:
    """A call from the package that blocks the event loop raises BlockingError."""
    with blockbuster_ctx("asyncupload"):
        yield


@pytest.fixture(autouse=True, scope="session")
def _own_state(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """What commands keep of their own, as journals, is no user's and no other test run's."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_STATE_HOME", str(tmp_path_factory.mktemp("state")))
        yield


@pytest.fixture
async def emulator(tmp_path: Path) -> AsyncIterator[Emulator]:
    """A server on this machine, with the folder FOLDER and the user demo/demo."""
    async with Emulator(tmp_path / "server") as server:
        yield server


@pytest.fixture
async def client(emulator: Emulator) -> AsyncIterator[Client]:
    """A client of ``emulator``."""
    async with Client(emulator.url, user="demo", password="demo", settings=PATIENT) as opened:
        yield opened


_ENDLESS = list[str]()
"""What is wrong with the chains of the errors of the test that runs."""


def _look_at_what_is_caught() -> None:
    """Have every error looked at that ``pytest.raises`` catches."""
    fill = pytest.ExceptionInfo.fill_unfilled

    def filled(info: pytest.ExceptionInfo[BaseException], caught: tuple[type, BaseException, TracebackType]) -> None:
        if wrong := chains.wrong_with(caught[1]):
            _ENDLESS.append(wrong)
        fill(info, caught)

    pytest.ExceptionInfo.fill_unfilled = filled  # type: ignore[assignment, method-assign]


_look_at_what_is_caught()


@pytest.fixture(autouse=True)
def endless() -> Iterator[list[str]]:
    """No error of a test freezes whoever renders it: neither one that it catches, nor one that a client raises. What is
    in the list at the end fails the test."""
    _ENDLESS.clear()
    with chains.watched(_ENDLESS.append):
        yield _ENDLESS
    assert not _ENDLESS


class Leftovers:
    """What is alive in this process: to be taken before and after, and compared."""

    def __init__(self) -> None:
        gc.collect()
        # A server's task for an idle keep-alive connection is no business of the client's.
        self.tasks = {task for task in asyncio.all_tasks() if not task.done() and "RequestHandler" not in repr(task)}
        self.threads = {
            thread
            for thread in threading.enumerate()
            # anyio keeps its idle workers for the next call, and ends them with the loop.
            if "AnyIO worker" not in thread.name
        }
        self.sockets = {name for name in _open_files() if name.startswith("socket:")}
        self.files = {name for name in _open_files() if name.startswith("/") and not name.startswith(("/dev", "/proc"))}

    def since(self, before: "Leftovers") -> dict[str, set[object]]:
        """What is here now and was not then; empty where nothing is."""
        found: dict[str, set[object]] = {
            "tasks": set(self.tasks - before.tasks),
            "threads": set(self.threads - before.threads),
            "sockets": set(self.sockets - before.sockets),
            "files": set(self.files - before.files),
        }
        return {kind: things for kind, things in found.items() if things}


def _open_files() -> Iterator[str]:
    for descriptor in Path("/proc/self/fd").iterdir():
        with suppress(OSError):  # the one that listed the directory is closed by now
            yield str(descriptor.readlink())

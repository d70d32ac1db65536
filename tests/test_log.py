"""Nothing is said unless somebody asked; what is said goes where the application wants it."""

import asyncio
import io
import logging
import os
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Iterator, MutableMapping
from pathlib import Path
from typing import Any

import anyio
import pytest
import structlog
from conftest import FOLDER, PATIENT
from structlog.contextvars import bound_contextvars
from structlog.testing import LogCapture

from asyncupload import Client, NotFound, SourceMissing
from asyncupload._log import get_logger
from asyncupload.emulator import Emulator, at

SCRIPT = """
import asyncio, sys
import asyncupload

async def main(url: str, folder: str) -> None:
    rules = asyncupload.Retries(first_wait=0.001, attempts=2)
    settings = asyncupload.Settings(retries=rules)
    async with asyncupload.Client(url, user="demo", password="demo", settings=settings) as client:
        def broken(event: object) -> None:
            raise LookupError("a listener's own trouble, which is worth a warning")
        await client.upload(b"content", to=f"{folder}/stored.txt", on_event=broken)
        try:
            await client.upload(b"content", to="/No/Such/Folder/a.txt")
        except asyncupload.NotFound:
            return
    sys.exit("the second upload should have failed")

asyncio.run(main(*sys.argv[1:]))
"""


async def run(script: str, *arguments: str) -> "subprocess.CompletedProcess[bytes]":
    # Not under another's coverage or hooks: what a process says by itself is the question.
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("COV_", "PYTHONWARN"))}
    with anyio.fail_after(50):
        return await anyio.run_process(
            [sys.executable, "-W", "error", "-c", script, *arguments], check=False, env=environment
        )


@pytest.mark.anyio
async def test_an_application_that_configured_nothing_hears_nothing(emulator: Emulator) -> None:
    """One upload that succeeds, with a broken listener, and one that fails: neither standard stream gets a byte."""
    ended = await run(SCRIPT, emulator.url, FOLDER)

    assert (ended.returncode, ended.stdout, ended.stderr) == (0, b"", b"")
    assert [document.name for document in await emulator.documents()] == ["stored.txt"]


@pytest.mark.anyio
async def test_the_same_application_hears_more_when_it_asks(emulator: Emulator) -> None:
    """Otherwise the test above could pass because nothing is ever logged."""
    asked = "import logging; logging.basicConfig(level=logging.INFO)\n" + SCRIPT

    ended = await run(asked, emulator.url, FOLDER)

    assert ended.returncode == 0
    assert ended.stdout == b""
    lines = [line for line in ended.stderr.decode().splitlines() if ":asyncupload:" in line]
    assert sum("event='upload_ended'" in line for line in lines) == 2
    assert any("status='stored'" in line for line in lines)
    assert any("status='failed'" in line for line in lines)


class Collected(logging.Handler):
    """What reaches the standard logger ``asyncupload``."""

    def __init__(self) -> None:
        super().__init__()
        self.records: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.records.append(record)

    def lines(self, event: str) -> list[str]:
        return [record.getMessage() for record in self.records if f"event='{event}'" in record.getMessage()]


@pytest.fixture
def collected() -> Iterator[Collected]:
    """The standard logger, listened to from DEBUG up."""
    logger, handler = logging.getLogger("asyncupload"), Collected()
    level = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.DEBUG)
    yield handler
    logger.removeHandler(handler)
    logger.setLevel(level)


@pytest.fixture
def captured() -> Iterator[LogCapture]:
    """structlog, configured as an application does it."""
    capture = LogCapture()
    structlog.configure(processors=[structlog.contextvars.merge_contextvars, capture])
    yield capture
    structlog.reset_defaults()


@pytest.mark.anyio
async def test_the_standard_logger_gets_the_lines_with_the_callers_context(
    client: Client, collected: Collected
) -> None:
    with bound_contextvars(request_id="r-17"):
        receipt = await client.upload(b"content", to=f"{FOLDER}/a.txt")

    (line,) = collected.lines("upload_ended")
    for fact in (
        "status='stored'",
        f"destination='{FOLDER}/a.txt'",
        "source='bytes'",
        "request_id='r-17'",
        f"document_id={receipt.document_id}",
        "sent=7",
        "chunks=1",
        "resent=0",
        "restarted=0",
        f"crc32='{receipt.crc32:08X}'",
    ):
        assert fact in line
    assert collected.lines("handler_opened")
    assert {record.name for record in collected.records} == {"asyncupload"}


@pytest.mark.anyio
async def test_the_level_of_the_standard_logger_is_obeyed(client: Client, collected: Collected) -> None:
    logging.getLogger("asyncupload").setLevel(logging.WARNING)

    await client.upload(b"content", to=f"{FOLDER}/a.txt")
    with pytest.raises(SourceMissing):
        await client.upload("/no/such/file", to=f"{FOLDER}/b.txt")

    (line,) = collected.lines("upload_ended")
    assert "status='failed'" in line
    assert {record.levelno for record in collected.records} == {logging.WARNING}


@pytest.mark.anyio
async def test_structlog_gets_the_lines_once_it_is_configured(
    client: Client, collected: Collected, captured: LogCapture
) -> None:
    with bound_contextvars(request_id="r-18"):
        await client.upload(b"content", to=f"{FOLDER}/a.txt")

    (entry,) = (entry for entry in captured.entries if entry["event"] == "upload_ended")
    expected = {"status": "stored", "destination": f"{FOLDER}/a.txt", "source": "bytes", "request_id": "r-18"}
    assert expected.items() <= entry.items()
    assert entry["log_level"] == "info"
    assert collected.records == [], "the line went to both"


@pytest.mark.anyio
async def test_nothing_is_configured_for_the_application(emulator: Emulator) -> None:
    """structlog has one configuration for a process, and it is the application's."""
    before = structlog.get_config()

    async with Client(emulator.url, user="demo", password="demo", settings=PATIENT) as client:
        await client.upload(b"content", to=f"{FOLDER}/a.txt")

    assert not structlog.is_configured()
    assert structlog.get_config() == before


TROUBLE = {
    ("UploadFileChunk", 1): "tryagain",
    ("UploadFileChunk", 2): "lose-handler",
    ("UploadNewDocumentWidthHandler", 1): "drop-after",
}


@pytest.mark.anyio
async def test_every_line_of_an_upload_has_its_callers_request_id(captured: LogCapture, tmp_path: Path) -> None:
    """Of several at once each its own: through a retry, a restart, a lost reply, and what is cleaned up in a task of
    ours."""

    async def handled(number: int) -> None:
        with bound_contextvars(request_id=f"r-{number}"):
            await client.upload(os.urandom(600_000), to=f"{FOLDER}/{number}.bin")

    async with (
        Emulator(tmp_path / "server", script=at(TROUBLE)) as server,
        Client(server.url, user="demo", password="demo", settings=PATIENT) as client,
    ):
        await asyncio.gather(*(handled(number) for number in range(3)))

    said = {entry["event"] for entry in captured.entries}
    assert {"chunk_retried", "upload_restarted", "handler_deleted", "settling", "upload_ended"} <= said
    for entry in captured.entries:
        assert entry["destination"] == f"{FOLDER}/{entry['request_id'].removeprefix('r-')}.bin", entry


@pytest.mark.anyio
async def test_a_cancelled_upload_cleans_up_under_its_callers_request_id(client: Client, captured: LogCapture) -> None:
    reached = asyncio.Event()

    async def stuck() -> AsyncIterator[bytes]:
        yield os.urandom(600_000)
        reached.set()
        await asyncio.Event().wait()

    with bound_contextvars(request_id="r-19"):
        task = asyncio.ensure_future(client.upload(stuck(), to=f"{FOLDER}/a.bin"))
    await reached.wait()
    task.cancel()
    await asyncio.wait({task})

    assert [entry["event"] for entry in captured.entries] == ["handler_opened", "handler_deleted", "upload_ended"]
    assert {entry["request_id"] for entry in captured.entries} == {"r-19"}


@pytest.mark.anyio
async def test_a_source_that_logs_while_it_is_read_in_a_thread_does_so_under_the_request_id(
    client: Client, captured: LogCapture
) -> None:
    """An object of the application's, which reads from some store of its own."""

    class Talking(io.BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            structlog.get_logger().info("read", thread=threading.current_thread().name)
            return super().read(size)

    with bound_contextvars(request_id="r-20"):
        await client.upload(Talking(b"content"), to=f"{FOLDER}/a.txt")

    lines = [entry for entry in captured.entries if entry["event"] == "read"]
    assert lines
    assert all(line["thread"].startswith("asyncupload-files") for line in lines)
    assert {line.get("request_id") for line in lines} == {"r-20"}


def test_a_logger_follows_an_application_that_configures_late(collected: Collected) -> None:
    get_logger(upload=1).info("before")
    entries: list[MutableMapping[str, Any]] = []
    capture = LogCapture()
    structlog.configure(processors=[capture])
    try:
        get_logger(upload=2).info("after")
        entries = capture.entries
    finally:
        structlog.reset_defaults()
    get_logger(upload=3).info("again")

    assert [(entry["event"], entry["upload"]) for entry in entries] == [("after", 2)]
    assert [record.getMessage() for record in collected.records] == [
        "event='before' upload=1",
        "event='again' upload=3",
    ]


def test_an_error_that_is_logged_comes_with_its_traceback(collected: Collected) -> None:
    try:
        int("of interest")
    except ValueError:
        get_logger().warning("went_wrong", exc_info=True)

    (line,) = collected.lines("went_wrong")
    assert "ValueError: invalid literal" in line
    assert "Traceback" in line


def test_a_percent_sign_is_only_a_percent_sign(collected: Collected) -> None:
    """File names hold whatever they like, and the standard logger formats with percent signs."""
    get_logger(source="100%s.txt").info("named", reason="%d %(x)s")

    assert "source='100%s.txt'" in collected.lines("named")[0]


class Strange(BaseException):
    """What no ``except Exception`` catches."""


ERRORS = [OSError(28, "No space left on device"), LookupError(), Strange(), asyncio.CancelledError()]


class Full(logging.Handler):
    """One whose disk is full, and that does not keep it to itself."""

    def __init__(self, error: BaseException) -> None:
        super().__init__()
        self._error = error

    def emit(self, record: logging.LogRecord) -> None:
        raise self._error


@pytest.fixture
def full(request: pytest.FixtureRequest) -> Iterator[BaseException]:
    """Every log line raises this, however the application logs."""
    error, way = request.param
    if way == "handler":
        logger, handler = logging.getLogger("asyncupload"), Full(error)
        logger.addHandler(handler)
        logger.setLevel(logging.DEBUG)
        yield error
        logger.removeHandler(handler)
        logger.setLevel(logging.NOTSET)
        return

    def broken(*_: object) -> Any:
        raise error

    if way == "processor":
        structlog.configure(processors=[broken])
    elif way == "factory":
        structlog.configure(logger_factory=broken)
    else:
        structlog.configure(wrapper_class=broken)  # type: ignore[arg-type]
    yield error
    structlog.reset_defaults()


WAYS = ["handler", "processor", "factory", "wrapper"]


@pytest.mark.anyio
@pytest.mark.parametrize("full", [(e, way) for e in ERRORS for way in WAYS], indirect=True, ids=repr)
async def test_a_logger_that_raises_changes_nothing(full: BaseException, tmp_path: Path) -> None:
    """Through a retry, a restart, a lost reply, a listener that fails, and an upload that is refused."""

    def broken(event: object) -> None:
        raise LookupError

    async with (
        Emulator(tmp_path / "server", script=at(TROUBLE)) as server,
        Client(server.url, user="demo", password="demo", settings=PATIENT) as client,
    ):
        receipt = await client.upload(os.urandom(600_000), to=f"{FOLDER}/a.bin", on_event=broken)
        with pytest.raises(NotFound):
            await client.upload(b"content", to="/No/Such/Folder/a.txt")
        down = await client.download(f"{FOLDER}/a.bin", tmp_path / "back")
        assert await server.open_handlers() == []
    assert (receipt.status, receipt.restarted) == ("stored", 1)
    assert down.crc32 == receipt.crc32


@pytest.mark.anyio
@pytest.mark.parametrize("full", [(ERRORS[0], "processor"), (ERRORS[2], "handler")], indirect=True, ids=repr)
async def test_a_cancelled_upload_cleans_up_though_nothing_can_be_logged(
    full: BaseException, client: Client, emulator: Emulator
) -> None:
    reached = asyncio.Event()

    async def stuck() -> AsyncIterator[bytes]:
        yield os.urandom(600_000)
        reached.set()
        await asyncio.Event().wait()

    task = asyncio.ensure_future(client.upload(stuck(), to=f"{FOLDER}/a.bin"))
    await reached.wait()
    task.cancel()
    await asyncio.wait({task})

    assert task.cancelled()
    assert await emulator.open_handlers() == []


@pytest.mark.anyio
async def test_a_full_disk_for_the_log_file_costs_lines_only(emulator: Emulator) -> None:
    """Of structlog as of the standard library, which says so on standard error by itself."""
    for asked in (
        "import structlog; structlog.configure(logger_factory=structlog.WriteLoggerFactory(open('/dev/full', 'w', 1)))",
        "import logging; logging.basicConfig(level=0, filename='/dev/full')",
    ):
        ended = await run(f"{asked}\n{SCRIPT}", emulator.url, FOLDER)
        assert ended.returncode == 0, ended.stderr.decode()
    assert [len(document.versions) for document in await emulator.documents()] == [2]

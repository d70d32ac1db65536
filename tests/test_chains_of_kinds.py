"""An error of each kind, raised by what raises it in life: rendered, and sent to another process."""

import base64
import copy
import os
import pickle
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
from between import between
from chains import rendered, wrong_with
from conftest import FOLDER, PATIENT
from test_errors import KINDS

from asyncupload import AsyncUploadError, Client, Commit, Event, HandlerOpened, errors
from asyncupload.bulk.journal import Journal
from asyncupload.bulk.rows import Item
from asyncupload.emulator import Call, Emulator

pytestmark = pytest.mark.anyio

TO = f"{FOLDER}/a.bin"
CHUNK = 256 * 1024
HASTY = replace(
    PATIENT,
    timeouts=replace(PATIENT.timeouts, connect=5, finalize=0.3, settle=0.3),
    retries=replace(PATIENT.retries, attempts=3, restarts=1),
)


@dataclass
class Stage:
    """A server, whose faults are chosen while it runs, and a client of it."""

    server: Emulator
    client: Client
    folder: Path
    faults: dict[str, str] = field(default_factory=dict)

    async def upload(self, **faults: str) -> object:
        self.faults.update(faults)
        return await self.client.upload(b"data", to=TO)


@pytest.fixture
async def stage(tmp_path: Path) -> AsyncIterator[Stage]:
    faults = dict[str, str]()

    def script(call: Call) -> str | None:
        return faults.get(call.operation)

    async with (
        Emulator(tmp_path / "server", script=script) as server,
        Client(server.url, user="demo", password="demo", settings=HASTY) as client,
    ):
        yield Stage(server, client, tmp_path, faults)


class Failing:
    """A file on a disk that fails."""

    def read(self, _: int) -> bytes:
        raise OSError(5, "Input/output error")


async def _as(stage: Stage, url: str = "", **login: str) -> None:
    async with Client(url or stage.server.url, settings=HASTY, **login) as client:  # type: ignore[arg-type]
        await client.ping()


async def _shrunk(stage: Stage) -> None:
    file = stage.folder / "file"
    file.write_bytes(bytes(5 * CHUNK))

    def shrink(event: Event) -> None:
        if isinstance(event, HandlerOpened):
            os.truncate(file, 10)

    await stage.client.upload(file, to=TO, on_event=shrink)


async def _late(stage: Stage) -> None:
    hasty = replace(HASTY, timeouts=replace(HASTY.timeouts, reply=0.1))
    async with Client(stage.server.url, user="demo", password="demo", settings=hasty) as client:
        stage.faults["FolderExists"] = "stall"
        await client.folder_exists(FOLDER)


async def _damaged(stage: Stage) -> None:
    def damage(_: str, body: bytes) -> bytes:
        return body.replace(base64.b64encode(b"data"), base64.b64encode(b"dada"))

    await stage.upload()
    async with (
        between(stage.server.url, answer=damage) as proxy,
        Client(proxy.url, user="demo", password="demo", settings=HASTY) as client,
    ):
        await client.download(TO, stage.folder / "back")


async def _again(stage: Stage) -> None:
    await stage.upload()
    await stage.client.upload(b"data", to=TO, if_exists="fail")


async def _checked_out(stage: Stage) -> None:
    await stage.upload()
    await stage.server.set_checkout(TO, "somebody")
    await stage.upload()


async def _resumed(stage: Stage, *, size: int, times: int) -> None:
    token = "[upload 0123abcd]"
    await stage.upload()
    for _ in range(times):
        await stage.client.upload(b"more", to=TO, version_comment=token)
    handler = "00000000-0000-0000-0000-000000000000"
    commit = Commit(path=TO, handler=handler, size=size, crc32=0, existed=True, token=token, comment=token)
    await stage.client.resume_commit(commit, may_be_running=False)


async def _forbidden(stage: Stage) -> None:
    async with (
        Emulator(stage.folder / "strict", rules={FOLDER: {"NewDocuments": "disallows"}}) as server,
        Client(server.url, user="demo", password="demo", settings=HASTY) as client,
    ):
        await client.upload(b"data", to=TO)


async def _no_unpacking(stage: Stage) -> None:
    async with (
        Emulator(stage.folder / "old", generation="2019") as server,
        Client(server.url, user="demo", password="demo", settings=HASTY) as client,
    ):
        await client.upload_zip(b"PK", to=FOLDER)


async def _no_journal(stage: Stage) -> None:
    async with Journal.open(stage.folder):
        pass


async def _overtaken(stage: Stage) -> None:
    async with Journal.open(stage.folder / "journal") as journal:
        await journal.add([Item(source=b"a", destination=TO, size=1, mtime_ns=1)])
        (old,) = await journal.claim("one", 1, lease=0.0)
        await journal.claim("another", 1, lease=60)
        await journal.note_handler(old, "H")


RAISERS: dict[type[AsyncUploadError], Callable[[Stage], Awaitable[object]]] = {
    errors.UsageError: lambda stage: stage.client.upload(b"data", to="nowhere"),
    errors.SourceMissing: lambda stage: stage.client.upload(stage.folder / "none", to=TO),
    errors.NotAFile: lambda stage: stage.client.upload(stage.folder, to=TO),
    errors.SourceUnreadable: lambda stage: stage.client.upload(Failing(), to=TO),
    errors.EmptySource: lambda stage: stage.client.upload(b"", to=TO),
    errors.SourceChanged: _shrunk,
    errors.TargetUnwritable: lambda stage: stage.client.download(TO, stage.folder),
    errors.ConnectFailed: lambda stage: _as(stage, "http://127.0.0.1:1", user="demo", password="demo"),
    errors.TLSFailed: lambda stage: _as(
        stage, stage.server.url.replace("http:", "https:"), user="demo", password="demo"
    ),
    errors.ConnectionLost: lambda stage: stage.upload(UploadFileChunk="reset-before"),
    errors.TimedOut: _late,
    errors.ChunkDamaged: _damaged,
    errors.ForeignReply: lambda stage: stage.upload(FolderExists="html"),
    errors.Redirected: lambda stage: stage.upload(AuthenticateUser="redirect-302"),
    errors.ServerError: lambda stage: stage.upload(CreateUploadHandler="system-error"),
    errors.LoginRefused: lambda stage: _as(stage, user="demo", password="wrong"),
    errors.TicketRefused: lambda stage: _as(stage, ticket="00000000-0000-0000-0000-000000000000"),
    errors.AccessDenied: lambda stage: stage.upload(UploadNewDocumentWidthHandler="forbid"),
    errors.RuleViolated: _forbidden,
    errors.OperationMissing: _no_unpacking,
    errors.NotFound: lambda stage: stage.client.upload(b"data", to="/Nowhere/a.bin"),
    errors.AlreadyExists: _again,
    errors.CheckedOut: _checked_out,
    errors.HandlerLost: lambda stage: stage.upload(UploadFileChunk="lose-handler"),
    errors.ChunkRefused: lambda stage: stage.upload(UploadFileChunk="tryagain"),
    errors.ChecksumMismatch: lambda stage: stage.upload(UploadFileChunk="corrupt-chunk"),
    errors.OutcomeUnknown: lambda stage: stage.upload(UploadNewDocumentWidthHandler="stall"),
    errors.StoredDifferently: lambda stage: _resumed(stage, size=5, times=1),
    errors.StoredTwice: lambda stage: _resumed(stage, size=4, times=2),
    errors.JournalError: _no_journal,
    errors.LeaseLost: _overtaken,
}

ROOTS = {errors.AsyncUploadError, errors.SourceError, errors.TransportError}
"""Seldom or never raised by themselves."""


def test_every_kind_is_raised() -> None:
    assert {*RAISERS, *ROOTS} == set(KINDS.values())


@pytest.mark.parametrize("kind", RAISERS, ids=lambda kind: kind.__name__)
async def test_an_error_of_each_kind_is_told_by_every_renderer_and_survives_a_copy(
    kind: type[AsyncUploadError], stage: Stage
) -> None:
    with pytest.raises(AsyncUploadError) as caught:
        await RAISERS[kind](stage)
    error = caught.value
    assert type(error) is kind
    assert wrong_with(error) == ""
    assert all(kind.__name__ in text for text in rendered(error))
    for again in (pickle.loads(pickle.dumps(error)), copy.copy(error), copy.deepcopy(error)):
        assert type(again) is kind
        assert (str(again), again.args, vars(again)) == (str(error), error.args, vars(error))
        again.add_note("of the copy")
        assert "of the copy" not in getattr(error, "__notes__", ())

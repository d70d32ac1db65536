"""What lasts, where it lands on the disk, and what a crash leaves."""

import io
import os
import signal
import sqlite3
import subprocess
import sys
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path

import aiohttp
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from asyncupload.emulator import Emulator
from emulator.caller import Caller

pytestmark = pytest.mark.anyio


def strays(root: Path) -> Iterator[Path]:
    """Files that are not where, or not named as, the emulator files things."""
    data = root / "data"
    for path in root.rglob("*"):
        filed = path.parent in {data / "staging", data / "contents"} and path.name.isdecimal()
        if not filed and path not in {data, data / "staging", data / "contents"} and "emulator.sqlite" not in path.name:
            yield path


HOSTILE = st.one_of(
    st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=60),
    st.text("./\\~: \x00\nCD1", min_size=1, max_size=30),
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(HOSTILE)
@example("../../../../../../tmp/escaped")
@example("..\\..\\escaped")
@example("/etc/escaped")
@example("C:\\escaped")
@example("a\x00b")
@example("x" * 5000)
@example("🦆" * 300)
@example("emulator.sqlite")
@example("~D1")
@example("CON")
async def test_no_name_leads_out_of_the_data_folder(
    server: Emulator, caller: Caller, tmp_path: Path, name: str
) -> None:
    before = {document.id for document in await server.documents()}
    fields = {"FolderPath": "/Library", "DocumentName": name, "xmlParameters": "<x/>"}
    said = [
        await caller.call("UploadNewDocumentWidthHandler", **fields, uploadHandler=await caller.staged(b"new")),
        await caller.store(f"/Library/{name}"),
        await caller.store(name),
        await caller.call("CreateFolder", Path=f"/Library/{name}/{name}"),
    ]
    assert {one.status for one in said} == {200}
    assert list(strays(tmp_path)) == []
    for document in await server.documents():
        if document.id not in before:
            assert (await server.content(document.path)).parent == tmp_path / "data" / "contents"
    assert (await caller.call("FolderExists", Path="/Library")).ok


async def test_everything_survives_a_restart(tmp_path: Path) -> None:
    async with Emulator(tmp_path) as first, Caller(first.url) as caller:
        await caller.sign_in("demo", "demo")
        await caller.store("/Library/a", b"old")
        await caller.call("Lock", Path="/Library/a")
        await caller.call("CreateFolder", Path="/Library/made")
        download = (await caller.call("GetDownloadHandler", Path="/Library/a"))["downloadhandler"]
        handler = await caller.open(300_000)
        assert (await caller.chunk(handler, b"first ")).ok
        ticket = caller.ticket
    async with Emulator(tmp_path) as second, Caller(second.url) as caller:
        caller.ticket = ticket
        assert (await second.open_handlers())[0].chunk_size == 300_000
        last = await caller.chunk(handler, b"second", last=True)
        assert last["filehexcrc"] == f"{zlib.crc32(b'first second'):X}"
        said = await caller.call("UploadDocumentWithHandler", path="/Library/a", uploadHandler=handler)
        assert said["VersionId"] == "1000001"
        assert (await caller.call("FolderExists", Path="/Library/made")).ok
        part = await caller.call("DownloadFileChunk", DownloadHandler=download, ChunkSize="10")
        assert part.document.text == "b2xk"
        assert (await second.content("/Library/a")).read_bytes() == b"first second"
        assert (await second.content("/Library/a", 1_000_000)).read_bytes() == b"old"


async def test_the_same_emulator_starts_again_at_the_same_place(tmp_path: Path) -> None:
    server = Emulator(tmp_path)
    async with server, Caller(server.url) as caller:
        await caller.sign_in("demo", "demo")
        handler = await caller.open()
        await server.stop()
        await server.start()
        assert (await caller.chunk(handler, b"data")).ok


async def test_a_killed_process_loses_nothing_that_it_answered(tmp_path: Path) -> None:
    program = (
        "import asyncio, sys\n"
        "from asyncupload.emulator import Emulator\n"
        "async def main():\n"
        "    async with Emulator(sys.argv[1]) as server:\n"
        "        print(server.url, flush=True)\n"
        "        await asyncio.Event().wait()\n"
        "asyncio.run(main())\n"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    process = subprocess.Popen(  # noqa: ASYNC220
        [sys.executable, "-c", program, str(tmp_path)], stdout=subprocess.PIPE, text=True, env=environment
    )
    try:
        assert process.stdout is not None
        async with Caller(process.stdout.readline().strip()) as caller:
            await caller.sign_in("demo", "demo")
            handler, ticket = await caller.open(), caller.ticket
            assert (await caller.chunk(handler, b"first ")).ok
    finally:
        process.send_signal(signal.SIGKILL)
        process.communicate()
    [staged] = (tmp_path / "staging").iterdir()
    staged.write_bytes(staged.read_bytes() + b"written, but never recorded")
    async with Emulator(tmp_path) as server, Caller(server.url) as caller:
        assert staged.read_bytes() == b"first "
        caller.ticket = ticket
        last = await caller.chunk(handler, b"second", last=True)
        assert last["filehexcrc"] == f"{zlib.crc32(b'first second'):X}"


KILLED_BETWEEN = """
import asyncio, os, signal, sys
from asyncupload.emulator import Emulator

async def main():
    async with Emulator(sys.argv[1]) as server:
        print(server.url, flush=True)
        armed = []

        def look(statement):
            if statement.startswith("DELETE FROM uploads"):
                armed.append(statement)
            elif statement == "COMMIT" and armed:
                os.kill(os.getpid(), signal.SIGKILL)

        await server._store.run(lambda: server._store._db.set_trace_callback(look))
        await asyncio.Event().wait()

asyncio.run(main())
"""
"""Dies when the bytes of a handler are filed and the database has yet to be told for good."""


@pytest.mark.parametrize("operation", ["UploadDocumentWithHandler", "UploadZipWithHandler"])
async def test_a_process_killed_while_it_files_has_lost_nothing_and_stored_nothing(
    operation: str, tmp_path: Path
) -> None:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("a", b"member")
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    process = subprocess.Popen(  # noqa: ASYNC220
        [sys.executable, "-c", KILLED_BETWEEN, str(tmp_path)], stdout=subprocess.PIPE, text=True, env=environment
    )
    assert process.stdout is not None
    try:
        async with Caller(process.stdout.readline().strip()) as caller:
            await caller.sign_in("demo", "demo")
            handler, ticket = await caller.staged(packed.getvalue()), caller.ticket
            fields = {"path": "/Library/a", "folderPath": "/Library", "uploadHandler": handler}
            with pytest.raises(aiohttp.ClientError):
                await caller.call(operation, **fields)
    finally:
        process.kill()
        process.communicate()
    async with Emulator(tmp_path) as server, Caller(server.url) as caller:
        caller.ticket = ticket
        assert await server.documents() == []
        assert [one.guid for one in await server.open_handlers()] == [handler]
        assert (await caller.call(operation, **fields)).ok
        stored = (await server.content("/Library/a")).read_bytes()
        assert stored == (b"member" if "Zip" in operation else packed.getvalue())
    assert list((tmp_path / "staging").iterdir()) == []


async def test_a_filing_that_is_taken_back_leaves_the_bytes_where_they_were(
    server: Emulator, caller: Caller, tmp_path: Path
) -> None:
    handler = await caller.staged(b"content")
    await server._store.run(
        lambda: server._store.library._db.execute(
            "CREATE TRIGGER broken BEFORE UPDATE ON documents BEGIN SELECT RAISE(ABORT, 'broken'); END"
        )
    )
    fields = {"FolderPath": "/Library", "DocumentName": "a", "uploadHandler": handler}
    described = '<x><item NAME="DESCRIPTION" VALUE="x"/></x>'
    assert (await caller.call("UploadNewDocumentWidthHandler", xmlParameters=described, **fields)).status == 500
    assert await server.documents() == []
    assert (await caller.call("UploadNewDocumentWidthHandler", xmlParameters="<x/>", **fields)).ok
    assert (await server.content("/Library/a")).read_bytes() == b"content"


async def test_bytes_of_a_write_that_was_taken_back_are_overwritten(
    server: Emulator, caller: Caller, tmp_path: Path
) -> None:
    handler = await caller.open()
    await caller.chunk(handler, b"first ")
    [staged] = (tmp_path / "data" / "staging").iterdir()
    staged.write_bytes(b"first and what the database never heard of")
    await caller.chunk(handler, b"second", last=True)
    assert (await caller.call("UploadDocumentWithHandler", path="/Library/a", uploadHandler=handler)).ok
    assert (await server.content("/Library/a")).read_bytes() == b"first second"


async def test_a_handler_whose_bytes_are_lost_is_dropped(tmp_path: Path) -> None:
    async with Emulator(tmp_path) as server, Caller(server.url) as caller:
        await caller.sign_in("demo", "demo")
        for text in (b"one", b"two", b"three"):
            await caller.chunk(await caller.open(), text)
        await caller.open()
    first, second, third = sorted((tmp_path / "staging").iterdir())
    first.unlink()
    second.write_bytes(b"t")
    (tmp_path / "staging" / "99").write_bytes(b"nobody's")
    async with Emulator(tmp_path) as server:
        assert [handler.size for handler in await server.open_handlers()] == [5, 0]
    assert list((tmp_path / "staging").iterdir()) == [third]


async def test_a_data_folder_serves_one_emulator(tmp_path: Path) -> None:
    async with Emulator(tmp_path):
        with pytest.raises(RuntimeError, match=r"cannot use the data folder .*locked"):
            await Emulator(tmp_path).start()
    async with Emulator(tmp_path) as server:
        assert await server.documents() == []


async def test_a_data_folder_of_another_layout_is_left_alone(tmp_path: Path) -> None:
    async with Emulator(tmp_path):
        pass
    with sqlite3.connect(tmp_path / "emulator.sqlite") as db:
        db.execute("PRAGMA user_version=99")
    db.close()
    with pytest.raises(RuntimeError, match="layout 99"):
        await Emulator(tmp_path).start()


async def test_a_data_folder_that_is_none_is_refused(tmp_path: Path) -> None:
    (tmp_path / "emulator.sqlite").write_bytes(b"not a database" * 100)
    with pytest.raises(RuntimeError, match="cannot use the data folder"):
        await Emulator(tmp_path).start()


async def test_users_may_be_taken_away(tmp_path: Path) -> None:
    async with Emulator(tmp_path, users={"Ann": "a"}) as server, Caller(server.url) as caller:
        await caller.sign_in("ann", "a")
        await caller.store("/Library/a")
        ticket = caller.ticket
    async with Emulator(tmp_path, users={"bob": "b"}) as server, Caller(server.url) as caller:
        caller.ticket = ticket
        assert (await caller.call("isValidTicket")).code == "4010"
        assert (await caller.call("AuthenticateUser", UID="Ann", PWD="a")).code == "4010"
        assert (await server.documents())[0].latest.author == "Ann"


async def test_an_expired_ticket_is_none(tmp_path: Path) -> None:
    async with Emulator(tmp_path) as server, Caller(server.url) as caller:
        await caller.sign_in("demo", "demo")
        ticket = caller.ticket
    with sqlite3.connect(tmp_path / "emulator.sqlite") as db:
        db.execute("UPDATE tickets SET expires = strftime('%s', 'now') + 3600")
    db.close()
    async with Emulator(tmp_path) as server, Caller(server.url) as caller:
        caller.ticket = ticket
        short = (await caller.call("isValidTicket"))["expireOn"]
        assert (await caller.call("isValidTicket"))["expireOn"] == short
        assert (await caller.call("FolderExists", Path="/Library")).ok
        assert (await caller.call("isValidTicket"))["expireOn"] > short
    with sqlite3.connect(tmp_path / "emulator.sqlite") as db:
        db.execute("UPDATE tickets SET expires = strftime('%s', 'now') - 1")
    db.close()
    async with Emulator(tmp_path) as server, Caller(server.url) as caller:
        caller.ticket = ticket
        assert (await caller.call("FolderExists", Path="/Library"))["error"].startswith("[901]")


@pytest.mark.parametrize("name", ["staging", "contents", "emulator.sqlite"])
@pytest.mark.parametrize("kind", ["link", "pipe"])
async def test_what_was_planted_in_the_data_folder_is_not_written_through(name: str, kind: str, tmp_path: Path) -> None:
    """A folder that others may write to, as in ``/tmp``."""
    data, victim = tmp_path / "data", tmp_path / "victim"
    data.mkdir()
    victim.mkdir()
    (data / name).symlink_to(victim / "new") if kind == "link" else os.mkfifo(data / name)
    with pytest.raises((RuntimeError, OSError)):
        async with Emulator(data):
            pass
    assert list(victim.iterdir()) == []

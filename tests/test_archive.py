"""One archive up, and documents made of its entries: told entry by entry, and nothing left behind."""

import asyncio
import io
import os
import zipfile
import zlib
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
from conftest import BRISK, FOLDER, PATIENT
from troubled import against, count, until, version_comments

from asyncupload import (
    AsyncUploadError,
    BytesSource,
    Client,
    Committing,
    Event,
    HandlerOpened,
    NotFound,
    Outcome,
    OutcomeUnknown,
    ServerError,
    SourceMissing,
    UnpackedItem,
    UsageError,
)
from asyncupload._entries import entries
from asyncupload._tally import Tally
from asyncupload.emulator import Call, Emulator, at

pytestmark = pytest.mark.anyio

UNPACK = "UploadZipWithHandler"
CONTENTS = {"a.txt": b"first", "März/b.bin": os.urandom(400_000), "März/Q1/c": b"third"}


def _zip(contents: dict[str, bytes]) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_STORED) as archive:
        for name, data in contents.items():
            archive.writestr(name, data)
    return packed.getvalue()


ARCHIVE = _zip(CONTENTS)
"""More than one chunk."""

PARTLY = _zip({"a.txt": b"first", "../out.txt": b"no", "c.txt": b"third"})


async def _stored(server: Emulator) -> dict[str, bytes]:
    """All documents' latest bytes."""
    paths = [document.path for document in await server.documents()]
    return {path: (await server.content(path)).read_bytes() for path in paths}


async def test_documents_are_made_of_all_entries(client: Client, emulator: Emulator, tmp_path: Path) -> None:
    (tmp_path / "all.zip").write_bytes(ARCHIVE)
    events = list[Event]()
    done = await client.upload_zip(tmp_path / "all.zip", to=f"{FOLDER}/", on_event=events.append)
    assert await _stored(emulator) == {f"{FOLDER}/{name}": data for name, data in CONTENTS.items()}
    assert (done.folder, done.size, done.crc32) == (FOLDER, len(ARCHIVE), zlib.crc32(ARCHIVE))
    assert done.failed == ()
    assert isinstance(events[0], HandlerOpened)
    assert events[-1] == Committing(path=FOLDER, sent=len(ARCHIVE))
    assert await emulator.open_handlers() == []


async def test_what_the_server_says_of_each_entry_is_handed_on(tmp_path: Path) -> None:
    async with against(tmp_path, variants=["zip-logs"]) as (_, client):
        done = await client.upload_zip(ARCHIVE, to=FOLDER)
        assert {item.name: item.error for item in done.items} == dict.fromkeys(CONTENTS, "")


@pytest.mark.parametrize("encoding", ["multipart", "soap"])
async def test_entries_that_were_refused_are_named_and_the_others_are_there(encoding: str, tmp_path: Path) -> None:
    """A refusal with a log in it is no error: it says what was done."""
    settings = type(PATIENT)(chunk_size=PATIENT.chunk_size, encoding=encoding)  # type: ignore[arg-type]
    async with against(tmp_path, None, settings) as (server, client):
        done = await client.upload_zip(PARTLY, to=FOLDER)
        assert await _stored(server) == {f"{FOLDER}/a.txt": b"first", f"{FOLDER}/c.txt": b"third"}
        assert done.failed == (UnpackedItem(name="../out.txt", error="The name leads out of the folder."),)
        assert count(server, UNPACK) == 1
        assert await server.open_handlers() == []


async def test_only_what_has_changed_becomes_a_version(client: Client, emulator: Emulator) -> None:
    await client.upload_zip(_zip({"a": b"same", "b": b"old"}), to=FOLDER)
    done = await client.upload_zip(_zip({"a": b"same", "b": b"new"}), to=FOLDER, changed_only=True)
    assert done.failed == ()
    assert len(await version_comments(emulator, f"{FOLDER}/a")) == 1
    assert len(await version_comments(emulator, f"{FOLDER}/b")) == 2
    assert await _stored(emulator) == {f"{FOLDER}/a": b"same", f"{FOLDER}/b": b"new"}


@pytest.mark.parametrize("check_out", [False, True])
async def test_existing_documents_take_a_version_only_if_they_may_be_checked_out(
    check_out: bool, client: Client, emulator: Emulator
) -> None:
    await client.upload_zip(_zip({"a": b"old"}), to=FOLDER)
    done = await client.upload_zip(_zip({"a": b"new"}), to=FOLDER, check_out=check_out)
    assert bool(done.failed) is not check_out
    assert await _stored(emulator) == {f"{FOLDER}/a": b"new" if check_out else b"old"}


@pytest.mark.parametrize("notify", [False, True])
async def test_subscribers_are_told_only_if_that_is_wished(notify: bool, client: Client, emulator: Emulator) -> None:
    await client.upload_zip(_zip({"a": b"data"}), to=FOLDER, notify=notify)
    (document,) = await emulator.documents()
    assert document.latest.notified is notify


# ── what goes wrong ─────────────────────────────────────────────────────────────────────────────────────────────────


async def test_what_is_no_archive_is_refused_and_makes_nothing(tmp_path: Path) -> None:
    async with against(tmp_path, variants=["lenient-consume"]) as (server, client):
        with pytest.raises(ServerError, match="Unzip operation failed") as caught:
            await client.upload_zip(b"no archive at all", to=FOLDER)
        assert not isinstance(caught.value, OutcomeUnknown)
        assert await server.documents() == []
        assert await server.open_handlers() == [], "the server kept it, and it is ours to delete"


async def test_what_cannot_work_is_found_out_before_a_byte_is_sent(
    client: Client, emulator: Emulator, tmp_path: Path
) -> None:
    with pytest.raises(NotFound):
        await client.upload_zip(ARCHIVE, to=f"{FOLDER}/Nowhere")
    with pytest.raises(UsageError, match="names no library"):
        await client.upload_zip(ARCHIVE, to="/")
    with pytest.raises(SourceMissing):
        await client.upload_zip(tmp_path / "nothing.zip", to=FOLDER)
    assert count(emulator, "CreateUploadHandler") == 0


@pytest.mark.parametrize(
    "fault", ["drop-after", "truncated-after", "fail-502-after", "html-after", "system-error-after"]
)
async def test_a_lost_reply_is_looked_into(fault: str, tmp_path: Path) -> None:
    """All entries are there, with their sizes and checksums: nothing is asked for a second time."""
    async with against(tmp_path, at({(UNPACK, 1): fault})) as (server, client):
        done = await client.upload_zip(ARCHIVE, to=FOLDER)
        assert {item.name: item.error for item in done.items} == dict.fromkeys(CONTENTS, "")
        assert count(server, UNPACK) == 1
        assert [len(document.versions) for document in await server.documents()] == [1, 1, 1]


@pytest.mark.parametrize("fault", ["drop-before", "refuse-500", "refuse-503", "system-error", "consume-handler"])
async def test_a_request_that_did_nothing_is_sent_again_when_the_server_must_have_ended(
    fault: str, tmp_path: Path
) -> None:
    async with against(tmp_path, at({(UNPACK, 1): fault}), BRISK) as (server, client):
        await client.upload_zip(ARCHIVE, to=FOLDER)
        assert await _stored(server) == {f"{FOLDER}/{name}": data for name, data in CONTENTS.items()}
        assert [len(document.versions) for document in await server.documents()] == [1, 1, 1]
        assert count(server, UNPACK) == (3 if fault == "consume-handler" else 2)
        assert await server.open_handlers() == []


async def test_a_server_that_breaks_off_is_told_entry_by_entry(tmp_path: Path) -> None:
    """It has said so itself. What is there is not asked for again: it could become versions once more."""
    async with against(tmp_path, variants=["zip-breaks"]) as (server, client):
        done = await client.upload_zip(ARCHIVE, to=FOLDER)
        assert set(await _stored(server)) == {f"{FOLDER}/a.txt"}
        assert {item.name for item in done.items if not item.error} == {"a.txt"}
        assert {item.name for item in done.failed} == {"März/b.bin", "März/Q1/c"}
        assert count(server, UNPACK) == 1
        assert await server.open_handlers() == []


async def test_a_server_that_fails_at_every_archive_is_told_in_its_own_words(tmp_path: Path) -> None:
    def script(call: Call) -> str | None:
        return "consume-handler" if call.operation == UNPACK else None

    async with against(tmp_path, script) as (server, client):
        with pytest.raises(ServerError, match="could not be written to the warehouse") as caught:
            await client.upload_zip(ARCHIVE, to=FOLDER)
        assert caught.value.outcome is Outcome.NOT_APPLIED
        assert await server.documents() == []
        assert await server.open_handlers() == []


async def test_what_is_not_found_in_time_is_told_as_unknown_with_what_is_there(tmp_path: Path) -> None:
    """The server may be at work on the rest: nothing is deleted, and nothing sent again."""
    settings = replace(PATIENT, timeouts=replace(PATIENT.timeouts, settle=0.5))
    async with against(tmp_path, at({(UNPACK, 1): "drop-after"}), settings) as (server, client):
        with pytest.raises(OutcomeUnknown, match=r"2 of 3 entries are there, and not \.\./out\.txt; look what"):
            await client.upload_zip(PARTLY, to=FOLDER)
        assert count(server, UNPACK) == 1
        assert count(server, "DeleteUploadHandler") == 0


async def test_entries_in_a_folder_that_the_server_renames_are_found(tmp_path: Path) -> None:
    async with against(tmp_path, at({(UNPACK, 1): "drop-after"})) as (server, client):
        done = await client.upload_zip(_zip({"R&D/50%/a": b"first", "R&D/b": b"second"}), to=FOLDER)
        assert done.failed == ()
        assert set(await _stored(server)) == {f"{FOLDER}/R_D/50_/a", f"{FOLDER}/R_D/b"}


async def test_an_entry_of_another_size_or_checksum_is_not_there(tmp_path: Path) -> None:
    settings = replace(PATIENT, timeouts=replace(PATIENT.timeouts, settle=0.5))
    async with against(tmp_path, at({(UNPACK, 2): "drop-before"}), settings) as (_, client):
        await client.upload_zip(_zip({"a": b"same", "b": b"old"}), to=FOLDER)
        with pytest.raises(OutcomeUnknown, match="1 of 2 entries are there, and not b"):
            await client.upload_zip(_zip({"a": b"same", "b": b"new"}), to=FOLDER, check_out=True)


async def test_a_lost_reply_about_a_stream_is_told_as_unknown(tmp_path: Path) -> None:
    """Nobody knows what was in it; and a second request would only be refused."""

    async def pieces() -> AsyncIterator[bytes]:
        yield ARCHIVE

    async with against(tmp_path, at({(UNPACK, 1): "drop-after"})) as (server, client):
        with pytest.raises(OutcomeUnknown, match=r"look what is there .* changed_only") as caught:
            await client.upload_zip(pieces(), to=FOLDER)
        assert isinstance(caught.value.__cause__, AsyncUploadError)
        assert count(server, UNPACK) == 1
        assert count(server, "DeleteUploadHandler") == 0, "the server may be at work on it"


async def test_a_directory_that_is_longer_than_a_short_look_is_read(tmp_path: Path) -> None:
    names = {f"{number:0200}": b"" for number in range(4000)}
    async with against(tmp_path, at({(UNPACK, 1): "drop-before"}), BRISK) as (_, client):
        threads = client._entered()
        sent = Tally()
        data = _zip(names)
        sent.sent, sent.crc32 = len(data), zlib.crc32(data)
        found = await entries(BytesSource(data), client._patience, threads, sent)
        assert [entry.name for entry in found] == list(names)


async def test_a_request_that_was_turned_away_is_sent_again(tmp_path: Path) -> None:
    async with against(tmp_path, at({(UNPACK, 1): "refuse-429", (UNPACK, 2): "expire-ticket"})) as (server, client):
        await client.upload_zip(ARCHIVE, to=FOLDER)
        assert len(await server.documents()) == len(CONTENTS)


async def test_lost_chunks_arrive_once(tmp_path: Path) -> None:
    script = at({("UploadFileChunk", 1): "drop-after", ("UploadFileChunk", 3): "tryagain"})
    async with against(tmp_path, script) as (server, client):
        await client.upload_zip(ARCHIVE, to=FOLDER)
        assert await _stored(server) == {f"{FOLDER}/{name}": data for name, data in CONTENTS.items()}
        assert await server.open_handlers() == []


@pytest.mark.parametrize("stage", ["CreateUploadHandler", "UploadFileChunk"])
async def test_cancelled_it_deletes_its_handler(stage: str, tmp_path: Path) -> None:
    async with against(tmp_path) as (server, client):
        task = asyncio.ensure_future(client.upload_zip(ARCHIVE, to=FOLDER))
        await until(lambda: count(server, stage))
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert await server.open_handlers() == []
        assert await server.documents() == []


async def test_cancelled_while_the_server_unpacks_it_leaves_that_in_peace(tmp_path: Path) -> None:
    async with against(tmp_path, at({(UNPACK, 1): "stall-after"})) as (server, client):
        task = asyncio.ensure_future(client.upload_zip(ARCHIVE, to=FOLDER))
        await until(lambda: any(call.operation == UNPACK and call.applied for call in server.calls))
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert count(server, "DeleteUploadHandler") == 0
        assert len(await server.documents()) == len(CONTENTS)

"""Limits and folder rules for archives: told before the first byte, by the name of the archive or of the entry."""

import io
import zipfile
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from conftest import FOLDER, PATIENT
from troubled import count

from asyncupload import Client, FileSource, RuleViolated
from asyncupload._archive_rules import ASKED
from asyncupload.emulator import Emulator

pytestmark = pytest.mark.anyio

LIMIT = 300_000
PDF_ONLY = {FOLDER: {"AllowableFileTypes": ".pdf"}}


def packed(contents: dict[str, bytes], how: int = zipfile.ZIP_STORED) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", how) as archive:
        for name, data in contents.items():
            archive.writestr(name, data)
    return file.getvalue()


def at_path(data: bytes, folder: Path) -> Path:
    (folder / "all.zip").write_bytes(data)
    return folder / "all.zip"


def behind_other_bytes(data: bytes, _: Path) -> FileSource:
    """A file object that stands in its middle: what is before that is not sent."""
    file = io.BytesIO(b"before" + data)
    file.seek(6)
    return FileSource(file, name="all.zip")


SOURCES: dict[str, Callable[[bytes, Path], Any]] = {
    "path": at_path,
    "bytes": lambda data, _: data,
    "file object": behind_other_bytes,
}


@asynccontextmanager
async def serving(folder: Path, **options: Any) -> AsyncIterator[tuple[Emulator, Client]]:
    async with (
        Emulator(folder / "server", **options) as server,
        Client(server.url, user="demo", password="demo", settings=PATIENT) as client,
    ):
        yield server, client


async def refused(server: Emulator, client: Client, source: Any, **options: Any) -> RuleViolated:
    """The refusal, before which no handler was made."""
    before = count(server, "CreateUploadHandler")
    with pytest.raises(RuleViolated) as caught:
        await client.upload_zip(source, to=FOLDER, **options)
    assert count(server, "CreateUploadHandler") == before
    return caught.value


@pytest.mark.parametrize("generation", ["newer", "older"])
async def test_an_archive_that_is_too_large_is_not_sent(generation: str, tmp_path: Path) -> None:
    missing = ["GetGeneralAppSettings"] if generation == "older" else []
    archive = at_path(packed({"a": bytes(LIMIT // 2), "b": bytes(LIMIT // 2)}), tmp_path)
    async with serving(tmp_path, document_max_size=LIMIT, missing=missing) as (server, client):
        error = await refused(server, client, archive)
        assert error.rule == ("FILEUPLOADLIMIT" if missing else "DocumentMaxSize")
        assert f"the archive {archive} for {FOLDER} has {archive.stat().st_size} bytes" in str(error)


async def test_a_stream_is_bounded_while_it_is_sent(tmp_path: Path) -> None:
    async def pieces() -> AsyncIterator[bytes]:
        for _ in range(20):
            yield bytes(100_000)

    async with serving(tmp_path, document_max_size=LIMIT) as (server, client):
        with pytest.raises(RuleViolated, match="the archive stream for"):
            await client.upload_zip(pieces(), to=FOLDER)
        assert count(server, "UploadFileChunk") == 1
        assert await server.open_handlers() == []


@pytest.mark.parametrize("kind", SOURCES)
async def test_an_entry_that_is_too_large_when_it_is_unpacked_is_named(kind: str, tmp_path: Path) -> None:
    data = packed({"a.txt": b"x", "deep/b.txt": bytes(LIMIT + 1)}, zipfile.ZIP_DEFLATED)
    async with serving(tmp_path, document_max_size=LIMIT) as (server, client):
        error = await refused(server, client, SOURCES[kind](data, tmp_path))
        assert str(error).startswith("deep/b.txt in ")
        assert error.value == str(LIMIT + 1)


@pytest.mark.parametrize("kind", SOURCES)
async def test_an_entry_of_a_type_that_the_folder_does_not_take_is_named(kind: str, tmp_path: Path) -> None:
    data = packed({"a.pdf": b"x", "b.exe": b"y"})
    async with serving(tmp_path, rules=PDF_ONLY) as (server, client):
        error = await refused(server, client, SOURCES[kind](data, tmp_path))
        assert str(error).startswith("b.exe in ")
        assert (error.rule, error.limit, error.value) == ("AllowableFileTypes", ".pdf", "exe")
        assert await server.documents() == []


@pytest.mark.parametrize("kind", SOURCES)
async def test_what_was_looked_into_is_sent_from_its_beginning(kind: str, tmp_path: Path) -> None:
    data = packed({"a.pdf": b"x" * 300_000, "b.pdf": b"y"})
    async with serving(tmp_path, rules=PDF_ONLY, document_max_size=10 * LIMIT) as (server, client):
        done = await client.upload_zip(SOURCES[kind](data, tmp_path), to=FOLDER)
        assert (done.failed, done.size) == ((), len(data))
        assert {document.latest.size for document in await server.documents()} == {300_000, 1}


async def test_a_folder_within_has_rules_of_its_own_and_one_that_is_not_there_has_none(tmp_path: Path) -> None:
    async with serving(tmp_path, rules={f"{FOLDER}/Q1": {"NewDocuments": "disallows"}}) as (server, client):
        await client.upload_zip(packed({"Q1/a": b"x", "Q2/deep/deeper/b": b"x"}), to=FOLDER)
        assert count(server, "GetFolderRules") == 3  # that of the folder, of Q1 and of Q2: below Q2 there is nothing
    async with serving(tmp_path, rules={f"{FOLDER}/Q1": {"NewDocuments": "disallows"}}) as (server, client):
        error = await refused(server, client, packed({"Q2/b": b"x", "Q1/c": b"x"}))
        assert str(error).startswith("Q1/c in bytes: ")
        assert error.rule == "NewDocuments"


async def test_what_is_there_already_is_held_against_the_rules_for_versions(tmp_path: Path) -> None:
    async with serving(tmp_path) as (_, client):
        await client.upload_zip(packed({"a.exe": b"old"}), to=FOLDER)
    async with serving(tmp_path, rules=PDF_ONLY) as (server, client):
        done = await client.upload_zip(packed({"a.exe": b"new"}), to=FOLDER, check_out=True)
        assert done.failed == ()
    async with serving(tmp_path, rules={FOLDER: {"Checkins": "disallows"}}) as (server, client):
        await client.upload_zip(packed({"b.exe": b"new"}), to=FOLDER)
        error = await refused(server, client, packed({"a.exe": b"newer"}), check_out=True)
        assert error.rule == "Checkins"
        done = await client.upload_zip(packed({"a.exe": b"new"}), to=FOLDER, changed_only=True)
        assert done.failed == ()  # it is left out


async def test_no_more_than_some_entries_are_looked_for(tmp_path: Path) -> None:
    names = {f"{number}.exe": b"x" for number in range(ASKED + 20)}
    async with serving(tmp_path) as (_, client):
        await client.upload_zip(packed(names), to=FOLDER)
    async with serving(tmp_path, rules=PDF_ONLY) as (server, client):
        await client.upload_zip(packed(names), to=FOLDER, changed_only=True)
        assert count(server, "DocumentExists") == ASKED


@pytest.mark.parametrize(
    "data",
    [b"no archive at all", b"PK\x05\x06", packed({"../out": b"x"})],
    ids=["other bytes", "half an end", "a name that leads out"],
)
async def test_what_cannot_be_looked_into_is_the_servers_to_judge(data: bytes, tmp_path: Path) -> None:
    async with serving(tmp_path, rules=PDF_ONLY) as (server, client):
        with pytest.raises(Exception) as caught:  # noqa: PT012
            done = await client.upload_zip(data, to=FOLDER)
            assert not done.failed
        assert not isinstance(caught.value, RuleViolated)
        assert count(server, "UploadZipWithHandler") == 1

"""What one run has learned of the server, the next one knows."""

from dataclasses import replace
from pathlib import Path

import pytest
from conftest import PATIENT
from troubled import count

from asyncupload import Client
from asyncupload.bulk.journal import Journal
from asyncupload.bulk.learned import ENCODING
from asyncupload.bulk.rows import Metadata
from asyncupload.emulator import Emulator
from bulk.loads import Files, load, many, states

pytestmark = pytest.mark.anyio


async def _load(server: Emulator, journal: Path, files: Files, names: dict[str, bytes]) -> set[str]:
    """The ways in which the chunks of a run went."""
    before = len(server.calls)
    async with Client(server.url, user="demo", password="demo", settings=PATIENT) as client:
        progress, _ = await load(client, journal, files.write(names))
    assert set(states(progress)) == {"stored"}
    return {call.way for call in server.calls[before:] if call.operation == "UploadFileChunk"}


async def _noted(journal: Path) -> str | None:
    async with Journal.open(journal) as opened:
        return (await opened.run()).get(ENCODING)


async def test_a_second_run_begins_with_the_encoding_that_the_first_one_found(tmp_path: Path) -> None:
    files, journal = Files(tmp_path / "files"), tmp_path / "load.journal"
    async with Emulator(tmp_path / "server", generation="2019") as server:
        assert await _load(server, journal, files, many(5)) == {"multipart", "soap"}
        assert await _noted(journal) == "soap"
        handlers = count(server, "CreateUploadHandler")
        assert await _load(server, journal, files, {"later.bin": b"later"}) == {"soap"}
        assert count(server, "CreateUploadHandler") == handlers + 1


async def test_a_server_that_has_changed_is_found_out_anew(tmp_path: Path) -> None:
    files, journal = Files(tmp_path / "files"), tmp_path / "load.journal"
    async with Emulator(tmp_path / "server", generation="2019") as server:
        await _load(server, journal, files, many(2))
    async with Emulator(tmp_path / "server", variants=["no-soap"]) as server:
        assert await _load(server, journal, files, {"later.bin": b"later"}) == {"multipart"}
    assert await _noted(journal) == "multipart"


async def test_a_second_run_writes_parameters_as_the_first_one_found_them_to_be_read(tmp_path: Path) -> None:
    """Of the first run one document has lost what was asked for, and of the second none."""
    given, journal = Metadata(description="x"), tmp_path / "load.journal"
    async with Emulator(tmp_path / "server", variants=["key-parameters"]) as server:
        for name in ("first.bin", "second.bin"):
            files = Files(tmp_path / name)
            async with Client(server.url, user="demo", password="demo", settings=PATIENT) as client:
                items = [replace(item, metadata=given) for item in files.write({name: b"data"})]
                await load(client, journal, items)
        assert sorted(document.description for document in await server.documents()) == ["", "x"]


async def test_of_the_usual_server_nothing_is_written_down(tmp_path: Path) -> None:
    files, journal = Files(tmp_path / "files"), tmp_path / "load.journal"
    async with Emulator(tmp_path / "server") as server:
        assert await _load(server, journal, files, many(2)) == {"multipart"}
    assert await _noted(journal) is None

"""What one command has found out about a server, the next one begins with; as a hint, and nothing more."""

import json
import os
import sys
from pathlib import Path

import pytest
from anyio.from_thread import BlockingPortal

from asyncupload.cli import remembered
from asyncupload.emulator import Emulator

from .conftest import Here

URL = "https://host/InfoRouter"


def environ(server: Emulator) -> dict[str, str]:
    return {"ASYNCUPLOAD_SERVER": server.url, "ASYNCUPLOAD_USER": "demo", "ASYNCUPLOAD_PASSWORD": "demo"}


def ways(server: Emulator) -> set[str]:
    return {call.way for call in server.calls if call.operation == "UploadFileChunk"}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    (tmp_path / "a.txt").write_bytes(b"data")
    return tmp_path / "a.txt"


def test_a_second_upload_begins_with_the_grammar_and_the_encoding_that_the_first_one_found(
    portal: BlockingPortal, tmp_path: Path, file: Path, here: Here
) -> None:
    """Otherwise each command would lose what it asks for, and say so."""
    variants = ["key-parameters"]
    with portal.wrap_async_context_manager(
        Emulator(tmp_path / "server", generation="2019", variants=variants)
    ) as server:
        codes, before = list[int](), 0
        for number in range(3):
            words = ("upload", file, f"/Library/{number}.txt", "--description", "x", "--json")
            before = len(server.calls)
            codes.append(here(*words, env=environ(server)).code)
        assert codes == [3, 0, 0]
        assert [call.way for call in server.calls[before:] if call.operation == "UploadFileChunk"] == ["soap"]
    assert remembered.recall(server.url) == {"encoding": "soap", "grammar": "parameter"}


def test_a_server_that_has_become_another_one_is_found_out_anew(
    portal: BlockingPortal, tmp_path: Path, file: Path, here: Here
) -> None:
    with portal.wrap_async_context_manager(Emulator(tmp_path / "server", variants=["no-soap"])) as server:
        remembered.note(server.url, {"encoding": "soap", "grammar": "parameter"})
        ended = here("upload", file, "/Library/a.txt", "--description", "x", "--json", env=environ(server))
        assert (ended.code, ended.said["status"]) == (0, "stored")
        assert "multipart" in ways(server)
        assert remembered.recall(server.url)["encoding"] == "multipart"


def test_the_users_own_word_for_an_encoding_is_not_remembered(
    portal: BlockingPortal, tmp_path: Path, file: Path, here: Here
) -> None:
    with portal.wrap_async_context_manager(Emulator(tmp_path / "server")) as server:
        assert here("upload", file, "/Library/a.txt", "--encoding", "form", env=environ(server)).code == 0
        assert remembered.recall(server.url) == remembered.USUAL
        assert not remembered.place().exists()  # of the usual server nothing is written down


def test_servers_are_told_apart_and_named_without_what_stands_before_the_host() -> None:
    remembered.note("https://user:secret@HOST/InfoRouter/", {"encoding": "soap"})
    remembered.note("https://host/Other", {"grammar": "parameter"})
    assert remembered.recall(URL) == {"encoding": "soap", "grammar": "item"}
    assert remembered.recall("https://host/Other") == {"encoding": "multipart", "grammar": "parameter"}
    assert remembered.recall("http://host/InfoRouter") == remembered.USUAL
    assert "secret" not in remembered.place().read_text()
    remembered.note(URL, {"encoding": "multipart"})
    assert list(json.loads(remembered.place().read_text())) == ["https://host/other"]


def test_no_more_servers_than_some_are_kept_and_the_latest_are() -> None:
    for number in range(remembered.MOST + 5):
        remembered.note(f"https://host/{number}", {"encoding": "soap"})
    kept = list(json.loads(remembered.place().read_text()))
    assert kept == [f"https://host/{number}" for number in range(5, remembered.MOST + 5)]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[1]",
        "null",
        "[" * 90_000,
        '{"https://host/inforouter": 3}',
        '{"https://host/inforouter": {"encoding": 1}}',
    ],
    ids=range(7),
)
def test_a_file_that_nobody_could_have_written_is_none(text: str) -> None:
    remembered.place().parent.mkdir(parents=True)
    remembered.place().write_text(text)
    assert remembered.recall(URL) == remembered.USUAL
    remembered.note(URL, {"encoding": "soap"})
    assert remembered.recall(URL)["encoding"] == "soap"


def test_a_word_that_is_not_known_is_no_trouble(portal: BlockingPortal, tmp_path: Path, file: Path, here: Here) -> None:
    with portal.wrap_async_context_manager(Emulator(tmp_path / "server")) as server:
        remembered.note(server.url, {"encoding": "pigeon", "grammar": "verse"})
        assert here("upload", file, "/Library/a.txt", env=environ(server)).code == 0


@pytest.mark.skipif(sys.platform == "win32" or os.geteuid() == 0, reason="nothing is closed to everybody there")
def test_a_folder_that_cannot_be_written_is_no_trouble() -> None:
    remembered.place().parent.mkdir(parents=True, mode=0o500)
    remembered.note(URL, {"encoding": "soap"})
    assert remembered.recall(URL) == remembered.USUAL


def test_a_file_where_the_folder_should_be_is_no_trouble() -> None:
    remembered.place().parent.parent.mkdir(parents=True, exist_ok=True)
    remembered.place().parent.write_text("in the way")
    remembered.note(URL, {"encoding": "soap"})
    assert remembered.recall(URL) == remembered.USUAL


def test_a_link_in_its_place_is_replaced_and_not_written_through(tmp_path: Path) -> None:
    (tmp_path / "precious").write_text("{}")
    remembered.place().parent.mkdir(parents=True)
    remembered.place().symlink_to(tmp_path / "precious")
    remembered.note(URL, {"encoding": "soap"})
    assert (tmp_path / "precious").read_text() == "{}"
    assert remembered.recall(URL)["encoding"] == "soap"

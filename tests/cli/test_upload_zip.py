"""``asyncupload upload-zip``, typed."""

import io
import signal
import subprocess
import zipfile
import zlib
from pathlib import Path

import pytest

from .commands import end, feed, start
from .conftest import Here, Server

FOLDER = "/Finance/Reports"


def packed(**entries: str) -> bytes:
    """An archive of files by name."""
    whole = io.BytesIO()
    with zipfile.ZipFile(whole, "w") as archive:
        for name, content in entries.items():
            archive.writestr(name, content)
    return whole.getvalue()


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    """Two entries."""
    path = tmp_path / "both.zip"
    path.write_bytes(packed(one="first", two="second"))
    return path


@pytest.fixture
def half_good(tmp_path: Path) -> Path:
    """Two entries, one of which leads out of every folder."""
    path = tmp_path / "half.zip"
    path.write_bytes(packed(one="first", **{"../two": "second"}))
    return path


def test_its_entries_are_documents_and_json_tells_of_the_archive(server: Server, archive: Path, here: Here) -> None:
    ended = here("upload-zip", archive, FOLDER, "--json", env=server.login)
    assert ended.code == 0, ended
    said = ended.said
    assert said.pop("seconds") > 0
    assert said == {
        "status": "unpacked",
        "path": FOLDER,
        "size": archive.stat().st_size,
        "crc32": f"{zlib.crc32(archive.read_bytes()):08X}",
        "items": [],  # this server names failures only
    }
    assert server.content(f"{FOLDER}/one") == b"first"
    assert server.content(f"{FOLDER}/two") == b"second"


def test_in_words_it_is_one_sentence(server: Server, archive: Path, here: Here) -> None:
    ended = here("upload-zip", archive, FOLDER, env=server.login)
    assert ended.out.startswith(f"unpacked into {FOLDER}: {archive.stat().st_size} B in ")
    assert ended.out.count("\n") == 1


def test_an_entry_that_fails_is_named_and_the_others_are_documents(server: Server, half_good: Path, here: Here) -> None:
    ended = here("upload-zip", half_good, FOLDER, "--json", env=server.login)
    assert ended.code == 1
    said = ended.said
    assert (said["status"], said["error"], said["path"]) == ("failed", "EntriesFailed", FOLDER)
    assert said["items"] == [{"name": "../two", "error": "The name leads out of the folder."}]
    assert "no document was made: 1\n  ../two: The name leads out of the folder.\n" in ended.err
    assert server.documents() == [f"{FOLDER}/one"]


def test_changed_only_leaves_alone_what_is_equal(server: Server, archive: Path, tmp_path: Path, here: Here) -> None:
    assert here("upload-zip", archive, FOLDER, "-q", env=server.login) == (0, "", "")
    archive.write_bytes(packed(one="first", two="another"))
    assert here("upload-zip", archive, FOLDER, "--changed-only", "--notify", "-q", env=server.login).code == 0
    assert [len(server.document(f"{FOLDER}/{name}").versions) for name in ("one", "two")] == [1, 2]
    assert server.document(f"{FOLDER}/two").latest.notified


def test_what_is_no_archive_and_a_folder_that_is_not_there_are_failures(
    server: Server, file: Path, archive: Path, here: Here
) -> None:
    assert here("upload-zip", file, FOLDER, env=server.login).code == 1
    assert here("upload-zip", archive, "/Library/No", "--json", env=server.login).said["error"] == "NotFound"
    assert here("upload-zip", archive, "", env=server.login).code == 2
    assert server.documents() == []


def test_a_pipe_can_be_an_archive(server: Server, archive: Path) -> None:
    process = start("upload-zip", "-", FOLDER, "--json", env=server.login, stdin=subprocess.PIPE)
    feed(process, archive.read_bytes())
    assert end(process).said["status"] == "unpacked"
    assert len(server.documents()) == 2


def test_an_interruption_while_unpacking_does_not_promise_that_nothing_was_stored(
    server: Server, archive: Path
) -> None:
    server.faults["UploadZipWithHandler", 1] = "stall"
    process = start("upload-zip", archive, FOLDER, env=server.login)
    server.wait_for("UploadZipWithHandler")
    process.send_signal(signal.SIGINT)
    ended = end(process)
    assert ended.code == 130
    assert "look which entries are documents now\n" in ended.err
    assert "asyncupload discard" in ended.err
    assert server.calls("DeleteUploadHandler") == 0

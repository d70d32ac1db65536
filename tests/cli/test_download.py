"""``asyncupload download``, typed."""

import os
import signal
import zlib
from pathlib import Path

import pytest

from .commands import Ended, end, run, run_without_privileges, start
from .conftest import CHUNK, Here, Server

THERE = "/Library/March.bin"


@pytest.fixture
def stored(server: Server, file: Path, here: Here) -> bytes:
    """A document at THERE; its bytes."""
    assert here("upload", file, THERE, "--quiet", env=server.login).code == 0
    return file.read_bytes()


def test_json_is_one_object_and_the_file_is_the_document(server: Server, stored: bytes, tmp_path: Path) -> None:
    target = tmp_path / "back.bin"
    ended = run("download", THERE, target, "--json", env=server.login)
    assert ended.code == 0, ended
    said = ended.said
    assert said.pop("seconds") > 0
    assert said == {
        "status": "downloaded",
        "path": THERE,
        "target": str(target),
        "size": len(stored),
        "crc32": f"{zlib.crc32(stored):08X}",
        "compared": True,
        "resumed": 0,
    }
    assert target.read_bytes() == stored


def test_into_a_directory_it_keeps_its_name(server: Server, stored: bytes, tmp_path: Path, here: Here) -> None:
    (tmp_path / "folder").mkdir()
    ended = here("download", THERE, tmp_path / "folder", env=server.login)
    assert ended.code == 0, ended
    assert ended.out.startswith(f"downloaded {THERE} to {tmp_path / 'folder' / 'March.bin'}: 772.6 KiB in ")
    assert (tmp_path / "folder" / "March.bin").read_bytes() == stored


def test_a_file_that_is_there_is_replaced(server: Server, stored: bytes, tmp_path: Path, here: Here) -> None:
    target = tmp_path / "back.bin"
    target.write_bytes(b"old" * CHUNK * 2)
    assert here("download", THERE, target, "--quiet", env=server.login) == (0, "", "")
    assert target.read_bytes() == stored


def test_a_document_that_is_not_there_fails_and_leaves_the_target_alone(
    server: Server, tmp_path: Path, here: Here
) -> None:
    target = tmp_path / "back.bin"
    target.write_bytes(b"old")
    ended = here("download", "/Library/none.bin", target, "--json", env=server.login)
    assert ended.code == 1
    assert ended.said["error"] == "NotFound"
    assert ended.said["path"] == "/Library/none.bin"
    assert "Traceback" not in ended.err
    assert target.read_bytes() == b"old"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["back.bin", "server"]


def test_a_missing_folder_here_fails(server: Server, stored: bytes, tmp_path: Path, here: Here) -> None:
    target = tmp_path / "none" / "back.bin"
    ended = here("download", THERE, target, env=server.login)
    assert (ended.code, ended.out) == (1, "")
    assert f"{target} cannot be written: No such file or directory" in ended.err
    assert "Traceback" not in ended.err


@pytest.mark.parametrize("mode", [0o500, 0o000])
def test_a_folder_that_may_not_be_written_to_fails(server: Server, stored: bytes, tmp_path: Path, mode: int) -> None:
    folder = tmp_path / "closed"
    folder.mkdir(mode=mode)
    ended = run_without_privileges("download", THERE, folder / "back.bin", env=server.login)
    assert (ended.code, ended.out) == (1, "")
    assert "cannot be written: Permission denied" in ended.err
    assert "Traceback" not in ended.err


def test_a_target_whose_name_no_terminal_can_show_is_said_all_the_same(
    server: Server, stored: bytes, tmp_path: Path
) -> None:
    target = os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9")
    ended = run("download", THERE, target, env={**server.login, "PYTHONIOENCODING": "utf-8:strict"})
    assert ended.code == 0, ended
    assert "caf\\udce9" in ended.out
    assert Path(target).read_bytes() == stored


def interrupted(server: Server, target: Path) -> Ended:
    """A download that Ctrl-C ended after its first chunk."""
    server.faults["DownloadFileChunk", 2] = "stall"
    process = start("download", THERE, target, "--chunk-size", CHUNK, env=server.login)
    server.wait_for("DownloadFileChunk", 2)
    process.send_signal(signal.SIGINT)
    return end(process)


def test_ctrl_c_leaves_the_target_as_it_was_and_the_same_command_goes_on_from_there(
    server: Server, stored: bytes, tmp_path: Path, here: Here
) -> None:
    target = tmp_path / "back.bin"
    target.write_bytes(b"old")
    ended = interrupted(server, target)
    assert ended.code == 130
    told = f"asyncupload: interrupted; {target} is as it was, and the same command goes on from there\n"
    assert ended.err.endswith(told)
    assert target.read_bytes() == b"old"
    assert server.calls("DeleteDownloadHandler") == 1

    said = here("download", THERE, target, "--chunk-size", CHUNK, "--json", env=server.login).said
    assert (said["resumed"], said["size"]) == (CHUNK, len(stored))
    assert target.read_bytes() == stored
    assert not list(tmp_path.glob(".*.part"))
    assert server.calls("DownloadFileChunk") == 5  # the second one twice


def test_in_words_too_it_says_where_it_went_on(server: Server, stored: bytes, tmp_path: Path, here: Here) -> None:
    target = tmp_path / "back.bin"
    interrupted(server, target)
    ended = here("download", THERE, target, env=server.login)
    assert " s, resumed at 256.0 KiB, CRC-32 " in ended.out


def test_an_older_version_is_brought_by_its_number_in_either_form(
    server: Server, stored: bytes, tmp_path: Path, here: Here
) -> None:
    newer = tmp_path / "newer"
    newer.write_bytes(b"newer")
    number = here("upload", newer, THERE, "--version", "2.3.4", "--json", env=server.login).said["version_id"]
    assert number == 2_003_004
    for version, content in (("1", stored), ("1.0.0", stored), ("2.3.4", b"newer"), (number, b"newer")):
        target = tmp_path / f"back-{version}"
        assert here("download", THERE, target, "--version", version, "-q", env=server.login) == (0, "", "")
        assert target.read_bytes() == content


@pytest.mark.parametrize(
    "version", ["", "newest", "1.2.3.4", "0", "1.1000", "2148", "-1", "1.", "4000000000", "9" * 99]
)
def test_a_version_that_none_can_have_is_usage(server: Server, tmp_path: Path, here: Here, version: str) -> None:
    ended = here("download", THERE, tmp_path / "back", f"--version={version}", env=server.login)
    assert (ended.code, ended.out) == (2, "")
    assert "--document-version" in ended.err
    assert server.calls("AuthenticateUser") == 0

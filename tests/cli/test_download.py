"""``asyncupload download``, typed."""

import os
import signal
import zlib
from pathlib import Path

import pytest

from .commands import end, run, run_without_privileges, start
from .conftest import CHUNK, Server

THERE = "/Library/March.bin"


@pytest.fixture
def stored(server: Server, file: Path) -> bytes:
    """A document at THERE; its bytes."""
    assert run("upload", file, THERE, "--quiet", env=server.login).code == 0
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
    }
    assert target.read_bytes() == stored


def test_into_a_directory_it_keeps_its_name(server: Server, stored: bytes, tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    ended = run("download", THERE, tmp_path / "folder", env=server.login)
    assert ended.code == 0, ended
    assert ended.out.startswith(f"downloaded {THERE} to {tmp_path / 'folder' / 'March.bin'}: 772.6 KiB in ")
    assert (tmp_path / "folder" / "March.bin").read_bytes() == stored


def test_a_file_that_is_there_is_replaced(server: Server, stored: bytes, tmp_path: Path) -> None:
    target = tmp_path / "back.bin"
    target.write_bytes(b"old" * CHUNK * 2)
    assert run("download", THERE, target, "--quiet", env=server.login) == (0, "", "")
    assert target.read_bytes() == stored


def test_a_document_that_is_not_there_fails_and_leaves_the_target_alone(server: Server, tmp_path: Path) -> None:
    target = tmp_path / "back.bin"
    target.write_bytes(b"old")
    ended = run("download", "/Library/none.bin", target, "--json", env=server.login)
    assert ended.code == 1
    assert ended.said["error"] == "NotFound"
    assert ended.said["path"] == "/Library/none.bin"
    assert "Traceback" not in ended.err
    assert target.read_bytes() == b"old"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["back.bin", "server"]


def test_a_missing_folder_here_fails(server: Server, stored: bytes, tmp_path: Path) -> None:
    target = tmp_path / "none" / "back.bin"
    ended = run("download", THERE, target, env=server.login)
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


def test_ctrl_c_leaves_the_target_as_it_was(server: Server, stored: bytes, tmp_path: Path) -> None:
    server.faults["DownloadFileChunk", 2] = "stall"
    target = tmp_path / "back.bin"
    target.write_bytes(b"old")
    process = start("download", THERE, target, "--chunk-size", CHUNK, env=server.login)
    server.wait_for("DownloadFileChunk", 2)
    process.send_signal(signal.SIGINT)
    ended = end(process)
    assert ended.code == 130
    assert ended.err.endswith(f"asyncupload: interrupted; {target} is as it was\n")
    assert target.read_bytes() == b"old"
    assert not list(tmp_path.glob(".*.part"))
    assert server.calls("DeleteDownloadHandler") == 1

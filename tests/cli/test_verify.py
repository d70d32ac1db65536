"""``asyncupload verify``, typed."""

import signal
import subprocess
import zlib
from pathlib import Path

import pytest

from .commands import end, feed, start
from .conftest import CHUNK, Here, Server

THERE = "/Library/March.bin"


@pytest.fixture
def stored(server: Server, file: Path, here: Here) -> bytes:
    """A document at THERE, equal to the file; its bytes."""
    assert here("upload", file, THERE, "--quiet", env=server.login).code == 0
    return file.read_bytes()


@pytest.mark.parametrize(("words", "verified_by"), [((), "stored checksum"), (("--deep",), "bytes")])
def test_json_says_what_was_found_equal_and_how(
    server: Server, stored: bytes, file: Path, here: Here, words: tuple[str, ...], verified_by: str
) -> None:
    ended = here("verify", file, THERE, "--json", *words, env=server.login)
    assert ended.code == 0, ended
    said = ended.said
    assert said.pop("seconds") >= 0
    assert said == {
        "status": "verified",
        "path": THERE,
        "source": str(file),
        "size": len(stored),
        "crc32": f"{zlib.crc32(stored):08X}",
        "verified_by": verified_by,
    }
    assert (server.calls("DownloadFileChunk") > 0) == (verified_by == "bytes")


def test_in_words_it_is_one_sentence(server: Server, stored: bytes, file: Path, here: Here) -> None:
    ended = here("verify", file, THERE, env=server.login)
    assert ended.out.startswith(f"verified {THERE}: 772.6 KiB in ")
    assert ended.out.endswith(f" s, CRC-32 {zlib.crc32(stored):08X}, by stored checksum\n")
    assert ended.out.count("\n") == 1


@pytest.mark.parametrize("deep", [False, True])
def test_one_changed_byte_is_a_failed_verification(
    server: Server, stored: bytes, file: Path, here: Here, deep: bool
) -> None:
    with file.open("r+b") as changed:
        changed.seek(CHUNK + 7)
        changed.write(bytes([stored[CHUNK + 7] ^ 1]))
    ended = here("verify", file, THERE, "--json", *["--deep"] * deep, env=server.login)
    assert ended.code == 6
    assert (ended.said["status"], ended.said["path"]) == ("failed", THERE)
    assert ended.said["error"] == "ChecksumMismatch"
    assert f"{THERE} is not the same" in ended.err
    assert (f"offset {CHUNK + 7} " in ended.err) == deep


def test_a_document_that_is_not_there_is_another_failure(server: Server, file: Path, here: Here) -> None:
    ended = here("verify", file, "/Library/none.bin", "--json", env=server.login)
    assert (ended.code, ended.said["error"]) == (1, "NotFound")


def test_a_file_that_is_not_here_is_usage(server: Server, stored: bytes, tmp_path: Path, here: Here) -> None:
    assert here("verify", tmp_path / "none", THERE, env=server.login).code == 2


def test_a_version_is_compared_and_not_the_latest(
    server: Server, stored: bytes, file: Path, tmp_path: Path, here: Here
) -> None:
    newer = tmp_path / "newer"
    newer.write_bytes(b"newer")
    assert here("upload", newer, THERE, "-q", env=server.login).code == 0
    assert here("verify", file, THERE, "-q", env=server.login).code == 6
    assert here("verify", file, THERE, "--version", "1", "-q", env=server.login) == (0, "", "")


def test_a_pipe_is_compared_too(server: Server, stored: bytes) -> None:
    process = start("verify", "-", THERE, "--json", env=server.login, stdin=subprocess.PIPE)
    feed(process, stored)
    ended = end(process)
    assert (ended.code, ended.said["source"], ended.said["size"]) == (0, "-", len(stored))


def test_ctrl_c_ends_it_and_lets_go_of_the_document(server: Server, stored: bytes, file: Path) -> None:
    server.faults["DownloadFileChunk", 2] = "stall"
    process = start("verify", file, THERE, "--deep", "--chunk-size", CHUNK, "--json", env=server.login)
    server.wait_for("DownloadFileChunk", 2)
    process.send_signal(signal.SIGINT)
    ended = end(process)
    assert (ended.code, ended.said["error"]) == (130, "Interrupted")
    assert server.calls("DeleteDownloadHandler") == 1

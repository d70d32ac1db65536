"""``--give-up-after``: how long one transfer waits for a server that is away, and what it says meanwhile."""

import socket
import time
from pathlib import Path

import pytest

from .answering import Answer, answering
from .commands import end, run, start
from .conftest import CHUNK, Server

THERE = "/Finance/Reports/March.bin"
SMALL = ("--chunk-size", CHUNK)


def test_a_server_that_is_away_for_some_seconds_is_outwaited_and_one_line_says_so(server: Server, file: Path) -> None:
    """More than three restarts at once, and longer than anybody likes to look at a bar that stands still."""
    server.faults |= {("UploadFileChunk", number): "refuse-502" for number in range(1, 8)}
    ended = run("upload", file, THERE, *SMALL, "--json", env=server.login)
    assert ended.code == 0, ended
    assert ended.said["restarted"] == 1
    assert ended.said["resent_bytes"] > 0
    assert ended.err.count("the server is asked again and again, for 300 s at most: UploadFileChunk: HTTP 502") == 1
    assert server.content(THERE) == file.read_bytes()


@pytest.mark.parametrize("command", ["upload", "upload-zip", "download", "verify"])
def test_nobody_waits_longer_than_was_asked_for(command: str, file: Path, tmp_path: Path) -> None:
    words = {
        "upload": (file, THERE),
        "upload-zip": (file, "/Finance/Reports"),
        "download": (THERE, tmp_path / "back"),
        "verify": (file, THERE),
    }[command]
    with answering(lambda operation, body: Answer(503, "busy")) as url:
        login = {"ASYNCUPLOAD_SERVER": url, "ASYNCUPLOAD_USER": "jsmith", "ASYNCUPLOAD_PASSWORD": "secret"}
        ended = run(command, *words, "--give-up-after", "0.5", "--json", env=login)
    assert ended.code == 5, ended
    assert "(given up after" in ended.said["message"]
    assert "attempts in" in ended.err


def test_an_address_that_never_answers_is_given_up_soon(file: Path) -> None:
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{nobody.getsockname()[1]}"
        login = {"ASYNCUPLOAD_SERVER": url, "ASYNCUPLOAD_USER": "jsmith", "ASYNCUPLOAD_PASSWORD": "secret"}
        began = time.monotonic()
        ended = run("upload", file, THERE, env=login)
    assert ended.code == 5, ended
    assert "given up after 4 attempts" in ended.err
    assert time.monotonic() - began < 20, "and not after five minutes"


def test_a_server_that_is_said_to_come_is_waited_for(server: Server, file: Path) -> None:
    """As at boot, when the loader is there before its server: four attempts would have been made long before."""
    server.stop()
    process = start("upload", file, THERE, *SMALL, "--give-up-after", "60", env=server.login)
    time.sleep(4)
    server.start()
    ended = end(process)
    assert ended.code == 0, ended
    assert server.content(THERE) == file.read_bytes()

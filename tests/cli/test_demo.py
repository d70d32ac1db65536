"""``asyncupload demo``, typed."""

import re
import signal
from pathlib import Path

from .commands import end, eventually, run, start

MINE = {
    "ASYNCUPLOAD_USER": "jsmith",
    "ASYNCUPLOAD_PASSWORD": "secret of mine",
    "ASYNCUPLOAD_PASSWORD_COMMAND": "false",
    "ASYNCUPLOAD_TICKET": "ticket of mine",
    "ASYNCUPLOAD_FAULT": "html=1",
    "http_proxy": "http://127.0.0.1:9",
}
"""What somebody has set for a server of their own. Any of it would break the demo."""


def test_a_file_goes_up_comes_back_and_is_equal_whatever_is_set_for_ones_own_server(file: Path) -> None:
    ended = run("demo", file, env=MINE)
    assert ended.code == 0, ended
    assert "report.bin: 772.6 KiB went up, came back, and are equal" in ended.out
    typed = re.findall(r"^\$ asyncupload (\w+) ", ended.out, re.MULTILINE)
    assert typed == ["check", "upload", "download"]
    assert "stored /Library/report.bin" in ended.out
    assert "downloaded /Library/report.bin" in ended.out


def test_a_missing_file_is_usage(tmp_path: Path) -> None:
    ended = run("demo", tmp_path / "none")
    assert (ended.code, ended.out) == (2, "")
    assert "does not exist" in ended.err


def test_a_failure_of_a_command_is_the_demos(tmp_path: Path) -> None:
    (tmp_path / "empty").touch()
    ended = run("demo", tmp_path / "empty")
    assert ended.code == 1
    assert "is empty" in ended.err
    assert "are equal" not in ended.out


def test_sigterm_leaves_neither_a_server_nor_its_data(tmp_path: Path) -> None:
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    large = tmp_path / "large"
    with large.open("wb") as file:
        file.truncate(1 << 30)  # large enough not to be through before the signal comes
    process = start("demo", large, env={"TMPDIR": str(scratch)})
    database = "asyncupload-demo-*/data/emulator.sqlite"
    eventually(lambda: list(scratch.glob(database)), "the demo's server")
    process.send_signal(signal.SIGTERM)
    assert end(process).code == 143
    eventually(lambda: not list(scratch.iterdir()), "the end of the demo's data")

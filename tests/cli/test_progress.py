"""How a transfer is shown: a bar on a terminal, lines elsewhere."""

import os
import re
import subprocess
import sys
from pathlib import Path

from .commands import PATIENCE, environment, terminal
from .conftest import CHUNK, Here, Server

SMALL = ("--chunk-size", CHUNK)


def test_a_terminal_gets_a_bar_with_bytes_rate_and_time_left(server: Server, file: Path) -> None:
    # A second of rest in the middle, so that there is a middle to look at.
    server.faults["UploadFileChunk", 3] = "refuse-503"
    with terminal("upload", file, "/Library/a.bin", *SMALL, env=server.login) as shell:
        assert shell.end() == 0
        shown = shell.text
    half_way = re.search(r"report\.bin.* ━+.* 512\.0/772\.6 KiB +([\d.]+ [kM]?B/s|\?)", shown)
    assert half_way, shown
    assert re.search(r"772\.6/772\.6 KiB +[\d.]+ [kKM]i?B/s +0:00:00", shown)
    assert re.search(r"\d:\d\d:\d\d|-:--:--", shown)
    assert "stored /Library/a.bin" in shown
    assert shell.raw.rindex("\x1b[?25h") > shell.raw.rindex("\x1b[?25l"), "the cursor is left hidden"


def test_the_bar_says_that_a_chunk_goes_again(server: Server, file: Path) -> None:
    server.faults["UploadFileChunk", 3] = "refuse-503"
    with terminal("upload", file, "/Library/a.bin", *SMALL, env=server.login) as shell:
        shell.wait_for("chunk 3 again in ")
        assert shell.end() == 0


def test_brackets_in_a_name_are_shown_as_they_are(server: Server, tmp_path: Path) -> None:
    path = tmp_path / "minutes [bold].txt"
    path.write_bytes(b"x")
    with terminal("upload", path, "/Library/a.txt", env=server.login) as shell:
        shell.wait_for("minutes [bold].txt")
        assert shell.end() == 0


def test_log_lines_stand_above_the_bar_and_not_in_it(server: Server, file: Path) -> None:
    server.faults["UploadFileChunk", 3] = "refuse-503"
    with terminal("upload", file, "/Library/a.bin", *SMALL, "-v", env=server.login) as shell:
        assert shell.end() == 0
        line = next(line for line in shell.text.split("\n") if "chunk_retried" in line)
    # Each redrawing begins with a carriage return; a log line has to begin where one left off, at the margin.
    assert re.search(r"(^|\r)\d{4}-\d\d-\d\dT\S+ \[info +\] chunk_retried", line), line


def test_the_result_is_kept_apart_from_the_bar(server: Server, file: Path, tmp_path: Path) -> None:
    with (
        (tmp_path / "out").open("wb") as out,
        terminal("upload", file, "/Library/a.bin", "--json", env=server.login, stdout=out) as shell,
    ):
        assert shell.end() == 0
        assert "report.bin" in shell.text
    assert (tmp_path / "out").read_text().startswith('{"status": "stored"')


def test_ctrl_c_gives_the_cursor_back(server: Server, file: Path) -> None:
    server.faults.update({("UploadFileChunk", 2): "stall", ("DeleteUploadHandler", 1): "stall"})
    with terminal("upload", file, "/Library/a.bin", *SMALL, env=server.login) as shell:
        shell.wait_for("report.bin")
        server.wait_for("UploadFileChunk", 2)
        shell.type("\x03")
        server.wait_for("DeleteUploadHandler")
        shell.type("\x03")
        assert shell.end() == 130
        assert shell.raw.rindex("\x1b[?25h") > shell.raw.rindex("\x1b[?25l"), "the cursor is left hidden"
        assert "interrupted; nothing was stored" in shell.text


def test_quiet_shows_no_bar(server: Server, file: Path) -> None:
    with terminal("upload", file, "/Library/a.bin", "-q", env=server.login) as shell:
        assert shell.end() == 0
        assert shell.text == ""


def test_a_download_has_a_bar_too(server: Server, file: Path, tmp_path: Path, here: Here) -> None:
    assert here("upload", file, "/Library/a.bin", "-q", env=server.login).code == 0
    with terminal("download", "/Library/a.bin", tmp_path / "back", *SMALL, env=server.login) as shell:
        assert shell.end() == 0
        assert "772.6/772.6 KiB" in shell.text


def test_where_there_is_no_terminal_a_line_tells_the_end_without_control_characters(
    server: Server, file: Path, here: Here
) -> None:
    err = here("upload", file, "/Library/a.bin", *SMALL, env=server.login).err
    (line,) = err.splitlines()
    told = r"report\.bin: 100 % \(772\.6 KiB of 772\.6 KiB\) at [\d.]+ [KM]iB/s, 0:00:00 left; the server is storing it"
    assert re.fullmatch(told, line), line


def test_a_retry_is_a_line_with_its_reason(server: Server, file: Path, here: Here) -> None:
    server.faults["UploadFileChunk", 2] = "tryagain"
    err = here("upload", file, "/Library/a.bin", *SMALL, env=server.login).err
    first = err.splitlines()[0]
    assert re.match(r"report\.bin: chunk 2 goes again in \d+\.\d s: UploadFileChunk: .*checksum", first), err


AT_ONCE = (
    "import sys; from asyncupload.cli import main, progress; progress.LINE_EVERY = 0; sys.exit(main(sys.argv[1:]))"
)
"""The command, with no time between two lines: as a transfer is that takes much longer."""


def test_a_slow_transfer_has_lines_in_between(server: Server) -> None:
    typed = [sys.executable, "-c", AT_ONCE, "upload", "-", "/Library/a.bin", *map(str, SMALL)]
    data = os.urandom(4 * CHUNK + 2)
    done = subprocess.run(
        typed, input=data, env=environment(**server.login), capture_output=True, timeout=PATIENCE, check=True
    )
    *between, final = done.stderr.decode().splitlines()
    assert len(between) == 5
    for number, line in enumerate(between[:3], 1):
        assert re.fullmatch(rf"standard input: ({number * 256}\.0 KiB) at [\d.]+ [KM]iB/s", line)
    assert final.startswith("standard input: 100 % (1.0 MiB of 1.0 MiB)")

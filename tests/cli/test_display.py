"""How a load of many files is shown: as a picture on a terminal, as lines elsewhere."""

import io
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from asyncupload.bulk.progress import Failure, Phase, Progress, Waits
from asyncupload.bulk.queue import Tally
from asyncupload.bulk.rows import State
from asyncupload.cli.display import Rate, picture, sentence, time_left

from .commands import PATIENCE, environment, terminal
from .conftest import Server

TITLE = "\x1b]0;mine\x07"
"""What would give the terminal's window another title."""


def progress(counts: dict[State, tuple[int, int]] | None = None, **more: Any) -> Progress:
    found = {state: Tally(*(counts or {}).get(state, (0, 0))) for state in State}
    given = {
        "phase": Phase.SENDING,
        "pause": "",
        "sending": 4,
        "committing": 1,
        "limit": 4,
        "sent": 0,
        "left_out": 0,
        "seconds": 10.0,
        "waits": Waits(),
        "failures": (),
        **more,
    }
    return Progress(counts=found, **given)


def drawn(told: Progress, rate: tuple[float, float] = (0.0, 0.0)) -> str:
    console = Console(file=io.StringIO(), width=160)
    console.print(picture(told, rate))
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


HALF = {State.PLANNED: (100, 50_000), State.STORED: (80, 9_000), State.UNCHANGED: (15, 0), State.FAILED: (5, 0)}


def test_a_line_tells_phase_files_rate_flight_failures_and_what_is_left() -> None:
    told = sentence(progress(HALF), (5_000.0, 20.0))
    assert told == (
        "sending; 100 of 200 files ended; 4.9 KiB/s, 20 files/s; 4 in flight, 1 of them being stored; 5 failed; "
        "0:00:10 left"
    )


def test_while_the_plan_is_read_there_may_be_more_and_nobody_can_tell_when() -> None:
    told = sentence(progress(HALF, phase=Phase.PLANNING), (5_000.0, 20.0))
    assert told.startswith("planning and sending; 100 of 200+ files ended")
    assert "left" not in told


def test_the_later_of_two_estimates_counts() -> None:
    few_large = progress({State.PLANNED: (1, 7_200_000), State.STORED: (99, 0)})
    assert time_left(few_large, (1_000.0, 10.0)) == "2:00:00 left"
    many_small = progress({State.PLANNED: (7_200, 7_200), State.STORED: (1, 0)})
    assert time_left(many_small, (1_000_000.0, 1.0)) == "2:00:00 left"


def test_before_the_first_file_has_ended_there_is_no_estimate() -> None:
    assert time_left(progress(HALF), (5_000.0, 0.0)) == ""


def test_the_rate_is_that_of_the_last_pictures_and_not_of_the_whole_load() -> None:
    rate = Rate()
    assert rate.after(progress(seconds=10.0, sent=1_000)) == (100.0, 0.0)
    told = [rate.after(progress({State.STORED: (n, 0)}, seconds=float(n), sent=1_000)) for n in range(11, 60)]
    assert told[-1] == (0.0, 1.0)


def test_the_picture_has_the_three_phases_and_the_failures() -> None:
    failure = Failure(source=b"/srv/a", destination="/Library/a [bold].txt", reason="it is locked")
    shown = drawn(progress(HALF, left_out=7, failures=(failure,)), (5_000.0, 20.0))
    for words in (
        r"planned +200 files +57\.6 KiB +7 left out",
        r"sending .*100 files, 8\.8 KiB +4\.9 KiB/s, 20 files/s 0:00:10 left",
        r"storing +1 of 4 in flight +80 stored, 15 unchanged +5 failed, 0 skipped",
        r"/Library/a \[bold\]\.txt: it is locked",
    ):
        assert re.search(words, shown), shown


def test_a_pause_says_why() -> None:
    paused = progress(phase=Phase.PAUSED, pause="HTTP 503")
    assert "paused: HTTP 503" in drawn(paused)
    assert sentence(paused, (0.0, 0.0)).startswith("paused (HTTP 503); ")


@pytest.mark.parametrize("end", ["destination", "reason", "pause"])
def test_names_and_answers_cannot_speak_to_the_terminal(end: str) -> None:
    words = {"destination": "/Library/a", "reason": "", end: TITLE}
    pause = words.pop("pause", "")
    told = progress(phase=Phase.PAUSED, pause=pause, failures=(Failure(source=b"", **words),))
    assert "\x1b" not in drawn(told) + sentence(told, (0.0, 0.0))
    assert "?]0;mine?" in drawn(told)


# ── the command ──


@pytest.fixture
def source(tmp_path: Path) -> Path:
    folder = tmp_path / "source"
    folder.mkdir()
    for number in range(6):
        (folder / f"{number}.bin").write_bytes(b"%d" % number * 20_000)
    return folder


SLOWLY = ("--limit-rate", "80K")
"""Six files of 20,000 bytes take a second and a half."""


def test_on_a_terminal_there_is_a_picture_and_then_only_the_end(server: Server, source: Path, tmp_path: Path) -> None:
    words = ("bulk", source, "/Library/L", "--journal", tmp_path / "l.journal", *SLOWLY)
    with terminal(*words, env=server.login) as shell:
        shell.wait_for("6 files")
        assert shell.end() == 0
        raw = shell.raw
    assert re.search(r"planned +6 files +117\.2 KiB", shell.text)
    assert re.search(r"\d stored, 0 unchanged", shell.text)
    assert "6 files: 6 stored" in shell.text
    assert raw.rindex("\x1b[?25h") > raw.rindex("\x1b[?25l"), "the cursor is left hidden"
    assert raw.rindex("\x1b[2K") > raw.rindex("in flight"), "the picture is left standing"


def test_where_there_is_no_terminal_a_line_comes_now_and_then(server: Server, source: Path, tmp_path: Path) -> None:
    often = "import sys; from asyncupload.cli import main, display; display.LINE_EVERY = 0.2; sys.exit(main())"
    typed = [sys.executable, "-c", often, "bulk", str(source), "/Library/L", *SLOWLY]
    env = {**server.login, "ASYNCUPLOAD_JOURNAL": str(tmp_path / "l.journal")}
    done = subprocess.run(typed, env=environment(**env), capture_output=True, text=True, timeout=PATIENCE, check=True)
    lines = done.stderr.splitlines()
    assert len(lines) >= 2, "the load takes more than a second"
    for line in lines:
        assert re.match(r"asyncupload: [a-z ]+; \d of \d\+? files ended; [\d.]+ [KM]?i?B/s, \d+ files/s; ", line)
    assert "\x1b" not in done.stderr

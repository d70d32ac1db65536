"""Work that signals end: how, and what they leave to it."""

import fcntl
import os
import signal
import subprocess
import sys
import termios
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from asyncupload.cli.running import run

from .commands import COMMAND, end, environment, eventually, start, terminal
from .conftest import Server

WORK = """
import asyncio, sys, time
from asyncupload.cli.running import Interrupted, run

async def work():
    print("working", flush=True)
    try:
        {wait}
    finally:
        print("cleaning", flush=True)
        {clean}
        print("clean", flush=True)

try:
    print("result", run(work))
except Interrupted as signal:
    print(signal.code, signal.hurried, flush=True)
    if signal.hurried:
        import os
        os._exit(0)
"""

FOREVER = "await asyncio.Event().wait()"
DEAF = "await asyncio.wait([asyncio.ensure_future(asyncio.sleep(25))])"


@contextmanager
def working(wait: str = FOREVER, clean: str = "pass") -> Iterator["subprocess.Popen[str]"]:
    process = subprocess.Popen(
        [sys.executable, "-c", WORK.format(wait=wait, clean=clean)],
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    with process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "working\n"
            yield process
        finally:
            process.kill()


def test_what_the_work_returns_is_the_result() -> None:
    async def work() -> str:
        return "done"

    assert run(work) == "done"


def test_what_the_work_raises_goes_on() -> None:
    async def work() -> None:
        raise LookupError("here")

    with pytest.raises(LookupError, match="here"):
        run(work)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)])
def test_a_signal_cancels_the_work_and_its_cleaning_up_is_waited_for(number: signal.Signals, code: int) -> None:
    with working(clean="await asyncio.sleep(0.3)") as process:
        process.send_signal(number)
        assert end(process) == (0, f"cleaning\nclean\n{code} False\n", "")


@pytest.mark.parametrize("clean", [DEAF, "time.sleep(25)"], ids=["waiting", "busy"])
def test_a_second_ctrl_c_does_not_wait_for_the_cleaning_up(clean: str) -> None:
    with working(clean=clean) as process:
        process.send_signal(signal.SIGINT)
        assert process.stdout is not None
        assert process.stdout.readline() == "cleaning\n"
        process.send_signal(signal.SIGINT)
        assert end(process, within=15) == (0, "130 True\n", "")


def test_a_ctrl_c_after_sigterm_is_the_first_of_its_kind() -> None:
    with working(clean="await asyncio.sleep(1)") as process:
        process.send_signal(signal.SIGTERM)
        assert process.stdout is not None
        assert process.stdout.readline() == "cleaning\n"
        process.send_signal(signal.SIGTERM)
        ended = end(process)
        assert ended.out.endswith("143 False\n")
        assert "Traceback" not in ended.err


def test_a_result_that_was_there_before_the_signal_is_returned() -> None:
    """The work ends although it was cancelled, or in the turn in which it was."""
    program = """
import asyncio, os, signal
from asyncupload.cli.running import run

async def work():
    os.kill(os.getpid(), signal.SIGTERM)
    for _ in range(3):
        try:
            await asyncio.sleep(0.01)
        except asyncio.CancelledError:
            pass
    return 'stored'

print(run(work))
"""
    done = subprocess.run(
        [sys.executable, "-c", program], env=environment(), capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "stored\n", "")


NUMBERS = pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])


@NUMBERS
def test_a_signal_during_the_imports_ends_it_without_a_traceback(number: signal.Signals, tmp_path: Path) -> None:
    (tmp_path / "click.py").write_text("import os, time\nos.write(1, b'importing')\ntime.sleep(25)\n")
    path = f"{tmp_path}{os.pathsep}{environment()['PYTHONPATH']}"
    process = start("upload", "here", "/there", env={"PYTHONPATH": path})
    assert process.stdout is not None
    assert process.stdout.read(9) == "importing"
    process.send_signal(number)
    assert end(process) == (128 + number, "", "asyncupload: interrupted\n")


@NUMBERS
def test_a_signal_at_the_prompt_is_an_end_like_any_other(number: signal.Signals, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"data")
    login = {"ASYNCUPLOAD_SERVER": "http://127.0.0.1:9", "ASYNCUPLOAD_USER": "jsmith"}
    with terminal("upload", tmp_path / "file", "/Library/a", env=login) as shell:
        shell.wait_for("Password of jsmith")
        eventually(lambda: not _echoes(shell._own), "the terminal does not show what is typed")
        shell.process.send_signal(number)
        shell.end()
        assert shell.process.returncode == 128 + number
        assert _echoes(shell._own)
        assert "Traceback" not in shell.text


def _echoes(terminal: int) -> bool:
    return bool(termios.tcgetattr(terminal)[3] & termios.ECHO)


def _runs(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    return True


@NUMBERS
def test_a_signal_while_a_password_command_runs_ends_both(number: signal.Signals, tmp_path: Path) -> None:
    noted = tmp_path / "pid"
    command = f"sh -c 'echo $$ > {noted}; exec sleep 25'"
    login = {"ASYNCUPLOAD_SERVER": "http://127.0.0.1:9", "ASYNCUPLOAD_USER": "jsmith"}
    process = start("check", "--password-command", command, env=login)
    eventually(lambda: noted.exists() and noted.read_text().endswith("\n"), "the command has begun")
    process.send_signal(number)
    ended = end(process)
    assert ended.code == 128 + number
    assert "Traceback" not in ended.err
    if number != signal.SIGINT:  # Ctrl-C reaches it by itself, from the terminal
        eventually(lambda: not _runs(int(noted.read_text())), "the command has ended")


@NUMBERS
def test_what_was_ignored_at_the_start_stays_ignored(number: signal.Signals, server: Server, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"data")
    server.faults["CreateUploadHandler", 1] = "delay"
    ignoring = (
        "import os, signal, sys; signal.signal(int(sys.argv[1]), signal.SIG_IGN); os.execv(sys.argv[2], sys.argv[2:])"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", ignoring, str(int(number)), *COMMAND, "upload", str(tmp_path / "file"), "/Library/a"],
        env=environment(**server.login),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    server.wait_for("CreateUploadHandler")
    process.send_signal(number)
    assert end(process).code == 0
    assert server.documents() == ["/Library/a"]


@NUMBERS
def test_a_signal_after_the_work_does_not_change_what_the_code_tells(
    number: signal.Signals, server: Server, tmp_path: Path
) -> None:
    """Here, while the result is said to a pipe that nobody reads: it ends the wait for that, and nothing else."""
    (tmp_path / "file").write_bytes(b"data")
    reading, writing = os.pipe()
    os.write(writing, b" " * fcntl.fcntl(writing, fcntl.F_SETPIPE_SZ, 4096))
    process = start("upload", tmp_path / "file", "/Library/a", "--json", env=server.login, stdout=writing)
    os.close(writing)
    server.wait_for("LogOut")
    time.sleep(1)  # from the last answer to the result, which waits for its reader
    assert process.poll() is None
    process.send_signal(number)
    assert process.wait(30) == 0
    os.close(reading)
    assert process.stderr is not None
    with process.stderr:
        assert "Traceback" not in process.stderr.read()


def test_a_terminal_that_is_closed_ends_it_as_interrupted(server: Server, tmp_path: Path) -> None:
    """What it would still say has nowhere to go."""
    (tmp_path / "file").write_bytes(b"data")
    server.faults["UploadFileChunk", 1] = "stall"
    with terminal("upload", tmp_path / "file", "/Library/a", env=server.login) as shell:
        server.wait_for("UploadFileChunk")
        nothing = os.open(os.devnull, os.O_RDWR)
        os.dup2(nothing, shell._own)  # closes it
        os.close(nothing)
        assert shell.process.wait(30) == 129
    assert server.left() == 0


HANGS = """
import asyncio, sys
from asyncupload import __main__, cli
from asyncupload.cli import running

async def work():
    print('working', flush=True)
    try:
        await asyncio.to_thread(open, sys.argv[1])
    finally:
        await asyncio.get_running_loop().create_future()

def hang(**_):
    try:
        running.run(work)
    except running.Interrupted as signal:
        print('left', signal.hurried)
        return signal.code

running.WITHIN = 1.0
cli.commands.main = hang
__main__.main()
"""


@NUMBERS
def test_what_never_ends_does_not_keep_a_command_that_is_interrupted(number: signal.Signals, tmp_path: Path) -> None:
    """Neither a task, nor a thread that hangs in a read, as of a list on a network drive that is gone."""
    os.mkfifo(tmp_path / "gone")
    process = subprocess.Popen(
        [sys.executable, "-c", HANGS, str(tmp_path / "gone")],
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "working\n"
    process.send_signal(number)
    ended = end(process)
    assert ended.code == 128 + number
    assert ended.out.endswith("left True\n")
    assert "Traceback" not in ended.err

"""Types commands as a user does: each in a process of its own, with an environment in which nothing else is set."""

import fcntl
import json
import os
import pty
import re
import select
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, NamedTuple

import pytest

import asyncupload

PATIENCE = 30.0
"""Seconds that a test waits for what takes well under one on an idle machine."""

COMMAND = (sys.executable, "-m", "asyncupload")

_AT_A_TERMINAL = (
    "import fcntl, os, sys, termios; os.setsid(); fcntl.ioctl(0, termios.TIOCSCTTY, 0); "
    "os.execv(sys.executable, [sys.executable, *sys.argv[1:]])"
)
"""Makes standard input the controlling terminal: there the password is asked for, and from there Ctrl-C comes."""

_WITHOUT_PRIVILEGES = (
    "import ctypes, os, sys; drop = ctypes.CDLL(None).prctl; "
    "sys.exit(77) if any(drop(24, n, 0, 0, 0) for n in (1, 2)) "
    "else os.execv(sys.executable, [sys.executable, *sys.argv[1:]])"
)
"""Takes from root what lets it read and write every file (CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH), for good."""

_CONTROL = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|\x07")


class Ended(NamedTuple):
    """A command that has come to its end."""

    code: int
    out: str
    err: str

    @property
    def said(self) -> dict[str, Any]:
        """The one JSON object on standard output; a failure if there is more than that, or less."""
        (line,) = self.out.splitlines()
        found = json.loads(line)
        assert isinstance(found, dict)
        return found


def environment(**more: str) -> dict[str, str]:
    """This process's, without what could speak to the command: its own variables, proxies, colours, the terminal."""
    hidden = re.compile(r"ASYNCUPLOAD_.*|.*_PROXY|.*_COLOR|COLUMNS|LINES|TERM|LC_.*|LANG|PYTHONPATH", re.IGNORECASE)
    kept = {name: value for name, value in os.environ.items() if not hidden.fullmatch(name)}
    # The package that the tests have imported, wherever a command is started.
    return {**kept, "PYTHONPATH": str(Path(asyncupload.__file__).parents[1]), "LC_ALL": "C.UTF-8", **more}


def start(*words: object, env: Mapping[str, str] | None = None, **rest: Any) -> "subprocess.Popen[str]":
    """Type a command and go on."""
    streams: dict[str, Any] = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    return subprocess.Popen([*COMMAND, *map(str, words)], env=environment(**(env or {})), text=True, **streams | rest)


def feed(process: "subprocess.Popen[str]", data: bytes) -> None:
    """Write to its standard input, which is a pipe, and leave that open."""
    assert process.stdin is not None
    with memoryview(data) as rest:
        written = 0
        while written < len(rest):
            written += os.write(process.stdin.fileno(), rest[written:])


def end(process: "subprocess.Popen[str]", *, within: float = PATIENCE, typed: str | None = None) -> Ended:
    """Wait for its end. A command that does not come to one is a failure, and is not left behind."""
    try:
        out, err = process.communicate(typed, timeout=within)
    except subprocess.TimeoutExpired:
        process.kill()
        out, err = process.communicate()
        raise AssertionError(f"still running after {within} s; it said {out!r} and {err!r}") from None
    return Ended(process.returncode, out or "", err or "")


def run(*words: object, env: Mapping[str, str] | None = None, **rest: Any) -> Ended:
    """Type a command and wait for its end."""
    return end(start(*words, env=env, **rest))


def run_in_shell(env: Mapping[str, str], words: str) -> Ended:
    """For what only a shell can do: to start a command without one of the three descriptors."""
    return _ended(["/bin/sh", "-c", f'exec "{sys.executable}" -m asyncupload {words}'], env)


def run_without_privileges(*words: object, env: Mapping[str, str]) -> Ended:
    """Type a command as somebody to whom file modes apply, which they do not to root."""
    if os.geteuid() != 0:
        return run(*words, env=env)
    typed = [sys.executable, "-c", _WITHOUT_PRIVILEGES, *COMMAND[1:], *map(str, words)]
    ended = _ended(typed, env)
    if ended.code == 77:
        pytest.skip("run as root, and the kernel does not let privileges be dropped")
    return ended


def _ended(typed: list[str], env: Mapping[str, str]) -> Ended:
    done = subprocess.run(typed, env=environment(**env), capture_output=True, text=True, timeout=PATIENCE, check=False)
    return Ended(done.returncode, done.stdout, done.stderr)


def eventually(condition: Callable[[], object], what: str) -> None:
    """Wait until something has come true."""
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, f"never happened: {what}"
        time.sleep(0.01)


class Terminal:
    """A command at a terminal: what it shows, and a keyboard."""

    def __init__(self, process: "subprocess.Popen[bytes]", own: int) -> None:
        self.process = process
        self._own = own
        self._shown = b""

    @property
    def text(self) -> str:
        """All that was shown, without the control sequences."""
        return _CONTROL.sub("", self._shown.decode("utf-8", "replace"))

    @property
    def raw(self) -> str:
        """All that was shown."""
        return self._shown.decode("utf-8", "replace")

    def type(self, keys: str) -> None:
        """Press keys; ``\\x03`` is Ctrl-C."""
        os.write(self._own, keys.encode())

    def wait_for(self, words: str) -> None:
        """Watch until the words have appeared."""
        deadline = time.monotonic() + PATIENCE
        while words not in self.text:
            assert time.monotonic() < deadline, f"{words!r} never appeared in {self.text!r}"
            assert self._look(0.1) or words in self.text, f"ended without {words!r}: {self.text!r}"

    def end(self) -> int:
        """Watch until the command ends; its exit code."""
        deadline = time.monotonic() + PATIENCE
        while self._look(0.1):
            assert time.monotonic() < deadline, f"still running; it shows {self.text!r}"
        return self.process.wait(timeout=PATIENCE)

    def _look(self, seconds: float) -> bool:
        """Take in what is shown now; False once there is nobody left who could show more."""
        if not select.select([self._own], [], [], seconds)[0]:
            return True
        try:
            more = os.read(self._own, 65536)
        except OSError:  # how Linux says that the other side was closed
            more = b""
        self._shown += more
        return bool(more)


@contextmanager
def terminal(*words: object, env: Mapping[str, str] | None = None, stdout: IO[Any] | None = None) -> Iterator[Terminal]:
    """Type a command at a terminal of 120 columns."""
    own, others = pty.openpty()
    fcntl.ioctl(others, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 120, 0, 0))
    process = subprocess.Popen(
        [sys.executable, "-c", _AT_A_TERMINAL, *COMMAND[1:], *map(str, words)],
        env=environment(**{"TERM": "xterm", **(env or {})}),
        stdin=others,
        stdout=stdout or others,
        stderr=others,
    )
    os.close(others)
    try:
        yield Terminal(process, own)
    finally:
        process.kill()
        process.wait()
        os.close(own)

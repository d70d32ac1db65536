"""Standard output and standard error that are closed, full, left or not read: the documents are what counts."""

import asyncio
import json
import os
import signal
import subprocess
import time
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from bulk.files import item, opened
from bulk.stored import ended

from asyncupload.bulk.rows import State

from .commands import COMMAND, PATIENCE, Ended, end, environment, eventually, run, start
from .commands import terminal as typed_at_a_terminal
from .conftest import Server
from .test_ledger import line

LOST = "standard output cannot be written to"


@contextmanager
def left() -> Iterator[int]:
    """A pipe that nobody reads from any more."""
    reading, writing = os.pipe()
    os.close(reading)
    try:
        yield writing
    finally:
        os.close(writing)


@contextmanager
def full() -> Iterator[int]:
    """A disk without room."""
    descriptor = os.open("/dev/full", os.O_WRONLY)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


@contextmanager
def unread(*, filled: bool = True) -> Iterator[tuple[int, int]]:
    """A pipe whose reader does not read: the reader's end and the writer's, without room in it if that is wanted."""
    reading, writing = os.pipe()
    if filled:
        os.set_blocking(writing, False)
        try:
            while os.write(writing, b"\n" * 4096):
                pass
        except BlockingIOError:
            os.set_blocking(writing, True)
    try:
        yield reading, writing
    finally:
        os.close(reading)
        os.close(writing)


def file_of(folder: Path, name: str = "a.txt", data: bytes = b"content") -> Path:
    path = folder / name
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(data)
    return path


def journal_of(folder: Path) -> Path:
    path = folder / "load.journal"

    async def fill() -> None:
        async with opened(path) as journal:
            await ended(journal, item("a"), State.FAILED, reason="locked")

    asyncio.run(fill())
    return path


def archive_of(folder: Path) -> Path:
    path = folder / "both.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("one", "first")
    return path


def ledger_of(folder: Path) -> Path:
    path = folder / "ledger.jsonl"
    path.write_text(line(file_of(folder, "kept", b"kept"), "/Library/kept", b"kept", 1_000_000))
    return path


def list_of(folder: Path) -> Path:
    file_of(folder)
    path = folder / "list.csv"
    path.write_text("source,destination\na.txt,/Library/listed\n")
    return path


Words = Callable[[Path], tuple[object, ...]]

DEEDS: dict[str, tuple[Words, int]] = {
    "upload": (lambda f: ("upload", file_of(f), "/Library/a"), 0),
    "upload --json": (lambda f: ("upload", file_of(f), "/Library/a", "--json", "-vv"), 0),
    "upload in vain": (lambda f: ("upload", file_of(f), "/No/Such/Folder/a", "--json"), 1),
    "upload with an error in typing": (lambda _: ("upload", "--nonsense"), 2),
    "upload-zip": (lambda f: ("upload-zip", archive_of(f), "/Library", "--check-out"), 0),
    "download": (lambda f: ("download", "/Library/kept", f / "back"), 0),
    "verify": (lambda f: ("verify", file_of(f), "/Library/kept", "--json"), 6),
    "verify --ledger": (lambda f: ("verify", "--ledger", ledger_of(f), "--json"), 0),
    "check": (lambda _: ("check",), 0),
    "jobs": (lambda f: ("jobs", journal_of(f)), 0),
    "explain": (lambda f: ("explain", journal_of(f), "/srv/a"), 0),
    "retry": (lambda f: ("retry", journal_of(f)), 0),
    "discard": (lambda _: ("discard", "3f2504e0-4f89-41d3-9a0c-0305e82c3301"), 0),
    "bulk": (lambda f: ("bulk", file_of(f / "tree").parent, "/Library/L", "-v"), 0),
    "bulk --json": (lambda f: ("bulk", file_of(f / "tree").parent, "/Library/L", "--json"), 0),
    "bulk --manifest": (lambda f: ("bulk", "--manifest", list_of(f), "-vv", "--json"), 0),
    "bulk --report": (lambda f: ("bulk", file_of(f / "tree").parent, "/Library/L", "--report", f / "r.html", "-v"), 0),
    "bulk --dry-run": (lambda f: ("bulk", file_of(f / "tree").parent, "/Library/L", "--dry-run"), 0),
    "bench": (lambda _: ("bench", "--seconds", "0.1", "--largest", 256 * 1024), 0),
    "--help": (lambda _: ("--help",), 0),
}
STORED = {"upload": "/Library/a", "upload --json": "/Library/a", "upload-zip": "/Library/one"}
STORED |= {"bulk --manifest": "/Library/listed", "bulk --report": "/Library/L/a.txt"}
STORED |= {"bulk": "/Library/L/a.txt", "bulk --json": "/Library/L/a.txt"}

HOW = ["out full", "out left", "out closed", "err full", "both left", "both closed"]

IN_ALL_WAYS = ("upload", "bulk --json")
"""The others share their way of writing, and take turns with two of the ways each."""


def ways_of(deed: str) -> list[str]:
    """How the streams of a command fail here."""
    number = list(DEEDS).index(deed) % 3
    return HOW if deed in IN_ALL_WAYS else [HOW[number], HOW[number + 3]]


def typed(words: tuple[object, ...], how: str, env: dict[str, str]) -> Ended:
    """Type a command with streams that cannot be written to."""
    which, kind = how.split()
    with left() as gone, full() as room:
        wrong: dict[str, Any] = {"left": gone, "full": room, "closed": None}
        streams = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        names = {"out": ["stdout"], "err": ["stderr"], "both": ["stdout", "stderr"]}[which]
        streams |= dict.fromkeys(names, wrong[kind])

        def close() -> None:
            for name in names:
                os.close({"stdout": 1, "stderr": 2}[name])

        return run(*words, env=env, **streams, preexec_fn=close if kind == "closed" else None)


@pytest.fixture
def env(server: Server, tmp_path: Path) -> dict[str, str]:
    path = tmp_path / "kept"
    path.write_bytes(b"kept")
    env = {**server.login, "XDG_STATE_HOME": str(tmp_path / "state")}
    assert run("upload", path, "/Library/kept", "-q", env=env).code == 0
    return env


@pytest.mark.parametrize("deed", DEEDS)
def test_the_exit_code_tells_what_became_of_the_documents(
    deed: str, server: Server, env: dict[str, str], tmp_path: Path
) -> None:
    """However the streams fail; and no traceback, nor a word at the interpreter's end, is where one can be."""
    words, code = DEEDS[deed]
    for how in ways_of(deed):
        folder = tmp_path / how.replace(" ", "-")
        folder.mkdir()
        (folder / "state").mkdir()
        done = typed(words(folder), how, {**env, "XDG_STATE_HOME": str(folder / "state")})
        assert done.code == code, (how, done)
        for word in ("Traceback", "Exception ignored", "BrokenPipe"):
            assert word not in done.err + done.out, (how, done)
        # One that was typed wrongly has nothing to say there.
        assert done.err.count(LOST) == (how.startswith("out ") and code != 2), (how, done)
        if deed == "download":
            assert (folder / "back").read_bytes() == b"kept"
    if deed in STORED:
        assert STORED[deed] in server.documents()


@pytest.mark.parametrize("kind", ["left", "full", "closed"])
def test_quiet_loses_nothing_and_says_nothing(kind: str, env: dict[str, str], tmp_path: Path) -> None:
    done = typed(("upload", file_of(tmp_path), "/Library/a", "-q"), f"out {kind}", env)
    assert (done.code, done.err) == (0, "")


def test_a_load_goes_on_to_its_end_when_its_reader_has_gone(
    server: Server, env: dict[str, str], tmp_path: Path
) -> None:
    """As with ``| head -1``: it has its line, and the server every document."""
    for number in range(60):
        file_of(tmp_path / "tree", f"{number:02}", b"%d" % number)
    shell = '"$@" | head -1; echo "${PIPESTATUS[0]}"'
    words = ["/bin/bash", "-c", shell, "-", *COMMAND, "bulk", str(tmp_path / "tree"), "/Library/L", "--json"]
    done = subprocess.run(words, env=environment(**env), capture_output=True, text=True, timeout=PATIENCE, check=False)
    first, code = done.stdout.splitlines()
    assert json.loads(first)["status"] == "stored"
    assert code == "0"
    assert len(server.documents()) == 1 + 60
    assert done.stderr.count(LOST) == 1
    assert "Traceback" not in done.stderr


def test_a_server_serves_though_nobody_can_be_told(tmp_path: Path) -> None:
    with full() as room:
        process = start("serve", "--port", 0, "--data", tmp_path / "data", stdout=room)
        eventually((tmp_path / "data" / "emulator.sqlite").exists, "it serves")
        process.send_signal(signal.SIGINT)
        done = end(process)
    assert done.code == 0
    assert "Traceback" not in done.err


@pytest.mark.parametrize("how", ["out full", "both closed", "err left"])
def test_a_demo_shows_itself_to_nobody(how: str, tmp_path: Path) -> None:
    done = typed(("demo", file_of(tmp_path)), how, {})
    assert done.code == 0, done
    assert "Traceback" not in done.err + done.out


# ── those who do not read ──


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_who_does_not_read_is_waited_for_until_a_signal_comes(
    number: signal.Signals, server: Server, env: dict[str, str], tmp_path: Path
) -> None:
    with unread() as (_, writing):
        process = start("upload", file_of(tmp_path), "/Library/a", "--json", env=env, stdout=writing)
        eventually(lambda: "/Library/a" in server.documents(), "it is stored")
        eventually(lambda: server.calls("LogOut") == 2, "it is through")
        time.sleep(0.3)
        assert process.poll() is None, "what it has to say is lost, and somebody may yet read it"
        process.send_signal(number)
        done = end(process, within=10)
    assert done.code in {0, -number}, done
    assert "Traceback" not in done.err


def test_who_reads_late_has_everything(server: Server, env: dict[str, str], tmp_path: Path) -> None:
    with unread() as (reading, writing):
        process = start("upload", file_of(tmp_path), "/Library/a", "--json", env=env, stdout=writing)
        eventually(lambda: server.calls("LogOut") == 2, "it is through")
        read = b""
        while b"}" not in read:
            read += os.read(reading, 65536)
        assert end(process).code == 0
    assert json.loads(read)["status"] == "stored"


def test_who_reads_slowly_gets_every_line_of_a_load(server: Server, env: dict[str, str], tmp_path: Path) -> None:
    """Some letters at a time: more is said than a pipe holds, and nothing is left out or cut."""
    for number in range(200):
        file_of(tmp_path / "tree", f"{number:03}-{'long' * 15}", b"%d" % number)
    process = start("bulk", tmp_path / "tree", "/Library/L", "--json", "-v", env=env, stderr=subprocess.DEVNULL)
    assert process.stdout is not None
    read = b""
    while more := os.read(process.stdout.fileno(), 1024):
        read += more
        time.sleep(0.002)
    assert process.wait(PATIENCE) == 0
    process.stdout.close()
    told = [json.loads(line) for line in read.splitlines()]
    assert [one["status"] for one in told] == ["stored"] * 200 + ["summary"]
    assert len({one["path"] for one in told[:-1]}) == 200


def test_standard_error_that_nobody_reads_holds_up_nothing(server: Server, env: dict[str, str], tmp_path: Path) -> None:
    """Neither the work nor, for more than some seconds, its end."""
    for number in range(40):
        file_of(tmp_path / "tree", f"{number:02}", b"%d" % number)
    with unread() as (_, writing):
        done = run("bulk", tmp_path / "tree", "/Library/L", "-vv", "--json", env=env, stderr=writing)
    assert done.code == 0
    assert len(done.out.splitlines()) == 41


FEW = "import sys; from asyncupload.cli import main, outlet; outlet.MOST = 1000; sys.exit(main(sys.argv[1:]))"
"""The command, with room for few lines that wait: as when there are many more files."""


def test_a_load_begins_no_more_than_it_can_tell_and_goes_on_when_it_can(
    server: Server, env: dict[str, str], tmp_path: Path
) -> None:
    """Its leases are kept, it can be stopped, and a reader that comes back misses no line."""
    for number in range(60):
        file_of(tmp_path / "tree", f"{number:02}", b"%d" % number)
    words = (COMMAND[0], "-c", FEW, "bulk", str(tmp_path / "tree"), "/Library/L", "--json", "--files", "2")
    with unread() as (reading, writing):
        process = subprocess.Popen(words, env=environment(**env), stdout=writing, stderr=subprocess.PIPE, text=True)
        eventually(lambda: len(server.documents()) > 3, "it has begun")
        time.sleep(1.5)
        assert len(server.documents()) < 30, "it goes on though nobody is told"
        read = bytearray()
        while b'"summary"' not in read:
            read += os.read(reading, 65536)
        assert end(process).code == 0
    told = [json.loads(one) for one in bytes(read).split(b"\n") if one]
    assert len([one for one in told if one["status"] == "stored"]) == 60
    assert len(server.documents()) == 1 + 60


def test_a_load_that_nobody_reads_can_be_stopped(server: Server, env: dict[str, str], tmp_path: Path) -> None:
    for number in range(60):
        file_of(tmp_path / "tree", f"{number:02}", b"%d" % number)
    words = (COMMAND[0], "-c", FEW, "bulk", str(tmp_path / "tree"), "/Library/L", "--json", "--files", "2")
    with unread() as (_, writing):
        process = subprocess.Popen(words, env=environment(**env), stdout=writing, stderr=subprocess.PIPE, text=True)
        eventually(lambda: len(server.documents()) > 3, "it has begun")
        process.send_signal(signal.SIGINT)
        done = end(process)
    assert done.code == 130, done
    assert "stopping" in done.err
    assert server.left() == 0


# ── descriptors ──


def test_no_file_takes_the_number_of_a_stream_that_was_closed(
    server: Server, env: dict[str, str], tmp_path: Path
) -> None:
    """Whatever speaks on standard error, as the command that knows the password, would write into it."""
    secret = tmp_path / "secret"
    secret.write_text("#!/bin/sh\necho careful >&2 || exit 3\necho 'correct horse 7'\n")
    secret.chmod(0o700)
    env = {name: value for name, value in env.items() if name != "ASYNCUPLOAD_PASSWORD"}
    words = ("upload", file_of(tmp_path), "/Library/a", "--password-command", secret)
    for how in ("both closed", "err closed"):
        assert typed(words, how, env).code == 0
    assert server.content("/Library/a") == b"content"


def test_a_descriptor_that_does_not_wait_gets_everything(env: dict[str, str], tmp_path: Path) -> None:
    """As some parents hand it down: what finds no room at once comes later."""
    with unread() as (reading, writing):
        os.set_blocking(writing, False)
        process = start("upload", file_of(tmp_path), "/Library/a", "--json", env=env, stdout=writing)
        time.sleep(1.0)
        read = b""
        while b"}" not in read:
            read += os.read(reading, 65536)
        done = end(process)
    assert (done.code, json.loads(read)["status"]) == (0, "stored")


def test_results_reach_their_file_while_a_picture_is_drawn(env: dict[str, str], tmp_path: Path) -> None:
    """And not the terminal, where the picture is."""
    file_of(tmp_path / "tree")
    words = ("bulk", tmp_path / "tree", "/Library/L", "--json")
    with (
        (tmp_path / "out").open("wb") as out,
        typed_at_a_terminal(*words, env=env, stdout=out) as shell,
    ):
        assert shell.end() == 0
        assert '"status"' not in shell.text
    assert [json.loads(one)["status"] for one in (tmp_path / "out").read_text().splitlines()] == ["stored", "summary"]

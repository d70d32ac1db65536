"""Every command in surroundings that are broken: it works, or it says what is wrong around it and what to do."""

import os
import resource
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from asyncupload import UsageError
from asyncupload._address import endpoint

from .commands import COMMAND, PATIENCE, Ended, environment, terminal
from .conftest import Here, Server

TO = "/Library/Load"


@pytest.fixture
def env(server: Server, tmp_path: Path, here: Here, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """A server, a home, and in it what each command needs, and keeps."""
    monkeypatch.delenv("XDG_STATE_HOME", raising=False)
    home = tmp_path / "home"
    (home / "tree").mkdir(parents=True)
    (home / "tree" / "grün.txt").write_bytes(b"content")
    (home / "list.csv").write_text("source,destination\ntree/grün.txt,/Library/grün.txt\n", "utf-8")
    with zipfile.ZipFile(home / "both.zip", "w") as archive:
        archive.writestr("one", "first")
    env = {**server.login, "HOME": str(home)}
    load = ("bulk", home / "tree", "/Library/Kept", "--journal", home / "kept.journal", "--ledger", home / "kept.jsonl")
    assert here(*load, "-q", env=env).code == 0
    return env


Words = Callable[[Path], tuple[object, ...]]

COMMANDS: dict[str, Words] = {
    "upload": lambda home: ("upload", home / "tree" / "grün.txt", "/Library/a.txt"),
    "upload -": lambda home: ("upload", "-", "/Library/b.txt"),
    "bulk": lambda home: ("bulk", home / "tree", TO),
    "bulk --dry-run": lambda home: ("bulk", home / "tree", TO, "--dry-run"),
    "bulk --manifest": lambda home: ("bulk", "--manifest", home / "list.csv"),
    "bulk --manifest -": lambda home: ("bulk", "--manifest", "-", home, TO),
    "bulk --report": lambda home: ("bulk", home / "tree", TO, "--report", home / "r.csv", "--ledger", home / "l.jsonl"),
    "upload-zip": lambda home: ("upload-zip", home / "both.zip", "/Library"),
    "download": lambda home: ("download", "/Library/Kept/grün.txt", home / "back.txt"),
    "verify": lambda home: ("verify", home / "tree" / "grün.txt", "/Library/Kept/grün.txt"),
    "verify --ledger": lambda home: ("verify", "--ledger", home / "kept.jsonl", "--sources"),
    "jobs": lambda _: ("jobs",),
    "jobs JOURNAL": lambda home: ("jobs", home / "kept.journal"),
    "explain": lambda home: ("explain", home / "kept.journal", home / "tree" / "grün.txt"),
    "explain by destination": lambda home: ("explain", home / "kept.journal", "/Library/Kept/grün.txt"),
    "retry": lambda home: ("retry", home / "kept.journal"),
    "discard": lambda _: ("discard", "3f2504e0-4f89-41d3-9a0c-0305e82c3301"),
    "check": lambda _: ("check",),
    "demo": lambda home: ("demo", home / "both.zip"),
    "serve": lambda _: ("serve", "--port", "1", "--host", "192.0.2.1"),  # an address that no machine has
    "--help": lambda _: ("--help",),
}

SERVING = {"demo", "serve"}
"""They run a server, whose own event loop may wait for a disk: not in this process, where that is found out."""

NO_SUCH_USER = (
    "import ctypes, os, sys; me = os.getuid(); "
    "sys.exit(77) if ctypes.CDLL(None).unshare(0x10000000) else None; "
    "open('/proc/self/uid_map', 'w').write(f'54321 {me} 1'); "
    "os.execv(sys.executable, [sys.executable, *sys.argv[1:]])"
)
"""Gives this process a user number that the system has no name for, as many containers do."""

ASCII = {"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"}
UNSET = "(unset)"
NOT_HERE = 77
GONE = 'cd "$(mktemp -d)" && rmdir "$PWD" && '


def typed(
    words: tuple[object, ...],
    env: dict[str, str],
    *,
    shell: str = '"$@"',
    before: str = "",
    content: bytes = b"",
    limit: Callable[[], None] | None = None,
) -> Ended:
    """Type a command in a shell, as only that can close what it starts with."""
    started = [sys.executable, "-c", before, *COMMAND[1:]] if before else list(COMMAND)
    done = subprocess.run(
        ["/bin/sh", "-c", shell, "-", *started, *map(str, words)],
        env={name: value for name, value in environment(**env).items() if value != UNSET},
        input=content,
        capture_output=True,
        timeout=PATIENCE,
        check=False,
        preexec_fn=limit,
    )
    if done.returncode == NOT_HERE:
        pytest.skip("this system does not let a user without a name be made")
    return Ended(done.returncode, done.stdout.decode("utf-8", "replace"), done.stderr.decode("utf-8", "replace"))


def no_room() -> None:
    """Every file that is written to is too large: neither a temporary one can be made nor any other."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))


BROKEN: dict[str, dict[str, str]] = {
    "a home that is not there": {"HOME": "/proc/nowhere"},
    "a home that is a file": {"HOME": "/etc/hosts"},
    "an empty home": {"HOME": "", "XDG_STATE_HOME": ""},
    "no temporary folder that is there": {"TMPDIR": "/proc/nowhere"},
    "no terminal, and its size told wrongly": {"TERM": "dumb", "COLUMNS": "wide", "LINES": "-3"},
    "a terminal of no width": {"TERM": "no-such", "COLUMNS": "0", "LINES": "0"},
    "a clock without a zone": {"TZ": "Nowhere/Land"},
    "no path": {"PATH": ""},
    # openbikesensor/portal#301, ArchiveTeam/wpull#82
    "a server with two dots": {"ASYNCUPLOAD_SERVER": "http://a..b/"},
}

APART: dict[str, tuple[dict[str, str], dict[str, Any], set[str]]] = {
    # ComparativeGenomicsToolkit/cactus#1803, NousResearch/hermes-agent#108356
    "no home and no name": (
        {"HOME": UNSET, "XDG_STATE_HOME": UNSET},
        {"before": NO_SUCH_USER},
        {"bulk", "bulk --dry-run", "jobs", "upload", "retry", "download", "demo", "serve"},
    ),
    # pypa/pip#4255, microsoft/knack#177
    "a current folder that is gone": (
        {},
        {"shell": GONE + 'exec "$@"'},
        {"upload", "bulk", "bulk --manifest -", "bulk --report", "download", "jobs", "explain", "verify --ledger"},
    ),
    "a locale that knows ASCII only": (
        ASCII,
        {},
        {
            "upload",
            "bulk",
            "bulk --manifest",
            "download",
            "verify --ledger",
            "jobs",
            "explain",
            "explain by destination",
        },
    ),
    "a locale that there is not": (
        {**ASCII, "LC_ALL": "xx_YY.ISO-8859-15"},
        {},
        {"bulk", "bulk --manifest", "explain"},
    ),
    "nothing to read from": (
        {},
        {"shell": 'exec "$@" <&-'},
        {"upload", "upload -", "bulk --manifest -", "verify", "check"},
    ),
    "no room for any file": (
        {},
        {"limit": no_room},
        {
            "upload",
            "bulk",
            "bulk --dry-run",
            "bulk --manifest -",
            "download",
            "jobs",
            "retry",
            "demo",
            "serve",
            "check",
        },
    ),
}
"""What befalls a whole process, and the commands that may care."""


def _require_words(ended: Ended) -> None:
    assert "Traceback" not in ended.err + ended.out, ended
    assert ended.code in {0, 1, 2, 3, 5}, ended
    assert ended.code == 0 or "asyncupload: " in ended.err or "Usage:" in ended.err, ended


@pytest.mark.parametrize("how", BROKEN)
def test_every_command_works_or_says_what_to_do(
    how: str, env: dict[str, str], here: Here, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No traceback, and no failure without words."""
    monkeypatch.setattr(tempfile, "tempdir", None)  # it is looked for once in a process
    for words in (words for name, words in COMMANDS.items() if name not in SERVING):
        _require_words(here(*words(Path(env["HOME"])), env={**env, **BROKEN[how]}))


@pytest.mark.parametrize(
    ("how", "name"), [(how, name) for how, (_, _, names) in APART.items() for name in sorted(names)]
)
def test_so_does_each_that_a_broken_process_concerns(how: str, name: str, env: dict[str, str]) -> None:
    more, rest, _ = APART[how]
    _require_words(typed(COMMANDS[name](Path(env["HOME"])), {**env, **more}, **rest))


def test_without_a_home_everything_works_that_needs_none(env: dict[str, str], server: Server) -> None:
    home, without = Path(env["HOME"]), ("HOME", "XDG_STATE_HOME", "XDG_CACHE_HOME")
    nobody = {**env, **dict.fromkeys(without, UNSET)}

    def here(*words: object) -> Ended:
        return typed(words, nobody, before=NO_SUCH_USER)

    for words in (("bulk", home / "tree", TO), ("jobs",)):
        refused = here(*words)
        assert (refused.code, "set HOME" in refused.err, "--journal" in refused.err) == (2, True, True), refused
    assert here("bulk", home / "tree", TO, "--journal", home / "mine.journal").code == 0
    assert here("jobs", home / "kept.journal").code == 0
    assert here("download", f"{TO}/grün.txt", home / "back.txt").code == 0  # which remembers nothing of the server then
    assert not (Path.cwd() / "~").exists()
    assert f"{TO}/grün.txt" in server.documents()


def test_a_list_names_files_that_the_locale_cannot_write(env: dict[str, str], server: Server) -> None:
    home = Path(env["HOME"])
    ended = typed(("bulk", "--manifest", home / "list.csv", "--ledger", home / "l.jsonl"), {**env, **ASCII})
    assert ended.code == 0, ended
    assert "/Library/grün.txt" in server.documents()
    assert (home / "l.jsonl").read_text().count("gr\\u00fcn.txt") == 2
    for locale in (ASCII, {}):
        assert typed(("verify", "--ledger", home / "l.jsonl", "--sources"), {**env, **locale}).code == 0


def test_where_the_current_folder_is_gone_that_is_said(env: dict[str, str]) -> None:
    home = Path(env["HOME"])
    for words in (
        ("bulk", home / "tree", TO, "--journal", "l.journal"),
        ("bulk", home / "tree", TO, "--report", "r.csv"),
        ("bulk", home / "tree", TO, "--ledger", "l.jsonl"),
        ("jobs", "l.journal"),
        ("explain", home / "kept.journal", "grün.txt"),
    ):
        ended = typed(words, env, shell=GONE + 'exec "$@"')
        assert (ended.code, "current folder is gone" in ended.err) == (2, True), (words, ended)
    listed = b"source,destination\nx,/Library/x\n"
    ended = typed(("bulk", "--manifest", "-"), env, shell=GONE + 'exec "$@"', content=listed)
    assert (ended.code, "line 2: the current folder is gone" in ended.err) == (2, True), ended


def test_a_list_on_a_standard_input_that_is_closed_is_refused_in_words(env: dict[str, str]) -> None:
    ended = typed(("bulk", "--manifest", "-"), env, shell='exec "$@" <&-')
    assert (ended.code, "standard input is closed" in ended.err) == (1, True), ended


def test_without_a_temporary_folder_that_is_said(env: dict[str, str]) -> None:
    ended = typed(("bulk", Path(env["HOME"]) / "tree", TO, "--dry-run"), env, limit=no_room)
    assert (ended.code, "set TMPDIR" in ended.err) == (2, True), ended


HOSTS = [
    "http://a..b/",
    "http://.a/",
    f"http://{'a' * 64}.example/",
    f"http://{'a.' * 130}b/",
    "http://xn--/",
    "http://xn--zzzzzzz--.example/",
    "http://[::1/",
    "http://\u00ad/",
    "http://ä..b/",
    f"http://{'ä' * 60}.example/",
]


@pytest.mark.parametrize("url", HOSTS)
def test_a_host_that_no_resolver_takes_is_usage(url: str) -> None:
    with pytest.raises(UsageError, match="host"):
        endpoint(url)


@pytest.mark.parametrize(
    "url", ["http://a.b./", "http://münchen.example/", "http://xn--mnchen-3ya.example/", "http://[::1]/"]
)
def test_a_host_that_one_takes_is_none(url: str) -> None:
    assert endpoint(url).path == "/srv.asmx"


def test_a_dumb_terminal_of_no_size_gets_the_results(env: dict[str, str]) -> None:
    home, narrow = Path(env["HOME"]), {"TERM": "dumb", "COLUMNS": "0", "LINES": "0"}
    for words in (("upload", home / "tree" / "grün.txt", "/Library/t.txt"), ("bulk", home / "tree", TO), ("jobs",)):
        with terminal(*words, env={**env, **narrow}) as shown:
            assert shown.end() == 0, shown.text
        assert "Traceback" not in shown.text


def test_a_program_that_is_not_found_is_named(env: dict[str, str]) -> None:
    without = {name: value for name, value in env.items() if name != "ASYNCUPLOAD_PASSWORD"}
    ended = typed(("check", "--password-command", "pass show it"), {**without, "PATH": ""})
    assert (ended.code, "pass cannot be started" in ended.err) == (2, True), ended


def test_a_home_that_vanishes_is_no_reason_to_fail(env: dict[str, str], tmp_path: Path) -> None:
    """The folder of journals is made where it can be."""
    moved = tmp_path / "other"
    shutil.copytree(env["HOME"], moved)
    assert typed(("bulk", moved / "tree", TO), {**env, "HOME": str(tmp_path / "not" / "yet")}).code == 0
    assert os.listdir(tmp_path / "not" / "yet")

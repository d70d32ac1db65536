"""Names, answers and comments are anybody's: none of them speaks to the terminal, whatever the command."""

import asyncio
import json
import os
import re
import sqlite3
import subprocess
import sys
import zipfile
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from xml.sax.saxutils import quoteattr

import pytest
from bulk.files import item, opened
from bulk.stored import ended

from asyncupload import cli
from asyncupload._shown import shown
from asyncupload.bulk.rows import State
from asyncupload.cli import terminal

from .answering import Answer, answering
from .commands import Ended, run
from .commands import terminal as typed_at_a_terminal
from .conftest import Here, Server
from .test_ledger import line

PIECES = (
    "\x1b]0;mine\x07",  # a title
    "\x1b]8;;http://evil.example\x1b\\",  # a link
    "\x1b[2J\x1b[31m",  # the screen cleared, a colour
    "\x9b31m\x9d0;mine\x9c\x85",  # the same in C1
    "\u202e\u202a\u2066\u2069\u200e\u200f\u061c",  # the direction of reading
    "\u200b\u2028\u2029\u2060\ufeff\u3164\u00ad\U000e0041",  # nothing to see, other ends of a line
    "\nFORGED: stored\r\tFORGED\x08\x7f\v\f",  # lines of its own
    "[red]loud[/red] [link=evil]here[/link] [/] :skull:",  # a library's markup
)
HOSTILE = "".join(PIECES)
NAME = HOSTILE.replace("/", "\u2044")
"""As a file may be called."""
FOR_XML = re.sub(r"[\x00-\x08\x0b-\x1f\x7f]", "", HOSTILE)
"""What an answer may hold: XML has no other control characters."""


FINE = PIECES[4] + PIECES[7]
"""As a comment may be."""


def assert_tame(text: str) -> None:
    """No character but those that show, and no line that is not the command's."""
    for one in text.split("\n"):
        assert one.isprintable(), ascii(one)
        assert not one.lstrip().startswith("FORGED"), text
    assert not re.search("[\u034f\u115f\u1160\u2800\u3164\uffa0]", text), ascii(text)


def assert_ended(done: Ended, *codes: int) -> None:
    assert done.code in codes, done
    assert_tame(done.out + done.err)
    assert "mine" in done.out + done.err, "it is not told at all, which tests nothing"
    assert "Traceback" not in done.err


@pytest.mark.parametrize("piece", PIECES)
def test_no_piece_of_it_gets_through(piece: str) -> None:
    assert_tame(shown(piece).replace("FORGED", ""))
    assert shown(shown(piece)) == shown(piece)


@pytest.mark.parametrize("text", ["Jahresabschluß 2026", "年次報告", "отчёт", "تقرير", "🙂 [bold].txt", "a  b"])
def test_what_people_write_is_shown_as_it_is(text: str) -> None:
    assert shown(text) == text


def test_a_byte_that_is_no_text_is_told_by_its_number() -> None:
    assert shown(os.fsdecode(b"caf\xe9")) == r"caf\udce9"


def test_every_character_is_shown_or_harmless() -> None:
    assert shown("".join(map(chr, range(sys.maxunicode + 1)))).isprintable()


# ── every command ──


@dataclass
class Stage:
    """What there is to type about."""

    server: Server
    folder: Path

    def file(self, name: str = NAME, data: bytes = b"content") -> Path:
        path = self.folder / name
        path.write_bytes(data)
        return path


@pytest.fixture
def stage(server: Server, tmp_path: Path) -> Stage:
    folder = tmp_path / "stage"
    folder.mkdir()
    return Stage(server, folder)


def journal_of(stage: Stage) -> Path:
    """A load in which everything has a name of that kind."""
    path = stage.folder / f"{NAME[:60]}.journal"

    async def fill() -> None:
        async with opened(path) as journal:
            told = {"server": HOSTILE, "user": HOSTILE, "source": HOSTILE, "destination": HOSTILE}
            await journal.note_run(**told)
            await ended(journal, replace(item("a"), destination=f"/Archive/{NAME}"), State.FAILED, reason=HOSTILE)

    asyncio.run(fill())
    return path


def ledger_of(stage: Stage) -> Path:
    path = stage.folder / "ledger.jsonl"
    path.write_text(line(stage.folder / NAME, f"/Library/{NAME}", b"x", 1_000_000))
    return path


def manifest_of(stage: Stage, text: str) -> Path:
    path = stage.folder / "list.jsonl"
    told = {"source": NAME, "destination": text, "description": FINE}
    path.write_text(json.dumps(told) + "\n")
    return path


def tree_of(stage: Stage) -> Path:
    folder = stage.folder / "tree"
    folder.mkdir()
    (folder / NAME[:80]).write_bytes(b"x")
    (folder / NAME[80:]).write_bytes(b"x")
    return folder


def archive_of(stage: Stage) -> Path:
    path = stage.folder / f"{NAME[:60]}.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(f"../{FOR_XML}", "x")
    return path


Words = Callable[[Stage], tuple[object, ...]]

COMMANDS: dict[str, tuple[Words, tuple[int, ...]]] = {
    "upload": (lambda s: ("upload", s.file(), "/Library/a"), (0,)),
    "upload to": (lambda s: ("upload", s.file("a"), f"/Library/{HOSTILE}"), (2,)),
    "upload what is not there": (lambda s: ("upload", s.folder / NAME, "/Library/a"), (2,)),
    "upload with log lines": (lambda s: ("upload", s.file(), "/Library/a", "-vv"), (0,)),
    "upload with an option": (lambda _: ("upload", "a", "/Library/a", f"--{HOSTILE}"), (2,)),
    "upload with a comment": (lambda s: ("upload", s.file(), "/Library/a", "--version-comment", FINE), (0,)),
    "upload-zip": (lambda s: ("upload-zip", archive_of(s), "/Library"), (1,)),
    "download": (lambda s: ("download", "/Library/kept", s.folder / NAME), (0,)),
    "download from": (lambda s: ("download", f"/Library/{HOSTILE}", s.folder / "a"), (2,)),
    "download into nothing": (lambda s: ("download", "/Library/kept", s.folder / "no" / NAME), (1,)),
    "verify": (lambda s: ("verify", s.file(), "/Library/kept"), (6,)),
    "verify what is not there": (lambda s: ("verify", s.folder / NAME, "/Library/kept"), (2,)),
    "verify a ledger": (lambda s: ("verify", "--ledger", ledger_of(s), "--sources"), (5, 6)),
    "verify a ledger by name": (lambda s: ("verify", "--ledger", s.folder / NAME), (2,)),
    "check": (lambda _: ("check", "--server", HOSTILE), (2,)),
    "check with a file": (lambda s: ("check", "--ca-file", s.folder / NAME), (2,)),
    "jobs": (lambda s: ("jobs", journal_of(s)), (0,)),
    "jobs by name": (lambda s: ("jobs", s.folder / NAME), (2,)),
    "explain": (lambda s: ("explain", journal_of(s), "/srv/a"), (0,)),
    "explain what is not there": (lambda s: ("explain", journal_of(s), NAME), (2,)),
    "retry": (lambda s: ("retry", journal_of(s)), (0,)),
    "discard": (lambda _: ("discard", HOSTILE), (2,)),
    "bulk": (lambda s: ("bulk", tree_of(s), "/Library/L"), (1, 3)),
    "bulk with log lines": (lambda s: ("bulk", tree_of(s), "/Library/L", "-vv"), (1, 3)),
    "bulk, foretold": (lambda s: ("bulk", tree_of(s), "/Library/L", "--dry-run"), (1, 3)),
    "bulk of a list": (lambda s: ("bulk", "--manifest", manifest_of(s, f"/Library/{NAME}")), (2,)),
    "bulk to": (lambda s: ("bulk", tree_of(s), HOSTILE), (1, 2, 3)),
    "bulk with a report": (lambda s: ("bulk", tree_of(s), "/Library/L", "--report", s.folder / NAME), (2,)),
    "serve": (lambda s: ("serve", "--data", s.file()), (2,)),
    "serve with trouble": (lambda _: ("serve", "--fault", f"{HOSTILE}=1"), (2,)),
    "serve with a folder": (lambda _: ("serve", "--folder", HOSTILE), (2,)),
    "bench": (lambda _: ("bench", "--seconds", HOSTILE), (2,)),
    "demo": (lambda s: ("demo", s.folder / NAME), (2,)),
    "none of them": (lambda _: (HOSTILE,), (2,)),
}


def test_each_command_is_among_them() -> None:
    assert {words.split()[0].strip(",") for words in COMMANDS} >= set(cli.COMMANDS)


@pytest.mark.parametrize("command", COMMANDS)
def test_a_name_cannot_speak_to_the_terminal(command: str, stage: Stage, here: Here, tmp_path: Path) -> None:
    words, codes = COMMANDS[command]
    env = {**stage.server.login, "XDG_STATE_HOME": str(tmp_path / "state")}
    kept = stage.folder / "kept"
    kept.write_bytes(b"kept")
    assert here("upload", kept, "/Library/kept", "-q", env=env).code == 0
    assert_ended(here(*words(stage), env=env), *codes)


@pytest.mark.parametrize("command", COMMANDS)
def test_json_tells_names_as_they_are(command: str, stage: Stage, here: Here, tmp_path: Path) -> None:
    words, _ = COMMANDS[command]
    if command in {"demo", "none of them"} or command.endswith(
        ("option", "trouble", "file", "folder", "serve", "bench")
    ):
        pytest.skip("it ends before it knows how to speak, or knows one way only")
    env = {**stage.server.login, "XDG_STATE_HOME": str(tmp_path / "state")}
    kept = stage.folder / "kept"
    kept.write_bytes(b"kept")
    assert here("upload", kept, "/Library/kept", "-q", env=env).code == 0
    done = here(*words(stage), "--json", env=env)
    assert_tame(done.out + done.err)
    told = [json.loads(one) for one in done.out.splitlines()]
    assert all("status" in one for one in told)


# ── what a server says ──


def refusing(kind: str) -> Callable[[str, str], Answer]:
    """Everything is refused, or answered by a page, in such words."""

    def answer(operation: str, _: str) -> Answer:
        if kind == "a page":
            return Answer(500, f"<html>{HOSTILE}</html>")
        if kind == "a redirect":
            return Answer(302, headers={"Location": f"http://evil.example/{FOR_XML[:0]}%1b]0;mine\x9b"})
        if operation == "AuthenticateUser" and kind == "a refusal later":
            return Answer(200, '<root success="true" ticket="t" />')
        return Answer(200, f'<root success="false" error={quoteattr(FOR_XML, {chr(10): "&#10;"})} errorCode="4444" />')

    return answer


BY_SERVERS: dict[str, Words] = {
    "upload": lambda s: ("upload", s.file("a"), "/Library/a"),
    "upload-zip": lambda s: ("upload-zip", s.file("a"), "/Library"),
    "download": lambda s: ("download", "/Library/a", s.folder / "b"),
    "verify": lambda s: ("verify", s.file("a"), "/Library/a"),
    "verify a ledger": lambda s: ("verify", "--ledger", ledger_of(s)),
    "check": lambda _: ("check",),
    "discard": lambda _: ("discard", "3f2504e0-4f89-41d3-9a0c-0305e82c3301"),
    "bulk": lambda s: ("bulk", s.file("a").parent, "/Library/L"),
    "bulk, foretold": lambda s: ("bulk", s.file("a").parent, "/Library/L", "--dry-run"),
    "bench": lambda _: ("bench", "--seconds", "0.1"),
}


@pytest.mark.parametrize("kind", ["a refusal", "a refusal later", "a page"])
@pytest.mark.parametrize("command", BY_SERVERS)
def test_a_server_cannot_speak_to_the_terminal(
    command: str, kind: str, stage: Stage, here: Here, tmp_path: Path
) -> None:
    with answering(refusing(kind)) as url:
        env = {**stage.server.login, "ASYNCUPLOAD_SERVER": url, "XDG_STATE_HOME": str(tmp_path / "state")}
        done = here(*BY_SERVERS[command](stage), "-vv", env=env)
    assert done.code != 0
    assert_tame(done.out + done.err)
    assert "mine" in done.out + done.err or "loud" in done.out + done.err, done
    assert "Traceback" not in done.err


# ── at a terminal ──


SPOKEN = "\x1b\\]|\x1b\\[2J|\x1b\\[31m[^m]*mine|[\x80-\x9f\u202a-\u202e\u2066-\u2069\u200b-\u200f\u2028\u2029]"


def test_a_bar_shows_such_a_name_as_text(stage: Stage) -> None:
    """Cut off where the line is: markup is not taken for any, and nothing of it moves anything."""
    for piece in (*PIECES[:5], PIECES[7]):
        path = stage.file(piece.replace("/", "\u2044") + ".txt")
        with typed_at_a_terminal("upload", path, "/Library/a.txt", "-v", env=stage.server.login) as shell:
            assert shell.end() == 0
            assert not re.search(SPOKEN, shell.raw), ascii(shell.raw)
            assert "[" not in piece[:1] or "[red]loud" in shell.text


def test_a_picture_shows_such_names_as_text(stage: Stage, tmp_path: Path) -> None:
    env = {**stage.server.login, "XDG_STATE_HOME": str(tmp_path / "state")}
    with typed_at_a_terminal("bulk", tree_of(stage), "/Library/L", "-v", env=env) as shell:
        assert shell.end() in {1, 3}
    assert not re.search(SPOKEN, shell.raw), ascii(shell.raw)


def test_the_question_for_a_password_shows_such_a_user_as_text(stage: Stage) -> None:
    env = {"ASYNCUPLOAD_SERVER": stage.server.url}
    with typed_at_a_terminal("check", "--user", HOSTILE, env=env) as shell:
        shell.wait_for("Password of ")
        shell.type("wrong\n")
        assert shell.end() == 4
    assert not re.search(SPOKEN, shell.raw), ascii(shell.raw)


# ── those who speak past it ──


def test_a_traceback_that_nobody_expected_is_tame(
    capsys: pytest.CaptureFixture[str],
) -> None:
    try:
        os.environ[HOSTILE]
    except KeyError:
        terminal.blame()
    err = capsys.readouterr().err
    assert "Traceback" in err
    assert not re.search("[\x1b\x80-\x9f\u202e]", err)


def test_what_a_library_warns_of_is_tame(tmp_path: Path) -> None:
    """Python's own warnings, and loggers that nobody has configured, write to standard error by themselves."""
    program = tmp_path / "program.py"
    program.write_text(
        "import logging, sys, warnings\n"
        "from asyncupload.cli import main, upload\n"
        f"text = {HOSTILE!r}\n"
        "def speak(*_):\n"
        "    warnings.warn(text)\n"
        "    logging.getLogger('asyncio').error(text)\n"
        "    print(text)\n"
        "    raise ValueError(text)\n"
        "upload.title = speak\n"
        "sys.exit(main(['upload', 'a', '/Library/a', '--server', 'http://127.0.0.1:9']))\n"
    )
    done = subprocess.run([sys.executable, program], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.count("mine") >= 3
    assert "mine" in done.stdout
    assert not re.search("[\x1b\x80-\x9f\u202e\u2066]", done.stdout + done.stderr)


# ── what is kept ──


@pytest.mark.parametrize("form", ["html", "csv", "jsonl"])
def test_a_page_shows_such_names_as_text(stage: Stage, here: Here, tmp_path: Path, form: str) -> None:
    """Those of what is stored, too, and those that are no Unicode; the other forms are for programs."""
    tree = tree_of(stage)
    (tree / f"<script>alert(1)<\u2044script>&'{PIECES[4]}").write_bytes(b"x")
    (tree / "right \u202egpj.exe").write_bytes(b"x")
    Path(os.fsdecode(os.fsencode(tree) + b"/caf\xe9")).write_bytes(b"x")
    page = tmp_path / f"report.{form}"
    env = {**stage.server.login, "XDG_STATE_HOME": str(tmp_path / "state")}
    done = here("bulk", tree, "/Library/L", "--report", page, env=env)
    assert done.code in {1, 3}, done
    text = page.read_text("utf-8")
    if form == "html":
        assert "gpj.exe" in text
        assert "<script" not in text
        assert not re.search(SPOKEN, text), ascii(text)


def test_a_journal_keeps_such_names_as_they_are(stage: Stage) -> None:
    """Only what is shown is changed."""
    with closing(sqlite3.connect(journal_of(stage))) as db:
        assert HOSTILE in [value for (value,) in db.execute("SELECT value FROM run")]


def test_results_are_ascii_where_they_are_json(stage: Stage) -> None:
    done = run("upload", stage.file(), "/Library/a", "--json", env=stage.server.login)
    assert done.out.isascii()
    assert done.said["status"] == "stored"

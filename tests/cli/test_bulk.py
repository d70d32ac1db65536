"""``asyncupload bulk`` as an administrator meets it."""

import csv
import json
import os
import signal
import socket
import sqlite3
import stat
import subprocess
import sys
import zlib
from collections import Counter
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from .commands import PATIENCE, Ended, end, environment, eventually, run, start, terminal
from .conftest import CHUNK, Here, Server

TO = "/Library/Load"

SMALL = ("--chunk-size", CHUNK)

SOON = ("--retry-after", 0.01)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """Three files in two folders."""
    folder = tmp_path / "source"
    write(folder, {"a.txt": b"first", "b.txt": b"second", "deep/er/c.txt": b"third"})
    return folder


@pytest.fixture
def journal(tmp_path: Path) -> Path:
    return tmp_path / "load.journal"


@pytest.fixture
def env(server: Server, journal: Path, tmp_path: Path) -> dict[str, str]:
    """What every command here is told: the server, the user, a journal, and a state folder that is nobody's."""
    return {**server.login, "ASYNCUPLOAD_JOURNAL": str(journal), "XDG_STATE_HOME": str(tmp_path / "state")}


def write(folder: Path, files: dict[str, bytes]) -> None:
    for name, data in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)


def many(folder: Path, count: int, size: int = 20_000) -> dict[str, bytes]:
    """Files of which no two are equal, by the names that they will have on the server."""
    files = {f"{number:02}.bin": b"%02d" % number * (size // 2) for number in range(count)}
    write(folder, files)
    return {f"{TO}/{name}": data for name, data in files.items()}


def lines(ended: Ended) -> list[dict[str, Any]]:
    """The JSON objects but the summary."""
    *found, summary = [json.loads(line) for line in ended.out.splitlines()]
    assert summary["status"] == "summary"
    return found


def summary(ended: Ended) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(ended.out.splitlines()[-1])
    assert found["status"] == "summary"
    return found


def numbers(ended: Ended) -> dict[str, int]:
    """How many of each there are, without those of which there are none."""
    states = ("stored", "unchanged", "skipped", "failed", "cancelled")
    return {state: number for state in states if (number := summary(ended)[state])}


def by_path(found: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    told = {line["path"]: line for line in found}
    assert len(told) == len(found), "a file is told of twice"
    return told


def sent(server: Server) -> int:
    return server.calls("CreateUploadHandler")


def assert_stored_once(server: Server, files: dict[str, bytes]) -> None:
    assert sorted(server.documents()) == sorted(files)
    for path, data in files.items():
        assert server.content(path) == data
        assert len(server.document(path).versions) == 1
    assert server.left() == 0


# ── a folder ──


def test_a_folder_comes_with_the_folders_in_it(server: Server, source: Path, here: Here, env: dict[str, str]) -> None:
    ended = here("bulk", source, TO, env=env)
    assert ended.code == 0, ended
    assert_stored_once(server, {f"{TO}/a.txt": b"first", f"{TO}/b.txt": b"second", f"{TO}/deep/er/c.txt": b"third"})
    assert ended.out.startswith("3 files: 3 stored\n16 B in ")
    assert ended.err == ""


def test_the_same_command_again_sends_only_what_is_new(
    server: Server, source: Path, here: Here, env: dict[str, str]
) -> None:
    assert here("bulk", source, TO, env=env).code == 0
    before = sent(server)
    write(source, {"b.txt": b"second, changed", "new.txt": b"fourth"})
    ended = here("bulk", source, TO, "--json", env=env)
    assert (ended.code, numbers(ended), sent(server) - before) == (0, {"stored": 4}, 2)
    assert {line["path"] for line in lines(ended)} == {f"{TO}/b.txt", f"{TO}/new.txt"}
    assert len(server.document(f"{TO}/b.txt").versions) == 2


def test_without_its_journal_nothing_is_sent_either(
    server: Server, source: Path, here: Here, env: dict[str, str], journal: Path
) -> None:
    assert here("bulk", source, TO, env=env).code == 0
    before = sent(server)
    journal.unlink()
    ended = here("bulk", source, TO, "--json", env=env)
    assert (ended.code, numbers(ended), sent(server)) == (0, {"unchanged": 3}, before)


def test_json_has_one_line_for_each_file_and_then_the_summary(
    server: Server, source: Path, here: Here, env: dict[str, str], journal: Path
) -> None:
    assert here("upload", source / "a.txt", "/Library/a.txt", env=server.login).code == 0
    write(source, {"empty": b"", "bad|name": b"x"})
    ended = here("bulk", source, "/Library", "--json", env=env)
    assert ended.code == 1
    told = by_path(lines(ended))
    assert {path.removeprefix("/Library/"): line["status"] for path, line in told.items()} == {
        "a.txt": "unchanged",
        "b.txt": "stored",
        "deep/er/c.txt": "stored",
        "empty": "skipped",
        "bad|name": "failed",
    }
    stored = told["/Library/b.txt"]
    assert stored["source"] == str(source / "b.txt")
    assert (stored["size"], stored["chunks"], stored["crc32"]) == (6, 1, f"{zlib.crc32(b'second'):08X}")
    assert stored["document_id"] == server.document("/Library/b.txt").id
    assert "empty" in told["/Library/empty"]["message"]
    assert "does not allow |" in told["/Library/bad|name"]["message"]
    end_ = summary(ended)
    assert end_["rows"] == 5 == sum(numbers(ended).values())
    assert (end_["sent"], end_["left_out"], end_["journal"]) == (11, 0, str(journal))
    assert ended.err == ""


def test_without_json_the_first_files_that_were_not_sent_are_named(
    source: Path, here: Here, env: dict[str, str]
) -> None:
    write(source, {f"bad|{number:02}": b"x" for number in range(12)})
    ended = here("bulk", source, TO, env=env)
    assert ended.code == 1
    *named, more = ended.err.splitlines()
    assert [line.split(": ")[:3] for line in named] == [
        ["asyncupload", "failed", f"{TO}/bad|{number:02}"] for number in range(10)
    ]
    assert more == "asyncupload: and more; --report names them all"
    assert "15 files: 3 stored, 12 failed" in ended.out
    assert f"asyncupload explain {env['ASYNCUPLOAD_JOURNAL']} PATH" in ended.out
    assert f"asyncupload retry {env['ASYNCUPLOAD_JOURNAL']}" in ended.out


def test_quiet_says_only_what_went_wrong(source: Path, here: Here, env: dict[str, str]) -> None:
    assert here("bulk", source, TO, "-q", env=env) == (0, "", "")
    write(source, {"bad|name": b"x"})
    ended = here("bulk", source, TO, "-q", env=env)
    assert (ended.code, ended.out) == (1, "")
    assert "bad|name" in ended.err


# ── a dry run ──


def troubled(server: Server, source: Path, here: Here) -> None:
    """Files and documents of every kind."""
    for name, data in {"equal": b"1", "older": b"2", "held": b"3", "held-equal": b"4"}.items():
        file = source / name
        file.write_bytes(data)
        assert here("upload", file, f"/Library/{name}", env=server.login).code == 0
    write(source, {"older": b"2, changed", "held": b"3, changed"})
    for name in ("held", "held-equal"):
        server.check_out(f"/Library/{name}", "mjones")
    write(source, {"new": b"5", "empty": b"", "bad|name": b"6", "twin": b"7", "TWIN": b"8", "below/new": b"9"})
    os.mkfifo(source / "pipe")
    (source / "link").symlink_to(source / "new")


def fates(server: Server, told: list[dict[str, Any]]) -> dict[str, str]:
    """By source: what became of each file, in the words of a dry run."""
    found = {line["source"]: line["status"] for line in told}
    assert len(found) == len(told), "a file is told of twice"
    for line in told:
        if line["status"] == "stored":
            new = len(server.document(line["path"]).versions) == 1
            found[line["source"]] = "new" if new else "version"
    return found


@pytest.mark.parametrize("if_exists", ["skip", "version", "fail"])
def test_a_dry_run_tells_what_the_run_then_does(
    server: Server, source: Path, here: Here, env: dict[str, str], if_exists: str
) -> None:
    troubled(server, source, here)
    words = ("bulk", source, "/Library", "--json", "--if-exists", if_exists, "--attempts", 1)
    before = server.state()
    foretold = here(*words, "--dry-run", env=env)
    assert server.state() == before
    told = fates(server, lines(foretold))
    assert (
        set(told.values())
        == {"new", "skipped", "failed"}
        | ({"skip": {"version", "unchanged"}, "version": {"version"}, "fail": set()}[if_exists])
    )
    done = here(*words, env=env)
    assert fates(server, lines(done)) == told
    counted = {name: count for name, count in summary(foretold).items() if name in set(told.values())}
    assert counted == Counter(told.values())
    assert done.code == foretold.code == 1
    assert server.left() == 0


def test_after_a_run_a_dry_run_tells_what_is_left(
    server: Server, source: Path, here: Here, env: dict[str, str], journal: Path
) -> None:
    assert here("bulk", source, TO, env=env).code == 0
    write(source, {"new.txt": b"4"})
    (source / "b.txt").unlink()
    before = journal.read_bytes()
    ended = here("bulk", source, TO, "--dry-run", "--json", env=env)
    told = {path: line["status"] for path, line in by_path(lines(ended)).items()}
    assert told[f"{TO}/new.txt"] == "new"
    assert told[f"{TO}/a.txt"] == "unchanged"
    assert ended.code == 0
    assert journal.read_bytes() == before


def test_a_dry_run_leaves_no_journal(source: Path, here: Here, env: dict[str, str], journal: Path) -> None:
    ended = here("bulk", source, TO, "--dry-run", env=env)
    assert ended.code == 0
    assert ended.out.splitlines()[-1] == "3 files: 3 new; nothing was sent"
    assert not journal.exists()
    assert not Path(env["XDG_STATE_HOME"]).exists()


@pytest.mark.parametrize("dry", [(), ("--dry-run",)])
def test_a_library_that_is_missing_is_told_of_each_file(
    server: Server, source: Path, here: Here, env: dict[str, str], dry: tuple[str, ...]
) -> None:
    ended = here("bulk", source, "/NoLibrary/Folder", "--json", *dry, env=env)
    assert [line["status"] for line in lines(ended)] == ["failed"] * 3
    assert (ended.code, sent(server)) == (1, 0)


# ── which files ──


@pytest.mark.parametrize(
    ("words", "names"),
    [
        (("--include", "*.txt"), {"a.txt", "deep/c.txt"}),
        (("--include", "*.txt", "--include", "big.bin"), {"a.txt", "deep/c.txt", "big.bin"}),
        (("--exclude", "deep/", "--exclude", "*.bin"), {"a.txt"}),
        (("--min-size", "1K"), {"big.bin"}),
        (("--max-size", "1KiB"), {"a.txt", "deep/c.txt"}),
        (("--newer-than", "2020-01-01"), {"big.bin", "deep/c.txt"}),
        (("--older-than", "2020-01-01T12:00:00"), {"a.txt"}),
    ],
)
def test_files_are_chosen_and_the_others_counted(
    here: Here, env: dict[str, str], tmp_path: Path, words: tuple[str, ...], names: set[str]
) -> None:
    folder = tmp_path / "chosen"
    write(folder, {"a.txt": b"a", "big.bin": b"b" * 5000, "deep/c.txt": b"c"})
    os.utime(folder / "a.txt", (0, 1_500_000_000))
    ended = here("bulk", folder, "/Library", *words, "--dry-run", "--json", env=env)
    assert {line["path"].removeprefix("/Library/") for line in lines(ended)} == names
    assert summary(ended)["left_out"] == 3 - len(names)


def test_links_are_followed_if_wanted(here: Here, env: dict[str, str], source: Path) -> None:
    (source / "link").symlink_to(source / "a.txt")
    words = ("bulk", source, "/Library", "--dry-run", "--json")
    assert by_path(lines(here(*words, env=env)))["/Library/link"]["status"] == "skipped"
    assert by_path(lines(here(*words, "--follow-symlinks", env=env)))["/Library/link"]["status"] == "new"


def test_what_it_writes_itself_is_not_sent(here: Here, env: dict[str, str], source: Path) -> None:
    (source / "my [logs]").mkdir()
    own = {"journal": "l.journal", "ledger": "l.jsonl", "report": "l.csv"}
    words = [word for name, file in own.items() for word in (f"--{name}", source / "my [logs]" / file)]
    for _ in range(2):
        ended = here("bulk", source, TO, "--json", *words, env=env)
        assert (ended.code, numbers(ended)) == (0, {"stored": 3})


# ── how they go ──


def test_chunk_size_encoding_and_the_environment(
    server: Server, here: Here, env: dict[str, str], tmp_path: Path
) -> None:
    write(tmp_path / "large", {"large.bin": os.urandom(2 * CHUNK + 1)})
    more = {"ASYNCUPLOAD_CHUNK_SIZE": "256KiB", "ASYNCUPLOAD_ENCODING": "soap", "ASYNCUPLOAD_JSON": "1"}
    (line,) = lines(here("bulk", tmp_path / "large", TO, env={**env, **more}))
    assert line["chunks"] == 3
    assert server.ways("UploadFileChunk") == {"soap"}


def test_a_limit_of_the_rate_is_what_the_summary_says_was_waited_for(
    here: Here, env: dict[str, str], source: Path
) -> None:
    write(source, {"a.txt": b"a" * 3000, "b.txt": b"b" * 3000})
    assert summary(here("bulk", source, TO, "--limit-rate", "10K", "--json", env=env))["bottleneck"] == "rate limit"


def test_attempts_are_counted_and_have_an_end(server: Server, here: Here, env: dict[str, str], source: Path) -> None:
    assert here("upload", source / "b.txt", "/Library/a.txt", env=server.login).code == 0
    server.check_out("/Library/a.txt", "mjones")
    words = ("bulk", source, "/Library", "--attempts", 3, *SOON)
    ended = here(*words, "--json", env=env)
    assert ended.code == 1
    failed = by_path(lines(ended))["/Library/a.txt"]
    assert failed["status"] == "failed"
    assert "checked out by mjones" in failed["message"]
    assert "(attempt 3 of 3)" in failed["message"]


@pytest.mark.parametrize("words", [("--memory", 0), ("--limit-rate", 0), ("--chunk-size", 1000), ("--memory", "much")])
def test_amounts_that_cannot_be_are_usage(
    server: Server, here: Here, env: dict[str, str], source: Path, words: tuple[object, ...]
) -> None:
    ended = here("bulk", source, TO, *words, env=env)
    assert (ended.code, ended.out, server.calls("AuthenticateUser")) == (2, "", 0)


# ── a list ──


def test_a_list_says_what_goes_where(server: Server, here: Here, env: dict[str, str], source: Path) -> None:
    manifest = source.parent / "list.csv"
    manifest.write_text(
        "source,destination,description\nsource/a.txt,/Library/other name.txt,the first\nsource/b.txt,inner/b.txt,\n"
    )
    assert here("bulk", "--manifest", manifest, TO, env=env).code == 0
    assert sorted(server.documents()) == [f"{TO}/inner/b.txt", "/Library/other name.txt"]
    assert server.document("/Library/other name.txt").description == "the first"


def test_its_sources_may_begin_elsewhere(
    server: Server, here: Here, env: dict[str, str], source: Path, tmp_path: Path
) -> None:
    (tmp_path / "lists").mkdir()
    manifest = tmp_path / "lists" / "list.jsonl"
    manifest.write_text('{"source": "a.txt", "destination": "b.txt"}\n')
    assert here("bulk", "--manifest", manifest, source, TO, env=env).code == 0
    assert server.content(f"{TO}/b.txt") == b"first"


BAD = "source,destination\nsource/a.txt,/Library/a.txt\nsource/b.txt\nsource/b.txt,/\n"


def assert_refused(ended: Ended, name: str, server: Server) -> None:
    assert (ended.code, ended.out) == (2, "")
    first, second, third = ended.err.splitlines()
    assert first == f"asyncupload: {name} cannot be used: 2 lines are wrong"
    assert second.startswith("  line 3: ")
    assert third.startswith("  line 4: ")
    assert sent(server) == 0


def test_what_is_wrong_with_a_list_is_told_by_line_and_nothing_is_sent(
    server: Server, here: Here, env: dict[str, str], source: Path
) -> None:
    manifest = source.parent / "list.csv"
    manifest.write_text(BAD)
    for more in ((), ("--dry-run",)):
        assert_refused(here("bulk", "--manifest", manifest, *more, env=env), str(manifest), server)


def test_a_list_may_come_on_standard_input(server: Server, env: dict[str, str], source: Path) -> None:
    def typed(text: str) -> Ended:
        read, written = os.pipe()
        os.write(written, text.encode())
        os.close(written)
        with os.fdopen(read) as stdin:
            return run("bulk", "--manifest", "-", env=env, stdin=stdin, cwd=source.parent)

    assert_refused(typed(BAD), "standard input", server)
    ended = typed("source,destination\nsource/a.txt,/Library/a.txt\n")
    assert ended.code == 0, ended
    assert server.content("/Library/a.txt") == b"first"


def test_names_in_a_list_cannot_speak_to_the_terminal(
    server: Server, here: Here, env: dict[str, str], tmp_path: Path
) -> None:
    manifest = tmp_path / "list.csv"
    manifest.write_text("source,destination\n\x1b]0;mine\x07,/Library/a\x1b]0;mine\x07\n\x1b]0;mine\x07,/Library/b\n")
    for more in ((), ("--dry-run",)):
        ended = here("bulk", "--manifest", manifest, *more, env=env)
        assert "\x1b" not in ended.out + ended.err
        manifest.write_text("source,destination\n\x1b]0;mine\x07,/Library/b\n")


# ── what is wrong from the beginning ──


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ((), "SOURCE and DESTINATION"),
        (("source",), "SOURCE and DESTINATION"),
        (("source", TO, "more"), "SOURCE and DESTINATION"),
        (("missing", TO), "missing is no folder"),
        (("source/a.txt", TO), "asyncupload upload"),
        (("source", "/"), "/"),
        (("--manifest", "missing.csv"), "missing.csv"),
        (("--manifest", "source/a.txt", "--include", "*.txt"), "--include"),
        (("source", TO, "--include", ""), "include"),
        (("source", TO, "--report", "report.txt"), ".csv, .jsonl, .html"),
        (("source", TO, "--report", "missing/report.csv"), "missing/report.csv"),
        (("source", TO, "--newer-than", "yesterday"), "--newer-than"),
        (("source", TO, "--journal", "missing/load.journal"), "missing/load.journal"),
        (("source", TO, "--journal", "source/a.txt"), "must end in .journal"),
    ],
)
def test_usage_is_told_before_anything_is_sent(
    server: Server,
    here: Here,
    source: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    words: tuple[str, ...],
    told: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    ended = here("bulk", *words, env={**server.login, "XDG_STATE_HOME": str(tmp_path / "state")})
    assert (ended.code, ended.out, sent(server)) == (2, "", 0), ended
    assert told in ended.err
    assert "Traceback" not in ended.err
    assert not list(tmp_path.glob("**/*.journal"))


def test_a_wrong_password_fails_no_file(
    server: Server, here: Here, env: dict[str, str], source: Path, journal: Path
) -> None:
    for more in ((), ("--dry-run",)):
        before = server.calls("AuthenticateUser")
        ended = here("bulk", source, TO, "--json", *more, env={**env, "ASYNCUPLOAD_PASSWORD": "wrong"})
        assert (ended.code, ended.said["error"]) == (4, "LoginRefused")
        assert server.calls("AuthenticateUser") == before + 1, "a wrong password is tried once"
    assert not journal.exists()
    assert here("bulk", source, TO, env=env).code == 0


def test_a_server_that_is_not_there_is_told_at_once(
    here: Here, env: dict[str, str], source: Path, journal: Path
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    for more in ((), ("--dry-run",)):
        ended = here("bulk", source, TO, "--json", *more, env={**env, "ASYNCUPLOAD_SERVER": f"http://127.0.0.1:{port}"})
        assert (ended.code, ended.said["error"]) == (5, "ConnectFailed")
    assert not journal.exists()


def test_a_redirect_that_passes_fails_no_file(server: Server, here: Here, env: dict[str, str], source: Path) -> None:
    """As to a page that says that the server is maintained."""
    server.faults.update({("CreateUploadHandler", 1): "redirect-302"})
    ended = here("bulk", source, TO, "--files", 1, "--json", env=env)
    assert ended.code == 0, ended
    assert len(server.documents()) == 3


def test_what_is_left_out_of_necessity_is_a_code_of_its_own(source: Path, here: Here, env: dict[str, str]) -> None:
    write(source, {"empty": b""})
    assert here("bulk", source, TO, "--dry-run", env=env).code == 3
    assert here("bulk", source, TO, env=env).code == 3
    assert here("bulk", source, TO, "--min-size", 1, env=env).code == 0


# ── what is written ──


def test_journals_have_a_folder_that_is_the_users_own(
    server: Server, source: Path, here: Here, env: dict[str, str], tmp_path: Path
) -> None:
    env.pop("ASYNCUPLOAD_JOURNAL")
    ended = here("bulk", source, TO, "--json", env=env)
    folder = tmp_path / "state" / "asyncupload"
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert Path(summary(ended)["journal"]).parent == folder
    assert summary(here("bulk", source, TO + "/", "--json", env=env))["journal"] == summary(ended)["journal"]
    assert len(list(folder.glob("*.journal"))) == 1
    assert summary(here("bulk", source, "/Library/Other", "--json", env=env))["journal"] != summary(ended)["journal"]


def test_a_journal_remembers_what_it_is_of(server: Server, source: Path, here: Here, env: dict[str, str]) -> None:
    assert here("bulk", source, TO, env=env).code == 0
    with closing(sqlite3.connect(env["ASYNCUPLOAD_JOURNAL"])) as db:
        noted = dict(db.execute("SELECT fact, value FROM run"))
    assert noted.items() >= {"server": server.url, "user": "jsmith", "source": str(source), "destination": TO}.items()


def test_a_damaged_journal_is_told_of_and_begun_anew(
    source: Path, here: Here, env: dict[str, str], journal: Path
) -> None:
    assert here("bulk", source, TO, env=env).code == 0
    journal.write_bytes(b"damaged" * 1000)
    ended = here("bulk", source, TO, "--json", env=env)
    assert (ended.code, numbers(ended)) == (0, {"unchanged": 3})
    assert "was damaged" in ended.err


def test_a_new_journal_says_that_it_knows_of_nothing_where_that_adds_versions(
    server: Server, source: Path, here: Here, env: dict[str, str], journal: Path
) -> None:
    """Without the journal and what lies beside it, a run cannot be told from the first one."""
    words = ("bulk", source, TO, "--if-exists", "version")
    told = f"the journal {journal} is new, and knows of no earlier run: every document that is there already gets"
    assert told in here(*words, env=env).err
    assert "is new" not in here(*words, env=env).err
    assert "is new" not in here("bulk", source, TO, "--journal", journal.with_name("other.journal"), env=env).err
    assert {len(document.versions) for document in server.state()} == {1}


def test_another_servers_journal_is_refused(
    server: Server, source: Path, here: Here, env: dict[str, str], journal: Path
) -> None:
    """What is stored there is not stored here."""
    assert here("bulk", source, TO, env=env).code == 0
    with closing(sqlite3.connect(journal)) as db:
        db.execute("UPDATE run SET value = 'https://other.example' WHERE fact = 'server'")
        db.commit()
    ended = here("bulk", source, TO, env=env)
    assert ended.code == 2
    assert "is of a load to https://other.example, and what is stored there is not stored on" in ended.err


@pytest.mark.parametrize("form", ["csv", "jsonl", "html"])
def test_a_report_has_every_file(source: Path, here: Here, env: dict[str, str], tmp_path: Path, form: str) -> None:
    write(source, {"empty": b"", "bad|name": b"x"})
    report = tmp_path / f"report.{form}"
    assert here("bulk", source, TO, "--report", report, env=env).code == 1
    text = report.read_text("utf-8")
    if form == "html":
        assert "bad|name" in text
        return
    rows: list[dict[str, Any]] = (
        list(csv.DictReader(text.splitlines())) if form == "csv" else list(map(json.loads, text.splitlines()))
    )
    assert Counter(row["state"] for row in rows) == {"stored": 3, "skipped": 1, "failed": 1}


def test_a_ledger_has_every_document_with_its_checksums(
    server: Server, source: Path, here: Here, env: dict[str, str], tmp_path: Path
) -> None:
    ledger = tmp_path / "ledger.jsonl"
    words = ("bulk", source, TO, "--ledger", ledger, "--sha256")
    assert here(*words, env=env).code == 0
    write(source, {"new.txt": b"4"})
    assert here(*words, env=env).code == 0
    entries = [line for line in map(json.loads, ledger.read_text().splitlines()) if "destination" in line]
    assert sorted(entry["destination"] for entry in entries) == sorted(server.documents())
    # Of "4", by sha256sum.
    new = "4b227777d4dd1fc61c6f884f48641d02b4d121d3fd328cb08b5531fcacdabf8a"
    assert {entry["destination"]: entry["sha256"] for entry in entries}[f"{TO}/new.txt"] == new


def test_a_ledger_that_cannot_be_written_is_told_before_anything_is_sent(
    server: Server, source: Path, here: Here, env: dict[str, str], tmp_path: Path
) -> None:
    ended = here("bulk", source, TO, "--ledger", tmp_path / "missing" / "ledger", env=env)
    assert ended.code in {1, 2}
    assert sent(server) == 0
    assert str(tmp_path / "missing" / "ledger") in ended.err


# ── signals, terminals, other processes ──


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_after_one_signal_the_files_in_flight_end_and_the_same_command_goes_on(
    server: Server, source: Path, env: dict[str, str], here: Here, number: signal.Signals, code: int
) -> None:
    files = many(source.with_name("many"), 40, 10_000)
    words = ("bulk", source.with_name("many"), TO, "--json")
    process = start(*words, "--limit-rate", "100K", env=env)
    server.wait_for("UploadFileChunk", 3)
    process.send_signal(number)
    ended = end(process)
    assert ended.code == code
    assert "stopping; files in flight have 30 s, and another Ctrl-C ends at once" in ended.err
    assert 0 < numbers(ended)["stored"] == len(server.documents()) < 40
    assert set(numbers(ended)) == {"stored", "cancelled"}
    assert server.left() == 0
    again = here(*words, env=env)
    assert (again.code, numbers(again)) == (0, {"stored": 40})
    assert_stored_once(server, files)


def test_after_the_grace_what_was_sent_of_them_is_deleted(
    server: Server, env: dict[str, str], here: Here, tmp_path: Path
) -> None:
    files = many(tmp_path / "many", 2, CHUNK)
    server.faults.update({("UploadFileChunk", 1): "stall", ("UploadFileChunk", 2): "stall"})
    process = start("bulk", tmp_path / "many", TO, "--grace", 0.1, *SMALL, env=env)
    server.wait_for("UploadFileChunk", 2)
    process.send_signal(signal.SIGINT)
    ended = end(process)
    assert ended.code == 130
    assert "2 files: 2 cancelled" in ended.out
    assert "the same command goes on from here" in ended.out
    assert server.left() == 0
    assert here("bulk", tmp_path / "many", TO, env=env).code == 0
    assert_stored_once(server, files)


def test_a_second_ctrl_c_ends_it_at_once_and_gives_the_terminal_back(
    server: Server, env: dict[str, str], journal: Path, tmp_path: Path
) -> None:
    many(tmp_path / "many", 2, CHUNK)
    server.faults.update({("UploadFileChunk", 1): "stall", ("UploadFileChunk", 2): "stall"})
    with terminal("bulk", tmp_path / "many", TO, *SMALL, env=env) as shell:
        server.wait_for("UploadFileChunk", 2)
        shell.type("\x03")
        shell.wait_for("another Ctrl-C ends at once")
        shell.type("\x03")
        assert shell.end() == 130
        assert "ended at once; the same command goes on from here" in shell.text
        assert shell.raw.rindex("\x1b[?25h") > shell.raw.rindex("\x1b[?25l"), "the cursor is left hidden"
    with closing(sqlite3.connect(journal)) as db:
        assert db.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        assert dict(db.execute("SELECT state, count(*) FROM rows GROUP BY state")) == {"sending": 2}


HASTY = "import sys; from asyncupload.bulk import batches; from asyncupload.cli import main; batches.GRACE = 0.1; "
"""The command, with less patience for a look at the disk that does not end."""


def test_ctrl_c_does_not_wait_for_a_list_that_nobody_goes_on_with(env: dict[str, str]) -> None:
    typed = [sys.executable, "-c", f"{HASTY} sys.exit(main())", "bulk", "--manifest", "-"]
    pipes: dict[str, Any] = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
    with subprocess.Popen(typed, env=environment(**env), text=True, **pipes) as process:
        eventually(lambda: noted(env["ASYNCUPLOAD_JOURNAL"], "readings"), "the list is read")
        process.send_signal(signal.SIGINT)
        assert process.wait(PATIENCE) == 130


def noted(journal: str, fact: str) -> bool:
    if not Path(journal).exists():
        return False
    with closing(sqlite3.connect(journal)) as db:
        try:
            return bool(db.execute("SELECT value FROM run WHERE fact = ?", (fact,)).fetchall())
        except sqlite3.OperationalError:  # it is being made
            return False


def test_of_two_processes_each_file_is_sent_by_one(server: Server, env: dict[str, str], tmp_path: Path) -> None:
    files = many(tmp_path / "many", 60, 1000)
    typed = [start("bulk", tmp_path / "many", TO, "--json", env=env) for _ in range(2)]
    first, second = map(end, typed)
    assert (first.code, second.code) == (0, 0), (first, second)
    mine, yours = by_path(lines(first)), by_path(lines(second))
    assert mine.keys() | yours.keys() == set(files)
    assert not mine.keys() & yours.keys()
    assert numbers(first) == numbers(second) == {"stored": 60}
    assert_stored_once(server, files)


def test_a_file_that_is_not_there_is_named(here: Here, env: dict[str, str], tmp_path: Path) -> None:
    """What is wrong with a file here is said of its name here."""
    manifest = tmp_path / "list.csv"
    manifest.write_text(f"source,destination\nnobody.txt,{TO}/a.txt\n")
    ended = here("bulk", "--manifest", manifest, env=env)
    assert f"failed: {tmp_path / 'nobody.txt'} → {TO}/a.txt: nothing is there (any more)" in ended.err

"""What a load is told to write into must be a file of the user's own, and that is known before a byte is sent."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from .commands import run
from .conftest import Here, Server

TO = "/Library/Load"

KINDS: dict[str, Callable[[Path], object]] = {
    "pipe": os.mkfifo,
    "directory": Path.mkdir,
    "full": lambda path: path.symlink_to("/dev/full"),
    "nothing": lambda path: path.symlink_to("/dev/null"),
}


@pytest.fixture
def source(tmp_path: Path) -> Path:
    folder = tmp_path / "source"
    folder.mkdir()
    (folder / "a.txt").write_bytes(b"first")
    return folder


@pytest.fixture
def env(server: Server, tmp_path: Path) -> dict[str, str]:
    return {**server.login, "XDG_STATE_HOME": str(tmp_path / "state")}


@pytest.mark.parametrize("dry", [(), ("--dry-run",)], ids=["run", "dry run"])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("option", "name"),
    [("--ledger", "l.jsonl"), ("--report", "r.csv"), ("--report", "r.html"), ("--journal", "j.journal")],
)
def test_what_is_no_file_is_usage_before_anything_is_sent(
    server: Server,
    source: Path,
    env: dict[str, str],
    tmp_path: Path,
    here: Here,
    option: str,
    name: str,
    kind: str,
    dry: tuple[str, ...],
) -> None:
    KINDS[kind](tmp_path / name)
    before = (tmp_path / name).lstat()
    ended = here("bulk", source, TO, option, tmp_path / name, *dry, env=env)
    assert (ended.code, ended.out) == (2, ""), ended
    assert str(tmp_path / name) in ended.err
    assert "Traceback" not in ended.err
    assert server.calls("AuthenticateUser") == 0
    assert (tmp_path / name).lstat() == before


@pytest.mark.parametrize("option", ["--ledger", "--report"])
def test_a_device_by_its_own_name_is_refused(server: Server, source: Path, env: dict[str, str], option: str) -> None:
    ended = run("bulk", source, TO, option, "/dev/full", env=env)
    assert (ended.code, ended.out, server.calls("AuthenticateUser")) == (2, "", 0), ended
    assert "/dev/full" in ended.err


@pytest.mark.parametrize("kind", ["pipe", "directory"])
@pytest.mark.parametrize("words", [("jobs",), ("retry",), ("explain",)])
def test_no_pipe_is_waited_for_as_a_journal(here: Here, tmp_path: Path, kind: str, words: tuple[str, ...]) -> None:
    path = tmp_path / "j.journal"
    KINDS[kind](path)
    ended = here(
        *words, path, *(["a"] if words == ("explain",) else []), env={"XDG_STATE_HOME": str(tmp_path / "state")}
    )
    assert ended.code == (0 if (words, kind) == (("jobs",), "directory") else 2), ended  # of a folder, jobs lists all
    assert "Traceback" not in ended.err


def test_a_pipe_is_no_ledger_to_be_asked_about(server: Server, env: dict[str, str], tmp_path: Path, here: Here) -> None:
    os.mkfifo(tmp_path / "pipe")
    ended = here("verify", "--ledger", tmp_path / "pipe", env=env)
    assert (ended.code, "regular file" in ended.err) == (2, True), ended
    assert server.calls("AuthenticateUser") == 0


def test_one_file_cannot_be_two_things(
    server: Server, source: Path, env: dict[str, str], tmp_path: Path, here: Here
) -> None:
    """A ledger would take off what follows the last line end of a journal."""
    path = tmp_path / "load.journal"
    assert here("bulk", source, TO, "--journal", path, env=env).code == 0
    before = path.read_bytes()
    ended = here("bulk", source, TO, "--journal", path, "--ledger", path, env=env)
    assert (ended.code, "cannot be both" in ended.err) == (2, True), ended
    assert path.read_bytes() == before


def test_a_folder_that_others_may_write_to_keeps_no_journals(
    server: Server, source: Path, env: dict[str, str], tmp_path: Path, here: Here
) -> None:
    """Whoever can exchange a journal can have files sent twice, or not at all."""
    folder = tmp_path / "state" / "asyncupload"
    folder.mkdir(parents=True)
    folder.chmod(0o777)
    ended = here("bulk", source, TO, env=env)
    assert (ended.code, "chmod 700" in ended.err) == (2, True), ended
    assert server.documents() == []
    folder.chmod(0o700)
    assert here("bulk", source, TO, env=env).code == 0


def test_a_lock_is_not_made_through_a_link(
    server: Server, source: Path, env: dict[str, str], tmp_path: Path, here: Here
) -> None:
    (tmp_path / "l.jsonl.lock").symlink_to(tmp_path / "planted")
    ended = here("bulk", source, TO, "--ledger", tmp_path / "l.jsonl", env=env)
    assert (ended.code, "symbolic link" in ended.err) == (1, True), ended
    assert not (tmp_path / "planted").exists()
    assert server.documents() == []

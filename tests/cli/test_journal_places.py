"""Journals on disks that are read-only, full, another user's or on the network: who only looks can look, and a load
says at its start where it cannot be recorded."""

import asyncio
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from bulk.files import item, opened
from bulk.stored import ended

from asyncupload.bulk import report
from asyncupload.bulk.disks import kind_of, network_of
from asyncupload.bulk.journal import Journal
from asyncupload.bulk.rows import State
from asyncupload.errors import JournalError

from .commands import COMMAND, PATIENCE, Ended, environment, run_without_privileges
from .conftest import Here, Server


@pytest.fixture
def shelf(tmp_path: Path) -> Iterator[Path]:
    """A folder with a journal, in which nobody may write any more once a test is over."""
    folder = tmp_path / "shelf"
    folder.mkdir()
    yield folder
    folder.chmod(0o700)


def filled(path: Path) -> None:
    async def fill() -> None:
        async with opened(path) as journal:
            await ended(journal, item("a"), State.FAILED, reason="locked")

    asyncio.run(fill())


def left_in_its_log(path: Path) -> None:
    """A journal whose process was killed: its last transactions are in the log beside it only."""
    script = (
        "import asyncio, os, signal, sys; from pathlib import Path; from bulk.files import item, opened\n"
        "from bulk.stored import ended; from asyncupload.bulk.rows import State\n"
        "async def fill():\n"
        "    async with opened(Path(sys.argv[1])) as journal:\n"
        "        await ended(journal, item('a'), State.FAILED, reason='locked')\n"
        "        os.kill(os.getpid(), signal.SIGKILL)\n"
        "asyncio.run(fill())\n"
    )
    tests = str(Path(__file__).parents[1])
    env = environment()
    env["PYTHONPATH"] += os.pathsep + tests
    done = subprocess.run([sys.executable, "-c", script, path], env=env, timeout=PATIENCE, check=False)
    assert done.returncode == -signal.SIGKILL
    assert path.with_name(f"{path.name}-wal").stat().st_size


MADE = {"closed": filled, "killed": left_in_its_log}


# python/cpython#135566, sifiveinc/wake#501
@pytest.mark.parametrize("alone", [False, True], ids=["with its log", "without what is beside it"])
@pytest.mark.parametrize("made", MADE)
@pytest.mark.parametrize("file_too", [False, True], ids=["folder", "folder and file"])
def test_who_looks_at_a_journal_need_not_be_able_to_write(
    shelf: Path, tmp_path: Path, made: str, file_too: bool, alone: bool
) -> None:
    path = shelf / "load.journal"
    MADE[made](path)
    if alone:
        for beside in shelf.glob("load.journal?*"):
            if made == "closed" or beside.suffix != ".journal-wal":
                beside.unlink()
    if file_too:
        for one in shelf.iterdir():
            one.chmod(0o444)
    shelf.chmod(0o555)
    before = sorted(os.listdir(shelf))
    env = {"XDG_STATE_HOME": str(tmp_path / "state")}

    listed = run_without_privileges("jobs", path, "--json", env=env)
    told = run_without_privileges("explain", path, "/srv/a", "--json", env=env)
    again = run_without_privileges("retry", path, env=env)

    assert (listed.code, json.loads(listed.out)["failed"]) == (0, 1), listed
    assert (told.code, json.loads(told.out)["reason"]) == (0, "locked"), told
    assert "Traceback" not in again.err
    if file_too:
        assert (again.code, "must be a file that can be written" in again.err) == (2, True), again
    assert sorted(os.listdir(shelf)) == before


def test_a_report_can_be_written_of_it(shelf: Path, tmp_path: Path) -> None:
    """As a library does, in a process of somebody who may not write to the journal."""
    filled(shelf / "load.journal")
    (shelf / "load.journal").chmod(0o444)
    shelf.chmod(0o555)

    async def write() -> None:
        async with Journal.open(shelf / "load.journal", existing=True) as journal:
            await report.write(journal, tmp_path / "r.csv")

    asyncio.run(write())
    assert "locked" in (tmp_path / "r.csv").read_text()


def test_a_folder_that_may_not_be_looked_into_is_an_error_and_no_wait(shelf: Path, tmp_path: Path) -> None:
    filled(shelf / "load.journal")
    shelf.chmod(0o000)
    for words in (("jobs",), ("explain", "/srv/a"), ("retry",)):
        ended = run_without_privileges(
            words[0], shelf / "load.journal", *words[1:], env={"XDG_STATE_HOME": str(tmp_path)}
        )
        assert (ended.code, "Permission denied" in ended.err) == (2, True), ended


def test_a_strange_lock_beside_it_is_an_error_and_no_wait(shelf: Path) -> None:
    (shelf / "load.journal.lock").symlink_to("/etc/hosts")

    async def work() -> None:
        async with opened(shelf / "load.journal"):
            """Never there."""

    with pytest.raises(JournalError, match="symbolic link"):
        asyncio.run(asyncio.wait_for(work(), PATIENCE))


# ── a load ──


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    (tmp_path / "tree").mkdir()
    (tmp_path / "tree" / "a.txt").write_bytes(b"content")
    return tmp_path / "tree"


def test_a_load_says_at_its_start_that_it_cannot_be_recorded(server: Server, tree: Path, shelf: Path) -> None:
    filled(shelf / "load.journal")
    (shelf / "load.journal").chmod(0o444)
    load = ("bulk", tree, "/Library/L", "--journal")
    ended = run_without_privileges(*load, shelf / "load.journal", env=server.login)
    assert (ended.code, "--journal" in ended.err) == (2, True), ended
    shelf.chmod(0o555)
    ended = run_without_privileges(*load, shelf / "other.journal", env=server.login)
    assert (ended.code, str(shelf) in ended.err, "--journal" in ended.err) == (2, True, True), ended
    assert server.calls("AuthenticateUser") == 0
    looked = run_without_privileges(*load, shelf / "load.journal", "--dry-run", env=server.login)
    assert (looked.code, server.documents()) == (0, []), looked


def on_a_disk(
    options: str, folder: Path, words: tuple[object, ...], env: dict[str, str], before: str = "true"
) -> Ended:
    """Type a command where a small disk of its own is mounted at a folder."""
    if shutil.which("unshare") is None:
        pytest.skip("this system has no unshare")
    script = f'mount -t tmpfs {options} none "$0" || exit 77; cd "$0"; {before}; exec "$@"'
    done = subprocess.run(
        ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", script, folder, *COMMAND, *map(str, words)],
        env=environment(**env),
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    if done.returncode == 77 or "unshare" in done.stderr:
        pytest.skip(f"this system does not let a disk be mounted: {done.stderr}")
    return Ended(done.returncode, done.stdout, done.stderr)


def test_a_disk_that_is_read_only_is_told_before_the_server_is_asked(server: Server, tree: Path, shelf: Path) -> None:
    words = ("bulk", tree, "/Library/L", "--journal", shelf / "load.journal")
    ended = on_a_disk("-o ro", shelf, words, server.login)
    assert (ended.code, "read-only" in ended.err, "--journal" in ended.err) == (2, True, True), ended
    assert server.calls("AuthenticateUser") == 0


@pytest.mark.parametrize("room", [0, 8, 40])
def test_a_disk_that_is_full_is_told_before_anything_is_sent(
    server: Server, tree: Path, shelf: Path, room: int
) -> None:
    fill = f"head -c 64k /dev/zero > full; truncate -s {64 - room}k full"
    words = ("bulk", tree, "/Library/L", "--journal", shelf / "load.journal")
    ended = on_a_disk("-o size=64k", shelf, words, server.login, before=fill)
    assert (ended.code, "make room on its disk" in ended.err, "Traceback" in ended.err) == (2, True, False), ended
    assert server.documents() == []
    assert server.calls("CreateUploadHandler") == 0


MOUNTS = r"""
22 1 0:21 / / rw,relatime shared:1 - ext4 /dev/sda1 rw
30 22 0:25 / /home rw,relatime - nfs4 filer:/home rw,vers=4.2
31 22 0:26 / /mnt/a\040share rw - cifs //filer/share rw
32 30 0:27 / /home/me/local rw - xfs /dev/sdb1 rw
33 22 0:28 / /media/box rw - fuse.sshfs me@box:/ rw
34 22 0:29 / /media/box rw - tmpfs none rw
"""


@pytest.mark.parametrize(
    ("folder", "kind"),
    [
        ("/", "ext4"),
        ("/home", "nfs4"),
        ("/home/me/.local/state", "nfs4"),
        ("/homeless", "ext4"),
        ("/home/me/local", "xfs"),
        ("/mnt/a share/x", "cifs"),
        ("/media/box/x", "tmpfs"),
    ],
)
def test_the_innermost_mount_tells_the_kind_of_disk(folder: str, kind: str) -> None:
    """anomalyco/opencode#14970"""
    assert kind_of(folder, MOUNTS) == kind


def test_a_local_disk_is_no_reason_to_warn(server: Server, tree: Path, tmp_path: Path, here: Here) -> None:
    assert network_of(tmp_path / "load.journal") == ""
    ended = here("bulk", tree, "/Library/L", "--journal", tmp_path / "load.journal", env=server.login)
    assert (ended.code, "network" in ended.err) == (0, False), ended

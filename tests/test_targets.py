"""What is written is nobody else's, is as narrow as it was or the umask wants, and takes its place in one step."""

import os
import socket
import stat
import subprocess
import sys
import zlib
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from conftest import FOLDER

from asyncupload import Client, TargetUnwritable
from asyncupload._targets import Beside, open_plain, open_regular, settled

pytestmark = pytest.mark.anyio

AT = f"{FOLDER}/report.bin"
DATA = b"what came down"
STRANGER = 12345
"""A user's number that is nobody's here."""

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can make another user's files")


@pytest.fixture
def target(tmp_path: Path) -> Path:
    """In a directory of its own, where nothing stands."""
    (tmp_path / "down").mkdir()
    return tmp_path / "down" / "back"


@pytest.fixture
def victim(tmp_path: Path) -> Path:
    """A file of the user's that nobody means to write to."""
    path = tmp_path / "victim"
    path.write_bytes(b"precious")
    return path


@pytest.fixture(params=[0o022, 0o077, 0o002], ids=oct)
def umask(request: pytest.FixtureRequest) -> Iterator[int]:
    """What the user does not want others to be allowed to."""
    before = os.umask(request.param)
    yield request.param
    os.umask(before)


def _part(target: Path, data: bytes = DATA) -> Path:
    return target.with_name(f".{target.name}.{len(data)}-{zlib.crc32(data):08X}.part")


def _mode(path: Path) -> int:
    return stat.S_IMODE(path.lstat().st_mode)


def _bind(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as bound, suppress(OSError):
        here = Path.cwd()
        os.chdir(path.parent)  # a socket's name must be short
        bound.bind(path.name)
        os.chdir(here)


def _make(path: Path, mode: int) -> None:
    path.touch()
    path.chmod(mode)


PLANTED: dict[str, tuple[Callable[[Path, Path], object], str]] = {
    "a link": (lambda part, victim: part.symlink_to(victim), "symbolic link"),
    "a link to nothing": (lambda part, victim: part.symlink_to(victim.with_name("new")), "symbolic link"),
    "a link to a device": (lambda part, _: part.symlink_to("/dev/null"), "symbolic link"),
    "a hard link": (lambda part, victim: os.link(victim, part), "2 names"),
    "a pipe": (lambda part, _: os.mkfifo(part), "a pipe"),
    "a socket": (lambda part, _: _bind(part), "a socket"),
    "a directory": (lambda part, _: part.mkdir(), "a directory"),
    "a file for all": (lambda part, _: _make(part, 0o666), "others may write"),
    "a file for the group": (lambda part, _: _make(part, 0o660), "others may write"),
}


@pytest.mark.parametrize("kind", PLANTED)
async def test_what_was_planted_where_the_bytes_grow_is_refused(
    kind: str, client: Client, target: Path, victim: Path
) -> None:
    """With words that say what it is, where, and what to do; and neither it nor what it leads to is touched."""
    plant, words = PLANTED[kind]
    await client.upload(DATA, to=AT)
    plant(_part(target), victim)
    before = _part(target).lstat()
    with pytest.raises(TargetUnwritable, match=words) as refused:
        await client.download(AT, target)
    assert str(_part(target)) in str(refused.value)
    assert "Remove it, or name a target in another folder" in str(refused.value)
    after = _part(target).lstat()
    assert (after.st_mode, after.st_ino, after.st_nlink) == (before.st_mode, before.st_ino, before.st_nlink)
    assert victim.read_bytes() == b"precious"
    assert not victim.with_name("new").exists()
    assert not target.exists()


@needs_root
async def test_another_users_file_is_not_gone_on_with(client: Client, target: Path) -> None:
    await client.upload(DATA, to=AT)
    _part(target).write_bytes(DATA[:4])
    os.chown(_part(target), STRANGER, STRANGER)
    _part(target).chmod(0o600)
    with pytest.raises(TargetUnwritable, match="another user's file"):
        await client.download(AT, target)
    assert _part(target).read_bytes() == DATA[:4]


async def test_what_is_planted_after_a_refusal_was_cleared_is_gone_on_with_if_it_is_ours(
    client: Client, target: Path
) -> None:
    """What the user does as he is told helps."""
    await client.upload(DATA, to=AT)
    _part(target).symlink_to("/nowhere")
    with pytest.raises(TargetUnwritable):
        await client.download(AT, target)
    _part(target).unlink()
    await client.download(AT, target)
    assert target.read_bytes() == DATA


async def test_a_new_target_has_the_mode_that_the_umask_leaves(client: Client, target: Path, umask: int) -> None:
    await client.upload(DATA, to=AT)
    await client.download(AT, target)
    assert _mode(target) == 0o666 & ~umask


@pytest.mark.parametrize("mode", [0o600, 0o640, 0o755, 0o444, 0o666])
async def test_a_replaced_target_keeps_its_mode(mode: int, client: Client, target: Path) -> None:
    await client.upload(DATA, to=AT)
    target.write_bytes(b"before")
    target.chmod(mode)
    await client.download(AT, target)
    assert (_mode(target), target.read_bytes()) == (mode, DATA)


async def test_new_content_does_not_run_as_its_owner(client: Client, target: Path) -> None:
    await client.upload(DATA, to=AT)
    target.write_bytes(b"before")
    target.chmod(0o6755)
    await client.download(AT, target)
    assert _mode(target) == 0o755


@pytest.mark.parametrize("found", [None, 0o644, 0o400, 0o600])
def test_while_it_grows_it_is_the_users_alone(found: int | None, target: Path) -> None:
    """Also what an earlier program has made to be read by others."""
    beside = Beside(target, "x")
    if found is not None:
        beside.path.touch(found)
        beside.path.chmod(found)
    if found == 0o400 and os.geteuid() != 0:
        pytest.skip("nobody but root can write to it")
    with open(beside.path, "r+b", opener=beside.open) as file:
        file.write(b"secret")
        assert _mode(beside.path) & 0o077 == 0
        beside.remove(file.fileno())
    beside.close()


async def test_the_names_of_a_target_go_their_own_ways(client: Client, target: Path, victim: Path) -> None:
    """A target that has two names is replaced under one: the other keeps what it had."""
    await client.upload(DATA, to=AT)
    os.link(victim, target)
    await client.download(AT, target)
    assert (target.read_bytes(), victim.read_bytes()) == (DATA, b"precious")


# ── meanwhile ──


def _grown(target: Path) -> tuple[Beside, int]:
    beside = Beside(target, "x")
    descriptor = beside.open("", os.O_RDWR)
    os.write(descriptor, DATA)
    return beside, descriptor


def test_a_file_that_was_exchanged_does_not_take_its_place(target: Path) -> None:
    beside, descriptor = _grown(target)
    target.write_bytes(b"before")
    beside.path.unlink()
    beside.path.write_bytes(b"planted")
    with pytest.raises(TargetUnwritable, match="exchanged"):
        beside.seal(descriptor)
    beside.remove(descriptor)
    os.close(descriptor)
    beside.close()
    assert target.read_bytes() == b"before"
    assert beside.path.read_bytes() == b"planted", "it is not ours to remove"


def test_a_file_that_was_linked_to_does_not_take_its_place(target: Path, tmp_path: Path) -> None:
    beside, descriptor = _grown(target)
    os.link(beside.path, tmp_path / "also")
    with pytest.raises(TargetUnwritable, match="linked to"):
        beside.seal(descriptor)
    os.close(descriptor)
    beside.close()
    assert not target.exists()


def test_a_folder_that_was_exchanged_is_not_written_to(target: Path, tmp_path: Path) -> None:
    beside, descriptor = _grown(target)
    target.parent.rename(tmp_path / "moved")
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / beside.path.name).write_bytes(b"planted")
    (tmp_path / "elsewhere" / target.name).write_bytes(b"precious")
    target.parent.symlink_to(tmp_path / "elsewhere")
    beside.seal(descriptor)
    beside.take_place()
    os.close(descriptor)
    beside.close()
    assert target.read_bytes() == b"precious"
    assert (tmp_path / "moved" / target.name).read_bytes() == DATA


def test_what_was_put_where_the_target_belongs_is_not_replaced(target: Path) -> None:
    beside, descriptor = _grown(target)
    os.mkfifo(target)
    with pytest.raises(TargetUnwritable, match="a pipe now"):
        beside.seal(descriptor)
    os.close(descriptor)
    beside.close()
    assert target.is_fifo()


# ── links to the target ──


@needs_root
def test_a_strangers_link_in_a_folder_for_all_is_not_followed(tmp_path: Path, victim: Path) -> None:
    """As the kernel does it for those who open it; to resolve it is not to open it."""
    shared = tmp_path / "tmp"
    shared.mkdir()
    shared.chmod(0o1777)
    link = shared / "back"
    link.symlink_to(victim)
    assert settled(link) == victim.resolve(), "the user's own is followed"
    os.chown(link, STRANGER, STRANGER, follow_symlinks=False)
    with pytest.raises(TargetUnwritable, match="another user"):
        settled(link)


async def test_a_loop_of_links_is_told_as_such(client: Client, tmp_path: Path) -> None:
    await client.upload(DATA, to=AT)
    (tmp_path / "a").symlink_to(tmp_path / "b")
    (tmp_path / "b").symlink_to(tmp_path / "a")
    with pytest.raises(TargetUnwritable, match="cannot be written"):
        await client.download(AT, tmp_path / "a")


# ── files that are written where they stand ──


@pytest.mark.parametrize("flags", [os.O_RDONLY, os.O_RDWR, os.O_WRONLY | os.O_CREAT])
def test_no_pipe_is_waited_for(flags: int, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(OSError, match=r"regular file|No such device"):
        open_regular(str(tmp_path / "pipe"), flags)
    with pytest.raises(TargetUnwritable, match="a pipe"):
        open_plain(tmp_path / "pipe", flags)


@pytest.mark.parametrize("missing", ["O_NOFOLLOW", "geteuid and fchmod"])
def test_where_the_system_lacks_something_links_are_refused_all_the_same(
    missing: str, target: Path, victim: Path
) -> None:
    """As Windows does: in a process of its own, from which it is taken before the package is imported."""
    part = Beside(target, "x").path
    part.symlink_to(victim)
    script = f"""
import os, sys
for name in {missing.split(" and ")!r}:
    delattr(os, name)
os.supports_dir_fd = frozenset()
from pathlib import Path
from asyncupload._targets import Beside, TargetUnwritable
beside = Beside(Path({str(target)!r}), "x")
try:
    beside.open("", os.O_RDWR)
except TargetUnwritable as error:
    assert "symbolic link" in str(error)
else:
    sys.exit("it was followed")
os.unlink(beside.path)
descriptor = beside.open("", os.O_RDWR)
os.write(descriptor, b"new")
beside.seal(descriptor)
beside.take_place()
beside.close()
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert (target.read_bytes(), victim.read_bytes()) == (b"new", b"precious")

"""What a file is held to be the same by while it is read, on file systems that do not keep all of it."""

import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from conftest import FOLDER

from asyncupload import Client, PathSource, SourceChanged, UsageError

pytestmark = pytest.mark.anyio

CHUNK = 256 * 1024
SIZE = 3 * CHUNK


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "report.bin"
    path.write_bytes(os.urandom(SIZE))
    os.utime(path, ns=(1_700_000_000_123_456_789, 1_700_000_000_123_456_789))
    return path


Change = Callable[[dict[str, int]], dict[str, int]]


def _told(result: os.stat_result, change: Change) -> os.stat_result:
    """What a file system tells, with something changed in it."""
    words = {name: getattr(result, name) for name in dir(result) if name.startswith("st_")}
    words |= change(words)
    for name in ("mtime", "ctime", "atime"):
        words[f"st_{name}"] = words[f"st_{name}_ns"] // 1_000_000_000
    names = ("mode", "ino", "dev", "nlink", "uid", "gid", "size", "atime", "mtime", "ctime")
    return os.stat_result([words[f"st_{name}"] for name in names], words)


class Mount:
    """A file system that tells something else of a file, by its path and by its descriptor."""

    def __init__(self, patch: pytest.MonkeyPatch, file: Path) -> None:
        self.by_path: Change = lambda _: {}
        self.by_handle: Change = lambda _: {}
        stat, fstat = Path.stat, os.fstat

        def path_stat(path: Path, **named: Any) -> os.stat_result:
            found = stat(path, **named)
            return _told(found, self.by_path) if path == file else found

        def handle_stat(number: int) -> os.stat_result:
            found = fstat(number)
            return _told(found, self.by_handle) if found.st_size == SIZE else found

        patch.setattr(Path, "stat", path_stat)
        patch.setattr(os, "fstat", handle_stat)


@pytest.fixture
def mount(monkeypatch: pytest.MonkeyPatch, file: Path) -> Mount:
    return Mount(monkeypatch, file)


async def upload(client: Client, source: PathSource) -> str:
    return (await client.upload(source, to=f"{FOLDER}/report.bin")).status


def _another(numbers: "count[int]") -> Change:
    return lambda _: {"st_ino": next(numbers)}


def _rounded(grain: int) -> Change:
    """The time stamp, as it is once the file has left a cache."""
    looks = count()

    def change(words: dict[str, int]) -> dict[str, int]:
        now = words["st_mtime_ns"]
        return {"st_mtime_ns": now if next(looks) < 1 else now - now % grain}

    return change


async def test_a_mount_that_tells_another_inode_by_path_than_by_handle_is_no_replacement(
    client: Client, file: Path, mount: Mount
) -> None:
    """borgbackup/borg#5770."""
    mount.by_path = lambda words: {"st_ino": words["st_ino"] + 7, "st_dev": words["st_dev"] + 1}
    assert await upload(client, PathSource(file)) == "stored"


async def test_a_mount_that_gives_another_inode_each_time_is_no_replacement(
    client: Client, file: Path, mount: Mount
) -> None:
    """jbruchon/jdupes#103, ipfs/kubo#11429."""
    mount.by_path = mount.by_handle = _another(count(1000))
    assert await upload(client, PathSource(file)) == "stored"


async def test_a_mount_that_is_mounted_anew_under_another_device_is_no_replacement(
    client: Client, file: Path, mount: Mount
) -> None:
    looks = count()
    mount.by_path = lambda words: {"st_dev": words["st_dev"] + (next(looks) > 0)}
    assert await upload(client, PathSource(file)) == "stored"


@pytest.mark.parametrize("grain", [100, 1_000, 1_000_000, 1_000_000_000, 2_000_000_000])
async def test_a_time_stamp_that_is_rounded_down_once_the_file_leaves_a_cache_is_no_writing(
    grain: int, client: Client, file: Path, mount: Mount
) -> None:
    """borgbackup/borg#911."""
    mount.by_path = _rounded(grain)
    mount.by_handle = _rounded(grain)
    assert await upload(client, PathSource(file)) == "stored"


async def _read(source: PathSource, meanwhile: Callable[[], object], threads: ThreadPoolExecutor) -> None:
    async with source.open(threads) as content:
        first = True
        async for _ in content.chunks(CHUNK):
            if first:
                meanwhile()
            first = False


def _replace(file: Path) -> None:
    """By another one of the same size and time, as `cp --preserve` and `mv` do."""
    seen, other = file.stat(), file.with_name("other")
    other.write_bytes(os.urandom(SIZE))
    os.utime(other, ns=(seen.st_atime_ns, seen.st_mtime_ns))
    other.replace(file)


def _rewrite(file: Path) -> None:
    """Some milliseconds later: the stamp goes on, and not back."""
    seen = file.stat()
    with file.open("r+b") as opened:
        opened.write(b"changed")
    os.utime(file, ns=(seen.st_atime_ns, seen.st_mtime_ns + 2_000_000))


@pytest.fixture
def threads() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(1) as pool:
        yield pool


@pytest.mark.parametrize("harm", [_replace, _rewrite])
@pytest.mark.parametrize("check", [None, ("size", "mtime", "inode")])
async def test_what_is_a_change_is_found_all_the_same(
    harm: Callable[[Path], None], check: tuple[str, ...] | None, file: Path, threads: ThreadPoolExecutor
) -> None:
    with pytest.raises(SourceChanged):
        await _read(PathSource(file, check=check), lambda: harm(file), threads)


@pytest.mark.parametrize(("check", "harm"), [(("size", "mtime"), _replace), (("size",), _rewrite)])
async def test_only_what_is_asked_for_is_checked(
    check: tuple[str, ...], harm: Callable[[Path], None], file: Path, threads: ThreadPoolExecutor
) -> None:
    await _read(PathSource(file, check=check), lambda: harm(file), threads)


async def test_whoever_asks_for_inodes_gets_them_on_a_mount_that_keeps_none(
    client: Client, file: Path, mount: Mount
) -> None:
    mount.by_path = _another(count(1000))
    with pytest.raises(SourceChanged, match="replaced"):
        await upload(client, PathSource(file, check=("size", "mtime", "inode")))
    assert await upload(client, PathSource(file, check=("size", "mtime"))) == "stored"


@pytest.mark.parametrize("check", [(), ("ctime",), ("size", "colour")])
def test_there_is_something_to_check_by(check: tuple[str, ...], file: Path) -> None:
    with pytest.raises(UsageError, match="size, mtime, inode"):
        PathSource(file, check=check)

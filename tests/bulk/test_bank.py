"""Trouble on the source side: a share that is away pauses the reading, is looked at again, and costs no file."""

import errno
import os
import shutil
import subprocess
from collections.abc import AsyncGenerator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import anyio
import pytest
from troubled import count, until

from asyncupload import Client, SourceError, SourceMissing, SourceUnreadable
from asyncupload.bulk import bank, batches, gate, loader
from asyncupload.bulk.batches import Pause
from asyncupload.bulk.ground import Blame, Ground
from asyncupload.bulk.journal import Journal
from asyncupload.bulk.loader import Loader
from asyncupload.bulk.manifest import Manifest
from asyncupload.bulk.progress import Phase, Progress
from asyncupload.bulk.rows import Item, State
from asyncupload.bulk.tree import Tree
from asyncupload.emulator import Emulator

from .loads import OPTIONS, TO, assert_stored_once, many, rows_of, states

pytestmark = pytest.mark.anyio

ONCE = replace(OPTIONS, attempts=1)
"""A file that loses an attempt has failed."""


@pytest.fixture(autouse=True)
def _hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """Waits that keep their order but not their length."""
    for room in (gate, bank):
        monkeypatch.setattr(room, "FIRST_WAIT", 0.05)
        monkeypatch.setattr(room, "LONGEST_WAIT", 0.1)
    monkeypatch.setattr(batches, "LEAST_PAUSE", 0.01)
    monkeypatch.setattr(loader, "LOOK", 0.02)


@pytest.fixture
def journal(tmp_path: Path) -> Path:
    return tmp_path / "load.journal"


@pytest.fixture
def share(tmp_path: Path) -> Path:
    """Forty files in three folders."""
    root = tmp_path / "share"
    write(root)
    return root


def write(root: Path, number: int = 40) -> None:
    for name, data in many(number).items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)


Trouble = Callable[[Loader, Emulator], Any]


async def loaded(
    client: Client,
    emulator: Emulator,
    path: Path,
    tree: Tree | Manifest | None,
    meanwhile: Trouble,
    options: Any = ONCE,
) -> tuple[Progress, Loader]:
    """A load, and what happens to its source meanwhile."""
    with ThreadPoolExecutor(1) as threads:
        async with Journal.open(path) as queue, anyio.create_task_group() as group:
            this = Loader(client, queue, options)
            group.start_soon(meanwhile, this, emulator)
            plan: AsyncGenerator[list[Item], None] | None = tree.items(threads) if tree is not None else None
            progress = await this.run(plan)
            group.cancel_scope.cancel()
    return progress, this


def after(chunks: int, harm: Callable[[], Any], mend: Callable[[], Any]) -> Trouble:
    """Harm the source after so many chunks, and mend it once the load has noticed."""

    async def meanwhile(this: Loader, emulator: Emulator) -> None:
        await until(lambda: count(emulator, "UploadFileChunk") >= chunks)
        await anyio.to_thread.run_sync(harm)
        await until(lambda: this._bank.gate.ajar)
        assert this._phase() is Phase.PAUSED
        await anyio.sleep(0.2)
        await anyio.to_thread.run_sync(mend)

    return meanwhile


# ── real means ──────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_a_root_that_is_moved_away_and_back_costs_no_file_an_attempt(
    client: Client, emulator: Emulator, share: Path, journal: Path, tmp_path: Path
) -> None:
    """abraunegg/onedrive#2755."""
    away = tmp_path / "away"
    trouble = after(8, lambda: share.rename(away), lambda: away.rename(share))
    progress, this = await loaded(client, emulator, journal, Tree(share, TO), trouble)
    assert (states(progress), this.error) == ({"stored": 40}, None)
    assert {row.attempts for row in await rows_of(journal)} == {0}
    assert progress.waits.pauses >= 0.05
    await assert_stored_once(emulator, many(40))


async def test_a_root_that_stays_away_ends_the_load_and_every_row_is_kept(
    client: Client, emulator: Emulator, share: Path, journal: Path, tmp_path: Path
) -> None:
    away = tmp_path / "away"

    async def move(_: Loader, emulator: Emulator) -> None:
        await until(lambda: count(emulator, "UploadFileChunk") >= 8)
        share.rename(away)

    options = replace(ONCE, give_up_after=0.3)
    progress, this = await loaded(client, emulator, journal, Tree(share, TO), move, options)
    assert isinstance(this.error, SourceError)
    assert set(states(progress)) == {"stored", "planned"}
    away.rename(share)
    progress, this = await loaded(client, emulator, journal, Tree(share, TO), _nothing)
    assert (states(progress), this.error) == ({"stored": 40}, None)
    await assert_stored_once(emulator, many(40))


async def _nothing(_: Loader, __: Emulator) -> None:
    pass


async def test_a_root_that_is_empty_when_the_next_run_begins_forgets_nothing(
    client: Client, emulator: Emulator, share: Path, journal: Path, tmp_path: Path
) -> None:
    """owncloud/client#4293, laurent22/joplin#961: a mount point without its mount."""
    async with Journal.open(journal) as queue:
        with ThreadPoolExecutor(1) as threads:
            async for items in Tree(share, TO).items(threads):
                await queue.add(items)
    away = tmp_path / "away"
    share.rename(away)
    share.mkdir()

    def mend() -> None:
        share.rmdir()
        away.rename(share)

    progress, this = await loaded(client, emulator, journal, Tree(share, TO), after(0, lambda: None, mend))
    assert (states(progress), this.error) == ({"stored": 40}, None)


@contextmanager
def mounted(kind: str, source: Path | str, target: Path) -> Iterator[None]:
    """Something is mounted there meanwhile."""
    target.mkdir(exist_ok=True)
    command = ["mount", "--bind", str(source)] if kind == "bind" else ["mount", "-t", kind, str(source)]
    done = subprocess.run([*command, str(target)], capture_output=True, check=False)
    if done.returncode:
        pytest.skip("nothing may be mounted here")
    try:
        yield
    finally:
        unmount(target)


def unmount(target: Path) -> None:
    subprocess.run(["umount", "--lazy", str(target)], capture_output=True, check=False)


@pytest.mark.parametrize("below", [{}, {"NOT MOUNTED.txt": b"call the helpdesk"}], ids=["empty", "not quite empty"])
async def test_a_mount_point_that_loses_its_mount_pauses_the_load(
    below: dict[str, bytes], client: Client, emulator: Emulator, journal: Path, tmp_path: Path
) -> None:
    """owncloud/client#4293, MichaIng/DietPi#2606. Another device tells, where something lies below the mount."""
    disk, share = tmp_path / "disk", tmp_path / "share"
    share.mkdir()
    for name, data in below.items():
        (share / name).write_bytes(data)
    with mounted("tmpfs", "none", disk), mounted("bind", disk, share):
        write(disk)

        def mend() -> None:
            subprocess.run(["mount", "--bind", str(disk), str(share)], check=True)

        trouble = after(8, lambda: unmount(share), mend)
        progress, this = await loaded(client, emulator, journal, Tree(share, TO), trouble)
    assert (states(progress), this.error) == ({"stored": 40}, None)
    assert {row.attempts for row in await rows_of(journal)} == {0}


async def test_a_subfolder_that_is_gone_for_a_moment_costs_an_attempt_and_no_file(
    client: Client, emulator: Emulator, share: Path, journal: Path, tmp_path: Path
) -> None:
    """dooblem/bsync#2. The others go on meanwhile."""
    hidden = share / "2"
    away = tmp_path / "away"

    async def move(this: Loader, emulator: Emulator) -> None:
        await until(lambda: count(emulator, "UploadFileChunk") >= 4)
        hidden.rename(away)
        await until(lambda: any(b"/2/" in failure.source for failure in this._failures))
        away.rename(hidden)

    options = replace(OPTIONS, retry_after=0.3)
    progress, this = await loaded(client, emulator, journal, Tree(share, TO), move, options)
    assert (states(progress), this.error) == ({"stored": 40}, None)


async def test_a_subfolder_that_was_deleted_is_given_up_at_last_and_holds_up_nobody(
    client: Client, emulator: Emulator, share: Path, journal: Path
) -> None:
    async def delete(_: Loader, emulator: Emulator) -> None:
        await until(lambda: count(emulator, "UploadFileChunk") >= 4)
        shutil.rmtree(share / "2")

    options = replace(OPTIONS, attempts=2)
    progress, this = await loaded(client, emulator, journal, Tree(share, TO), delete, options)
    assert this.error is None
    assert set(states(progress)) == {"stored", "failed"}
    failed = {row.item.source.split(b"/")[-2] for row in await rows_of(journal) if row.state is State.FAILED}
    assert failed == {b"2"}


async def test_a_file_that_was_deleted_is_given_up_at_once(
    client: Client, emulator: Emulator, share: Path, journal: Path
) -> None:
    async def delete(_: Loader, emulator: Emulator) -> None:
        await until(lambda: count(emulator, "UploadFileChunk") >= 4)
        (share / "2/38.bin").unlink()

    progress, this = await loaded(client, emulator, journal, Tree(share, TO), delete, OPTIONS)
    assert this.error is None
    assert states(progress) == {"stored": 39, "failed": 1}


async def test_what_is_stored_stays_stored_though_its_file_cannot_be_seen_by_the_next_run(
    client: Client, emulator: Emulator, share: Path, journal: Path, tmp_path: Path
) -> None:
    """As where a list names files of a share that is not there today: tomorrow nothing is sent again."""
    listing = tmp_path / "list.csv"
    listing.write_text("source,destination\n" + "".join(f"share/{name},{TO}/{name}\n" for name in many(40)))
    await loaded(client, emulator, journal, Manifest(listing), _nothing)
    away = tmp_path / "away"
    share.rename(away)
    progress, _ = await loaded(client, emulator, journal, Manifest(listing), _nothing)
    assert states(progress) == {"stored": 40}
    away.rename(share)
    progress, _ = await loaded(
        client, emulator, journal, Manifest(listing), _nothing, replace(ONCE, if_exists="version")
    )
    assert states(progress) == {"stored": 40}
    await assert_stored_once(emulator, many(40))


# ── errors that no test can have from a real disk ───────────────────────────────────────────────────────────────────


class Sick:
    """A folder for which the operating system says something else for a while."""

    def __init__(self, root: Path, patch: pytest.MonkeyPatch) -> None:
        self.number = 0
        self._root = os.fsencode(root)
        for room, name in (
            (os, "stat"),
            (os, "lstat"),
            (os, "scandir"),
            (os, "listdir"),
            (Path, "open"),
            (Path, "stat"),
        ):
            patch.setattr(room, name, self._instead(getattr(room, name)))

    def _instead(self, real: Callable[..., Any]) -> Callable[..., Any]:
        def call(path: Any = ".", *rest: Any, **named: Any) -> Any:
            if self.number and not isinstance(path, int) and os.fsencode(path).startswith(self._root):
                raise OSError(self.number, os.strerror(self.number), path)
            return real(path, *rest, **named)

        return call

    def be(self, number: int) -> None:
        self.number = number


@pytest.mark.parametrize("name", ["ESTALE", "EIO", "ENOTCONN", "EHOSTDOWN", "EACCES", "ETIMEDOUT", "ENODEV"])
async def test_a_share_that_is_stale_or_closed_for_a_while_costs_no_file_an_attempt(
    name: str,
    client: Client,
    emulator: Emulator,
    share: Path,
    journal: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """borgbackup/borg#3265, home-assistant/supervisor#4985. EACCES is what an expired ticket of Kerberos comes to."""
    sick = Sick(share, monkeypatch)
    trouble = after(8, lambda: sick.be(getattr(errno, name)), lambda: sick.be(0))
    progress, this = await loaded(client, emulator, journal, Tree(share, TO), trouble)
    assert (states(progress), this.error) == ({"stored": 40}, None)
    assert {row.attempts for row in await rows_of(journal)} == {0}


@pytest.mark.parametrize("kind", ["tree", "manifest"])
async def test_a_plan_waits_where_it_is_and_is_read_on(
    kind: str, share: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batches, "BATCH", 5)
    listing = tmp_path / "list.csv"
    listing.write_text("source,destination\n" + "".join(f"share/{name},{TO}/{name}\n" for name in many(40)))
    plan: Tree | Manifest = Tree(share, TO) if kind == "tree" else Manifest(listing)
    away, found, pauses = tmp_path / "away", list[Item](), list[Pause]()
    with ThreadPoolExecutor(1) as threads:
        async for items in plan.items(threads):
            found += items
            if isinstance(items, Pause):
                pauses.append(items)
                if len(pauses) == 3:
                    away.rename(share)
            elif share.exists() and not pauses:
                share.rename(away)
    assert len(pauses) == 3
    assert isinstance(pauses[0].error, SourceMissing)
    assert {item.destination for item in found} == {f"{TO}/{name}" for name in many(40)}
    assert not any(item.problem for item in found)


async def test_a_list_of_files_that_were_never_seen_is_not_waited_for(tmp_path: Path) -> None:
    """They are mistyped, rather."""
    listing = tmp_path / "list.csv"
    listing.write_text(f"source,destination\nnowhere/a,{TO}/a\nnowhere/b,{TO}/b\n")
    with ThreadPoolExecutor(1) as threads:
        found = [item async for items in Manifest(listing).items(threads) for item in items]
    assert [item.problem for item in found] == ["nothing is there (any more)"] * 2


async def test_an_entry_that_stays_stale_is_a_row_that_has_failed_in_the_end(
    share: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """restic/restic#21786: the others are sent."""
    sick = Sick(share / "1/1.bin", monkeypatch)
    sick.be(errno.ESTALE)
    with ThreadPoolExecutor(1) as threads:
        found = [item async for items in Tree(share, TO).items(threads) for item in items]
    assert [item.destination for item in found if item.problem] == [f"{TO}/1/1.bin"]
    assert len(found) == 40


# ── whose trouble it is ─────────────────────────────────────────────────────────────────────────────────────────────


def _blame(root: Path, name: str, error: OSError) -> Blame:
    ground = Ground(os.fsencode(root))
    ground.stand()
    return ground.blame(os.fsencode(root / name), error)


def test_whose_trouble_it_is(share: Path) -> None:
    missing, denied = FileNotFoundError(2, "no"), PermissionError(13, "no")
    stale, bad = OSError(errno.ESTALE, "stale"), OSError(errno.EIO, "a bad sector")
    assert _blame(share, "0/none.bin", missing) is Blame.FILE
    assert _blame(share, "0/0.bin", denied) is Blame.LOST, "it can be opened by now"
    assert _blame(share, "0/0.bin", missing) is Blame.LOST
    assert _blame(share, "0/0.bin", stale) is Blame.LOST
    assert _blame(share, "0/0.bin", bad) is Blame.FILE
    assert _blame(share, "none/0.bin", missing) is Blame.FOLDER
    assert _blame(share, "none/0.bin", stale) is Blame.LOST
    assert _blame(share, "0/0.bin", OSError(errno.EFBIG, "large")) is Blame.FILE
    for path in (share / "0").iterdir():
        path.unlink()
    assert _blame(share, "0/0.bin", missing) is Blame.FOLDER
    shutil.rmtree(share)
    assert _blame(share, "0/0.bin", missing) is Blame.ALL
    share.mkdir()
    assert _blame(share, "0/0.bin", missing) is Blame.ALL


def test_a_file_that_could_be_read_before_tells_whether_a_stale_one_is_alone(
    share: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ground, stale = Ground(os.fsencode(share)), OSError(errno.ESTALE, "stale")
    ground.read(os.fsencode(share / "1/1.bin"))
    assert ground.blame(os.fsencode(share / "0/0.bin"), stale) is not Blame.ALL

    def opened(*_: object, **__: object) -> None:
        raise stale

    monkeypatch.setattr("builtins.open", opened)
    assert ground.blame(os.fsencode(share / "0/0.bin"), stale) is Blame.ALL


async def test_three_files_that_are_stale_one_after_another_are_no_accident(share: Path) -> None:
    """Where none could be read yet, nothing else tells."""
    side = bank.Bank(60.0, {"pauses": 0.0})
    error = SourceUnreadable("stale")
    error.__cause__ = OSError(errno.EIO, "no answer")
    sources = [os.fsencode(share / name) for name in ("0/0.bin", "0/3.bin", "1/1.bin")]
    await side.learn(sources)
    told = [await side.judge(source, error) for source in sources]
    assert [one.counted for one in told] == [True, True, False]
    assert side.gate.ajar
    await side.read(sources[0])
    assert side.gate == gate.Gate()
    side.leave()


async def test_a_folder_on_a_lost_mount_is_put_off_without_costing_attempts_until_it_is_kept_for_the_next_run(
    share: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    side = bank.Bank(0.2, {"pauses": 0.0})
    error = SourceUnreadable("stale")
    error.__cause__ = OSError(errno.ENOTCONN, "not connected")
    source = os.fsencode(share / "1/1.bin")
    await side.learn([source, os.fsencode(share / "0/0.bin")])
    Sick(share / "1", monkeypatch).be(errno.ENOTCONN)
    first, second = await side.judge(source, error), await side.judge(source, error)
    assert (first.counted, second.counted) == (False, False)
    assert first.wait < second.wait
    await anyio.sleep(0.25)
    assert (await side.judge(source, error)).wait == bank.KEPT
    assert not side.gate.ajar
    side.leave()

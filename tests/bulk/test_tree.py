"""A folder of files as a plan: every entry makes one row, or is counted. Real trees on a real disk."""

import asyncio
import gc
import os
import shutil
import socket
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asyncupload import SourceMissing, UsageError
from asyncupload.bulk.batches import BATCH
from asyncupload.bulk.rows import Item
from asyncupload.bulk.rules import TreeRules
from asyncupload.bulk.tree import Tree

pytestmark = pytest.mark.anyio

TO = "/Finance/Reports"


@pytest.fixture
def threads() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(1) as executor:
        yield executor


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """An empty folder."""
    made = tmp_path / "root"
    made.mkdir()
    return made


def grow(root: Path, *paths: str) -> None:
    """Files of one byte, with the folders above them."""
    for path in paths:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(b"x")


async def rows(tree: Tree, threads: ThreadPoolExecutor) -> list[Item]:
    return [item async for batch in tree.items(threads) for item in batch]


async def told(tree: Tree, threads: ThreadPoolExecutor) -> dict[str, tuple[str, bool]]:
    """What is said of each file that is not to be sent, by its place in the root."""
    root = os.fsencode(tree._root)
    found = await rows(tree, threads)
    return {os.fsdecode(os.path.relpath(row.source, root)): (row.problem, row.fatal) for row in found}


async def taken(root: Path, threads: ThreadPoolExecutor, rules: TreeRules) -> list[str]:
    """The files that are to be sent, below the root."""
    prefix = len(os.fsencode(root)) + 1
    return [row.source[prefix:].decode() for row in await rows(Tree(root, TO, rules), threads) if not row.problem]


async def test_every_file_has_a_row_with_what_an_upload_needs(root: Path, threads: ThreadPoolExecutor) -> None:
    grow(root, "R&D/b.txt")
    (root / "a.txt").write_bytes(b"123")
    os.utime(root / "a.txt", ns=(0, 1_700_000_000_123_456_789))

    first, second = await rows(Tree(root, "/Finance/Q#1", None), threads)

    assert second == Item(
        source=os.fsencode(root / "a.txt"),
        destination="/Finance/Q_1/a.txt",
        size=3,
        mtime_ns=1_700_000_000_123_456_789,
    )
    assert (first.source, first.destination) == (os.fsencode(root / "R&D" / "b.txt"), "/Finance/Q_1/R_D/b.txt")


async def test_the_order_is_that_of_the_names_and_a_folder_is_finished_before_the_next(
    root: Path, threads: ThreadPoolExecutor
) -> None:
    grow(root, "b/z", "b/a/x", "a", "c", "B", "b.txt", "é")

    assert await taken(root, threads, TreeRules()) == ["B", "a", "b/a/x", "b/z", "b.txt", "c", "é"]


async def test_a_relative_root_makes_whole_paths(
    root: Path, threads: ThreadPoolExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A row must name the same file when the work goes on from another folder."""
    grow(root, "sub/a")
    (root / "link").symlink_to("sub")
    monkeypatch.chdir(root)

    for given_root in (".", "sub", "./link"):
        (row,) = (row for row in await rows(Tree(given_root, TO), threads) if not row.problem)
        source = Path(os.fsdecode(row.source))
        assert source.is_absolute()
        assert not {b".", b".."} & set(row.source.split(b"/"))
        assert source.samefile(root / "sub" / "a")


async def test_dots_in_the_root_lead_where_the_disk_says(root: Path, threads: ThreadPoolExecutor) -> None:
    """From a symbolic link they do not lead back to the folder of the link; another tree would be sent."""
    grow(root, "there/below/x", "there/wanted/right", "wanted/wrong")
    (root / "link").symlink_to("there/below")

    (row,) = await rows(Tree(f"{root}/link/../wanted", TO), threads)

    assert row.source == os.fsencode(root.resolve() / "there" / "wanted" / "right")


@pytest.mark.parametrize("follow", [False, True])
async def test_links_are_passed_over_or_followed_as_far_as_they_do_no_harm(
    root: Path, tmp_path: Path, threads: ThreadPoolExecutor, follow: bool
) -> None:
    """Fault 10."""
    grow(root, "real/deep/file")
    grow(tmp_path, "outside/file", "root-beside/file")
    links: dict[str, str | Path] = {
        "to-file": "real/deep/file",
        "to-folder": "real/deep",
        "real/deep/loop": "..",
        "real/up": root,
        "self": "self",
        "broken": "nowhere",
        "out": "../outside",
        "out-file": "../outside/file",
        "beside": "../root-beside",
    }
    for name, target in links.items():
        (root / name).symlink_to(target)

    found = await told(Tree(root, TO, TreeRules(follow_symlinks=follow)), threads)

    assert found.pop("real/deep/file") == ("", False)
    if not follow:
        assert found == dict.fromkeys(links, ("it is a symbolic link, and links are not followed", False))
        return
    back = ("it is a symbolic link back to a folder above it", False)
    out = ("it is a symbolic link out of the tree", False)
    assert found.pop("self")[0].startswith("it is a symbolic link that cannot be followed: Too many levels")
    assert found.pop("broken") == ("it is a symbolic link that cannot be followed: No such file or directory", True)
    assert found == {
        "to-file": ("", False),
        "to-folder/file": ("", False),
        # Entered by the link, `real` is not above: its own loop leads there once, and then back.
        "to-folder/loop/deep/file": ("", False),
        "to-folder/loop/deep/loop": back,
        "to-folder/loop/up": back,
        "real/deep/loop": back,
        "real/up": back,
        "out": out,
        "out-file": out,
        "beside": out,
    }


async def test_links_out_of_the_tree_are_followed_on_demand(
    root: Path, tmp_path: Path, threads: ThreadPoolExecutor
) -> None:
    grow(tmp_path, "outside/file")
    (root / "out").symlink_to("../outside")
    (root / "out-file").symlink_to("../outside/file")
    (tmp_path / "outside" / "home").symlink_to(root)

    rules = TreeRules(follow_symlinks=True, stay_inside=False)

    assert await taken(root, threads, rules) == ["out/file", "out-file"]


async def test_what_is_no_file_is_passed_over(root: Path, threads: ThreadPoolExecutor) -> None:
    """Faults 9 and 12. Nothing of it is opened: a pipe would wait for its other end."""
    os.mkfifo(root / "pipe")
    (root / "empty").touch()
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(os.fspath(root / "socket"))
        found = await told(Tree(root, TO), threads)

    assert found == {
        "pipe": ("it is a named pipe, and only files can be sent", False),
        "socket": ("it is a socket, and only files can be sent", False),
        "empty": ("it is empty, and the protocol cannot carry an empty document", False),
    }


async def test_a_device_is_passed_over(root: Path, threads: ThreadPoolExecutor) -> None:
    (root / "null").symlink_to("/dev/null")

    found = await told(Tree(root, TO, TreeRules(follow_symlinks=True, stay_inside=False)), threads)

    assert found == {"null": ("it is a device, and only files can be sent", False)}


async def test_a_name_that_cannot_go_fails_alone(root: Path, threads: ThreadPoolExecutor) -> None:
    """Faults 18 and 21."""
    names = [b"caf\xe9.txt", b"a:b", b"new\nline", b"n" * 200, b"ok"]
    grow(root, *(os.fsdecode(path) for path in [*names, b"bad\xff/inside"]))

    found = {row.source.split(b"/root/")[1]: row for row in await rows(Tree(root, TO), threads)}

    assert set(found) == {*names, b"bad\xff/inside"}
    assert {path for path, row in found.items() if row.fatal} == set(found) - {b"ok"}
    assert r"'caf\xe9.txt' is not UTF-8" in found[b"caf\xe9.txt"].problem
    assert r"'bad\xff/inside' is not UTF-8" in found[b"bad\xff/inside"].problem
    assert found[b"n" * 200].size == 1


async def test_the_name_of_what_is_not_sent_anyway_does_not_matter(root: Path, threads: ThreadPoolExecutor) -> None:
    (root / "a:b").symlink_to("nowhere")
    (root / "c:d").touch()

    found = await told(Tree(root, TO), threads)

    assert found == {
        "a:b": ("it is a symbolic link, and links are not followed", False),
        "c:d": ("it is empty, and the protocol cannot carry an empty document", False),
    }


async def test_a_folder_that_cannot_be_read_fails_and_the_others_go_on(threads: ThreadPoolExecutor) -> None:
    """Fault 8. It would be silent loss: nobody knows what is in it."""
    with open_to_all() as root:
        grow(root, "closed/secret", "open/file")
        (root / "closed").chmod(0)
        try:
            with as_nobody():
                found = await rows(Tree(root, TO), threads)
        finally:
            (root / "closed").chmod(0o755)

    closed, opened = found
    assert (closed.source, closed.destination) == (os.fsencode(root / "closed"), TO + "/closed")
    assert (closed.problem, closed.fatal) == (
        "the folder cannot be read, and nothing in it was seen: Permission denied",
        True,
    )
    assert opened.problem == ""


async def test_what_vanishes_while_the_tree_is_walked_fails(root: Path, threads: ThreadPoolExecutor) -> None:
    """Fault 5: it was listed, and is gone when it is looked at."""
    grow(root, *(f"{number:04}" for number in range(BATCH)), "x-file", "y-folder/file", "z")
    found = Tree(root, TO).items(threads)
    await anext(found)
    (root / "x-file").unlink()
    shutil.rmtree(root / "y-folder")

    last = [row async for batch in found for row in batch]

    assert [(row.source.rpartition(b"/")[2], row.problem, row.fatal) for row in last] == [
        (b"x-file", "nothing is there (any more)", True),
        (b"y-folder", "nothing is there (any more)", True),
        (b"z", "", False),
    ]


async def test_hard_links_are_two_rows(root: Path, threads: ThreadPoolExecutor) -> None:
    grow(root, "a")
    (root / "b").hardlink_to(root / "a")

    assert await taken(root, threads, TreeRules()) == ["a", "b"]


@pytest.mark.parametrize(
    ("include", "exclude", "left"),
    [
        ((), (), ["a.tmp", "build/x.c", "doc/build/y.c", "doc/a.TMP", "keep.tmp"]),
        ((), ("*.tmp",), ["build/x.c", "doc/a.TMP", "doc/build/y.c"]),
        ((), ("*.tmp", "!keep.tmp"), ["build/x.c", "doc/a.TMP", "doc/build/y.c", "keep.tmp"]),
        ((), ("/build/",), ["a.tmp", "doc/a.TMP", "doc/build/y.c", "keep.tmp"]),
        ((), ("build/", "!build/x.c"), ["a.tmp", "doc/a.TMP", "keep.tmp"]),
        (("*.c",), (), ["build/x.c", "doc/build/y.c"]),
        (("doc/",), (), ["doc/a.TMP", "doc/build/y.c"]),
        (("*.c",), ("/doc/",), ["build/x.c"]),
        (("**/build/*",), (), ["build/x.c", "doc/build/y.c"]),
    ],
)
async def test_patterns_are_those_of_gitignore(
    root: Path, threads: ThreadPoolExecutor, include: tuple[str, ...], exclude: tuple[str, ...], left: list[str]
) -> None:
    grow(root, "a.tmp", "build/x.c", "doc/build/y.c", "doc/a.TMP", "keep.tmp")

    assert await taken(root, threads, TreeRules(include=include, exclude=exclude)) == sorted(left)


async def test_patterns_see_composed_names(root: Path, threads: ThreadPoolExecutor) -> None:
    """As a Mac writes them, and as somebody types them."""
    grow(root, "cafe\u0301", "the\u0301")

    assert await taken(root, threads, TreeRules(exclude=("caf\u00e9",))) == ["the\u0301"]


async def test_what_is_left_out_is_counted_and_makes_no_row(root: Path, threads: ThreadPoolExecutor) -> None:
    """The report has to add up."""
    grow(root, "a.tmp", "b.tmp", "skip/never-seen", "old", "now")
    (root / "large").write_bytes(b"x" * 100)
    (root / "empty").touch()
    (root / "link.tmp").symlink_to("a.tmp")
    os.utime(root / "old", (0, 0))
    rules = TreeRules(exclude=("*.tmp", "skip/"), min_size=1, max_size=99, newer_than=datetime(2000, 1, 1, tzinfo=UTC))
    tree = Tree(root, TO, rules)

    assert [row.source for row in await rows(tree, threads)] == [os.fsencode(root / "now")]
    assert tree.left_out == {"pattern": 3, "folder": 1, "size": 2, "age": 1}
    await rows(tree, threads)
    assert tree.left_out["pattern"] == 3, "a second walk counts anew"


async def test_an_excluded_folder_is_not_even_listed(root: Path, threads: ThreadPoolExecutor) -> None:
    grow(root, "skip/file", "file")
    before = datetime(2000, 1, 1, tzinfo=UTC).timestamp()
    os.utime(root / "skip", (before, before))

    await rows(Tree(root, TO, TreeRules(exclude=("skip/",))), threads)

    assert (root / "skip").stat().st_atime == before


async def test_age_is_measured_at_the_edge(root: Path, threads: ThreadPoolExecutor) -> None:
    grow(root, "before", "at", "after")
    edge = datetime(2024, 1, 1, tzinfo=UTC)
    for seconds, name in ((-1, "before"), (0, "at"), (1, "after")):
        os.utime(root / name, (0, edge.timestamp() + seconds))

    assert await taken(root, threads, TreeRules(newer_than=edge)) == ["after"]
    assert await taken(root, threads, TreeRules(older_than=edge)) == ["before"]


async def test_sizes_are_both_within(root: Path, threads: ThreadPoolExecutor) -> None:
    for size in (1, 2, 3, 4):
        (root / str(size)).write_bytes(b"x" * size)

    assert await taken(root, threads, TreeRules(min_size=2, max_size=3)) == ["2", "3"]


def test_rules_that_cannot_be_are_refused() -> None:
    naive = datetime(2024, 1, 1)  # noqa: DTZ001
    with pytest.raises(UsageError, match="min_size must not be negative"):
        TreeRules(min_size=-1)
    with pytest.raises(UsageError, match="max_size must not be below"):
        TreeRules(min_size=2, max_size=1)
    with pytest.raises(UsageError, match="longest_path"):
        TreeRules(longest_path=0)
    with pytest.raises(UsageError, match="older_than needs a time zone"):
        TreeRules(older_than=naive)


@pytest.mark.parametrize("pattern", ["!", "\\", "", "# comment", "a["])
def test_a_pattern_that_would_do_nothing_is_refused(pattern: str) -> None:
    """An exclusion that nobody carries out sends what must not be sent."""
    with pytest.raises(UsageError, match=r"TreeRules\.exclude"):
        TreeRules(exclude=("*.tmp", pattern))


async def test_a_root_that_cannot_be_walked_is_an_error(root: Path, threads: ThreadPoolExecutor) -> None:
    grow(root, "file")
    with pytest.raises(SourceMissing, match="no such file"):
        await rows(Tree(root / "none", TO), threads)
    with pytest.raises(UsageError, match="is not a folder"):
        await rows(Tree(root / "file", TO), threads)
    with pytest.raises(UsageError, match="names no library"):
        Tree(root, "/")


async def test_a_deep_tree_is_walked_to_its_end(root: Path, threads: ThreadPoolExecutor) -> None:
    """Fault 22: 300 levels."""
    deep = root / "/".join("d" * 300)
    grow(deep, "file")

    (row,) = await rows(Tree(root, TO, TreeRules(longest_path=1000)), threads)

    assert row.source == os.fsencode(deep / "file")
    assert row.problem == ""


async def test_a_path_too_long_for_the_system_fails_alone(root: Path, threads: ThreadPoolExecutor) -> None:
    """Deeper than a path can say: made from inside."""
    descriptor = os.open(root, os.O_RDONLY)
    for _ in range(18):
        os.mkdir("d" * 250, dir_fd=descriptor)
        below = os.open("d" * 250, os.O_RDONLY, dir_fd=descriptor)
        os.close(descriptor)
        descriptor = below
    os.close(descriptor)
    grow(root, "file")

    first, second = await rows(Tree(root, TO), threads)

    assert first.fatal
    assert first.problem == "it cannot be looked at: File name too long"
    assert second.problem == ""


async def test_a_wide_folder_is_walked_in_batches_that_are_not_kept(root: Path, threads: ThreadPoolExecutor) -> None:
    """Fault 22: of 10,000 files nothing but the names is in memory, and one batch of rows."""
    for number in range(10_000):
        os.mknod(root / f"{number:05}")
    seen = 0

    async for batch in Tree(root, TO).items(threads):
        assert 0 < len(batch) <= BATCH
        assert batch[0].source.endswith(b"/%05d" % seen)
        seen += len(batch)
        if seen % (BATCH * 10) == 0:
            alive = [type(thing) for thing in gc.get_objects() if isinstance(thing, Item | os.stat_result)]
            assert alive.count(Item) <= 2 * BATCH
            assert alive.count(os.stat_result) <= 10

    assert seen == 10_000


async def test_the_first_rows_come_before_the_tree_is_seen(root: Path, threads: ThreadPoolExecutor) -> None:
    grow(root, *(f"a/{number}" for number in range(BATCH)), "b/early")
    found = Tree(root, TO).items(threads)
    assert len(await anext(found)) == BATCH - 1  # one step went into the folder

    grow(root, "b/late")

    assert [row.destination.rpartition("/")[2] for row in [row async for batch in found for row in batch]][-2:] == [
        "early",
        "late",
    ]


async def test_a_cancelled_walk_through_much_that_is_left_out_stops(root: Path, threads: ThreadPoolExecutor) -> None:
    """Not when the first wanted file turns up: that may be two million files on."""
    grow(root, *(f"{number:04}" for number in range(BATCH * 3)))
    tree = Tree(root, TO, TreeRules(exclude=("*",)))
    walk = asyncio.ensure_future(rows(tree, threads))
    while not tree.left_out:  # noqa: ASYNC110  (it tells nobody that it has begun)
        await asyncio.sleep(0)

    walk.cancel()
    with pytest.raises(asyncio.CancelledError):
        await walk

    assert tree.left_out["pattern"] <= BATCH * 2


async def test_a_walk_left_early_leaves_nothing_open(root: Path, threads: ThreadPoolExecutor) -> None:
    grow(root, *(str(number) for number in range(BATCH + 1)))
    before = set(os.listdir("/proc/self/fd"))
    found = Tree(root, TO).items(threads)
    await anext(found)
    await found.aclose()

    assert set(os.listdir("/proc/self/fd")) <= before
    with pytest.raises(StopAsyncIteration):
        await anext(found)


NAMES = st.text("ab#.é\u0301\n:", min_size=1, max_size=4).filter(lambda name: name not in {".", ".."})


@settings(max_examples=40, deadline=None)
@given(st.recursive(st.none(), lambda below: st.dictionaries(NAMES, below, max_size=4), max_leaves=12))
def test_every_file_is_a_row_once(plan: dict[str, object] | None) -> None:
    """Whatever the tree, it adds up."""
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(1) as threads:
        files = plant(Path(folder), plan or {})
        found = asyncio.run(rows(Tree(folder, TO), threads))

    assert [row.source for row in found] == sorted(files, key=lambda path: path.split(b"/"))


def plant(folder: Path, plan: dict[str, object]) -> list[bytes]:
    """A tree, None for each file; the files' paths."""
    files = []
    for name, below in plan.items():
        if isinstance(below, dict):
            (folder / name).mkdir()
            files += plant(folder / name, below)
        else:
            grow(folder, name)
            files.append(os.fsencode(folder / name))
    return files


@contextmanager
def open_to_all() -> Iterator[Path]:
    """A folder that every user can read; pytest's are their owner's only."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        root.chmod(0o755)
        yield root


@contextmanager
def as_nobody() -> Iterator[None]:
    """Without root's right to read everything, if we are root."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)

"""A list of files as a plan: every line makes a row, or a problem with its number. Real files, a real pipe."""

import asyncio
import os
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import asyncupload
from asyncupload import SourceMissing, UsageError
from asyncupload.bulk.batches import BATCH
from asyncupload.bulk.entries import ManifestProblem
from asyncupload.bulk.manifest import Manifest, ManifestError
from asyncupload.bulk.rows import Item, Metadata

pytestmark = pytest.mark.anyio

HEADER = b"source,destination\n"
GOOD = b"a.txt,/Finance/a.txt\n"


@pytest.fixture
def threads() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(1) as executor:
        yield executor


async def rows(manifest: Manifest, threads: ThreadPoolExecutor) -> list[Item]:
    return [item async for batch in manifest.items(threads) for item in batch]


async def test_a_row_has_what_an_upload_needs(tmp_path: Path, threads: ThreadPoolExecutor) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "a.txt").write_bytes(b"123")
    os.utime(tmp_path / "sub" / "a.txt", ns=(0, 1_700_000_000_123_456_789))
    listed = tmp_path / "list.csv"
    listed.write_text("source,destination,keywords\nsub/a.txt,/Finance/R&D/cafe\u0301.txt,k\n", "utf-8")

    assert await rows(Manifest(listed), threads) == [
        Item(
            source=os.fsencode(tmp_path / "sub" / "a.txt"),
            destination="/Finance/R_D/caf\u00e9.txt",
            size=3,
            mtime_ns=1_700_000_000_123_456_789,
            line=2,
            metadata=Metadata(keywords="k"),
        )
    ]


async def test_sources_that_cannot_be_sent_are_rows_with_a_reason(tmp_path: Path, threads: ThreadPoolExecutor) -> None:
    """Faults 5, 9 and 12: nothing is wrong with the line."""
    (tmp_path / "folder").mkdir()
    (tmp_path / "empty").touch()
    (tmp_path / "file").write_bytes(b"x")
    (tmp_path / "link").symlink_to("file")
    os.mkfifo(tmp_path / "pipe")
    names = ["none", "file/none", "folder", "empty", "pipe", "link", "n" * 300]
    listed = tmp_path / "list.csv"
    listed.write_text("source,destination\n" + "".join(f"{name},/F/{index}\n" for index, name in enumerate(names)))

    found = await rows(Manifest(listed), threads)

    assert [(row.problem, row.fatal) for row in found] == [
        ("nothing is there (any more)", True),
        ("nothing is there (any more)", True),
        ("it is a folder, and only files can be sent", True),
        ("it is empty, and the protocol cannot carry an empty document", False),
        ("it is a named pipe, and only files can be sent", True),
        ("", False),
        ("it cannot be looked at: File name too long", True),
    ]


async def test_sources_are_below_the_manifest_or_a_given_root(
    tmp_path: Path, threads: ThreadPoolExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    listed = tmp_path / "list.csv"
    listed.write_bytes(HEADER + GOOD + b"/etc/hosts,/Finance/hosts\n")
    monkeypatch.chdir(tmp_path)

    for path, root, below in ((listed, None, tmp_path), ("list.csv", None, tmp_path), (listed, "x", tmp_path / "x")):
        relative, absolute = await rows(Manifest(path, root=root), threads)
        assert relative.source == os.fsencode(below / "a.txt")
        assert absolute.source == b"/etc/hosts"


async def test_destinations_may_be_below_a_given_folder(tmp_path: Path, threads: ThreadPoolExecutor) -> None:
    listed = tmp_path / "list.csv"
    listed.write_bytes(HEADER + b"a,sub/a\nb,/Other/b\n")

    found = await rows(Manifest(listed, to="Finance/R&D/"), threads)

    assert [row.destination for row in found] == ["/Finance/R_D/sub/a", "/Other/b"]
    with pytest.raises(ManifestError, match="line 2: 'sub/a' begins with no slash"):
        await rows(Manifest(listed), threads)
    with pytest.raises(UsageError, match="cannot upload into"):
        Manifest(listed, to="/a:b")


async def test_nothing_is_planned_while_any_line_is_wrong(tmp_path: Path, threads: ThreadPoolExecutor) -> None:
    """The last line of many, even."""
    listed = tmp_path / "list.csv"
    listed.write_bytes(HEADER + GOOD * (BATCH * 2) + b"a,/F/a?b\n")
    manifest = Manifest(listed)

    with pytest.raises(ManifestError) as refused:
        await anext(manifest.items(threads))

    problem = ManifestProblem(BATCH * 2 + 2, "'/F/a?b': infoRouter does not allow ? in a name")
    assert refused.value.problems == (problem,) == tuple(manifest.problems)
    assert str(refused.value) == f"{listed} cannot be used: 1 line is wrong\n  {problem}"


async def test_the_good_lines_are_planned_if_so_wished(tmp_path: Path, threads: ThreadPoolExecutor) -> None:
    listed = tmp_path / "list.csv"
    listed.write_bytes(HEADER + GOOD + b"a,/F/" + b"n" * 129 + b"\n" + b"too,many,fields\n" + GOOD)
    manifest = Manifest(listed, keep_going=True)

    assert [row.line for row in await rows(manifest, threads)] == [2, 5]
    assert ([problem.line for problem in manifest.problems], manifest.bad_lines) == ([3, 4], 2)
    await rows(manifest, threads)
    assert manifest.bad_lines == 2, "a second reading counts anew"


async def test_twenty_problems_are_shown_a_thousand_kept_and_all_counted(
    tmp_path: Path, threads: ThreadPoolExecutor
) -> None:
    listed = tmp_path / "list.csv"
    listed.write_bytes(HEADER + b"a\n" * 1500)

    with pytest.raises(ManifestError) as refused:
        await rows(Manifest(listed), threads)

    first, *shown, rest = str(refused.value).splitlines()
    assert first.endswith("1500 lines are wrong")
    assert shown == [f"  line {line}: it has 1 fields, and the header has 2" for line in range(2, 22)]
    assert rest == "  ... and 1480 more"
    assert (len(refused.value.problems), refused.value.count) == (1000, 1500)


async def test_a_manifest_rewritten_while_it_is_planned_is_an_error(
    tmp_path: Path, threads: ThreadPoolExecutor
) -> None:
    listed = tmp_path / "list.csv"
    listed.write_bytes(HEADER + GOOD * 2000)
    found = Manifest(listed).items(threads)
    await anext(found)
    with listed.open("ab") as file:
        file.write(b"broken\n")

    with pytest.raises(ManifestError, match="line 2002: it has 1 fields"):
        _ = [batch async for batch in found]


@pytest.mark.parametrize(
    ("name", "good"),
    [("a.csv", False), ("a.TSV", False), ("a.jsonl", True), ("a.ndjson", True), ("a.json", True), ("list", True)],
)
async def test_the_name_tells_the_format_and_else_the_first_character(
    tmp_path: Path, threads: ThreadPoolExecutor, name: str, good: bool
) -> None:
    (tmp_path / name).write_bytes(b' {"source": "a", "destination": "/F/a"}')
    manifest = Manifest(tmp_path / name, keep_going=True)

    assert len(await rows(manifest, threads)) == good
    assert manifest.bad_lines == (not good)


async def test_longest_path_is_a_choice(tmp_path: Path, threads: ThreadPoolExecutor) -> None:
    listed = tmp_path / "list.csv"
    listed.write_bytes(HEADER + b"a,/F/12345\n")

    assert len(await rows(Manifest(listed, longest_path=8), threads)) == 1
    with pytest.raises(ManifestError, match="has 8 characters, more than 7"):
        await rows(Manifest(listed, longest_path=7), threads)


async def test_a_manifest_that_is_not_there_is_an_error(tmp_path: Path, threads: ThreadPoolExecutor) -> None:
    with pytest.raises(SourceMissing):
        await rows(Manifest(tmp_path / "none.csv"), threads)


async def test_a_pipe_is_read_twice_all_the_same(
    tmp_path: Path, threads: ThreadPoolExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As the shell's ``<(...)`` gives one. Its sources are below the current folder."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    monkeypatch.chdir(tmp_path.parent)
    writer = threading.Thread(target=pipe.write_bytes, args=(HEADER + GOOD,))
    writer.start()

    (row,) = await rows(Manifest(pipe), threads)

    writer.join()
    assert row.source == os.fsencode(tmp_path.parent / "a.txt")


STANDARD_INPUT = """
import asyncio, concurrent.futures
from asyncupload.bulk.manifest import Manifest

async def main():
    with concurrent.futures.ThreadPoolExecutor(1) as threads:
        async for batch in Manifest("-").items(threads):
            for item in batch:
                print(item.source.decode(), item.destination)

asyncio.run(main())
"""


@pytest.mark.parametrize(
    ("content", "code", "out", "err"),
    [
        (HEADER + GOOD, 0, "{here}/a.txt /Finance/a.txt\n", ""),
        (HEADER + b"a\n", 1, "", "ManifestError: standard input cannot be used: 1 line is wrong\n  line 2: it has 1"),
    ],
)
def test_standard_input_is_a_manifest_too(tmp_path: Path, content: bytes, code: int, out: str, err: str) -> None:
    ended = subprocess.run(
        [sys.executable, "-c", STANDARD_INPUT],
        input=content,
        capture_output=True,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": os.fspath(Path(asyncupload.__file__).parents[1])},
        timeout=50,
        check=False,
    )

    assert (ended.returncode, ended.stdout.decode()) == (code, out.format(here=tmp_path))
    assert err in ended.stderr.decode()


async def test_a_manifest_left_early_is_closed(tmp_path: Path, threads: ThreadPoolExecutor) -> None:
    listed = tmp_path / "list.csv"
    listed.write_bytes(HEADER + GOOD * (BATCH + 1))
    found = Manifest(listed).items(threads)
    await anext(found)
    assert os.fspath(listed) in open_files()

    await found.aclose()

    assert os.fspath(listed) not in open_files()


async def test_a_cancelled_reading_stops_and_closes_the_file(tmp_path: Path, threads: ThreadPoolExecutor) -> None:
    """Also while it is still being looked through for mistakes."""
    listed = tmp_path / "list.csv"
    listed.write_bytes(HEADER + b"a\n" * (BATCH * 20))
    manifest = Manifest(listed)
    reading = asyncio.ensure_future(rows(manifest, threads))
    while not manifest.bad_lines:  # noqa: ASYNC110  (it tells nobody that it has begun)
        await asyncio.sleep(0)

    reading.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reading

    assert manifest.bad_lines <= BATCH * 2
    assert os.fspath(listed) not in open_files()


def open_files() -> set[str]:
    return {os.path.realpath(descriptor) for descriptor in Path("/proc/self/fd").iterdir()}


@settings(max_examples=20, deadline=None)
@given(st.lists(st.sampled_from([GOOD, b"a\n", b"a,/F/?\n", b"\n", b"none,/F/none\n"]), max_size=30))
def test_lines_are_rows_or_problems_or_blank(lines: list[bytes]) -> None:
    """It adds up."""
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(1) as threads:
        listed = Path(folder) / "list.csv"
        listed.write_bytes(HEADER + b"".join(lines))
        manifest = Manifest(listed, keep_going=True)
        found = asyncio.run(rows(manifest, threads))

    assert len(found) + manifest.bad_lines == len(lines) - lines.count(b"\n")

"""The report of a load, in each of its formats."""

import csv
import json
import os
import re
import stat
from collections.abc import AsyncIterator
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncupload import TargetUnwritable, UsageError
from asyncupload.bulk import report
from asyncupload.bulk.journal import Journal
from asyncupload.bulk.progress import Phase, Progress, Waits
from asyncupload.bulk.records import COLUMNS, guarded
from asyncupload.bulk.rows import Facts, Row, State
from asyncupload.bulk.spelling import unspelled
from asyncupload.bulk.summary import INTERVALS, REASONS, SLOWEST, Summary, Timeline, kind_of
from bulk.files import Clock, item, opened
from bulk.stored import ended

pytestmark = pytest.mark.anyio

FACTS = Facts(document_id=7, version_id=2_000_000, crc32=0xAB, sha256="5e" * 32, sent=10, seconds=1.2345)


@pytest.fixture
async def journal(tmp_path: Path) -> AsyncIterator[Journal]:
    """Rows of every outcome: 2 stored, 1 unchanged, 1 skipped, 2 failed, 2 that have not ended."""
    clock = Clock()
    async with opened(tmp_path / "load.journal", clock) as journal:
        await ended(journal, replace(item("a", size=10), line=7), State.STORED, facts=FACTS)
        clock.now += 90
        await ended(journal, item("b", size=3000), State.STORED, facts=replace(FACTS, seconds=99))
        await ended(journal, item("c", size=10), State.UNCHANGED)
        await ended(journal, item("empty", size=0, problem="it is empty"), State.SKIPPED)
        await ended(journal, item("d"), State.FAILED, "'/Archive/d' is checked out by <anna>")
        await ended(journal, item("e"), State.FAILED, "'/Archive/e' is checked out by <anna>")
        await journal.add([item("f"), replace(item("g"), size=None, source=b"/srv/\xff<b>", destination="/Archive/=1")])
        await journal.claim("loader", 1, lease=60)
        yield journal


async def written(journal: Journal, path: Path, progress: Progress | None = None) -> str:
    await report.write(journal, path, progress=progress)
    assert [one.name for one in path.parent.iterdir() if one.name.endswith(".part")] == []
    return path.read_bytes().decode("utf-8")


OUTCOMES = ["stored", "stored", "unchanged", "skipped", "failed", "failed", "cancelled", "cancelled"]


async def test_json_lines_tell_every_row(journal: Journal, tmp_path: Path) -> None:
    lines = [json.loads(line) for line in (await written(journal, tmp_path / "r.jsonl")).splitlines()]

    assert [line["state"] for line in lines] == OUTCOMES
    assert lines[0] == {
        "source": "/srv/a",
        "destination": "/Archive/a",
        "size": 10,
        "state": "stored",
        "reason": "",
        "attempts": 0,
        "document_id": 7,
        "version_id": 2_000_000,
        "crc32": "000000AB",
        "sha256": "5e" * 32,
        "seconds": 1.234,
        "line": 7,
    }
    assert lines[3]["reason"] == "it is empty"
    assert unspelled(lines[7]["source"]) == b"/srv/\xff<b>"


async def test_csv_tells_the_same_as_json_lines(journal: Journal, tmp_path: Path) -> None:
    text = await written(journal, tmp_path / "r.CSV")
    lines = [json.loads(line) for line in (await written(journal, tmp_path / "r.jsonl")).splitlines()]

    header, *records = csv.reader(text.splitlines(keepends=True))

    assert tuple(header) == COLUMNS
    told = [["" if value is None else str(guarded(value)) for value in line.values()] for line in lines]
    assert records == told
    assert records[4][4] == "''/Archive/d' is checked out by <anna>"


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@a", "\ta", "\ra", "\na", "'a", "'=1"])
def test_no_text_is_a_formula(text: str) -> None:
    assert guarded(text) == "'" + text


@given(st.text(alphabet="=+-@\t\r\n'a;,\""))
def test_a_guarded_text_can_be_had_back(text: str) -> None:
    cell = guarded(text)

    assert isinstance(cell, str)
    assert not cell.startswith(("=", "+", "-", "@", "\t", "\r", "\n"))
    assert cell.removeprefix("'") == text


def test_a_number_is_no_formula() -> None:
    assert guarded(-1) == -1


class Tables(HTMLParser):
    """The rows of a page's tables by the heading above, its texts, and whether its tags are closed."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.texts: list[str] = []
        self.cells: dict[str, list[list[str]]] = {}
        self.open: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.bars = 0
        self._heading = ""
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.attributes += attrs
        self.bars += tag == "rect"
        if tag != "meta":
            self.open.append(tag)
        if tag == "tr":
            self.cells.setdefault(self._heading, []).append([])

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.texts.append(data)
        if self.open and self.open[-1] == "h2":
            self._heading = data
        if self.open and self.open[-1] == "td":
            self.cells[self._heading][-1].append(data)


async def test_the_page_adds_up(journal: Journal, tmp_path: Path) -> None:
    page = Tables(await written(journal, tmp_path / "r.html"))

    assert page.open == []
    says = next(text for text in page.texts if "input rows" in text)
    assert says == "8 input rows = 2 stored + 1 unchanged + 1 skipped + 2 failed + 2 cancelled."
    assert any("Every input row has ended in exactly one" in text for text in page.texts)
    rows = {cells[0]: cells[1:] for cells in page.cells["What became of it"] if cells}
    numbers = {name: [int(cell.replace(",", "")) for cell in cells[:2]] for name, cells in rows.items()}
    everything = numbers.pop("all")
    assert everything == [sum(column) for column in zip(*numbers.values(), strict=True)] == [8, 3050]
    assert numbers["stored"] == [2, 3010]


async def test_the_page_groups_what_failed_for_the_same_reason(journal: Journal, tmp_path: Path) -> None:
    page = Tables(await written(journal, tmp_path / "r.html"))

    assert page.cells["Failed and skipped, by kind"][1:] == [
        ["failed", "2", "… is checked out by <anna>", "'/Archive/d' is checked out by <anna>"],
        ["skipped", "1", "it is empty", "it is empty"],
    ]


async def test_the_page_shows_times_and_sizes_also_as_numbers(journal: Journal, tmp_path: Path) -> None:
    page = Tables(await written(journal, tmp_path / "r.html"))

    assert [cells[0] for cells in page.cells["Throughput"][1:]] == ["1970-01-01 00:16:40", "1970-01-01 00:18:10"]
    files = [int(cells[1]) for cells in page.cells["Sizes"][1:]]
    assert sum(files) == 7
    assert any("Of 1 rows nobody knows the size" in text for text in page.texts)
    assert page.bars == 91 + len(files)
    assert [cells[2] for cells in page.cells["Slowest files"][1:]] == ["/srv/b", "/srv/a"]


async def test_the_page_needs_nothing_else(journal: Journal, tmp_path: Path) -> None:
    await journal.note_run(server="https://dms/?a=<b>", user="anna", secret="hunter2")

    text = await written(journal, tmp_path / "r.html")

    page = Tables(text)
    assert not {"script", "link", "img", "iframe"} & set(re.findall(r"<(\w+)", text))
    assert not {"src", "href", "onclick", "onload"} & {name for name, _ in page.attributes}
    assert "https://dms/?a=<b>" in page.texts
    assert "hunter2" not in text


async def test_the_page_names_what_was_in_the_way(journal: Journal, tmp_path: Path) -> None:
    progress = Progress(
        phase=Phase.ENDED,
        pause="",
        counts=await journal.counts(),
        sending=0,
        committing=0,
        limit=8,
        sent=3010,
        left_out=12,
        seconds=90.0,
        waits=Waits(network=3.0, commit=41.5),
        failures=(),
    )

    page = Tables(await written(journal, tmp_path / "r.html", progress))

    assert ["commit", "41.5 s"] in page.cells["What was in the way"]
    assert any("left out 12 more files" in text for text in page.texts)


async def test_an_empty_load_has_a_report_too(tmp_path: Path) -> None:
    async with opened(tmp_path / "load.journal") as journal:
        page = Tables(await written(journal, tmp_path / "r.html"))
        assert await written(journal, tmp_path / "r.csv") == ",".join(COLUMNS) + "\r\n"

    assert page.open == []
    assert "0 input rows = 0 stored + 0 unchanged + 0 skipped + 0 failed + 0 cancelled." in page.texts


async def test_a_report_that_cannot_be_written_leaves_the_old_one(journal: Journal, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="must end in"):
        await report.write(journal, tmp_path / "r.xlsx")
    folder = tmp_path / "r.html"
    folder.mkdir()
    with pytest.raises(TargetUnwritable, match="The load itself is complete"):
        await report.write(journal, folder)
    with pytest.raises(TargetUnwritable, match="nowhere"):
        await report.write(journal, tmp_path / "nowhere" / "r.csv")

    assert {one.name for one in tmp_path.iterdir()} <= {
        "r.html",
        "load.journal",
        "load.journal-wal",
        "load.journal-shm",
        "load.journal.lock",
    }


@pytest.mark.parametrize("mode", [0o600, 0o644, 0o664])
async def test_a_replaced_report_keeps_its_mode(mode: int, journal: Journal, tmp_path: Path) -> None:
    (tmp_path / "r.csv").touch()
    (tmp_path / "r.csv").chmod(mode)
    await written(journal, tmp_path / "r.csv")
    assert stat.S_IMODE((tmp_path / "r.csv").stat().st_mode) == mode


async def test_a_report_is_not_written_through_a_link_that_was_planted(journal: Journal, tmp_path: Path) -> None:
    (tmp_path / "victim").write_text("precious")
    (tmp_path / f".r.csv.{os.getpid()}.part").symlink_to(tmp_path / "victim")
    with pytest.raises(TargetUnwritable, match="symbolic link"):
        await report.write(journal, tmp_path / "r.csv")
    assert (tmp_path / "victim").read_text() == "precious"
    assert not (tmp_path / "r.csv").exists()


async def test_what_a_killed_process_has_left_is_no_part_of_a_report(journal: Journal, tmp_path: Path) -> None:
    part = tmp_path / f".r.jsonl.{os.getpid()}.part"
    part.write_bytes(b"x" * 100_000)
    part.chmod(0o600)
    assert "xxx" not in await written(journal, tmp_path / "r.jsonl")


async def test_a_report_goes_where_the_users_link_leads(journal: Journal, tmp_path: Path) -> None:
    (tmp_path / "www").mkdir()
    (tmp_path / "r.csv").symlink_to(tmp_path / "www" / "r.csv")
    await report.write(journal, tmp_path / "r.csv")
    assert (tmp_path / "r.csv").is_symlink()
    assert (tmp_path / "www" / "r.csv").is_file()


def test_what_cannot_become_a_report_is_known_before(tmp_path: Path) -> None:
    for name, words in (("r.xlsx", "must end in"), ("nowhere/r.csv", "in a folder that exists")):
        with pytest.raises(UsageError, match=words):
            report.require_usable(tmp_path / name)
    report.require_usable(tmp_path / "r.csv")


@given(st.lists(st.tuples(st.integers(0, 10**7), st.integers(0, 10**9)), min_size=1))
def test_no_byte_is_lost_on_the_way_to_few_intervals(stored: list[tuple[int, int]]) -> None:
    timeline = Timeline()
    for at, size in stored:
        timeline.add(at + 0.5, size)

    rates = timeline.rates()
    assert len(rates) <= INTERVALS
    assert round(sum(rate * timeline.width for _, rate in rates)) == sum(size for _, size in stored)
    assert all(rates[0][0] <= at < rates[-1][0] + timeline.width for at, _ in stored)


def test_what_is_kept_of_many_rows_is_little() -> None:
    summary = Summary()
    for number in range(5 * REASONS):
        word = "".join(chr(97 + int(digit)) for digit in str(number))
        facts = Facts(seconds=float(number))
        summary.add(Row(id=number, item=item("a"), state=State.FAILED, reason=f"reason {word}", facts=facts))

    assert len(summary.reasons) == REASONS + 1
    assert sum(kind.rows for kind in summary.reasons.values()) == summary.rows == 5 * REASONS
    assert [row.id for row in summary.slowest] == list(range(5 * REASONS - 1, 5 * REASONS - 1 - SLOWEST, -1))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("chunk 3 of 20 was refused", "chunk 17 of 20 was refused"),
        ("'a b' is no name", "'c' is no name"),
        ("cannot read /srv/a", "cannot read /srv/b/c"),
        (
            "handler 0f7c1a2b-11d2-4e3f-9a0b-0123456789ab is lost",
            "handler aaaaaaaa-11d2-4e3f-9a0b-012345678900 is lost",
        ),
    ],
)
def test_reasons_that_differ_in_particulars_are_one_kind(one: str, other: str) -> None:
    assert kind_of(one) == kind_of(other)


def test_reasons_that_differ_in_words_are_not() -> None:
    kinds: set[Any] = {kind_of(reason) for reason in ("the server is gone", "the disk is full", "and/or")}
    assert kinds == {"the server is gone", "the disk is full", "and/or"}

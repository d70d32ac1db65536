"""``asyncupload jobs``, ``retry`` and ``explain``: what a journal tells of a load."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path

import pytest
from bulk.files import item, opened
from bulk.stored import ended, stored

from asyncupload.bulk.journal import Journal
from asyncupload.bulk.rows import State

from .conftest import Here


def planned(path: Path, work: Callable[[Journal], Awaitable[None]]) -> None:
    """Do something with a journal, and close it."""

    async def do() -> None:
        async with opened(path) as journal:
            await work(journal)

    asyncio.run(do())


async def filled(journal: Journal) -> None:
    """One stored, one failed, one planned, and one that can never be sent."""
    await journal.note_run(server="https://dms/IR", user="anna", source="/srv", destination="/Archive", secret="x7")
    await stored(journal, "a", item("a"))
    await ended(journal, item("b"), State.FAILED, reason="checked out by bert")
    await ended(journal, replace(item("pipe", problem="it is a pipe", fatal=True), line=9), State.FAILED)
    await journal.add([replace(item("c"), source=b"/srv/\xff")])


@pytest.fixture
def journal(tmp_path: Path) -> Path:
    path = tmp_path / "load.journal"
    planned(path, filled)
    return path


@pytest.fixture
def state(tmp_path: Path) -> dict[str, str]:
    return {"XDG_STATE_HOME": str(tmp_path / "state"), "TZ": "UTC"}


def test_jobs_lists_what_is_in_its_folder_and_what_is_named(
    here: Here, journal: Path, tmp_path: Path, state: dict[str, str]
) -> None:
    default = tmp_path / "state" / "asyncupload"
    default.mkdir(parents=True)
    journal.rename(default / "one.journal")
    planned(tmp_path / "two", lambda two: two.note_run())

    ended_ = here("jobs", tmp_path / "two", default, "--json", env=state)

    assert ended_.code == 0
    one, two = [json.loads(line) for line in ended_.out.splitlines()]
    assert one["journal"] == str(default / "one.journal")
    assert (one["server"], one["user"], one["source"], one["destination"]) == (
        "https://dms/IR",
        "anna",
        "/srv",
        "/Archive",
    )
    assert [one[name] for name in ("planned", "stored", "failed", "skipped")] == [1, 1, 2, 0]
    assert two["latest"] is None
    assert "x7" not in ended_.out


def test_jobs_tells_people_the_same(here: Here, journal: Path, state: dict[str, str]) -> None:
    told = here("jobs", journal, env=state).out

    assert "https://dms/IR as anna" in told
    assert "/srv to /Archive" in told
    assert "1 planned, 1 stored, 2 failed; last file at 1970-01-01" in told


def test_a_journal_that_cannot_be_read_does_not_hide_the_others(
    here: Here, journal: Path, tmp_path: Path, state: dict[str, str]
) -> None:
    (tmp_path / "bad.journal").write_bytes(b"no journal at all" * 1000)

    ended_ = here("jobs", tmp_path / "gone.journal", tmp_path / "bad.journal", journal, env=state)

    assert ended_.code == 2
    assert "there is no journal" in ended_.err
    assert "bad.journal" in ended_.err
    assert str(journal) in ended_.out
    assert not (tmp_path / "gone.journal").exists()


def test_jobs_says_that_there_are_none(here: Here, state: dict[str, str]) -> None:
    ended_ = here("jobs", env=state)
    assert (ended_.code, "no journals in" in ended_.out) == (0, True)


def test_retry_puts_back_what_can_be_sent(here: Here, journal: Path) -> None:
    ended_ = here("retry", journal, "--json")

    assert ended_.code == 0
    assert (ended_.said["planned_again"], ended_.said["planned"], ended_.said["failed"]) == (1, 2, 1)
    assert here("retry", journal, "--json").said["planned_again"] == 0


def test_retry_says_how_to_go_on(here: Here, journal: Path) -> None:
    told = here("retry", journal).out
    assert "1 planned again" in told
    assert "Run the same command again" in told
    assert "1 that failed cannot be sent as they were planned" in told


def test_retry_can_take_the_skipped_ones_too(here: Here, tmp_path: Path) -> None:
    async def skipped(journal: Journal) -> None:
        await ended(journal, item("a"), State.SKIPPED, reason="checked out")

    planned(tmp_path / "j", skipped)
    assert here("retry", tmp_path / "j", "--json").said["planned_again"] == 0
    assert here("retry", tmp_path / "j", "--json", "--skipped").said["planned_again"] == 1


@pytest.mark.parametrize("command", [("retry",), ("explain",)])
def test_no_journal_is_made_by_looking(here: Here, tmp_path: Path, command: tuple[str, ...]) -> None:
    words = [*command, tmp_path / "none", *(["a"] if command == ("explain",) else [])]
    ended_ = here(*words)
    assert (ended_.code, "there is no journal" in ended_.err) == (2, True)
    assert not (tmp_path / "none").exists()


@pytest.mark.parametrize("path", ["/srv/b", "/Archive/b", "/ARCHIVE/B"])
def test_explain_tells_a_life_by_either_name(here: Here, journal: Path, path: str) -> None:
    said = here("explain", journal, path, "--json").said

    assert (said["status"], said["source"], said["reason"]) == ("failed", "/srv/b", "checked out by bert")
    assert [deed["what"] for deed in said["life"]] == ["planned", "claimed", "failed"]
    assert said["life"][-1]["detail"] == "checked out by bert"


def test_explain_tells_people_in_order(here: Here, journal: Path) -> None:
    told = here("explain", journal, "/srv/a").out
    life = told.partition("\n\n")[2]
    assert [line.split("  ")[2].partition(":")[0] for line in life.splitlines()] == [
        "planned",
        "claimed",
        "committing",
        "stored",
    ]
    assert "000000AB" in told


def test_explain_finds_a_file_from_here_and_as_a_report_spells_it(
    here: Here, journal: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir("/srv")
    assert here("explain", journal, "b", "--json").said["destination"] == "/Archive/b"
    assert here("explain", journal, r"/srv/\udcff", "--json").said["status"] == "planned"
    assert here("explain", journal, r"/srv/\ud800").code == 2


def test_explain_says_that_it_knows_no_such_file(here: Here, journal: Path) -> None:
    ended_ = here("explain", journal, "/srv/z")
    assert (ended_.code, "knows no file and no document" in ended_.err) == (2, True)

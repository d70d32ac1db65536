"""Whatever time stamp a file has: it is sent, and every page and report that tells of it can be written."""

import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from .conftest import Here, Server

S = 1_000_000_000

STAMPS: dict[str, int] = {
    # nextcloud/desktop#4332, rclone/rclone#2296, rclone/rclone#6547, syncany/syncany#374
    "1601": -11_644_473_600 * S,
    "one nanosecond before what 64 bits of them hold": -(1 << 63) - 1,
    "the first that they hold": -(1 << 63),
    "the last that they hold": (1 << 63) - 1,
    "one more": 1 << 63,
    "1899": -2_209_161_600 * S,
    "before 1970": -1,
    "1970": 0,
    "2038": (1 << 31) * S + 999_999_999,
    "2262 and a half": 9_230_000_000 * S,
    "the year 10000": 253_402_300_800 * S,
    "the last second of 9999": 253_402_300_799 * S + 999_999_999,
    "the year 30828, where Windows ends": 910_692_730_085 * S + 477_580_700,
    "the end of 64 bits of seconds": ((1 << 63) - 1) * S,
    "their beginning": -(1 << 63) * S,
    "the year 0": -62_167_219_200 * S,
}


@pytest.fixture
def folder() -> Iterator[Path]:
    """On a file system that keeps any stamp, if there is one; the others keep the nearest that they can."""
    where = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    path = Path(tempfile.mkdtemp(dir=where))
    yield path
    shutil.rmtree(path)


def stamped(folder: Path, stamp: int, name: str = "a.txt") -> Path:
    path = folder / name
    path.write_bytes(b"content")
    os.utime(path, ns=(0, stamp))
    return path


@pytest.mark.parametrize("when", STAMPS)
def test_any_time_is_data(server: Server, here: Here, folder: Path, tmp_path: Path, when: str) -> None:
    """Found by a load, kept in its journal, told by all that read it, and known again by the next run."""
    path = stamped(folder, STAMPS[when])
    env = {**server.login, "XDG_STATE_HOME": str(tmp_path / "state")}
    journal, ledger = tmp_path / "l.journal", tmp_path / "l.jsonl"
    load = ("bulk", folder, "/Library/L", "--journal", journal, "--ledger", ledger)

    for report in ("r.csv", "r.jsonl", "r.html"):
        ended = here(*load, "--report", tmp_path / report, env=env)
        assert (ended.code, "Traceback" in ended.err) == (0, False), ended
    assert server.calls("CreateUploadHandler") == 1

    (line,) = map(json.loads, ledger.read_text().splitlines())
    assert line["mtime_ns"] == path.stat().st_mtime_ns
    assert here("verify", "--ledger", ledger, "--sources", env=env).code == 0
    for words in (("jobs", journal), ("explain", journal, path), ("retry", journal)):
        assert here(*words, env=env).code == 0

    os.utime(path, ns=(0, STAMPS["1970"] if when != "1970" else S))
    assert here(*load, env=env).code == 0
    assert server.calls("DocumentExists") + server.calls("CreateUploadHandler") > 1


@pytest.mark.parametrize("when", ["1601", "before 1970", "the year 10000", "the end of 64 bits of seconds"])
def test_one_file_is_sent_listed_compared_and_brought_back_over_one_of_any_time(
    server: Server, here: Here, folder: Path, when: str
) -> None:
    path = stamped(folder, STAMPS[when])
    (folder / "list.csv").write_text("source,destination\na.txt,/Library/listed.txt\n")
    assert here("upload", path, "/Library/a.txt", env=server.login).code == 0
    assert here("bulk", "--manifest", folder / "list.csv", "--dry-run", env=server.login).code == 0
    assert here("verify", path, "/Library/a.txt", env=server.login).code == 0
    assert here("download", "/Library/a.txt", path, env=server.login).code == 0


@pytest.mark.parametrize(
    ("option", "moment", "sent"),
    [
        ("--older-than", "1970-01-01T00:00:01", {"edge"}),
        ("--newer-than", "1970-01-01T00:00:01", {"year 10000"}),
        ("--newer-than", "0001-01-01", {"edge", "at one", "year 10000"}),
        ("--older-than", "0001-01-01", {"1 BC"}),
        ("--older-than", "9999-12-31T23:59:59", {"edge", "at one", "1 BC"}),
    ],
)
@pytest.mark.parametrize("zone", ["UTC", "Asia/Tokyo", "America/New_York"])
def test_ages_are_compared_to_the_nanosecond_and_at_the_ends_of_the_calendar(
    server: Server, here: Here, folder: Path, tmp_path: Path, option: str, moment: str, sent: set[str], zone: str
) -> None:
    if zone != "UTC" and "1970" in moment:
        pytest.skip("another moment there")
    stamped(folder, S - 1, "edge")
    stamped(folder, S, "at one")
    stamped(folder, STAMPS["the year 10000"] + 86_400 * S, "year 10000")
    stamped(folder, STAMPS["the year 0"] - 86_400 * S, "1 BC")
    if (folder / "1 BC").stat().st_mtime_ns > STAMPS["1601"]:
        pytest.skip("this file system does not keep such times")
    if option == "--older-than" and sent == {"edge"}:
        sent = {"edge", "1 BC"}
    env = {**server.login, "XDG_STATE_HOME": str(tmp_path / "state"), "TZ": zone}
    assert here("bulk", folder, "/Library/L", option, moment, env=env).code == 0
    assert {Path(path).name for path in server.documents()} == sent

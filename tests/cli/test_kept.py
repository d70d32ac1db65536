"""What a command says where the server keeps less than was asked for, or allows less."""

import csv
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from anyio.from_thread import BlockingPortal

from asyncupload.emulator import Emulator

from .conftest import Here


@pytest.fixture
def files(tmp_path: Path) -> Path:
    folder = tmp_path / "source"
    folder.mkdir()
    (folder / "a.pdf").write_bytes(b"first")
    (folder / "b.bin").write_bytes(b"second")
    (folder / "c.pdf").write_bytes(b"x" * 2000)
    return folder


@contextmanager
def serving(portal: BlockingPortal, tmp_path: Path, **options: Any) -> Iterator[dict[str, str]]:
    """A server, and an environment that knows it."""
    with portal.wrap_async_context_manager(Emulator(tmp_path / "server", **options)) as emulator:
        yield {
            "ASYNCUPLOAD_SERVER": emulator.url,
            "ASYNCUPLOAD_USER": "demo",
            "ASYNCUPLOAD_PASSWORD": "demo",
            "ASYNCUPLOAD_JOURNAL": str(tmp_path / "load.journal"),
        }


def test_an_upload_that_is_not_kept_whole_is_one_to_look_at(
    portal: BlockingPortal, tmp_path: Path, files: Path, here: Here
) -> None:
    words = ("upload", files / "a.pdf", "/Library/a.pdf", "--description", "x", "--version-comment", "y", "--json")
    with serving(portal, tmp_path, variants=["no-parameters"]) as env:
        ended = here(*words, env=env)
    assert ended.code == 3
    assert ended.said["status"] == "stored"
    assert ended.said["not_kept"] == ["comment", "description"]
    assert "/Library/a.pdf: stored, but the server has not kept what was asked for: comment, description" in ended.err


def test_what_is_kept_is_not_mentioned(portal: BlockingPortal, tmp_path: Path, files: Path, here: Here) -> None:
    with serving(portal, tmp_path) as env:
        ended = here("upload", files / "a.pdf", "/Library/a.pdf", "--description", "x", "--json", env=env)
    assert ended.code == 0
    assert "kept" not in ended.err + ended.out


def test_a_load_counts_them_and_its_report_names_them(
    portal: BlockingPortal, tmp_path: Path, files: Path, here: Here
) -> None:
    (tmp_path / "list.csv").write_text("source,destination,description\na.pdf,a.pdf,first\nc.pdf,c.pdf,\n")
    words = ("bulk", files, "/Library", "--manifest", tmp_path / "list.csv", "--report", tmp_path / "report.csv")
    with serving(portal, tmp_path, variants=["no-parameters"]) as env:
        ended = here(*words, "--files", 1, "--json", env=env)
    assert ended.code == 3
    summary = json.loads(ended.out.splitlines()[-1])
    assert (summary["stored"], summary["not_kept"]) == (2, 1)
    rows = {row["source"][-5:]: row for row in csv.DictReader((tmp_path / "report.csv").read_text().splitlines())}
    assert rows["a.pdf"]["state"] == "stored"
    assert rows["a.pdf"]["reason"].endswith("has not kept what was asked for: description, notify")


def test_a_dry_run_tells_what_the_rules_forbid(portal: BlockingPortal, tmp_path: Path, files: Path, here: Here) -> None:
    rules = {"/Library": {"AllowableFileTypes": ".pdf"}}
    with serving(portal, tmp_path, rules=rules, document_max_size=1000) as env:
        ended = here("bulk", files, "/Library", "--dry-run", "--json", env=env)
        assert ended.code == 1
        fates = {Path(row["path"]).name: row for row in map(json.loads, ended.out.splitlines()[:-1])}
        assert {name: row["status"] for name, row in fates.items()} == {
            "a.pdf": "new",
            "b.bin": "failed",
            "c.pdf": "failed",
        }
        assert "AllowableFileTypes" in fates["b.bin"]["message"]
        assert "DocumentMaxSize is 1000" in fates["c.pdf"]["message"]
        assert here("bulk", files, "/Library", "--quiet", env=env).code == 1
        assert here("upload", files / "c.pdf", "/Library/d.pdf", env=env).code == 4

"""``asyncupload verify --ledger``: a ledger held against the server, months later."""

import json
import zlib
from pathlib import Path

import pytest

from .conftest import Here, Server

CONTENTS = {"a": b"alpha", "b": b"beta", "c": b"gamma"}


@pytest.fixture
def ledger(server: Server, here: Here, tmp_path: Path) -> Path:
    """Of three documents that are stored, and whose files are still there."""
    lines = []
    for name, data in CONTENTS.items():
        (tmp_path / name).write_bytes(data)
        said = here("upload", tmp_path / name, f"/Library/{name}", "--json", env=server.login).said
        lines.append(line(tmp_path / name, f"/Library/{name}", data, said["version_id"]))
    path = tmp_path / "stored.jsonl"
    path.write_text("".join(lines))
    return path


def line(source: Path, destination: str, data: bytes, version: int) -> str:
    told = {"source": str(source), "destination": destination, "size": len(data), "mtime_ns": 1}
    told |= {"crc32": f"{zlib.crc32(data):08X}", "sha256": None, "document_id": 1, "version_id": version}
    told |= {"stored_at": "2026-01-01T00:00:00+00:00", "server": "https://dms", "user": "anna"}
    return json.dumps(told) + "\n"


def test_all_as_it_was_is_a_success(server: Server, here: Here, ledger: Path) -> None:
    ended = here("verify", "--ledger", ledger, "--json", env=server.login)

    assert ended.code == 0
    *found, summary = [json.loads(said) for said in ended.out.splitlines()]
    assert sorted((one["status"], one["path"]) for one in found) == [
        ("verified", f"/Library/{name}") for name in CONTENTS
    ]
    assert (summary["status"], summary["entries"], summary["verified"]) == ("summary", 3, 3)


def test_what_is_not_as_it_was_is_named(server: Server, here: Here, ledger: Path, tmp_path: Path) -> None:
    with ledger.open("a") as file:
        file.write(line(tmp_path / "a", "/Library/a", b"other", 1_000_000))
        file.write(line(tmp_path / "z", "/Library/z", b"x", 1_000_000))

    ended = here("verify", "--ledger", ledger, env=server.login)

    assert ended.code == 6
    *sentences, summary = ended.out.splitlines()
    assert sorted(sentence.split(":")[0] for sentence in sentences) == ["different /Library/a", "missing /Library/z"]
    assert "5 documents: 3 verified, 1 different, 1 missing, 0 unreachable" in summary


def test_a_source_that_changed_is_a_difference_and_one_that_is_gone_is_none(
    server: Server, here: Here, ledger: Path, tmp_path: Path
) -> None:
    (tmp_path / "a").unlink()
    ended = here("verify", "--ledger", ledger, "--sources", "--json", env=server.login)
    assert ended.code == 0
    assert json.loads(ended.out.splitlines()[-1])["sources_gone"] == 1

    (tmp_path / "b").write_bytes(b"bets")
    ended = here("verify", "--ledger", ledger, "--sources", env=server.login)
    assert ended.code == 6
    assert f"source changed: {tmp_path / 'b'}" in ended.out
    assert "their sources: 1 same, 1 changed, 1 gone" in ended.out


def test_what_nobody_could_find_out_is_not_verified(server: Server, here: Here, ledger: Path) -> None:
    server.faults |= {("GetDownloadInfoByVersion", number): "forbid" for number in range(1, 4)}
    ended = here("verify", "--ledger", ledger, env=server.login)
    assert ended.code == 5, ended


def test_a_server_that_is_gone_is_said_once(here: Here, server: Server, ledger: Path) -> None:
    ended = here("verify", "--ledger", ledger, env={**server.login, "ASYNCUPLOAD_SERVER": "http://127.0.0.1:9"})
    assert (ended.code, ended.out) == (5, "")


def test_a_wrong_password_is_told_apart(here: Here, server: Server, ledger: Path) -> None:
    ended = here("verify", "--ledger", ledger, env={**server.login, "ASYNCUPLOAD_PASSWORD": "wrong"})
    assert ended.code == 4


def test_a_damaged_ledger_is_said_before_anything_is_asked(here: Here, server: Server, ledger: Path) -> None:
    before = server.calls("AuthenticateUser")
    ledger.write_text(ledger.read_text() + "{}\n")
    ended = here("verify", "--ledger", ledger, env=server.login)
    assert (ended.code, "line 4" in ended.err) == (2, True)
    assert server.calls("AuthenticateUser") == before


@pytest.mark.parametrize("words", [(), ("a",), ("a", "/Library/a", "--ledger", "stored.jsonl")])
def test_one_document_or_a_ledger(
    here: Here, server: Server, ledger: Path, words: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ledger.parent)
    ended = here("verify", *words, env=server.login)
    assert (ended.code, "or --ledger FILE instead" in ended.err) == (2, True)

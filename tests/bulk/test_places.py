"""Where journals are by default: the same command finds its own again."""

from pathlib import Path

import pytest

from asyncupload.bulk import places


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_same_load_has_the_same_journal(home: Path) -> None:
    journal = places.journal("https://dms/InfoRouter", home / "scans", "/Archive/2026")

    assert journal.parent == places.folder() == home / "asyncupload"
    assert journal.name.startswith("scans-to-2026-")
    for server, source, there in (
        ("https://DMS/InfoRouter/", home / "scans", "/Archive/2026"),
        ("https://dms/InfoRouter", "scans", "/Archive/2026/"),
        ("https://dms/InfoRouter", "./scans/", "Archive/2026"),
    ):
        assert places.journal(server, source, there) == journal


@pytest.mark.parametrize(
    ("server", "source", "destination"),
    [
        ("https://other/InfoRouter", "scans", "/Archive/2026"),
        ("https://dms/inforouter", "scans", "/Archive/2026"),
        ("https://dms/InfoRouter", "scan", "/Archive/2026"),
        ("https://dms/InfoRouter", "-", "/Archive/2026"),
        ("https://dms/InfoRouter", "scans/Archive", "/2026"),
        ("https://dms/InfoRouter", "scans", ""),
    ],
)
def test_another_load_has_another_journal(server: str, source: str, destination: str) -> None:
    assert places.journal(server, source, destination) != places.journal(
        "https://dms/InfoRouter", "scans", "/Archive/2026"
    )


def test_standard_input_is_the_same_from_everywhere(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    journal = places.journal("https://dms", "-", "/A")
    (home / "below").mkdir()
    monkeypatch.chdir(home / "below")
    assert places.journal("https://dms", "-", "/A") == journal


def test_any_source_makes_a_usable_name(home: Path) -> None:
    for source in ("/", "a\udcff/*?:", "x" * 250, "..."):
        path = places.journal("https://dms", source, "/Ä")
        path.parent.mkdir(exist_ok=True)
        path.touch()
    assert len(places.all_in(places.folder())) == 4


def test_only_journals_are_found(home: Path) -> None:
    for name in ("b.journal", "a.journal", "a.journal-wal", "a.journal.corrupt-1", "notes.txt"):
        (home / name).touch()

    assert [path.name for path in places.all_in(home)] == ["a.journal", "b.journal"]
    assert places.all_in(home / "notes.txt") == [home / "notes.txt"]
    assert places.all_in(home / "nowhere") == []

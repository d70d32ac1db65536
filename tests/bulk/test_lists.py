"""Lists as people make them: what spreadsheets, shells and other programs write is read, or it is said what to do."""

import codecs
import gzip
import io
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import date, datetime
from pathlib import Path
from typing import Any

import openpyxl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncupload import UsageError
from asyncupload.bulk.entries import Entry, ManifestProblem, entries
from asyncupload.bulk.lines import LONGEST_LINE
from asyncupload.bulk.manifest import Manifest, ManifestError
from asyncupload.bulk.rows import Item, Metadata

pytestmark = pytest.mark.anyio

FILES = [("a.txt", "/Finance/ä.txt", "größer, als"), ("b;c.txt", "/Finance/b.txt", "")]
"""Source, destination, description."""

EXPECTED = [(source, destination, Metadata(description=told)) for source, destination, told in FILES]


def read(content: bytes, name: str = "list", encoding: str | None = None) -> list[Entry | ManifestProblem]:
    format_ = {".csv": "csv", ".json": "jsonl"}.get(Path(name).suffix)
    return list(entries(io.BytesIO(content), format_, encoding))  # type: ignore[arg-type]


def good(content: bytes, name: str = "list", encoding: str | None = None) -> list[tuple[str, str, Metadata]]:
    found = read(content, name, encoding)
    assert not [thing for thing in found if isinstance(thing, ManifestProblem)], found
    return [thing[1:] for thing in found if isinstance(thing, Entry)]


def wrong(content: bytes, name: str = "list") -> tuple[int, str]:
    ((line, text),) = (thing for thing in read(content, name) if isinstance(thing, ManifestProblem))
    return line, text


def csv_of(separator: str = ",", end: str = "\n", header: str = "source,destination,description") -> str:
    lines = [header.replace(",", separator)]
    lines += [separator.join(f'"{cell}"' for cell in file) for file in FILES]
    return "".join(line + end for line in lines)


def json_lines(end: str = "\n") -> str:
    keys = ("source", "destination", "description")
    return "".join(json.dumps(dict(zip(keys, file, strict=True)), ensure_ascii=False) + end for file in FILES)


def array(**how: Any) -> str:
    return json.dumps([json.loads(line) for line in json_lines().splitlines()], ensure_ascii=False, **how)


ENCODINGS = {
    "UTF-8": lambda text: text.encode(),
    "UTF-8 with a mark": lambda text: codecs.BOM_UTF8 + text.encode(),
    "UTF-16": lambda text: text.encode("utf-16"),
    "UTF-16, high byte first": lambda text: codecs.BOM_UTF16_BE + text.encode("utf-16-be"),
    "UTF-16 without a mark": lambda text: text.encode("utf-16-le"),
    "UTF-16, high byte first, without a mark": lambda text: text.encode("utf-16-be"),
    "UTF-32": lambda text: text.encode("utf-32"),
}
FORMS = {
    "CSV": csv_of(),
    "Excel's Unicode text": csv_of("\t", "\r\n"),
    "semicolons": csv_of(";", "\r\n"),
    "bars": csv_of("|"),
    "CR": csv_of(end="\r"),  # onaio/onadata#757
    "sep=": "sep=;\r\n" + csv_of(";", "\r\n"),  # contao/contao#1870
    "sep= in quotes": '"sep=|"\n' + csv_of("|"),
    "JSON Lines": json_lines(),
    "JSON Lines, CR LF": json_lines("\r\n"),
    "JSON Lines, CR": json_lines("\r"),
    "a JSON array": array(),
    "a JSON array over lines": array(indent=2),
    "objects over lines": "\n".join(json.dumps(json.loads(line), indent=4) for line in json_lines().splitlines()),
}


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("form", FORMS)
def test_a_list_is_read_in_each_form_and_encoding(form: str, encoding: str) -> None:
    """molgenis/molgenis#6492, jotaen/klog#217, jqlang/jq#2351"""
    content = ENCODINGS[encoding](FORMS[form])
    assert good(content) == EXPECTED
    assert good(content, "list.json" if "JSON" in form or "objects" in form else "list.csv") == EXPECTED


@pytest.mark.parametrize("form", ["JSON Lines", "CR", "a JSON array over lines"])
def test_lines_are_counted_as_an_editor_counts_them(form: str) -> None:
    expected = {"JSON Lines": [1, 2], "CR": [2, 3], "a JSON array over lines": [2, 7]}[form]
    assert [thing.line for thing in read(FORMS[form].encode("utf-16"))] == expected


HEADERS = [
    "Source,DESTINATION,Description",
    " source , destination ,\tdescription",
    "\u00a0source\u00a0,destination,description\u200b",
    "source,destination,description,,",
    "source,destination,description,x-mine,,x-yours",
]


@pytest.mark.parametrize("header", HEADERS)
def test_a_header_is_read_as_it_is_meant(header: str) -> None:
    """wireservice/csvkit#426, thephpleague/csv#543, firefly-iii/firefly-iii#1262"""
    assert good(csv_of(header=header).encode(), "list.csv") == EXPECTED


def test_a_name_of_two_words_has_a_blank_a_hyphen_or_a_line_between_them() -> None:
    for name in ("Version Comment", "version-comment", "VERSION_COMMENT", '"Version\nComment"'):
        ((_, _, metadata),) = good(f"source,destination,{name}\na,/F/a,new\n".encode(), "list.csv")
        assert metadata == Metadata(version_comment="new")


def test_empty_columns_and_rows_at_the_end_are_nothing() -> None:
    """bardsoftware/ganttproject#1634: a spreadsheet saves what once had something in it; it drops empty cells, too."""
    content = "source;destination;description;;\na;/F/a;x;;\nb;/F/b\nc;/F/c;;;;;;\n;;;;\n ; ;\n\n;;;;;;;;\n"
    assert good(content.encode(), "list.csv") == [
        ("a", "/F/a", Metadata(description="x")),
        ("b", "/F/b", Metadata()),
        ("c", "/F/c", Metadata()),
    ]


WRONG: list[tuple[str | bytes, int, str]] = [
    ("source,Source ,destination\n", 1, "there more than once: source"),
    ("source,destination,,\na,/F/a,x,\n", 2, "column 3 has no name in the header, and 'x' stands in it"),
    ("source,destination\na,/F/a,x\n", 2, "it has 3 fields, and the header has 2"),
    ('[{"source": "a", "destination": "/F/a"}', 1, "a ] is missing"),
    ('[{"source": "a", "destination": "/F/a"}\n{"source": "b"}]', 2, "a comma is missing"),
    ('[{"source": "a", "destination": "/F/a"}]\n[]', 2, "after the end of the list"),
    ('[\n{"source": "a", "destination": "/F/a"},\n{"source": "b, ', 3, "nothing after it was read"),
    ('[\n\n"a.txt"]', 3, "it is not an object in braces"),
    ('[{"source": "%s"}]' % ("n" * (LONGEST_LINE + 100_000)), 1, f"longer than {LONGEST_LINE} bytes"),
    ("{\n", 1, "it is not JSON"),
    ("source;destination\nä;/F/a\n".encode("cp1252"), 2, "'CSV UTF-8'"),
    ("source;destination\r\nä;/F/a\r\n".encode("mac-roman"), 2, "--manifest-encoding"),
    (FORMS["JSON Lines"].encode("utf-16")[:-1], 2, "it is not JSON"),
    (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(600), 1, "an old Excel workbook (.xls)"),
    (b"<html xmlns:x='urn:schemas-microsoft-com:office:excel'><table>", 1, "a page (HTML)"),
    (b"\xef\xbb\xbf<?xml version='1.0'?><Workbook>", 1, "it is XML"),
    (gzip.compress(csv_of().encode()), 1, "compressed by gzip"),
    (b"%PDF-1.7\n", 1, "a PDF"),
    (b"PK\x03\x04" + bytes(100), 1, "cannot be read as an Excel workbook"),
]


@pytest.mark.parametrize(("content", "line", "says"), WRONG, ids=[says for _, _, says in WRONG])
def test_what_cannot_be_read_is_said_in_words_that_help(content: str | bytes, line: int, says: str) -> None:
    where, text = wrong(content if isinstance(content, bytes) else content.encode())
    assert (where, says in text) == (line, True), text
    text.encode()


def test_another_encoding_is_read_when_it_is_named() -> None:
    assert good(csv_of(";").encode("cp1252"), encoding="cp1252") == EXPECTED
    with pytest.raises(UsageError, match="there is no encoding 'ansi-8'"):
        Manifest("list.csv", encoding="ansi-8")
    with pytest.raises(UsageError, match="there is no encoding 'base64'"):
        Manifest("list.csv", encoding="base64")


@given(
    st.lists(st.sampled_from(["{", "}", "[", "]", ",", ":", '"source"', '"', "\n", "\r", "\\", " ", "7"])).map("".join)
)
def test_any_json_is_read_to_its_end_with_its_lines_in_order(text: str) -> None:
    found = read(f"[{text}".encode())
    assert [thing.line for thing in found] == sorted(thing.line for thing in found)


def test_a_long_array_on_one_line_is_read_in_pieces() -> None:
    objects = [{"source": f"{number}.txt", "destination": f"/F/{number}.txt"} for number in range(40_000)]
    content = json.dumps(objects).encode()
    assert len(content) > LONGEST_LINE
    found = good(content)
    assert len(found) == 40_000
    assert found[-1][:2] == ("39999.txt", "/F/39999.txt")


# ── workbooks ──


def workbook(*rows: tuple[Any, ...], title: str = "List") -> openpyxl.Workbook:
    book = openpyxl.Workbook()
    assert book.active is not None
    book.active.title = title
    for row in rows:
        book.active.append(row)
    return book


def saved(book: openpyxl.Workbook) -> bytes:
    content = io.BytesIO()
    book.save(content)
    return content.getvalue()


HEADER = ("Source", "destination ", "Description", None)


@pytest.mark.parametrize("name", ["list.xlsx", "list.csv", "list"])
def test_a_workbook_is_read_whatever_it_is_called(name: str) -> None:
    """What Excel saves without being told otherwise."""
    content = saved(workbook(HEADER, *((*file, None) for file in FILES), (None, None)))
    assert good(content, name) == EXPECTED
    assert [thing.line for thing in read(content)] == [2, 3]


def test_cells_are_read_as_they_are_seen() -> None:
    rows = [
        (),
        ("source", "destination", "keywords", "created", "modified", "x-done"),
        ("a", "/F/a", 2024, date(2024, 1, 31), datetime(2024, 2, 1), True),  # noqa: DTZ001  (a cell has no zone)
        (2024, "/F/b", 1.5, "2024-03-01"),
        (),
        ("c", "/F/c"),
    ]
    content = saved(workbook(*rows))
    assert [(thing.line, *thing[1:]) for thing in read(content)] == [
        (3, "a", "/F/a", Metadata(keywords="2024", created="2024-01-31", modified="2024-02-01")),
        (4, "2024", "/F/b", Metadata(keywords="1.5", created="2024-03-01")),
        (6, "c", "/F/c", Metadata()),
    ]


def test_what_is_wrong_in_a_workbook_is_told_with_its_row() -> None:
    book = workbook(HEADER, ("a", "/F/a"), ("b", None), ("#REF!", "/F/c"), ("d", "/F/d", "", "more"))
    assert book.active is not None
    book.active["A4"].data_type = "e"
    found = [(thing.line, thing.text) for thing in read(saved(book)) if isinstance(thing, ManifestProblem)]
    assert found == [
        (3, "it has 1 fields, and the header has 3"),
        (4, "its cell A4 has the error #REF!"),
        (5, "it has 4 fields, and the header has 3"),
    ]


def test_the_sheet_that_has_the_list_is_read_and_no_two() -> None:
    book = workbook(("notes",), title="Notes")
    assert wrong(saved(book)) == (
        1,
        "no sheet of it has a list: its first row must tell source and destination at least",
    )
    for title in ("List", "Copy"):
        book.create_sheet(title).append(("source", "destination"))
    book["List"].append(("a", "/F/a"))
    line, text = wrong(saved(book))
    assert (line, "'List', 'Copy'" in text) == (1, True)
    book["Copy"].sheet_state = "hidden"
    assert good(saved(book)) == [("a", "/F/a", Metadata())]


def test_without_the_library_it_is_said_what_to_install(tmp_path: Path) -> None:
    (tmp_path / "list.xlsx").write_bytes(saved(workbook(HEADER)))
    script = (
        "import sys; sys.modules['openpyxl'] = None; from asyncupload.bulk.entries import entries; "
        "print(*entries(open(sys.argv[1], 'rb'), None))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, tmp_path / "list.xlsx"], capture_output=True, text=True, timeout=30, check=True
    )
    assert "asyncupload[xlsx]" in done.stdout


# ── contradictions ──


@pytest.fixture
def threads() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(2) as executor:
        yield executor


async def planned(path: Path, threads: ThreadPoolExecutor, **rest: Any) -> list[Item]:
    return [item async for batch in Manifest(path, **rest).items(threads) for item in batch]


TWINS: list[tuple[str, int, str]] = [
    ("a,/F/a,one\nb,/F/b,\na,/F/a,two\n", 4, "line 2 sends the same to the same place, with other words about it"),
    ("a,/F/a,one\nb,/F/a,one\n", 3, "line 2 sends another source to the same place, /F/a"),
    ("a,/F/a,\nb,/f/A,\n", 3, "line 2 sends another source"),
    ("a,/F/caf\u00e9,\nb,/F/cafe\u0301,\n", 3, "line 2 sends another source"),
    ("a,/F/a,\n\na,/F/a,new\n", 4, "line 2 sends the same"),
]


@pytest.mark.parametrize(("lines", "line", "says"), TWINS, ids=range(len(TWINS)))
async def test_lines_that_contradict_each_other_are_told_both(
    tmp_path: Path, threads: ThreadPoolExecutor, lines: str, line: int, says: str
) -> None:
    (tmp_path / "list.csv").write_text(f"source,destination,description\n{lines}", "utf-8")
    with pytest.raises(ManifestError) as refused:
        await planned(tmp_path / "list.csv", threads)
    (problem,) = refused.value.problems
    assert (problem.line, says in problem.text) == (line, True), problem


async def test_the_same_line_twice_and_one_source_to_two_places_are_no_contradiction(
    tmp_path: Path, threads: ThreadPoolExecutor
) -> None:
    (tmp_path / "list.csv").write_text("source,destination,keywords\n" + "a,/F/a,k\n" * 3 + "a,/F/b,k\n")
    assert len(await planned(tmp_path / "list.csv", threads)) == 4


async def test_contradictions_are_found_far_apart_and_in_workbooks(tmp_path: Path, threads: ThreadPoolExecutor) -> None:
    many = [(f"{number}", f"/F/{number}") for number in range(5000)]
    (tmp_path / "l.xlsx").write_bytes(saved(workbook(("source", "destination"), *many, ("other", "/F/0"))))
    with pytest.raises(ManifestError, match="line 5002: line 2 sends another source"):
        await planned(tmp_path / "l.xlsx", threads)


async def test_a_list_in_utf16_is_a_plan(tmp_path: Path, threads: ThreadPoolExecutor) -> None:
    (tmp_path / "ä.txt").write_bytes(b"x")
    (tmp_path / "list.jsonl").write_bytes('{"source": "ä.txt", "destination": "/F/ä"}\r\n'.encode("utf-16"))
    (item,) = await planned(tmp_path / "list.jsonl", threads)
    assert (item.source, item.size, item.destination) == (os.fsencode(tmp_path / "ä.txt"), 1, "/F/ä")

"""What a manifest says, line by line: two formats, and all that can be wrong with a line."""

import codecs
import csv
import io
import json
from dataclasses import asdict

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from asyncupload.bulk.entries import COLUMNS, LONGEST_LINE, Entry, ManifestProblem, entries
from asyncupload.bulk.rows import Metadata

HEADER = b"source,destination\n"
GOOD = b"a.txt,/Finance/a.txt\n"


def read(content: bytes) -> list[Entry | ManifestProblem]:
    return list(entries(io.BytesIO(content), None))


def wrong(content: bytes) -> list[tuple[int, str]]:
    """What is wrong with a manifest, by line."""
    return [(found.line, found.text) for found in read(content) if isinstance(found, ManifestProblem)]


def lines_of_good(content: bytes) -> list[int]:
    return [found.line for found in read(content) if isinstance(found, Entry)]


FULL = Entry(
    2, "a, b.txt", "/Finance/a.txt", Metadata(version_comment="v", description='say "x"', created="2024-01-31")
)

SAME: dict[str, bytes] = {
    "commas": b"source,destination,version_comment,description,created\n"
    b'"a, b.txt",/Finance/a.txt,v,"say ""x""",2024-01-31\n',
    "semicolons, and no end of line": b"source;destination;version_comment;description;created\n"
    b'a, b.txt;/Finance/a.txt;v;"say ""x""";2024-01-31',
    "tabs": b"source\tdestination\tversion_comment\tdescription\tcreated\n"
    b'a, b.txt\t/Finance/a.txt\tv\t"say ""x"""\t2024-01-31\r\n',
    "as Excel writes it": codecs.BOM_UTF8
    + b'Source;Destination;"Version_Comment"; Description ;created\r\n'
    + b'a, b.txt;/Finance/a.txt;v;"say ""x""";2024-01-31\r\n',
    "another order, and columns of one's own": b"x-id,created,destination,description,source,X-Note,version_comment\n"
    b'7,2024-01-31,/Finance/a.txt,"say ""x""","a, b.txt",,v\n',
    "JSON Lines": b"\n"
    + json.dumps(
        {
            "source": "a, b.txt",
            "destination": "/Finance/a.txt",
            "version_comment": "v",
            "description": 'say "x"',
            "created": "2024-01-31",
            "keywords": None,
            "x-id": 7,
        }
    ).encode(),
}


@pytest.mark.parametrize("form", SAME)
def test_one_file_in_many_forms(form: str) -> None:
    assert read(SAME[form]) == [FULL]


def test_the_delimiter_is_that_of_the_header_alone() -> None:
    (entry,) = read(b"source,destination,description\na;b;c,/Finance/x;y,;;;;\n")
    assert entry == Entry(2, "a;b;c", "/Finance/x;y", Metadata(description=";;;;"))


def test_blank_lines_are_nothing_and_are_counted() -> None:
    assert lines_of_good(b"\n \r\n" + HEADER + b"\n" + GOOD + b",\n\r\n" + GOOD) == [5, 8]
    assert lines_of_good(b'\n{"source":"a","destination":"/b/c"}\n\n \n{"source":"a","destination":"/b/c"}') == [2, 5]


def test_a_quoted_field_may_go_over_lines_and_the_first_one_counts() -> None:
    content = b"source,destination,description\n" + b'a,/F/a,"one\ntwo\nthree"\n' + b"b,/F/b,\n"
    assert [(entry.line, entry.metadata.description) for entry in read(content) if isinstance(entry, Entry)] == [
        (2, "one\ntwo\nthree"),
        (5, ""),
    ]


BAD_CSV: list[tuple[bytes, int, str]] = [
    # what stands there, on which line it is wrong, what is said
    (b"", 1, "there is nothing in it; CSV begins with a header"),
    (b"\n \n", 1, "there is nothing in it"),
    (b"source\na\n", 1, "it does not tell destination"),
    (b"a.txt,/Finance/a.txt\n", 1, "it does not tell source and destination"),
    (b"source,destination,comment,Size\n", 1, "unknown: 'comment', 'size'; there are source, destination,"),
    (b"source,destination,source\n", 1, "there more than once: source"),
    (b'source,"destination\n', 1, "it is not CSV: unexpected end of data"),
    (HEADER + GOOD + b"a.txt\n", 3, "it has 1 fields, and the header has 2"),
    (HEADER + GOOD + b"a,/F/a,more\n", 3, "it has 3 fields, and the header has 2"),
    (HEADER + GOOD + b",/F/a\n", 3, "the source is empty"),
    (HEADER + GOOD + b"a,\n", 3, "the destination is empty"),
    (HEADER + GOOD + b"caf\xe9,/F/a\n", 3, r"the source is not UTF-8: 'caf\udce9'"),
    (HEADER + GOOD + b"a,/F/caf\xe9\n", 3, "the destination is not UTF-8"),
    (HEADER + GOOD + b"a\x00b,/F/a\n", 3, "there is a control character in the source"),
    (HEADER + GOOD + b'"a"b,/F/a\n', 3, "it is not CSV"),
    (HEADER + GOOD + b'"a,/F/a\n' + GOOD + GOOD, 3, "a quote opens on it that is not closed"),
    (HEADER + GOOD + b'"a,/F/a', 3, "it is not CSV: unexpected end of data"),
    (HEADER + GOOD + b"n" * (LONGEST_LINE + 1) + b"\n", 3, f"it is longer than {LONGEST_LINE} bytes"),
    (HEADER + GOOD + b'"' + b'n\n,",,"' * 150_000 + b'",x\n' + GOOD, 3, "a quote opens on it that is not closed"),
    (b" " * (LONGEST_LINE + 1), 1, f"it is longer than {LONGEST_LINE} bytes"),
    (b"source,destination,created\na,/F/a,31.01.2024\n", 2, "created is '31.01.2024', and not a date as 2024-01-31"),
    (b"source,destination,modified\na,/F/a,2024-02-30\n", 2, "modified is '2024-02-30'"),
    (b"source,destination,modified\na,/F/a,20240101\n", 2, "modified is '20240101'"),
    (b"source,destination,keywords\na,/F/a,x\x1by\n", 2, "there is a control character in the keywords"),
]


@pytest.mark.parametrize(("content", "line", "says"), BAD_CSV, ids=[says for _, _, says in BAD_CSV])
def test_what_is_wrong_in_csv_is_told_with_its_line(content: bytes, line: int, says: str) -> None:
    ((where, text),) = wrong(content)

    assert (where, says in text) == (line, True), text
    text.encode()


BAD_JSON: list[tuple[bytes, str]] = [
    (b"{", "it is not JSON: Expecting property name"),
    (b"[]", "it is not an object in braces"),
    (b"7", "it is not an object in braces"),
    (b'{"source": "a"}', "it does not tell destination"),
    (b'{"source": "a", "destination": "/F/a", "Keywords": ""}', "unknown: 'Keywords'"),
    (b'{"source": "a", "destination": "/F/a", "source": "b"}', "there more than once: source"),
    (b'{"source": 7, "destination": ["/F/a"]}', "not a string: source, destination"),
    (b'{"source": %s, "destination": "/F/a"}' % (b"7" * 5000), "not a string: source"),
    (b'{"source": null, "destination": "/F/a"}', "the source is empty"),
    (b'{"source": "a\\u0000", "destination": "/F/a"}', "there is a control character in the source"),
    (b'{"source": "\\ud800", "destination": "/F/a"}', "the source is not UTF-8"),
    (b'{"source": "caf\xe9", "destination": "/F/a"}', "the source is not UTF-8"),
    (b'{"source": "a", "destination": "/F/a", "created": "yesterday"}', "created is 'yesterday'"),
    (b"[" * 100_000, "it is not JSON"),
    (b'{"source": "%s"}' % (b"n" * LONGEST_LINE), f"it is longer than {LONGEST_LINE} bytes"),
]


@pytest.mark.parametrize(("line", "says"), BAD_JSON, ids=[says for _, says in BAD_JSON])
def test_what_is_wrong_in_json_lines_is_told_and_the_other_lines_count(line: bytes, says: str) -> None:
    good = b'{"source": "a", "destination": "/F/a"}\n'
    content = good + line + b"\n" + good

    ((where, text),) = wrong(content)

    assert (where, says in text) == (2, True), text[:200]
    assert lines_of_good(content) == [1, 3]
    text.encode()


def test_after_a_lost_quote_nothing_is_taken_for_a_record() -> None:
    """Out of step, the inside of one field would be read as another file to send."""
    inside = b'a,/F/a,"comment\n' + b"secret,/Public/secret,\n" + b'end" x\n' + b"b,/F/b,\n"
    content = b"source,destination,description\n" + inside

    assert wrong(content) == [(2, "a quote opens on it that is not closed, and nothing after it was read")]
    assert lines_of_good(content) == []


def test_a_broken_line_of_csv_does_not_spoil_the_others() -> None:
    content = HEADER + GOOD + b"too,many,fields\n" + GOOD + b'"a"b,/F/a\n' + GOOD
    assert [line for line, _ in wrong(content)] == [3, 5]
    assert lines_of_good(content) == [2, 4, 6]


TEXT = st.text(st.characters(exclude_categories=["Cs", "Cc"], exclude_characters="\ufffe\uffff"), max_size=20)
METADATA = st.builds(
    Metadata,
    version_comment=TEXT | st.just("two\nlines, \"quoted\"; and\ta 'tab'"),
    description=TEXT,
    keywords=TEXT,
    created=st.just("") | st.dates().map(str),
    modified=st.just("") | st.dates().map(str),
)
FILES = st.lists(st.tuples(TEXT.filter(bool), TEXT.filter(bool), METADATA), max_size=5)


@given(FILES, st.sampled_from(",;\t"), st.sampled_from(["\n", "\r\n"]))
@example([('"', ",;\t", Metadata(description=' "" '))], ";", "\r\n")
def test_what_is_written_as_csv_is_read_as_it_was(
    files: list[tuple[str, str, Metadata]], delimiter: str, end: str
) -> None:
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, COLUMNS, delimiter=delimiter, lineterminator=end)
    writer.writeheader()
    for source, destination, metadata in files:
        writer.writerow({"source": source, "destination": destination, **asdict(metadata)})

    assert [found[1:] for found in read(text.getvalue().encode())] == files


@given(FILES, st.booleans())
def test_what_is_written_as_json_lines_is_read_as_it_was(files: list[tuple[str, str, Metadata]], plain: bool) -> None:
    objects = [{"source": a, "destination": b, **asdict(metadata)} for a, b, metadata in files]
    text = "".join(json.dumps(thing, ensure_ascii=plain) + "\n" for thing in objects)

    assert [found[1:] for found in entries(io.BytesIO(text.encode()), "jsonl")] == files


@given(
    st.binary(max_size=200)
    | st.lists(st.sampled_from([HEADER, GOOD, b'"', b",", b"\n", b"\r", b"{", b"\xff", b"a"])).map(b"".join)
)
def test_any_bytes_are_read_to_their_end_with_their_lines_in_order(content: bytes) -> None:
    found = read(content)

    assert [thing.line for thing in found] == sorted({thing.line for thing in found})
    assert all(1 <= thing.line <= content.count(b"\n") + content.count(b"\r") + 1 for thing in found)

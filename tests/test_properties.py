"""What goes along with a document: refused here if it cannot work, and on the server as it was given."""

import dataclasses
import datetime as dt
from pathlib import Path
from typing import Any

import pytest
from conftest import FOLDER, PATIENT
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from troubled import count

from asyncupload import Client, Properties, ServerError, UsageError, VersionNumber
from asyncupload import _wire as wire
from asyncupload._secret import Secret
from asyncupload.emulator import Emulator
from asyncupload.properties import NO_TEXT, NONE_GIVEN

AT = f"{FOLDER}/report.bin"
LARGEST = VersionNumber(2147, 483, 647)


# ── ranges ──────────────────────────────────────────────────────────────────────────────────────────────────────────


@given(st.integers(1, 2146), st.integers(0, 999), st.integers(0, 999))
@example(1, 0, 0)
@example(*LARGEST)
def test_every_number_in_range_is_taken(major: int, minor: int, revision: int) -> None:
    """And its parts can be read off the packed one."""
    number = VersionNumber(major, minor, revision)
    assert Properties(version=number).version == number
    rest, last = divmod(number.packed, 1000)
    assert (*divmod(rest, 1000), last) == number
    assert number.packed < 2**31
    assert str(number) == f"{major}.{minor}.{revision}"


OUT_OF_RANGE = st.integers(max_value=-1) | st.integers(min_value=1000)


@given(
    st.one_of(
        st.tuples(st.integers(max_value=0) | st.integers(min_value=2148), st.integers(0, 999), st.integers(0, 999)),
        st.tuples(st.integers(1, 2146), OUT_OF_RANGE, st.integers(0, 999)),
        st.tuples(st.integers(1, 2146), st.integers(0, 999), OUT_OF_RANGE),
    )
)
@example((2147, 483, 648))
@example((2147, 484, 0))
@example((2400, 0, 0))
def test_every_number_out_of_range_is_refused(parts: tuple[int, int, int]) -> None:
    with pytest.raises(UsageError, match="major is 1 to 2147"):
        Properties(version=VersionNumber(*parts))


def test_the_shorter_forms_of_a_number_are_zeros() -> None:
    assert VersionNumber(3) == VersionNumber(3, 0) == VersionNumber(3, 0, 0)
    assert VersionNumber(3).packed == 3_000_000


def test_a_wish_to_publish_is_one_of_three_words() -> None:
    with pytest.raises(UsageError, match="server, publish or dont"):
        Properties(publish="never")  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["description", "keywords", "text"])
@pytest.mark.parametrize("character", ["\x00", "\x0b", "\x1f", "\ud83e", "\ufffe"])
def test_characters_that_cannot_be_sent_are_refused(name: str, character: str) -> None:
    """Before a byte is: what they would spoil is the request to store, at the end."""
    with pytest.raises(UsageError, match=f"{name} has the character"):
        Properties(**{name: f"a{character}b"})  # type: ignore[arg-type]


def test_what_is_given_cannot_be_changed_under_an_upload() -> None:
    given = Properties(description="x")
    with pytest.raises(dataclasses.FrozenInstanceError):
        given.description = "y"  # type: ignore[misc]
    assert hash(given) == hash(Properties(description="x"))


@pytest.mark.parametrize(
    ("given_", "only"),
    [
        (NONE_GIVEN, True),
        (Properties(version=VersionNumber(2)), True),
        (Properties(version=VersionNumber(2), keywords="x"), False),
        (Properties(notify=True), False),
        (Properties(publish="publish"), False),
    ],
)
def test_a_number_alone_needs_no_parameters(given_: Properties, only: bool) -> None:
    assert given_.only_version is only
    operation = wire.finalize(Secret("t"), "/L/a", "h", "comment", given_).operation
    assert operation.endswith("3") is not only


# ── on the server ───────────────────────────────────────────────────────────────────────────────────────────────────


TEXT = st.text(st.characters(codec="utf-8"), max_size=60).filter(lambda text: not NO_TEXT.search(text))
GIVEN = st.builds(
    Properties,
    description=TEXT,
    keywords=TEXT,
    text=TEXT,
    created=st.none() | st.dates(dt.date(1970, 1, 2), dt.date(2200, 1, 1)),
    modified=st.none() | st.dates(dt.date(1970, 1, 2), dt.date(2200, 1, 1)),
    publish=st.sampled_from(["server", "publish", "dont"]),
    notify=st.sampled_from([None, True, False]),
)
HARD = "\"double\" 'single' <b>&amp;</b> ]]> \t\n zwei\r\n Zeilen, Überdruß, 日本語 🦆"


@pytest.mark.anyio
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(given=GIVEN, comment=TEXT)
@example(given=Properties(description=HARD, keywords=HARD, text=HARD), comment=HARD)
async def test_whatever_is_given_is_kept(given: Properties, comment: str, client: Client, emulator: Emulator) -> None:
    """In a new document, through the server's own parser."""
    name = f"{FOLDER}/{len(await emulator.documents())}"
    await client.upload(b"data", to=name, version_comment=comment, properties=given)
    (document,) = (one for one in await emulator.documents() if one.path == name)
    kept: dict[str, Any] = {
        "description": document.description,
        "keywords": document.keywords,
        "text": document.text_content,
        "created": _day(document.creation_date),
        "modified": _day(document.modification_date),
        "comment": document.latest.comment,
        "publish": {"": "server", "Publish": "publish", "DontPublish": "dont"}[document.latest.publish_option],
    }
    sent = {**{name: getattr(given, name) for name in kept if name != "comment"}, "comment": comment}
    assert kept == sent
    assert document.latest.published is (given.publish != "dont")
    assert document.latest.notified is (given.notify is not False)


def _day(seconds: float | None) -> dt.date | None:
    return None if seconds is None else dt.datetime.fromtimestamp(seconds, dt.UTC).date()


@pytest.mark.anyio
async def test_no_email_is_sent_where_that_is_not_wished(client: Client, emulator: Emulator) -> None:
    """Also with a version of a document, which goes by another operation."""
    for _ in range(2):
        await client.upload(b"data", to=AT, properties=Properties(notify=False))
    (document,) = await emulator.documents()
    assert [version.notified for version in document.versions] == [False, False]


@pytest.mark.anyio
@pytest.mark.parametrize("comment", ["", "a comment"])
async def test_a_version_gets_the_number_that_was_given(comment: str, client: Client, emulator: Emulator) -> None:
    for number in (VersionNumber(2), VersionNumber(2, 0, 7), LARGEST):
        receipt = await client.upload(b"data", to=AT, version_comment=comment, properties=Properties(version=number))
        assert receipt.version_id == number.packed
    (document,) = await emulator.documents()
    assert [version.number for version in document.versions] == [2_000_000, 2_000_007, LARGEST.packed]


@pytest.mark.anyio
async def test_a_number_that_is_taken_is_refused_by_the_server(client: Client, emulator: Emulator) -> None:
    await client.upload(b"data", to=AT, properties=Properties(version=VersionNumber(2)))
    with pytest.raises(ServerError, match="has a version 2000000 already"):
        await client.upload(b"other", to=AT, properties=Properties(version=VersionNumber(2)))
    (document,) = await emulator.documents()
    assert [version.number for version in document.versions] == [2_000_000]
    assert document.checkout is None
    assert await emulator.open_handlers() == []


@pytest.mark.anyio
@pytest.mark.parametrize("comment", ["a\x00b", "a\x1bb", "caf\udce9"])
async def test_a_comment_that_cannot_be_sent_costs_no_upload(comment: str, client: Client, emulator: Emulator) -> None:
    with pytest.raises(UsageError, match="version_comment has the character"):
        await client.upload(b"data", to=AT, version_comment=comment)
    assert count(emulator, "UploadFileChunk") == 0


@pytest.mark.anyio
async def test_an_older_servers_grammar_loses_the_properties_and_not_the_document(tmp_path: Path) -> None:
    """A server that reads <parameter key=..> only ignores ours, as unknown items: the bytes are stored all the same."""
    async with (
        Emulator(tmp_path / "server", variants=["key-parameters"]) as server,
        Client(server.url, user="demo", password="demo", settings=PATIENT) as client,
    ):
        await client.upload(b"data", to=AT, properties=Properties(description="x"))
        (document,) = await server.documents()
        assert (await server.content(AT)).read_bytes() == b"data"
        assert document.description == ""

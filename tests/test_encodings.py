"""Every way of writing a request, with every way of making a document, out of every kind of source."""

import dataclasses
import datetime as dt
import io
import itertools
import os
import re
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any, Literal

import pytest
from between import between
from conftest import FOLDER, PATIENT
from troubled import against

from asyncupload import ChunkRetried, Client, Event, ForeignReply, Properties, VersionNumber
from asyncupload.emulator import Call, Document, Emulator, Hit, Script, at

pytestmark = pytest.mark.anyio

CHUNK = PATIENT.chunk_size
Way = Literal["multipart", "form", "soap"]
WAYS: tuple[Way, ...] = ("multipart", "form", "soap")

NEW, PLAIN = "UploadNewDocumentWidthHandler", "UploadDocumentWithHandler"

# ── sources ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def _path(data: bytes, folder: Path) -> Path:
    (folder / "source").write_bytes(data)
    return folder / "source"


async def _pieces(data: bytes) -> AsyncIterator[bytes]:
    for start in range(0, len(data), 100_000):
        yield data[start : start + 100_000]


SOURCES: dict[str, Callable[[bytes, Path], Any]] = {
    "path": _path,
    "bytes": lambda data, _: data,
    "file object": lambda data, _: io.BytesIO(data),
    "async iterator": lambda data, _: _pieces(data),
}

# ── what is given, and by which operation that goes ─────────────────────────────────────────────────────────────────

COMMENT = "März & <April>"
NUMBER = Properties(version=VersionNumber(7, 3, 1))
ALL = Properties(
    description='Überblick "Q1" & <Q2>',
    keywords="eins, zwei",
    text="for the index",
    created=dt.date(2024, 2, 29),
    publish="dont",
    notify=False,
    version=VersionNumber(7, 3, 1),
)

_FINALIZES: dict[str, tuple[bool, bool, str, Properties, str]] = {
    # whether a document is there, whether the server has the operation for new ones, what is given, what is used
    "new": (False, True, "", Properties(), NEW),
    "new, everything given": (False, True, COMMENT, ALL, NEW),
    "new, plain": (False, False, "", Properties(), PLAIN),
    "new, 1": (False, False, COMMENT, Properties(), f"{PLAIN}1"),
    "new, 2": (False, False, COMMENT, NUMBER, f"{PLAIN}2"),
    "new, 3": (False, False, COMMENT, ALL, f"{PLAIN}3"),
    "existing, 1": (True, True, "", Properties(), f"{PLAIN}1"),
    "existing, 2": (True, True, COMMENT, NUMBER, f"{PLAIN}2"),
    "existing, 3": (True, True, COMMENT, ALL, f"{PLAIN}3"),
}


def _lacking(operation: str) -> Script:
    """A server that does not have it."""
    return lambda call: "refuse-404" if call.operation == operation else None


def _require_kept(document: Document, comment: str, given: Properties) -> None:
    """What was given stands there; the versions of existing documents have a mark behind the comment."""
    latest = document.latest
    assert re.sub(r" ?\[upload [0-9a-f]{8}\]$", "", latest.comment) == comment
    assert (document.description, document.keywords, document.text_content) == (
        given.description,
        given.keywords,
        given.text,
    )
    if given.version is not None:
        assert latest.number == given.version.packed
    assert latest.publish_option == ("DontPublish" if given.publish == "dont" else "")
    assert latest.notified is (given.notify is not False)
    if given.created is not None:
        assert dt.datetime.fromtimestamp(document.created, dt.UTC).date() == given.created


@pytest.mark.parametrize("case", _FINALIZES)
@pytest.mark.parametrize("way", WAYS)
async def test_every_source_is_stored_by_every_finalize_in_every_encoding(way: Way, case: str, tmp_path: Path) -> None:
    exists, has_new, comment, given, operation = _FINALIZES[case]
    settings = dataclasses.replace(PATIENT, encoding=way)
    async with (
        Emulator(tmp_path / "server", script=None if has_new else _lacking(NEW)) as server,
        Client(server.url, user="demo", password="demo", settings=settings) as client,
    ):
        for kind, make in SOURCES.items():
            data, to = os.urandom(CHUNK + 5), f"{FOLDER}/{kind}.bin"
            if exists:
                await client.upload(b"before", to=to)
            begun = len(server.calls)
            receipt = await client.upload(make(data, tmp_path), to=to, version_comment=comment, properties=given)
            calls = server.calls[begun:]
            assert (await server.content(to)).read_bytes() == data, kind
            (document,) = (one for one in await server.documents() if one.path == to)
            assert len(document.versions) == 1 + exists
            assert (receipt.document_id, receipt.version_id) == (document.id, document.latest.number)
            _require_kept(document, comment, given)
            assert [call.operation for call in calls if call.applied and "DocumentW" in call.operation] == [operation]
            assert {call.way for call in calls if call.operation == "UploadFileChunk"} == {way}
            others = {call.way for call in calls if call.operation != "UploadFileChunk"}
            assert others == {"soap" if way == "soap" else "form"}
        assert await server.open_handlers() == []


# ── finding out ─────────────────────────────────────────────────────────────────────────────────────────────────────

FOUND: dict[tuple[str, ...], list[str]] = {
    # what the server does not take: how its chunks were sent
    (): ["multipart"],
    ("no-multipart",): ["multipart", "form"],
    ("no-multipart", "no-base64"): ["multipart", "form", "soap"],
    ("no-multipart", "no-soap"): ["multipart", "form"],
    ("no-base64", "no-soap"): ["multipart"],
}


@pytest.mark.parametrize("variants", FOUND, ids=lambda variants: " ".join(variants) or "all")
async def test_auto_finds_what_the_server_takes_and_remembers_it(variants: tuple[str, ...], tmp_path: Path) -> None:
    """Other requests stay forms, which have been seen to work; where chunks go in SOAP, what follows does too."""
    data = os.urandom(2 * CHUNK + 5)
    async with against(tmp_path, variants=variants) as (server, client):
        await client.upload(data, to=f"{FOLDER}/one")
        ways = [call.way for call in server.calls if call.operation == "UploadFileChunk"]
        assert [way for way, _ in itertools.groupby(ways)] == FOUND[variants]
        begun = len(server.calls)
        await client.upload(data, to=f"{FOLDER}/two")
        assert {call.way for call in server.calls[begun:] if call.operation == "UploadFileChunk"} == {ways[-1]}
        others = [call.way for call in server.calls if call.operation != "UploadFileChunk"]
        assert [way for way, _ in itertools.groupby(others)] == (["form", "soap"] if ways[-1] == "soap" else ["form"])
        for name in ("one", "two"):
            assert (await server.content(f"{FOLDER}/{name}")).read_bytes() == data


async def test_a_server_that_takes_nothing_is_told_of_as_it_refused_the_usual_way(tmp_path: Path) -> None:
    async with against(tmp_path, variants=["no-multipart", "no-base64", "no-soap"]) as (server, client):
        with pytest.raises(ForeignReply, match="HTTP 400"):
            await client.upload(b"data", to=f"{FOLDER}/file")
        ways = [call.way for call in server.calls if call.operation == "UploadFileChunk"]
        assert ways == ["multipart", "multipart", "form"], "the chunk, and a byte in each way"
        assert await server.documents() == []
        assert await server.open_handlers() == []


@pytest.mark.parametrize(
    ("way", "variant"), [("multipart", "no-multipart"), ("form", "no-base64"), ("soap", "no-soap")]
)
async def test_an_encoding_that_was_chosen_is_not_changed(way: Way, variant: str, tmp_path: Path) -> None:
    settings = dataclasses.replace(PATIENT, encoding=way)
    async with against(tmp_path, None, settings, variants=[variant]) as (server, client):
        with pytest.raises(ForeignReply):
            await client.upload(b"data", to=f"{FOLDER}/file")
        assert {call.way for call in server.calls if call.operation == "UploadFileChunk"} <= {way}


async def test_what_was_found_is_not_given_up_for_a_later_refusal(tmp_path: Path) -> None:
    """A 400 to one chunk says nothing about the encoding any more."""
    async with against(tmp_path, at({("UploadFileChunk", 2): "refuse-400"})) as (server, client):
        await client.upload(b"data", to=f"{FOLDER}/one")
        with pytest.raises(ForeignReply):
            await client.upload(b"data", to=f"{FOLDER}/two")
        await client.upload(b"data", to=f"{FOLDER}/three")
        assert {call.way for call in server.calls if call.operation == "UploadFileChunk"} == {"multipart"}


async def test_after_a_fault_in_the_last_encoding_the_next_upload_begins_with_the_first(tmp_path: Path) -> None:
    """A SOAP fault is no page of somebody else's: it must not leave the client with an encoding that does not work."""
    fault = (
        b'<s:Envelope xmlns:s="http://schemas.xmlsoap.org/soap/envelope/"><s:Body><s:Fault><faultcode>s:Client'
        b"</faultcode><faultstring>Server did not recognize the value of HTTP Header SOAPAction.</faultstring>"
        b"</s:Fault></s:Body></s:Envelope>"
    )
    mended = False

    def broken(operation: str, body: bytes) -> tuple[int, bytes] | None:
        chunk = operation == "UploadFileChunk"
        return None if mended or not (chunk or operation == "srv.asmx") else (400, b"") if chunk else (500, fault)

    async with (
        Emulator(tmp_path / "server") as server,
        between(server.url, instead=broken) as proxy,
        Client(proxy.url, user="demo", password="demo", settings=PATIENT) as client,
    ):
        with pytest.raises(ForeignReply, match="HTTP 400"):
            await client.upload(b"data", to=f"{FOLDER}/file")
        mended = True
        await client.upload(b"data", to=f"{FOLDER}/file")
        assert [call.way for call in server.calls if call.operation == "UploadFileChunk"] == ["multipart"]


# ── how a server spells things in envelopes ─────────────────────────────────────────────────────────────────────────


async def test_envelopes_are_spelled_as_the_servers_own_description_has_it(tmp_path: Path) -> None:
    """Asked for once, however many upload at once."""
    settings = dataclasses.replace(PATIENT, encoding="soap")
    async with (
        Emulator(tmp_path / "server", variants=["case-soap"]) as server,
        between(server.url) as proxy,
        Client(proxy.url, user="demo", password="demo", settings=settings) as client,
    ):
        for name, comment in (("one", COMMENT), ("two", ""), ("two", "")):
            await client.upload(b"data", to=f"{FOLDER}/{name}", version_comment=comment)
    assert sum("WSDL" in url for url in proxy.urls) == 1


@pytest.mark.parametrize("status", [200, 404, 500])
async def test_a_server_without_a_description_is_spoken_to_as_documented(
    status: int, emulator: Emulator, tmp_path: Path
) -> None:
    settings = dataclasses.replace(PATIENT, encoding="soap")

    def instead(operation: str, body: bytes) -> tuple[int, bytes] | None:
        return (status, b"<html/>") if operation == "srv.asmx" and not body else None

    async with (
        between(emulator.url, instead=instead) as proxy,
        Client(proxy.url, user="demo", password="demo", settings=settings) as client,
    ):
        await client.upload(b"data", to=f"{FOLDER}/file")
    assert (await emulator.content(f"{FOLDER}/file")).read_bytes() == b"data"


async def test_a_description_that_is_away_for_a_moment_is_asked_for_again(tmp_path: Path) -> None:
    """The documented spelling would not do here."""
    settings = dataclasses.replace(PATIENT, encoding="soap")
    away = [(503, b"busy"), (502, b"<html>bad gateway</html>")]

    def instead(operation: str, body: bytes) -> tuple[int, bytes] | None:
        return away.pop() if operation == "srv.asmx" and not body and away else None

    async with (
        Emulator(tmp_path / "server", variants=["case-soap"]) as server,
        between(server.url, instead=instead) as proxy,
        Client(proxy.url, user="demo", password="demo", settings=settings) as client,
    ):
        await client.upload(b"data", to=f"{FOLDER}/file")
        assert away == []
        assert (await server.content(f"{FOLDER}/file")).read_bytes() == b"data"


# ── trouble ─────────────────────────────────────────────────────────────────────────────────────────────────────────

TROUBLE: dict[str, Hit] = {
    "its reply is lost": "drop-after",
    "it is lost": "drop-before",
    "half an envelope comes back": "truncated-after",
    "half an answer comes back": "half-answer",
    "a page comes back": "html-after",
    "another XML comes back": "other-xml-after",
    "a gateway gives up": "fail-504-after",
    "the server is busy": "refuse-429",
    "its ticket is gone": "expire-ticket",
    "its reply is lost and its ticket gone": ("drop-after", "expire-ticket"),
}


@pytest.mark.parametrize("operation", ["UploadFileChunk", NEW])
@pytest.mark.parametrize("way", ["form", "soap"])
async def test_trouble_with_one_request_leaves_the_document_stored_once(
    way: Way, operation: str, tmp_path: Path
) -> None:
    """The third of four chunks: then the checksum of the whole has to tell whether it stands there twice."""
    waiting = list[Hit]()

    def script(call: Call) -> Hit:
        return waiting.pop() if waiting and call.operation == operation else None

    settings = dataclasses.replace(PATIENT, encoding=way)
    async with against(tmp_path, script, settings) as (server, client):
        for trouble, hit in TROUBLE.items():
            data, to, events = os.urandom(3 * CHUNK + 5), f"{FOLDER}/{trouble}", list[Event]()
            waiting[:] = [hit, None, None] if operation == "UploadFileChunk" else [hit]
            receipt = await client.upload(data, to=to, on_event=events.append)
            assert waiting == [], trouble
            assert (await server.content(to)).read_bytes() == data, trouble
            assert receipt.resent == sum(isinstance(event, ChunkRetried) for event in events), trouble
        assert [len(document.versions) for document in await server.documents()] == [1] * len(TROUBLE)
        assert await server.open_handlers() == []

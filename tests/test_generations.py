"""Against the server that a real WSDL of 2019 describes: no form carries a chunk there, and some operations are not."""

import asyncio
import io
import itertools
import os
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from between import between
from conftest import FOLDER, PATIENT
from troubled import count

from asyncupload import (
    AsyncUploadError,
    ChecksumMismatch,
    Client,
    Event,
    ForeignReply,
    OperationMissing,
    Outcome,
    Properties,
    Restarted,
    ServerError,
)
from asyncupload.emulator import Emulator

pytestmark = pytest.mark.anyio

CHUNK = PATIENT.chunk_size
TO = f"{FOLDER}/report.bin"

PLAIN_500 = (500, b"<html><head><title>500</title></head><body>Internal server error.</body></html>")
"""What stands in place of the framework's words where it is told to keep them to itself."""


def ways(server: Emulator) -> list[str]:
    """Of the chunks that came in, without what was the same as the one before."""
    chunks = (call.way for call in server.calls if call.operation == "UploadFileChunk")
    return [way for way, _ in itertools.groupby(chunks)]


async def pieces(data: bytes) -> AsyncIterator[bytes]:
    for start in range(0, len(data), 100_000):
        yield data[start : start + 100_000]


def on_disk(data: bytes, folder: Path) -> Path:
    (folder / "source").write_bytes(data)
    return folder / "source"


SOURCES: dict[str, Callable[[bytes, Path], Any]] = {
    "path": on_disk,
    "file object": lambda data, _: io.BytesIO(data),
    "stream": lambda data, _: pieces(data),
}


@pytest.mark.parametrize("kind", SOURCES)
async def test_auto_arrives_at_soap_by_itself(kind: str, tmp_path: Path) -> None:
    """In the handler that it has, since the framework says that it could not read the form; and once for all."""
    data, events = os.urandom(2 * CHUNK + 5), list[Event]()
    async with (
        Emulator(tmp_path / "server", generation="2019") as server,
        Client(server.url, user="demo", password="demo", settings=PATIENT) as client,
    ):
        receipt = await client.upload(SOURCES[kind](data, tmp_path), to=TO, on_event=events.append)
        assert (await server.content(TO)).read_bytes() == data
        assert (receipt.restarted, receipt.chunks, receipt.verified_by) == (0, 3, "staged checksum")
        assert ways(server) == ["multipart", "soap"]
        assert not any(isinstance(event, Restarted) for event in events)
        assert count(server, "CreateUploadHandler") == 2, "one for the file, and one to try ways with"
        assert await server.open_handlers() == []
        await client.upload(data, to=f"{FOLDER}/next.bin")
        assert ways(server) == ["multipart", "soap"]
        assert count(server, "CreateUploadHandler") == 3


@pytest.mark.parametrize("kind", SOURCES)
async def test_a_500_without_the_frameworks_words_leads_there_too(kind: str, tmp_path: Path) -> None:
    """That may come of a chunk that was appended: all goes into another handler, a stream too, since nothing was
    acknowledged."""
    data = os.urandom(2 * CHUNK + 5)

    def unsaid(operation: str, body: bytes) -> tuple[int, bytes] | None:
        return PLAIN_500 if operation == "UploadFileChunk" else None

    async with (
        Emulator(tmp_path / "server", generation="2019") as server,
        between(server.url, instead=unsaid) as proxy,
        Client(proxy.url, user="demo", password="demo", settings=PATIENT) as client,
    ):
        receipt = await client.upload(SOURCES[kind](data, tmp_path), to=TO)
        assert (await server.content(TO)).read_bytes() == data
        assert receipt.restarted == 0
        assert count(server, "CreateUploadHandler") == 3
        assert await server.open_handlers() == []


async def test_many_uploads_at_once_try_once(tmp_path: Path) -> None:
    contents = {f"{FOLDER}/{number}": os.urandom(1000 + number) for number in range(8)}
    async with (
        Emulator(tmp_path / "server", generation="2019") as server,
        Client(server.url, user="demo", password="demo", settings=PATIENT) as client,
    ):
        await asyncio.gather(*(client.upload(data, to=to) for to, data in contents.items()))
        for to, data in contents.items():
            assert (await server.content(to)).read_bytes() == data
        assert count(server, "CreateUploadHandler") == len(contents) + 1
        assert await server.open_handlers() == []


async def test_a_500_that_passes_is_not_taken_for_the_encoding(tmp_path: Path) -> None:
    """The same way is tried with a byte first."""
    async with (
        Emulator(tmp_path / "server") as server,
        Client(server.url, user="demo", password="demo", settings=PATIENT) as client,
    ):
        server.fail("refuse-500", operation="UploadFileChunk")
        await client.upload(b"data", to=TO)
        assert ways(server) == ["multipart"]


async def test_a_server_that_takes_no_forms_is_spoken_to_in_soap_from_the_login_on(tmp_path: Path) -> None:
    async with (
        Emulator(tmp_path / "server", generation="2019", variants=["no-forms"]) as server,
        Client(server.url, user="demo", password="demo", settings=PATIENT) as client,
    ):
        await client.upload(b"data", to=TO)
        assert {call.way for call in server.calls} == {"soap"}


@pytest.mark.parametrize("operation", ["AuthenticateUser", "ServerInfo"])
async def test_a_server_that_takes_no_forms_and_does_not_say_so_is_spoken_to_in_soap(
    operation: str, tmp_path: Path
) -> None:
    """Strangers are shown a page in place of the framework's words, and forms are not for strangers."""
    page = b"<html><head><title>Laufzeitfehler</title><style>" + b"p {color: red} " * 300 + b"</style></head><body>"
    untold = (
        500,
        page + b"<h1>Serverfehler in der Anwendung</h1> &lt;customErrors mode=&quot;Off&quot;/&gt;</body></html>",
    )

    def refused(asked: str, body: bytes) -> tuple[int, bytes] | None:
        return None if asked == "srv.asmx" else untold

    async with (
        Emulator(tmp_path / "server", generation="2019") as server,
        between(server.url, instead=refused) as proxy,
        Client(proxy.url, user="demo", password="demo", settings=PATIENT) as client,
    ):
        if operation == "ServerInfo":
            assert (await client.check()).encodings == ("soap",)
        await client.upload(b"data", to=TO)
        assert {call.way for call in server.calls} == {"soap"}
        assert [asked for asked, _ in proxy.requests if asked not in {"srv.asmx", "UploadFileChunk"}] == [operation]


async def test_chunks_beyond_the_frameworks_limit_get_smaller(tmp_path: Path) -> None:
    """It says so with HTTP 500, in which every other word would leave the chunk's fate open."""
    data = os.urandom(5 * CHUNK)
    too_long = b"System.Web.HttpException: Maximum request length exceeded."

    def limited(operation: str, body: bytes) -> tuple[int, bytes] | None:
        return (500, too_long) if len(body) > 2 * CHUNK else None

    async with (
        Emulator(tmp_path / "server", generation="2019") as server,
        between(server.url, instead=limited) as proxy,
        Client(proxy.url, user="demo", password="demo", settings=replace(PATIENT, chunk_size=4 * CHUNK)) as client,
    ):
        receipt = await client.upload(data, to=TO)
        assert (await server.content(TO)).read_bytes() == data
        assert (receipt.restarted, receipt.resent, receipt.chunks) == (0, 0, 5)


async def test_a_first_chunk_that_is_blamed_in_another_language_gets_smaller(tmp_path: Path) -> None:
    """A fault of the sender's may be the size. The framework's words come in the language of its installation."""
    data = os.urandom(5 * CHUNK)
    words = "Die Anforderung konnte nicht gelesen werden. ---> Die maximale Länge der Anforderung wurde überschritten."
    fault = f"<faultcode>soap:Client</faultcode><faultstring>{words}</faultstring>"

    def limited(operation: str, body: bytes) -> tuple[int, bytes] | None:
        return (500, f"<Fault>{fault}</Fault>".encode()) if len(body) > 2 * CHUNK else None

    settings = replace(PATIENT, chunk_size=4 * CHUNK, encoding="soap")
    async with (
        Emulator(tmp_path / "server", generation="2019") as server,
        between(server.url, instead=limited) as proxy,
        Client(proxy.url, user="demo", password="demo", settings=settings) as client,
    ):
        receipt = await client.upload(data, to=TO)
        assert (await server.content(TO)).read_bytes() == data
        assert (receipt.restarted, receipt.resent, receipt.chunks) == (0, 0, 5)


CREATE = "UploadNewDocumentWidthHandler"


def asked(server: Emulator, operation: str = CREATE) -> list[tuple[str, bool]]:
    """In which ways, and whether that was done."""
    return [(call.way, call.applied) for call in server.calls if call.operation == operation]


async def test_a_request_in_which_markup_is_suspected_goes_in_an_envelope(tmp_path: Path) -> None:
    """At once, where chunks go raw: a form is looked through before any operation sees it. The next ones go so too."""
    async with (
        Emulator(tmp_path / "server", variants=["request-validation"]) as server,
        Client(server.url, user="demo", password="demo", settings=PATIENT) as client,
    ):
        for name in ("one", "two"):
            receipt = await client.upload(b"data", to=f"{FOLDER}/{name}", version_comment="<b>bold</b> &#1;")
            assert (receipt.resent, receipt.restarted, receipt.not_kept) == (0, 0, ())
        assert asked(server) == [("form", False), ("soap", True), ("soap", True)]
        assert ways(server) == ["multipart"]
        assert [document.latest.comment for document in await server.documents()] == ["<b>bold</b> &#1;"] * 2


async def test_a_server_that_keeps_its_suspicion_to_itself_is_spoken_to_as_chunks_are(tmp_path: Path) -> None:
    """A bare HTTP 500 to a request that stores would leave open whether it did. Where chunks have found their way to
    SOAP, no form is tried."""

    def unsaid(operation: str, body: bytes) -> tuple[int, bytes] | None:
        return PLAIN_500 if operation in {CREATE, "UploadFileChunk"} else None

    async with (
        Emulator(tmp_path / "server", generation="2019") as server,
        between(server.url, instead=unsaid) as proxy,
        Client(proxy.url, user="demo", password="demo", settings=PATIENT) as client,
    ):
        await client.upload(b"data", to=TO)
        assert asked(server) == [("soap", True)]


async def test_a_way_that_was_chosen_is_told_of_markup_at_once(tmp_path: Path) -> None:
    """And that nothing was stored is certain."""
    async with (
        Emulator(tmp_path / "server", variants=["request-validation"]) as server,
        Client(server.url, user="demo", password="demo", settings=replace(PATIENT, encoding="multipart")) as client,
    ):
        with pytest.raises(ForeignReply, match="let the encoding be auto or soap") as caught:
            await client.upload(b"data", to=TO)
        assert (caught.value.outcome, caught.value.transient) == (Outcome.NOT_APPLIED, False)
        assert asked(server) == [("form", False)]
        assert (await server.documents(), await server.open_handlers()) == ([], [])


@pytest.mark.parametrize("password", ["a<b", "opening-words<b>closing-words-of-some-length", "&#38;"])
async def test_a_password_in_which_markup_is_suspected_logs_in_and_is_not_quoted(password: str, tmp_path: Path) -> None:
    """The framework quotes a part of it, which nobody could know for a part of a secret."""
    how = {"generation": "2019", "users": {"demo": password}}
    async with Emulator(tmp_path / "server", **how) as server:  # type: ignore[arg-type]
        async with Client(server.url, user="demo", password=password, settings=PATIENT) as client:
            await client.upload(b"data", to=TO)
        chosen = replace(PATIENT, encoding="form")
        async with Client(server.url, user="demo", password=password, settings=chosen) as client:
            with pytest.raises(ForeignReply, match="PWD=") as caught:
                await client.check()
    shown = f"{caught.value} {caught.value.excerpt}"
    assert not [part for part in ("a<b", "words", "&#38") if part in shown]


@pytest.mark.parametrize("encoding", ["multipart", "form"])
async def test_a_way_that_was_chosen_and_cannot_be_read_fails_at_once(encoding: Any, tmp_path: Path) -> None:
    """And not after the time for which a server in trouble is outwaited."""
    async with (
        Emulator(tmp_path / "server", generation="2019") as server,
        Client(server.url, user="demo", password="demo", settings=replace(PATIENT, encoding=encoding)) as client,
    ):
        with pytest.raises(ForeignReply, match=r"Request format is invalid|Cannot convert"):
            await client.upload(b"data", to=TO)
        assert count(server, "UploadFileChunk") == 1
        assert await server.open_handlers() == []


@pytest.mark.parametrize(("before", "error"), [(False, ForeignReply), (True, ServerError)])
async def test_an_offset_beyond_32_bits_is_not_asked_for_again(
    before: bool, error: type[AsyncUploadError], tmp_path: Path
) -> None:
    """As of a document of more than 2 GiB: in a form, and in an envelope once there was an upload."""
    async with (
        Emulator(tmp_path / "server", generation="2019") as server,
        Client(server.url, user="demo", password="demo", settings=PATIENT) as client,
    ):
        patience = client._patience
        await (client.upload(b"data", to=TO) if before else patience.persist(patience.remote.log_in))
        with pytest.raises(error, match=r"3000000000 to System\.Int32|unable to read request"):
            await patience.persist(lambda: patience.remote.read_chunk("", 3_000_000_000, 1))
        assert count(server, "DownloadFileChunk") == 1


@pytest.mark.parametrize(
    ("generation", "variants", "taken"),
    [
        ("2019", (), ("soap",)),
        ("2019", ("no-forms",), ("soap",)),
        ("2026", (), ("multipart", "form", "soap")),
        ("2026", ("no-multipart", "no-soap"), ("form",)),
        ("2026", ("no-multipart", "no-base64", "no-soap"), ()),
    ],
)
async def test_check_tells_what_was_tried(
    generation: str, variants: tuple[str, ...], taken: tuple[str, ...], tmp_path: Path
) -> None:
    """On a handler that is deleted; the next upload begins with the first of them."""
    async with (
        Emulator(tmp_path / "server", generation=generation, variants=variants) as server,
        Client(server.url, user="demo", password="demo", settings=PATIENT) as client,
    ):
        assert (await client.check()).encodings == taken
        assert await server.open_handlers() == []
        before = len(server.calls)
        if taken:
            await client.upload(b"data", to=TO)
            assert {call.way for call in server.calls[before:] if call.operation == "UploadFileChunk"} == {taken[0]}


# ── operations that are not there ───────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("encoding", ["auto", "soap"])
async def test_an_archive_is_not_sent_to_a_server_that_does_not_unpack(encoding: Any, tmp_path: Path) -> None:
    async with (
        Emulator(tmp_path / "server", generation="2019") as server,
        Client(server.url, user="demo", password="demo", settings=replace(PATIENT, encoding=encoding)) as client,
    ):
        for _ in range(2):
            with pytest.raises(OperationMissing, match="nothing was sent") as caught:
                await client.upload_zip(b"PK" * CHUNK, to=FOLDER)
            assert caught.value.operation == "UploadZipWithHandler"
        assert count(server, "CreateUploadHandler") == count(server, "UploadZipWithHandler") == 0


async def test_a_server_that_keeps_its_description_to_itself_is_told_an_archive_once(tmp_path: Path) -> None:
    """With all bytes there, it says that it has no such operation: that is no unknown outcome."""
    async with (
        Emulator(tmp_path / "server", missing=["UploadZipWithHandler"], variants=["no-soap"]) as server,
        Client(server.url, user="demo", password="demo", settings=PATIENT) as client,
    ):
        for kind in (ForeignReply, OperationMissing):
            with pytest.raises(kind) as caught:
                await client.upload_zip(b"PK" * 1000, to=FOLDER)
            assert caught.value.outcome is Outcome.NOT_APPLIED
        assert count(server, "UploadZipWithHandler") == 1
        assert await server.open_handlers() == []


@pytest.mark.parametrize("variants", [(), ("missing-404",)])
@pytest.mark.parametrize("encoding", ["multipart", "soap"])
@pytest.mark.parametrize("operation", ["UploadDocumentWithHandler1", "UploadDocumentWithHandler3"])
async def test_a_request_to_store_that_the_server_does_not_know_is_no_unknown_outcome(
    operation: str, encoding: Any, variants: tuple[str, ...], tmp_path: Path
) -> None:
    """Another operation takes its place, once per client."""
    settings = replace(PATIENT, encoding=encoding, timeouts=replace(PATIENT.timeouts, settle=0.5))
    given = Properties(description="x") if operation.endswith("3") else Properties()
    async with (
        Emulator(
            tmp_path / "server", missing=[operation, "UploadNewDocumentWidthHandler"], variants=variants
        ) as server,
        Client(server.url, user="demo", password="demo", settings=settings) as client,
    ):
        for name in ("a.bin", "b.bin"):
            receipt = await client.upload(b"data", to=f"{FOLDER}/{name}", version_comment="x", properties=given)
            assert (receipt.status, receipt.restarted) == ("stored", 0)
        assert count(server, operation) <= 2, "a bare 404 is asked about once"
        assert await server.open_handlers() == []


MISSING: dict[str, tuple[str, ...]] = {
    "nothing": (),
    "the information by version": ("GetDownloadInfoByVersion",),
    "all information": ("GetDownloadInfoByVersion", "GetDownloadInfo"),
    "the download by version": ("GetDownloadHandlerByVersion",),
    "all that goes by version": ("GetDownloadInfoByVersion", "GetDownloadHandlerByVersion"),
    "all but the plainest": ("GetDownloadInfoByVersion", "GetDownloadInfo", "GetDownloadHandlerByVersion"),
}


@pytest.mark.parametrize("encoding", ["auto", "soap"])
@pytest.mark.parametrize("variants", [(), ("missing-404",)])
@pytest.mark.parametrize("missing", MISSING)
async def test_a_document_is_compared_and_fetched_with_what_there_is(
    missing: str, variants: tuple[str, ...], encoding: Any, tmp_path: Path
) -> None:
    """And what is missing is asked for once."""
    data, lacking = os.urandom(CHUNK + 5), MISSING[missing]
    async with (
        Emulator(tmp_path / "server", missing=lacking, variants=variants) as server,
        Client(server.url, user="demo", password="demo", settings=replace(PATIENT, encoding=encoding)) as client,
    ):
        receipt = await client.upload(data, to=TO)
        for _ in range(2):
            assert (await client.verify(data, TO)).verified_by == "stored checksum"
            assert (await client.verify(data, TO, deep=True)).verified_by == "bytes"
            assert (await client.describe(TO)).size == len(data)
            await client.download(TO, tmp_path / "back", version=receipt.version_id)
            assert (tmp_path / "back").read_bytes() == data
        assert {operation: count(server, operation) for operation in lacking} == dict.fromkeys(lacking, 1)


async def test_size_and_checksum_of_a_version_are_told_without_staging_a_download(tmp_path: Path) -> None:
    async with (
        Emulator(tmp_path / "server", generation="2019") as server,
        Client(server.url, user="demo", password="demo", settings=PATIENT) as client,
    ):
        receipt = await client.upload(b"old", to=TO)
        await client.upload(b"new!", to=TO)
        assert (await client.describe(TO, version=receipt.version_id)).size == 3
        assert (await client.describe(TO)).size == 4
        await client.verify(b"new!", TO)
        with pytest.raises(ChecksumMismatch, match="4 bytes are stored"):
            await client.verify(b"other size", TO, deep=True)
        assert count(server, "GetDownloadHandler") == count(server, "GetDownloadHandlerByVersion") == 0


async def test_an_old_version_that_cannot_be_asked_for_is_not_mistaken_for_another(tmp_path: Path) -> None:
    async with (
        Emulator(tmp_path / "server", missing=MISSING["all that goes by version"]) as server,
        Client(server.url, user="demo", password="demo", settings=PATIENT) as client,
    ):
        receipt = await client.upload(b"old", to=TO)
        await client.upload(b"new!", to=TO)
        for _ in range(2):
            with pytest.raises(OperationMissing, match="reads a version by its number"):
                await client.download(TO, tmp_path / "back", version=receipt.version_id)
        assert not (tmp_path / "back").exists()
        assert (await client.describe(TO)).size == 4

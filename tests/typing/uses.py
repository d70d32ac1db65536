"""How the package is used, for type checkers: `make check` has mypy and pyright read this, and nothing runs it.

Pyright comes as basedpyright, which brings its Node along.

Where a use is wrong, a comment says which complaint is expected; both checkers complain of a comment without need.
"""

import io
import os
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, Literal, assert_type

import aiofiles
import aiohttp
from fastapi import FastAPI, HTTPException, Request
from opentelemetry import trace
from prometheus_client import CollectorRegistry

from asyncupload import (
    AsyncUploadError,
    ChunkRetried,
    ChunkSent,
    Client,
    Committing,
    Downloaded,
    Event,
    Failed,
    FileSource,
    HandlerOpened,
    IteratorSource,
    Listener,
    Loss,
    NotFound,
    Observer,
    Outcome,
    OutcomeUnknown,
    PathSource,
    Properties,
    Receipt,
    Restarted,
    Retries,
    ServerError,
    Settings,
    Source,
    Stored,
    StoredDocument,
    Timeouts,
    Verified,
    VersionNumber,
)
from asyncupload.emulator import Emulator, ThreadedEmulator, at
from asyncupload.telemetry.otel import Tracing
from asyncupload.telemetry.prometheus import Metrics

TO = "/Library/a.txt"


async def pieces() -> AsyncIterator[bytes]:
    yield b"content"


async def every_kind_of_source(client: Client) -> None:
    assert_type(await client.upload("a.txt", to=TO), Receipt)
    await client.upload(Path("a.txt"), to=TO)
    await client.upload(b"content", to=TO)
    await client.upload(bytearray(b"content"), to=TO)
    await client.upload(memoryview(b"content"), to=TO)
    await client.upload(io.BytesIO(b"content"), to=TO)
    with tempfile.TemporaryFile() as file:
        await client.upload(file, to=TO)
    with tempfile.SpooledTemporaryFile() as spooled:
        await client.upload(spooled, to=TO)
    async with aiofiles.open("a.txt", "rb") as asynchronous:
        await client.upload(asynchronous, to=TO)
    await client.upload(pieces(), to=TO)
    await client.upload(IteratorSource(pieces(), size=7, name="stream"), to=TO)
    sources: list[Source] = [PathSource("a.txt"), FileSource(io.BytesIO(b"content"))]
    await client.upload(sources[0], to=TO)


async def what_cannot_be_uploaded(client: Client) -> None:
    await client.upload(17, to=TO)  # type: ignore[arg-type]
    await client.upload([b"content"], to=TO)  # type: ignore[arg-type]
    await client.upload(io.StringIO("text"), to=TO)  # type: ignore[arg-type]
    await client.upload(b"content", TO)  # type: ignore[call-arg]
    await client.upload(b"content")  # type: ignore[call-arg]
    await client.upload(b"content", to=Path(TO))  # type: ignore[arg-type]


async def choices(client: Client) -> None:
    await client.upload(b"content", to=TO, if_exists="skip")
    await client.upload(b"content", to=TO, if_exists="overwrite")  # type: ignore[arg-type]
    await client.upload(b"content", to=TO, properties=Properties(keywords="a", version=VersionNumber(2, 0, 1)))
    await client.upload(b"content", to=TO, properties={"keywords": "a"})  # type: ignore[arg-type]


def told(event: Event) -> str:  # noqa: PLR0911  (as many as there are events)
    match event:
        case HandlerOpened(handler=handler, size=size):
            assert_type(size, int | None)
            return handler
        case ChunkSent(sent=sent, size=size) if size is not None:
            return f"{sent * 100 // size} %"
        case ChunkRetried(wait=wait, reason=reason):
            return f"{reason}, again in {wait:.1f} s"
        case Restarted(reason=reason):
            return reason
        case Committing():
            return "storing"
        case Stored(receipt=receipt):
            assert_type(receipt, Receipt)
            return str(receipt.document_id)
        case Failed(error=error, status=status):
            assert_type(error, BaseException)
            assert_type(status, Literal["unknown", "failed", "cancelled"])
            return status
        case _:
            return ""


async def awaited(event: Event) -> None: ...


class Bar:
    def __call__(self, event: Event) -> None: ...


async def listeners(client: Client) -> None:
    heard: list[Event] = []
    listener: Listener = heard.append
    await client.upload(b"content", to=TO, on_event=listener)
    await client.upload(b"content", to=TO, on_event=lambda event: print(told(event)))
    await client.upload(b"content", to=TO, on_event=Bar())
    await client.upload(b"content", to=TO, on_event=print)
    await client.upload(b"content", to=TO, on_event=lambda: None)  # type: ignore[arg-type, misc]
    await client.upload(b"content", to=TO, on_event=awaited)  # type: ignore[arg-type]
    await client.upload(b"content", to=TO, on_event=told)  # type: ignore[arg-type]
    Stored(path=TO)  # type: ignore[call-arg]
    ChunkSent(path=TO, number=1, sent=1, size=None).sent = 2  # type: ignore[misc]


async def what_a_receipt_tells(client: Client) -> None:
    receipt = await client.upload(b"content", to=TO)
    assert_type(receipt.status, Literal["stored", "unchanged"])
    assert_type(receipt.document_id, int | None)
    assert_type(receipt.crc32, int)
    assert_type(receipt.times.network, float)
    receipt.size = 0  # type: ignore[misc]
    assert_type(await client.download(TO, "a.txt"), Downloaded)
    assert_type(await client.verify("a.txt", TO, deep=True), Verified)
    assert_type(await client.describe(TO), StoredDocument)
    assert_type(await client.preview("a.txt", to=TO), Literal["new", "version", "unchanged"])


async def errors(client: Client) -> str | None:
    try:
        await client.upload(b"content", to=TO)
    except OutcomeUnknown:
        return "look whether it is there"
    except NotFound as error:
        assert_type(error.code, int | None)
    except ServerError as error:
        assert_type(error.outcome, Outcome)
    except AsyncUploadError as error:
        assert_type(error.transient, bool)
        assert_type(error.retry_after, float | None)
    return None


def settings() -> Settings:
    def always_anew(loss: Loss) -> bool:
        assert_type(loss.size, int | None)
        return False

    Settings(encoding="carrier pigeon")  # type: ignore[arg-type]
    Settings(1024 * 1024)  # type: ignore[call-arg]
    return Settings(
        chunk_size=4 * 1024 * 1024,
        timeouts=Timeouts(finalize=3600),
        retries=Retries(attempts=20),
        encoding="form",
        prove=always_anew,
    )


async def clients() -> None:
    environment = os.environ
    async with Client("https://host", user="demo", password=environment["PASSWORD"], settings=settings()) as client:
        assert_type(client, Client)
        assert_type(client.settings, Settings)
    async with aiohttp.ClientSession(trace_configs=[aiohttp.TraceConfig()]) as session:
        async with Client("https://host", ticket="t", session=session, ca_file=Path("ca.pem")):
            pass
    Client("https://host", "demo", "demo")  # type: ignore[call-arg]
    with Client("https://host"):  # type: ignore[attr-defined]
        pass


def observers() -> Client:
    def of_ones_own() -> Listener:
        return print

    chosen: list[Observer] = [Tracing(trace.get_tracer("a"), paths=True), Metrics(CollectorRegistry()), of_ones_own]
    Client("https://host", observers=[told])  # type: ignore[list-item]
    return Client("https://host", observers=chosen)


app = FastAPI()


@app.put("/files/{name}")
async def put(name: str, request: Request) -> dict[str, Any]:
    client: Client = request.app.state.client
    declared = request.headers.get("content-length")
    source = IteratorSource(request.stream(), size=int(declared) if declared else None, name=name)
    try:
        receipt = await client.upload(source, to=f"/Library/{name}")
    except NotFound as error:
        raise HTTPException(404, str(error)) from error
    return {"id": receipt.document_id}


def test_of_a_backend(asyncupload_emulator: ThreadedEmulator) -> None:
    asyncupload_emulator.fail("drop-after", operation="UploadFileChunk", at=3)
    asyncupload_emulator.fail("drop-after", operation="UploadFileChunk", at="third")  # type: ignore[arg-type]
    (document,) = asyncupload_emulator.documents()
    assert_type(document.path, str)
    assert_type(asyncupload_emulator.content(document.path), bytes)


async def an_emulator_of_ones_own(folder: Path) -> None:
    async with Emulator(folder, script=at({("UploadFileChunk", 2): "tryagain"})) as server:
        assert_type(server.url, str)
        server.fail("forbid")

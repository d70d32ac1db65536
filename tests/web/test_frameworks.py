"""Every example of docs/web.md, behind a real server: relayed whole, or not at all and nothing left."""

import asyncio
import io
import os
import re
from collections.abc import AsyncIterator
from contextlib import suppress

import aiohttp
import pytest
from between import between
from fastapi.responses import PlainTextResponse

import asyncupload
from asyncupload.emulator import Emulator
from asyncupload.settings import DEFAULT_CHUNK
from web.serving import FRAMEWORKS, PAGE, application, backend, browser, example, until

pytestmark = pytest.mark.anyio

TO = "/Library/report.bin"
MIB = 1024 * 1024


async def _pieces(data: bytes, size: int = 70_000) -> AsyncIterator[bytes]:
    for start in range(0, len(data), size):
        yield data[start : start + size]


@pytest.mark.parametrize("framework", FRAMEWORKS)
async def test_a_body_is_relayed_whether_or_not_its_length_is_known(framework: str, server: Emulator) -> None:
    known, unknown = os.urandom(2 * MIB + 1), os.urandom(MIB)
    async with backend(application(example(framework))) as url, aiohttp.ClientSession() as session:
        for data, body in ((known, io.BytesIO(known)), (unknown, _pieces(unknown))):
            async with session.put(f"{url}/files/report.bin", data=body) as answer:
                assert (answer.status, (await answer.json())["size"]) == (200, len(data))
            assert (await server.content(TO)).read_bytes() == data


@pytest.mark.parametrize("framework", FRAMEWORKS)
async def test_a_file_in_a_form_is_stored(framework: str, server: Emulator) -> None:
    """2 MiB and a byte: more than is kept in memory."""
    data = os.urandom(2 * MIB + 1)
    form = aiohttp.FormData()
    form.add_field("file", io.BytesIO(data), filename="report.bin")
    async with backend(application(example(framework))) as url, aiohttp.ClientSession() as session:
        async with session.post(f"{url}/form", data=form) as answer:
            assert answer.status in {200, 201}, await answer.text()
            assert (await answer.json())["size"] == len(data)
    assert (await server.content(TO)).read_bytes() == data


@pytest.mark.parametrize("framework", FRAMEWORKS)
@pytest.mark.parametrize("declared", ["Content-Length: 8000000", "Transfer-Encoding: chunked"])
async def test_a_browser_that_goes_away_leaves_nothing(framework: str, declared: str, server: Emulator) -> None:
    """Fault 28. The server has chunks by then, the body is shorter than declared, or has no end."""
    body = os.urandom(6 * MIB)
    if "chunked" in declared:
        body = b"%x\r\n%s\r\n" % (len(body), body)
    async with backend(application(example(framework))) as url:
        async with browser(f"{url}/files/report.bin", declared) as writer:
            writer.write(body)
            await until(lambda: "UploadFileChunk" in [call.operation for call in server.calls])
        await until(lambda: "DeleteUploadHandler" in [call.operation for call in server.calls])
    assert await server.documents() == []
    assert await server.open_handlers() == []


@pytest.mark.parametrize("framework", FRAMEWORKS)
async def test_a_slow_document_server_holds_the_browser_back(
    framework: str, emulator: Emulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the browser got rid of is bounded by buffers, and not by the length of the body."""
    free, size, taken = asyncio.Event(), 100 * MIB, 0

    async def hold(operation: str) -> None:
        if operation == "UploadFileChunk":
            await free.wait()

    async with between(emulator.url, meanwhile=hold) as slow:
        monkeypatch.setenv("INFOROUTER", slow.url)
        async with (
            backend(application(example(framework))) as url,
            browser(f"{url}/files/report.bin", f"Content-Length: {size}") as writer,
        ):
            with suppress(TimeoutError):
                async with asyncio.timeout(1):
                    while taken < size:
                        writer.write(bytes(MIB))
                        await writer.drain()
                        taken += MIB
            writer.transport.abort()
            free.set()
            await until(lambda: "DeleteUploadHandler" in [call.operation for call in emulator.calls])
    assert taken < 30 * MIB
    assert await emulator.open_handlers() == []


@pytest.mark.parametrize("declared", [MIB - 1, MIB + 1])
async def test_more_or_fewer_bytes_than_declared_elsewhere_are_not_stored(declared: int, server: Emulator) -> None:
    app = application(example("Forms, and how much is known"))

    @app.exception_handler(asyncupload.SourceChanged)  # type: ignore[untyped-decorator]
    async def changed(request: object, error: Exception) -> object:
        return PlainTextResponse(str(error), status_code=400)

    async with backend(app) as url, aiohttp.ClientSession() as session:
        headers = {"Upload-Length": str(declared)}
        async with session.put(f"{url}/files/report.bin", data=bytes(MIB), headers=headers) as answer:
            assert answer.status == 400, await answer.text()
        assert await server.documents() == []
        assert await server.open_handlers() == []
        headers = {"Upload-Length": str(MIB)}
        async with session.put(f"{url}/files/report.bin", data=bytes(MIB), headers=headers) as answer:
            assert answer.status == 200


async def test_progress_as_server_sent_events(server: Emulator) -> None:
    form = aiohttp.FormData()
    form.add_field("file", io.BytesIO(bytes(3 * MIB)), filename="report.bin")
    async with backend(application(example("FastAPI"))) as url, aiohttp.ClientSession() as session:
        async with session.post(f"{url}/form/events", data=form) as answer:
            assert answer.content_type == "text/event-stream"
            told = re.findall(r"event: (\w+)\ndata: {\"sent\": (\w+)", await answer.text())
    assert told[-1][0] == "Stored"
    sent = [int(number) for name, number in told if name == "ChunkSent"]
    assert sent == sorted(sent)
    assert sent[-1] == 3 * MIB


async def test_the_progress_of_a_relay_is_told_in_another_request(server: Emulator) -> None:
    """A chunk leaves when the next one is whole, so that the last one is known as the last."""
    async with (
        backend(application(example("How far it is"))) as url,
        aiohttp.ClientSession() as session,
        browser(f"{url}/files/report.bin", f"Content-Length: {3 * DEFAULT_CHUNK}") as writer,
    ):
        writer.write(bytes(2 * DEFAULT_CHUNK))
        await until(lambda: "UploadFileChunk" in [call.operation for call in server.calls])
        async with session.get(f"{url}/files/report.bin/events") as answer:
            while (line := await answer.content.readline()) != b"data: %d\n" % DEFAULT_CHUNK:
                assert line in {b"data: 0\n", b"\n"}
            writer.write(bytes(DEFAULT_CHUNK))
            await answer.read()
    assert (await server.content(TO)).stat().st_size == 3 * DEFAULT_CHUNK


async def test_an_error_of_ours_is_answered(server: Emulator) -> None:
    """An empty body is no document."""
    async with backend(application(example("FastAPI"))) as url, aiohttp.ClientSession() as session:
        async with session.put(f"{url}/files/report.bin", data=b"") as answer:
            assert answer.status == 502
            assert "empty" in (await answer.json())["error"]


def test_the_errors_in_the_table_exist() -> None:
    table = PAGE.split("## Which status to answer")[1].split("## ")[0]
    names = re.findall(r"`(\w+)`", "".join(line.split("|")[1] for line in table.splitlines() if line.startswith("| `")))
    assert len(names) > 10
    assert all(issubclass(getattr(asyncupload, name), asyncupload.AsyncUploadError) for name in names)

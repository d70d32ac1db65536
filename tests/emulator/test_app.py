"""Routes, fields, bodies: what happens before an operation runs."""

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from asyncupload.emulator import Emulator
from emulator.caller import Caller
from emulator.raw import chunk_body, connected, head

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize(
    "path", ["/srv.asmx/ServerInfo", "/SRV.ASMX/serverinfo", "//srv.asmx/ServerInfo", "/srv.asmx//ServerInfo/"]
)
async def test_a_route_is_found_whatever_its_case_and_slashes(caller: Caller, path: str) -> None:
    for method in ("GET", "POST"):
        async with caller.session.request(method, caller.url + path) as response:
            assert (response.status, "VersionNumber" in await response.text()) == (200, True)


@pytest.mark.parametrize("path", ["/", "/srv.asm", "/srv.asmx/NoSuch", "/srv.asmx/a/b", "/other/srv.asmx/ServerInfo"])
async def test_what_has_no_route_is_a_bare_404(server: Emulator, caller: Caller, path: str) -> None:
    before = len(server.calls)
    async with caller.session.post(caller.url + path, data={"a": "b"}) as response:
        assert (response.status, await response.read()) == (404, b"")
    assert len(server.calls) == before


@pytest.mark.parametrize("prefix", ["/InfoRouter", "InfoRouter/", "/a/b.c"])
async def test_a_virtual_directory_stands_before_the_service(tmp_path: Path, prefix: str) -> None:
    async with Emulator(tmp_path, prefix=prefix) as server, Caller(server.url) as caller:
        assert urlsplit(server.url).path == "/" + prefix.strip("/")
        assert (await caller.call("ServerInfo")).ok
        bare = server.url.removesuffix("/" + prefix.strip("/"))
        async with caller.session.get(f"{bare}/srv.asmx/ServerInfo") as response:
            assert response.status == 404
        async with caller.session.get(f"{server.url.lower()}//srv.asmx/ServerInfo") as response:
            assert response.status == 200


@pytest.mark.parametrize("method", ["PUT", "DELETE", "HEAD", "PATCH"])
async def test_other_methods_are_not_allowed(caller: Caller, method: str) -> None:
    assert (await caller.request(method, "ServerInfo")).status == 405


async def test_field_names_have_any_case_and_unknown_fields_are_ignored(caller: Caller) -> None:
    data = {"aUtHeNtIcAtIoNtIcKeT": caller.ticket, "PATH": "/Library", "nonsense": "1"}
    assert (await caller.request("POST", "FolderExists", data=data)).ok


async def test_a_post_does_not_read_its_query(caller: Caller) -> None:
    said = await caller.request("POST", "FolderExists", params={"Path": "/Library"}, data={"a": "b"})
    assert said.status == 400


@pytest.mark.parametrize("kind", ["application/json", "text/xml", "text/plain"])
async def test_a_body_that_is_no_form_is_unsupported(caller: Caller, kind: str) -> None:
    said = await caller.request("POST", "FolderExists", data=b"{}", headers={"Content-Type": kind})
    assert (said.status, said.root) == (415, None)


async def test_a_body_beyond_the_limit_is_too_large(caller: Caller) -> None:
    reader, writer = await connected(caller.url)
    writer.write(head("UploadFileChunk", "Content-Length: 67108865"))
    assert (await reader.readline()).startswith(b"HTTP/1.1 413")
    writer.close()
    await writer.wait_closed()


@pytest.mark.parametrize("status", [413, 404])
async def test_a_body_of_unknown_length_is_bounded_too(tmp_path: Path, status: int) -> None:
    async def pieces() -> AsyncIterator[bytes]:
        for _ in range(3):
            yield b"a" * 400

    server = Emulator(tmp_path, body_limit=1000, body_limit_status=status)
    async with server, Caller(server.url) as caller:
        assert (await caller.request("POST", "ServerInfo", data=pieces())).status == status
        assert (await caller.request("POST", "ServerInfo", data={"a": "b" * 1000})).status == status
        assert (await caller.request("POST", "ServerInfo", data={"a": "b" * 998})).status == 200


async def test_a_client_that_asks_first_is_told_to_go_on(caller: Caller) -> None:
    said = await caller.request("POST", "ServerInfo", data={"a": "b"}, expect100=True)
    assert said.ok


@pytest.mark.parametrize("abrupt", [True, False])
@pytest.mark.parametrize("missing", [1, 20, 200_000])
async def test_a_body_that_breaks_off_appends_nothing(
    server: Emulator, caller: Caller, missing: int, abrupt: bool
) -> None:
    handler = await caller.open()
    kind, body = chunk_body(caller.ticket, handler, bytes(250_000))
    reader, writer = await connected(caller.url)
    writer.write(head("UploadFileChunk", f"Content-Type: {kind}", f"Content-Length: {len(body)}"))
    writer.write(body[:-missing])
    await writer.drain()
    if abrupt:
        writer.transport.abort()
    else:
        writer.write_eof()
        assert await reader.read() == b""
    writer.close()
    await asyncio.sleep(0.05)
    assert [one.size for one in await server.open_handlers()] == [0]
    assert server.calls[-1].status is None
    assert (await caller.chunk(handler, b"whole", last=True)).ok


async def test_a_client_that_leaves_after_its_last_byte_is_served_all_the_same(
    server: Emulator, caller: Caller
) -> None:
    handler = await caller.open()
    kind, body = chunk_body(caller.ticket, handler, b"data")
    busy = asyncio.create_task(server._store.run(lambda: time.sleep(0.2)))
    _, writer = await connected(caller.url)
    writer.write(head("UploadFileChunk", f"Content-Type: {kind}", f"Content-Length: {len(body)}") + body)
    await asyncio.sleep(0.1)
    writer.transport.abort()
    await busy
    assert [one.size for one in await server.open_handlers()] == [4]
    assert server.calls[-1].status is None


async def test_a_chunked_body_that_breaks_off_appends_nothing(server: Emulator, caller: Caller) -> None:
    handler = await caller.open()
    kind, body = chunk_body(caller.ticket, handler, bytes(1000))
    reader, writer = await connected(caller.url)
    writer.write(head("UploadFileChunk", f"Content-Type: {kind}", "Transfer-Encoding: chunked"))
    writer.write(b"%x\r\n%b\r\n" % (len(body), body))
    await writer.drain()
    writer.write_eof()
    assert await reader.read() == b""
    writer.close()
    assert [one.size for one in await server.open_handlers()] == [0]


async def test_a_chunked_body_that_is_garbled_appends_nothing(server: Emulator, caller: Caller) -> None:
    handler = await caller.open()
    kind, body = chunk_body(caller.ticket, handler, bytes(1000))
    reader, writer = await connected(caller.url)
    writer.write(head("UploadFileChunk", f"Content-Type: {kind}", "Transfer-Encoding: chunked"))
    writer.write(b"%x\r\n%b\r\n" % (len(body), body))
    await writer.drain()
    await asyncio.sleep(0.05)
    writer.write(b"no size\r\n")
    writer.write_eof()
    await reader.read()
    writer.close()
    assert [one.size for one in await server.open_handlers()] == [0]


@pytest.mark.parametrize("cut", [10, 100, -5, -12])
async def test_a_multipart_form_that_is_cut_off_is_a_bad_request(server: Emulator, caller: Caller, cut: int) -> None:
    kind, body = chunk_body(caller.ticket, await caller.open(), b"data")
    said = await caller.request("POST", "UploadFileChunk", data=body[:cut], headers={"Content-Type": kind})
    assert said.status == 400
    assert [one.size for one in await server.open_handlers()] == [0]


async def test_calls_are_recorded_in_order_with_their_numbers(server: Emulator, caller: Caller) -> None:
    await caller.call("serverinfo")
    await caller.call("FolderExists", Path="")
    await caller.call("ServerInfo")
    seen = [(call.operation, call.number, call.fault, call.status) for call in server.calls]
    assert seen == [
        ("AuthenticateUser", 1, None, 200),
        ("ServerInfo", 1, None, 200),
        ("FolderExists", 1, None, 400),
        ("ServerInfo", 2, None, 200),
    ]


async def test_calls_tell_how_they_were_asked(server: Emulator, caller: Caller) -> None:
    await caller.get("ServerInfo")
    await caller.chunk(await caller.open(), b"data")
    assert (await caller.soap("ServerInfo")).ok
    assert [call.way for call in server.calls] == ["form", "query", "form", "multipart", "soap"]

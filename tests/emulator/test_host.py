"""What stands before the service: how long a request may be, and that nobody is told what stood in it."""

import logging

import pytest

from asyncupload.emulator import Emulator
from emulator.caller import Caller
from emulator.raw import connected, hear

pytestmark = pytest.mark.anyio

TICKET = "3f2504e0-4f89-11d3-9a0c-0305e82c3301"


@pytest.mark.parametrize(
    ("characters", "status", "words"), [(3_000, 404, b"File or directory"), (20_000, 400, b"Request Too Long")]
)
async def test_a_chunk_that_is_too_long_for_a_query_is_refused_as_by_iis(
    server: Emulator, caplog: pytest.LogCaptureFixture, characters: int, status: int, words: bytes
) -> None:
    """Whether or not chunks may come by GET: nothing sees the operation."""
    reader, writer = await connected(server.url)
    line = f"GET /srv.asmx/UploadFileChunk?authenticationTicket={TICKET}&fileChunk={'A' * characters} HTTP/1.1"
    with caplog.at_level(logging.DEBUG):
        writer.write(f"{line}\r\nHost: emulator\r\n\r\n".encode())
        heard = await hear(reader)
    writer.close()
    assert heard.status == status
    assert words in heard.body
    assert TICKET.encode() not in heard.raw
    assert TICKET not in caplog.text
    assert server.calls == []


async def test_what_is_no_request_is_not_quoted_either(server: Emulator) -> None:
    reader, writer = await connected(server.url)
    writer.write(f"GET /srv.asmx/LogOut?AuthenticationTicket={TICKET} HTTP/x.y\r\n\r\n".encode())
    heard = await hear(reader)
    writer.close()
    assert (heard.status, TICKET.encode() in heard.raw) == (400, False)


async def test_a_query_of_ordinary_length_passes(server: Emulator) -> None:
    async with Caller(server.url) as caller:
        await caller.sign_in("demo", "demo")
        assert (await caller.get("FolderExists", Path="/Library", x="a" * 1_500)).ok

"""The example that the page of UploadFileChunk gives, sent as it stands there."""

import zlib

import pytest

from asyncupload.emulator import Emulator
from emulator.caller import Caller
from emulator.raw import connected, head, hear

pytestmark = pytest.mark.anyio

TICKET = b"3f2504e0-4f89-11d3-9a0c-0305e82c3301"
HANDLER = b"a1b2c3d4-e5f6-7890-abcd-ef1234567890"
CHUNK, CRC = b"[binary chunk bytes]", b"A3F2B1C0"

EXAMPLE = b"""\
------FormBoundary
Content-Disposition: form-data; name="authenticationTicket"

3f2504e0-4f89-11d3-9a0c-0305e82c3301
------FormBoundary
Content-Disposition: form-data; name="uploadHandler"

a1b2c3d4-e5f6-7890-abcd-ef1234567890
------FormBoundary
Content-Disposition: form-data; name="fileChunk"; filename="chunk"
Content-Type: application/octet-stream

[binary chunk bytes]
------FormBoundary
Content-Disposition: form-data; name="chunkHEXCRC"

A3F2B1C0
------FormBoundary
Content-Disposition: form-data; name="lastChunk"

false
------FormBoundary--
""".replace(b"\n", b"\r\n")
"""The page as it is shown has lost the empty lines, which HTTP wants."""


async def sent(server: Emulator, body: bytes) -> bytes:
    reader, writer = await connected(server.url)
    kind = "Content-Type: multipart/form-data; boundary=----FormBoundary"
    writer.write(head("UploadFileChunk", kind, f"Content-Length: {len(body)}") + body)
    heard = await hear(reader)
    writer.close()
    assert heard.status == 200
    return heard.body


async def test_it_is_understood_as_it_stands(server: Emulator) -> None:
    """Whose ticket it is nobody knows here."""
    assert b'errorCode="4010"' in await sent(server, EXAMPLE)


async def test_with_a_real_ticket_and_handler_its_checksum_does_not_match(server: Emulator, caller: Caller) -> None:
    handler = (await caller.open()).encode()
    body = EXAMPLE.replace(TICKET, caller.ticket.encode()).replace(HANDLER, handler)
    assert b'tryagain="true"' in await sent(server, body)
    assert b'tryagain="false"' in await sent(server, body.replace(CRC, b"%08X" % zlib.crc32(CHUNK)))
    assert [staged.crc for staged in await server.open_handlers()] == [zlib.crc32(CHUNK)]


@pytest.mark.parametrize("before", [b"\r\n", b"\r\n\r\n", b"A preamble.\r\n", b"------Form\r\n------FormBoundaryX\r\n"])
async def test_what_stands_before_the_first_boundary_is_not_read(server: Emulator, before: bytes) -> None:
    assert b'errorCode="4010"' in await sent(server, before + EXAMPLE)

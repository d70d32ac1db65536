"""What the server holds, asked without a file to compare it with."""

import os
import re
import zlib

import pytest
from between import between
from conftest import FOLDER, PATIENT

from asyncupload import Client, NotFound, StoredDocument, UsageError
from asyncupload.emulator import Emulator

pytestmark = pytest.mark.anyio

AT = f"{FOLDER}/report.bin"


async def test_every_version_can_be_described(client: Client) -> None:
    first = await client.upload(b"first", to=AT)
    second = await client.upload(b"the second", to=AT)

    assert await client.describe(AT, version=first.version_id) == StoredDocument(
        path=AT, size=5, crc32=first.crc32, version_id=first.version_id
    )
    latest = StoredDocument(path=AT, size=10, crc32=second.crc32, version_id=second.version_id)
    assert await client.describe(AT, version=second.version_id) == latest
    assert await client.describe(AT) == latest


async def test_no_byte_moves_where_the_server_tells_and_no_handler_is_left(client: Client, emulator: Emulator) -> None:
    await client.upload(b"data", to=AT)
    await client.describe(AT)

    operations = [call.operation for call in emulator.calls]
    assert "DownloadFileChunk" not in operations
    assert not any("Download" in operation and "Handler" in operation for operation in operations)


async def test_what_the_server_does_not_tell_is_computed(emulator: Emulator) -> None:
    def without_checksum(operation: str, body: bytes) -> bytes:
        return re.sub(rb' CRC32="[^"]*"', b"", body) if "Download" in operation else body

    data = os.urandom(PATIENT.chunk_size + 1)
    async with between(emulator.url, answer=without_checksum) as proxy:
        async with Client(proxy.url, user="demo", password="demo", settings=PATIENT) as client:
            await client.upload(data, to=AT)
            assert (await client.describe(AT)).crc32 == zlib.crc32(data)
    assert "DownloadFileChunk" in [call.operation for call in emulator.calls]


async def test_what_is_not_there_is_said(client: Client) -> None:
    with pytest.raises(NotFound):
        await client.describe(AT)
    await client.upload(b"data", to=AT)
    with pytest.raises(NotFound):
        await client.describe(AT, version=9_000_000)
    with pytest.raises(UsageError):
        await client.describe("report.bin")

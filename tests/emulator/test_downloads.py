"""Reading documents back in chunks."""

import base64
import uuid
import zlib

import pytest

from asyncupload.emulator import Emulator
from emulator.caller import Caller, Said

pytestmark = pytest.mark.anyio

CONTENT = bytes(range(256)) * 4


async def piece(caller: Caller, download: str, start: int, size: int) -> Said:
    fields = {"DownloadHandler": download, "StartOffset": str(start), "ChunkSize": str(size)}
    return await caller.call("DownloadFileChunk", **fields)


async def opened(caller: Caller, path: str = "/Library/a.txt") -> str:
    return (await caller.call("GetDownloadHandler", Path=path))["downloadhandler"]


async def test_a_download_is_described_without_being_opened(caller: Caller) -> None:
    await caller.store("/Library/a.txt", CONTENT)
    said = await caller.call("GetDownloadInfo", Path="/Library/a.txt")
    assert (said["Size"], said["CRC32"]) == ("1024", f"{zlib.crc32(CONTENT):08x}")
    assert (said["VersionNumber"], said["ContentType"], said["RenderedContent"]) == ("1000000", "text/plain", "false")
    assert "downloadhandler" not in said.document.attrib


async def test_a_document_comes_back_in_pieces(caller: Caller) -> None:
    await caller.store("/Library/a.txt", CONTENT)
    said = await caller.call("GetDownloadHandler", Path="/Library/a.txt", PreferedChunkSize="300000")
    assert (said["ChunkSize"], said["Size"], said["AlterDocumentName"]) == ("300000", "1024", "a.txt")
    back, last = b"", "false"
    while last == "false":
        part = await piece(caller, said["downloadhandler"], len(back), 300)
        data = base64.b64decode(part.document.text or "")
        assert (part["chunklength"], part["filelength"]) == (str(len(data)), "1024")
        assert int(part["chunkCRC32"], 16) == zlib.crc32(data)
        back, last = back + data, part["lastchunk"]
    assert back == CONTENT


async def test_a_piece_of_no_size_is_as_large_as_negotiated(caller: Caller) -> None:
    await caller.store("/Library/a.txt", CONTENT)
    assert (await piece(caller, await opened(caller), 0, 0))["chunklength"] == "1024"


async def test_a_piece_is_never_larger_than_the_largest_chunk(caller: Caller) -> None:
    handler = await caller.open(33_554_432)
    await caller.chunk(handler, bytes(33_554_432))
    await caller.chunk(handler, b"!", last=True)
    await caller.call("UploadDocumentWithHandler", path="/Library/a.txt", uploadHandler=handler)
    said = await piece(caller, await opened(caller), 0, 40_000_000)
    assert (said["chunklength"], said["lastchunk"]) == ("33554432", "false")


@pytest.mark.parametrize(("start", "size"), [(-1, 10), (1024, 10), (1 << 40, 10), (0, -1)])
async def test_a_piece_outside_the_document_is_refused(caller: Caller, start: int, size: int) -> None:
    await caller.store("/Library/a.txt", CONTENT)
    assert (await piece(caller, await opened(caller), start, size)).code == "4000"


async def test_versions_are_opened_by_number(server: Emulator, caller: Caller) -> None:
    await caller.store("/Library/a.txt", b"first")
    await server.set_checkout("/Library/a.txt", "demo")
    xml = '<x><item NAME="PUBLISHOPTION" VALUE="DontPublish"/></x>'
    handler = await caller.staged(b"second")
    await caller.call("UploadDocumentWithHandler3", path="/Library/a.txt", uploadHandler=handler, xmlParameters=xml)
    for number, text in ((1_000_000, "first"), (1_000_001, "second"), (0, "first")):
        said = await caller.call("GetDownloadHandlerByVersion", Path="/Library/a.txt", VersionNumber=str(number))
        assert said["VersionNumber"] == str(number)
        part = await piece(caller, said["downloadhandler"], 0, 100)
        assert base64.b64decode(part.document.text or "").decode() == text
    missing = await caller.call("GetDownloadHandlerByVersion", Path="/Library/a.txt", VersionNumber="1000002")
    assert missing.code == "4041"


async def test_a_download_handler_is_its_users_own(caller: Caller, other: Caller) -> None:
    await caller.store("/Library/a.txt", CONTENT)
    download = await opened(caller)
    assert (await piece(other, download, 0, 10)).code == "4000"
    assert (await other.call("DeleteDownloadHandler", DownloadHandler=download)).ok
    assert (await piece(caller, download, 0, 10)).ok


async def test_a_deleted_download_handler_is_gone(caller: Caller) -> None:
    await caller.store("/Library/a.txt", CONTENT)
    download = await opened(caller)
    for _ in range(2):
        assert (await caller.call("DeleteDownloadHandler", DownloadHandler=download)).ok
    said = await piece(caller, download, 0, 10)
    assert (said.code, said["error"]) == ("4000", f"Invalid download handler. ({download})")


async def test_a_download_handler_that_is_no_guid(caller: Caller) -> None:
    assert (await caller.call("DeleteDownloadHandler", DownloadHandler="x"))["error"] == "bad Request"
    assert (await piece(caller, "x", 0, 10)).code == "4000"


@pytest.mark.parametrize("operation", ["GetDownloadInfo", "GetDownloadHandler", "GetDownloadHandlerByVersion"])
async def test_what_cannot_be_downloaded(caller: Caller, operation: str) -> None:
    assert (await caller.call(operation, Path="/Library/none")).code == "4041"
    assert (await caller.call(operation, Path="")).status == 400
    caller.ticket = str(uuid.uuid4())
    assert (await caller.call(operation, Path="/Library/none")).code == "4010"

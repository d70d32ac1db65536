"""Servers that lack operations: nobody waits for one to come."""

import asyncio
from pathlib import Path

import pytest

from asyncupload import Client, ForeignReply
from asyncupload.emulator import Emulator

pytestmark = pytest.mark.anyio

AT_ONCE = 20.0
"""Seconds, on a busy machine; a server that is away is waited for fifteen times as long."""

NOT_NEEDED = (
    "GetDownloadInfoByVersion",
    "GetDownloadInfo",
    "GetDownloadHandlerByVersion",
    "GetDownloadHandler",
    "GetDocumentVersions",
    "UploadNewDocumentWidthHandler",
    "GetFolderRules",
    "GetGeneralAppSettings",
)


async def _store_twice(client: Client) -> None:
    for content in (b"first", b"second"):
        await client.upload(content, to="/Library/a.bin")


@pytest.mark.parametrize("operation", NOT_NEEDED)
@pytest.mark.parametrize(
    "variants", [[], ["missing-404"], ["no-filehexcrc"], ["no-filehexcrc", "missing-404"]], ids=str
)
async def test_what_is_not_needed_is_done_without(tmp_path: Path, operation: str, variants: list[str]) -> None:
    async with (
        Emulator(tmp_path, missing=[operation], variants=variants) as server,
        Client(server.url, user="demo", password="demo") as client,
        asyncio.timeout(AT_ONCE),
    ):
        await _store_twice(client)
        (document,) = await server.documents()
        assert len(document.versions) == 2


@pytest.mark.parametrize("operation", ["FolderExists", "DocumentExists", "CreateUploadHandler", "Lock"])
async def test_what_is_needed_is_missed_at_once(tmp_path: Path, operation: str) -> None:
    async with (
        Emulator(tmp_path, missing=[operation], variants=["no-soap"]) as server,
        Client(server.url, user="demo", password="demo") as client,
        asyncio.timeout(AT_ONCE),
    ):
        with pytest.raises(ForeignReply, match="method name is not valid"):
            await _store_twice(client)
        assert await server.open_handlers() == []
        assert await server.checkouts() == {}

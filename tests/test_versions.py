"""Documents with so many versions, or such long comments, that their list is longer than other answers."""

from pathlib import Path

import pytest

from asyncupload import Client
from asyncupload.emulator import Emulator

pytestmark = pytest.mark.anyio

COMMENT = "what was changed, and why. " * 1100


async def test_another_version_is_added_where_the_list_of_them_is_longer_than_a_mebibyte(tmp_path: Path) -> None:
    async with Emulator(tmp_path / "server", users={"jsmith": "secret"}, folders=["/Library"]) as server:
        async with Client(server.url, user="jsmith", password="secret") as client:
            for number in range(1, 40):
                await client.upload(b"%d" % number, to="/Library/a.txt", version_comment=COMMENT)
            receipt = await client.upload(b"40", to="/Library/a.txt", version_comment=COMMENT)
            (document,) = await server.documents()
            assert len(document.versions) == 40 > 1024 * 1024 / len(COMMENT)
            assert receipt.version_id == document.versions[-1].number
            assert (await client.describe("/Library/a.txt")).size == 2

"""A file on its way: the same bytes, hashed in the same pass, no faster than allowed."""

import hashlib
import os
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import anyio
import pytest
from conftest import FOLDER
from troubled import against, count

from asyncupload import BytesSource, Source, SourceChanged
from asyncupload.bulk.watched import Rate, WatchedSource
from asyncupload.sources import PathSource

pytestmark = pytest.mark.anyio


def watched(source: Source, *, limit: int | None = None, hashed: bool = True) -> WatchedSource:
    return WatchedSource(source, Rate(limit), hashed=hashed, threads=anyio.CapacityLimiter(1))


async def passed(source: WatchedSource, size: int = 1000) -> bytes:
    with ThreadPoolExecutor(1) as threads:
        async with source.open(threads) as content:
            return b"".join([bytes(chunk) async for chunk in content.chunks(size)])


async def test_the_bytes_and_their_sha256_come_out_of_one_pass() -> None:
    data = os.urandom(12_345)
    source = watched(BytesSource(data))
    assert await passed(source) == data
    assert source.sha256 == hashlib.sha256(data).hexdigest()


async def test_nobody_hashes_unasked() -> None:
    source = watched(BytesSource(b"data"), hashed=False)
    await passed(source)
    assert source.sha256 == ""


async def test_a_pass_that_breaks_off_leaves_no_sum(tmp_path: Path) -> None:
    path = tmp_path / "growing"
    path.write_bytes(b"x" * 500_000)
    source = watched(PathSource(path))

    async def written_to_meanwhile() -> None:
        with ThreadPoolExecutor(1) as threads:
            async with source.open(threads) as content:
                async for _ in content.chunks(100_000):
                    path.write_bytes(b"y" * 600_000)

    with pytest.raises(SourceChanged):
        await written_to_meanwhile()
    assert source.sha256 == ""


async def test_it_is_called_and_reread_as_the_file_is(tmp_path: Path) -> None:
    source = watched(PathSource(tmp_path / "name"))
    assert source.name == str(tmp_path / "name")
    assert source.rereadable


async def test_an_upload_that_begins_anew_is_hashed_anew(tmp_path: Path) -> None:
    """The sum is of the pass that was stored, not of one and a half."""
    data = os.urandom(600_000)
    lost = {("UploadFileChunk", 2): "lose-handler"}
    async with against(tmp_path, lambda call: lost.get((call.operation, call.number))) as (server, client):
        source = watched(BytesSource(data))
        receipt = await client.upload(source, to=f"{FOLDER}/twice.bin")
        assert receipt.restarted == 1
        assert count(server, "CreateUploadHandler") == 2
    assert source.sha256 == hashlib.sha256(data).hexdigest()


async def test_all_files_together_keep_to_the_rate() -> None:
    """A thousandth of a second per kilobyte: the waits add up to what the bytes are worth, whoever reads them."""
    rate, began = Rate(1_000_000), time.monotonic()
    for _ in range(10):
        await rate.take(10_000)
    assert time.monotonic() - began >= 0.09, "the last one may leave when the nine before are paid for"
    assert rate.waited > 0.0


async def test_without_a_limit_nobody_waits() -> None:
    rate = Rate(None)
    await rate.take(10**15)
    assert rate.waited == 0.0

"""Chunks that a handler refused are cut anew for another: the same bytes, and no more of them in memory."""

import asyncio
import zlib
from collections.abc import AsyncGenerator
from dataclasses import replace

import anyio
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from test_pipeline import Endless

from asyncupload._cutting import ChunkBuffer
from asyncupload._pipeline import SealedChunk, sealed_chunks
from asyncupload._recut import Recut

pytestmark = pytest.mark.anyio


async def _chunks(data: bytes, size: int) -> AsyncGenerator[ChunkBuffer, None]:
    for start in range(0, len(data), size):
        yield bytearray(data[start : start + size])


async def _recut(data: bytes, cut: int, sizes: list[int]) -> list[SealedChunk]:
    """Cut for a handler of the first size, and anew for each of the others."""
    threads = anyio.CapacityLimiter(1)
    async with sealed_chunks(_chunks(data, cut), depth=2, threads=threads) as line:
        chunks = Recut(line, sizes[0], threads)
        for size in sizes[1:]:
            await anext(chunks)
            assert chunks.untouched
            chunks.begin_anew(size)
        # Each is lent until the next is asked for.
        return [replace(chunk, data=bytes(chunk.data)) async for chunk in chunks]


@example(data=bytes(range(100)), cut=40, sizes=[40, 20, 7])
@given(
    data=st.binary(min_size=1, max_size=200),
    cut=st.integers(1, 100),
    sizes=st.lists(st.integers(1, 120), min_size=1, max_size=4),
)
def test_all_bytes_come_in_order_sealed_and_no_piece_is_larger_than_wished(
    data: bytes, cut: int, sizes: list[int]
) -> None:
    chunks = asyncio.run(_recut(data, cut, sizes))
    assert b"".join(chunk.data for chunk in chunks) == data
    assert [chunk.number for chunk in chunks] == list(range(1, len(chunks) + 1))
    assert [chunk.last for chunk in chunks] == [False] * (len(chunks) - 1) + [True]
    assert all(zlib.crc32(chunk.data) == chunk.crc32 for chunk in chunks)
    assert max(len(chunk.data) for chunk in chunks) <= min(sizes[-1], cut)
    if cut % sizes[-1] == 0:
        assert {len(chunk.data) for chunk in chunks[:-1]} <= {sizes[-1]}


@pytest.mark.parametrize("depth", [1, 3])
async def test_no_more_memory_is_held_than_before(depth: int) -> None:
    source, threads = Endless(), anyio.CapacityLimiter(2)  # seven bytes each
    async with sealed_chunks(source.chunks(), depth=depth, threads=threads) as line:
        chunks = Recut(line, 7, threads)
        await anext(chunks)
        await anyio.wait_all_tasks_blocked()
        async for chunk in chunks.begin_anew(2):
            await anyio.wait_all_tasks_blocked()
            if chunk.number == 20:
                break
    assert depth + 1 <= source.most_alive <= depth + 2


async def test_a_chunk_that_fits_is_handed_on_as_it_is() -> None:
    data, threads = bytes(100), anyio.CapacityLimiter(1)

    async def one() -> AsyncGenerator[ChunkBuffer, None]:
        yield data

    async with sealed_chunks(one(), depth=1, threads=threads) as line:
        assert [chunk.data is data async for chunk in Recut(line, 100, threads)] == [True]

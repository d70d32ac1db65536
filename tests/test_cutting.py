"""Buffers are used again when nobody looks at them any more, and never before."""

import io
import random
import zlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncupload._cutting import Buffer, Buffers, known_crc32


def filled(data: bytes, size: int) -> Buffer:
    buffer = Buffer()
    buffer.fill(io.BytesIO(data).readinto, size)
    buffer.seal()
    return buffer


@given(data=st.binary(max_size=300), size=st.integers(1, 200), seed=st.integers(0, 99))
def test_a_buffer_takes_what_there_is_however_it_comes(data: bytes, size: int, seed: int) -> None:
    """A read may give less than was asked for: on a network drive, or when a signal arrives."""
    chance, source, buffer = random.Random(seed), io.BytesIO(data), Buffer()

    def some(view: memoryview) -> int:
        return source.readinto(view[: chance.randint(1, len(view))])

    for start in range(0, len(data) + 1, size):
        expected = data[start : start + size]
        assert buffer.fill(some, size) == len(expected)
        assert bytes(buffer.content) == expected
        assert known_crc32(buffer.content) is None, "the one before's"
        buffer.seal()
        assert known_crc32(buffer.content) == zlib.crc32(expected)
        assert len(buffer) <= size


def test_a_large_buffer_is_filled_to_its_end() -> None:
    """It grows by steps."""
    data = random.Random(1).randbytes(3_500_000)
    source, buffer = io.BytesIO(data), Buffer()

    assert buffer.fill(source.readinto, 3_000_000) == 3_000_000
    assert bytes(buffer.content) == data[:3_000_000]
    assert buffer.fill(source.readinto, 3_000_000) == 500_000
    assert bytes(buffer.content) == data[3_000_000:]


def test_a_buffer_that_is_looked_at_is_not_free() -> None:
    buffer = filled(b"content", 10)
    view = buffer.content
    part = view[2:5]
    free = [buffer.free]
    view.release()
    free.append(buffer.free)  # a connection still has a slice
    part.release()
    free.append(buffer.free)

    assert free == [False, False, True]
    assert len(buffer) == 10


def test_a_buffer_that_somebody_wrote_to_a_file_of_their_own_is_free() -> None:
    buffer = filled(b"content", 10)
    io.BytesIO().write(buffer.content)

    assert buffer.free


def test_whatever_shows_local_variables_shows_no_content() -> None:
    assert repr(filled(b"content", 10)) == "<Buffer of 10 bytes>"


def test_what_is_handed_out_cannot_be_written_to() -> None:
    """Its checksum is known already, and a retry sends it again."""
    content: Any = filled(b"content", 10).content

    with pytest.raises(TypeError, match="read-only"):
        content[0] = 0


def test_only_the_whole_has_a_known_checksum() -> None:
    whole = filled(b"content", 10).content

    assert known_crc32(whole) == zlib.crc32(b"content")
    assert known_crc32(whole[:7]) == zlib.crc32(b"content")
    assert known_crc32(whole[1:]) is None
    assert known_crc32(whole[::-1]) is None
    assert known_crc32(bytes(whole)) is None
    assert known_crc32(memoryview(b"content")) is None
    assert known_crc32(memoryview(Buffer())) is None


def test_there_are_no_more_buffers_than_are_looked_at_at_the_same_time() -> None:
    buffers, taken, views = Buffers(), set(), []

    for number in range(100):
        buffer = buffers.take()
        taken.add(id(buffer))
        buffer[:10] = bytes(10)
        views.append(buffer.first(1 + number % 10))
        views = views[-3:]  # what was looked at before is let go of

    assert len(taken) == 4


def test_a_buffer_is_never_handed_out_twice_while_somebody_looks() -> None:
    buffers, kept = Buffers(), []

    for number in range(20):
        buffer = buffers.take()
        buffer[:4] = number.to_bytes(4, "big")
        kept.append(buffer.first(4))

    assert [int.from_bytes(view, "big") for view in kept] == list(range(20))

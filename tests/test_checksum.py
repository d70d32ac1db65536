"""CRC-32 of a whole from its parts, and the text that stands for it."""

import zlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asyncupload import _checksum

CRCS = st.integers(0, 0xFFFFFFFF)


def reference_combine(whole: int, part: int, part_length: int) -> int:
    """The definition, slowly: multiply by x^(8 · length) modulo the polynomial, then add. For lengths that no test
    can read."""

    def times(a: int, b: int) -> int:
        product = 0
        for bit in range(31, -1, -1):
            if a >> bit & 1:
                product ^= b
            b = (b >> 1) ^ (0xEDB88320 if b & 1 else 0)
        return product

    power, square, exponent = 1 << 31, 1 << 30, 8 * part_length
    while exponent:
        if exponent & 1:
            power = times(power, square)
        square, exponent = times(square, square), exponent >> 1
    return times(power, whole) ^ part


@given(st.lists(st.binary(max_size=300), max_size=12))
def test_the_whole_is_the_same_however_it_was_cut(parts: list[bytes]) -> None:
    whole = _checksum.EMPTY
    for part in parts:
        whole = _checksum.combine(whole, _checksum.crc32(part), len(part))

    assert whole == zlib.crc32(b"".join(parts))


@given(data=st.binary(max_size=2000), cuts=st.lists(st.integers(0, 2000), max_size=5))
def test_a_piece_has_the_standard_checksum_in_every_kind_of_buffer(data: bytes, cuts: list[int]) -> None:
    expected = zlib.crc32(data)

    assert _checksum.crc32(data) == _checksum.crc32(bytearray(data)) == _checksum.crc32(memoryview(data)) == expected
    for cut in cuts:
        assert _checksum.crc32(memoryview(data)[cut:]) == zlib.crc32(data[cut:])


def test_the_published_check_value() -> None:
    assert _checksum.crc32(b"123456789") == 0xCBF43926
    assert _checksum.EMPTY == _checksum.crc32(b"") == 0


@settings(max_examples=25, deadline=None)
@given(whole=CRCS, part=CRCS, length=st.integers(2**31 - 2, 2**40))
def test_parts_longer_than_32_bits_can_count_are_combined(whole: int, part: int, length: int) -> None:
    """Fault 15: more than 2 GiB and more than 4 GiB."""
    assert _checksum.combine(whole, part, length) == reference_combine(whole, part, length)


@given(st.binary(max_size=50), st.binary(max_size=50))
def test_the_reference_above_is_right_where_it_can_be_read(left: bytes, right: bytes) -> None:
    assert reference_combine(zlib.crc32(left), zlib.crc32(right), len(right)) == zlib.crc32(left + right)


@pytest.mark.parametrize(("crc", "text"), [(0, "0"), (0xA, "A"), (0x00A3F2B1, "A3F2B1"), (0xFFFFFFFF, "FFFFFFFF")])
def test_text_goes_out_in_upper_case_without_padding(crc: int, text: str) -> None:
    assert _checksum.to_text(crc) == text


@given(
    crc=CRCS,
    width=st.integers(1, 8),
    lower=st.booleans(),
    before=st.text(" \t\r\n", max_size=2),
    after=st.text(" \t\r\n", max_size=2),
)
def test_every_way_of_writing_a_checksum_is_read_as_its_number(
    crc: int, width: int, lower: bool, before: str, after: str
) -> None:
    text = f"{crc:0{width}x}" if lower else f"{crc:0{width}X}"

    assert _checksum.from_text(before + text + after) == crc
    assert _checksum.from_text(_checksum.to_text(crc)) == crc


@pytest.mark.parametrize(
    "text", ["", " ", "g", "0x1", "-1", "+1", "1_0", "1 2", "123456789", "000000001", "１", "a3f2b1c0ff", "1.0"]
)
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="CRC-32"):
        _checksum.from_text(text)


@given(st.text())
def test_no_text_is_misread(text: str) -> None:
    try:
        crc = _checksum.from_text(text)
    except ValueError:
        return
    assert f"{crc:X}" == text.strip().upper().lstrip("0") or crc == 0


# ── which chunk it was ────────────────────────────────────────────────────────────────────────────────────────────────

CHUNKS = st.lists(st.binary(min_size=1, max_size=40), min_size=1, max_size=15)


def _parts(chunks: list[bytes]) -> list[_checksum.Part]:
    return [_checksum.Part(zlib.crc32(chunk), len(chunk)) for chunk in chunks]


def _explanations(chunks: list[bytes], found: int) -> set[str]:
    """Slowly, by the bytes: every single chunk that explains it."""
    told = set()
    for at, chunk in enumerate(chunks):
        if zlib.crc32(b"".join([*chunks[: at + 1], chunk, *chunks[at + 1 :]])) == found:
            told.add(f"chunk {at + 1} was appended twice")
        if zlib.crc32(b"".join([*chunks[:at], *chunks[at + 1 :]])) == found:
            told.add(f"chunk {at + 1} is missing")
    return told


@settings(deadline=None)
@given(chunks=CHUNKS, data=st.data())
def test_a_doubled_chunk_is_named(chunks: list[bytes], data: st.DataObject) -> None:
    """Fault 60. Of equal chunks side by side, any may be named: no checksum tells them apart."""
    at = data.draw(st.integers(0, len(chunks) - 1))
    found = zlib.crc32(b"".join([*chunks[: at + 1], chunks[at], *chunks[at + 1 :]]))

    told = _checksum.explain(_parts(chunks), found)

    assert told in _explanations(chunks, found)
    assert _checksum.explain(_parts(chunks), found, {at + 1}) in {
        f"chunk {at + 1} was appended twice",
        f"chunk {at + 1} is missing",
    }


@settings(deadline=None)
@given(chunks=CHUNKS, data=st.data())
def test_a_lost_chunk_is_named(chunks: list[bytes], data: st.DataObject) -> None:
    """Fault 61."""
    at = data.draw(st.integers(0, len(chunks) - 1))
    found = zlib.crc32(b"".join([*chunks[:at], *chunks[at + 1 :]]))

    assert _checksum.explain(_parts(chunks), found) in _explanations(chunks, found)


@settings(deadline=None)
@given(chunks=CHUNKS, found=CRCS)
def test_what_no_single_chunk_explains_is_not_explained(chunks: list[bytes], found: int) -> None:
    told = _checksum.explain(_parts(chunks), found)

    assert told in (_explanations(chunks, found) or {""})


@pytest.mark.parametrize("happened", [b"aabbcc", b"abbcc", b"bb", b"cba", b"a"])
def test_two_things_at_once_are_not_explained(happened: bytes) -> None:
    """Better no word than a wrong one."""
    assert _checksum.explain(_parts([b"a", b"b", b"c"]), zlib.crc32(happened)) == ""


def test_suspects_are_named_before_their_equals() -> None:
    """A file of zeros has equal chunks: the one whose reply was lost is the one to name."""
    chunks = [b"same"] * 6
    doubled, missing = zlib.crc32(b"same" * 7), zlib.crc32(b"same" * 5)

    assert _checksum.explain(_parts(chunks), doubled) == "chunk 1 was appended twice"
    assert _checksum.explain(_parts(chunks), doubled, {4}) == "chunk 4 was appended twice"
    assert _checksum.explain(_parts(chunks), missing, {5, 3}) == "chunk 3 is missing"


def test_suspects_that_explain_nothing_hide_nobody() -> None:
    chunks = [b"one", b"two", b"three"]

    assert _checksum.explain(_parts(chunks), zlib.crc32(b"onetwotwothree"), {1, 3}) == "chunk 2 was appended twice"


def test_nothing_sent_explains_nothing() -> None:
    assert _checksum.explain([], 1) == ""


def test_a_long_file_is_explained_without_reading_it() -> None:
    """Two combinations per chunk: 3,000 chunks of 32 MiB are 94 GiB, of which no byte is there."""
    parts = [_checksum.Part(number * 2654435761 % 2**32, 32 * 2**20) for number in range(3000)]
    found = _checksum.EMPTY
    for number, part in enumerate(parts, 1):
        for _ in range(2 if number == 2718 else 1):
            found = _checksum.combine(found, *part)

    assert _checksum.explain(parts, found) == "chunk 2718 was appended twice"

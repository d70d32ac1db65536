"""Amounts of bytes as people write them."""

import click
import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncupload.cli.amounts import bytes_of


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("0", 0),
        ("1000", 1000),
        (4711, 4711),
        ("64K", 64_000),
        ("64k", 64_000),
        ("64KB", 64_000),
        ("64 KiB", 65_536),
        ("256MiB", 256 * 1024**2),
        ("1.5GB", 1_500_000_000),
        ("0.5Ki", 512),
        ("2TiB", 2 * 1024**4),
        (" 7B ", 7),
    ],
)
def test_an_amount_is_a_number_with_a_unit(text: str | int, size: int) -> None:
    assert bytes_of(text) == size


@pytest.mark.parametrize("text", ["", "K", "-1", "1e6", "1,5M", "1.5.5M", "5 X", "5KiKi", "0x10", "1 000", "5iB"])
def test_what_is_none_is_told_with_examples(text: str) -> None:
    with pytest.raises(click.BadParameter, match=r"is no amount of bytes, as 1000, 64K, 256MiB or 1\.5GB"):
        bytes_of(text)


@given(number=st.integers(0, 10**15), unit=st.sampled_from(["", "K", "Ki", "M", "Mi", "G", "Gi", "T", "Ti"]))
def test_whole_numbers_lose_nothing(number: int, unit: str) -> None:
    base = 1024 if unit.endswith("i") else 1000
    assert bytes_of(f"{number}{unit}") == number * base ** " KMGT".index(unit[:1] or " ")

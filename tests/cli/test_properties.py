"""A version's number, as people write it and as a receipt tells it."""

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncupload import UsageError, VersionNumber
from asyncupload.cli.properties import version_number

VERSIONS = st.builds(VersionNumber, st.integers(1, 2146), st.integers(0, 999), st.integers(0, 999))


@given(VERSIONS)
def test_every_version_is_read_in_both_forms(version: VersionNumber) -> None:
    assert version_number(str(version)) == version
    assert version_number(str(version.packed)) == version


@given(VERSIONS)
def test_what_is_left_out_is_0(version: VersionNumber) -> None:
    assert version_number(f"{version.major}") == (version.major, 0, 0)
    assert version_number(f"{version.major}.{version.minor}") == (version.major, version.minor, 0)


@given(st.text())
def test_anything_else_is_refused(text: str) -> None:
    with suppress(UsageError):
        assert version_number(text).packed >= 1_000_000


@pytest.mark.parametrize(
    "text", ["1000000.1", "2000001.0.0", "2147.483.648", "2147483648", "999999", "٢", "1 .2", "+1"]
)
def test_what_looks_like_one_is_refused(text: str) -> None:
    with pytest.raises(UsageError):
        version_number(text)

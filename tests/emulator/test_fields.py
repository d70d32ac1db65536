"""The signatures of operations."""

import pytest

from asyncupload.emulator.fields import Field, fields


def test_a_signature_is_read_in_its_order() -> None:
    assert fields("Path Comment? size:int part:short force:bool data:bytes") == (
        Field("Path", "string", required=True),
        Field("Comment", "string", required=False),
        Field("size", "int", required=False),
        Field("part", "short", required=False),
        Field("force", "bool", required=False),
        Field("data", "bytes", required=True),
    )
    assert fields("") == ()


def test_a_kind_that_is_none_is_refused() -> None:
    with pytest.raises(ValueError, match="size:integer"):
        fields("size:integer")

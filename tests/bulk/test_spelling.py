"""Paths as text that can be read back."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from asyncupload.bulk.spelling import spelled, unspelled


@pytest.mark.parametrize(
    ("source", "text"),
    [
        (b"/srv/a b.txt", "/srv/a b.txt"),
        ("/srv/Ä".encode(), "/srv/Ä"),
        (rb"C:\users\a", r"C:\users\a"),
        (b"/srv/\xff", r"/srv/\udcff"),
        (b"/srv/\\\xff", r"/srv/\\\udcff"),
        (rb"/srv/\udcff", r"/srv/\\udcff"),
    ],
)
def test_only_what_is_no_text_is_escaped(source: bytes, text: str) -> None:
    assert spelled(source) == text


_PIECES = st.sampled_from([b"\\", b"\\ud", b"\\udcff", b"\xff", b"\xed\xb3\xbf", "é".encode(), b"u", b"dc80", b"/"])


@given(st.binary().filter(lambda source: b"\0" not in source) | st.lists(_PIECES).map(b"".join))
@example(b"\\udcff\xff")
def test_every_path_can_be_read_back(source: bytes) -> None:
    text = spelled(source)

    assert unspelled(text.encode("utf-8").decode("utf-8")) == source

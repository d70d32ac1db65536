"""Where a document goes: one form of path for the many ways to write it, and a word of advice for the rest."""

import unicodedata

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from asyncupload import UsageError
from asyncupload._names import destination

GOOD: list[tuple[str, str, str]] = [
    ("/Finance/Reports/big.iso", "/Finance/Reports", "big.iso"),
    ("/Finance/big.iso", "/Finance", "big.iso"),
    ("Finance/Reports/big.iso", "/Finance/Reports", "big.iso"),
    (r"\Finance\Reports\big.iso", "/Finance/Reports", "big.iso"),
    (r"Finance/Reports\big.iso", "/Finance/Reports", "big.iso"),
    ("//Finance///Reports//big.iso", "/Finance/Reports", "big.iso"),
    ("/Finance/a b/c d.txt", "/Finance/a b", "c d.txt"),
    ("/Finance/.hidden", "/Finance", ".hidden"),
    ("/Finance/no extension", "/Finance", "no extension"),
    ("/Finance/a..b.txt", "/Finance", "a..b.txt"),
    # Fault 17: as a Mac writes it, decomposed, and as the server's own clients type it.
    ("/Finance/Bu\u0308ro/cafe\u0301.txt", "/Finance/B\u00fcro", "caf\u00e9.txt"),
    ("/財務/報告.pdf", "/財務", "報告.pdf"),
    ("/Finance/🙂.txt", "/Finance", "🙂.txt"),
]


@pytest.mark.parametrize(("path", "folder", "name"), GOOD)
def test_a_destination_is_taken_apart(path: str, folder: str, name: str) -> None:
    found = destination(path)

    assert (found.folder, found.name) == (folder, name)
    assert found.path == f"{folder}/{name}"


BAD: list[tuple[str, str]] = [
    # the path, and what the message has to say about it
    ("", "end the destination with one, as in /Library/Folder/Name.ext"),
    ("/", "end the destination with one"),
    ("/Finance/Reports/", "no document name"),
    ("/Finance/Reports\\", "no document name"),
    ("big.iso", "names no library"),
    ("/big.iso", "looks like /Library/Folder/Name.ext"),
    ("//big.iso", "names no library"),
    ("/Finance/a:b", "does not allow :"),
    ("/Finance/a*b?", "does not allow * ?"),
    ('/Finance/"x"', 'does not allow "'),
    ("/Finance/<x>", "does not allow < >"),
    ("/Finance/a|b", "does not allow |"),
    ("/C:/b.txt", "does not allow :"),
    ("/Finance/a\nb", r"does not allow '\n'"),
    ("/Finance/a\x00b", r"does not allow '\x00'"),
    ("/Finance/a\x7fb", r"does not allow '\x7f'"),
    # Fault 18: bytes that are no UTF-8, as Python hands them through.
    ("/Finance/caf\udce9", r"does not allow '\udce9'"),
    ("/Finance/..", "'..' cannot be a name"),
    ("/Finance/.", "'.' cannot be a name"),
    ("/Finance/../x", "'..' cannot be a name"),
    ("/./x", "'.' cannot be a name"),
    ("/Finance/ x", "' x' cannot be a name"),
    ("/Finance/x ", "'x ' cannot be a name"),
    ("/Finance / x", "'Finance ' cannot be a name"),
    ("/ /x", "' ' cannot be a name"),
    ("/Finance/\u00a0x", "cannot be a name on the server, which would rewrite it"),
]


@pytest.mark.parametrize(("path", "advice"), BAD)
def test_what_cannot_be_a_destination_is_refused_with_advice(path: str, advice: str) -> None:
    with pytest.raises(UsageError) as refused:
        destination(path)

    assert advice in str(refused.value)
    assert repr(path) in str(refused.value), "the message does not show what was given"
    str(refused.value).encode()  # it can be printed, whatever the path held


PATHS = st.text(
    st.sampled_from('/\\.. ab\u0308e\u0301é:*?"<>|#%&+~\n\t\x7f\u00a0\u3000\u2126\u212b')
    | st.characters(codec=None, exclude_categories=()),
    max_size=30,
)


@given(PATHS)
@example("/\u2126/\u212b")  # two that NFC replaces by others
@example("/a\\..\\b")
def test_a_destination_is_always_whole_names_in_composed_form(path: str) -> None:
    try:
        found = destination(path)
    except UsageError:
        return
    segments = found.path.split("/")

    assert segments[0] == ""
    assert len(segments) >= 3, "a library and a name at least"
    assert not {"", ".", ".."} & set(segments[1:])
    assert "\\" not in found.path
    assert not set(':*?"<>|') & set(found.path)
    assert unicodedata.normalize("NFC", found.path) == found.path
    assert all(segment.strip() == segment for segment in segments)
    assert found.path.isascii() or found.path.encode()  # fit for a form
    assert found.folder == "/".join(segments[:-1])
    assert found.name == segments[-1]


@given(PATHS)
def test_a_destination_stands_for_itself(path: str) -> None:
    try:
        found = destination(path)
    except UsageError:
        return

    assert destination(found.path) == found


@given(st.lists(st.text("abcäßø日 ._-()[]{}!@$^'`,;=", min_size=1).map(str.strip), min_size=2, max_size=5))
def test_ordinary_names_pass(names: list[str]) -> None:
    """Otherwise the properties above would hold of a function that refuses everything."""
    if any(name in {"", ".", ".."} for name in names):
        return

    assert destination("/".join(names)).path == "/" + unicodedata.normalize("NFC", "/".join(names))

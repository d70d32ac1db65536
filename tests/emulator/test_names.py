"""Paths as the server reads them, and the names that it accepts."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncupload.emulator.names import ShortPath, document_name, exact_path, folder_name, key, segments, short_path
from asyncupload.emulator.replies import Refusal


@pytest.mark.parametrize("path", ["/a/b c/d.txt", "a/b c/d.txt", "\\a\\b c\\d.txt\\", "//a\\/b c//d.txt//"])
def test_either_slash_separates(path: str) -> None:
    assert segments(path) == ("a", "b c", "d.txt")


@pytest.mark.parametrize("path", ["", "/", "\\/"])
def test_a_path_may_have_no_names(path: str) -> None:
    assert segments(path) == ()


@pytest.mark.parametrize(
    ("path", "kind", "number"), [("~D12", "D", 12), ("~d12.pdf", "D", 12), ("/~F3", "F", 3), ("~D1.tar.gz", "D", 1)]
)
def test_a_short_path_names_an_object(path: str, kind: str, number: int) -> None:
    assert short_path(path) == ShortPath(kind, number)


@pytest.mark.parametrize("path", ["/a/~D12", "a", "/", ""])
def test_other_paths_are_not_short(path: str) -> None:
    assert short_path(path) is None


@pytest.mark.parametrize("path", ["~", "~D", "~Dx", "~U5", "~D12/a", "~D-1", "~D" + "9" * 40])
def test_a_tilde_alone_makes_no_short_path(path: str) -> None:
    with pytest.raises(Refusal, match="InvalidDocumentIdentifer"):
        short_path(path)


@pytest.mark.parametrize(
    ("wished", "name"),
    [
        ("plain", "plain"),
        ('a/b\\c:d*e?f"g<h>i|j#k\tl%m&n+o', "a_b_c_d_e_f_g_h_i_j_k_l_m_n_o"),
        ("a....b..c", "a.b.c"),
        ("a    b  c", "a b c"),
        (" .a. ", "a"),
        ("....", ""),
    ],
)
def test_a_folder_name_is_cleaned(wished: str, name: str) -> None:
    assert folder_name(wished) == name


def test_a_long_folder_name_is_cut_before_its_extension() -> None:
    one, two = folder_name("a" * 200 + "1.extension"), folder_name("a" * 200 + "2.extension")
    assert len(one) == len(two) == 128
    assert one != two
    assert one.endswith(".extension")
    assert len(folder_name("a." + "b" * 300)) == 128
    assert folder_name("a" * 128) == "a" * 128


@given(st.text())
def test_a_cleaned_name_is_clean(wished: str) -> None:
    name = folder_name(wished)
    assert folder_name(name) == name
    assert len(name) <= 128
    assert len(segments(name)) <= 1


@pytest.mark.parametrize("name", ["a", "a#b%c&d+e.txt", "~D1", "ünï", "a" * 5000, ".hidden", "a b "])
def test_a_document_name_is_kept_as_it_is(name: str) -> None:
    assert document_name(name) == name


@pytest.mark.parametrize("name", ["", ".", "..", " ", "a/b", "a\\b", "a\x00", "a\x7f", "a:b", "a?"])
def test_a_document_name_may_be_refused(name: str) -> None:
    with pytest.raises(Refusal) as caught:
        document_name(name)
    assert caught.value.code == 4000


def test_names_that_differ_in_case_are_the_same() -> None:
    assert key("STRASSE.TXT") == key("Strasse.txt")
    assert key("a") != key("b")


@pytest.mark.parametrize("path", ["", "/", "/a:b", "/Library/ x", "a/..", "~F1", "/Library/a..b"])
def test_a_path_that_cannot_be_made_just_so_is_refused(path: str) -> None:
    with pytest.raises(ValueError, match="folder"):
        exact_path(path)


@pytest.mark.parametrize("path", ["/Library", "Library\\Sub folder/", "/Ünïcode/a.b"])
def test_a_path_that_can_be_made_just_so_is_left_alone(path: str) -> None:
    assert exact_path(path) == path

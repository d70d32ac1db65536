"""Where a file goes on the server, under the names that the server will really give."""

import asyncio
import string
import unicodedata
from pathlib import Path

import pytest
from emulator.caller import Caller
from hypothesis import example, given, settings
from hypothesis import strategies as st

from asyncupload import UsageError
from asyncupload._names import destination
from asyncupload.bulk.destinations import clean_folder_name, folder, from_text, from_tree
from asyncupload.bulk.rows import fold
from asyncupload.emulator import Emulator

TO = "/Finance/Reports"

NAMES = st.text(
    st.sampled_from('ab .._#%&+~:*?"<>|\té\u0308\u0301\u00a0\u3000😀') | st.characters(exclude_categories=["Cs", "Cc"]),
    min_size=1,
    max_size=40,
)
FILE_NAMES = NAMES.filter(lambda name: name not in {".", ".."} and "/" not in name)
PATHS = st.lists(FILE_NAMES, min_size=1, max_size=4).map("/".join)


@pytest.mark.parametrize(
    ("relative", "path"),
    [
        ("a.txt", "/Finance/Reports/a.txt"),
        ("sub/a#b%c&d+e.txt", "/Finance/Reports/sub/a#b%c&d+e.txt"),
        ("R&D/c++/50% #1/a.txt", "/Finance/Reports/R_D/c__/50_ _1/a.txt"),
        ("a..b...c/x", "/Finance/Reports/a.b.c/x"),
        ("a    b  c/x", "/Finance/Reports/a b c/x"),
        (".git/ spaced ./x", "/Finance/Reports/git/spaced/x"),
        ("back\\slash/co:lon/ta\tb/x", "/Finance/Reports/back_slash/co_lon/ta_b/x"),
        ("Bu\u0308ro/cafe\u0301", "/Finance/Reports/Büro/café"),
        (".hidden", "/Finance/Reports/.hidden"),
    ],
)
def test_a_file_of_a_tree_goes_where_the_server_will_have_its_folder(relative: str, path: str) -> None:
    assert from_tree(relative.encode(), TO) == (path, "")


@pytest.mark.parametrize(
    ("relative", "says"),
    [
        (b"sub/caf\xe9.txt", r"the name 'sub/caf\xe9.txt' is not UTF-8"),
        (b"\xff\n", r"'\xff\n'"),
        (b"a:b.txt", "does not allow :"),
        (b"a\\b.txt", r"does not allow \ in a name"),
        (b"a\nb.txt", r"does not allow '\n'"),
        (b"new\nline/a.txt", r"control characters in a name: 'new\nline'"),
        (b"\x1fedge/a.txt", "control characters"),
        (b"a ", "'a ' cannot be a name"),
        (b"....", "'....' cannot be a name"),
        (b". ./a", "nothing is left of the folder name '. .'"),
        (b"n" * 129, "has 129 characters; infoRouter allows 128"),
        (b"n" * 129 + b"/a", "has 129 characters; infoRouter allows 128"),
        ("😀".encode() * 65, "has 130 characters"),
        (b"/".join([b"n" * 100] * 3), "has 319 characters, more than 250"),
    ],
)
def test_a_name_that_cannot_go_is_told_with_its_reason(relative: bytes, says: str) -> None:
    """Faults 18, 20 and 21."""
    path, problem = from_tree(relative, TO)

    assert says in problem
    assert path.startswith(TO)
    path.encode()  # it can be stored and shown
    problem.encode()


def test_a_path_may_be_as_long_as_allowed_and_no_longer() -> None:
    fits = "n" * 120 + "/" + "n" * (250 - len(TO) - 122)
    assert from_tree(fits.encode(), TO) == (f"{TO}/{fits}", "")
    assert "has 251 characters, more than 250" in from_tree(fits.encode() + b"n", TO).problem
    assert from_tree(fits.encode() + b"n", TO, longest_path=251).problem == ""


@pytest.mark.parametrize(
    ("written", "path"),
    [
        ("/Library/a#b/x.txt", "/Library/a_b/x.txt"),
        ("\\Library\\a\\x.txt", "/Library/a/x.txt"),
        ("//R&D//a//x.txt", "/R&D/a/x.txt"),
        ("sub/x.txt", "/Finance/Reports/sub/x.txt"),
        ("sub\\x.txt", "/Finance/Reports/sub/x.txt"),
        ("x.txt", "/Finance/Reports/x.txt"),
    ],
)
def test_a_written_destination_begins_with_a_slash_or_is_below_the_folder(written: str, path: str) -> None:
    assert from_text(written, TO) == (path, "")


@pytest.mark.parametrize(
    ("written", "says"),
    [
        ("a/x.txt", "begins with no slash"),
        ("/Library/sub/", "no document name"),
        ("/x.txt", "names no library"),
        ("/Library/../x.txt", "nothing is left of the folder name '..'"),
        ("/../a/x.txt", "'..' cannot be a name"),
        ("/Lib:rary/x.txt", "does not allow :"),
        ("/Library/a?.txt", "does not allow ?"),
        ("/Library/" + "n" * 250, "has 250 characters; infoRouter allows 128"),
    ],
)
def test_a_written_destination_that_cannot_be_is_told_with_its_reason(written: str, says: str) -> None:
    assert says in from_text(written).problem


@pytest.mark.parametrize("to", ["/Finance/Q&A/2024", "Finance\\Q&A\\2024\\", "//Finance/Q+A//2024/"])
def test_the_folder_on_the_server_is_shown_as_it_will_be(to: str) -> None:
    assert folder(to) == "/Finance/Q_A/2024"


def test_a_library_keeps_its_name() -> None:
    """It is never made by CreateFolder."""
    assert folder("/R&D  1") == "/R&D  1"


@pytest.mark.parametrize("to", ["", "/", "/Lib:rary", "/Finance/..", "/Finance/a\nb"])
def test_what_cannot_be_a_folder_is_refused(to: str) -> None:
    with pytest.raises(UsageError):
        folder(to)


@given(NAMES)
def test_a_cleaned_name_is_clean(wished: str) -> None:
    name = clean_folder_name(wished)

    assert clean_folder_name(name) == name
    assert clean_folder_name(unicodedata.normalize("NFD", wished)) == name
    assert not set('/\\:*?"<>|#\t%&+') & set(name)
    assert ".." not in name
    assert "  " not in name
    assert name.strip() == name
    assert name.strip(".") == name


@given(st.text(string.ascii_letters + "äß日-_()'", min_size=1))
def test_an_ordinary_name_stays(name: str) -> None:
    assert clean_folder_name(name) == unicodedata.normalize("NFC", name)


@given(PATHS, st.integers(20, 300))
def test_a_destination_without_a_problem_is_one_that_an_upload_takes_as_it_is(relative: str, longest: int) -> None:
    path, problem = from_tree(relative.encode(), TO, longest_path=longest)
    if problem:
        return

    assert destination(path).path == path
    assert len(path) <= longest
    assert path.count("/") == TO.count("/") + 1 + relative.count("/")
    assert from_text(path, longest_path=longest) == (path, ""), "written down, it is another"


@given(NAMES)
@example("İstanbul")
@example("\u1f82\u0301")  # folds otherwise, unless its accents stand apart first
def test_twins_have_one_key(name: str) -> None:
    """Faults 17 and 19: the second would become a version of the first."""
    key = fold(name)

    assert fold(key) == key
    assert fold(unicodedata.normalize("NFD", name)) == fold(unicodedata.normalize("NFC", name)) == key
    assert fold(unicodedata.normalize("NFD", name).casefold()) == key


def test_case_twins_and_rewritten_twins_have_one_key_and_others_have_not() -> None:
    def key(relative: str) -> str:
        return fold(from_tree(relative.encode(), TO).path)

    assert key("Sub/A.txt") == key("sub/a.TXT")
    assert key("a#b/x") == key("a%b/x") == key("A&B/x")
    assert key("a#b") != key("a%b")
    assert key("a/b") != key("a_b")


def test_the_emulator_makes_the_folder_that_was_foretold(tmp_path: Path) -> None:
    """Two readings of one page, over a socket: what CreateFolder answers is what we say it will."""
    with asyncio.Runner() as runner:
        server = runner.run(_opened(Emulator(tmp_path / "data", users={"demo": "demo"})))
        caller = runner.run(_signed_in(server.url))
        numbers = iter(range(10**6))

        @settings(max_examples=60, deadline=None)
        @given(NAMES.filter(lambda name: not set("/\\") & set(name)))
        @example("a.. ..b")
        @example(". . .")
        def agree(wished: str) -> None:
            parent = f"/Finance/{next(numbers)}"
            asked = unicodedata.normalize("NFC", wished)
            said = runner.run(caller.call("CreateFolder", Path=f"{parent}/{asked}"))
            foretold = clean_folder_name(wished)
            assert (said["FolderName"] if said.ok else "") == foretold
            assert said.ok or said.code == "4000"
            if said.ok:
                assert runner.run(caller.call("FolderExists", Path=f"{parent}/{foretold}")).ok

        try:
            agree()
        finally:
            runner.run(caller.session.close())
            runner.run(server.__aexit__(None, None, None))


async def _opened(server: Emulator) -> Emulator:
    return await server.__aenter__()


async def _signed_in(url: str) -> Caller:
    caller = Caller(url)
    await caller.sign_in("demo", "demo")
    return caller

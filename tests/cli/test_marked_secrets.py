"""Passwords and tickets with what editors, shells and programs put around them: that is no part of them. A password
that is refused is one step towards a locked account."""

import codecs
import shlex
import sys
from pathlib import Path

import pytest

from asyncupload import Client
from asyncupload._secret import Secret, first_line, unmarked

from .commands import run, terminal
from .conftest import PASSWORD, Here, Server

WRITTEN: dict[str, bytes] = {
    # dcos/dcos-cli#1167, mtrojnar/osslsigncode#91, openbao/openbao#2622
    "a line end": PASSWORD.encode() + b"\n",
    "Windows": PASSWORD.encode() + b"\r\nanother line\r\n",
    "an old Macintosh": PASSWORD.encode() + b"\ranother line\r",
    "an editor's mark": codecs.BOM_UTF8 + PASSWORD.encode() + b"\r\n",
    "two marks": codecs.BOM_UTF8 * 2 + PASSWORD.encode(),
    "PowerShell": codecs.BOM_UTF16_LE + f"{PASSWORD}\r\n".encode("utf-16-le"),
    "UTF-16, high byte first": codecs.BOM_UTF16_BE + f"{PASSWORD}\n".encode("utf-16-be"),
    "UTF-32": f"{PASSWORD}\n".encode("utf-32"),
}
MARKED = {"an editor's mark", "two marks", "PowerShell", "UTF-16, high byte first", "UTF-32"}
NOT_TAKEN = "which is not taken for a part of the password"


def without_password(server: Server) -> dict[str, str]:
    return {name: value for name, value in server.login.items() if name != "ASYNCUPLOAD_PASSWORD"}


@pytest.mark.parametrize("how", WRITTEN)
@pytest.mark.parametrize("where", ["file", "command"])
def test_what_stands_around_a_password_is_no_part_of_it(
    server: Server, tmp_path: Path, here: Here, where: str, how: str
) -> None:
    (tmp_path / "pw").write_bytes(WRITTEN[how])
    copy = "import sys; sys.stdout.buffer.write(open(sys.argv[1], 'rb').read())"
    option = {
        "file": ("--password-file", tmp_path / "pw"),
        "command": ("--password-command", shlex.join([sys.executable, "-c", copy, str(tmp_path / "pw")])),
    }[where]

    ended = here("check", *option, env=without_password(server))

    assert ended.code == 0, ended
    assert ended.err.count(NOT_TAKEN) == (how in MARKED)
    assert PASSWORD not in ended.err


# vmware-archive/watch-proxy#34
@pytest.mark.parametrize("text", [f"{PASSWORD}\n", f"{PASSWORD}\r\n", f"\ufeff{PASSWORD}", f"\ufeff{PASSWORD}\r\n\n"])
def test_neither_is_it_in_the_environment(server: Server, here: Here, text: str) -> None:
    ended = here("check", env={**server.login, "ASYNCUPLOAD_PASSWORD": text})
    assert (ended.code, ended.err.count(NOT_TAKEN)) == (0, 1), ended
    assert here("check", "-q", env={**server.login, "ASYNCUPLOAD_PASSWORD": text}) == (0, "", "")


def test_neither_is_it_of_a_ticket(server: Server, tmp_path: Path, here: Here) -> None:
    """A ticket that nobody gave out is refused: with the mark it would be no ticket at all, as a header is."""
    (tmp_path / "ticket").write_bytes(codecs.BOM_UTF8 + b"0f8fad5b-d9cb-469f-a165-70867728950e\r\n")
    ended = here("check", "--ticket-file", tmp_path / "ticket", env=without_password(server))
    assert ended.code == 4, ended
    assert "which is not taken for a part of the ticket" in ended.err


def test_what_comes_on_standard_input_is_like_a_file(server: Server, tmp_path: Path) -> None:
    (tmp_path / "pw").write_bytes(WRITTEN["PowerShell"])
    with (tmp_path / "pw").open("rb") as file:
        ended = run("check", "--password-file", "/dev/stdin", env=without_password(server), stdin=file)
    assert (ended.code, NOT_TAKEN in ended.err) == (0, True), ended


def test_what_is_pasted_at_the_prompt_is_without_marks(server: Server, file: Path) -> None:
    with terminal("upload", file, "/Library/a.bin", env=without_password(server)) as shown:
        shown.wait_for("Password of jsmith: ")
        shown.type(f"\ufeff{PASSWORD}\n")
        assert shown.end() == 0, shown.text


@pytest.mark.parametrize("content", [b"", b"\n", codecs.BOM_UTF8, codecs.BOM_UTF8 + b"\r\n", "pw".encode("utf-16-le")])
def test_nothing_but_marks_is_no_password_and_nobody_is_asked(
    server: Server, tmp_path: Path, here: Here, content: bytes
) -> None:
    (tmp_path / "pw").write_bytes(content)
    ended = here("check", "--password-file", tmp_path / "pw", env=without_password(server))
    assert (ended.code, "write it as UTF-8" in ended.err) == (2, True), ended
    assert server.calls("AuthenticateUser") == 0


@pytest.mark.parametrize("text", ["\n", "\ufeff"])
def test_a_variable_with_nothing_but_marks_is_refused_by_its_name(server: Server, here: Here, text: str) -> None:
    ended = here("check", env={**server.login, "ASYNCUPLOAD_PASSWORD": text})
    assert (ended.code, "ASYNCUPLOAD_PASSWORD gives no password" in ended.err) == (2, True), ended


def test_a_password_in_the_environment_is_utf8_whatever_the_locale_says(server: Server) -> None:
    odd = {"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"}
    ended = run("check", env={**server.login, **odd, "ASYNCUPLOAD_PASSWORD": "größe"})
    assert (ended.code, "Traceback" in ended.err) == (4, False), ended  # it was asked for in words that could be sent


@pytest.mark.anyio
@pytest.mark.parametrize("text", [f"{PASSWORD}\n", f"\ufeff{PASSWORD}\r\n"])
async def test_a_program_that_reads_a_file_whole_need_not_know(server: Server, text: str) -> None:
    async with Client(server.url, user="jsmith", password=text) as client:
        await client.ping()


def test_blanks_are_a_passwords_own() -> None:
    assert unmarked(" a b\t ") == " a b\t "
    assert Secret.of(" x ") == Secret(" x ")
    assert first_line(" ü \n".encode(), "utf-8") == (" ü ", False)
    assert first_line(" ü \n".encode("latin-1"), "utf-8", "latin-1") == (" ü ", False)
    assert first_line(b"\xff\xfe\x00", "utf-8") == ("", True)

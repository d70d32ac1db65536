"""What several commands are told: the server, who asks, and how loud to be."""

import shlex
import sys
import urllib.parse
import urllib.request
from pathlib import Path

import pytest

from .commands import PATIENCE, Ended, run, run_in_shell, terminal
from .conftest import CHUNK, PASSWORD, Here, Server


def without_password(server: Server) -> dict[str, str]:
    return {"ASYNCUPLOAD_SERVER": server.url, "ASYNCUPLOAD_USER": "jsmith"}


def usage(ended: Ended, *words: str) -> None:
    assert (ended.code, ended.out) == (2, ""), ended
    assert "Traceback" not in ended.err
    for word in words:
        assert word in ended.err


# ── where the password comes from ──


def test_a_password_file_gives_its_first_line(server: Server, tmp_path: Path, here: Here) -> None:
    (tmp_path / "pw").write_bytes(PASSWORD.encode() + b"\r\nanother line\n")
    assert here("check", "-q", "--password-file", tmp_path / "pw", env=without_password(server)) == (0, "", "")


def test_a_password_command_gives_its_first_line(server: Server, here: Here) -> None:
    command = shlex.join([sys.executable, "-c", f"print({PASSWORD!r}); print('another line')"])
    assert here("check", "-q", "--password-command", command, env=without_password(server)) == (0, "", "")


def test_a_file_counts_more_than_the_environment(server: Server, tmp_path: Path, here: Here) -> None:
    (tmp_path / "pw").write_text(PASSWORD)
    env = {**server.login, "ASYNCUPLOAD_PASSWORD": "wrong", "ASYNCUPLOAD_PASSWORD_FILE": str(tmp_path / "pw")}
    assert here("check", "-q", env=env).code == 0


def test_at_a_terminal_it_is_asked_for_and_not_shown(server: Server, file: Path) -> None:
    with terminal("upload", file, "/Library/a.bin", env=without_password(server)) as shell:
        shell.wait_for("Password of jsmith: ")
        # The bar must not be drawn over the question.
        assert "report.bin" not in shell.text
        shell.type(PASSWORD + "\n")
        assert shell.end() == 0
        assert PASSWORD not in shell.text
        assert "stored /Library/a.bin" in shell.text


def test_ctrl_c_at_the_question_ends_it_at_once(server: Server) -> None:
    with terminal("check", env=without_password(server)) as shell:
        shell.wait_for("Password of jsmith: ")
        shell.type("\x03")
        assert shell.end() == 130
        assert "asyncupload: interrupted" in shell.text
        assert "Traceback" not in shell.text


def test_where_nobody_can_be_asked_it_says_where_passwords_come_from(server: Server, file: Path) -> None:
    words = ("no password", "ASYNCUPLOAD_PASSWORD", "--password-file", "--password-command")
    usage(run("upload", file, "/Library/a.bin", env=without_password(server)), *words)
    usage(run_in_shell(without_password(server), "check <&-"), *words)


def test_without_user_and_ticket_it_asks_who(server: Server, here: Here) -> None:
    usage(here("check", "--server", server.url), "--user", "ASYNCUPLOAD_USER", "--ticket")


def test_missing_credentials_are_told_in_json_too(server: Server, file: Path, here: Here) -> None:
    ended = here("upload", file, "/Library/a.bin", "--json", env=without_password(server))
    assert ended.code == 2
    assert (ended.said["status"], ended.said["error"]) == ("failed", "UsageError")
    assert "no password" in ended.said["message"]


@pytest.mark.parametrize(
    ("content", "told"), [(b"", "gave no password"), (b"\nsecond\n", "gave no password"), (b"\xff\n", "cannot be read")]
)
def test_a_password_file_without_a_password_is_named(
    server: Server, here: Here, tmp_path: Path, content: bytes, told: str
) -> None:
    (tmp_path / "pw").write_bytes(content)
    usage(here("check", "--password-file", tmp_path / "pw", env=without_password(server)), str(tmp_path / "pw"), told)
    assert server.calls("AuthenticateUser") == 0


def test_a_missing_password_file_is_named(server: Server, here: Here, tmp_path: Path) -> None:
    ended = here("check", "--password-file", tmp_path / "none", env=without_password(server))
    usage(ended, "--password-file", str(tmp_path / "none"), "does not exist")


@pytest.mark.parametrize(
    ("command", "told"),
    [
        ("false", "exit status 1"),
        ("/no/such/program", "No such file"),
        ("true", "no password"),
        ("'unbalanced", "quotation"),
        (" ", "failed"),
    ],
)
def test_a_password_command_that_fails_is_said(server: Server, here: Here, command: str, told: str) -> None:
    usage(here("check", "--password-command", command, env=without_password(server)), "--password-command", told)
    assert server.calls("AuthenticateUser") == 0


# ── the rest ──


def test_a_ticket_takes_the_place_of_user_and_password(server: Server, here: Here) -> None:
    ended = here("check", "--server", server.url, "--ticket", "0b0e1c52-0000-4000-8000-000000000000", "-vv")
    assert ended.code == 4
    assert server.calls("AuthenticateUser") == 0
    assert "0b0e1c52" not in ended.out + ended.err


def test_a_lent_ticket_is_used_and_lives_on(server: Server, here: Here) -> None:
    login = urllib.parse.urlencode({"UID": "jsmith", "PWD": PASSWORD}).encode()
    with urllib.request.urlopen(f"{server.url}/srv.asmx/AuthenticateUser", login, timeout=PATIENCE) as answer:
        ticket = answer.read().decode().partition('ticket="')[2].partition('"')[0]
    ended = here("check", "--server", server.url, env={"ASYNCUPLOAD_TICKET": ticket})
    assert ended.code == 0, ended
    assert "user           jsmith" in ended.out
    assert server.calls("LogOut") == 0


def test_without_a_server_it_says_how_to_give_one(here: Here) -> None:
    usage(here("check", "--user", "jsmith"), "--server")


@pytest.mark.parametrize("size", [CHUNK - 1, 32 * 1024 * 1024 + 1, 0, "1MiB"])
def test_a_chunk_size_out_of_range_is_refused_with_the_range(server: Server, here: Here, size: object) -> None:
    usage(here("check", "--chunk-size", size, env=server.login), "--chunk-size", str(size))
    assert server.calls("ServerInfo") == 0


def test_options_come_from_the_environment(server: Server, here: Here) -> None:
    env = {**server.login, "ASYNCUPLOAD_CHUNK_SIZE": str(CHUNK), "ASYNCUPLOAD_JSON": "1", "ASYNCUPLOAD_VERBOSE": "2"}
    assert here("check", env=env).said["chunk_size"] == CHUNK


def test_the_command_line_counts_more_than_the_environment(server: Server, here: Here) -> None:
    env = {**server.login, "ASYNCUPLOAD_CHUNK_SIZE": str(CHUNK)}
    assert here("check", "--json", "--chunk-size", 2 * CHUNK, env=env).said["chunk_size"] == 2 * CHUNK


def test_certificate_authorities_that_are_none_are_usage(server: Server, here: Here, tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_text("not a certificate")
    usage(here("check", "--ca-file", tmp_path / "ca.pem", env=server.login), str(tmp_path / "ca.pem"))

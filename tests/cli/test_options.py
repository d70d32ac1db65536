"""What several commands are told: the server, who asks, and how loud to be."""

import shlex
import ssl
import sys
import urllib.parse
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
import trustme
from anyio.from_thread import BlockingPortal
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    load_pem_private_key,
)
from locals_shown import with_locals

from asyncupload import UsageError, _address
from asyncupload.cli.credentials import Origins, program
from asyncupload.emulator import Emulator

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
    words = ("--user", "ASYNCUPLOAD_USER", "ASYNCUPLOAD_TICKET", "--ticket-file", "--ticket-command")
    usage(here("check", "--server", server.url), *words)


def test_missing_credentials_are_told_in_json_too(server: Server, file: Path, here: Here) -> None:
    ended = here("upload", file, "/Library/a.bin", "--json", env=without_password(server))
    assert ended.code == 2
    assert (ended.said["status"], ended.said["error"]) == ("failed", "UsageError")
    assert "no password" in ended.said["message"]


@pytest.mark.parametrize(
    ("content", "told"), [(b"", "gave no password"), (b"\nsecond\n", "gave no password"), (b"\xff\n", "no text")]
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


SECRETS = ["password", "ticket"]
SPARE = "--token=a-spare-key"
HUSH = "hush-hush"
NO_TEXT = HUSH.encode() + b"\xff"
"""An argument that lets whoever sees it ask for the secret, too."""


def python(code: str) -> str:
    return shlex.join([sys.executable, "-c", code, SPARE])


@pytest.mark.parametrize("word", SECRETS)
@pytest.mark.parametrize(
    ("command", "told"),
    [
        (python("raise SystemExit(3)"), f"{sys.executable} ended with exit status 3"),
        (python("import os; os.kill(os.getpid(), 9)"), f"{sys.executable} was ended by signal 9"),
        (f"/no/such/program {SPARE}", "/no/such/program cannot be started (No such file or directory)"),
        (f"'/no/such/program {SPARE}'", "/no/such/program cannot be started"),
        (f"/ {SPARE}", "/ cannot be started (Permission denied)"),
        (python("print()"), "in its first line"),
        (python(r"import sys; sys.stdout.buffer.write(b'hush-\xff')"), "no text"),
        (f"'unbalanced {SPARE}", "No closing quotation"),
        (f"KEY={SPARE} program", "sets a variable"),
        (" ", "no command"),
    ],
)
def test_a_command_that_fails_is_named_without_its_arguments(
    server: Server, here: Here, command: str, told: str, word: str
) -> None:
    for voice in ("-vv", "--json"):
        ended = here("check", voice, f"--{word}-command", command, env=without_password(server))
        said = ended.err + ended.out
        assert ended.code == 2
        assert f"--{word}-command" in said
        assert told in said
        assert "spare-key" not in said
        assert "hush" not in said
    assert server.calls("AuthenticateUser") == server.calls("isValidTicket") == 0


@pytest.mark.parametrize("name", ["false", "/no/such/program"])
def test_neither_are_they_in_its_chain(name: str) -> None:
    with pytest.raises(UsageError) as caught:
        Origins("password", "NOWHERE", None, program(shlex.join([name, SPARE]))).find()
    shown = with_locals(caught.value)
    assert SPARE not in shown
    assert caught.value.__context__ is None


@pytest.mark.parametrize("word", SECRETS)
def test_bytes_that_are_no_text_are_not_in_the_chain(word: str, tmp_path: Path) -> None:
    (tmp_path / "secret").write_bytes(NO_TEXT)
    with pytest.raises(UsageError) as caught:
        Origins(word, "NOWHERE", tmp_path / "secret", None).find()
    shown = with_locals(caught.value)
    assert HUSH not in shown
    assert caught.value.__context__ is None


# ── the rest ──


@pytest.mark.parametrize("word", SECRETS)
@pytest.mark.parametrize("given", [["={}"], ["", "{}"], [""], ["={}", "--ca-file=/nowhere"]])
def test_what_is_given_on_the_command_line_is_refused_and_not_quoted(here: Here, word: str, given: list[str]) -> None:
    first, *more = (each.format("hush-hush") for each in given)
    ended = here("check", f"--{word}{first}", *more)
    usage(ended, f"ASYNCUPLOAD_{word.upper()}", f"--{word}-file", f"--{word}-command")
    assert "hush" not in ended.err


def ticket_of(server: Server) -> str:
    login = urllib.parse.urlencode({"UID": "jsmith", "PWD": PASSWORD}).encode()
    with urllib.request.urlopen(f"{server.url}/srv.asmx/AuthenticateUser", login, timeout=PATIENCE) as answer:
        return str(answer.read().decode().partition('ticket="')[2].partition('"')[0])


@pytest.mark.parametrize("way", ["environment", "file", "command"])
def test_a_lent_ticket_is_used_and_lives_on(server: Server, here: Here, tmp_path: Path, way: str) -> None:
    ticket, env = ticket_of(server), {"ASYNCUPLOAD_SERVER": server.url}
    (tmp_path / "ticket").write_text(f"{ticket}\nanother line\n")
    words: dict[str, list[object]] = {
        "environment": [],
        "file": ["--ticket-file", tmp_path / "ticket"],
        "command": ["--ticket-command", shlex.join(["cat", str(tmp_path / "ticket")])],
    }
    ended = here("check", *words[way], env={**env, "ASYNCUPLOAD_TICKET": ticket if way == "environment" else "another"})
    assert ended.code == 0, ended
    assert "user           jsmith" in ended.out
    assert server.calls("LogOut") == 0


def test_a_ticket_takes_the_place_of_user_and_password(server: Server, here: Here) -> None:
    env = {**server.login, "ASYNCUPLOAD_TICKET": "0b0e1c52-0000-4000-8000-000000000000"}
    ended = here("check", "-vv", env=env)
    assert ended.code == 4
    assert server.calls("AuthenticateUser") == 0
    assert "0b0e1c52" not in ended.out + ended.err


# ── what can be read on the way ──


@pytest.fixture
def proxied(server: Server, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """An environment in which the server has a name that is not this machine's."""
    monkeypatch.setattr(_address, "_warned_of", set())
    at, _, path = server.url.removeprefix("http://").partition("/")
    return {**server.login, "ASYNCUPLOAD_SERVER": f"http://documents.invalid/{path}", "http_proxy": f"http://{at}"}


def test_a_server_without_encryption_is_warned_of_once(proxied: dict[str, str], here: Here) -> None:
    first, second = (here("check", "--json", "-vv", env=proxied) for _ in range(2))
    assert first.said["status"] == second.said["status"] == "ok"
    assert first.err.count("without encryption") == 1
    assert "http://documents.invalid is asked" in first.err
    assert "without encryption" not in first.out + second.err


def test_the_warning_comes_before_the_question_for_the_password(proxied: dict[str, str]) -> None:
    del proxied["ASYNCUPLOAD_PASSWORD"]
    with terminal("check", env=proxied) as shell:
        shell.wait_for("Password of jsmith: ")
        assert "without encryption" in shell.text
        shell.type("\x03")
        shell.end()


def test_who_wants_errors_only_is_not_warned(proxied: dict[str, str], here: Here) -> None:
    assert here("check", "--quiet", env=proxied) == (0, "", "")


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


# ── who the client is, to a server that asks for a certificate ──


@pytest.fixture
def guarded(portal: BlockingPortal, tmp_path: Path) -> Iterator[dict[str, str]]:
    """A server that asks for certificates, and an environment that knows it. The client's key is encrypted."""
    authority, context = trustme.CA(), ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    authority.configure_trust(context)
    context.verify_mode = ssl.CERT_REQUIRED
    own = authority.issue_cert("client@example.org")
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    own.cert_chain_pems[0].write_to_path(str(tmp_path / "cert.pem"))
    key, lock = load_pem_private_key(own.private_key_pem.bytes(), None), BestAvailableEncryption(PASSWORD.encode())
    (tmp_path / "key.pem").write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, lock))
    with portal.wrap_async_context_manager(Emulator(tmp_path / "server", ssl_context=context)) as emulator:
        yield {
            "ASYNCUPLOAD_SERVER": emulator.url,
            "ASYNCUPLOAD_USER": "demo",
            "ASYNCUPLOAD_PASSWORD": "demo",
            "ASYNCUPLOAD_CA_FILE": str(tmp_path / "ca.pem"),
            "ASYNCUPLOAD_CLIENT_CERT": str(tmp_path / "cert.pem"),
            "ASYNCUPLOAD_CLIENT_KEY": str(tmp_path / "key.pem"),
        }


def test_the_keys_password_comes_from_where_the_others_come_from(
    guarded: dict[str, str], here: Here, tmp_path: Path
) -> None:
    (tmp_path / "pw").write_text(f"{PASSWORD}\n")
    command = shlex.join([sys.executable, "-c", f"print({PASSWORD!r})"])
    good = (0, "", "")
    assert here("check", "-q", "--tls-min", "1.2", env={**guarded, "ASYNCUPLOAD_CLIENT_KEY_PASSWORD": PASSWORD}) == good
    assert here("check", "-q", "--client-key-password-file", tmp_path / "pw", env=guarded) == good
    assert here("check", "-q", "--client-key-password-command", command, env=guarded) == good


def test_a_key_without_its_password_asks_nobody_on_the_terminal(guarded: dict[str, str], here: Here) -> None:
    usage(here("check", env=guarded), "key.pem is encrypted", "--client-key-password-file")
    usage(here("check", env={**guarded, "ASYNCUPLOAD_CLIENT_KEY_PASSWORD": "x"}), "its password is wrong")


def test_the_keys_password_is_not_taken_from_the_command_line(here: Here) -> None:
    ended = here("check", "--client-key-password", "s3cret")
    usage(ended, "a client-key-password is not taken from the command line", "ASYNCUPLOAD_CLIENT_KEY_PASSWORD")
    assert "s3cret" not in ended.err

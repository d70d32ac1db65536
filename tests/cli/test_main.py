"""The command as a whole: what it documents, and the one rule by which options get their environment names."""

import re
import subprocess
import sys
from pathlib import Path

import click
import pytest

import asyncupload
from asyncupload.cli import COMMANDS, commands, main

from .commands import PATIENCE, environment, run
from .conftest import Here

NAMES = (
    "bench",
    "bulk",
    "check",
    "demo",
    "discard",
    "download",
    "explain",
    "jobs",
    "retry",
    "serve",
    "upload",
    "upload-zip",
    "verify",
)
TRANSFERS = ("bulk", "check", "download", "upload", "upload-zip", "verify")
CLIENT_COMMANDS = (*TRANSFERS, "discard")

HEAVY = {"aiohttp", "anyio", "rich", "structlog", "asyncupload.client", "asyncupload.emulator", "asyncupload.sources"}
"""What takes longer to import than all else together."""


def command(name: str) -> click.Command:
    found = commands.get_command(click.Context(commands), name)
    assert found is not None
    return found


def options(name: str) -> list[click.Option]:
    """Those that are offered."""
    return [one for one in command(name).params if isinstance(one, click.Option) and not one.hidden]


def test_these_are_the_commands() -> None:
    assert sorted(COMMANDS) == sorted(NAMES)
    assert {name: command(name).name for name in NAMES} == {name: name for name in NAMES}


def imported_by(*words: str) -> set[str]:
    """What a process has imported when a command is through."""
    program = "import sys; from asyncupload.cli import main; main(sys.argv[1:]); print(*sys.modules, file=sys.stderr)"
    typed = [sys.executable, "-c", program, *words]
    done = subprocess.run(typed, env=environment(), capture_output=True, text=True, timeout=PATIENCE, check=True)
    return set(done.stderr.split())


def test_help_comes_at_once() -> None:
    assert not imported_by("--help") & HEAVY


def test_a_server_needs_no_client_and_a_client_no_server() -> None:
    assert not imported_by("serve", "--help") & {"asyncupload.client", "rich", "structlog"}
    assert "asyncupload.emulator" not in imported_by("upload", "--help")


def test_help_shows_every_command_the_exit_codes_and_the_rule() -> None:
    ended = run("--help")
    assert (ended.code, ended.err) == (0, "")
    for name in NAMES:
        assert re.search(rf"^  {name} +\S", ended.out, re.MULTILINE)
    for code in ("0 all stored", "2 usage", "4 login", "5 server", "6 verification", "7 outcome", "130/143"):
        assert code in ended.out
    assert "ASYNCUPLOAD_CHUNK_SIZE" in ended.out


def test_version_is_the_packages() -> None:
    assert run("--version") == (0, f"asyncupload, version {asyncupload.__version__}\n", "")


def test_without_a_command_it_helps_and_says_that_this_was_not_enough(here: Here) -> None:
    ended = here()
    assert (ended.code, ended.out) == (2, "")
    assert "Usage: asyncupload" in ended.err


@pytest.mark.parametrize(
    "words", [("uplaod",), ("upload", "--colour", "blue", "a", "b"), ("upload", "a"), ("check", "x")]
)
def test_what_is_not_understood_is_usage_and_where_help_is(here: Here, words: tuple[str, ...]) -> None:
    ended = here(*words)
    assert (ended.code, ended.out) == (2, "")
    assert words[1] in ended.err if "--colour" in words else "Error" in ended.err
    assert re.search(r"Try 'asyncupload.* (-h|--help)' for help", ended.err)
    assert "Traceback" not in ended.err


@pytest.mark.parametrize("name", ["Client", "nonsense"])
def test_what_is_imported_on_first_use_is_there_and_else_nothing(name: str) -> None:
    assert hasattr(asyncupload, name) == (name in asyncupload.__all__)


@pytest.mark.parametrize("name", NAMES)
def test_every_command_and_every_option_is_documented(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([name, "--help"]) == 0
    shown = capsys.readouterr().out
    assert command(name).help
    for option in options(name):
        assert option.help, option.name
        assert max(option.opts, key=len) in shown


@pytest.mark.parametrize("name", NAMES)
def test_every_options_environment_name_is_its_long_name(name: str) -> None:
    for option in options(name):
        long = max(option.opts, key=len)
        assert long.startswith("--")
        assert option.envvar == "ASYNCUPLOAD_" + long.removeprefix("--").replace("-", "_").upper()


@pytest.mark.parametrize("name", CLIENT_COMMANDS)
def test_neither_a_password_nor_a_ticket_is_offered_on_the_command_line(name: str) -> None:
    assert not {"--password", "--ticket", "--client-key-password"} & {
        word for option in options(name) for word in option.opts
    }


@pytest.mark.parametrize("name", CLIENT_COMMANDS)
def test_a_client_command_takes_the_connection_and_the_voice(name: str) -> None:
    secrets = {"--password-file", "--password-command", "--ticket-file", "--ticket-command"}
    tls = {"--ca-file", "--client-cert", "--client-key", "--tls-min"}
    secrets |= {"--client-key-password-file", "--client-key-password-command"}
    connection = {"--server", "--user"} | tls | secrets
    voice = {"--json", "--quiet", "-q", "--verbose", "-v"}
    words = {word for option in options(name) for word in option.opts}
    assert connection | voice <= words
    assert ("--chunk-size" in words) == (name in TRANSFERS)


def test_the_installed_command_is_this_one() -> None:
    script = Path(sys.executable).with_name("asyncupload")
    if not script.exists():
        pytest.skip("the package is not installed in this environment")
    assert "asyncupload.__main__" in script.read_text("utf-8")

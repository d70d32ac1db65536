"""The command line: the only room that prints."""

from collections.abc import Mapping, Sequence
from importlib import import_module
from types import MappingProxyType

import click

from asyncupload import __version__

from . import terminal

COMMANDS: Mapping[str, str] = MappingProxyType(
    {
        "upload": "Bring one file, or what comes on standard input.",
        "bulk": "Bring a folder of files, or what a list names.",
        "upload-zip": "Bring a ZIP archive, of whose entries the server makes documents.",
        "download": "Bring a document back, verified.",
        "verify": "Find out whether a stored document is this file.",
        "jobs": "List the journals of loads, and how far they have come.",
        "retry": "Plan what failed in a load again.",
        "explain": "Tell all that happened to one file of a load.",
        "discard": "Delete upload handlers that were left on the server.",
        "check": "Reach the server, log in, and say what it grants.",
        "bench": "Measure the line to the server, and propose settings.",
        "serve": "Run a document server on this machine.",
        "demo": "Bring a file up to such a server and back, and compare.",
    }
)
"""What there is, in the order of the help. Each stands in the module of its name."""


class _OnDemand(click.Group):
    """Imports a command when it is asked for: the help of all of them needs neither a client nor a server."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002  (click's)
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        if cmd_name not in COMMANDS:
            return None
        name = cmd_name.replace("-", "_")
        command: click.Command = getattr(import_module(f".{name}", __name__), name)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


@click.group(cls=_OnDemand, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="asyncupload")
def commands() -> None:
    """Bring files into an infoRouter document server: in order, CRC-checked, exactly once.

    Every option can also be given in the environment: --chunk-size as ASYNCUPLOAD_CHUNK_SIZE, and so on. The password
    is only taken from ASYNCUPLOAD_PASSWORD, --password-file, --password-command, or a prompt, and a
    session's ticket only from ASYNCUPLOAD_TICKET, --ticket-file, or --ticket-command; an encrypted
    client key's from ASYNCUPLOAD_CLIENT_KEY_PASSWORD and options of that name.

    \b
    Exit codes: 0 all stored or unchanged    1 some failed            2 usage or manifest
                3 some skipped               4 login or rights        5 server unavailable
                6 verification failed        7 outcome unknown        130/143/129 interrupted
    """


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command and return its exit code. ``arguments`` default to the process's own.

    The code tells what became of the documents, also if standard output or standard error cannot be written to.
    """
    with terminal.streams():
        return _ended(arguments)


def _ended(arguments: Sequence[str] | None) -> int:
    try:
        result = commands.main(args=arguments, prog_name="asyncupload", standalone_mode=False)
    except click.ClickException as error:
        terminal.refuse(error)
        return error.exit_code
    except click.Abort:  # Ctrl-C outside of a transfer, as at the prompt for the password
        terminal.warn("asyncupload: interrupted")
        return 130
    except Exception as error:  # noqa: BLE001  (a fault of the program's, whose text may be anybody's too)
        return _surrounded(error)
    return result if isinstance(result, int) else 0


def _surrounded(error: Exception) -> int:
    from .surroundings import told  # noqa: PLC0415  (not for those whom nothing befalls)

    if not (words := told(error)):
        terminal.blame()
        return 1
    terminal.warn(f"asyncupload: {words}")
    return 2

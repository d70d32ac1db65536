"""The command line: the only room that prints."""

import io
import sys
from collections.abc import Sequence

import click

from asyncupload import __version__

from .check import check
from .demo import demo
from .download import download
from .serve import serve
from .upload import upload


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="asyncupload")
def commands() -> None:
    """Bring files into an infoRouter document server: in order, CRC-checked, exactly once.

    Every option can also be given in the environment: --chunk-size as ASYNCUPLOAD_CHUNK_SIZE, and so on. The password
    is only taken from ASYNCUPLOAD_PASSWORD, --password-file, --password-command, or a prompt.

    \b
    Exit codes: 0 all stored or unchanged    1 failed                 2 usage
                4 login or rights            5 server unavailable     6 verification failed
                7 outcome unknown            130/143 interrupted
    """


for command in (upload, download, check, serve, demo):
    commands.add_command(command)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command and return its exit code. ``arguments`` default to the process's own."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        # A document may be stored by the time that its name turns out to be none that the terminal can show.
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        result = commands.main(args=arguments, prog_name="asyncupload", standalone_mode=False)
    except click.ClickException as error:
        error.show(file=sys.stderr)
        return error.exit_code
    except click.Abort:  # Ctrl-C outside of a transfer, as at the prompt for the password
        click.echo("asyncupload: interrupted", err=True)
        return 130
    return result if isinstance(result, int) else 0

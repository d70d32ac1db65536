"""What several commands are told: the server, the credentials, how to speak. One rule names every environment
variable."""

import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import click

from asyncupload import _signals
from asyncupload._secret import Secret, unmarked
from asyncupload.errors import UsageError
from asyncupload.settings import CHECKS, DEFAULT_CHUNK, LARGEST_CHUNK, SMALLEST_CHUNK, Retries, Settings

from . import terminal
from .credentials import Origins, program, refusing

if TYPE_CHECKING:
    from asyncupload.client import Client

PREFIX = "ASYNCUPLOAD_"
_PASSWORD, _TICKET = f"{PREFIX}PASSWORD", f"{PREFIX}TICKET"
_KEY_PASSWORD = f"{PREFIX}CLIENT_KEY_PASSWORD"

Command = Callable[..., Any]


def option(name: str, *more: str, **rest: Any) -> Callable[[Command], Command]:
    """A click option whose environment variable is its long name: ``--chunk-size`` is ``ASYNCUPLOAD_CHUNK_SIZE``, and
    ``--notify/--no-notify`` is ``ASYNCUPLOAD_NOTIFY``."""
    long = name.partition("/")[0].strip("-")
    return click.option(name, *more, envvar=PREFIX + long.upper().replace("-", "_"), **rest)


@dataclass(frozen=True, slots=True)
class Voice:
    """How to speak."""

    json: bool
    quiet: bool


@dataclass(frozen=True, slots=True)
class Tls:
    """How to make sure of the server, and to show it who asks."""

    ca_file: Path | None
    client_cert: Path | None
    client_key: Path | None
    key_password: Origins
    minimum: Literal["1.2", "1.3"] | None

    def arguments(self, warn: Callable[[str], None]) -> dict[str, Any]:
        """Of a client. The key's password is looked for only where there is a certificate: the environment may have it
        for other servers."""
        return {
            "ca_file": self.ca_file,
            "client_cert": self.client_cert,
            "client_key": self.client_key,
            "client_key_password": self.key_password.find(warn) if self.client_cert else None,
            "tls_min": self.minimum,
        }


@dataclass(frozen=True, slots=True)
class Connection:
    """Which server, and as whom."""

    server: str = field(repr=False)
    user: str | None
    password: Origins
    ticket: Origins
    tls: Tls

    def client(self, voice: Voice, settings: Settings | None = None) -> "Client":
        """A client, not yet opened.

        May ask for the password, or run the command that knows it: to be called where a Ctrl-C still ends that. Warns
        before that of a server that is asked without encryption.

        Raises:
            UsageError: There is neither a ticket nor a user with a password, or the URL cannot be one.
        """
        from asyncupload._address import endpoint, first_warning  # noqa: PLC0415  (not for those who get no further)
        from asyncupload.client import Client  # noqa: PLC0415

        def warn(text: str) -> None:
            if not voice.quiet:
                terminal.warn(f"asyncupload: {text}")

        warning = first_warning(endpoint(self.server))
        if warning is not None:
            warn(warning)
        ticket = self.ticket.find(warn)
        if ticket is None and not self.user:
            raise UsageError(
                f"who are you? give --user (or {PREFIX}USER) and a password; or, for a ticket, {self.ticket.named}"
            )
        return Client(
            self.server,
            user=None if ticket or self.user is None else unmarked(self.user),
            password=None if ticket else self.password.find(warn) or self._asked(),
            ticket=ticket,
            **self.tls.arguments(warn),
            settings=settings,
        )

    def _asked(self) -> Secret:
        if sys.stdin is not None and sys.stdin.isatty() and terminal.watched():
            with _signals.asking():
                return Secret(unmarked(terminal.ask_secret(f"Password of {self.user}")))
        raise UsageError(f"no password: {self.password.named}")


def connection_options(command: Command) -> Command:
    """Adds the options of :class:`Connection`, handed to the command as ``connection``."""

    @option("--server", required=True, metavar="URL", help="The server, as https://host/InfoRouter.")
    @option("--user", metavar="NAME", help="Login name.")
    @option("--password-file", type=_FILE, help="Its first line is the password.")
    @option(
        "--password-command", type=program, metavar="CMD", help="A command whose first line of output is the password."
    )
    @option("--ticket-file", type=_FILE, help="Its first line is a session's ticket, instead of user and password.")
    @option(
        "--ticket-command", type=program, metavar="CMD", help="A command whose first line of output is that ticket."
    )
    @refusing("password", _PASSWORD)
    @refusing("ticket", _TICKET)
    @_tls_options
    @wraps(command)
    def wrapped(server: str, user: str | None, **rest: Any) -> Any:
        password = Origins("password", _PASSWORD, rest.pop("password_file"), rest.pop("password_command"))
        ticket = Origins("ticket", _TICKET, rest.pop("ticket_file"), rest.pop("ticket_command"))
        return command(connection=Connection(server, user, password, ticket, rest.pop("tls")), **rest)

    return wrapped


def _tls_options(command: Command) -> Command:
    """Adds the options of :class:`Tls`, handed to the command as ``tls``."""

    @option("--ca-file", type=_FILE, help="Certificate authorities to trust (PEM).")
    @option("--client-cert", type=_FILE, help="The client's certificate, for a server that asks for one (PEM).")
    @option("--client-key", type=_FILE, help="Its private key, if that stands in a file of its own (PEM).")
    @option("--client-key-password-file", type=_FILE, help="Its first line is the password of an encrypted key.")
    @option(
        "--client-key-password-command",
        type=program,
        metavar="CMD",
        help="A command whose first line of output is that password.",
    )
    @refusing("client-key-password", _KEY_PASSWORD)
    @option("--tls-min", type=click.Choice(["1.2", "1.3"]), help="The oldest version of TLS to speak.")
    @wraps(command)
    def wrapped(ca_file: Path | None, client_cert: Path | None, client_key: Path | None, **rest: Any) -> Any:
        file, told_by = rest.pop("client_key_password_file"), rest.pop("client_key_password_command")
        password = Origins("client-key-password", _KEY_PASSWORD, file, told_by)
        return command(tls=Tls(ca_file, client_cert, client_key, password, rest.pop("tls_min")), **rest)

    return wrapped


def voice_options(command: Command) -> Command:
    """Adds ``--json``, ``--quiet`` and ``-v``, handed to the command as ``voice``."""

    @option("--json", is_flag=True, help="One JSON object per result on standard output.")
    @option("--quiet", "-q", is_flag=True, help="No progress, no results; errors only.")
    @option("--verbose", "-v", count=True, help="Log lines on standard error; twice for all of them.")
    @wraps(command)
    def wrapped(json: bool, quiet: bool, verbose: int, **rest: Any) -> Any:  # noqa: FBT001  (click's)
        if verbose:
            terminal.log(10 if verbose > 1 else 20)
        return command(voice=Voice(json, quiet), **rest)

    return wrapped


def chunk_size_option(command: Command) -> Command:
    """Adds ``--chunk-size``."""
    return option(
        "--chunk-size",
        type=click.IntRange(SMALLEST_CHUNK, LARGEST_CHUNK),
        metavar="BYTES",
        default=DEFAULT_CHUNK,
        show_default=True,
        help="Bytes per chunk to ask the server for.",
    )(command)


def give_up_option(command: Command) -> Command:
    """Adds ``--give-up-after``, handed to the command as ``retries``."""

    @option(
        "--give-up-after",
        type=click.FloatRange(min=0),
        metavar="SECONDS",
        help="With a server that is away or in trouble: 300, but few attempts only with one that has never answered. "
        "A number given here holds for that one, too.",
    )
    @wraps(command)
    def wrapped(give_up_after: float | None, **rest: Any) -> Any:
        if give_up_after is None:
            return command(retries=Retries(), **rest)
        return command(retries=Retries(give_up_after=give_up_after, first_attempts=None), **rest)

    return wrapped


def _checks(text: str) -> frozenset[str] | None:
    names = frozenset(name.strip().lower() for name in text.split(","))
    if names == {"auto"}:
        return None
    if not names <= {*CHECKS}:
        raise click.BadParameter(f"it is a list of {', '.join(CHECKS)}; or auto")
    return names


def check_source_option(command: Command) -> Command:
    """Adds ``--check-source``, handed to the command as ``check_source``."""
    return option(
        "--check-source",
        type=_checks,
        metavar="LIST",
        default="auto",
        show_default=True,
        help="By what a file is held to be the same while it is read: size,mtime,inode or some of them; auto finds out "
        "what its file system keeps.",
    )(command)


def encoding_option(command: Command) -> Command:
    """Adds ``--encoding``."""
    return option(
        "--encoding",
        type=click.Choice(["auto", "multipart", "form", "soap"]),
        default="auto",
        show_default=True,
        help="How chunks travel: raw, in base64, or by SOAP; auto finds out.",
    )(command)


_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)

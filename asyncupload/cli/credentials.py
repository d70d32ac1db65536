"""Where a password or a ticket comes from: never from the command line, which everybody on the machine can read."""

import locale
import os
import re
import shlex
import subprocess
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn

import click

from asyncupload import _signals
from asyncupload._secret import Secret
from asyncupload.errors import UsageError


@dataclass(frozen=True, slots=True)
class Program:
    """A command that knows a secret. Its arguments are not shown: they may let whoever reads them ask for it, too."""

    words: tuple[str, ...] = field(repr=False)

    @property
    def name(self) -> str:
        """What is shown of it."""
        return self.words[0].split()[0]

    def output(self, option: str) -> bytes:
        """What it writes to standard output. It may ask somebody, and takes as long as that takes.

        Raises:
            UsageError: It could not be started, or says that it failed.
        """
        output, failure = self._ended()
        if failure:
            raise UsageError(f"{option} failed: {self.name} {failure}")
        return output

    def _ended(self) -> tuple[bytes, str]:
        """Its output, and how it failed: no error comes from here, since the library's quote the arguments."""
        try:
            done = subprocess.run(self.words, stdout=subprocess.PIPE, check=False)  # noqa: S603
        except (OSError, ValueError) as error:
            return b"", f"cannot be started ({getattr(error, 'strerror', None) or type(error).__name__})"
        if done.returncode:
            how = "ended with exit status" if done.returncode > 0 else "was ended by signal"
            return b"", f"{how} {abs(done.returncode)}"
        return done.stdout, ""


def program(text: str) -> Program:
    """A command with its arguments, quoted as for a shell, though no shell reads it.

    Raises:
        BadParameter: It cannot be read. The message does not quote it.
    """
    try:
        words = shlex.split(text)
    except ValueError as error:
        raise click.BadParameter(f"{error}.") from error
    if not words or not words[0].strip():
        raise click.BadParameter("There is no command in it.")
    if re.match(r"\w+=", words[0]):
        raise click.BadParameter("Its first word sets a variable, as only a shell can: write sh -c '...' around it.")
    return Program(tuple(words))


@dataclass(frozen=True, slots=True)
class Origins:
    """The places from which a secret may come.

    Attributes:
        word: What it is: ``password`` or ``ticket``.
        variable: Of the environment. Read here and not by an option, which would take it from the command line too.
        file: Its first line.
        program: The first line of its output. It counts more than a file, and a file more than the environment.
    """

    word: str
    variable: str
    file: Path | None
    program: Program | None

    @property
    def named(self) -> str:
        """What to use, for whoever has given none."""
        return f"set {self.variable}, or give --{self.word}-file or --{self.word}-command"

    def find(self) -> Secret | None:
        """The secret; None if no place is given.

        Blocks, and may run a command: to be called where a Ctrl-C still ends that.

        Raises:
            UsageError: The place that is given does not have it.
        """
        if self.program is not None:
            option = f"--{self.word}-command"
            with _signals.asking():
                found = _first_line(self.program.output(option), locale.getpreferredencoding(do_setlocale=False))
            return found or self._fail(option)
        if self.file is not None:
            where = f"the {self.word} file {self.file}"
            return _first_line(_content_of(self.file, where), "utf-8") or self._fail(where)
        return Secret(os.environ[self.variable]) if os.environ.get(self.variable) else None

    def _fail(self, where: str) -> NoReturn:
        raise UsageError(f"{where} gave no {self.word} in its first line: that is empty, or no text")


def _content_of(file: Path, where: str) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise UsageError(f"{where} cannot be read: {error}") from error


def _first_line(content: bytes, encoding: str) -> Secret | None:
    """None if there is none. An error of the decoder's would have all of it."""
    line = content.partition(b"\n")[0].rstrip(b"\r")
    try:
        return Secret(line.decode(encoding)) if line else None
    except UnicodeDecodeError:
        return None


def refusing(word: str, variable: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Has a command refuse ``--WORD``, saying what to use instead and not what was given."""

    def refuse(ctx: click.Context, _: click.Parameter, given: str | None) -> None:
        if given is not None:
            raise click.UsageError(
                f"a {word} is not taken from the command line, where everybody on this machine can read it; "
                + Origins(word, variable, None, None).named,
                ctx,
            )

    # With a value or without one; before any other option is found wrong.
    rest: dict[str, Any] = {"is_flag": False, "flag_value": "", "hidden": True, "expose_value": False, "is_eager": True}
    return click.option(f"--{word}", callback=refuse, **rest)

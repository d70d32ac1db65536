"""Where a password or a ticket comes from: never from the command line, which everybody on the machine can read."""

import locale
import os
import re
import shlex
import subprocess
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import click

from asyncupload import _signals
from asyncupload._secret import Secret, first_line, unmarked
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

    def find(self, warn: Callable[[str], None] = lambda _: None) -> Secret | None:
        """The secret; None if no place is given. Byte order marks and line ends are no part of it.

        Blocks, and may run a command: to be called where a Ctrl-C still ends that.

        Args:
            warn: Told what was found around it, if that is not what is usual there.

        Raises:
            UsageError: The place that is given does not have it.
        """
        if self.program is not None:
            where = f"--{self.word}-command"
            with _signals.asking():
                secret, marked = _first_line(self.program.output(where), _of_the_locale(), "utf-8")
            found = f"{where} gave no {self.word} in its first line: that"
        elif self.file is not None:
            where = f"the {self.word} file {self.file}"
            secret, marked = _first_line(_content_of(self.file, where), "utf-8")
            found = f"{where} gave no {self.word} in its first line: that"
        elif os.environ.get(self.variable):
            where, found = self.variable, f"{self.variable} gives no {self.word}: what is set there"
            secret, marked = _set(self.variable)
        else:
            return None
        if secret is None:
            raise UsageError(f"{found} is empty, or no text; write it as UTF-8")
        if marked:
            warn(f"{where} has a line end or a byte order mark, which is not taken for a part of the {self.word}")
        return secret


def _of_the_locale() -> str:
    return locale.getpreferredencoding(do_setlocale=False)


def _first_line(content: bytes, *encodings: str) -> tuple[Secret | None, bool]:
    """The secret in it, None if there is none, and whether there is a mark to be told of: every file ends a line."""
    line, marked = first_line(content, *encodings)
    return (Secret(line) if line else None), marked


def _set(variable: str) -> tuple[Secret | None, bool]:
    """What the environment has. Its bytes are UTF-8 nearly everywhere, also where the locale does not say so."""
    text = os.environ[variable]
    with suppress(UnicodeError):
        text = os.fsencode(text).decode("utf-8")
    found = unmarked(text)
    is_text = found.isascii() or not any("\ud800" <= character <= "\udfff" for character in found)
    return (Secret(found) if found and is_text else None), found != text


def _content_of(file: Path, where: str) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise UsageError(f"{where} cannot be read: {error}") from error


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

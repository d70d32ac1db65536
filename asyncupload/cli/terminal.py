"""All that is said: the one room that writes to standard output and standard error.

Names of files, answers of servers and texts of errors come from anybody. Each line goes through `shown`, so that none
of it moves the cursor, retitles a window, turns the direction of reading, or makes a line of its own; a rich console
gets texts without markup. JSON needs none of that: it is ASCII.
"""

import io
import json
import os
import sys
import traceback
from collections.abc import Iterator, MutableMapping
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, TextIO

import click

from asyncupload import _signals
from asyncupload._shown import shown

from .outlet import Outlet, Styled

if TYPE_CHECKING:
    from rich.console import Console

STDERR_PATIENCE = 5.0
"""Seconds at the end for whoever reads standard error."""
POLL = 0.05

_above: "dict[bool, Console]" = {}
"""What is drawn on the terminal at this moment, below the lines of standard error (True) or standard output (False)."""


def say(*lines: str, **style: Any) -> None:
    """Results for people, on standard output; ``style`` is click's, for a terminal."""
    _write(lines, err=False, style=style)


def warn(*lines: str, **style: Any) -> None:
    """Everything else, on standard error."""
    _write(lines, err=True, style=style)


def tell(facts: dict[str, Any]) -> None:
    """One result as a JSON object on a line of its own, on standard output."""
    # Surrogates (undecodable bytes of a local file name) would not survive as UTF-8; escaped, they do.
    _put(json.dumps(facts, ensure_ascii=True), err=False)


def ask_secret(question: str) -> str:
    """What somebody types and nobody sees."""
    return str(click.prompt(shown(question), hide_input=True, err=True))


def refuse(error: click.ClickException) -> None:
    """Say what was typed wrongly, and where help is."""
    kept, message = io.StringIO(), error.format_message()
    error.show(file=kept)
    text = kept.getvalue()
    if type(error).__name__ != "NoArgsIsHelpError":  # its message is the help
        # What is no terminal gets the message without what would colour it, and it is not found as it was then.
        for form in (message, click.unstyle(message)):
            text = text.replace(form, shown(form))
    warn(*text.expandtabs().rstrip("\n").split("\n"))


def blame() -> None:
    """Show the traceback of an error that nobody expected."""
    warn(*traceback.format_exc().expandtabs().rstrip("\n").split("\n"))


def watched(*, err: bool = True) -> bool:
    """Whether a stream, standard error unless said otherwise, is a terminal."""
    stream = _stream(err=err)
    return stream is not None and stream.isatty()


def console() -> "Console":
    """Standard error for what is drawn. It takes no markup."""
    from rich.console import Console  # noqa: PLC0415  (not for those who need none)

    stream = _stream(err=True)
    file = Styled(stream) if isinstance(stream, Outlet) else stream
    return Console(file=file, stderr=True, markup=False, emoji=False, highlight=False)  # type: ignore[arg-type]


@contextmanager
def above(drawn: "Console") -> Iterator[None]:
    """While it lasts, lines stand above what is drawn there."""
    for err in (True, False):
        if watched(err=err):
            _above[err] = drawn
    try:
        yield
    finally:
        _above.clear()


def show_cursor() -> None:
    """Give the terminal back as it was."""
    console().show_cursor()


def behind() -> bool:
    """Whether so much waits for the reader of standard output that nothing should be begun that has more to say."""
    return isinstance(sys.stdout, Outlet) and sys.stdout.behind


async def room() -> None:
    """Wait while so much waits for the reader of standard output."""
    import anyio  # noqa: PLC0415  (not for those who have no loop)

    while behind():  # noqa: ASYNC110  (whoever reads wakes nobody)
        await anyio.sleep(POLL)


def log(level: int) -> None:
    """Have log lines from ``level`` up on standard error."""
    import structlog  # noqa: PLC0415  (a tenth of a second, for those who ask for it)

    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            # The plain kind: structlog's own would print the local variables of every frame.
            structlog.processors.format_exc_info,
            _tamed,
            structlog.dev.ConsoleRenderer(colors=watched()),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=lambda *_: _Log(),
    )


@contextmanager
def streams() -> Iterator[None]:
    """Let nothing that befalls standard output or standard error end what is done meanwhile: see `Outlet`.

    At the end, whoever reads is waited for: on standard output until all is read, or a signal comes; on standard error
    for `STDERR_PATIENCE` seconds.
    """
    _plug()
    before = sys.stdout, sys.stderr
    out = Outlet(before[0], lose=_tell_of_loss, drop=False, tame=_tame)
    err = Outlet(before[1], lose=lambda _: None, drop=True, tame=_tame)
    sys.stdout, sys.stderr = out, err
    try:
        yield
    finally:
        for outlet, seconds in ((out, None), (err, STDERR_PATIENCE)):
            with suppress(KeyboardInterrupt), _signals.heeding(_signals.interrupt):
                outlet.drain(seconds)
        sys.stdout, sys.stderr = before


def end_now(code: int, *, within: float = 1.0) -> None:
    """End the process, without its regular end, which waits for threads; ``within`` seconds for whoever reads."""
    for stream in (sys.stderr, sys.stdout):
        with suppress(OSError, ValueError, AttributeError):  # closed, or never there
            stream.drain(within) if isinstance(stream, Outlet) else stream.flush()
    os._exit(code)


def _write(lines: tuple[str, ...], *, err: bool, style: dict[str, Any]) -> None:
    for line in map(shown, lines):
        _put(click.style(line, **style) if style and watched(err=err) else line, err=err)


def _put(line: str, *, err: bool) -> None:
    """A whole line that is fit for a terminal, be it with our own colours in it."""
    if (drawn := _above.get(err)) is not None:
        from rich.text import Text  # noqa: PLC0415

        drawn.print(Text.from_ansi(line), soft_wrap=True)
        return
    stream = _stream(err=err)
    if isinstance(stream, Outlet):
        stream.put(f"{line}\n")
    else:  # outside of `streams`
        click.echo(line, err=err)


def _stream(*, err: bool) -> TextIO | Outlet | None:
    return sys.stderr if err else sys.stdout


def _tame(text: str) -> str:
    """What libraries write: their lines are theirs."""
    return "\n".join(map(shown, text.expandtabs().split("\n")))


def _tell_of_loss(reason: str) -> None:
    warn(
        f"asyncupload: standard output cannot be written to ({reason}): what was to stand there is lost. The work goes "
        "on, and the exit code tells what became of the documents"
    )


def _tamed(_logger: Any, _name: str, entry: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """The facts of a log line. Those lines of a traceback that are not its first stand apart from the margin."""
    for name, value in entry.items():
        if name in {"exception", "stack"}:
            entry[name] = "\n  ".join(map(shown, str(value).split("\n")))
        elif not isinstance(value, int | float | None):
            entry[name] = shown(value if isinstance(value, str) else repr(value))
    return entry


class _Log:
    """structlog's logger: writes lines, wherever standard error is at that moment."""

    def msg(self, message: str) -> None:
        for line in message.split("\n"):
            _put(line, err=True)

    debug = info = warning = error = critical = exception = log = failure = fatal = err = warn = msg


def _plug() -> None:
    """Let no file take the number of a standard stream that was closed: whoever writes there would write into it."""
    if os.name != "posix":
        return
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)  # noqa: FBT003  (it takes the lowest free number)

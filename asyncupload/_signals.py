"""What a signal does to the process of a command: Ctrl-C, SIGTERM, and SIGHUP, as when its terminal is closed."""

import os
import signal
import stat
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType

NUMBERS = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name))

Handler = Callable[[int, FrameType | None], None]


def code_of(number: int) -> int:
    """What the process ends with, as every shell has it: 130, 143, 129."""
    return 128 + number


def leave(number: int, _: FrameType | None = None) -> None:
    """End here and now: nothing has begun yet, and an exception could come up in the middle of an import."""
    _let_go_of_terminals()
    with suppress(OSError):
        os.write(2, b"asyncupload: interrupted\n")
    os._exit(code_of(number))


def finish(number: int, _: FrameType | None = None) -> None:
    """Go on: the work has ended, and the exit code will tell what became of it. Another signal does not wait for that,
    as where nobody reads what is said."""
    signal.signal(number, leave)


def heed() -> None:
    """From here on the process is a command's. What it was told to ignore (``nohup``) it goes on to ignore."""
    for number in NUMBERS:
        if signal.getsignal(number) in {signal.SIG_DFL, signal.default_int_handler}:
            signal.signal(number, leave)


@contextmanager
def heeding(handler: Handler, *, after: Handler = finish) -> Iterator[None]:
    """Have ``handler`` called meanwhile, in the main thread: others are told nothing.

    Args:
        handler: A signal's.
        after: What is called from then on, in a process that is a command's.
    """
    in_main = threading.current_thread() is threading.main_thread()
    before = {number: signal.getsignal(number) for number in NUMBERS if in_main}
    taken = {number: old for number, old in before.items() if old not in {None, signal.SIG_IGN}}
    for number in taken:
        signal.signal(number, handler)
    try:
        yield
    finally:
        for number, old in taken.items():
            signal.signal(number, after if old is leave else old)


@contextmanager
def asking() -> Iterator[None]:
    """Likewise, where something must be put back, as the terminal's echo: a signal comes as an exception.

    Raises:
        KeyboardInterrupt: Ctrl-C.
        SystemExit: Another signal.
    """

    def come(number: int, _: FrameType | None) -> None:
        if number == signal.SIGINT:
            raise KeyboardInterrupt
        hang_up(number)
        raise SystemExit(code_of(number))

    with heeding(come, after=leave):  # what it is asked for has yet to begin
        yield


def interrupt(number: int, _: FrameType | None) -> None:  # noqa: ARG001  (a handler takes it)
    """End a wait that nothing depends on any more.

    Raises:
        KeyboardInterrupt: Whatever the signal was.
    """
    raise KeyboardInterrupt


def hang_up(number: int) -> None:
    """If a terminal is gone, what is said goes nowhere, instead of failing."""
    if number != signal.SIGINT:
        _let_go_of_terminals()


def _let_go_of_terminals() -> None:
    for descriptor in (0, 1, 2):
        with suppress(OSError):
            if stat.S_ISCHR(os.fstat(descriptor).st_mode) and not os.isatty(descriptor):
                nothing = os.open(os.devnull, os.O_RDWR)
                os.dup2(nothing, descriptor)
                os.close(nothing)

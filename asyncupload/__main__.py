"""``python -m asyncupload``, and the command ``asyncupload``: a process, from its first line to its last."""

import os
import sys
from contextlib import suppress

from . import _signals


def main() -> None:
    """Run the command that was typed, and end the process with its exit code.

    At its end nothing is waited for: not for a thread that hangs in a read, and no signal finds an interpreter that is
    half torn down. What was said is flushed, and nothing else is left to be done.
    """
    _signals.heed()
    from .cli import main as typed  # noqa: PLC0415  (takes a while, in which signals are heeded already)

    code = typed()
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError, AttributeError):  # closed, or never there
            stream.flush()
    os._exit(code)


if __name__ == "__main__":
    main()

"""Surroundings in which no command can work, in the words of whoever has to mend them.

Libraries and the interpreter meet them anywhere, and raise whatever comes to hand. What is not known here is a fault of
the program's.
"""

import errno
import os
import tempfile

_LIMITS = frozenset({errno.EMFILE, errno.ENFILE})


def told(error: BaseException) -> str:
    """What is wrong around the process, if that is where an error comes from; empty if it is not."""
    if isinstance(error, OSError):
        return _of_the_system(error)
    if isinstance(error, MemoryError):
        return "there is no memory left: allow fewer files or smaller chunks (--files, --memory, --chunk-size)"
    return next((advice for words, advice in _SAID if isinstance(error, RuntimeError) and words in str(error)), "")


_SAID = (
    ("home directory", "this user has no home folder: set HOME to a folder of yours"),
    ("start new thread", "this user may start no more threads: see ulimit -u, or the limits of the container"),
)
"""What errors say that have no kind of their own."""


def _of_the_system(error: OSError) -> str:
    if not _has_current_folder():
        return (
            "the current folder is gone (removed, renamed or no longer mounted): go to another one (cd), and run again"
        )
    if isinstance(error, FileNotFoundError) and not _has_temporary_folder():
        return "there is no folder for temporary files: set TMPDIR to one that you may write to, with room in it"
    return f"{error.strerror}: see ulimit -n, or close other programs" if error.errno in _LIMITS else ""


def _has_current_folder() -> bool:
    try:
        os.getcwd()  # noqa: PTH109  (the same)
    except OSError:
        return False
    return True


def _has_temporary_folder() -> bool:
    try:
        tempfile.gettempdir()
    except OSError:
        return False
    return True

"""What a load is told to write into must be a file."""

import os
from pathlib import Path

from asyncupload._targets import irregular
from asyncupload.errors import UsageError


def require_regular(path: Path, what: str) -> None:
    """Find out before a load whether something else than a file stands where its ``what`` is to be. Blocks.

    Raises:
        UsageError: A directory, a pipe, a device stands there, or the operating system does not tell.
    """
    try:
        kind = irregular(path)
    except OSError as error:
        raise UsageError(f"the {what} {path} cannot be written: {error.strerror or error}; name another one") from error
    if kind:
        raise UsageError(f"the {what} {path} is {kind}: it must be a regular file; name another one")


def require_writable(path: Path) -> None:
    """Find out before a load whether a journal can be kept at a path. Blocks.

    Raises:
        UsageError: Its folder or the file itself may not be written to, as on a disk that is read-only.
    """
    folder = path.absolute().parent
    wrong = next((one for one in (folder, path) if one.exists() and not os.access(one, os.W_OK)), None)
    if wrong is not None:
        raise UsageError(
            f"the journal {path} cannot be kept there: {wrong} is not yours to write to, or its disk is read-only. "
            "Nothing is sent that cannot be recorded: name another place by --journal"
        )

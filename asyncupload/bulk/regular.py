"""What a load is told to write into must be a file."""

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

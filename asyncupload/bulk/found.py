"""What stands at a path on this side, and whether it can be sent."""

import os
import stat
from typing import NamedTuple

from .destinations import Destined
from .rows import Item, Metadata

EMPTY = "it is empty, and the protocol cannot carry an empty document"

NO_METADATA = Metadata()

_KINDS = {
    stat.S_IFIFO: "a named pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
    stat.S_IFDIR: "a folder",
    stat.S_IFLNK: "a symbolic link",
}


class Problem(NamedTuple):
    """Why a file is never sent."""

    text: str
    fatal: bool
    """Whether that is a failure, and not a reason to pass the file over."""


def kind(mode: int) -> str:
    """What is not a regular file, in a word with its article."""
    return _KINDS.get(stat.S_IFMT(mode), "neither a file nor a folder")


def item(
    source: bytes,
    destined: Destined,
    seen: os.stat_result | None,
    problem: Problem | None,
    *,
    line: int = 0,
    metadata: Metadata = NO_METADATA,
) -> Item:
    """The row of a file. A name that cannot go is a failure, unless the file would not be sent under any name."""
    if destined.problem and not problem:
        problem = Problem(destined.problem, fatal=True)
    return Item(
        source=source,
        destination=destined.path,
        size=seen.st_size if seen else None,
        mtime_ns=seen.st_mtime_ns if seen else None,
        line=line,
        metadata=metadata,
        problem=problem.text if problem else "",
        fatal=problem.fatal if problem else False,
    )


def unseen(error: OSError) -> Problem:
    """For a path at which looking failed."""
    if isinstance(error, FileNotFoundError | NotADirectoryError):
        return Problem("nothing is there (any more)", fatal=True)
    return Problem(f"it cannot be looked at: {error.strerror or error}", fatal=True)

"""What a SOURCE on the command line means: a file, or ``-`` for standard input."""

import asyncio
import os
import stat
import sys
from pathlib import Path
from typing import TextIO

from asyncupload.errors import SourceUnreadable
from asyncupload.sources import FileSource, PathSource, Source

STANDARD_INPUT = "-"


def title(source: str) -> str:
    """What a progress bar calls it."""
    if source == STANDARD_INPUT:
        return "standard input"
    return Path(source).name.encode("utf-8", "replace").decode()


async def opened(source: str, check: frozenset[str] | None = None) -> Source:
    """Ready to be read, on the loop that will read it.

    Raises:
        SourceUnreadable: Standard input is closed.
    """
    return await _standard_input() if source == STANDARD_INPUT else PathSource(source, check=check)


async def _standard_input() -> Source:
    """A pipe is read by the loop itself: a thread that waits in read() could not be interrupted."""
    if sys.stdin is None:  # Python's word for a descriptor that was closed before it started
        raise SourceUnreadable("standard input is closed")
    if not _is_waited_for(sys.stdin):
        return FileSource(sys.stdin.buffer, name="standard input")
    reader = asyncio.StreamReader(limit=1024 * 1024)
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    return FileSource(reader, name="standard input")


def _is_waited_for(stream: TextIO) -> bool:
    """Whether somebody at the other end, of a pipe or at a terminal, decides when there is something to read."""
    try:
        mode = os.fstat(stream.fileno()).st_mode
        return stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode) or stream.isatty()
    except (OSError, ValueError):  # what stands in its place may have no descriptor
        return False

"""One writer at a time to a file that several processes share."""

import os
import sys
import threading
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import anyio
import anyio.to_thread

from asyncupload._targets import open_plain

PATIENCE = 10.0
"""Seconds to wait for another process, which needs milliseconds unless it is stopped."""

_TRIED_EVERY = 0.05

if sys.platform == "win32":
    import msvcrt

    def _try(descriptor: int) -> None:
        os.lseek(descriptor, 0, os.SEEK_SET)
        msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
else:
    import fcntl

    def _try(descriptor: int) -> None:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)


@asynccontextmanager
async def locked(path: Path) -> AsyncIterator[None]:
    """Be the only one in this block, of all that lock ``path``: by a file beside it, ``<name>.lock``, which stays.

    The lock goes with its process, however that ends.

    Raises:
        TargetUnwritable: Something else stands where the file beside it should be, as a link.
        OSError: The file beside it cannot be made, or another process holds it for more than `PATIENCE` seconds.

    On cancellation: a wait for another process ends first.
    """
    descriptor = await anyio.to_thread.run_sync(_wait, path, PATIENCE)
    try:
        yield
    finally:
        with anyio.CancelScope(shield=True):
            await anyio.to_thread.run_sync(os.close, descriptor)


@contextmanager
def held(path: Path, patience: float = PATIENCE) -> Iterator[int]:
    """The same, for a thread: it blocks. Gives the descriptor of the file beside it, which may hold something.

    Args:
        path: The file that is shared.
        patience: Seconds to wait for another process.

    Raises:
        TargetUnwritable, OSError: As `locked`.
    """
    descriptor = _wait(path, patience)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _wait(path: Path, patience: float) -> int:
    beside = path.with_name(f"{path.name}.lock")
    descriptor = open_plain(beside, os.O_RDWR | os.O_CREAT)
    deadline = time.monotonic() + patience
    try:
        while not _is_ours(descriptor, deadline):
            threading.Event().wait(_TRIED_EVERY)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def _is_ours(descriptor: int, deadline: float) -> bool:
    try:
        _try(descriptor)
    except OSError:
        if time.monotonic() > deadline:
            raise
        return False
    return True

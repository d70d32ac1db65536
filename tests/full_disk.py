"""Logs that cannot be written, since the disk is full; for those tasks alone that say so."""

import errno
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path

FULL = ContextVar("FULL", default=False)
"""Whether the disk is full for whoever logs in this context."""

_DEVICE = Path("/dev/full")


class FullDisk(logging.Handler):
    """Raises what the operating system raises, as a handler may that does not catch it."""

    def emit(self, record: logging.LogRecord) -> None:
        if not FULL.get():
            return
        if _DEVICE.exists():
            _DEVICE.write_text(self.format(record))
        raise OSError(errno.ENOSPC, "No space left on device")


@contextmanager
def logs_on_full_disks() -> Iterator[None]:
    """Everything that the package logs goes to a disk that may be full."""
    logger, handler = logging.getLogger("asyncupload"), FullDisk()
    level = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.DEBUG)
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)

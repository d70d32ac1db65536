"""What the files stand on: whether one of them failed for itself, or the share or disk below it is in trouble."""
# ruff: noqa: PTH116, PTH118, PTH120, PTH123  (paths are bytes here: not every name is text)

import errno
import os
import stat
from contextlib import suppress
from enum import Enum

_NAMES = (
    *("ESTALE", "EIO", "EREMOTEIO", "ENODEV", "ENXIO", "ENOMEDIUM", "ENOLINK", "ESHUTDOWN", "ETIMEDOUT"),
    *("ENOTCONN", "ECONNREFUSED", "ECONNRESET", "ECONNABORTED", "EHOSTDOWN", "EHOSTUNREACH"),
    *("ENETDOWN", "ENETUNREACH", "ENETRESET", "ENOKEY", "EKEYEXPIRED", "EKEYREVOKED", "EKEYREJECTED"),
)
LOST = frozenset(getattr(errno, name) for name in _NAMES if hasattr(errno, name))
"""What the operating system says of a share or a disk that is away, rather than of a file. A bad sector reads alike."""

_LOST_ON_WINDOWS = frozenset({21, 53, 55, 59, 64, 67, 121, 1117, 1167, 1231, 1232, 1236})
"""Not ready, network path or name not found, unexpected network error, semaphore timeout, device error and the like."""


class Blame(Enum):
    """Whose trouble it is."""

    FILE = "the file's own"
    FOLDER = "its folder's, which is gone, empty or closed, while there are others"
    LOST = "of what its folder stands on, while there are others, or over already"
    ALL = "that of all files"


def cause_of(error: BaseException | None) -> OSError | None:
    """The operating system's word behind an error, if there is one."""
    while error is not None and not isinstance(error, OSError):
        error = error.__cause__
    return error


def is_lost(error: OSError) -> bool:
    """Whether it speaks of what files stand on."""
    return error.errno in LOST or getattr(error, "winerror", None) in _LOST_ON_WINDOWS


def is_missing(error: OSError) -> bool:
    """Whether nothing stands at a path."""
    return isinstance(error, FileNotFoundError | NotADirectoryError)


def empty_or_closed(folder: bytes) -> bool:
    """Whether there is nothing to be seen in a folder: it is gone, is not to be read, or has nothing in it. Blocks."""
    try:
        with os.scandir(folder) as entries:
            return next(entries, None) is None
    except OSError:
        return True


class Ground:
    """The folder that all files of a load are below, as far as is known, and what was seen of it.

    Methods but `learn` and `read` block: for one thread at a time.
    """

    def __init__(self, root: bytes | None = None) -> None:
        self._root = root
        self._device: int | None = None
        self._last_read: bytes | None = None
        self.moved = False
        """Whether the folder was seen on another device: it is the right one if a file of it can be read."""

    def learn(self, source: bytes) -> bool:
        """A file belongs to the load. Whether all of them are below another folder now than before."""
        folder, root = os.path.dirname(source), self._root
        if root is not None and (folder == root or folder.startswith(os.path.join(root, b""))):
            return False
        try:
            self._root = folder if root is None else os.path.commonpath([root, folder])
        except ValueError:  # on two drives
            self._root = b"/"
        return self._root != root

    def read(self, source: bytes) -> None:
        """A file was read to its end."""
        self._last_read = source

    @property
    def has_read(self) -> bool:
        """Whether any file was."""
        return self._last_read is not None

    def stand(self) -> None:
        """The folder is the right one as it is now: remember its device."""
        self.moved = False
        with suppress(OSError):
            if self._root is not None:
                self._device = os.stat(self._root).st_dev

    def settle(self, source: bytes) -> None:
        """A file was read: if it is there now, below a folder that has moved, that is the right one."""
        with suppress(OSError):
            os.stat(source)
            self.stand()

    def blame(self, source: bytes, error: OSError) -> Blame:
        """Whose trouble it is that a file could not be looked at, or read."""
        if self._gone(missing=is_missing(error)) or (is_lost(error) and self._lost_all()):
            return Blame.ALL
        if not (is_lost(error) or is_missing(error) or isinstance(error, PermissionError)):
            return Blame.FILE
        if empty_or_closed(os.path.dirname(source)):
            return Blame.LOST if is_lost(error) else Blame.FOLDER
        # It may be there again by now. Only a bad sector, met by reading, which names no file, would be so again.
        bad = error.errno == errno.EIO and error.filename is None
        return Blame.LOST if not bad and self._opens(source) else Blame.FILE

    def _gone(self, *, missing: bool) -> bool:
        root = self._root
        if root is None or empty_or_closed(root):
            return root is not None
        # A mount point without its mount may have something in it as well.
        with suppress(OSError):
            self.moved = self._device is not None and os.stat(root).st_dev != self._device
        return missing and self.moved

    def _lost_all(self) -> bool:
        """Whether a file that could be read before cannot be any more. Of one that is gone by now nothing is known."""
        if self._last_read is None:
            return False
        try:
            with open(self._last_read, "rb", buffering=0) as file:
                file.read(1)
        except OSError as error:
            return is_lost(error)
        return False

    def _opens(self, source: bytes) -> bool:
        # Looked at before opening: to open a pipe would wait for its other end.
        with suppress(OSError):
            if stat.S_ISREG(os.stat(source).st_mode):
                with open(source, "rb", buffering=0):
                    return True
        return False

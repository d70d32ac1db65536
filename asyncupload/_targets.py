"""Files that are written: opened so that nobody else's is meant, and put in place with the mode that is theirs.

Whoever may write to the folder can know the name of a file before it is made there, and put something else in its
place: a link to a file of the user's, a pipe, a file of their own. Everything here blocks.
"""

import errno
import os
import stat
from contextlib import suppress
from pathlib import Path
from typing import Any

from .errors import TargetUnwritable

try:
    import fcntl as _fcntl

    fcntl: Any = _fcntl
except ImportError:
    fcntl = None

_FLAGS = ("O_CLOEXEC", "O_NONBLOCK", "O_NOCTTY", "O_BINARY", "O_NOINHERIT")
_SAFELY = sum(getattr(os, flag, 0) for flag in _FLAGS)
"""Neither waits for the other end of a pipe nor takes a terminal; Windows knows the last two."""
_NOT_THROUGH_A_LINK = getattr(os, "O_NOFOLLOW", 0)

_OTHERS_WRITE = stat.S_IWGRP | stat.S_IWOTH
_MODE = 0o777
"""What is kept of a replaced file's mode. Never that it runs as its owner: its content is another now."""

_KINDS = {
    stat.S_IFDIR: "a directory",
    stat.S_IFLNK: "a symbolic link",
    stat.S_IFIFO: "a pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}


class Beside:
    """The file beside a target in which its next content grows, and which takes its place in one step.

    Its folder is opened once: one that is put in its place meanwhile is not written to.

    Args:
        target: What is to be replaced, as `settled` found it.
        marks: What tells this content from others; the middle of the name.
    """

    def __init__(self, target: Path, marks: str) -> None:
        self.path = target.with_name(f".{target.name}.{marks}.part")
        self._target = target
        self._folder: int | None = None

    def open(self, _: str, flags: int) -> int:
        """An opener for ``open(beside.path, "r+b", opener=beside.open)``: goes on with what is there, or makes it.

        Raises:
            TargetUnwritable: Another process is writing it, or it is not ours alone.
            OSError: The operating system refuses.
        """
        if self._folder is None and os.open in os.supports_dir_fd:
            where = os.O_DIRECTORY | os.O_CLOEXEC | getattr(os, "O_PATH", 0)
            self._folder = os.open(self.path.parent, where)
        while True:
            descriptor = open_plain(self.path, flags | os.O_CREAT, 0o600, folder=self._folder)
            try:
                _require_ours_alone(descriptor, self.path)
                if self._lock(descriptor):
                    return descriptor
            except BaseException:
                os.close(descriptor)
                raise
            os.close(descriptor)

    def seal(self, descriptor: int) -> None:
        """Make sure that all of the file is on disk, is what was written, and has its final mode.

        A replaced file's mode is kept; a new one has what the umask leaves.

        Raises:
            TargetUnwritable: Somebody has exchanged it, or has put something else than a file where it belongs.
            OSError: The operating system refuses.
        """
        os.fsync(descriptor)
        if not self._stands(descriptor) or os.fstat(descriptor).st_nlink > 1:
            raise TargetUnwritable(
                f"{self.path} was exchanged or linked to by somebody while it was written; {self._target} is as it "
                "was. Name a target in a folder where nobody else writes"
            )
        _set_mode(descriptor, self._mode())

    def take_place(self) -> None:
        """Give the file its final name. Windows wants it closed before. Raises OSError."""
        path, target = self._name(self.path), self._name(self._target)
        os.replace(path, target, src_dir_fd=self._folder, dst_dir_fd=self._folder)

    def remove(self, descriptor: int) -> None:
        """Remove the file, unless the name belongs to another one by now."""
        if self._stands(descriptor):
            os.unlink(self._name(self.path), dir_fd=self._folder)

    def close(self) -> None:
        """Let go of the folder. The file is whoever's who opened it."""
        folder, self._folder = self._folder, None
        if folder is not None:
            os.close(folder)

    def _name(self, path: Path) -> str:
        return str(path) if self._folder is None else path.name

    def _seen(self, path: Path) -> os.stat_result | None:
        try:
            return os.stat(self._name(path), dir_fd=self._folder, follow_symlinks=False)
        except FileNotFoundError:
            return None

    def _stands(self, descriptor: int) -> bool:
        found = self._seen(self.path)
        return found is not None and os.path.samestat(found, os.fstat(descriptor))

    def _lock(self, descriptor: int) -> bool:
        """False if whoever had the file gave it its final name meanwhile."""
        if fcntl is None:  # Windows: there, two who write one file are the user's to keep apart
            return True
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise TargetUnwritable(f"{self.path}: another download is writing it at this moment") from None
        return self._stands(descriptor)

    def _mode(self) -> int:
        found = self._seen(self._target)
        if found is None:
            return 0o666 & ~_umask()
        if (what := _kind(found)) != "":
            raise TargetUnwritable(f"{self._target} is {what} now: somebody has put it there. Name another target")
        return found.st_mode & _MODE


def settled(target: Path) -> Path:
    """Where what is written to ``target`` will really stand: behind symbolic links, and never in place of a device.

    Raises:
        TargetUnwritable: It is there already and is no regular file, or a link that a stranger may have put there.
        OSError: The operating system does not tell.
    """
    _require_trusted(target)
    try:
        real = target.resolve()
        with suppress(FileNotFoundError):
            if not stat.S_ISREG(real.stat().st_mode):
                raise TargetUnwritable(f"{target} is there already, and is no regular file; name another target")
    except RuntimeError as error:  # how Python before 3.13 tells a loop of links
        raise TargetUnwritable(f"{target} cannot be written: it is a loop of symbolic links") from error
    return real


def irregular(path: Path) -> str:
    """What stands at a path, or behind the link there, if it is no regular file; empty if it is, or nothing is there.

    Raises:
        OSError: The operating system does not tell.
    """
    try:
        return _kind(path.stat())
    except FileNotFoundError:
        return ""


def open_plain(path: Path, flags: int, mode: int = 0o666, *, folder: int | None = None) -> int:
    """The descriptor of a regular file that has no other name: no link, pipe or device is opened in its place.

    Args:
        path: The file's.
        flags: As for ``os.open``.
        mode: Of one that is made, as far as the umask leaves it.
        folder: The descriptor of the file's folder, where the system knows that.

    Raises:
        TargetUnwritable: Something else stands there.
        OSError: The operating system refuses.
    """
    name = str(path) if folder is None else path.name
    with suppress(FileNotFoundError):  # before it is opened: to open a device can be a deed in itself
        _require_plain(os.stat(name, dir_fd=folder, follow_symlinks=False), path)
    try:
        descriptor = os.open(name, flags | _SAFELY | _NOT_THROUGH_A_LINK, mode, dir_fd=folder)
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise _not_written_to(path, "is a symbolic link") from error
        raise
    try:
        _require_plain(os.fstat(descriptor), path)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def open_regular(path: str, flags: int) -> int:
    """An opener for a file that its user has named, be it by a link: of a pipe or a device nothing is read or written.

    Raises:
        OSError: It is no regular file, or the operating system refuses.
    """
    descriptor = os.open(path, flags | _SAFELY, 0o666)
    if what := _kind(os.fstat(descriptor)):
        os.close(descriptor)
        raise OSError(errno.EINVAL, f"it is {what}, and must be a regular file")
    return descriptor


def _require_plain(found: os.stat_result, path: Path) -> None:
    if what := _kind(found):
        raise _not_written_to(path, f"is {what}")
    if found.st_nlink > 1:
        raise _not_written_to(path, f"is a file with {found.st_nlink} names (hard links)")


def _require_ours_alone(descriptor: int, path: Path) -> None:
    """What others may write to, now or by a descriptor that they have opened before, is not to be gone on with."""
    found = os.fstat(descriptor)
    if hasattr(os, "geteuid") and found.st_uid != os.geteuid():
        raise _not_written_to(path, "is another user's file")
    _set_mode(descriptor, found.st_mode & 0o600)
    if found.st_mode & _OTHERS_WRITE and not os.fstat(descriptor).st_mode & _OTHERS_WRITE:
        # Otherwise it stands where modes are not kept, as on a memory stick, and all files look like that.
        _set_mode(descriptor, stat.S_IMODE(found.st_mode))
        raise _not_written_to(path, "is a file that others may write to")


def _not_written_to(path: Path, what: str) -> TargetUnwritable:
    return TargetUnwritable(
        f"{path} is not written to: it {what}, which this program has not made. Remove it, or name a target in "
        "another folder"
    )


def _kind(found: os.stat_result) -> str:
    """Empty for a regular file. Windows has links that its modes do not show."""
    if getattr(found, "st_reparse_tag", 0):
        return "a link (a reparse point)"
    return "" if stat.S_ISREG(found.st_mode) else _KINDS.get(stat.S_IFMT(found.st_mode), "no regular file")


def _require_trusted(target: Path) -> None:
    """Where everybody may make files, as in ``/tmp``, a stranger's link would choose which file is replaced."""
    if not hasattr(os, "geteuid") or not target.is_symlink():
        return
    folder, link = target.parent.stat(), target.lstat()
    open_to_all = folder.st_mode & stat.S_ISVTX and folder.st_mode & stat.S_IWOTH
    if open_to_all and link.st_uid not in {os.geteuid(), folder.st_uid}:
        raise TargetUnwritable(
            f"{target} is a symbolic link that another user has made in a folder that is everybody's; it is not "
            "followed. Name another target"
        )


def _set_mode(descriptor: int, mode: int) -> None:
    with suppress(AttributeError, OSError):  # Windows, and file systems that keep no modes
        os.fchmod(descriptor, mode)


def _umask() -> int:
    with suppress(OSError, ValueError):  # Linux tells it; elsewhere one has to set it to see it
        for line in Path("/proc/self/status").read_text("ascii", "replace").splitlines():
            if line.startswith("Umask:"):
                return int(line.split()[1], 8)
    mask = os.umask(0o077)
    os.umask(mask)
    return mask

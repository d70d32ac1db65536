"""Where journals are kept by default, and what they are called there."""
# ruff: noqa: PTH100, PTH110, PTH112  (names are made here, and the disk is hardly looked at)

import hashlib
import os
import re
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import platformdirs

from asyncupload.errors import JournalError

SUFFIX = ".journal"

_STANDARD_INPUT = "-"


def folder() -> Path:
    """The user's own: ``~/.local/state/asyncupload`` on Linux, and what other systems have for state.

    Raises:
        JournalError: This user has no home, as one without a name in a container where ``HOME`` is not set.
    """
    try:
        return own(platformdirs.user_state_path)
    except OSError as error:
        raise JournalError(
            "there is no place to keep journals: this user has no home folder (HOME is not set, and the system knows "
            "no such user); set HOME or XDG_STATE_HOME to a folder of yours, or name a file by --journal"
        ) from error


def own(find: Callable[..., Path]) -> Path:
    """A folder of the user's own for this program.

    Args:
        find: Which one, as ``platformdirs`` has it.

    Raises:
        OSError: This user has no home.
    """
    try:
        found = find("asyncupload", appauthor=False)
    except (RuntimeError, KeyError) as error:  # nobody knows such a user, as in a container
        raise FileNotFoundError(str(error)) from error
    if not found.is_absolute():  # older versions of the library make it one of a folder called ~, wherever that is
        raise FileNotFoundError(f"{found} is in nobody's home")
    return found


def journal(server: str, source: str | os.PathLike[str], destination: str) -> Path:
    """The journal of a load, always the same one for the same three: the same command again goes on.

    The server's host may be in either case; the source, a folder or a manifest, may be given from another current
    folder, and ``-`` is standard input; slashes at the ends make no difference.

    Raises:
        JournalError: There is no place for journals.
    """
    where = os.fspath(source)
    whence = where if where == _STANDARD_INPUT else os.path.abspath(where)
    there = "/" + destination.replace("\\", "/").strip("/")
    key = "\0".join((_server(server), whence, there)).encode("utf-8", "surrogateescape")
    return folder() / f"{_readable(whence, there)}-{hashlib.sha256(key).hexdigest()[:16]}{SUFFIX}"


def all_in(path: Path) -> list[Path]:
    """The journals of a folder, by name; ``path`` itself if it is none. Blocks. A folder that is missing has none."""
    if os.path.exists(path) and not os.path.isdir(path):  # Path's raise where one may not look
        return [path]
    return sorted(path.glob(f"*{SUFFIX}"))


def _server(url: str) -> str:
    try:
        parts = urlsplit(url.strip())
    except ValueError:  # a client of it says why
        return url
    return urlunsplit((parts.scheme.lower(), parts.netloc.lower(), parts.path.rstrip("/"), parts.query, ""))


def _readable(whence: str, there: str) -> str:
    """For whoever looks into the folder; the digest tells journals apart."""
    names = (whence.rstrip("/\\").replace("\\", "/").rpartition("/")[2], there.rpartition("/")[2])
    return "-to-".join(re.sub(r"[^A-Za-z0-9._]+", "_", name).strip("._")[:30] or "all" for name in names)

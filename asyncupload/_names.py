"""Where a document goes: paths on the server."""

import unicodedata
from typing import NamedTuple

from .errors import UsageError


class Destination(NamedTuple):
    """Where a document goes."""

    folder: str
    name: str

    @property
    def path(self) -> str:
        """The whole path, with slashes."""
        return f"{self.folder}/{self.name}"


_FORBIDDEN = frozenset(':*?"<>|')


def destination(path: str) -> Destination:
    """Take a document's path apart, as ``/Library/Folder/Name.ext``.

    Either slash separates, and names are sent in Unicode's composed form (NFC), as the server's own clients type them.

    Raises:
        UsageError: There is no name, no library, or a character in it that the server refuses.
    """
    *folders, name = _parts(path)
    if not name:
        raise UsageError(f"{path!r} has no document name: end the destination with one, as in /Library/Folder/Name.ext")
    if not any(folders):
        raise UsageError(f"{path!r} names no library: a destination looks like /Library/Folder/Name.ext")
    for part in (*filter(None, folders), name):
        _require_usable(part, path)
    return Destination(_joined(folders), name)


def folder(path: str) -> str:
    """A folder's path, as ``/Library/Folder``.

    Raises:
        UsageError: There is no library, or a character in it that the server refuses.
    """
    parts = _parts(path)
    if not any(parts):
        raise UsageError(f"{path!r} names no library: a folder looks like /Library/Folder")
    for part in filter(None, parts):
        _require_usable(part, path)
    return _joined(parts)


def _parts(path: str) -> list[str]:
    return unicodedata.normalize("NFC", path).replace("\\", "/").split("/")


def _joined(parts: list[str]) -> str:
    return "/" + "/".join(filter(None, parts))


def _require_usable(part: str, path: str) -> None:
    if bad := sorted({c for c in part if c in _FORBIDDEN or unicodedata.category(c) in {"Cc", "Cs"}}):
        shown = " ".join(c if c.isprintable() else repr(c) for c in bad)
        raise UsageError(f"{path!r}: infoRouter does not allow {shown} in a name")
    if part in {".", ".."} or part.strip() != part:
        raise UsageError(f"{path!r}: {part!r} cannot be a name on the server, which would rewrite it")

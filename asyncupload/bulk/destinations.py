"""Where a file goes on the server, under the names that the server will really give. Pure: nobody is asked."""

import re
import sys
import unicodedata
from collections.abc import Iterator
from itertools import chain
from typing import NamedTuple

from asyncupload import _names
from asyncupload.errors import UsageError

LONGEST_NAME = 128
"""Characters, as the server counts them (UTF-16 units). It shortens a longer folder name in a way that cannot be
foretold: protocol.md 1.6."""

LONGEST_PATH = 250
"""Characters of a whole path, counted alike. The vendor's manual advises it, because an export to a file system fails
beyond: protocol.md 1.6."""

_ANY = "Name.ext"
"""Stands for a document where only its folder matters."""

_REPLACED = re.compile(r'[/\\:*?"<>|#\t%&+]')
_DOTS = re.compile(r"\.\.+")
_SPACES = re.compile(r"  +")
_CONTROL = re.compile(r"[\x00-\x08\n-\x1f\x7f-\x9f]")
_EDGES = re.compile(r"^[.\s]+|[.\s]+\Z")


class Destined(NamedTuple):
    """Where a file goes, or why it cannot."""

    path: str
    """In composed form (NFC). If there is a problem, it is only good to be shown."""
    problem: str = ""
    """Empty if nothing stands against it."""


def clean_folder_name(wished: str) -> str:
    """The name under which the server makes a folder, by the rules that CreateFolder documents (protocol.md 1.6).

    It may be empty: such a folder cannot be made. The cut at 128 characters is not imitated, since it puts in a hash
    that nobody has described.
    """
    name = unicodedata.normalize("NFC", wished)
    name = _REPLACED.sub("_", name)
    name = _SPACES.sub(" ", _DOTS.sub(".", name))
    return _EDGES.sub("", name)


def folder(to: str) -> str:
    """The destination folder as the server will name it: ``/Library/Folder``. Either slash separates.

    A library keeps its name, for it is never made by us; the folders below it are cleaned.

    Raises:
        UsageError: No library is named, or the server would refuse a name.
    """
    if not _parts(to):
        raise UsageError(f"{to!r} names no library: a folder on the server looks like /Library/Folder")
    made = _destined(_parts(to), _ANY, sys.maxsize)  # how much is too long is each document's business
    if made.problem:
        raise UsageError(f"cannot upload into {to!r}: {made.problem}")
    return made.path.removesuffix(f"/{_ANY}")


def from_tree(relative: bytes, to: str, *, longest_path: int = LONGEST_PATH) -> Destined:
    """The destination of a file of a tree.

    Args:
        relative: The file's path below the root of the tree, with ``/`` between names.
        to: The folder on the server that stands for the root, as `folder` gives it.
        longest_path: Characters of the whole path that are not too many.
    """
    try:
        *above, name = relative.decode("utf-8").split("/")
    except UnicodeDecodeError:
        shown = relative.decode("utf-8", "backslashreplace")
        quoted = repr(shown).replace(r"\\", "\\")  # escaped once is enough
        return Destined(f"{to}/{shown}", f"the name {quoted} is not UTF-8, so nobody knows what to call it; rename it")
    return _destined([*_parts(to), *above], name, longest_path)


def from_text(path: str, to: str = "", *, longest_path: int = LONGEST_PATH) -> Destined:
    """The destination that somebody wrote down, where either slash separates.

    Args:
        path: From the library on, if it begins with a slash; else below ``to``.
        to: A folder on the server, as `folder` gives it; empty if there is none.
        longest_path: Characters of the whole path that are not too many.
    """
    *above, name = path.replace("\\", "/").split("/")
    if path.startswith(("/", "\\")):
        return _destined([part for part in above if part], name, longest_path)
    if not to:
        return Destined(path, f"{path!r} begins with no slash, and there is no folder that it could be below")
    return _destined([*_parts(to), *(part for part in above if part)], name, longest_path)


def _parts(path: str) -> list[str]:
    return [part for part in path.replace("\\", "/").split("/") if part]


def _destined(above: list[str], name: str, longest_path: int) -> Destined:
    library, below = above[:1], above[1:]
    cleaned = [clean_folder_name(part) for part in below]
    path = unicodedata.normalize("NFC", "/" + "/".join([*library, *cleaned, name]))
    folders = map(_against_folder, below, cleaned)
    objections = chain(*folders, _against_name(name), _against_path(path, longest_path))
    return Destined(path, next(objections, ""))


def _against_folder(wished: str, cleaned: str) -> Iterator[str]:
    if not cleaned:
        yield f"nothing is left of the folder name {wished!r} once the server has cleaned it"
    # A tab is replaced. Of others nobody knows whether they count as space at an end, which is removed.
    if _CONTROL.search(wished):
        yield f"infoRouter does not allow control characters in a name: {wished!r}"
    yield from _against_length(cleaned)


def _against_name(name: str) -> Iterator[str]:
    if "\\" in name:
        yield f"infoRouter does not allow \\ in a name: {name!r}"
    if name and not name.strip("."):
        yield f"{name!r} cannot be a name on the server"
    yield from _against_length(name)


def _against_length(name: str) -> Iterator[str]:
    if (length := _length(name)) > LONGEST_NAME:
        yield f"the name {name!r} has {length} characters; infoRouter allows {LONGEST_NAME}"


def _against_path(path: str, longest: int) -> Iterator[str]:
    try:
        _names.destination(path)
    except UsageError as error:
        yield str(error)
    if (length := _length(path)) > longest:
        yield f"the path {path!r} has {length} characters, more than {longest}"


def _length(text: str) -> int:
    """Counted as the server counts: its strings are UTF-16."""
    return len(text.encode("utf-16-le", "surrogatepass")) // 2

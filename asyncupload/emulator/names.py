"""Paths as the server reads them, and the names that it accepts.

Nothing here ever becomes the name of a file: stored bytes are filed under numbers.
"""

import hashlib
import re
from dataclasses import dataclass
from pathlib import PurePosixPath

from asyncupload.emulator.replies import Refusal

_FOLDER_NAME_LIMIT = 128
_SHORT = re.compile(r"~(?P<kind>[DF])(?P<id>\d{1,18})(?P<extension>\.[^/\\]*)?", re.IGNORECASE)
_REPLACED_IN_FOLDERS = re.compile(r'[/\\:*?"<>|#\t%&+]')
_FORBIDDEN_IN_DOCUMENTS = re.compile(r'[/\\:*?"<>|\x00-\x1f\x7f]')


@dataclass(frozen=True, slots=True)
class ShortPath:
    """``~D12`` (kind ``D``, a document) or ``~F12`` (kind ``F``, a folder)."""

    kind: str
    id: int


def segments(path: str) -> tuple[str, ...]:
    """The names along a path. Either slash separates; leading, trailing and doubled ones mean nothing.

    ``.`` and ``..`` are ordinary names that no folder has, so a path cannot climb.
    """
    return tuple(part for part in re.split(r"[/\\]", path) if part)


def short_path(path: str) -> ShortPath | None:
    """What a ``~`` path names; None for an ordinary path. Refusal (4000) for another word after the ``~``."""
    parts = segments(path)
    if not parts or not parts[0].startswith("~"):
        return None
    match = _SHORT.fullmatch(parts[0])
    if match is None or len(parts) > 1:
        raise Refusal(4000, "InvalidDocumentIdentifer")
    return ShortPath(match["kind"].upper(), int(match["id"]))


def key(name: str) -> str:
    """Two names with the same key are the same name to the server."""
    return name.casefold()


def folder_name(wished: str) -> str:
    """The name that a new folder gets for the one asked for; may be empty. Newest page of CreateFolder."""
    name = _REPLACED_IN_FOLDERS.sub("_", wished)
    name = re.sub(r"\.{2,}", ".", name)
    name = re.sub(r" {2,}", " ", name)
    name = re.sub(r"^[.\s]+|[.\s]+$", "", name)
    return name if len(name) <= _FOLDER_NAME_LIMIT else _shortened(name)


def exact_path(path: str) -> str:
    """The path of a folder that is to be made just so; ValueError if it has no name in it, or one that gets cleaned."""
    wished = segments(path)
    if not wished:
        raise ValueError(f"{path!r} names no folder; write it as /Library/Folder")
    for name in wished:
        if folder_name(name) != name or name.startswith("~"):
            raise ValueError(f"{path!r} cannot be had: no folder is named {name!r} on an infoRouter server")
    return path


def _shortened(name: str) -> str:
    extension = PurePosixPath(name).suffix
    if len(extension) > _FOLDER_NAME_LIMIT // 2:
        extension = ""
    mark = "~" + hashlib.sha256(name.encode(errors="replace")).hexdigest()[:8]
    return name[: _FOLDER_NAME_LIMIT - len(mark) - len(extension)] + mark + extension


def document_name(wished: str) -> str:
    """The name as asked for, or Refusal (4000).

    The manual forbids these characters; whether an upload is then refused or renamed is open (question 11).
    Refused here, so that a program that sends such names learns it.
    """
    if _FORBIDDEN_IN_DOCUMENTS.search(wished) or not wished.strip(" ."):
        raise Refusal(4000, "The document name contains characters that are not allowed.")
    return wished

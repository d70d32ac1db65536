"""What commands that have ended found out about servers: how they take chunks, and how they read parameters.

Only hints, for the next command to begin with: each is found out anew where it is not true any more. A file that cannot
be read or written is no trouble of anybody's.
"""

import json
import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from tempfile import mkstemp
from typing import Any
from urllib.parse import urlsplit

import platformdirs

from asyncupload.bulk.places import own

USUAL = {"encoding": "multipart", "grammar": "item"}
"""With what every client begins, and what need not be written down."""

MOST = 100
"""Servers that are remembered, the latest ones."""

LARGEST = 100_000
"""Characters of the file that are read: it has some hundred for each server."""


def place() -> Path:
    """The file: ``~/.cache/asyncupload/servers.json`` on Linux. Raises OSError where this user has no such folder."""
    return own(platformdirs.user_cache_path) / "servers.json"


def recall(server: str) -> dict[str, str]:
    """What is known of a server. Blocks."""
    return {**USUAL, **_read().get(_key(server), {})}


def note(server: str, found: Mapping[str, str]) -> None:
    """Write down what a client has found out, if it is new. Blocks.

    Args:
        server: As for :func:`recall`.
        found: By the names of :data:`USUAL`; what is missing is as it was.
    """
    known, key = _read(), _key(server)
    before = known.pop(key, {})
    after = {name: value for name, value in {**before, **found}.items() if value != USUAL[name]}
    if after != before:
        entry = {key: after} if after else {}
        with suppress(OSError):
            _write({**dict(list(known.items())[1 - MOST :]), **entry})


def _key(server: str) -> str:
    """Without what a user may have put before the host: that is a secret's place."""
    parts = urlsplit(server.strip())
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path.rstrip('/')}".lower()


def _read() -> dict[str, dict[str, str]]:
    """Of what stands there only what could have been written: somebody may have edited it, or a later version."""
    try:
        with place().open(encoding="utf-8") as file:
            read = json.loads(file.read(LARGEST))
    except (OSError, ValueError, RecursionError):
        return {}
    servers: dict[Any, Any] = read if isinstance(read, dict) else {}
    return {key: _hints(value) for key, value in servers.items() if isinstance(value, dict)}


def _hints(value: Mapping[Any, Any]) -> dict[str, str]:
    return {name: hint for name, hint in value.items() if name in USUAL and isinstance(hint, str)}


def _write(servers: Mapping[str, Mapping[str, str]]) -> None:
    """In one step, and never through a link: another command may read it, or write it, at this moment."""
    path = place()
    path.parent.mkdir(parents=True, exist_ok=True)
    number, name = mkstemp(prefix=".servers-", dir=path.parent)
    try:
        with os.fdopen(number, "w", encoding="utf-8") as file:
            json.dump(servers, file, indent=1)
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise

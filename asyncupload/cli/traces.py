"""What an upload of the command line has on the server while it goes on: written down, so that the next one of the same
document takes it away, should this one be killed."""

import json
import os
import secrets
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import anyio.to_thread

from asyncupload.bulk import owners, places
from asyncupload.checkpoints import Commit
from asyncupload.client import Client
from asyncupload.errors import AsyncUploadError, Leftover

SUFFIX = ".trace"


class Trace:
    """The checkpoints of one upload. Where nothing can be written down, the upload goes on without.

    Args:
        server: The server's address.
        path: The document's.
    """

    def __init__(self, server: str, path: str) -> None:
        self._what = {"server": server.rstrip("/").casefold(), "path": path}
        self._file: Path | None = None
        self._old: list[tuple[Path, dict[str, Any]]] = []
        self._owner = ""
        self._facts: dict[str, Any] = {"handler": "", "held": False, "storing": False}

    async def begin(self, client: Client) -> None:
        """Find what dead uploads of the same document have left. Their handlers are deleted, if no document can be made
        of them any more."""
        await anyio.to_thread.run_sync(self._find)
        for _, facts in self._old:
            if facts.get("handler") and not facts.get("storing"):
                with suppress(AsyncUploadError):
                    await client.discard(str(facts["handler"]))

    async def end(self, left: Sequence[Leftover]) -> None:
        """The upload has ended, and this is what it could not clean up."""
        kept = self._facts["held"] or any(one.kind == "handler" for one in left)
        await anyio.to_thread.run_sync(self._remove, not kept)

    @property
    def checked_out_before(self) -> bool:
        """Whether a dead upload may have left the document checked out."""
        return any(facts.get("held") for _, facts in self._old)

    async def checking_out(self) -> None:
        """Before the request leaves."""
        await self._note(held=True)

    async def given_back(self) -> None:
        """Nothing is left of it, nor of what others have left of it."""
        await self._note(held=False)
        await anyio.to_thread.run_sync(self._remove_old)

    async def staging(self, handler: str) -> None:
        """Whoever comes after us deletes it."""
        await self._note(handler=handler, storing=False)

    async def committing(self, commit: Commit) -> None:  # noqa: ARG002  (the protocol's)
        """From now on a document may be made of it."""
        await self._note(storing=True)

    async def _note(self, **facts: object) -> None:
        self._facts |= facts
        await anyio.to_thread.run_sync(self._write)

    # What follows blocks.

    def _find(self) -> None:
        with suppress(OSError, RuntimeError):
            self._owner = owners.ourselves()
            for file in sorted(_folder().glob(f"*{SUFFIX}")):
                with suppress(OSError, ValueError, AttributeError):
                    facts = json.loads(file.read_text("utf-8"))
                    if self._is_ours(facts) and owners.is_gone(str(facts.get("owner", ""))):
                        self._old.append((file, facts))

    def _is_ours(self, facts: dict[str, Any]) -> bool:
        same = facts.get("server") == self._what["server"]
        return same and str(facts.get("path")).casefold() == self._what["path"].casefold()

    def _write(self) -> None:
        with suppress(OSError, RuntimeError):
            if self._file is None:
                folder = _folder()
                folder.mkdir(mode=0o700, parents=True, exist_ok=True)
                self._file = folder / f"{secrets.token_hex(8)}{SUFFIX}"
            fresh = self._file.with_suffix(".new")
            descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            with os.fdopen(descriptor, "w", encoding="utf-8") as opened:
                json.dump({**self._what, **self._facts, "owner": self._owner}, opened)
                opened.flush()
                os.fsync(opened.fileno())
            fresh.replace(self._file)

    def _remove(self, ours: bool) -> None:  # noqa: FBT001
        with suppress(OSError):
            if ours and self._file is not None:
                self._file.unlink(missing_ok=True)
        if not self.checked_out_before:
            self._remove_old()

    def _remove_old(self) -> None:
        for file, _ in self._old:
            with suppress(OSError):
                file.unlink(missing_ok=True)
        self._old = []


def _folder() -> Path:
    return places.folder() / "uploads"

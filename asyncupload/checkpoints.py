"""Where an upload stops for a moment, to be written down: the points from which another process can go on after it."""

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True, kw_only=True)
class Commit:
    """A request to store that is about to leave: all that is needed to ask later what became of it."""

    path: str
    """The document's path on the server."""
    handler: str
    """The server's name of the handler that holds the bytes."""
    size: int
    """Bytes."""
    crc32: int
    existed: bool
    """Whether a document stood there before: then this makes a version of it."""
    token: str
    """Stands in the comment of this version, and in no other; empty for a new document."""
    comment: str
    """The version's comment, the token included."""
    replaces: int | None = None
    """CRC-32 of what stood there before, which only this upload can have changed: a server that keeps no comments tells
    by it. None if another program may have changed it too."""


class Checkpoints(Protocol):
    """Awaited by an upload before it goes on. An exception ends the upload, and what it has left is cleaned up."""

    @property
    def checked_out_before(self) -> bool:
        """Whether an earlier upload of this file, which did not come to its end, may have left the document checked
        out: then the check-out is given back as if it were this one's."""

    async def checking_out(self) -> None:
        """The document may be checked out from now on."""

    async def given_back(self) -> None:
        """It is no longer."""

    async def staging(self, handler: str) -> None:
        """Bytes go into this handler from now on."""

    async def committing(self, commit: Commit) -> None:
        """The request to store leaves now, or leaves again."""


class NoCheckpoints:
    """Nothing is written down."""

    checked_out_before = False

    async def checking_out(self) -> None:
        """Go on."""

    async def given_back(self) -> None:
        """Go on."""

    async def staging(self, handler: str) -> None:
        """Go on."""

    async def committing(self, commit: Commit) -> None:
        """Go on."""

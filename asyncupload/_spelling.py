"""How the checksum of a chunk is written, for servers that compare the text."""

from . import _checksum
from ._remote import Remote
from .errors import AsyncUploadError, ChunkRefused

REFUSALS = 2
"""Of a chunk as damaged, after which its checksum goes once in the other spelling: a line seldom damages one twice."""


class Spelling:
    """Of one chunk's checksum: as the server is known to take it, and once otherwise.

    A server that compares the text refuses one chunk in sixteen, whose checksum begins with a zero, however often it
    goes. What is found is the client's.

    Args:
        remote: The server.
        crc32: The chunk's checksum.
    """

    def __init__(self, remote: Remote, crc32: int) -> None:
        self._remote = remote
        self._two = _checksum.spelled_in_two_ways(crc32)
        self._refusals = 0
        self._known = self.padded = remote.pads_checksums
        """How it went last: with eight digits or not."""

    def choose(self) -> bool:
        """Whether it goes with eight digits now."""
        news, self._known = self._remote.pads_checksums is not self._known, self._remote.pads_checksums
        other = self._two and self._refusals == REFUSALS and not news
        self.padded = self._known ^ other
        return self.padded

    def note(self, error: AsyncUploadError) -> None:
        """The chunk was not acknowledged."""
        self._refusals += isinstance(error, ChunkRefused)

    def found(self) -> bool:
        """The chunk was acknowledged. Whether that tells something new, which the client remembers."""
        new = self._two and self.padded is not self._known
        if new:
            self._remote.pads_checksums = self.padded
        return new

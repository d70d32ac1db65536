"""What the server has acknowledged through one handler, and why another one may be needed."""

from dataclasses import dataclass, field
from enum import Enum

from . import _checksum
from ._checksum import Part
from ._pipeline import SealedChunk
from .errors import AsyncUploadError, ChecksumMismatch, SourceChanged


class Reason(Enum):
    """Why a handler cannot lead to a document any more."""

    LOST = "a chunk, or the handler itself, is lost"
    MISMATCH = "other bytes are staged than were sent"
    TOO_LARGE = "chunks of its size are refused"
    ENCODING = "its first chunk was written in a way that the server does not read"
    REFUSED = "no document is made of it"
    GRAMMAR = "what it is to be stored with was written in a way at which the server fails"
    BROKEN = "the server fails at its chunks again and again"


class StartOver(Exception):
    """This handler cannot lead to a document any more, but another can.

    Attributes:
        error: What happened; raised if there is no other attempt left.
        reason: What kind of trouble it is: some kinds are worth another attempt more often than others.
    """

    def __init__(self, error: AsyncUploadError, reason: Reason = Reason.LOST) -> None:
        super().__init__(str(error))
        self.error = error
        self.reason = reason


@dataclass(slots=True)
class Tally:
    """What the server has acknowledged of one pass."""

    sent: int = 0
    crc32: int = _checksum.EMPTY
    parts: list[Part] = field(default_factory=list)
    """Kept (some bytes per chunk) to say which chunk was doubled or lost, should the whole not be right."""
    doubtful: set[int] = field(default_factory=set)
    """Numbers of chunks that went again although they may have been appended: their reply was lost, or was a bare 503.
    That is mostly said before the server has seen anything, but some gateways say it of one that they have lost."""
    staged_crc32: int | None = None
    complete: bool = False
    """Whether the last chunk is among them."""
    blind: bool = False
    """Whether some chunk could be there twice, or not at all, without changing the checksum."""

    def add(self, chunk: SealedChunk, answer: int | None) -> None:
        """A chunk was acknowledged; ``answer`` is what the server said of the whole, if anything."""
        self.blind = self.blind or self.blind_to(chunk)
        self.sent += len(chunk.data)
        self.parts.append(Part(chunk.crc32, len(chunk.data)))
        self.crc32 = _checksum.combine(self.crc32, chunk.crc32, len(chunk.data))
        if chunk.last:
            self.staged_crc32, self.complete = answer, True

    def blind_to(self, chunk: SealedChunk) -> bool:
        """Whether the checksum so far is the same with this chunk as without: as with zeros behind four bytes of FF."""
        return _checksum.combine(self.crc32, chunk.crc32, len(chunk.data)) == self.crc32

    @property
    def proven(self) -> bool:
        """Whether the checksum of what was staged says all there is to know."""
        return self.staged_crc32 is not None and not self.doubtful and not self.blind

    def require_proof(self, path: str) -> None:
        """Compare what the server staged with what was read.

        Raises:
            StartOver: It is something else, or nobody can say. Another handler may do better.
        """
        if not self.complete:  # cannot happen while the pipeline keeps its word, and would store half a file
            raise SourceChanged(f"{path}: the source ended without a last chunk; nothing was stored")
        if self.staged_crc32 is None and self.doubtful:
            raise StartOver(
                AsyncUploadError(
                    f"{path}: the reply to chunk {min(self.doubtful)} was lost, and the server gives no checksum "
                    "that could tell whether it stands there twice; nothing was stored"
                )
            )
        if self.staged_crc32 is not None and self.staged_crc32 != self.crc32:
            why = _checksum.explain(self.parts, self.staged_crc32, self.doubtful)
            raise StartOver(
                ChecksumMismatch(
                    f"{path}: the server staged other bytes than were sent (its CRC-32 is {self.staged_crc32:08X}, "
                    f"ours {self.crc32:08X}{'; ' + why if why else ''}); nothing was stored",
                    expected=self.crc32,
                    found=self.staged_crc32,
                ),
                # A chunk that went again may have been there already, or have come late: the line's fault, and no
                # corruption.
                Reason.LOST if self.doubtful else Reason.MISMATCH,
            )

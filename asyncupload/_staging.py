"""All of a file through one upload handler: chunk after chunk, until the server holds what was read, or the handler is
gone."""

import time
from collections.abc import AsyncIterator
from concurrent.futures import Executor
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from enum import Enum
from functools import partial
from typing import Any, cast

import anyio

from . import _checksum
from ._body import Encoding
from ._checksum import Part
from ._ending import left_handler, this_ending
from ._patience import Patience
from ._pipeline import Line, SealedChunk, sealed_chunks
from ._raised import raise_kept
from ._remote import Handler
from ._spelling import Spelling
from .checkpoints import Checkpoints
from .errors import (
    AsyncUploadError,
    ChecksumMismatch,
    ConnectionLost,
    ForeignReply,
    HandlerLost,
    Outcome,
    ServerError,
    SourceChanged,
)
from .events import Audience, ChunkRetried, ChunkSent, HandlerOpened, Times
from .settings import LARGEST_CHUNK, SMALLEST_CHUNK, Loss
from .sources import Content

NOT_THAT_WAY = frozenset({400, 404, 405, 415})
"""What servers say to a chunk in an encoding, or at an address, that they do not have."""


class Reason(Enum):
    """Why a handler cannot lead to a document any more."""

    LOST = "a chunk, or the handler itself, is lost"
    MISMATCH = "other bytes are staged than were sent"
    TOO_LARGE = "chunks of its size are refused"
    REFUSED = "no document is made of it"
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


@dataclass(frozen=True, slots=True)
class Threads:
    """A client's threads: for blocking reads, and for checksums."""

    reading: Executor
    checksums: anyio.CapacityLimiter


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


class Staging:
    """Brings one source to one server, as often as it takes.

    Args:
        patience: The client's.
        threads: The client's.
        audience: Told what happens.
        log: A logger bound to this upload.
        path: Where the document will be: for messages.
        rereadable: Whether the source could begin anew.
        checkpoints: Told of handlers.
        chunk_size: Bytes per chunk to ask for at most; None for the client's wish.
    """

    def __init__(
        self,
        patience: Patience,
        threads: Threads,
        audience: Audience,
        log: Any,
        *,
        path: str,
        rereadable: bool,
        checkpoints: Checkpoints,
        chunk_size: int | None = None,
    ) -> None:
        self._patience = patience
        self._remote = patience.remote
        self.settings = patience.settings
        self._threads = threads
        self._audience = audience
        self._log = log
        self.path = path
        self._rereadable = rereadable
        self._checkpoints = checkpoints
        self._chunk_size = chunk_size or LARGEST_CHUNK
        self.tally = Tally()
        """Of the last pass."""
        self.resent = 0
        """How many times a chunk went again, in all passes."""
        self.resent_bytes = 0
        """How many bytes went again: of such chunks, and of passes in vain."""
        self._restarted = 0
        self.times = Times()
        """In all passes."""
        self.last_handler = ""
        """The server's name of the handler of the last pass; empty before the first."""

    @asynccontextmanager
    async def handler(self, size: int | None) -> AsyncIterator[Handler]:
        """A handler that is deleted on every way out but that on which a document was, or may have been, made of it."""
        handler: Handler | None = None

        async def create() -> None:
            nonlocal handler
            handler = await self._remote.create_handler(self._chunk_size)

        try:
            await self._patience.make(create)
            opened = cast(Handler, handler)
            self._log, self.last_handler = self._log.bind(handler=opened.id), opened.id
            await self._checkpoints.staging(opened.id)
            self._log.debug("handler_opened", chunk_size=opened.chunk_size, size=size)
            self._audience.tell(
                HandlerOpened(path=self.path, handler=opened.id, chunk_size=opened.chunk_size, size=size)
            )
            yield opened
        except StartOver:
            if handler is not None:
                handler.consumed = False  # whatever becomes of it: all bytes are sent again
            raise
        except BaseException:
            if handler is not None and handler.consumed:
                self._leave(handler)
            raise
        finally:
            # Also when all is well: an equal document may stand there that was not made of it.
            if handler is not None and not handler.consumed:
                await self.discard(handler)

    def _leave(self, handler: Handler) -> None:
        """It may be being made a document of: to delete it could lose what the server is just storing."""
        ending = this_ending()
        ending.may_be_stored = True
        ending.leftovers.append(
            left_handler(handler.id, "a document may have been, or be, made of it", "if that is not there, ")
        )

    def begin_anew(self) -> None:
        """All that was sent so far goes again."""
        self._restarted += 1
        self.resent_bytes += self.tally.sent

    async def discard(self, handler: Handler) -> None:
        """Delete a handler that no document will be made of."""
        if left := await self._patience.clean_up(
            lambda: self._remote.delete_handler(handler.id), partial(left_handler, handler.id)
        ):
            self._log.warning("handler_left", reason=left)
        else:
            self._log.debug("handler_deleted")

    async def send_all(self, handler: Handler, content: Content) -> Tally:
        """The ordered sender. The offset moves only after the server has acknowledged a chunk."""
        tally = self.tally = Tally()
        async with sealed_chunks(
            content.chunks(handler.chunk_size), depth=self.settings.depth, threads=self._threads.checksums
        ) as line:
            began = time.monotonic()
            try:
                async for chunk in line:
                    tally.add(chunk, await self._send(handler, chunk, content.size, tally))
                    self._audience.tell(
                        ChunkSent(path=self.path, number=chunk.number, sent=tally.sent, size=content.size)
                    )
            finally:
                self._keep_time(line, time.monotonic() - began)
        return tally

    def _keep_time(self, line: Line, seconds: float) -> None:
        before, waited = self.times, line.waited_for_bytes + line.waited_for_checksums
        self.times = replace(
            before,
            reading=before.reading + line.waited_for_bytes,
            checksums=before.checksums + line.waited_for_checksums,
            network=before.network + seconds - waited,
        )

    async def require_proof(self, handler: Handler, tally: Tally) -> None:
        """Compare what the server staged with what was read, and make sure that it stays so.

        A chunk that went twice may be on its way yet. Behind the last one it would change what has been proved, on a
        server that still takes it.

        Raises:
            StartOver: Something else is staged, or may be by the time it is stored. Another handler may do better.
        """
        tally.require_proof(self.path)
        if not tally.doubtful or not self._rereadable:  # what cannot begin anew is compared when it is stored
            return
        if not await self._patience.persist(lambda: self._remote.takes_no_more(handler)):
            raise StartOver(
                AsyncUploadError(
                    f"{self.path}: the reply to chunk {min(tally.doubtful)} was lost, and the server takes chunks "
                    "after the last one, so a late copy of it could still be appended; nothing was stored"
                )
            )

    async def _send(self, handler: Handler, chunk: SealedChunk, size: int | None, tally: Tally) -> int | None:
        """Send one chunk until the server has it, always from the same buffer."""

        encoding, spelling = self._remote.asker.encoding, Spelling(self._remote, chunk.crc32)

        async def attempt() -> int | None:
            nonlocal encoding
            encoding = self._remote.asker.encoding
            try:
                return await self._remote.send_chunk(handler, chunk, padded=spelling.choose())
            except AsyncUploadError as error:
                spelling.note(error)
                self._doubt(error, chunk, size, tally)
                raise

        def retried(error: AsyncUploadError, number: int, wait: float) -> None:
            self.resent_bytes += len(chunk.data)
            self._tell_of_retry(
                ChunkRetried(
                    path=self.path,
                    number=chunk.number,
                    attempt=number,
                    wait=wait,
                    reason=str(error),
                    sent=tally.sent,
                    size=size,
                )
            )

        try:
            answer = await self._patience.persist(attempt, on_retry=retried)
        except HandlerLost as error:
            raise StartOver(error) from error
        except AsyncUploadError as error:
            if self._change_encoding(error, chunk, encoding):
                return await self._send_otherwise(error, handler, chunk, size, tally)
            self._turn_to_another(error, handler, chunk)
            raise
        finally:
            chunk = chunk._replace(data=b"")  # an error's frames keep the functions within, and those its buffer
        self._remote.asker.encoding_works()
        if spelling.found():
            self._log.info("checksum_spelling_found", padded=spelling.padded)
        return answer

    async def _send_otherwise(
        self, refusal: AsyncUploadError, handler: Handler, chunk: SealedChunk, size: int | None, tally: Tally
    ) -> int | None:
        """The same in the encoding that was just changed to."""
        try:
            return await self._send(handler, chunk, size, tally)
        except ForeignReply as last:
            if last.status not in NOT_THAT_WAY:
                raise
            raise_kept(refusal)  # of the way that servers usually take: it says most

    def _tell_of_retry(self, event: ChunkRetried) -> None:
        self.resent += 1
        self._log.info(
            "chunk_retried", chunk=event.number, attempt=event.attempt, wait=round(event.wait, 3), reason=event.reason
        )
        self._audience.tell(event)

    def _doubt(self, error: AsyncUploadError, chunk: SealedChunk, size: int | None, tally: Tally) -> None:
        """Note that a chunk goes again although it may have been appended: the checksum of the whole will show.

        Raises:
            StartOver: That would not show, or is likely to cost more than to begin anew.
        """
        lost = error.outcome is Outcome.UNKNOWN and error.transient
        bare = isinstance(error, ForeignReply) and error.status == 503 and error.retry_after is None
        if not lost and not bare:
            return
        loss = Loss(tally.sent, size, self._rereadable, self._restarted)
        unseen = tally.blind_to(chunk) and self._rereadable
        if unseen or (lost and not self.settings.prove(loss)):
            raise StartOver(error) from error
        tally.doubtful.add(chunk.number)
        error.outcome = Outcome.NOT_APPLIED
        if not self._rereadable:  # there is no other handler to turn to: as long as after an HTTP 500
            error.most_attempts = None

    def _change_encoding(self, error: AsyncUploadError, chunk: SealedChunk, encoding: Encoding) -> bool:
        """Whether the first chunk should go once more in another way of writing it."""
        # The last way leads back to the first, whatever was wrong with it: a SOAP fault is no foreign reply.
        refused = encoding is Encoding.SOAP or (isinstance(error, ForeignReply) and error.status in {400, 415})
        return chunk.number == 1 and refused and self._remote.asker.change_encoding(encoding)

    def _turn_to_another(self, error: AsyncUploadError, handler: Handler, chunk: SealedChunk) -> None:
        """Begin anew, if another handler may fare better."""
        self._try_smaller(error, handler, chunk)
        if isinstance(error, ServerError) and error.unexpected and self._rereadable:  # it may be this one's trouble
            raise StartOver(error, Reason.BROKEN) from error

    def _try_smaller(self, error: AsyncUploadError, handler: Handler, chunk: SealedChunk) -> None:
        """Begin anew with half the chunk size, if the size may be what was refused. All of the client's remember it."""
        status = error.status if isinstance(error, ForeignReply) else None
        # A server that closes the connection in the middle of a large body often refuses just that.
        at_first = chunk.number == 1 and (status in {400, 404} or isinstance(error, ConnectionLost))
        if (status == 413 or at_first) and len(chunk.data) > SMALLEST_CHUNK:
            self._remote.wish = min(self._remote.wish, max(SMALLEST_CHUNK, handler.chunk_size // 2))
            raise StartOver(error, Reason.TOO_LARGE) from error

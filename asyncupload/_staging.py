"""All of a file through one upload handler: chunk after chunk, until the server holds what was read, or the handler is
gone."""

import time
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import Executor
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, cast

import anyio

from ._body import Encoding
from ._ending import left_handler, this_ending
from ._handler import Handler
from ._outcome import blames_the_request, exceeds_limit
from ._patience import Patience
from ._pipeline import Line, SealedChunk, sealed_chunks
from ._recut import Recut
from ._spelling import Spelling
from ._tally import Reason, StartOver, Tally
from ._trial import change_encoding, may_be_the_encoding
from .checkpoints import Checkpoints
from .errors import (
    AsyncUploadError,
    ConnectionLost,
    ForeignReply,
    HandlerLost,
    Outcome,
    ServerError,
)
from .events import Audience, ChunkRetried, ChunkSent, HandlerOpened, Times
from .settings import LARGEST_CHUNK, SMALLEST_CHUNK, Loss
from .sources import Content


@dataclass(frozen=True, slots=True)
class Threads:
    """A client's threads: for blocking reads, and for checksums."""

    reading: Executor
    checksums: anyio.CapacityLimiter


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
        self.waited = patience.waited
        """By reasons of their own, beside ``times``."""
        self.settings = patience.settings
        self._threads = threads
        self._audience = audience
        self._log = log
        self.path = path
        self._rereadable = rereadable
        self._checkpoints = checkpoints
        self._chunk_size = chunk_size or LARGEST_CHUNK
        self.require_allowed: Callable[[int], None] = lambda _: None
        """Told how many bytes there will be with a chunk, before that is sent. What it raises ends the upload."""
        self._kept: tuple[Recut, AsyncExitStack] | None = None
        """What no handler has taken of a source that cannot be read again, and what ends the line behind it."""
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
        async with AsyncExitStack() as ending:
            chunks = await self._chunks(handler, content, ending)
            with self._timed(chunks.line):
                try:
                    async for chunk in chunks:
                        self.require_allowed(tally.sent + len(chunk.data))
                        tally.add(chunk, await self._send(handler, chunk, content.size, tally))
                        self._audience.tell(
                            ChunkSent(path=self.path, number=chunk.number, sent=tally.sent, size=content.size)
                        )
                except StartOver:
                    if chunks.untouched and not self._rereadable:
                        self._kept = chunks, ending.pop_all()
                    raise
        return tally

    async def _chunks(self, handler: Handler, content: Content, ending: AsyncExitStack) -> Recut:
        """What there is to send. The line that it comes from ends with ``ending``."""
        if self._kept is not None:
            (chunks, closing), self._kept = self._kept, None
            await ending.enter_async_context(closing)
            return chunks.begin_anew(handler.chunk_size)
        threads = self._threads.checksums
        line = sealed_chunks(content.chunks(handler.chunk_size), depth=self.settings.depth, threads=threads)
        return Recut(await ending.enter_async_context(line), handler.chunk_size, threads)

    @property
    def keeps(self) -> bool:
        """Whether all that was read of a source that cannot be read again is in hand yet: no handler has taken it."""
        return self._kept is not None

    async def let_go(self) -> None:
        """Close what was kept, if no handler has come for it."""
        if self._kept is not None:
            (_, closing), self._kept = self._kept, None
            await closing.aclose()

    @contextmanager
    def _timed(self, line: Line) -> Iterator[None]:
        began, reading, checksums = time.monotonic(), line.waited_for_bytes, line.waited_for_checksums
        waited = self.waited.total
        try:
            yield
        finally:
            seconds = time.monotonic() - began - (self.waited.total - waited)
            reading, checksums = line.waited_for_bytes - reading, line.waited_for_checksums - checksums
            before = self.times
            self.times = replace(
                before,
                reading=before.reading + reading,
                checksums=before.checksums + checksums,
                network=before.network + seconds - reading - checksums,
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

        spelling = Spelling(self._remote, chunk.crc32)

        async def attempt() -> int | None:
            encoding = self._remote.asker.encoding
            try:
                answer = await self._remote.send_chunk(handler, chunk, padded=spelling.choose())
            except AsyncUploadError as error:
                if not await self._change_encoding(error, chunk, encoding):
                    spelling.note(error)
                    self._doubt(error, chunk, size, tally)
                    raise
                self._begin_otherwise(error)
            else:
                self._remote.asker.settle_encoding(encoding)
                return answer
            return await attempt()

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
            self._tell_of_loss(error, handler)
            raise StartOver(error) from error
        except AsyncUploadError as error:
            self._turn_to_another(error, handler, chunk)
            raise
        self._tell_of_spelling(spelling)
        return answer

    def _tell_of_spelling(self, spelling: Spelling) -> None:
        if spelling.found():
            self._log.info("checksum_spelling_found", padded=spelling.padded)

    def _tell_of_loss(self, error: HandlerLost, handler: Handler) -> None:
        renewed = self._remote.renewed_since(handler)
        self._log.info("handler_lost", ticket_renewed=renewed, reason=str(error))
        if renewed:
            error.add_note("the ticket has been renewed since: this server may know a handler by its first ticket only")

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
        anew = self._may_begin_anew(chunk)
        loss = Loss(tally.sent, size, anew, self._restarted)
        unseen = tally.blind_to(chunk) and anew
        if unseen or (lost and not self.settings.prove(loss)):
            raise StartOver(error) from error
        tally.doubtful.add(chunk.number)
        error.outcome = Outcome.NOT_APPLIED
        if not anew:  # there is no other handler to turn to: as long as after an HTTP 500
            error.most_attempts = None

    def _may_begin_anew(self, chunk: SealedChunk) -> bool:
        """Whether another handler can have all: it can be read again, or nothing of it was acknowledged."""
        return self._rereadable or chunk.number == 1

    async def _change_encoding(self, error: AsyncUploadError, chunk: SealedChunk, encoding: Encoding) -> bool:
        """Whether the first chunk should go once more in another way of writing it."""
        first = chunk.number == 1 and may_be_the_encoding(error, encoding)
        return first and await change_encoding(self._patience, error, encoding)

    def _begin_otherwise(self, error: AsyncUploadError) -> None:
        """Let the first chunk go in the way that was found.

        Raises:
            StartOver: It may have been appended for all that: another handler is certain to be empty.
        """
        if error.outcome is not Outcome.NOT_APPLIED:
            raise StartOver(error, Reason.ENCODING) from error

    def _turn_to_another(self, error: AsyncUploadError, handler: Handler, chunk: SealedChunk) -> None:
        """Begin anew, if another handler may fare better."""
        self._try_smaller(error, handler, chunk)
        if (
            isinstance(error, ServerError) and error.unexpected and self._may_begin_anew(chunk)
        ):  # maybe this one's trouble
            raise StartOver(error, Reason.BROKEN) from error

    def _try_smaller(self, error: AsyncUploadError, handler: Handler, chunk: SealedChunk) -> None:
        """Begin anew with half the chunk size, if the size may be what was refused. All of the client's remember it."""
        status = error.status if isinstance(error, ForeignReply) else None
        # A server that closes the connection in the middle of a large body often refuses just that; and one that
        # blames an envelope may do so in any language.
        may_be = status in {400, 404} or isinstance(error, ConnectionLost) or blames_the_request(error)
        if ((may_be and chunk.number == 1) or exceeds_limit(error)) and len(chunk.data) > SMALLEST_CHUNK:
            self._remote.wish = min(self._remote.wish, max(SMALLEST_CHUNK, handler.chunk_size // 2))
            raise StartOver(error, Reason.TOO_LARGE) from error

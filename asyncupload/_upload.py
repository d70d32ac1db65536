"""One file up: look first, open a handler, send chunks, compare, finalize; clean up on every other way out."""

import time
from collections.abc import AsyncIterator, Awaitable, Callable
from concurrent.futures import Executor
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Literal, TypeVar, cast

import anyio

from . import _checksum, _wire
from ._names import Destination
from ._pipeline import SealedChunk, sealed_chunks
from ._remote import Handler, Remote
from ._retry import persist
from ._shield import undisturbed
from .errors import (
    AlreadyExists,
    AsyncUploadError,
    ChecksumMismatch,
    NotFound,
    Outcome,
    OutcomeUnknown,
    SourceChanged,
)
from .events import Audience, ChunkRetried, ChunkSent, Committing, HandlerOpened, Receipt, Stored
from .settings import Settings
from .sources import Content, Source

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """What is to be done."""

    source: Source
    to: Destination
    comment: str = ""


@dataclass(frozen=True, slots=True)
class Threads:
    """A client's threads: for blocking reads, and for checksums."""

    reading: Executor
    checksums: anyio.CapacityLimiter


class Upload:
    """The journey of one file.

    Args:
        remote: The server.
        settings: The user's.
        threads: The client's.
        audience: Told what happens.
        log: A logger bound to this upload.
    """

    def __init__(self, remote: Remote, settings: Settings, threads: Threads, audience: Audience, log: Any) -> None:
        self._remote = remote
        self._settings = settings
        self._threads = threads
        self._audience = audience
        self._log = log

    async def run(self, task: Task) -> Receipt:
        """Bring ``task.source`` to ``task.to``, and say in one line of the log how it ended.

        Raises:
            AsyncUploadError: It is not stored; with OutcomeUnknown it may be.

        On cancellation the handler is deleted, unless the request to store may have left, and ``CancelledError`` goes
        on.
        """
        began, tally = time.monotonic(), _Tally()
        try:
            receipt = await self._journey(task, tally, began)
        except BaseException as error:
            self._log.warning("upload_ended", status=_status(error), reason=_reason(error), **tally.facts(began))
            raise
        self._log.info("upload_ended", status="stored", document_id=receipt.document_id, **tally.facts(began))
        self._audience.tell(Stored(path=task.to.path, receipt=receipt))
        return receipt

    async def _journey(self, task: Task, tally: "_Tally", began: float) -> Receipt:
        async with task.source.open(self._threads.reading) as content:
            await self._look(task.to)
            async with self._handler(task, content) as handler:
                await self._send_all(handler, content, task.to.path, tally)
                self._compare(tally, task.to.path)
                self._audience.tell(Committing(path=task.to.path, sent=tally.sent))
                stored = await self._finalize(handler, task)
        return Receipt(
            path=task.to.path,
            document_id=stored.document_id,
            version_id=stored.version_id,
            size=tally.sent,
            crc32=tally.crc32,
            chunks=tally.chunks,
            resent=tally.resent,
            restarted=0,
            verified_by="staged checksum"
            if tally.staged_crc32 is not None
            else await self._verify(tally, task.to.path),
            seconds=time.monotonic() - began,
        )

    async def _look(self, to: Destination) -> None:
        """Before the first byte: a finalize that is refused may cost the whole upload, since it consumes the
        handler."""
        await self._persist(self._remote.log_in)
        try:
            await self._persist(lambda: self._remote.folder_exists(to.folder))
        except NotFound as error:
            raise NotFound(
                f"the folder {to.folder} does not exist on the server, or is not visible to this user; make it first",
                operation=error.operation,
                code=error.code,
                text=error.text,
            ) from error
        try:
            await self._persist(lambda: self._remote.document_crc32(to.path))
        except NotFound:
            return
        raise AlreadyExists(f"{to.path} exists already, and nothing was sent; choose another name")

    @asynccontextmanager
    async def _handler(self, task: Task, content: Content) -> AsyncIterator[Handler]:
        """A handler that is deleted on every way out but the one on which a document was, or may have been, made of
        it."""
        handler: Handler | None = None

        async def create() -> None:
            nonlocal handler
            handler = await self._remote.create_handler(self._settings.chunk_size)

        try:
            # Undisturbed: cancelled in mid-request, nobody would know the name of what the server has made.
            await self._persist(lambda: undisturbed(create(), grace=self._settings.timeouts.cleanup))
            opened = cast(Handler, handler)
            self._log = self._log.bind(handler=opened.id)
            self._log.debug("handler_opened", chunk_size=opened.chunk_size, size=content.size)
            self._audience.tell(
                HandlerOpened(path=task.to.path, handler=opened.id, chunk_size=opened.chunk_size, size=content.size)
            )
            yield opened
        except BaseException:
            if handler is not None and not handler.consumed:
                await undisturbed(self._discard(handler), grace=self._settings.timeouts.cleanup)
            raise

    async def _discard(self, handler: Handler) -> None:
        """Delete a handler, or say in the log that it is left. Never raises: the reason for coming here must go on."""
        try:
            with anyio.fail_after(self._settings.timeouts.cleanup):
                await self._persist(lambda: self._remote.delete_handler(handler))
        except (AsyncUploadError, TimeoutError) as error:
            self._log.warning("handler_left", reason=str(error) or "no time left to delete it")
        else:
            self._log.debug("handler_deleted")

    async def _send_all(self, handler: Handler, content: Content, path: str, tally: "_Tally") -> None:
        """The ordered sender. The offset moves only after the server has acknowledged a chunk."""
        async with sealed_chunks(
            content.chunks(handler.chunk_size), depth=self._settings.depth, threads=self._threads.checksums
        ) as line:
            async for chunk in line:
                tally.add(chunk, await self._send(handler, chunk, content, path, tally))
                self._audience.tell(ChunkSent(path=path, number=chunk.number, sent=tally.sent, size=content.size))

    async def _send(
        self, handler: Handler, chunk: SealedChunk, content: Content, path: str, tally: "_Tally"
    ) -> int | None:
        """Send one chunk until the server has it, always from the same buffer."""

        def retried(error: AsyncUploadError, attempt: int, wait: float) -> None:
            tally.resent += 1
            self._log.info("chunk_retried", chunk=chunk.number, attempt=attempt, wait=round(wait, 3), reason=str(error))
            self._audience.tell(
                ChunkRetried(
                    path=path,
                    number=chunk.number,
                    attempt=attempt,
                    wait=wait,
                    reason=str(error),
                    sent=tally.sent,
                    size=content.size,
                )
            )

        return await persist(lambda: self._remote.send_chunk(handler, chunk), self._settings.retries, on_retry=retried)

    def _compare(self, tally: "_Tally", path: str) -> None:
        if not tally.complete:  # cannot happen while the pipeline keeps its word, and would store half a file
            raise SourceChanged(f"{path}: the source ended without a last chunk; nothing was stored")
        if tally.staged_crc32 is not None and tally.staged_crc32 != tally.crc32:
            raise ChecksumMismatch(
                f"{path}: the server staged other bytes than were sent "
                f"(its CRC-32 is {tally.staged_crc32:08X}, ours {tally.crc32:08X}); nothing was stored",
                expected=tally.crc32,
                found=tally.staged_crc32,
            )

    async def _finalize(self, handler: Handler, task: Task) -> _wire.Stored:
        try:
            return await self._persist(lambda: self._remote.finalize(handler, task.to.path, task.comment))
        except AsyncUploadError as error:
            if error.outcome is not Outcome.UNKNOWN:
                raise
            raise OutcomeUnknown(
                f"{task.to.path}: all bytes arrived, but the reply to the request to store them did not ({error}); "
                "look whether the document is there before you send it again"
            ) from error

    async def _verify(self, tally: "_Tally", path: str) -> Literal["stored checksum"]:
        """For servers that keep the staged checksum to themselves: compare what is stored."""
        try:
            found = await self._persist(lambda: self._remote.document_crc32(path))
        except AsyncUploadError as error:
            raise OutcomeUnknown(f"{path} is stored, but its checksum could not be asked for: {error}") from error
        if found != tally.crc32:
            raise ChecksumMismatch(
                f"{path} is stored, but with CRC-32 {found or 0:08X} where {tally.crc32:08X} was sent; "
                "compare it with the source before you rely on it",
                expected=tally.crc32,
                found=found or 0,
            )
        return "stored checksum"

    async def _persist(self, attempt: Callable[[], Awaitable[T]]) -> T:
        return await persist(attempt, self._settings.retries)


@dataclass(slots=True)
class _Tally:
    """What the server has acknowledged of one upload."""

    sent: int = 0
    chunks: int = 0
    resent: int = 0
    crc32: int = _checksum.EMPTY
    staged_crc32: int | None = None
    complete: bool = False
    """Whether the last chunk is among them."""

    def add(self, chunk: SealedChunk, answer: int | None) -> None:
        """A chunk was acknowledged; ``answer`` is what the server said of the whole, if anything."""
        self.sent += len(chunk.data)
        self.chunks += 1
        self.crc32 = _checksum.combine(self.crc32, chunk.crc32, len(chunk.data))
        if chunk.last:
            self.staged_crc32, self.complete = answer, True

    def facts(self, began: float) -> dict[str, Any]:
        """For the canonical log line."""
        seconds = time.monotonic() - began
        return {
            "sent": self.sent,
            "chunks": self.chunks,
            "resent": self.resent,
            "crc32": f"{self.crc32:08X}",
            "seconds": round(seconds, 3),
        }


def _status(error: BaseException) -> str:
    match error:
        case OutcomeUnknown():
            return "unknown"
        case Exception():
            return "failed"
        case _:
            return "cancelled"


def _reason(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__

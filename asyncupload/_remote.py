"""The server as an object: one coroutine per operation, one request per call, no patience.

Here the ticket, the encoding of requests and the reading of answers meet. Retrying is decided above, by what the errors
say.
"""

from collections.abc import Callable
from contextlib import suppress
from typing import TypeVar

import anyio
import anyio.to_thread

from . import _checksum, _reading, _wire
from ._asker import Asker
from ._body import Encoding
from ._call import Call
from ._handler import Handler
from ._names import Destination
from ._outcome import failed_inside, lacks_operation
from ._parameters import PLAIN, asked
from ._pipeline import SealedChunk
from ._secret import Secret
from ._session import RENEWALS, REPLY_LIMIT, Session
from ._transport import Delivery, Transport
from ._ways import Ways
from .errors import (
    AlreadyExists,
    AsyncUploadError,
    ChunkDamaged,
    ChunkRefused,
    ForeignReply,
    HandlerLost,
    NotFound,
    Outcome,
)
from .properties import NONE_GIVEN, Properties
from .settings import LARGEST_CHUNK, MIB, Timeouts

T = TypeVar("T")

VERSIONS_LIMIT = 64 * MIB
"""Bytes. A version takes some 600 of them, and some documents have ten thousand versions."""


class Remote(Session):
    """One server, one user.

    Args:
        transport: How to reach it.
        user: Whose documents they become. None if a ticket is lent.
        password: The user's.
        ticket: A lent session; it is not logged out.
        timeouts: The user's.
        chunk_size: The first wish, in bytes.
        encoding: How chunks travel; None begins with multipart and may change.

    Attributes:
        wish: Bytes per chunk to ask for: what was learned about this server, for all uploads of the client.
        asker: How requests travel.
        ways: How the server keeps what a document is stored with.
        pads_checksums: Whether checksums of chunks go out with eight digits, as far as is known: some servers compare
            the text.
        creates_only: Whether a new document is made by the operation that can do nothing else, as far as is known.
    """

    def __init__(
        self,
        transport: Transport,
        *,
        user: str | None,
        password: Secret | None,
        ticket: Secret | None,
        timeouts: Timeouts,
        chunk_size: int = MIB,
        encoding: Encoding | None = None,
    ) -> None:
        super().__init__(
            Asker(transport, encoding, seconds=timeouts.reply),
            user=user,
            password=password,
            ticket=ticket,
            timeouts=timeouts,
        )
        # Several tries must fit into the time for cleaning up, even if the first is never answered.
        self._brief = min(timeouts.reply, timeouts.cleanup / 4)
        self.ways = Ways()
        self.pads_checksums = False
        self.creates_only = True
        self.wish = chunk_size

    def __repr__(self) -> str:
        return f"<Remote {self.asker.url} as {self._user or 'the owner of the ticket'}>"

    # ── looking ──

    async def server_info(self) -> _wire.ServerInfo:
        """What the server calls its version, and its clock."""
        return await self._ask(_wire.server_info())

    async def limits(self) -> _wire.Limits:
        """The server's upload settings, from the older operation where the newer one is missing or tells no size.

        Raises:
            AsyncUploadError: The server has neither, or does not answer at the moment.
        """
        settings, lacking = _wire.general_settings(self._key()), self.asker.lacking
        told: _wire.Limits | None = None
        try:
            if settings.operation not in lacking:
                told = await self._ask(settings)
        except AsyncUploadError as error:
            if not lacks_operation(error):
                raise
            lacking.add(settings.operation)
        if told is not None and told.document_max_size is not None:
            return told
        return await self._older_limits(told)

    async def _older_limits(self, told: _wire.Limits | None) -> _wire.Limits:
        """What the older operation adds to what was ``told``."""
        parameters, lacking = _wire.application_parameters(self._key()), self.asker.lacking
        if told is not None and parameters.operation in lacking:
            return told
        try:
            found = await self._ask(parameters)
        except AsyncUploadError as error:
            if told is None or not lacks_operation(error):
                raise
            lacking.add(parameters.operation)
            return told
        return found if told is None else found._replace(default_chunk_size=told.default_chunk_size)

    async def folder_rules(self, path: str) -> dict[str, str]:
        """What may be put into a folder, by the rules' names in lower case."""
        return await self._ask(_wire.folder_rules(self._key(), path))

    async def folder_exists(self, path: str) -> None:
        """Raises NotFound where there is no such folder."""
        await self._ask(_wire.folder_exists(self._key(), path))

    async def create_folder(self, path: str) -> None:
        """Make a folder, and those above it. One that is there already is as good."""
        with suppress(AlreadyExists):
            await self._ask(_wire.create_folder(self._key(), path))

    async def document_crc32(self, path: str) -> int | None:
        """Checksum of a document's latest version. Raises NotFound where there is none."""
        return await self._ask(_wire.document_exists(self._key(), path))

    # ── bringing ──

    async def document(self, path: str) -> _wire.Document:
        """What the server calls a document, and who has it checked out."""
        return await self._ask(_wire.document(self._key(), path))

    async def versions(self, path: str) -> tuple[_wire.Version, ...]:
        """A document's versions."""
        return await self._ask(_wire.versions(self._key(), path), limit=VERSIONS_LIMIT)

    async def lock(self, path: str) -> None:
        """Check a document out."""
        await self._ask(_wire.lock(self._key(), path))

    async def unlock(self, path: str) -> None:
        """Give it back."""
        await self._ask(_wire.unlock(self._key(), path), seconds=self._brief)

    async def create_handler(self, most: int = LARGEST_CHUNK) -> Handler:
        """A new staging place for chunks of about ``wish`` bytes, or ``most``; the server decides.

        Raises:
            ForeignReply: The server granted more than the protocol allows, and than the memory formula has room for.
        """
        grant = await self._ask(_wire.create_handler(self._key(), min(self.wish, most)))
        if grant.chunk_size > LARGEST_CHUNK:
            raise ForeignReply(
                f"CreateUploadHandler: chunks of {grant.chunk_size} bytes are more than the protocol's {LARGEST_CHUNK}",
                status=200,
            )
        handler = Handler(grant)
        handler.generation = self._generation
        return handler

    async def send_chunk(self, handler: Handler, chunk: SealedChunk, *, padded: bool = False) -> int | None:
        """Append one chunk; after the last, the server's checksum of everything staged, if it gives one.

        Args:
            handler: Where to.
            chunk: What.
            padded: How its checksum is spelled; see ``pads_checksums``.

        Raises:
            ChunkRefused: It was not appended, says the server: the same bytes may go again.
        """
        call = _wire.send_chunk(self._key(), handler.id, chunk.data, chunk.crc32, last=chunk.last, padded=padded)
        generation = self._generation
        staged = await self._ask(call, seconds=self._timeouts.chunk(len(chunk.data)))
        if generation == self._generation:
            self._renewals = RENEWALS
        return staged

    def renewed_since(self, handler: Handler) -> bool:
        """Whether there is another ticket now than the one that the handler was made with."""
        return handler.generation != self._generation

    async def probe(self, handler: Handler, encoding: Encoding | None = None) -> None:
        """Send a chunk that no server appends; see :func:`_wire.probe_chunk`. Raises ChunkRefused where it was read."""
        await self._ask(_wire.probe_chunk(self._key(), handler.id), encoding=encoding)

    async def takes_no_more(self, handler: Handler) -> bool:
        """Whether the server refuses any chunk after the last one, as its newest pages have it; none says it for sure.

        Only then is it certain that a late copy of a chunk cannot be appended behind what was proved.
        """
        try:
            await self.probe(handler)
        except HandlerLost:
            return True
        except ChunkRefused:
            pass
        return False

    async def finalize(
        self,
        handler: Handler,
        to: Destination,
        comment: str,
        properties: Properties = NONE_GIVEN,
        *,
        new: bool,
        fall_back: bool = True,
    ) -> _wire.Stored:
        """Make a document of what is staged, or a version of one. Consumes the handler, and not only if it succeeds.

        A ``new`` document is made by the operation that can do nothing else. Where the server has no such operation,
        the one that also makes versions serves, but not without ``fall_back``.
        """
        grammar, full = self.ways.grammar, bool(asked(comment, properties))

        def by_path(handler: str) -> Call[_wire.Stored]:
            return _wire.finalize(
                self._key(), to.path, handler, comment, properties, missing=self.ways.missing, grammar=grammar
            )

        def create(handler: str) -> Call[_wire.Stored]:
            return _wire.finalize_new(self._key(), *to, handler, comment, properties, grammar=grammar)

        if new and self.creates_only:
            if (stored := await self._finalize_if_there(handler, create, fall_back, full)) is not None:
                return stored
            self.creates_only = False
        if new:  # this one would make a version of what has come in between
            await self._require_absent(to.path)
        while (stored := await self._finalize_if_there(handler, by_path, fall_back, full)) is None:
            self.ways.missing.add(by_path(handler.id).operation)
        return stored

    async def _finalize_if_there(
        self,
        handler: Handler,
        make: Callable[[str], Call[_wire.Stored]],
        fall_back: bool,  # noqa: FBT001
        full: bool,  # noqa: FBT001
    ) -> _wire.Stored | None:
        """None if the server lacks the operation; a matter of ``fall_back``, which one is tried then. ``full`` says
        whether anything is asked for besides the document.

        A bare 404 may be a gateway's word about a request that runs: then one that can do nothing gets another answer.
        """
        call, before = make(handler.id), handler.consumed
        handler.way = self.ways.way(call.operation)
        try:
            stored = await self._finalize(handler, call)
        except AsyncUploadError as error:
            if failed_inside(error):
                self.ways.fail(handler.way)
            if not fall_back or call.operation == PLAIN or not lacks_operation(error):
                raise
            if isinstance(error, ForeignReply) and error.status == 404 and not await self._lacks(make):
                raise
        else:
            if full:
                self.ways.accept(handler.way)
            return stored
        handler.consumed = before
        return None

    async def _lacks(self, make: Callable[[str], Call[_wire.Stored]]) -> bool:
        try:
            await self._ask(make(_wire.NO_HANDLER))
        except AsyncUploadError as error:
            return lacks_operation(error)
        return False

    async def _require_absent(self, path: str) -> None:
        with suppress(NotFound):
            await self.document_crc32(path)
            raise AlreadyExists(f"{path} exists already: it came in between, and nothing was stored")

    async def unpack(
        self, handler: Handler, folder: str, *, changed_only: bool, check_out: bool, notify: bool
    ) -> tuple[_wire.Unpacked, ...]:
        """Make documents of the entries of the archive that is staged. Consumes the handler likewise."""
        call = _wire.unpack(
            self._key(), folder, handler.id, changed_only=changed_only, check_out=check_out, notify=notify
        )
        return await self._finalize(handler, call)

    async def _finalize(self, handler: Handler, call: Call[T]) -> T:
        delivery = Delivery()
        try:
            stored = await self._ask(call, seconds=self._timeouts.finalize, delivery=delivery)
        except AsyncUploadError as error:
            # Once it may be, it stays so: that a repeat is refused says nothing about the first.
            handler.consumed = handler.consumed or error.outcome is not Outcome.NOT_APPLIED
            raise
        except BaseException:
            handler.consumed = handler.consumed or delivery.complete
            raise
        finally:
            handler.asked_at = delivery.at or anyio.current_time()
        handler.consumed = True
        return stored

    async def delete_handler(self, handler: str) -> None:
        """Discard what is staged."""
        await self._ask(_wire.delete_handler(self._key(), handler), seconds=self._brief)

    # ── fetching ──

    async def download_info(self, path: str, version: int | None = None) -> _reading.Facts:
        """What a download would bring."""
        return await self._ask(_reading.download_info(self._key(), path, version))

    async def open_download(self, path: str, wish: int, version: int | None = None) -> _reading.Info:
        """Ready a document to be read by offset."""
        return await self._ask(_reading.open_download(self._key(), path, wish, version))

    async def read_chunk(self, handler: str, offset: int, size: int) -> _reading.Piece:
        """Bytes of it."""
        call = _reading.read_chunk(self._key(), handler, offset, size)
        # Base64 takes four bytes for three; the rest is for the envelope and for line ends within.
        piece = await self._ask(call, seconds=self._timeouts.chunk(size), limit=2 * size + REPLY_LIMIT)
        found = await anyio.to_thread.run_sync(_checksum.crc32, piece.data)
        if piece.crc32 != found:
            raise ChunkDamaged(
                f"DownloadFileChunk: the bytes at offset {offset} arrived with another CRC-32 than the server says"
            )
        return piece

    async def close_download(self, handler: str) -> None:
        """Let go of it."""
        await self._ask(_reading.close_download(self._key(), handler), seconds=self._brief)

"""The server as an object: one coroutine per operation, one request per call, no patience.

Here the ticket, the encoding of requests and the reading of answers meet. Retrying is decided above, by what the errors
say.
"""

from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import TypeVar, cast

import anyio
import anyio.to_thread

from . import _checksum, _wire
from ._asker import Asker
from ._body import Encoding
from ._call import Call
from ._handler import Handler
from ._log import get_logger
from ._names import Destination
from ._outcome import lacks_operation
from ._pipeline import SealedChunk
from ._raised import another
from ._secret import Secret
from ._transport import Delivery, Transport
from .errors import (
    AlreadyExists,
    AsyncUploadError,
    ChunkDamaged,
    ChunkRefused,
    ForeignReply,
    HandlerLost,
    LoginRefused,
    NotFound,
    Outcome,
    TicketRefused,
    TransportError,
    UsageError,
)
from .properties import NONE_GIVEN, Properties
from .settings import LARGEST_CHUNK, MIB, Timeouts

T = TypeVar("T")

RENEWALS = 2
"""Attempts to renew a ticket, before another one takes its place."""

REPLY_LIMIT = MIB
"""Bytes of most answers."""

VERSIONS_LIMIT = 64 * MIB
"""Bytes. A version takes some 600 of them, and some documents have ten thousand versions."""


class Remote:
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
        if ticket is None and (user is None or password is None):
            raise UsageError("give a user and a password, or the ticket of a session")
        self.asker = Asker(transport, encoding, seconds=timeouts.reply)
        self._user = user
        self._password = password
        self._ticket = ticket
        self._own_ticket = False
        self._timeouts = timeouts
        # Several tries must fit into the time for cleaning up, even if the first is never answered.
        self._brief = min(timeouts.reply, timeouts.cleanup / 4)
        self._login = anyio.Lock(fast_acquire=True)
        self._refused: LoginRefused | None = None
        self._generation = 0
        self._renewals = 0
        """How often it may be tried to renew the ticket, should it be refused."""
        self.pads_checksums = False
        self.creates_only = True
        self.name = ""
        self.wish = chunk_size

    def __repr__(self) -> str:
        return f"<Remote {self.asker.url} as {self._user or 'the owner of the ticket'}>"

    # ── sessions ──

    async def log_in(self) -> None:
        """Make sure that there is a ticket. Any number of uploads may ask at once: one request goes out.

        Raises:
            LoginRefused: Wrong user or password. They are not tried a second time: accounts get locked that way.
        """
        async with self._login:
            if self._ticket is None:
                await self._authenticate()

    async def _authenticate(self) -> None:
        if self._refused is not None:
            raise another(self._refused)
        try:
            user, password = cast(str, self._user), cast(Secret, self._password)
            login = await self._ask(_wire.authenticate(user, password))
        except AsyncUploadError as error:
            if isinstance(error, LoginRefused):
                self._refused = another(error)
            raise
        self._take(login)

    async def renew(self, generation: int) -> None:
        """Get another ticket in place of one that was refused, unless somebody has done so since.

        Args:
            generation: Of the refused ticket, so that those who hear of it late do not log in once more.

        Raises:
            TicketRefused: The ticket was lent, and there is no password to get another.
        """
        async with self._login:
            if generation != self._generation:
                return
            if self._user is None or self._password is None:
                raise TicketRefused(
                    "the lent ticket is no longer valid; log in again, or give user and password instead"
                )
            await self._renew()

    async def _renew(self) -> None:
        """Go on with the session if the server can: some know an upload handler only by the ticket it was made with.

        Only after a chunk was acknowledged with the ticket. So nothing is lost otherwise, and a server that gives the
        refused ticket back is not asked for it again and again.
        """
        if self._renewals == 0 or self._refused is not None:
            return await self._authenticate()
        user, password, old = cast(str, self._user), cast(Secret, self._password), cast(Secret, self._ticket)
        self._renewals -= 1
        try:
            # Classic ASP.NET wants every field there, newer servers none that is empty.
            login = await self._ask(_wire.renew_ticket(user, password, old, language=self._renewals == 0))
        except LoginRefused as error:
            self._refused = another(error)
            raise
        except AsyncUploadError as error:
            if self._renewals and isinstance(error, TransportError) and error.transient:
                raise
            get_logger().info("ticket_not_renewed", reason=str(error))
            return await self._authenticate()
        get_logger().info("ticket_renewed", same_ticket=login.ticket == old)
        return self._take(login)

    def _take(self, login: _wire.Login) -> None:
        self._ticket, self.name, self._own_ticket = login.ticket, login.user, True
        self._generation += 1
        self._renewals = 0

    async def with_ticket(self, attempt: Callable[[], Awaitable[T]]) -> T:
        """Make an attempt; if its ticket is refused, get another, so that the next attempt can succeed."""
        try:
            return await attempt()
        except TicketRefused as error:
            await self.renew(error.generation)
            error.transient = True
            raise

    async def insisting(self, cleanup: Callable[[], Awaitable[T]]) -> T:
        """Make an attempt to clean up: worth another one whatever the answer was, since it can do no harm."""
        try:
            return await self.with_ticket(cleanup)
        except AsyncUploadError as error:
            error.transient = not isinstance(error, LoginRefused)
            raise

    async def log_out(self) -> None:
        """End the session if it is ours. One that has ended already is as good."""
        if self._ticket is None or not self._own_ticket:
            return
        ticket, self._ticket = self._ticket, None
        with suppress(TicketRefused):
            await self._ask(_wire.log_out(ticket))

    async def whoami(self) -> str:
        """The user whom the ticket belongs to."""
        self.name = await self._ask(_wire.is_valid_ticket(self._key()))
        return self.name

    def _key(self) -> Secret:
        if self._ticket is None:
            raise UsageError("not logged in")
        return self._ticket

    # ── looking ──

    async def server_info(self) -> _wire.ServerInfo:
        """What the server calls its version, and its clock."""
        return await self._ask(_wire.server_info())

    async def limits(self) -> _wire.Limits:
        """The server's upload settings."""
        return await self._ask(_wire.general_settings(self._key()))

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

    async def takes_no_more(self, handler: Handler) -> bool:
        """Whether the server refuses any chunk after the last one, as its newest pages have it; none says it for sure.

        Only then is it certain that a late copy of a chunk cannot be appended behind what was proved.
        """
        try:
            await self._ask(_wire.probe_chunk(self._key(), handler.id))
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
        if new and self.creates_only:
            before = handler.consumed
            try:
                call = _wire.finalize_new(self._key(), *to, handler.id, comment, properties)
                return await self._finalize(handler, call)
            except AsyncUploadError as error:
                if not fall_back or not await self._cannot_create(error, to):
                    raise
                handler.consumed = before
            self.creates_only = False
        if new:  # this one would make a version of what has come in between
            await self._require_absent(to.path)
        return await self._finalize(handler, _wire.finalize(self._key(), to.path, handler.id, comment, properties))

    async def _cannot_create(self, error: AsyncUploadError, to: Destination) -> bool:
        """Whether ``error`` says that the server lacks the operation that only creates.

        A bare 404 may be a gateway's word about a request that runs: then one that can do nothing gets another answer.
        """
        if not isinstance(error, ForeignReply) or error.status != 404:
            return lacks_operation(error)
        try:
            await self._ask(_wire.finalize_new(self._key(), *to, _wire.NO_HANDLER, ""))
        except AsyncUploadError as again:
            return lacks_operation(again)
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

    async def open_download(self, path: str, wish: int, version: int | None = None) -> _wire.Info:
        """Ready a document to be read by offset."""
        return await self._ask(_wire.open_download(self._key(), path, wish, version))

    async def read_chunk(self, handler: str, offset: int, size: int) -> _wire.Piece:
        """Bytes of it."""
        call = _wire.read_chunk(self._key(), handler, offset, size)
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
        await self._ask(_wire.close_download(self._key(), handler), seconds=self._brief)

    async def _ask(
        self,
        call: Call[T],
        *,
        seconds: float | None = None,
        limit: int = REPLY_LIMIT,
        delivery: Delivery | None = None,
    ) -> T:
        generation = self._generation
        try:
            return await self.asker.ask(
                call, seconds=seconds or self._timeouts.reply, limit=limit, delivery=delivery or Delivery()
            )
        except TicketRefused as error:
            error.generation = generation
            raise

"""The server as an object: one coroutine per operation, one request per call, no patience.

Here the ticket, the encoding of requests and the reading of answers meet. Retrying is decided above, by what the errors
say.
"""

from contextlib import suppress
from typing import TypeVar

import anyio
import anyio.to_thread

from . import _checksum, _wire
from ._pipeline import SealedChunk
from ._secret import Secret
from ._transport import Delivery, Transport
from ._wire import Call, LostReply
from .errors import (
    AsyncUploadError,
    ChunkDamaged,
    ConnectFailed,
    ForeignReply,
    LoginRefused,
    Outcome,
    TicketRefused,
    UsageError,
)
from .settings import KIB, LARGEST_CHUNK, MIB, Timeouts

T = TypeVar("T")

REPLY_LIMIT = MIB
"""Bytes. The largest answer outside downloads is a list of versions."""


INLINE = 64 * KIB
"""Bytes. Larger answers are parsed in a thread, so as not to hold up the loop."""


class Handler:
    """A staging place on the server, and how far it has come.

    Attributes:
        id: The server's name for it.
        chunk_size: Bytes of every chunk but the last.
        consumed: Whether a request to make a document of it may have been acted on. From then on it must not be
        deleted: that
            could race with the server, and lose what it is just storing.
    """

    def __init__(self, grant: _wire.Grant) -> None:
        self.id = grant.handler
        self.chunk_size = grant.chunk_size
        self.consumed = False

    def __repr__(self) -> str:
        return f"<Handler {self.id} of {self.chunk_size} bytes{', consumed' if self.consumed else ''}>"


class Remote:
    """One server, one user.

    Args:
        transport: How to reach it.
        user: Whose documents they become. None if a ticket is lent.
        password: The user's.
        ticket: A lent session; it is not logged out.
        timeouts: The user's.
    """

    def __init__(
        self,
        transport: Transport,
        *,
        user: str | None,
        password: Secret | None,
        ticket: Secret | None,
        timeouts: Timeouts,
    ) -> None:
        if ticket is None and (user is None or password is None):
            raise UsageError("give a user and a password, or the ticket of a session")
        self._transport = transport
        self._user = user
        self._password = password
        self._ticket = ticket
        self._own_ticket = False
        self._timeouts = timeouts
        self._login = anyio.Lock()
        self._refused: LoginRefused | None = None

    def __repr__(self) -> str:
        return f"<Remote {self._transport.url} as {self._user or 'the owner of the ticket'}>"

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
            raise self._refused.with_traceback(None)
        if self._user is None or self._password is None:
            raise UsageError("the lent ticket is no longer valid, and there is no password to get another")
        try:
            self._ticket = (await self._ask(_wire.authenticate(self._user, self._password))).ticket
        except LoginRefused as error:
            self._refused = error
            raise
        self._own_ticket = True

    async def log_out(self) -> None:
        """End the session if it is ours. One that has ended already is as good."""
        if self._ticket is None or not self._own_ticket:
            return
        ticket, self._ticket = self._ticket, None
        with suppress(TicketRefused):
            await self._ask(_wire.log_out(ticket))

    async def whoami(self) -> str:
        """The user whom the ticket belongs to."""
        return await self._ask(_wire.is_valid_ticket(self._key()))

    def _key(self) -> Secret:
        if self._ticket is None:
            raise UsageError("not logged in")
        return self._ticket

    # ── looking ──

    async def server_version(self) -> str:
        """What the server calls its version; empty if it does not say."""
        return await self._ask(_wire.server_info())

    async def limits(self) -> _wire.Limits:
        """The server's upload settings."""
        return await self._ask(_wire.general_settings(self._key()))

    async def folder_exists(self, path: str) -> None:
        """Raises NotFound where there is no such folder."""
        await self._ask(_wire.folder_exists(self._key(), path))

    async def document_crc32(self, path: str) -> int | None:
        """Checksum of a document's latest version. Raises NotFound where there is none."""
        return await self._ask(_wire.document_exists(self._key(), path))

    async def document_info(self, path: str) -> _wire.Info:
        """Size and checksum of a document."""
        return await self._ask(_wire.download_info(self._key(), path))

    # ── bringing ──

    async def create_handler(self, wish: int) -> Handler:
        """A new staging place for chunks of about ``wish`` bytes; the server decides.

        Raises:
            ForeignReply: The server granted more than the protocol allows, and than the memory formula has room for.
        """
        grant = await self._ask(_wire.create_handler(self._key(), wish))
        if grant.chunk_size > LARGEST_CHUNK:
            raise ForeignReply(
                f"CreateUploadHandler: chunks of {grant.chunk_size} bytes are more than the protocol's {LARGEST_CHUNK}",
                status=200,
            )
        return Handler(grant)

    async def send_chunk(self, handler: Handler, chunk: SealedChunk) -> int | None:
        """Append one chunk; after the last, the server's checksum of everything staged, if it gives one.

        Raises:
            ChunkRefused: It was not appended, says the server: the same bytes may go again.
        """
        call = _wire.send_chunk(self._key(), handler.id, chunk.data, chunk.crc32, last=chunk.last)
        return await self._ask(call, seconds=self._timeouts.chunk(len(chunk.data)))

    async def finalize(self, handler: Handler, path: str, comment: str) -> _wire.Stored:
        """Make a document of what is staged. Consumes the handler, and not only if it succeeds."""
        call = _wire.finalize(self._key(), path, handler.id, comment)
        delivery = Delivery()
        try:
            stored = await self._ask(call, seconds=self._timeouts.finalize, delivery=delivery)
        except AsyncUploadError as error:
            handler.consumed = error.outcome is not Outcome.NOT_APPLIED
            raise
        except BaseException:
            handler.consumed = delivery.complete
            raise
        handler.consumed = True
        return stored

    async def delete_handler(self, handler: Handler) -> None:
        """Discard what is staged."""
        await self._ask(_wire.delete_handler(self._key(), handler.id))

    # ── fetching ──

    async def open_download(self, path: str, wish: int) -> _wire.Info:
        """Ready a document to be read by offset."""
        return await self._ask(_wire.open_download(self._key(), path, wish))

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
        await self._ask(_wire.close_download(self._key(), handler))

    async def _ask(
        self,
        call: Call[T],
        *,
        seconds: float | None = None,
        limit: int = REPLY_LIMIT,
        delivery: Delivery | None = None,
    ) -> T:
        """One request. Where a repeat does no harm, an unknown outcome is as good as none: the errors then say so."""
        try:
            answer = await self._transport.post(
                call.operation,
                _wire.encode(call),
                seconds=seconds or self._timeouts.reply,
                limit=limit,
                delivery=delivery or Delivery(),
            )
            if len(answer.body) <= INLINE:
                return _wire.understand(call, answer)
            return await anyio.to_thread.run_sync(_wire.understand, call, answer)
        except AsyncUploadError as error:
            # An address that never answered anything is more likely mistyped than down for a moment.
            if isinstance(error, ConnectFailed) and not self._transport.reached:
                error.transient = False
            if error.outcome is Outcome.UNKNOWN and call.lost_reply is LostReply.REPEAT:
                error.outcome = Outcome.NOT_APPLIED
            raise

"""One request and its answer, in the server's words: how it is written, and what its failure means. No patience."""

from functools import partial
from typing import Any, TypeVar

import anyio
import anyio.to_thread
from yarl import URL

from . import _call, _reply
from ._body import Body, Encoding, Names
from ._call import Call, LostReply
from ._connections import KEPT
from ._outcome import (
    cannot_be_read,
    exceeds_limit,
    keeps_its_words,
    lacks_operation,
    outcome_of,
    speaks_no_forms,
    suspects_markup,
)
from ._secret import forget_locals
from ._transport import Delivery, Transport
from .errors import ANSWERED, AsyncUploadError, ForeignReply, Redirected, ServerError, TLSFailed
from .settings import KIB, MIB

T = TypeVar("T")

DESCRIPTION_LIMIT = 16 * MIB
"""Bytes. A real server's WSDL has some hundred operations."""

INLINE = 64 * KIB
"""Bytes. Larger answers are parsed in a thread, so as not to hold up the loop."""


class Asker:
    """Speaks with one server.

    Args:
        transport: How to reach it.
        encoding: How chunks travel; None begins with multipart and may change.
        seconds: For the server's description of itself.

    Attributes:
        encoding: How chunks travel: what was learned about this server, for all uploads of the client.
        may_change_encoding: Whether another way may still be the server's.
        trying: Held by who finds out which.
        lacking: Operations that the server was found not to have. Nobody asks for them twice.
    """

    def __init__(self, transport: Transport, encoding: Encoding | None, *, seconds: float) -> None:
        self._transport = transport
        self._seconds = seconds
        self._understood = False
        self._describing = anyio.Lock()
        self._names: Names | None = None
        self.encoding = encoding or Encoding.MULTIPART
        self.may_change_encoding = encoding is None
        self.trying = anyio.Lock()
        self.lacking = set[str]()
        self._chosen = encoding
        self._besides = Encoding.SOAP if encoding is Encoding.SOAP else Encoding.FORM
        """How requests without a chunk travel."""

    @property
    def url(self) -> URL:
        """The service's address."""
        return self._transport.url

    async def ask(
        self, call: Call[T], *, seconds: float, limit: int, delivery: Delivery, encoding: Encoding | None = None
    ) -> T:
        """One request. Where a repeat does no harm, an unknown outcome is as good as none: the errors then say so.

        Args:
            call: What is asked.
            seconds: For all of it.
            limit: Bytes of the answer that are read at most.
            delivery: Told when the last byte is handed over.
            encoding: How a chunk travels; None for the server's own way.

        Raises:
            TransportError: No answer, or none in the protocol's words.
            ServerError: The server refused.
        """
        try:
            read = await self._asked(call, encoding, seconds, limit, delivery)
        except AsyncUploadError as error:
            error.outcome = outcome_of(error, body_left=delivery.complete, lost_reply=call.lost_reply)
            self._understood = self._understood or isinstance(error, ServerError)
            self._weigh(error)
            # The frames below hold what came back, which may echo a password or tell a ticket.
            error.__context__ = None
            raise error.with_traceback(None)  # noqa: B904  (from what it came from, if that may be seen)
        except BaseException as error:  # a cancellation, or nothing that anybody expected: where is worth knowing
            forget_locals(error)
            raise
        self._understood = True
        return read

    async def _asked(
        self, call: Call[T], encoding: Encoding | None, seconds: float, limit: int, delivery: Delivery
    ) -> T:
        """The answer; in SOAP where the server suspects markup in a form, or may take none, and it may go otherwise."""
        try:
            return await self._answered(call, encoding, seconds, limit, delivery)
        except ForeignReply as error:
            if self._chosen or self._besides is Encoding.SOAP or not self._may_be_the_form(error, call):
                raise
        delivery.begin_anew()
        try:
            read = await self._answered(call, Encoding.SOAP, seconds, limit, delivery)
        except ServerError:
            self._besides = Encoding.SOAP
            raise
        self._besides = Encoding.SOAP
        return read

    def _may_be_the_form(self, error: ForeignReply, call: Call[Any]) -> bool:
        harmless = not self._understood and call.lost_reply is LostReply.REPEAT
        return suspects_markup(error) or (harmless and keeps_its_words(error))

    async def _answered(
        self, call: Call[T], encoding: Encoding | None, seconds: float, limit: int, delivery: Delivery
    ) -> T:
        ours = self._transport.hiding()
        hide = partial(_call.hide, call, ours)
        body = await self._encoded(call, encoding)
        answer = await self._transport.post(
            call.operation,
            body,
            seconds=seconds,
            limit=limit,
            delivery=delivery,
            hide=hide,
            fresh=call.lost_reply is LostReply.ASK,
        )
        try:
            if len(answer.body) <= INLINE:
                return _call.understand(call, answer, ours)
            return await anyio.to_thread.run_sync(_call.understand, call, answer, ours)
        except ForeignReply as error:
            error.__cause__ = None  # it has the answer in its words or its frames
            if delivery.heard is not None:
                delivery.heard += answer.body[:KEPT]  # as it was read: chunks and zeros stand between otherwise
            raise

    def _weigh(self, error: AsyncUploadError) -> None:
        """Say how much patience a failure is worth, by what is known of this server."""
        if isinstance(error, ServerError) and error.unexpected:  # as a deadlock in its database, which passes
            error.transient, error.most_attempts = True, ANSWERED
        if self._understood and isinstance(error, Redirected | TLSFailed):
            # As to a page that says that the server is maintained; as one of several front ends that starts again.
            error.transient = True
        unchanging = (lacks_operation, exceeds_limit, cannot_be_read, suspects_markup)
        if any(is_such(error) for is_such in unchanging):  # which no wait will change
            error.transient = False
        if self.may_change_encoding and speaks_no_forms(error):
            self.settle_encoding(Encoding.SOAP)
            error.transient = True
        # An address that never spoke the protocol is more likely mistyped than in trouble for long.
        error.first_contact = not self._understood

    async def _encoded(self, call: Call[Any], encoding: Encoding | None) -> Body:
        encoding = encoding or (self._besides if call.chunk is None else self.encoding)
        names = await self._described() if encoding is Encoding.SOAP else None
        if call.chunk is None or encoding is not Encoding.FORM:
            return _call.encode(call, encoding, names)
        return await anyio.to_thread.run_sync(_call.encode, call, encoding, names, limiter=self._transport.threads)

    async def _described(self) -> Names:
        """How the server spells SOAP's elements, asked once. A server that does not say gets them as documented."""
        async with self._describing:
            if self._names is None:
                answer = await self._transport.describe(seconds=self._seconds, limit=DESCRIPTION_LIMIT)
                self._names = await anyio.to_thread.run_sync(
                    _reply.read_description, answer, self._transport.hiding(), limiter=self._transport.threads
                )
        return self._names

    async def offers(self, operation: str) -> bool:
        """Whether the server has an operation, as far as is known: by what it lacked before, or by its description.

        Raises:
            AsyncUploadError: It does not answer at the moment. One that keeps its description to itself has everything.
        """
        if operation in self.lacking:
            return False
        names = await self._described()
        return not names or operation.lower() in names

    def begin_with(self, encoding: Encoding) -> None:
        """Write chunks as the server took them once. It may have become another one since: other ways stay open."""
        if self.may_change_encoding:
            self.encoding = encoding

    def settle_encoding(self, encoding: Encoding) -> None:
        """That way of writing chunks is the server's: it has acknowledged one, or was seen to read one.

        Where that is SOAP, all else goes in SOAP as well: forms may be filtered there, and not every server says so.
        """
        if self.may_change_encoding:
            self.encoding, self.may_change_encoding = encoding, False
            if encoding is Encoding.SOAP:
                self._besides = encoding

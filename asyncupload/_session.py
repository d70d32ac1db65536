"""One user's session with one server: the ticket, and how requests go out with it."""

from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import TypeVar, cast

import anyio

from . import _wire
from ._asker import Asker
from ._body import Encoding
from ._call import Call
from ._log import get_logger
from ._raised import another
from ._retry import persist
from ._secret import Secret, tickets_in
from ._transport import Delivery
from .errors import AsyncUploadError, LoginRefused, TicketRefused, TransportError, UsageError
from .settings import MIB, Retries, Timeouts

T = TypeVar("T")

REPLY_LIMIT = MIB
"""Bytes of most answers."""

LOG_OUTS = 3
"""Attempts to end a session that was opened and not understood. The line may be in trouble, after all."""

RENEWALS = 2
"""Attempts to renew a ticket, before another one takes its place."""


class Session:
    """A server, and who asks it.

    Args:
        asker: How to reach it.
        user: Whose documents they become. None if a ticket is lent.
        password: The user's.
        ticket: A lent session; it is not logged out.
        timeouts: The user's.

    Attributes:
        asker: How requests travel.
        name: The user whom the ticket belongs to, as far as is known.
    """

    def __init__(
        self, asker: Asker, *, user: str | None, password: Secret | None, ticket: Secret | None, timeouts: Timeouts
    ) -> None:
        if ticket is None and (user is None or password is None):
            raise UsageError("give a user and a password, or the ticket of a session")
        self.asker = asker
        self.name = ""
        self._user = user
        self._password = password
        self._ticket = ticket
        self._own_ticket = False
        self._timeouts = timeouts
        self._login = anyio.Lock(fast_acquire=True)
        self._refused: LoginRefused | None = None
        self._generation = 0
        self._renewals = 0
        """How often it may be tried to renew the ticket, should it be refused."""

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
            login = await self._ask_to_open(_wire.authenticate(user, password))
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
            login = await self._ask_to_open(_wire.renew_ticket(user, password, old, language=self._renewals == 0))
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

    async def _ask_to_open(self, call: Call[_wire.Login]) -> _wire.Login:
        """Ask for a session. One that was opened by an answer that nobody can read is ended, if its ticket stands in
        there: sessions are counted, and a ticket that nobody has is as good as a password."""
        delivery = Delivery(heard=bytearray())
        try:
            return await self._ask(call, delivery=delivery)
        except AsyncUploadError:
            for ticket in tickets_in(delivery.heard or b""):
                if ticket != self._ticket:
                    await self._end_unread(ticket)
            raise

    async def _end_unread(self, ticket: Secret) -> None:
        try:
            with anyio.move_on_after(self._timeouts.cleanup):
                await persist(lambda: self._ask(_wire.log_out(ticket)), Retries(attempts=LOG_OUTS))
                get_logger().info("unread_session_ended")
        except AsyncUploadError as error:
            get_logger().info("unread_session_left", reason=str(error))

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

    async def _ask(
        self,
        call: Call[T],
        *,
        seconds: float | None = None,
        limit: int = REPLY_LIMIT,
        delivery: Delivery | None = None,
        encoding: Encoding | None = None,
    ) -> T:
        generation = self._generation
        try:
            return await self.asker.ask(
                call,
                seconds=seconds or self._timeouts.reply,
                limit=limit,
                delivery=delivery or Delivery(),
                encoding=encoding,
            )
        except TicketRefused as error:
            error.generation = generation
            raise

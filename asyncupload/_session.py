"""One user's session with one server: the ticket, and how requests go out with it."""

import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any, TypeVar, cast

import anyio

from . import _wire
from ._asker import Asker
from ._body import Encoding
from ._call import Call
from ._log import get_logger
from ._outcome import may_concern_all
from ._raised import another
from ._retry import persist
from ._secret import Secret, tickets_in
from ._transport import Delivery
from .errors import AsyncUploadError, ForeignReply, LoginRefused, TicketRefused, TransportError, UsageError
from .settings import MIB, Retries, Timeouts

T = TypeVar("T")

REPLY_LIMIT = MIB
"""Bytes of most answers."""

LOG_OUTS = 3
"""Attempts to end a session that was opened and not understood. The line may be in trouble, after all."""

RENEWALS = 2
"""Attempts to renew a ticket, before another one takes its place."""


AGAIN_AFTER = 20.0
"""Seconds after which a login that was refused may be asked for once more. A directory that was away is back by then,
or the refusal counts for certain."""

GROWTH = 5
"""How many times longer each further wait is: four logins in half an hour lock no account where five are allowed."""

LONGEST_AFTER = 3600.0


class _Refusals:
    """How often a login was refused in a row. Nothing is remembered for ever: a client may live for months."""

    def __init__(self) -> None:
        self._latest: LoginRefused | None = None
        self._times = 0
        self._until = 0.0

    def __bool__(self) -> bool:
        return self._latest is not None

    def require_over(self) -> None:
        """Raise the last one again, if it is too early for another request."""
        if self._latest is not None and time.monotonic() < self._until:
            raise another(self._latest)

    def note(self, error: LoginRefused, *, accepted: bool) -> None:
        """There is one. Says in it whether it is certain, which it is if they were never ``accepted``."""
        self._times += 1
        self._until = time.monotonic() + min(AGAIN_AFTER * GROWTH ** min(self._times - 1, 9), LONGEST_AFTER)
        # Other words than those for a wrong password, as for too many users at once, are no word about it.
        error.certain = not accepted or (self._times > 1 and error.text.startswith(_WRONG))
        self._latest = another(error)


_WRONG = ("[900]", "[902]")
"""How the server says that user or password are wrong, and that this user may have no ticket."""


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
        self._refusals = _Refusals()
        self._lost_since: float | None = None
        """When a lent ticket was refused that nobody has accepted since."""
        self._accepted = False
        """Whether the ticket, or one before it, was."""
        self._generation = 0
        self._renewals = 0
        """How often it may be tried to renew the ticket, should it be refused."""

    async def log_in(self) -> None:
        """Make sure that there is a ticket. Any number of uploads may ask at once: one request goes out.

        Raises:
            LoginRefused: Wrong user or password. They are not tried a second time for a while, which grows: accounts
                get locked that way. Meanwhile the same is raised without asking.
        """
        async with self._login:
            if self._ticket is None:
                await self._authenticate()

    async def _authenticate(self) -> None:
        self._refusals.require_over()
        user, password = cast(str, self._user), cast(Secret, self._password)
        try:
            login = await self._ask_to_open(_wire.authenticate(user, password))
        except LoginRefused as error:
            self._refusals.note(error, accepted=self._accepted)
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
                raise self._lost()
            await self._renew()

    def _lost(self) -> TicketRefused:
        error = TicketRefused("the lent ticket is no longer valid; log in again, or give user and password instead")
        now = time.monotonic()
        self._lost_since = now if self._lost_since is None else self._lost_since
        error.certain = not self._accepted or now - self._lost_since >= AGAIN_AFTER
        return error

    async def _renew(self) -> None:
        """Go on with the session if the server can: some know an upload handler only by the ticket it was made with.

        Only after a chunk was acknowledged with the ticket. So nothing is lost otherwise, and a server that gives the
        refused ticket back is not asked for it again and again.
        """
        if self._renewals == 0 or self._refusals:
            return await self._authenticate()
        user, password, old = cast(str, self._user), cast(Secret, self._password), cast(Secret, self._ticket)
        self._renewals -= 1
        try:
            # Classic ASP.NET wants every field there, newer servers none that is empty.
            login = await self._ask_to_open(_wire.renew_ticket(user, password, old, language=self._renewals == 0))
        except LoginRefused as error:
            self._refusals.note(error, accepted=self._accepted)
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
        self._refusals, self._accepted = _Refusals(), True

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
            answer = await self.asker.ask(
                call,
                seconds=seconds or self._timeouts.reply,
                limit=limit,
                delivery=delivery or Delivery(),
                encoding=encoding,
            )
        except TicketRefused as error:
            error.generation = generation
            raise
        except ForeignReply as error:
            if may_concern_all(error) and await self._refuses_all():
                error.of_all = error.transient = True
            raise
        if any(value is self._ticket for _, value in call.fields):
            self._accepted, self._lost_since = True, None
        return answer

    async def _refuses_all(self) -> bool:
        """Whether a request that any server understands is not understood at the moment."""
        ticket = self._ticket
        probe: Call[Any] = _wire.server_info() if ticket is None else _wire.is_valid_ticket(ticket)
        try:
            await self.asker.ask(probe, seconds=self._timeouts.reply, limit=REPLY_LIMIT, delivery=Delivery())
        except TransportError:
            return True
        except AsyncUploadError:
            return False
        return False

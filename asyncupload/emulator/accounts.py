"""Users and tickets."""

import hmac
import sqlite3
import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass

# Documented: 30 days, counted anew by each successful call.
_TICKET_LIFE = 30 * 24 * 3600.0
# How far a ticket's expiry may lag behind; saves one write per request.
_SLIDE_STEP = 60.0


@dataclass(frozen=True, slots=True)
class User:
    id: int
    login: str


@dataclass(frozen=True, slots=True)
class Ticket:
    """`expires` in seconds since 1970, UTC."""

    guid: str
    user: User
    expires: float


class Accounts:
    """Who may come in. Passwords are never written down: they belong to the running emulator alone."""

    def __init__(self, db: sqlite3.Connection, passwords: Mapping[str, str]) -> None:
        self._db = db
        self._passwords = {login.casefold(): password for login, password in passwords.items()}
        for login in passwords:
            self.user(login)

    def user(self, login: str) -> User:
        """The user of that name, whatever its case; made if there is none yet."""
        self._db.execute("INSERT OR IGNORE INTO users (login, key) VALUES (?, ?)", (login, login.casefold()))
        row = self._db.execute("SELECT id, login FROM users WHERE key = ?", (login.casefold(),)).fetchone()
        return User(*row)

    def by_id(self, user: int) -> User:
        return User(*self._db.execute("SELECT id, login FROM users WHERE id = ?", (user,)).fetchone())

    def check(self, login: str, password: str) -> User | None:
        """The user, if that is the password."""
        right = self._passwords.get(login.casefold())
        if right is None or not hmac.compare_digest(right.encode(), password.encode()):
            return None
        return self.user(login)

    def issue(self, user: User, guid: str | None = None) -> Ticket:
        """A new ticket, or one that has expired under its old GUID."""
        ticket = Ticket(guid or str(uuid.uuid4()), user, time.time() + _TICKET_LIFE)
        self._db.execute("INSERT OR REPLACE INTO tickets VALUES (?, ?, ?)", (ticket.guid, user.id, ticket.expires))
        return ticket

    def look_up(self, guid: str) -> Ticket | None:
        """The ticket, if it is still good. Does not prolong it."""
        query = (
            "SELECT tickets.guid, expires, users.id, login, key FROM tickets "
            "JOIN users ON users.id = user WHERE guid = ?"
        )
        row = self._db.execute(query, (guid.strip().lower(),)).fetchone()
        if row is None or row[1] < time.time() or row[4] not in self._passwords:
            return None
        return Ticket(row[0], User(row[2], row[3]), row[1])

    def prolong(self, ticket: Ticket) -> Ticket:
        expires = time.time() + _TICKET_LIFE
        if expires - ticket.expires < _SLIDE_STEP:
            return ticket
        self._db.execute("UPDATE tickets SET expires = ? WHERE guid = ?", (expires, ticket.guid))
        return Ticket(ticket.guid, ticket.user, expires)

    def withdraw(self, ticket: Ticket) -> None:
        self._db.execute("DELETE FROM tickets WHERE guid = ?", (ticket.guid,))

    def withdraw_all(self, login: str) -> None:
        """Every ticket of that user."""
        query = "DELETE FROM tickets WHERE user IN (SELECT id FROM users WHERE key = ?)"
        self._db.execute(query, (login.casefold(),))

    def forget_tickets(self) -> None:
        self._db.execute("DELETE FROM tickets")

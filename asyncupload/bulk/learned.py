"""What a load has learned of its server: written down, so that the next run does not have to find it out again."""

from contextlib import suppress

from asyncupload.client import Client
from asyncupload.errors import UsageError

from .queue import Queue

ENCODING = "encoding"
"""A fact of the run: how the server takes chunks. Not written for the way that everybody begins with."""

GRAMMAR = "grammar"
"""Likewise: how it reads what a document is stored with."""

USUAL = {ENCODING: "multipart", GRAMMAR: "item"}


class Learned:
    """Of one server, by one process of a load.

    Args:
        queue: The load's.
        client: The server's.
    """

    def __init__(self, queue: Queue, client: Client) -> None:
        self._queue = queue
        self._client = client
        self._noted = dict(USUAL)

    async def recall(self) -> None:
        """Let the client begin with what is known. Raises JournalError."""
        facts = await self._queue.run()
        for name, usual in USUAL.items():
            self._noted[name] = facts.get(name, usual)
            with suppress(UsageError):  # a word of a later version's: it is found out anew
                self._client.begin_with(**{name: self._noted[name]})

    async def note(self) -> None:
        """Write down what is new. Raises JournalError."""
        for name, found in ((ENCODING, self._client.encoding), (GRAMMAR, self._client.grammar)):
            if found is not None and found != self._noted[name]:
                await self._queue.note_run(**{name: found})
                self._noted[name] = found

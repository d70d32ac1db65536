"""What a load has learned of its server: written down, so that the next run does not have to find it out again."""

from contextlib import suppress

from asyncupload.client import Client
from asyncupload.errors import UsageError

from .queue import Queue

ENCODING = "encoding"
"""A fact of the run: how the server takes chunks. Not written for the way that everybody begins with."""

USUAL = "multipart"


class Learned:
    """Of one server, by one process of a load.

    Args:
        queue: The load's.
        client: The server's.
    """

    def __init__(self, queue: Queue, client: Client) -> None:
        self._queue = queue
        self._client = client
        self._noted = USUAL

    async def recall(self) -> None:
        """Let the client begin with what is known. Raises JournalError."""
        self._noted = (await self._queue.run()).get(ENCODING, USUAL)
        with suppress(UsageError):  # a word of a later version's: it is found out anew
            self._client.begin_with(self._noted)

    async def note(self) -> None:
        """Write down what is new. Raises JournalError."""
        found = self._client.encoding
        if found is not None and found != self._noted:
            await self._queue.note_run(**{ENCODING: found})
            self._noted = found

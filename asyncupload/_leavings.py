"""What uploads that could not clean up have left on the server, and how it is taken away."""

import uuid

from ._log import get_logger
from ._names import destination
from ._opened import Opened, journey
from ._place import Keeper
from .checkpoints import NoCheckpoints
from .errors import UsageError


class Tidy(Opened):
    """The part of a client that takes things away."""

    @journey
    async def discard(self, handler: str) -> None:
        """Delete an upload handler that was left on the server, with what is staged in it.

        Args:
            handler: The GUID that the server gave it: it stands in the log, and in :class:`~asyncupload.HandlerOpened`.
                One that the server does not know is a success too, and one of another user's is left alone.

        Raises:
            UsageError: It is no GUID.
        """
        self._entered()
        try:
            guid = str(uuid.UUID(handler.strip()))
        except ValueError:
            raise UsageError(f"{handler!r} is no upload handler: those are GUIDs") from None
        await self._patience.persist(self._remote.log_in)
        await self._patience.persist(lambda: self._remote.delete_handler(guid))

    @journey
    async def give_back(self, path: str) -> bool:
        """Give back a check-out of this user's, as an upload that could not clean up has left it. Whether there was
        one: a document that nobody has checked out is a success too.

        Whoever asks for it knows that nobody works on the document: the server does not tell one program's check-out
        from another's, or from one by hand.

        Args:
            path: The document's path.

        Raises:
            CheckedOut: It is somebody else's.
            NotFound: There is no such document.
        """
        self._entered()
        where = destination(path)
        await self._patience.persist(self._remote.log_in)
        async with self._turns.at(where.path):
            return await Keeper(self._patience, get_logger(path=where.path), NoCheckpoints()).give_back(where.path)

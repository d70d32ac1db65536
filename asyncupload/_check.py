"""Can uploads work? Asked of the server in some small requests."""

import time
from dataclasses import dataclass

from ._ending import left_handler, this_ending
from ._patience import Patience
from ._shield import undisturbed
from .errors import AsyncUploadError


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerReport:
    """What :meth:`Client.check` found out."""

    url: str
    version: str
    user: str
    chunk_size: int
    """Bytes per chunk that the server grants for the wish in the settings."""
    default_chunk_size: int | None
    """Bytes; None where the server does not say."""
    document_max_size: int | None
    """Bytes; 0 for no limit, None where the server does not say."""
    round_trip: float
    """Seconds that a small request took."""


class Inspection:
    """Looks at a server.

    Args:
        patience: The client's.
    """

    def __init__(self, patience: Patience) -> None:
        self._patience = patience
        self._remote = patience.remote

    async def run(self) -> ServerReport:
        """Reach the server, log in, and have a handler granted (and deleted again).

        Raises:
            AsyncUploadError: Uploads cannot work, and this is why.

        On cancellation the handler is deleted all the same.
        """
        began = time.monotonic()
        version = (await self._patience.persist(self._remote.server_info)).version
        round_trip = time.monotonic() - began
        await self._patience.persist(self._remote.log_in)
        user = await self._patience.persist(self._remote.whoami)
        try:
            limits = await self._patience.persist(self._remote.limits)
        except AsyncUploadError:  # older servers lack the operation: what they allow is then unknown
            limits = None
        return ServerReport(
            url=str(self._remote.asker.url),
            version=version,
            user=user,
            chunk_size=await self._patience.persist(self._granted),
            default_chunk_size=limits.default_chunk_size if limits else None,
            document_max_size=limits.document_max_size if limits else None,
            round_trip=round_trip,
        )

    async def _granted(self) -> int:
        async def probe() -> int:
            handler = await self._remote.create_handler()
            try:
                await self._patience.persist(lambda: self._remote.delete_handler(handler.id))
            except AsyncUploadError as error:
                this_ending().leftovers.append(left_handler(handler.id, str(error)))
                raise
            return handler.chunk_size

        return await undisturbed(probe(), grace=self._patience.settings.timeouts.cleanup)

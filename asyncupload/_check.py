"""Can uploads work? Asked of the server in some small requests."""

import time
from dataclasses import dataclass

from ._ending import this_ending
from ._patience import Patience
from ._trial import all_taken, trial_handler
from .errors import AsyncUploadError


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerReport:
    """What :meth:`Client.check` found out."""

    url: str
    version: str
    user: str
    chunk_size: int
    """Bytes per chunk that the server grants for the wish in the settings."""
    encodings: tuple[str, ...]
    """In which ways the server takes chunks, of ``multipart``, ``form`` and ``soap``: each was tried with one byte."""
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
        chunk_size, encodings = await self._granted()
        return ServerReport(
            url=str(self._remote.asker.url),
            version=version,
            user=user,
            chunk_size=chunk_size,
            encodings=encodings,
            default_chunk_size=limits.default_chunk_size if limits else None,
            document_max_size=limits.document_max_size if limits else None,
            round_trip=round_trip,
        )

    async def _granted(self) -> tuple[int, tuple[str, ...]]:
        """Bytes per chunk, and the ways in which the server takes one."""
        before = len(this_ending().leftovers)
        async with trial_handler(self._patience) as handler:
            taken = await all_taken(self._patience, handler)
        if left := this_ending().leftovers[before:]:
            raise AsyncUploadError(f"the server does not delete what uploads may have to leave: {left[0].reason}")
        if taken:
            self._remote.asker.settle_encoding(taken[0])
        return handler.chunk_size, tuple(way.value for way in taken)

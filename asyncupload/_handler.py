"""A staging place on the server, as an object."""

from . import _wire
from ._parameters import Way


class Handler:
    """A staging place on the server, and how far it has come.

    Attributes:
        id: The server's name for it.
        chunk_size: Bytes of every chunk but the last.
        consumed: Whether a request to make a document of it may have been acted on. From then on it must not be
            deleted: that could race with the server, and lose what it is just storing.
        asked_at: When the last such request left, by the clock of ``anyio.current_time``.
        generation: Of the ticket that it was made with.
        way: How the last such request carries what the document is to be stored with.
    """

    def __init__(self, grant: _wire.Grant) -> None:
        self.id = grant.handler
        self.chunk_size = grant.chunk_size
        self.consumed = False
        self.asked_at = 0.0
        self.generation = 0
        self.way: Way | None = None

    def __repr__(self) -> str:
        return f"<Handler {self.id} of {self.chunk_size} bytes{', consumed' if self.consumed else ''}>"

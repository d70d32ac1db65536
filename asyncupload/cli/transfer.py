"""One journey of a client's, shown while it goes on."""

from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from asyncupload.client import Client
from asyncupload.events import Committing, Event, Listener, Restarted
from asyncupload.settings import Settings

from .options import Connection, Voice
from .progress import shown
from .running import run

T = TypeVar("T")


def transferred(
    connection: Connection,
    settings: Settings,
    voice: Voice,
    title: str,
    work: Callable[[Client, Listener], Coroutine[Any, Any, T]],
) -> T:
    """What ``work`` returns, given an open client and a listener that shows what it is told.

    Raises:
        AsyncUploadError: The work's, or the connection cannot work.
        Interrupted: A signal came; it is cleaned up.
    """
    # Made before the loop and before the bar: it may ask for the password.
    client = connection.client(settings)
    with shown(voice, title) as show:

        async def opened() -> T:
            async with client:
                return await work(client, show)

        return run(opened)


class Watch:
    """Knows whether the server may be making documents at this moment, by what a listener is told.

    Args:
        late: What to say of an interruption then.
    """

    def __init__(self, late: str) -> None:
        self._late = late
        self._committing = False

    def of(self, show: Listener) -> Listener:
        """Hand on to ``show``."""

        def listen(event: Event) -> None:
            self._committing = isinstance(event, Committing) or (self._committing and not isinstance(event, Restarted))
            show(event)

        return listen

    @property
    def interrupted(self) -> str:
        """What to say if a signal comes now."""
        return self._late if self._committing else "interrupted; nothing was stored"

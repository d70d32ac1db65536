"""One journey of a client's, shown while it goes on."""

from collections.abc import Callable, Coroutine, Sequence
from contextlib import suppress
from typing import Any, TypeVar

from asyncupload.client import Client
from asyncupload.errors import AsyncUploadError, Leftover, UsageError
from asyncupload.events import Committing, Event, Failed, Listener, Restarted
from asyncupload.settings import Settings

from . import remembered, results
from .options import Connection, Voice
from .progress import shown
from .running import Interrupted, run

T = TypeVar("T")


def transferred(
    connection: Connection,
    settings: Settings,
    voice: Voice,
    work: Callable[[Client, Listener], Coroutine[Any, Any, T]],
    *,
    title: str,
    path: str,
    tell: Callable[[T], int],
    interrupted: Callable[[], str],
    left: Callable[[], Sequence[Leftover]] = tuple,
) -> int:
    """Do ``work``, given an open client and a listener that shows what it is told; say how it ended.

    Args:
        connection: Which server, and as whom.
        settings: The client's.
        voice: How to speak.
        work: The journey.
        title: What the bar is called.
        path: What results name.
        tell: Says what ``work`` returned, and returns the exit code.
        interrupted: What to say if a signal came.
        left: What was left on the server then.
    """
    try:
        return tell(_brought(connection, settings, voice, title, work))
    except AsyncUploadError as error:
        return results.failed(error, path, voice)
    except Interrupted as signal:
        return results.interrupted(signal, interrupted(), path, voice, left=left())


def _brought(
    connection: Connection,
    settings: Settings,
    voice: Voice,
    title: str,
    work: Callable[[Client, Listener], Coroutine[Any, Any, T]],
) -> T:
    # Made before the loop and before the bar: it may ask for the password.
    client = connection.client(voice, settings)
    for name, hint in remembered.recall(connection.server).items():
        with suppress(UsageError):  # a later version's word
            client.begin_with(**{name: hint})
    with shown(voice, title) as show:
        done: list[T] = []

        async def opened() -> None:
            async with client:
                done.append(await work(client, show))

        try:
            run(opened)
        except Interrupted:
            if not done:  # otherwise it came too late: the server was being logged out of
                raise
        finally:
            found = {"encoding": client.encoding, "grammar": client.grammar}
            if settings.encoding != "auto":  # the user's word, and not the server's
                del found["encoding"]
            remembered.note(connection.server, {name: hint for name, hint in found.items() if hint is not None})
        return done[0]


class Watch:
    """Knows whether the server may be making documents at this moment, by what a listener is told.

    Args:
        late: What to say of an interruption then.
    """

    def __init__(self, late: str) -> None:
        self._late = late
        self._committing = False
        self._left: tuple[Leftover, ...] = ()

    def of(self, show: Listener) -> Listener:
        """Hand on to ``show``."""

        def listen(event: Event) -> None:
            self._committing = isinstance(event, Committing) or (self._committing and not isinstance(event, Restarted))
            if isinstance(event, Failed):
                self._left = event.left
            show(event)

        return listen

    def interrupted(self) -> str:
        """What to say if a signal comes now."""
        return self._late if self._committing else "interrupted; nothing was stored"

    def left(self) -> tuple[Leftover, ...]:
        """What a signal's coming has left on the server."""
        return self._left

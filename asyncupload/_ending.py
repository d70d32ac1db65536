"""How a journey ends: the time that all its cleaning up has together, and what it had to leave behind."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from .errors import AsyncUploadError, Leftover

SHARE = 0.75
"""Of the time for cleaning up, what a journey has. The rest is the client's, to log out and to close."""


class Ending:
    """One journey's.

    Several things to clean up, one after another, share the time: against a server that has stalled each would use up
    all of it.

    Args:
        seconds: For all cleaning up together.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = self._left = seconds
        self._until: float | None = None
        self.leftovers: list[Leftover] = []
        """What could not be removed."""
        self.may_be_stored = False
        """Whether a request to store may have been acted on, and nobody has learned what became of it."""

    def begin_anew(self) -> None:
        """Another pass begins: what ends that one has all the time again."""
        self._left = self._seconds

    @contextmanager
    def take(self, most: float, share: float) -> Iterator[float]:
        """Use some of the time. Within what is being used already, that.

        Args:
            most: Seconds.
            share: Of what is left. There must be something for whatever comes after.
        """
        now = time.monotonic()
        if self._until is not None:
            yield min(most, max(0.0, self._until - now))
            return
        seconds = min(most, share * self._left)
        self._until = now + seconds
        try:
            yield seconds
        finally:
            self._until = None
            self._left = max(0.0, self._left - (time.monotonic() - now))


_current: ContextVar[Ending | None] = ContextVar("ending", default=None)


@contextmanager
def ending(seconds: float) -> Iterator[Ending]:
    """A journey is under way: what is called from here finds how it is to end. An error tells what is left.

    Args:
        seconds: For all cleaning up together, on the client's side too.
    """
    own = Ending(SHARE * seconds)
    token = _current.set(own)
    try:
        yield own
    except AsyncUploadError as error:
        if own.leftovers:  # a refused password's error may belong to several journeys
            error.left = tuple(dict.fromkeys((*error.left, *own.leftovers)))
        raise
    finally:
        _current.reset(token)


def this_ending(seconds: float = 0.0) -> Ending:
    """That of the journey under way; one of its own for what is called outside of any, with so many seconds."""
    return _current.get() or Ending(seconds)


def left_handler(guid: str, reason: str, remedy: str = "") -> Leftover:
    """An upload handler that could not be deleted, or must not be."""
    return Leftover(kind="handler", name=guid, reason=reason, remedy=f"{remedy}asyncupload discard {guid}")


def left_behind() -> tuple[Leftover, ...]:
    """What the journey under way could not remove."""
    return tuple(this_ending().leftovers)

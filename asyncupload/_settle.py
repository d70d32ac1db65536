"""A request to store whose reply was lost: the server cannot be asked about the request, but about what stands
there."""

from collections.abc import Awaitable, Callable

import anyio

from . import _wire
from ._patience import Patience
from ._place import Place
from ._remote import Remote
from ._retry import persist
from .errors import AsyncUploadError, NotFound, Outcome, OutcomeUnknown
from .settings import Retries

REPEAT_AFTER = 3
"""Looks that found nothing, before the same request goes once more. With its handler consumed it can do nothing twice:
if it succeeds, the first had never run."""


class _NotThere(AsyncUploadError):
    """Not yet, or not at all."""

    transient = True


async def settle(
    patience: Patience, place: Place, crc32: int, token: str, repeat: Callable[[], Awaitable[_wire.Stored]]
) -> _wire.Stored:
    """Look until the document is found, the repeated request makes it, or the time for it is up.

    Args:
        patience: The client's.
        place: What stood there before.
        crc32: Of what was sent.
        token: Stands in the comment of our version, and in no other: it tells two equal contents apart.
        repeat: Sends the request once more, on the same handler.

    Raises:
        OutcomeUnknown: It is still not there; the server may be about to store it yet, so nobody sends it again.
    """
    remote, settings, looks = patience.remote, patience.settings, 0

    async def attempt() -> _wire.Stored:
        nonlocal looks
        found = await remote.with_ticket(lambda: _find(remote, place, crc32, token))
        looks += 1
        if found is None and looks == REPEAT_AFTER:
            found = await _repeated(repeat)
        if found is None:
            raise _NotThere("it is not there")
        return found

    # As often as it takes: the time is what bounds it.
    rules = Retries(
        attempts=1_000_000,
        first_wait=settings.retries.first_wait,
        longest_wait=min(settings.retries.longest_wait, settings.timeouts.settle / 10),
        longest_obeyed=settings.retries.longest_obeyed,
    )
    why: object = "it was not there in time"
    try:
        with anyio.move_on_after(settings.timeouts.settle):
            return await persist(attempt, rules, pause=patience.pause)
    except AsyncUploadError as error:
        why = error
    raise OutcomeUnknown(
        f"{place.to.path}: all bytes arrived, but the reply to the request to store them was lost, and looking for the "
        f"document did not tell ({why}); look whether it is there before you send it again"
    )


async def _repeated(repeat: Callable[[], Awaitable[_wire.Stored]]) -> _wire.Stored | None:
    """None if the request was refused: its handler may be consumed by the first one, which may be running yet."""
    try:
        return await repeat()
    except AsyncUploadError as error:
        if error.outcome is Outcome.UNKNOWN or not error.transient:
            return None
        raise


async def _find(remote: Remote, place: Place, crc32: int, token: str) -> _wire.Stored | None:
    path = place.to.path
    try:
        found = await remote.document_crc32(path)
        versions = await remote.versions(path)
        document = await remote.document(path)
    except NotFound:
        return None
    if place.exists:
        numbers = [version.number for version in versions if token in version.comment]
        return _wire.Stored(document.document_id, numbers[0]) if numbers else None
    if found != crc32:
        raise OutcomeUnknown("another document stands there now")
    return _wire.Stored(document.document_id, max((version.number for version in versions), default=None))

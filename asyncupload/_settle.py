"""A request to store whose reply was lost: the server cannot be asked about the request, but about what stands
there."""

from collections.abc import Awaitable, Callable
from dataclasses import replace

import anyio

from . import _wire
from ._patience import Patience
from ._place import Place
from ._remote import Remote
from ._retry import UNTIL_TIME_IS_UP, persist
from .errors import AsyncUploadError, ForeignReply, NotFound, Outcome, OutcomeUnknown, TimedOut

REPEAT_EVERY = 3
"""Looks that found nothing, before the same request goes once more. With its handler consumed it can do nothing twice:
if it succeeds, the first had never run."""


class _NotThere(AsyncUploadError):
    """Not yet, or not at all."""

    transient = True


async def settle(
    patience: Patience,
    place: Place,
    crc32: int,
    token: str,
    repeat: Callable[[], Awaitable[_wire.Stored]],
    error: AsyncUploadError,
) -> _wire.Stored:
    """Look until the document is found, the repeated request makes it, or the time for it is up.

    Args:
        patience: The client's.
        place: What stood there before.
        crc32: Of what was sent.
        token: Stands in the comment of our version, and in no other: it tells two equal contents apart.
        repeat: Sends the request once more, on the same handler.
        error: How the first request ended. If it took too long, the server may be at work yet, and is given half of the
            time before it is asked again.

    Raises:
        OutcomeUnknown: It is still not there; the server may be about to store it yet, so nobody sends it again.
    """
    remote, settings, looks = patience.remote, patience.settings, 0
    may_repeat = True
    slow = isinstance(error, TimedOut) or (isinstance(error, ForeignReply) and error.status == 504)
    not_before = anyio.current_time() + (settings.timeouts.settle / 2 if slow else 0)

    async def attempt() -> _wire.Stored:
        nonlocal looks, may_repeat
        found = await remote.with_ticket(lambda: find(remote, place, crc32, token))
        looks += 1
        if found is None and may_repeat and looks % REPEAT_EVERY == 0 and anyio.current_time() >= not_before:
            found, may_repeat = await _repeated(lambda: remote.with_ticket(repeat))
        if found is None:
            raise _NotThere("it was not there in time")
        return found

    longest_wait = min(settings.retries.longest_wait, settings.timeouts.settle / 10)
    rules = replace(settings.retries, attempts=UNTIL_TIME_IS_UP, longest_wait=longest_wait)
    why: object = "no look was answered in time"

    def note(failure: AsyncUploadError, *_: object) -> None:
        nonlocal why
        why = failure

    try:
        with anyio.move_on_after(settings.timeouts.settle):
            return await persist(attempt, rules, pause=patience.pause, on_retry=note)
    except AsyncUploadError as failure:
        why = failure
    raise OutcomeUnknown(
        f"{place.to.path}: all bytes arrived, but the reply to the request to store them was lost, and looking for the "
        f"document did not tell ({why}); look whether it is there before you send it again"
    )


async def _repeated(repeat: Callable[[], Awaitable[_wire.Stored]]) -> tuple[_wire.Stored | None, bool]:
    """What the repeated request made, if anything, and whether it is worth another one: a busy server may have left
    both alone. One that refuses may have given the handler to the first, which may be running yet.
    """
    try:
        return await repeat(), False
    except AsyncUploadError as error:
        if error.outcome is Outcome.NOT_APPLIED and error.transient:
            raise
        return None, isinstance(error, ForeignReply) and error.status == 503


async def find(remote: Remote, place: Place, crc32: int, token: str) -> _wire.Stored | None:
    """What stands at the destination, if it is what was sent. For a version the token tells; a new document is told by
    its checksum, since nothing stood there before."""
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
    return _wire.Stored(document.document_id, _wire.latest(versions))

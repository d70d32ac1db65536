"""In which ways a server takes chunks, found out by trying: on a handler of its own, with a byte that no server
appends."""

from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from functools import partial
from typing import cast

from ._body import Encoding
from ._ending import left_handler
from ._handler import Handler
from ._log import get_logger
from ._outcome import blames_the_request, cannot_be_read
from ._patience import Patience
from ._remote import Remote
from .errors import AsyncUploadError, ChunkRefused, ForeignReply, Redirected, ServerError, TicketRefused

REFUSED_FORM = frozenset({400, 415, 500})
"""What servers say to a chunk in a form that they cannot read: model binding, the framework, an exception."""

REFUSED_ENVELOPE = REFUSED_FORM | {404, 405, 501}
"""And to an envelope, at an address where they do not expect any."""


def may_be_the_encoding(error: AsyncUploadError, encoding: Encoding) -> bool:
    """Whether a chunk may have been refused for how it was written.

    Args:
        error: The refusal.
        encoding: How it was written.
    """
    if isinstance(error, Redirected):
        return False
    if isinstance(error, ForeignReply):
        return error.status in (REFUSED_ENVELOPE if encoding is Encoding.SOAP else REFUSED_FORM)
    return encoding is Encoding.SOAP and blames_the_request(error)


async def change_encoding(patience: Patience, error: AsyncUploadError, refused: Encoding) -> bool:
    """Find the way that the server takes, after a chunk was refused that was the client's first.

    Whoever comes while another upload is trying waits for what it finds.

    Args:
        patience: The upload's.
        error: The refusal.
        refused: How the chunk was written.

    Returns:
        Whether it is another way than the refused one. False also if the server takes that one, and the refusal had
        another reason, or if it takes none.
    """
    asker = patience.remote.asker
    async with asker.trying:
        if asker.encoding is not refused:
            return True
        if not asker.may_change_encoding:
            return False
        # Where no form carries bytes, only an envelope does; and the refused way may have been refused for its size.
        ways = (Encoding.SOAP,) if cannot_be_read(error) else ()
        try:
            found = await _first(patience, dict.fromkeys((*ways, refused, *Encoding)))
        except AsyncUploadError as failure:  # what is wrong is seen to by whoever sends the chunk again
            get_logger().info("encodings_not_tried", reason=str(failure))
            return False
        if found is not None:
            asker.settle_encoding(found)
            get_logger().info("encoding_found", encoding=found.value, refused=refused.value, reason=str(error))
        return found not in {None, refused}


async def _first(patience: Patience, ways: Iterable[Encoding]) -> Encoding | None:
    async with trial_handler(patience) as handler:
        for way in ways:
            if await _takes(patience, handler, way):
                return way
    return None


async def all_taken(patience: Patience, handler: Handler) -> tuple[Encoding, ...]:
    """The ways in which the server takes chunks.

    Args:
        patience: The client's.
        handler: One that no document will be made of.

    Raises:
        AsyncUploadError: The server does not answer.
    """
    return tuple([way for way in Encoding if await _takes(patience, handler, way)])


async def _takes(patience: Patience, handler: Handler, way: Encoding) -> bool:
    return await patience.persist(lambda: _reads(patience.remote, handler, way))


async def _reads(remote: Remote, handler: Handler, way: Encoding) -> bool:
    """Whether the server can read a chunk that is written in that way. Raises if it did not get to see one."""
    try:
        await remote.probe(handler, way)
    except ChunkRefused:
        return True
    except TicketRefused:
        raise
    except ForeignReply as error:
        if error.transient and error.status != 500:
            raise
        return False
    except ServerError:
        return False
    return True


@asynccontextmanager
async def trial_handler(patience: Patience) -> AsyncIterator[Handler]:
    """A handler that is deleted on every way out."""
    handler: Handler | None = None

    async def create() -> None:
        nonlocal handler
        handler = await patience.remote.create_handler()

    try:
        await patience.make(create)
        yield cast(Handler, handler)
    finally:
        if handler is not None:
            await patience.clean_up(
                partial(patience.remote.delete_handler, handler.id), partial(left_handler, handler.id)
            )

"""When a load was begun, by the server's clock: an equal version that was stored since then is not stored again."""

from datetime import datetime

from asyncupload.client import Client
from asyncupload.errors import AsyncUploadError

from .queue import Queue

BEGUN = "begun"
"""A fact of the run."""


async def note_begun(queue: Queue, client: Client) -> datetime | None:
    """The moment that was written down when the load was begun, or now, which is written down then.

    Every copy of a journal has it, so two programs that work on copies know of each other's versions. None if the
    server does not tell its clock.

    Raises:
        JournalError: It cannot be read or written.
    """
    if noted := (await queue.run()).get(BEGUN):
        return datetime.fromisoformat(noted)
    try:
        now = await client.server_time()
    except AsyncUploadError:  # older servers lack the operation; one that is away is waited for with the files
        return None
    if now is not None:
        await queue.note_run(**{BEGUN: now.isoformat()})
    return now

"""What an earlier run has left on the server of rows that have ended: given back by the next one."""

from asyncupload._log import get_logger
from asyncupload.client import Client
from asyncupload.errors import CheckedOut, NotFound, ServerError, TransportError, UsageError

from .queue import Queue


async def give_back_left(queue: Queue, client: Client) -> None:
    """Give back the documents that rows which have ended still hold checked out. What cannot be given back now is left
    for the next run.

    Raises:
        JournalError: The queue cannot be read or written.
    """
    for row in await queue.left():
        path = row.item.destination
        try:
            await client.give_back(path)
        except (CheckedOut, NotFound):  # somebody else's by now, or gone: nothing of ours is left
            pass
        except TransportError as error:
            get_logger(destination=path).warning("checkout_left", reason=str(error))
            return
        except (ServerError, UsageError) as error:
            get_logger(destination=path).warning("checkout_left", reason=str(error))
            continue
        await queue.note_given_back(row)

"""``asyncupload discard``: upload handlers that were left on the server."""

import click

from asyncupload.client import Client
from asyncupload.errors import AsyncUploadError

from . import results
from .options import Connection, Voice, connection_options, voice_options
from .running import Interrupted, run


@click.command()
@click.argument("handlers", nargs=-1, required=True, metavar="GUID...")
@connection_options
@voice_options
def discard(handlers: tuple[str, ...], connection: Connection, voice: Voice) -> int:
    """Delete upload handlers, with what is staged in them. A log written with -vv names an upload's.

    One that the server does not know is a success too. The exit code is the highest of them all.
    """

    async def work(client: Client) -> int:
        async with client:
            return max([await _discarded(client, handler, voice) for handler in handlers])

    try:
        client = connection.client(voice)
        return run(lambda: work(client))
    except AsyncUploadError as error:
        return results.failed(error, "", voice)
    except Interrupted as signal:
        return results.interrupted(signal, "interrupted", "", voice)


async def _discarded(client: Client, handler: str, voice: Voice) -> int:
    try:
        await client.discard(handler)
    except AsyncUploadError as error:
        return results.failed(error, "", voice, handler=handler)
    return results.fact(voice, {"status": "discarded", "handler": handler}, f"discarded {handler}")

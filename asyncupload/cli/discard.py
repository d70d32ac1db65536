"""``asyncupload discard``: upload handlers and check-outs that were left on the server."""

import click

from asyncupload.client import Client
from asyncupload.errors import AsyncUploadError

from . import results
from .options import Connection, Voice, connection_options, voice_options
from .running import Interrupted, run


@click.command()
@click.argument("names", nargs=-1, required=True, metavar="GUID|PATH...")
@connection_options
@voice_options
def discard(names: tuple[str, ...], connection: Connection, voice: Voice) -> int:
    """Delete upload handlers, with what is staged in them, and give check-outs of yours back.

    A GUID is a handler; a log written with -vv names an upload's. A PATH, as /Library/Folder/Name.ext, is a document
    that an upload has left checked out: make sure that nobody works on it under your name. What the server does not
    know, or nobody has checked out, is a success too. The exit code is the highest of them all.
    """

    async def work(client: Client) -> int:
        async with client:
            return max([await _discarded(client, name, voice) for name in names])

    try:
        client = connection.client(voice)
        return run(lambda: work(client))
    except AsyncUploadError as error:
        return results.failed(error, "", voice)
    except Interrupted as signal:
        return results.interrupted(signal, "interrupted", "", voice)


async def _discarded(client: Client, name: str, voice: Voice) -> int:
    if name.startswith("/"):
        return await _given_back(client, name, voice)
    try:
        await client.discard(name)
    except AsyncUploadError as error:
        return results.failed(error, "", voice, handler=name)
    return results.fact(voice, {"status": "discarded", "handler": name}, f"discarded {name}")


async def _given_back(client: Client, path: str, voice: Voice) -> int:
    try:
        was = await client.give_back(path)
    except AsyncUploadError as error:
        return results.failed(error, path, voice)
    said = f"gave {path} back" if was else f"{path} is not checked out"
    return results.fact(voice, {"status": "discarded", "path": path, "checked_out": was}, said)

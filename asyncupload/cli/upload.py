"""``asyncupload upload``: one file, or what comes on standard input."""

import asyncio
import os
import stat
import sys
from pathlib import Path
from typing import Literal

import click

from asyncupload._place import IfExists
from asyncupload.errors import AsyncUploadError, SourceUnreadable
from asyncupload.events import Committing, Event, Receipt, Restarted
from asyncupload.settings import Settings
from asyncupload.sources import FileSource, PathSource, Source

from . import results
from .options import Connection, Voice, chunk_size_option, connection_options, option, voice_options
from .progress import shown
from .running import Interrupted, run

STANDARD_INPUT = "-"


@click.command()
@click.argument("source")
@click.argument("destination")
@connection_options
@chunk_size_option
@option(
    "--encoding",
    type=click.Choice(["auto", "multipart", "form", "soap"]),
    default="auto",
    show_default=True,
    help="How chunks travel: raw, in base64, or by SOAP; auto finds out.",
)
@option(
    "--if-exists",
    type=click.Choice(["version", "fail", "skip"]),
    default="version",
    show_default=True,
    help="With a document that is there: add a version, fail, or skip it if it is equal.",
)
@option("--version-comment", default="", metavar="TEXT", help="Kept by the server with the version.")
@voice_options
def upload(
    source: str,
    destination: str,
    connection: Connection,
    chunk_size: int,
    encoding: Literal["auto", "multipart", "form", "soap"],
    if_exists: IfExists,
    version_comment: str,
    voice: Voice,
) -> int:
    """Bring one file (or - for standard input) to DESTINATION, as /Library/Folder/Name.ext."""
    committing = False

    def upload_shown() -> Receipt:
        # Made before the loop and before the bar: it may ask for the password.
        client = connection.client(Settings(chunk_size=chunk_size, encoding=encoding))
        with shown(voice, _title(source)) as show:

            def listen(event: Event) -> None:
                nonlocal committing
                committing = isinstance(event, Committing) or (committing and not isinstance(event, Restarted))
                show(event)

            async def work() -> Receipt:
                async with client:
                    return await client.upload(
                        await _opened(source),
                        to=destination,
                        if_exists=if_exists,
                        version_comment=version_comment,
                        on_event=listen,
                    )

            return run(work)

    try:
        return results.stored(upload_shown(), voice)
    except AsyncUploadError as error:
        return results.failed(error, destination, voice)
    except Interrupted as signal:
        message = (
            "interrupted while the server was asked to store the document: look whether it is there"
            if committing
            else "interrupted; nothing was stored"
        )
        return results.interrupted(signal, message, destination, voice)


def _title(source: str) -> str:
    if source == STANDARD_INPUT:
        return "standard input"
    return Path(source).name.encode("utf-8", "replace").decode()


async def _opened(source: str) -> Source:
    return await _standard_input() if source == STANDARD_INPUT else PathSource(source)


async def _standard_input() -> Source:
    """A pipe is read by the loop itself: a thread that waits in read() could not be interrupted."""
    if sys.stdin is None:  # Python's word for a descriptor that was closed before it started
        raise SourceUnreadable("standard input is closed")
    mode = os.fstat(sys.stdin.fileno()).st_mode
    if not (stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode) or sys.stdin.isatty()):
        return FileSource(sys.stdin.buffer, name="standard input")
    reader = asyncio.StreamReader(limit=1024 * 1024)
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    return FileSource(reader, name="standard input")

"""``asyncupload upload``: one file, or what comes on standard input."""

from collections.abc import Sequence
from typing import Literal

import click

from asyncupload._place import IfExists
from asyncupload._shield import undisturbed
from asyncupload.client import Client
from asyncupload.errors import Leftover
from asyncupload.events import Listener, Receipt
from asyncupload.properties import Properties
from asyncupload.settings import Retries, Settings

from . import results
from .options import (
    Connection,
    Voice,
    check_source_option,
    chunk_size_option,
    connection_options,
    encoding_option,
    give_up_option,
    option,
    voice_options,
)
from .properties import properties_options
from .source import opened, title
from .traces import Trace
from .transfer import Watch, transferred

WRITING = 5.0
"""Seconds for writing down how an upload has ended."""


@click.command()
@click.argument("source")
@click.argument("destination")
@connection_options
@chunk_size_option
@give_up_option
@encoding_option
@option(
    "--if-exists",
    type=click.Choice(["version", "fail", "skip"]),
    default="version",
    show_default=True,
    help="With a document that is there: add a version, fail, or skip it if it is equal.",
)
@option("--version-comment", default="", metavar="TEXT", help="Kept by the server with the version.")
@check_source_option
@properties_options
@voice_options
def upload(
    source: str,
    destination: str,
    connection: Connection,
    chunk_size: int,
    retries: Retries,
    encoding: Literal["auto", "multipart", "form", "soap"],
    if_exists: IfExists,
    version_comment: str,
    check_source: frozenset[str] | None,
    properties: Properties,
    voice: Voice,
) -> int:
    """Bring one file (or - for standard input) to DESTINATION, as /Library/Folder/Name.ext."""
    watch = Watch("interrupted while the server was asked to store the document: look whether it is there")

    async def work(client: Client, show: Listener) -> Receipt:
        trace = Trace(connection.server, destination)
        await trace.begin(client)
        left: Sequence[Leftover] = ()
        try:
            receipt = await client.upload(
                await opened(source, check_source),
                to=destination,
                if_exists=if_exists,
                version_comment=version_comment,
                properties=properties,
                checkpoints=trace,
                on_event=watch.of(show),
            )
            left = receipt.left
        finally:
            await undisturbed(trace.end([*left, *watch.left()]), grace=WRITING)
        return receipt

    return transferred(
        connection,
        Settings(retries=retries, chunk_size=chunk_size, encoding=encoding),
        voice,
        work,
        title=title(source),
        path=destination,
        tell=lambda told: results.stored(told, voice),
        interrupted=watch.interrupted,
        left=watch.left,
    )

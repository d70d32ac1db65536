"""``asyncupload upload-zip``: one archive, of whose entries the server makes documents."""

from typing import Literal

import click

from asyncupload.client import Client
from asyncupload.events import Listener, Unpacked
from asyncupload.settings import Retries, Settings

from . import results
from .options import (
    Connection,
    Voice,
    chunk_size_option,
    connection_options,
    encoding_option,
    give_up_option,
    option,
    voice_options,
)
from .source import opened, title
from .transfer import Watch, transferred


@click.command()
@click.argument("source")
@click.argument("folder")
@connection_options
@chunk_size_option
@give_up_option
@encoding_option
@option("--changed-only", is_flag=True, help="Leave out entries that are equal to the document there.")
@option("--check-out", is_flag=True, help="Check existing documents out, and in again.")
@option("--notify/--no-notify", default=False, show_default=True, help="Whether subscribers get an e-mail.")
@voice_options
def upload_zip(
    source: str,
    folder: str,
    connection: Connection,
    chunk_size: int,
    retries: Retries,
    encoding: Literal["auto", "multipart", "form", "soap"],
    changed_only: bool,  # noqa: FBT001  (click's)
    check_out: bool,  # noqa: FBT001
    notify: bool,  # noqa: FBT001
    voice: Voice,
) -> int:
    """Bring a ZIP archive (or - for standard input), and have its entries made documents in FOLDER."""
    watch = Watch("interrupted while the server was asked to unpack: look which entries are documents now")

    async def work(client: Client, show: Listener) -> Unpacked:
        return await client.upload_zip(
            await opened(source),
            to=folder,
            changed_only=changed_only,
            check_out=check_out,
            notify=notify,
            on_event=watch.of(show),
        )

    return transferred(
        connection,
        Settings(retries=retries, chunk_size=chunk_size, encoding=encoding),
        voice,
        work,
        title=title(source),
        path=folder,
        tell=lambda told: results.unpacked(told, voice),
        interrupted=watch.interrupted,
        left=watch.left,
    )

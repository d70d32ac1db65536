"""``asyncupload download``: one document back again."""

import os
from pathlib import Path

import click

from asyncupload.client import Client
from asyncupload.events import Downloaded, Listener
from asyncupload.properties import VersionNumber
from asyncupload.settings import Retries, Settings

from . import results
from .options import Connection, Voice, chunk_size_option, connection_options, give_up_option, voice_options
from .properties import version_option
from .transfer import transferred


@click.command()
@click.argument("path")
@click.argument("target", type=click.Path(path_type=Path))
@connection_options
@chunk_size_option
@give_up_option
@version_option("Which version to bring; by default the published one, or else the latest.")
@voice_options
def download(
    path: str,
    target: Path,
    connection: Connection,
    chunk_size: int,
    retries: Retries,
    document_version: VersionNumber | None,
    voice: Voice,
) -> int:
    """Bring the document at PATH back into the file TARGET (or into the directory of that name), verified.

    What came before an interruption stays beside TARGET: the same command goes on from there.
    """
    name = path.replace("\\", "/").rpartition("/")[2]
    # Not Path.is_dir: that raises where a folder on the way may not be looked into. Writing says it better.
    file = target / name if os.path.isdir(target) else target  # noqa: PTH112
    number = document_version.packed if document_version else None

    async def work(client: Client, show: Listener) -> Downloaded:
        return await client.download(path, file, version=number, on_event=show)

    return transferred(
        connection,
        Settings(retries=retries, chunk_size=chunk_size),
        voice,
        work,
        title=name,
        path=path,
        tell=lambda receipt: results.downloaded(receipt, voice),
        interrupted=lambda: f"interrupted; {file} is as it was, and the same command goes on from there",
    )

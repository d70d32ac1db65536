"""``asyncupload download``: one document back again."""

import os
from pathlib import Path

import click

from asyncupload.errors import AsyncUploadError
from asyncupload.events import Downloaded
from asyncupload.settings import Settings

from . import results
from .options import Connection, Voice, chunk_size_option, connection_options, voice_options
from .progress import shown
from .running import Interrupted, run


@click.command()
@click.argument("path")
@click.argument("target", type=click.Path(path_type=Path))
@connection_options
@chunk_size_option
@voice_options
def download(path: str, target: Path, connection: Connection, chunk_size: int, voice: Voice) -> int:
    """Bring the document at PATH back into the file TARGET (or into the directory of that name), verified."""
    name = path.replace("\\", "/").rpartition("/")[2]
    # Not Path.is_dir: that raises where a folder on the way may not be looked into. Writing says it better.
    file = target / name if os.path.isdir(target) else target  # noqa: PTH112

    def download_shown() -> Downloaded:
        # Made before the loop and before the bar: it may ask for the password.
        client = connection.client(Settings(chunk_size=chunk_size))
        with shown(voice, name) as show:

            async def work() -> Downloaded:
                async with client:
                    return await client.download(path, file, on_event=show)

            return run(work)

    try:
        return results.downloaded(download_shown(), voice)
    except AsyncUploadError as error:
        return results.failed(error, path, voice)
    except Interrupted as signal:
        return results.interrupted(signal, f"interrupted; {file} is as it was", path, voice)

"""``asyncupload verify``: is the stored document this file?"""

from pathlib import Path

import click

from asyncupload.bulk.audit import AT_ONCE
from asyncupload.client import Client
from asyncupload.events import Listener, Verified
from asyncupload.properties import VersionNumber
from asyncupload.settings import Retries, Settings

from . import results
from .ledger import verify_ledger
from .options import Connection, Voice, chunk_size_option, connection_options, give_up_option, option, voice_options
from .properties import version_option
from .source import opened, title
from .transfer import transferred


@click.command()
@click.argument("source", default="")
@click.argument("path", default="")
@connection_options
@chunk_size_option
@give_up_option
@option("--deep", is_flag=True, help="Fetch every byte and compare it, not only size and CRC-32.")
@version_option("Which version to compare with; by default the latest.")
@option(
    "--ledger",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Instead of one document, all of a ledger.",
)
@option("--sources", is_flag=True, help="With --ledger: read the files again that the documents came from.")
@option(
    "--at-once",
    type=click.IntRange(1, 64),
    default=AT_ONCE,
    show_default=True,
    help="With --ledger: documents to ask about at the same time.",
)
@voice_options
def verify(
    source: str,
    path: str,
    connection: Connection,
    chunk_size: int,
    retries: Retries,
    deep: bool,  # noqa: FBT001  (click's)
    document_version: VersionNumber | None,
    ledger: Path | None,
    sources: bool,  # noqa: FBT001  (click's)
    at_once: int,
    voice: Voice,
) -> int:
    """Find out whether the document at PATH is the file SOURCE (or what comes on standard input, for -)."""
    if (source or path) if ledger else not (source and path):
        raise click.UsageError("give SOURCE and PATH, or --ledger FILE instead of them")
    if ledger is not None:
        return verify_ledger(ledger, connection, voice, at_once=at_once, sources=sources)
    number = document_version.packed if document_version else None

    async def work(client: Client, show: Listener) -> Verified:
        return await client.verify(await opened(source), path, version=number, deep=deep, on_event=show)

    return transferred(
        connection,
        Settings(retries=retries, chunk_size=chunk_size),
        voice,
        work,
        title=title(source),
        path=path,
        tell=lambda proof: results.verified(proof, source, voice),
        interrupted=lambda: "interrupted before it was known",
    )

"""``asyncupload check``: would uploads work?"""

from dataclasses import asdict

import click

from asyncupload._check import ServerReport
from asyncupload._units import amount
from asyncupload.errors import AsyncUploadError
from asyncupload.settings import Settings

from . import results
from .options import Connection, Voice, chunk_size_option, connection_options, voice_options
from .running import Interrupted, run


@click.command()
@connection_options
@chunk_size_option
@voice_options
def check(connection: Connection, chunk_size: int, voice: Voice) -> int:
    """Reach the server, log in, and say which chunk size and limits it grants."""

    def checked() -> ServerReport:
        # Made before the loop: it may ask for the password.
        client = connection.client(voice, Settings(chunk_size=chunk_size))

        async def work() -> ServerReport:
            async with client:
                return await client.check()

        return run(work)

    try:
        report = checked()
    except AsyncUploadError as error:
        return results.failed(error, "", voice)
    except Interrupted as signal:
        return results.interrupted(signal, "interrupted", "", voice)
    return results.fact(voice, {"status": "ok", **asdict(report)}, *_sentences(report))


def _sentences(report: ServerReport) -> tuple[str, ...]:
    largest = amount(report.document_max_size) if report.document_max_size else "not limited, or not told"
    return (
        f"server         {report.url}, version {report.version or 'not told'}",
        f"user           {report.user}",
        f"chunk size     {amount(report.chunk_size)} granted",
        f"encodings      {', '.join(report.encodings) or 'none: chunks cannot be sent to this server'}",
        f"document size  {largest}",
        f"round trip     {report.round_trip * 1000:.1f} ms",
    )

"""``asyncupload bench``: how fast is my line, and with which settings?"""

from dataclasses import asdict

import click

from asyncupload._units import amount
from asyncupload.errors import AsyncUploadError
from asyncupload.measure import Rate, measure, propose
from asyncupload.settings import MIB, Settings

from . import results
from .options import Connection, Voice, connection_options, option, voice_options
from .running import Interrupted, run


@click.command()
@connection_options
@option("--seconds", type=click.FloatRange(0.1, 600), default=2.0, show_default=True, help="For each setting, about.")
@option(
    "--largest",
    type=click.IntRange(256 * 1024, 32 * MIB),
    default=16 * MIB,
    show_default=True,
    metavar="BYTES",
    help="Try no larger chunks.",
)
@voice_options
def bench(connection: Connection, seconds: float, largest: int, voice: Voice) -> int:
    """Measure the line to the server, and propose settings. Nothing is stored: every upload is given up and deleted."""

    def measured() -> list[Rate]:
        client = connection.client(voice, Settings(chunk_size=largest))

        async def work() -> list[Rate]:
            async with client:
                return [rate async for rate in measure(client, seconds=seconds)]

        return run(work)

    try:
        rates = measured()
    except AsyncUploadError as error:
        return results.failed(error, "", voice)
    except Interrupted as signal:
        return results.interrupted(signal, "interrupted", "", voice)
    facts = {"status": "ok", "rates": [asdict(rate) for rate in rates], "proposal": asdict(propose(rates))}
    return results.fact(voice, facts, *_sentences(rates))


def _sentences(rates: list[Rate]) -> list[str]:
    found = propose(rates)
    lines = [
        f"{amount(rate.chunk_size):>10} chunks, {rate.at_once:>2} at once   {amount(rate.bytes_per_second)}/s"
        for rate in rates
    ]
    return [*lines, f"proposed: --chunk-size {found.chunk_size}, and {found.at_once} files at once"]

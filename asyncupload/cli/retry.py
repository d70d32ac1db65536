"""``asyncupload retry``: what failed is to be tried once more."""

from pathlib import Path

import click

from asyncupload.bulk.journal import Journal
from asyncupload.bulk.rows import State
from asyncupload.errors import JournalError

from . import results
from .journals import in_words, looked_at, numbers
from .options import Voice, option, voice_options
from .running import Interrupted


@click.command()
@click.argument("journal", type=click.Path(path_type=Path))
@option("--skipped", is_flag=True, help="Those that were skipped, too, if the plan has nothing against them.")
@voice_options
def retry(journal: Path, skipped: bool, voice: Voice) -> int:  # noqa: FBT001  (click's)
    """Plan what failed in a load again, in its JOURNAL. The next run of the same command sends it."""
    states = {State.FAILED, State.SKIPPED} if skipped else {State.FAILED}

    async def put_back(opened: Journal) -> tuple[int, dict[str, int]]:
        return await opened.retry(states), numbers(await opened.counts())

    try:
        count, counts = looked_at(journal, put_back)
    except JournalError as error:
        return results.failed(error, str(journal), voice)
    except Interrupted as signal:
        return results.interrupted(signal, "interrupted", str(journal), voice)
    return results.fact(
        voice,
        {"status": "retry", "journal": str(journal), "planned_again": count, **counts},
        *_sentences(journal, count, counts),
    )


def _sentences(journal: Path, count: int, counts: dict[str, int]) -> list[str]:
    lines = [f"{journal}: {count:,} planned again; now {in_words(counts)}"]
    if refused := counts["failed"]:
        lines.append(f"{refused:,} that failed cannot be sent as they were planned: see their reasons")
    if count:
        lines.append("Run the same command again to send them.")
    return lines

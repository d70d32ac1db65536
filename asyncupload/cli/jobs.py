"""``asyncupload jobs``: which loads there are, and how far they have come."""

import os
from contextlib import nullcontext, suppress
from pathlib import Path
from typing import Any

import click

from asyncupload.bulk import places
from asyncupload.bulk.journal import Journal
from asyncupload.errors import JournalError

from . import results
from .journals import in_words, local_time, looked_at, numbers
from .options import Voice, voice_options
from .running import Interrupted


@click.command()
@click.argument("journals", nargs=-1, type=click.Path(path_type=Path), metavar="[JOURNAL|FOLDER]...")
@voice_options
def jobs(journals: tuple[Path, ...], voice: Voice) -> int:
    """List the journals of loads: those in the folder that is theirs by default, and those that are named."""
    try:
        paths = _found(journals)
        if not paths:
            return results.fact(voice, {"status": "journals", "journals": 0}, f"no journals in {places.folder()}")
        return max(_told(path, voice) for path in paths)
    except JournalError as error:
        return results.failed(error, "", voice)
    except Interrupted as signal:
        return results.interrupted(signal, "interrupted", "", voice)


def _found(named: tuple[Path, ...]) -> list[Path]:
    """Each once. A name that stands for nothing is kept, so that it is said. Where some are named, there need be no
    folder of one's own."""
    found: list[Path] = []
    with suppress(JournalError) if named else nullcontext():
        found += places.all_in(places.folder())
    for path in named:
        found += places.all_in(path) if os.path.exists(path) else [path]  # noqa: PTH110  (Path's raises)
    return list(dict.fromkeys(path.absolute() for path in found))


def _told(path: Path, voice: Voice) -> int:
    try:
        facts = looked_at(path, _facts)
    except JournalError as error:
        return results.failed(error, str(path), voice)
    return results.fact(voice, {"status": "journal", "journal": str(path), **facts}, *_sentences(path, facts))


async def _facts(journal: Journal) -> dict[str, Any]:
    run, latest = await journal.run(), await journal.latest()
    told = {name: run.get(name, "") for name in ("server", "user", "source", "destination")}
    return {**told, **numbers(await journal.counts()), "latest": None if latest is None else local_time(latest)}


def _sentences(path: Path, facts: dict[str, Any]) -> list[str]:
    """The names of what nobody noted down are left out."""
    lines = [str(path)]
    if facts["server"]:
        lines.append(f"{facts['server']} as {facts['user'] or 'the owner of a ticket'}")
    if facts["source"] or facts["destination"]:
        lines.append(f"{facts['source'] or '?'} to {facts['destination'] or 'where the manifest says'}")
    latest = f"last file at {facts['latest']}" if facts["latest"] else "no file has ended yet"
    counts = {name: count for name, count in facts.items() if isinstance(count, int)}
    lines.append(f"{in_words(counts)}; {latest}")
    return [lines[0], *(f"  {line}" for line in lines[1:])]

"""``asyncupload explain``: all that happened to one file of a load."""

import os
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import click

from asyncupload.bulk.journal import Journal
from asyncupload.bulk.queue import Deed
from asyncupload.bulk.records import record
from asyncupload.bulk.rows import Row
from asyncupload.bulk.spelling import spelled, unspelled
from asyncupload.errors import AsyncUploadError, UsageError

from . import results
from .journals import local_time, looked_at
from .options import Voice, voice_options
from .running import Interrupted


@click.command()
@click.argument("journal", type=click.Path(path_type=Path))
@click.argument("path")
@voice_options
def explain(journal: Path, path: str, voice: Voice) -> int:
    """Tell the life of the file PATH (a local one, or a document's on the server) in the load of JOURNAL."""

    names = _names(path)

    async def look(opened: Journal) -> tuple[Row, list[Deed]]:
        row = await _row(opened, path, names)
        return row, await opened.life(row.id)

    try:
        row, life = looked_at(journal, look)
    except AsyncUploadError as error:
        return results.failed(error, path, voice)
    except Interrupted as signal:
        return results.interrupted(signal, "interrupted", path, voice)
    deeds = [{"at": local_time(deed.at), "what": deed.what, "detail": deed.detail} for deed in life]
    return results.fact(voice, {"status": str(row.state), **_known(row), "life": deeds}, *_sentences(row, life))


async def _row(journal: Journal, path: str, names: Sequence[bytes | str]) -> Row:
    for name in names:
        if (found := await journal.find(name)) is not None:
            return found
    raise UsageError(f"the journal knows no file and no document {path!r}; a report of it lists those that it knows")


def _names(path: str) -> list[bytes | str]:
    """What may be meant: a source as given, from here, or as a report spells it; or else a destination."""
    sources = [os.fsencode(path), os.fsencode(os.path.abspath(path))]  # noqa: PTH100  (links stay links)
    with suppress(ValueError):
        sources.append(unspelled(path))
    return [*sources, path]


def _known(row: Row) -> dict[str, Any]:
    facts = record(row)
    facts["state"] = str(row.state)  # one under way is no cancelled one yet
    return facts


def _sentences(row: Row, life: list[Deed]) -> list[str]:
    known = {name: value for name, value in _known(row).items() if value}
    known.pop("source")
    width = max(map(len, known))
    lines = [spelled(row.item.source), *(f"  {name:{width}}  {value}" for name, value in known.items()), ""]
    return lines + [f"  {local_time(deed.at)}  {deed.what}{': ' if deed.detail else ''}{deed.detail}" for deed in life]

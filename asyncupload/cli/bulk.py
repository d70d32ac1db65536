"""``asyncupload bulk``: a folder of files, or a list of them."""

import os
import re
from dataclasses import fields, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from asyncupload.bulk import places
from asyncupload.bulk.manifest import STANDARD_INPUT, Manifest
from asyncupload.bulk.options import LoadOptions
from asyncupload.bulk.regular import require_regular, require_writable
from asyncupload.bulk.rules import TreeRules
from asyncupload.bulk.tree import Tree
from asyncupload.errors import AsyncUploadError, UsageError
from asyncupload.settings import DEFAULT_CHUNK, MIB, Retries, Settings

from . import results
from .amounts import bytes_of
from .foretell import foretold
from .job import Items, Job, LeftOut, Plan
from .load import loaded
from .options import Connection, Voice, check_source_option, connection_options, option, voice_options
from .running import Interrupted

_FILE = click.Path(dir_okay=False, path_type=Path)
_MOMENT = click.DateTime(["%Y-%m-%d", "%Y-%m-%dT%H:%M:%S"])


@click.command()
@click.argument("named", nargs=-1, metavar="[SOURCE] [DESTINATION]")
@connection_options
@option(
    "--manifest",
    type=click.Path(exists=True, allow_dash=True, dir_okay=False),
    metavar="FILE",
    help="Send what this list names (CSV, JSON or .xlsx; - for standard input).",
)
@option(
    "--manifest-encoding",
    metavar="NAME",
    help="How the list is written if that is not Unicode, as windows-1252.",
)
@option(
    "--journal",
    type=_FILE,
    metavar="FILE",
    help="Where it is written down what was done; one of its own for each SOURCE and DESTINATION if missing.",
)
@option("--include", multiple=True, metavar="PATTERN", help="Only files that match, as in .gitignore; may be repeated.")
@option("--exclude", multiple=True, metavar="PATTERN", help="No files that match, as in .gitignore; may be repeated.")
@option(
    "--min-size",
    type=bytes_of,
    metavar="BYTES",
    default=0,
    help="No smaller files. With 1, empty ones are not mentioned.",
)
@option("--max-size", type=bytes_of, metavar="BYTES", help="No larger files.")
@option("--newer-than", type=_MOMENT, metavar="MOMENT", help="Only files changed after this, as 2026-03-31T18:00:00.")
@option("--older-than", type=_MOMENT, metavar="MOMENT", help="Only files changed before this, as 2026-03-31.")
@option("--follow-symlinks", is_flag=True, help="Send what links point to, inside SOURCE.")
@option("--files", type=click.IntRange(1, 256), default=16, show_default=True, help="Files in flight at most.")
@option(
    "--memory",
    type=bytes_of,
    metavar="BYTES",
    default=96 * MIB,
    help="Content of all files in flight at most.  [default: 96MiB]",
)
@option("--limit-rate", type=bytes_of, metavar="BYTES", help="Bytes per second at most.")
@option(
    "--chunk-size",
    type=bytes_of,
    metavar="BYTES",
    default=DEFAULT_CHUNK,
    help="Bytes per chunk to ask for.  [default: 2816KiB]",
)
@option(
    "--encoding",
    type=click.Choice(["auto", "multipart", "form", "soap"]),
    default="auto",
    show_default=True,
    help="How chunks travel.",
)
@option(
    "--if-exists",
    type=click.Choice(["skip", "version", "fail"]),
    default="skip",
    show_default=True,
    help="With a document that is there: skip it if it is equal, add a version, or fail.",
)
@option("--sha256", is_flag=True, help="Compute the SHA-256 of every file, in the same pass.")
@check_source_option
@option("--notify", is_flag=True, help="Let the server send e-mails to those who subscribed.")
@option("--attempts", type=click.IntRange(min=1), default=5, show_default=True, help="Per file, over all runs.")
@option(
    "--retry-after",
    type=click.FloatRange(min=0, min_open=True),
    metavar="SECONDS",
    default=30.0,
    show_default=True,
    help="Until a file that failed is tried again; doubled with each attempt.",
)
@option(
    "--give-up-after",
    type=click.FloatRange(min=0, min_open=True),
    metavar="SECONDS",
    default=3600.0,
    show_default=True,
    help="With a server or a source in trouble, and no file stored meanwhile.",
)
@option(
    "--grace",
    type=click.FloatRange(min=0),
    metavar="SECONDS",
    default=30.0,
    show_default=True,
    help="For files in flight, after Ctrl-C.",
)
@option("--dry-run", is_flag=True, help="Say what would be done, and do nothing.")
@option("--report", type=_FILE, metavar="FILE", help="Write every file's fate to this .csv, .jsonl or .html.")
@option("--ledger", type=_FILE, metavar="FILE", help="Append one line for each stored document to this file.")
@voice_options
def bulk(named: tuple[str, ...], connection: Connection, voice: Voice, **given: Any) -> int:
    """Bring all files below the folder SOURCE to the folder DESTINATION, as /Library/Folder, or what --manifest lists.

    A list may do without both: DESTINATION is where those of its destinations begin that do not begin with a slash,
    SOURCE where such sources do.

    What is done is written down, so the same command again goes on where this one ended. Ctrl-C ends the files in
    flight; a second one ends at once.
    """
    try:
        job = _job(connection, named, voice, given)
        return foretold(job) if given["dry_run"] else loaded(job)
    except AsyncUploadError as error:
        return results.failed(error, "".join(named[-1:]), voice)
    except Interrupted as interrupted:
        return results.interrupted(interrupted, "interrupted", "".join(named[-1:]), voice)


PER_FILE = 30.0
"""Seconds for which a file in flight waits for a server in trouble."""

_OF_TREES = tuple(field.name for field in fields(TreeRules) if field.name not in {"stay_inside", "longest_path"})
_OF_LOADS = tuple(field.name for field in fields(LoadOptions) if field.name != "lease")
"""Options that go on under their own names."""


def _job(connection: Connection, named: tuple[str, ...], voice: Voice, given: dict[str, Any]) -> Job:
    source, destination = _source_and_destination(named, given)
    origin = str(Path(source).absolute()) if given["manifest"] is None else _origin(given["manifest"])
    journal = given["journal"] or places.journal(connection.server, origin, destination)
    if journal.suffix != places.SUFFIX:
        # Any other file that is named by mistake would be taken for a damaged journal, and moved aside.
        raise UsageError(f"the journal {journal} must end in {places.SUFFIX}; asyncupload jobs finds it by that")
    written = {"journal": journal, "ledger": given["ledger"], "report": given["report"]}
    _require_files(written)
    if not given["dry_run"]:
        require_writable(journal)
    items, left_out = _planned(source, destination, [*written.values()], given)
    return Job(
        connection=connection,
        plan=Plan(
            items=items,
            whole_first=given["manifest"] is not None,
            left_out=left_out,
            origin=origin,
            destination=destination,
        ),
        options=LoadOptions(**{name: given[name] for name in _OF_LOADS}),
        # One file waits for a short time only: the load itself outwaits a server in trouble, with one request now and
        # then for all of them.
        settings=Settings(
            chunk_size=given["chunk_size"], encoding=given["encoding"], retries=Retries(give_up_after=PER_FILE)
        ),
        journal=journal,
        grace=given["grace"],
        report=given["report"],
        ledger=given["ledger"],
        voice=voice,
    )


def _require_files(written: dict[str, Path | None]) -> None:
    """A ledger that is a device would be found out when all is sent, and one that is the journal would ruin it."""
    seen: dict[str, str] = {}
    for what, path in written.items():
        if path is not None:
            require_regular(path, what)
            other = seen.setdefault(os.path.realpath(path), what)
            if other != what:
                raise UsageError(f"{path} cannot be both the {other} and the {what}: name two files")


def _source_and_destination(named: tuple[str, ...], given: dict[str, Any]) -> tuple[str, str]:
    """Empty is what a list does without."""
    if len(named) > 2 or (given["manifest"] is None and len(named) != 2):
        raise UsageError("what is to be sent, and where to? give SOURCE and DESTINATION, or a --manifest")
    source, destination = ("", "", *named)[-2:]
    if source and not os.path.isdir(source):  # noqa: PTH112  (Path's raises where one may not look)
        raise UsageError(f"{source} is no folder that can be read; to send one file, use asyncupload upload")
    return source, destination


def _origin(manifest: str) -> str:
    return manifest if manifest == STANDARD_INPUT else str(Path(manifest).absolute())


def _planned(source: str, destination: str, own: list[Path | None], given: dict[str, Any]) -> tuple[Items, LeftOut]:
    rules = _rules(given)
    if given["manifest"] is None:
        ours = tuple(pattern for path in own if path for pattern in _spared(path, Path(source)))
        tree = Tree(source, destination, replace(rules, exclude=(*rules.exclude, *ours)))
        return tree.items, tree.left_out.total
    if rules != TreeRules():
        raise UsageError("a manifest says itself what is sent: --include and the like choose from a folder")
    listed = Manifest(given["manifest"], to=destination, root=source or None, encoding=given["manifest_encoding"])
    return listed.items, lambda: 0


def _spared(path: Path, source: Path) -> list[str]:
    """Patterns for a file that this program itself writes into the folder: it would change while it is sent."""
    path, source = path.absolute(), source.absolute()
    if not path.is_relative_to(source):
        return []
    name = re.sub(r"([*?\[\]\\!# ])", r"\\\1", path.relative_to(source).as_posix())
    return [f"/{name}", f"/{name}-wal", f"/{name}-shm", f"/{name}-journal", f"/{name}.corrupt-*", f"/{name}.lock"]


def _rules(given: dict[str, Any]) -> TreeRules:
    chosen = {name: given[name] for name in _OF_TREES}
    for name in ("newer_than", "older_than"):
        chosen[name] = chosen[name] and _here(chosen[name])
    return TreeRules(**chosen)


def _here(moment: datetime) -> datetime:
    """A moment by the clock on the wall. In the first and the last year that there are, no zone can be asked."""
    try:
        return moment.astimezone()
    except (OverflowError, ValueError, OSError):
        return moment.replace(tzinfo=UTC)

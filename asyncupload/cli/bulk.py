"""``asyncupload bulk``: a folder of files, or a list of them."""

import asyncio
import os
import signal
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import anyio
import click

from asyncupload.bulk import places, report
from asyncupload.bulk.ends import End
from asyncupload.bulk.forecast import Forecast, forecasts
from asyncupload.bulk.journal import Journal
from asyncupload.bulk.ledger import Ledger
from asyncupload.bulk.loader import Loader
from asyncupload.bulk.manifest import Manifest
from asyncupload.bulk.options import LARGE_CHUNK, LoadOptions
from asyncupload.bulk.progress import Progress
from asyncupload.bulk.rows import Item, Row, State
from asyncupload.bulk.rules import TreeRules
from asyncupload.bulk.tree import Tree
from asyncupload.bulk.verdict import Verdict
from asyncupload.client import Client
from asyncupload.errors import AsyncUploadError, UsageError
from asyncupload.settings import LARGEST_CHUNK, MIB, SMALLEST_CHUNK, Settings

from . import results
from .amounts import bytes_of
from .display import Display
from .options import Connection, Voice, connection_options, option, voice_options
from .running import Interrupted, run

_FILE = click.Path(dir_okay=False, path_type=Path)
_MOMENT = click.DateTime(["%Y-%m-%d", "%Y-%m-%dT%H:%M:%S"])


@dataclass(frozen=True, slots=True)
class Plan:
    """What to send."""

    items: Callable[[ThreadPoolExecutor], AsyncGenerator[list[Item], None]]
    whole_first: bool
    """A list may be wrong in its last line, and then nothing of it is sent."""
    left_out: Callable[[], int]
    root: str
    """What it is of: for the journal's name."""


@dataclass(frozen=True, slots=True)
class Job:
    """All that one call of the command is about."""

    connection: Connection
    plan: Plan
    options: LoadOptions
    settings: Settings
    journal: Path
    grace: float
    report: Path | None
    ledger: Path | None
    voice: Voice


@click.command()
@click.argument("source", type=click.Path(file_okay=False, path_type=Path), required=False)
@click.argument("destination", required=False, default="")
@connection_options
@option(
    "--manifest", type=click.Path(allow_dash=True, dir_okay=False), help="Send what this list names (CSV or JSONL)."
)
@option(
    "--journal", type=_FILE, help="Where it is written down what was done; one of its own for each SOURCE if missing."
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
@option("--newer-than", type=_MOMENT, help="Only files changed after this moment.")
@option("--older-than", type=_MOMENT, help="Only files changed before this moment.")
@option("--follow-symlinks", is_flag=True, help="Send what links point to, inside SOURCE.")
@option("--files", type=click.IntRange(1, 256), default=16, show_default=True, help="Files in flight at most.")
@option(
    "--memory",
    type=bytes_of,
    metavar="BYTES",
    default=256 * MIB,
    help="Content of all files in flight at most.  [default: 256MiB]",
)
@option("--limit-rate", type=bytes_of, metavar="BYTES", help="Bytes per second at most.")
@option(
    "--chunk-size",
    type=bytes_of,
    metavar="BYTES",
    help="Bytes per chunk to ask for; 1MiB, or 4MiB for large files, if missing.",
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
@option("--notify", is_flag=True, help="Let the server send e-mails to those who subscribed.")
@option("--attempts", type=click.IntRange(min=1), default=5, show_default=True, help="Per file, over all runs.")
@option(
    "--grace",
    type=click.FloatRange(min=0),
    default=30.0,
    show_default=True,
    help="Seconds for files in flight, after Ctrl-C.",
)
@option("--dry-run", is_flag=True, help="Say what would be done, and do nothing.")
@option("--report", type=_FILE, help="Write every file's fate to this .csv, .jsonl or .html.")
@option("--ledger", type=_FILE, help="Append one line for each stored document to this file.")
@voice_options
def bulk(source: Path | None, destination: str, connection: Connection, voice: Voice, **given: Any) -> int:
    """Bring all files below SOURCE to the folder DESTINATION, as /Library/Folder, or what --manifest lists.

    What is done is written down, so the same command again goes on where this one ended. Ctrl-C ends the files in
    flight; a second one ends at once.
    """
    try:
        plan = _planned(source, destination, given)
        most = given["chunk_size"] or LARGE_CHUNK
        job = Job(
            connection=connection,
            plan=plan,
            options=LoadOptions(**{name: given[name] for name in _LOAD}),
            settings=Settings(chunk_size=min(max(most, SMALLEST_CHUNK), LARGEST_CHUNK), encoding=given["encoding"]),
            journal=given["journal"] or places.journal(connection.server, plan.root, destination),
            grace=given["grace"],
            report=given["report"],
            ledger=given["ledger"],
            voice=voice,
        )
        return _foretold(job) if given["dry_run"] else _loaded(job)
    except AsyncUploadError as error:
        return results.failed(error, destination, voice)
    except Interrupted as interrupted:
        return results.interrupted(interrupted, "interrupted", destination, voice)


_LOAD = (
    "if_exists",
    "files",
    "memory",
    "chunk_size",
    "limit_rate",
    "sha256",
    "notify",
    "attempts",
)
"""Options that go to the loader as they are."""


def _planned(source: Path | None, destination: str, given: dict[str, Any]) -> Plan:
    if given["manifest"] is not None:
        # With a list, the one argument there is says where to, for what the list names without a slash.
        return _listed(given["manifest"], destination or (str(source) if source else ""))
    if source is None or not destination:
        raise UsageError("what is to be sent? give SOURCE and DESTINATION, or --manifest")
    newer, older = given["newer_than"], given["older_than"]
    rules = TreeRules(
        include=given["include"],
        exclude=given["exclude"],
        min_size=given["min_size"],
        max_size=given["max_size"],
        newer_than=newer.astimezone() if newer else None,
        older_than=older.astimezone() if older else None,
        follow_symlinks=given["follow_symlinks"],
    )
    return _walked(source, destination, rules)


def _walked(source: Path, destination: str, rules: TreeRules) -> Plan:
    tree = Tree(source, destination, rules)
    return Plan(tree.items, whole_first=False, left_out=tree.left_out.total, root=str(source.absolute()))


def _listed(manifest: str, destination: str) -> Plan:
    listed = Manifest(manifest, to=destination)
    return Plan(listed.items, whole_first=True, left_out=lambda: 0, root=os.path.abspath(manifest))  # noqa: PTH100


# ── a run ──


def _loaded(job: Job) -> int:
    ends = _Ends(job.voice)

    async def work() -> tuple[Progress, Exception | None, int]:
        if job.report is not None:
            report.require_usable(job.report)
        async with _opened(job) as (client, journal, threads):
            await journal.note_run(server=job.connection.server, user=job.connection.user or "", root=job.plan.root)
            loader = Loader(client, journal, job.options, on_end=ends.tell)
            stopping = _Stopping(loader, job)
            stopping.listen()
            async with _kept(job.ledger, journal), Display(job.voice, loader).shown():
                plan = job.plan.items(threads)
                last = await loader.run(plan, plan_first=job.plan.whole_first, left_out=job.plan.left_out)
            await ends.tell_of_unsent(journal)
            if job.report is not None:
                await report.write(journal, job.report, progress=last)
            return last, loader.error, stopping.code

    last, error, code = run(work)
    return results.loaded(last, error, code, job.journal, job.voice)


LEDGER_EVERY = 60.0
"""Seconds between two times that what is stored is written into the ledger."""


@asynccontextmanager
async def _kept(path: Path | None, journal: Journal) -> AsyncIterator[None]:
    """Keep the ledger: before anything is planned anew, now and then, and at the end."""
    if path is None:
        yield
        return
    ledger = Ledger(path, journal)
    await ledger.catch_up()

    async def now_and_then() -> None:
        while True:
            await anyio.sleep(LEDGER_EVERY)
            await ledger.catch_up()

    async with anyio.create_task_group() as beside:
        beside.start_soon(now_and_then)
        try:
            yield
        finally:
            beside.cancel_scope.cancel()
    await ledger.catch_up()


@asynccontextmanager
async def _opened(job: Job) -> AsyncIterator[tuple[Client, Journal, ThreadPoolExecutor]]:
    client = job.connection.client(job.settings)
    job.journal.parent.mkdir(parents=True, exist_ok=True)
    with ThreadPoolExecutor(2, thread_name_prefix="asyncupload-plan") as threads:
        async with Journal.open(job.journal) as journal, client:
            if journal.notice:
                click.echo(f"asyncupload: {journal.notice}", err=True)
            yield client, journal, threads


class _Stopping:
    """The first Ctrl-C or SIGTERM lets the files in flight end, the second ends the process."""

    def __init__(self, loader: Loader, job: Job) -> None:
        self._loader = loader
        self._job = job
        self.code = 0
        """What to exit with; 0 if nobody stopped it."""

    def listen(self) -> None:
        loop = asyncio.get_running_loop()
        with suppress(NotImplementedError):  # Windows: a Ctrl-C cancels, and cleans up, without waiting for files
            loop.add_signal_handler(signal.SIGINT, self._come, 130)
            loop.add_signal_handler(signal.SIGTERM, self._come, 143)

    def _come(self, code: int) -> None:
        if self.code:
            # The journal's transactions are whole or not at all, so it is as good as after a power cut.
            click.echo("asyncupload: ended at once; the same command goes on from here", err=True)
            os._exit(code)
        self.code = code
        self._loader.stop(self._job.grace)
        click.echo(
            f"asyncupload: stopping; files in flight have {self._job.grace:.0f} s, and another Ctrl-C ends at once",
            err=True,
        )


class _Ends:
    """Says of each file how it ended, where results are wanted as JSON."""

    def __init__(self, voice: Voice) -> None:
        self._voice = voice

    def tell(self, row: Row, end: End) -> None:
        if end.receipt is not None:
            receipt = end.receipt
            self._say(
                row,
                receipt.status,
                document_id=receipt.document_id,
                version_id=receipt.version_id,
                size=receipt.size,
                crc32=f"{receipt.crc32:08X}",
                chunks=receipt.chunks,
                resent=receipt.resent,
                restarted=receipt.restarted,
                seconds=round(receipt.seconds, 3),
            )
        elif end.error is not None:
            status = "skipped" if end.verdict is Verdict.SKIP else "failed"
            again = end.verdict not in {Verdict.SKIP, Verdict.GIVE_UP}
            self._say(row, status, error=type(end.error).__name__, message=str(end.error), again=again)

    async def tell_of_unsent(self, journal: Journal) -> None:
        """Those that were out of the question from the beginning."""
        if not self._voice.json:
            return
        async for row in journal.rows([State.SKIPPED, State.FAILED]):
            if row.item.problem:
                self._say(row, str(row.state), message=row.reason)

    def _say(self, row: Row, status: str, **facts: Any) -> None:
        if self._voice.json:
            source = os.fsdecode(row.item.source)
            results.line({"status": status, "source": source, "path": row.item.destination, **facts})


# ── a dry run ──


def _foretold(job: Job) -> int:
    """The plan goes into a journal of its own, which nobody sees again."""

    async def work() -> dict[str, int]:
        counts: dict[str, int] = {}
        async with _opened(job) as (client, journal, threads):
            async for items in job.plan.items(threads):
                await journal.add(items)
            async for forecast in forecasts(client, journal, job.options):
                counts[forecast.fate] = counts.get(forecast.fate, 0) + 1
                _show(forecast, job.voice)
        return counts

    with TemporaryDirectory(prefix="asyncupload-") as folder:
        job = replace(job, journal=Path(folder) / "journal")
        counts = run(work)
    return results.foretold(counts, job.plan.left_out(), job.voice)


def _show(forecast: Forecast, voice: Voice) -> None:
    row = forecast.row
    source = os.fsdecode(row.item.source)
    facts = {"status": forecast.fate, "source": source, "path": row.item.destination, "message": forecast.reason}
    results.fact(voice, facts, f"{forecast.fate:9} {results.shown(source)} → {row.item.destination} {forecast.reason}")

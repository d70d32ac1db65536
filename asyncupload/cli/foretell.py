"""``asyncupload bulk --dry-run``: what a run would do, and nothing is done."""

import os
from collections import Counter
from pathlib import Path
from tempfile import TemporaryDirectory

from asyncupload.bulk.batches import Pause
from asyncupload.bulk.forecast import Forecast, forecasts
from asyncupload.bulk.journal import Journal

from . import results
from .job import Job, opened
from .options import Voice
from .running import run
from .terminal import room


def foretold(job: Job) -> int:
    """Say what a run would do with each file; returns the exit code.

    The plan goes into a journal that nobody sees again: a copy of the run's own, if there is one.

    Raises:
        AsyncUploadError: There can be no run.
        Interrupted: A signal came.
    """
    client, resumed = job.client(), job.journal.is_file()

    async def work(scratch: Path) -> Counter[str]:
        counts = Counter[str]()
        if resumed:
            async with Journal.open(job.journal, existing=True) as own:
                await own.copy_to(scratch)
        async with opened(client, scratch) as (journal, threads):
            reading = await journal.begin_plan()
            emptied = False
            async for items in job.plan.items(threads):
                if isinstance(items, Pause) and not items.last:
                    raise items.error
                emptied = isinstance(items, Pause)
                await journal.add(items, reading)
            if not emptied:
                await journal.end_plan(reading)
            async for forecast in forecasts(client, journal, job.options):
                counts[forecast.fate] += 1
                _show(forecast, job.voice)
                await room()
        return counts

    with TemporaryDirectory(prefix="asyncupload-") as folder:
        counts = run(lambda: work(Path(folder) / "journal"))
    return results.foretold(counts, job.plan.left_out(), job.voice)


def _show(forecast: Forecast, voice: Voice) -> None:
    source, path = os.fsdecode(forecast.row.item.source), forecast.row.item.destination
    facts = {"status": forecast.fate, "source": source, "path": path, "message": forecast.reason}
    why = f": {forecast.reason}" if forecast.reason else ""
    results.fact(voice, facts, f"{forecast.fate:9} {source} → {path or 'nowhere'}{why}")

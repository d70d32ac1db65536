"""How fast is the journal, and how much memory does it take? ``python benchmarks/journal.py [ROWS] [FOLDER]``

It plans ROWS files (200,000 by default), reads them all, lets 50 tasks record the sending of 10,000 of them, and opens
the file again, which is read whole then.
"""

import asyncio
import resource
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from asyncupload.bulk.journal import Journal
from asyncupload.bulk.rows import Facts, Item, State

BATCH, TASKS, SENT = 1_000, 50, 10_000


def item(number: int) -> Item:
    name = f"{number // 1000:06d}/a document with a name of usual length {number:09d}.pdf"
    return Item(source=f"/srv/export/{name}".encode(), destination=f"/Archive/{name}", size=number, mtime_ns=number)


def peak() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


@contextmanager
def measured(what: str, count: int) -> Iterator[None]:
    begin = time.perf_counter()
    yield
    seconds = time.perf_counter() - begin
    print(f"{what}: {count:,} in {seconds:.2f} s, {count / seconds:,.0f}/s; peak memory {peak():.0f} MiB")


async def plan(journal: Journal, rows: int) -> None:
    for first in range(0, rows, BATCH):
        await journal.add([item(number) for number in range(first, min(first + BATCH, rows))])


async def send(journal: Journal, owner: str, count: int) -> None:
    while count:
        for claim in await journal.claim(owner, 1, lease=60):
            await journal.note_handler(claim, "handler")
            await journal.committing(claim, "{}", lease=60)
            await journal.finish(claim, State.STORED, facts=Facts(document_id=1, version_id=1, crc32=1))
            count -= 1


async def measure(path: Path, rows: int) -> None:
    async with Journal.open(path) as journal:
        with measured("planned", rows):
            await plan(journal, rows)
        with measured("planned again, all known", rows):
            await plan(journal, rows)
        with measured("read", rows):
            assert len([None async for _ in journal.rows()]) == rows
        with measured(f"sent by {TASKS} tasks, 4 writes each", SENT):
            await asyncio.gather(*(send(journal, f"task {number}", SENT // TASKS) for number in range(TASKS)))
        with measured("counted", 1_000):
            for _ in range(1_000):
                await journal.counts()
    with measured("opened and checked", rows):
        async with Journal.open(path):
            pass


def main() -> None:
    rows = int(sys.argv[1]) if len(sys.argv) > 1 else 200_000
    with tempfile.TemporaryDirectory(dir=sys.argv[2] if len(sys.argv) > 2 else None) as folder:
        path = Path(folder) / "journal.sqlite"
        asyncio.run(measure(path, rows))
        print(f"on disk: {path.stat().st_size / rows:.0f} bytes per row")


if __name__ == "__main__":
    main()

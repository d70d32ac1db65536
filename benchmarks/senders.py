"""Those that are compared: each brings files to the sink in a process of its own, and says how long it took.

    python benchmarks/senders.py NAME --url URL --file FILE [--chunk BYTES] [--count N] [--at-once N] …

The clock runs from the creation of the first upload handler to the answer that the last document is stored: not while
the interpreter starts, libraries are imported or the session begins. CPU seconds are this process's, user and system,
within the same time, and those of its children (curl).
"""

import argparse
import asyncio
import json
import mmap
import os
import resource
import ssl
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import floor
import vendor

from asyncupload.settings import DEFAULT_CHUNK


@dataclass
class Job:
    """What to bring, and to where."""

    url: str
    file: str
    chunk: int
    count: int
    """How often the file goes, each time to another place."""
    at_once: int
    depth: int
    checksum_threads: int
    mapped: int
    """Whether the file is handed over as bytes in memory, which the checksum threads see, and not by its path."""
    ca_file: str

    @property
    def endpoint(self) -> str:
        return self.url + "/srv.asmx/"

    @property
    def tls(self) -> ssl.SSLContext | None:
        return ssl.create_default_context(cafile=self.ca_file) if self.ca_file else None


@contextmanager
def measured(job: Job) -> Iterator[None]:
    before, faults, began = _cpu(), _faults(), time.perf_counter()
    yield
    seconds = time.perf_counter() - began
    told = {
        "seconds": seconds,
        "cpu": _cpu() - before,
        "faults": _faults() - faults,
        "bytes": Path(job.file).stat().st_size * job.count,
        "files": job.count,
        "peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }
    print(json.dumps(told), flush=True)


def _cpu() -> float:
    usages = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


def _faults() -> int:
    """Pages of memory that the kernel had to hand out."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt


# ── one after another, blocking ──


def send_floor(job: Job) -> None:
    """A raw socket, one buffer, no pipeline."""
    connection = floor.connect(job.url, job.tls)
    with measured(job):
        for _ in range(job.count):
            floor.send(connection, job.url, job.file, job.chunk)


def send_prebuilt(job: Job) -> None:
    """aiohttp with bodies made beforehand, from memory: what the library and TLS leave, without file or checksum."""
    asyncio.run(vendor.prebuilt(job.endpoint, job.file, job.chunk, job.tls, lambda: measured(job)))


def send_requests(job: Job) -> None:
    """The vendor's loop; several of them in threads if more than one file goes at once."""
    import requests  # noqa: PLC0415  (each sender pays for its own)

    def session() -> Callable[..., bytes]:
        made = requests.Session()
        return lambda operation, fields, chunk=None: (
            made.post(
                job.endpoint + operation,
                data=fields,
                files=None if chunk is None else {"fileChunk": ("chunk", chunk, "application/octet-stream")},
                timeout=600,
                verify=job.ca_file or True,  # on the session, the environment would have precedence
            ).content
        )

    _in_threads(job, session)


def send_httpx(job: Job) -> None:
    import httpx  # noqa: PLC0415

    def session() -> Callable[..., bytes]:
        made = httpx.Client(verify=job.tls or True, timeout=600)
        return lambda operation, fields, chunk=None: (
            made.post(
                job.endpoint + operation,
                data=fields,
                files=None if chunk is None else {"fileChunk": ("chunk", chunk, "application/octet-stream")},
            ).content
        )

    _in_threads(job, session)


def send_curl(job: Job) -> None:
    """A process per chunk, as a shell script would have it."""
    _in_threads(job, lambda: vendor.curl(job.endpoint, job.ca_file))


def _in_threads(job: Job, session: Callable[[], Callable[..., bytes]]) -> None:
    posts = [session() for _ in range(job.at_once)]

    def some(number: int) -> None:
        for _ in range(number, job.count, job.at_once):
            vendor.send(posts[number], job.file, job.chunk)

    with measured(job), ThreadPoolExecutor(job.at_once) as pool:
        list(pool.map(some, range(job.at_once)))


# ── on a loop ──


def send_formdata(job: Job) -> None:
    """aiohttp as its manual shows it: FormData, and a file read in between."""
    asyncio.run(
        vendor.formdata(job.endpoint, job.file, job.chunk, job.count, job.at_once, job.tls, lambda: measured(job))
    )


def send_bare(job: Job) -> None:
    """An aiohttp loop that makes the same number of calls as we do for each file, and nothing else."""
    asyncio.run(vendor.bare(job.endpoint, job.file, job.count, job.at_once, job.tls, lambda: measured(job)))


async def _ours(job: Job) -> None:
    from asyncupload import Client, Settings  # noqa: PLC0415

    settings = Settings(chunk_size=job.chunk, depth=job.depth, checksum_threads=job.checksum_threads)
    async with Client(
        job.url, user="bench", password="bench", ca_file=job.ca_file or None, settings=settings
    ) as client:
        await client.ping()
        numbers = iter(range(job.count))
        source = _mapped(job.file) if job.mapped else job.file

        async def some() -> None:
            for number in numbers:
                await client.upload(source, to=f"/Library/{number}.bin", folder_exists=True)

        with measured(job):
            await asyncio.gather(*(some() for _ in range(job.at_once)))


def _mapped(file: str) -> memoryview:
    with Path(file).open("rb") as opened:
        return memoryview(mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ))


def send_ours(job: Job) -> None:
    asyncio.run(_ours(job))


def send_staged(job: Job) -> None:
    """Ours without its short cut: workers make a file's checksums, as those of every other source."""
    from asyncupload._cutting import Buffer  # noqa: PLC0415

    Buffer.seal = lambda self: None  # type: ignore[method-assign]  # noqa: ARG005
    send_ours(job)


def send_bulk(job: Job) -> None:
    """``asyncupload bulk`` with so many copies of the file. Its memory is told, and the speed of all of it."""
    with tempfile.TemporaryDirectory(prefix="asyncupload-tree-") as folder:
        content, tree = Path(job.file).read_bytes(), Path(folder) / "tree"
        for number in range(job.count):
            place = tree / f"{number // 500:04}" / f"{number}.bin"
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(content)
        command = [
            sys.executable,
            "-m",
            "asyncupload",
            "bulk",
            str(tree),
            "/Library",
            "--journal",
            f"{folder}/a.journal",
        ]
        named = {"ASYNCUPLOAD_SERVER": job.url, "ASYNCUPLOAD_USER": "bench", "ASYNCUPLOAD_PASSWORD": "bench"}
        with measured(job):
            subprocess.run([*command, "--quiet"], check=True, stdout=sys.stderr, env=os.environ | named)
    print(json.dumps({"peak_mib": resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024}))


def send_ours_uvloop(job: Job) -> None:
    _on_uvloop(_ours(job))


def send_formdata_uvloop(job: Job) -> None:
    _on_uvloop(
        vendor.formdata(job.endpoint, job.file, job.chunk, job.count, job.at_once, job.tls, lambda: measured(job))
    )


def send_prebuilt_uvloop(job: Job) -> None:
    _on_uvloop(vendor.prebuilt(job.endpoint, job.file, job.chunk, job.tls, lambda: measured(job)))


def _on_uvloop(work: Coroutine[Any, Any, None]) -> None:
    import uvloop  # noqa: PLC0415

    uvloop.run(work)


def send_stall(job: Job) -> None:
    """Ours, with a ticker beside it: how late is a task that wants to run every millisecond?"""

    async def ticking() -> None:
        late: list[float] = []
        ticker = asyncio.create_task(_tick(late))
        await _ours(job)
        ticker.cancel()
        late.sort()
        print(json.dumps({"ticks": len(late), **{f"p{p}": _quantile(late, p / 100) for p in (50, 99, 99.9, 100)}}))

    asyncio.run(ticking())


async def _tick(late: list[float]) -> None:
    while True:
        due = time.perf_counter() + 0.001
        await asyncio.sleep(0.001)
        late.append(time.perf_counter() - due)


def _quantile(ordered: list[float], share: float) -> float:
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


SENDERS: dict[str, Callable[[Job], None]] = {
    name.removeprefix("send_").replace("_", "-"): thing for name, thing in globals().items() if name.startswith("send_")
}


def main() -> None:
    parser = argparse.ArgumentParser(description="Bring files to the sink in one of several ways.")
    parser.add_argument("name", choices=sorted(SENDERS))
    parser.add_argument("--url", required=True)
    parser.add_argument("--file", required=True)
    parser.add_argument("--chunk", type=int, default=DEFAULT_CHUNK)
    parser.add_argument("--count", type=int, default=1)
    parser.add_argument("--at-once", type=int, default=1)
    parser.add_argument("--depth", type=int, default=3)
    parser.add_argument("--checksum-threads", type=int, default=2)
    parser.add_argument("--mapped", type=int, default=0)
    parser.add_argument("--ca-file", default="")
    options = vars(parser.parse_args())
    name = options.pop("name")
    os.environ.pop("http_proxy", None)
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]
    SENDERS[name](Job(**options))


if __name__ == "__main__":
    main()

"""The benchmarks, side by side with what users would pick instead. ``python benchmarks/suite.py --help``

Each of them gives series of figures, one figure per round; ``README.md`` says what each means and does not say.
"""

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import pages
from rounds import (
    HERE,
    MIB,
    Figures,
    Series,
    Way,
    available,
    facts,
    in_turns,
    random_file,
    ratios,
    send,
    sink,
    sparse_file,
)

from asyncupload.settings import DEFAULT_CHUNK

GIGABIT = 125_000_000.0
"""Bytes per second."""
SMALL = 4096


@dataclass(frozen=True)
class Extent:
    """How much of everything."""

    runs: int
    file: int
    """Bytes of the file that is sent alone."""
    line: int
    """Bytes of the file that goes over a modelled line alone."""
    each: int
    """Bytes of each of those that go over it together."""
    files: int
    """How many small ones."""
    sparse: tuple[int, int]
    """Bytes of the smaller and the larger file between which memory must not grow."""
    counts: tuple[int, int]
    """Files of the smaller and the larger load between which it must not grow either."""
    chunks: tuple[int, ...]


QUICK = Extent(3, 256 * MIB, 32 * MIB, 16 * MIB, 200, (64 * MIB, 256 * MIB), (100, 1000), (MIB, 4 * MIB))
FULL = Extent(
    5, 2048 * MIB, 96 * MIB, 48 * MIB, 10_000, (1024 * MIB, 10240 * MIB), (1000, 100_000), (MIB, 4 * MIB, 16 * MIB)
)

RIVALS = ("floor", "requests", "httpx", "formdata", "formdata-uvloop", "curl", "ours", "ours-uvloop")


def single(extent: Extent) -> Iterator[Series]:
    """One file from the page cache over plain HTTP."""
    with random_file(extent.file) as file, sink() as (url, authority):
        for chunk in extent.chunks:
            ways = available([Way(name, {"chunk": chunk}) for name in RIVALS])
            results = in_turns(ways, extent.runs, url, authority, file)
            yield from _throughput("single", f"{chunk // MIB} MiB chunks", results, ("floor", "requests", "formdata"))


def stages(extent: Extent) -> Iterator[Series]:
    """A file's checksums made by the thread that reads it, and by workers as those of every other source."""
    with random_file(extent.file) as file, sink() as (url, authority):
        for chunk in (MIB, DEFAULT_CHUNK, 4 * MIB, 16 * MIB):
            ways = [Way(name, {"chunk": chunk}) for name in ("staged", "ours")]
            results = in_turns(ways, extent.runs, url, authority, file)
            yield from _throughput("stages", f"{chunk / MIB:g} MiB chunks", results, ("staged",))


def tls(extent: Extent) -> Iterator[Series]:
    """The same over TLS; the measure is aiohttp posting bodies from memory."""
    names = ("prebuilt", "ours", "prebuilt-uvloop", "ours-uvloop", "requests")
    with random_file(extent.file // 2) as file, sink(tls=True) as (url, authority):
        for chunk in extent.chunks:
            ways = available([Way(name, {"chunk": chunk}) for name in names])
            results = in_turns(ways, extent.runs, url, authority, file)
            yield from _throughput("tls", f"{chunk // MIB} MiB chunks", results, ("prebuilt", "prebuilt-uvloop"))


def _throughput(
    benchmark: str, case: str, results: dict[str, list[dict[str, float]]], references: Sequence[str]
) -> Iterator[Series]:
    """MiB/s, and CPU seconds per GB."""
    measures: tuple[tuple[str, Callable[[Figures], float]], ...] = (
        ("MiB/s", lambda told: told["bytes"] / MIB / told["seconds"]),
        ("CPU s/GB", lambda told: told["cpu"] / told["bytes"] * 1e9),
    )
    for unit, measure in measures:
        yield from _compared(benchmark, case, unit, results, references, measure)


def _compared(
    benchmark: str,
    case: str,
    unit: str,
    results: dict[str, list[dict[str, float]]],
    references: Sequence[str],
    measure: Callable[[Figures], float],
) -> Iterator[Series]:
    values = {name: [measure(told) for told in runs] for name, runs in results.items()}
    for name, own in values.items():
        against = {other: ratios(own, values[other]) for other in references if other in values and other != name}
        yield Series(benchmark, case, name, unit, own, against)


def lines(extent: Extent) -> Iterator[Series]:
    """A gigabit line with a round trip, against what the protocol allows; and many files at once, against the line."""
    with random_file(extent.line) as file, random_file(extent.each) as small:
        for milliseconds in (20, 50, 100):
            with sink(rtt=milliseconds / 1000, bandwidth=GIGABIT) as (url, authority):
                yield from _one_file(extent, file, url, authority, milliseconds)
                yield from _many_files(extent, small, url, authority, milliseconds)


def _one_file(extent: Extent, file: Path, url: str, authority: str, milliseconds: int) -> Iterator[Series]:
    for chunk in (MIB, DEFAULT_CHUNK, 4 * MIB, 16 * MIB):
        ways = available([Way(name, {"chunk": chunk}) for name in ("floor", "ours", "ours-uvloop")])
        results = in_turns(ways, extent.runs, url, authority, file)
        bound = _bound(chunk, milliseconds / 1000)
        rates = {}
        for name, runs in results.items():
            # The small requests around the chunks are no part of the bound: create and store, and we look first.
            around = (2 if name == "floor" else 3) * milliseconds / 1000
            rates[name] = [told["bytes"] / (told["seconds"] - around) / MIB for told in runs]
        for name, values in rates.items():
            against = {"bound": [value * MIB / bound for value in values]}
            if name != "floor":
                against["floor"] = ratios(values, rates["floor"])
            yield Series("lines", f"{milliseconds} ms, {chunk / MIB:g} MiB chunks", name, "MiB/s", values, against)


def _bound(chunk: int, rtt: float) -> float:
    """Bytes per second that one ordered sender can reach: ``chunk / (RTT + chunk / bandwidth)``."""
    return chunk / (rtt + chunk / GIGABIT)


def _many_files(extent: Extent, file: Path, url: str, authority: str, milliseconds: int) -> Iterator[Series]:
    """As many in flight as a load holds by default: large ones by its memory, others by its files."""
    for at_once in (6, 16):
        way = Way("ours", {"count": 2 * at_once, "at_once": at_once})
        results = in_turns([way], extent.runs, url, authority, file)
        values = [told["bytes"] / told["seconds"] / MIB for told in results["ours"]]
        shares = [value * MIB / GIGABIT for value in values]
        yield Series("lines", f"{milliseconds} ms, {at_once} files at once", "ours", "MiB/s", values, {"line": shares})


def small(extent: Extent) -> Iterator[Series]:
    """Files of 4 KiB, without and with a round trip."""
    with random_file(SMALL) as file:
        for milliseconds in (0, 20):
            with sink(rtt=milliseconds / 1000) as (url, authority):
                many = {"count": extent.files, "at_once": 32}
                alone = {"count": max(20, extent.files // 50), "at_once": 1}
                ways = [Way("bare", many), Way("ours", many), Way("ours-uvloop", many)]
                ways += [Way("requests", alone, "vendor's loop"), Way("requests", many, "vendor's loop in 32 threads")]
                results = in_turns(available(ways), extent.runs, url, authority, file)
                yield from _compared(
                    "small",
                    f"{milliseconds} ms",
                    "files/s",
                    results,
                    ("bare", "vendor's loop", "vendor's loop in 32 threads"),
                    lambda told: told["files"] / told["seconds"],
                )


def memory(extent: Extent) -> Iterator[Series]:
    """Peak resident set of the whole process, at two sizes of file and at two counts of files."""
    with sink() as (url, authority):
        peaks: list[float] = []
        for size in extent.sparse:
            with sparse_file(size) as file:
                peaks.append(send(Way("ours", {"chunk": 4 * MIB}), url, authority, file)["peak_mib"])
            yield _peak(f"{size // MIB} MiB file, 4 MiB chunks", "ours", peaks)
        peaks = []
        for count in extent.counts:
            with random_file(SMALL) as file:
                peaks.append(send(Way("bulk", {"count": count}), url, authority, file)["peak_mib"])
            yield _peak(f"{count} files of 4 KiB", "asyncupload bulk", peaks)


def _peak(case: str, way: str, peaks: list[float]) -> Series:
    return Series("memory", case, way, "MiB", peaks[-1:], {"the smaller": [peaks[-1] / peaks[0]]} if peaks[1:] else {})


def stall(extent: Extent) -> Iterator[Series]:
    """How late a task runs that wants to run every millisecond, at full rate."""
    with random_file(extent.file) as file, sink() as (url, authority):
        for chunk in extent.chunks:
            results = in_turns([Way("stall", {"chunk": chunk})], extent.runs, url, authority, file)["stall"]
            for point in ("p50", "p99.9", "p100"):
                yield Series(
                    "stall", f"{chunk // MIB} MiB chunks, {point}", "ours", "ms", [1e3 * t[point] for t in results]
                )


def imports(extent: Extent) -> Iterator[Series]:
    """Cold starts: a new interpreter each time."""
    commands = {
        "import aiohttp": ["-c", "import aiohttp"],
        "import asyncupload": ["-c", "import asyncupload"],
        "from asyncupload import Client": ["-c", "from asyncupload import Client"],
        "asyncupload --help": ["-m", "asyncupload", "--help"],
    }
    values: dict[str, list[float]] = {name: [] for name in commands}
    for _ in range(max(5, extent.runs)):
        for name, command in commands.items():
            began = time.perf_counter()
            subprocess.run([sys.executable, *command], stdout=subprocess.DEVNULL, check=True)
            values[name].append(1000 * (time.perf_counter() - began))
    for name, own in values.items():
        yield Series("imports", "cold", name, "ms", own, {"import aiohttp": ratios(own, values["import aiohttp"])})


def scaling(extent: Extent) -> Iterator[Series]:
    """Throughput against chunk size, depth, threads, files at once and round trip."""
    sizes = [1 << shift for shift in range(18, 26)]
    curves = (
        ("chunk size, KiB", 0.0, [(size / 1024, {"chunk": size}) for size in sizes]),
        ("depth", 0.0, [(n, {"chunk": MIB, "depth": n}) for n in (1, 2, 3, 4, 8)]),
        ("checksum threads", 0.0, [(n, {"chunk": 4 * MIB, "checksum_threads": n, "mapped": 1}) for n in (1, 2, 4)]),
        ("files at once", 0.02, [(n, {"count": max(2, n), "at_once": n}) for n in (1, 2, 4, 8, 16, 32)]),
    )
    with random_file(extent.line) as large, random_file(extent.each) as small:
        for name, rtt, points in curves:
            file = small if rtt else large
            with sink(rtt=rtt, bandwidth=GIGABIT if rtt else 0) as (url, authority):
                ways = [Way("ours", options, str(x)) for x, options in points]
                results = in_turns(ways, extent.runs, url, authority, file)
            for x, _ in points:
                values = [told["bytes"] / told["seconds"] / MIB for told in results[str(x)]]
                yield Series("scaling", name, f"{x:g}", "MiB/s", values, x=x)
        yield from _round_trips(extent, large)


def _round_trips(extent: Extent, file: Path) -> Iterator[Series]:
    for milliseconds in (1, 5, 20, 50, 100):
        with sink(rtt=milliseconds / 1000, bandwidth=GIGABIT) as (url, authority):
            results = in_turns([Way("ours")], extent.runs, url, authority, file)
        values = [told["bytes"] / told["seconds"] / MIB for told in results["ours"]]
        yield Series("scaling", "round trip, ms", f"{milliseconds}", "MiB/s", values, x=milliseconds)


BENCHMARKS: dict[str, Callable[[Extent], Iterator[Series]]] = {
    one.__name__: one for one in (single, stages, tls, lines, small, memory, stall, imports, scaling)
}


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure asyncupload beside what users would pick instead.")
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(BENCHMARKS)}; all if none is given")
    parser.add_argument("--full", action="store_true", help="the sizes of the goals (an hour); otherwise small ones")
    parser.add_argument("--runs", type=int, help="rounds of each comparison")
    parser.add_argument("--out", type=Path, default=HERE / "results", help="where the results go")
    options = parser.parse_args()
    if unknown := set(options.names) - set(BENCHMARKS):
        parser.error(f"there is no {', '.join(sorted(unknown))}")
    extent = FULL if options.full else QUICK
    if options.runs:
        extent = Extent(**{**vars(extent), "runs": options.runs})
    options.out.mkdir(parents=True, exist_ok=True)
    for name in options.names or BENCHMARKS:
        print(name, file=sys.stderr)
        found = list(BENCHMARKS[name](extent))
        machine = facts()
        told = {"machine": machine, "extent": asdict(extent), "series": [asdict(series) for series in found]}
        (options.out / f"{name}.json").write_text(json.dumps(told, indent=1) + "\n", "utf-8")
        page = pages.table(found)
        (options.out / f"{name}.md").write_text(pages.heading(name, machine, extent.runs) + page, "utf-8")
        for title, drawing in pages.plots(found).items():
            (options.out / f"{title}.svg").write_text(drawing, "utf-8")
        print(page)


if __name__ == "__main__":
    main()

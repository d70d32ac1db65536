"""Has something become much slower? Ratios within one run, with room for a busy machine: no absolute time counts.

python benchmarks/guard.py
"""

import statistics
import sys

from rounds import MIB, Way, in_turns, random_file, ratios, sink

RUNS = 5
LIMITS: tuple[tuple[str, str, float], ...] = (
    ("CPU of one file, to the floor's", "4 MiB chunks", 2.8),
    ("CPU of one small file, to that of the same calls by aiohttp alone", "4 KiB", 4.5),
)
"""What, of which case, and the most that the median ratio may be."""


def large_ratio() -> float:
    with random_file(128 * MIB) as file, sink() as (url, authority):
        return _cpu_ratio(Way("floor", {"chunk": 4 * MIB}), Way("ours", {"chunk": 4 * MIB}), file, url, authority)


def small_ratio() -> float:
    many = {"count": 200, "at_once": 8}
    with random_file(4096) as file, sink() as (url, authority):
        return _cpu_ratio(Way("bare", many), Way("ours", many), file, url, authority)


def _cpu_ratio(reference: Way, way: Way, *rest: object) -> float:
    file, url, authority = rest
    found = in_turns([reference, way], RUNS, url, authority, file)  # type: ignore[arg-type]
    cpu = {name: [told["cpu"] for told in runs] for name, runs in found.items()}
    return statistics.median(ratios(cpu[way.title], cpu[reference.title]))


def main() -> int:
    good = True
    for (what, case, limit), measure in zip(LIMITS, (large_ratio, small_ratio), strict=True):
        found = measure()
        good = good and found <= limit
        print(f"{'good' if found <= limit else 'TOO MUCH'}: {what} ({case}): {found:.2f}, at most {limit}")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())

"""How fast does a folder of many files go, and in how much memory?

    python benchmarks/load.py --files 100000 --large 20 --large-size 200MiB

Small files of 0 to 64 KiB, a thousand to a folder, and some large ones (sparse, so that they take no room on this side)
go to the emulator in another process of the same machine: the figures are of both together. What counts of memory is
the *resident set at its peak* of the process that loads, as the kernel accounts for it when the process has ended.
"""

import argparse
import json
import os
import random
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

LIMIT_MIB = 200
SMALL = 64 * 1024
TOGETHER = 1000


def main() -> int:
    wanted = _arguments()
    with tempfile.TemporaryDirectory(prefix="asyncupload-bench-", dir=wanted.folder) as name:
        folder = Path(name)
        size = _make(folder / "source", wanted.files, wanted.large, wanted.large_size)
        print(f"{wanted.files:,} files of up to 64 KiB, and {wanted.large} of {wanted.large_size / 2**20:.0f} MiB")
        url, server = _serve(folder / "data")
        try:
            began = time.monotonic()
            peak, told = _loaded(folder, url, wanted.words)
            seconds = time.monotonic() - began
            again = time.monotonic()
            _loaded(folder, url, wanted.words)
            again = time.monotonic() - again
        finally:
            server.terminate()
            server.wait()
    rows = wanted.files + wanted.large
    print(f"{rows / seconds:.0f} files/s, {size / 2**20 / seconds:.1f} MiB/s, {seconds:.0f} s in all")
    print(f"waited for most: {told['bottleneck']}; the same command again took {again:.1f} s")
    print(f"peak resident set {peak:.1f} MiB, limit {LIMIT_MIB} MiB")
    accounted = told["stored"] + told["skipped"] == told["rows"] == rows
    print(f"{told['stored']:,} stored, {told['skipped']:,} empty" + ("" if accounted else f": NOT ALL of {rows:,}"))
    return 0 if accounted and peak < LIMIT_MIB else 1


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Speed and peak memory of a load of many files.")
    parser.add_argument("--files", default=100_000, type=int, help="how many small ones")
    parser.add_argument("--large", default=20, type=int, help="how many large ones")
    parser.add_argument("--large-size", default="200MiB", type=_size, help="such as 200MiB")
    parser.add_argument("--folder", help="where to work; by default where temporary files are")
    parser.add_argument("words", nargs="*", help="options for asyncupload bulk, after --")
    return parser.parse_args()


def _size(text: str) -> int:
    found = re.fullmatch(r"(\d+)\s*([KMG]?)i?B?", text, flags=re.IGNORECASE)
    if not found:
        raise argparse.ArgumentTypeError(f"{text!r} is not a size such as 200MiB")
    return int(found[1]) << {"": 0, "K": 10, "M": 20, "G": 30}[found[2].upper()]


def _make(source: Path, files: int, large: int, large_size: int) -> int:
    """The files, the same ones each time; how many bytes that is."""
    chance = random.Random(7)
    pool = chance.randbytes(2 * SMALL)
    total = large * large_size
    for number in range(files):
        folder = source / f"{number // TOGETHER:04}"
        if number % TOGETHER == 0:
            folder.mkdir(parents=True)
        size, first = chance.randint(0, SMALL), chance.randint(0, SMALL)
        (folder / f"{number:07}.bin").write_bytes(pool[first : first + size])
        total += size
    source.mkdir(exist_ok=True)
    for number in range(large):
        with (source / f"large {number:03}.bin").open("wb") as file:
            file.write(b"%d" % number)
            file.truncate(large_size)
    return total


def _serve(data: Path) -> tuple[str, "subprocess.Popen[str]"]:
    command = [sys.executable, "-m", "asyncupload", "serve", "--json", "--port", "0", "--data", str(data)]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert server.stdout is not None
    return json.loads(server.stdout.readline())["url"], server


def _loaded(folder: Path, url: str, words: list[str]) -> tuple[float, dict[str, Any]]:
    """Run the load; its peak resident set in MiB, and its summary."""
    typed = [str(folder / "source"), "/Library/Load", "--server", url, "--user", "demo", "--json"]
    command = [sys.executable, "-m", "asyncupload", "bulk", *typed, "--journal", str(folder / "load.journal"), *words]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, text=True, env={**os.environ, "ASYNCUPLOAD_PASSWORD": "demo"}
    )
    assert process.stdout is not None
    last = ""
    for line in process.stdout:  # one for each file: not to be kept
        last = line
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode not in {0, 3}:
        raise SystemExit(f"{' '.join(command)} ended with {process.returncode}: {last}")
    return usage.ru_maxrss / 1024, json.loads(last)


if __name__ == "__main__":
    sys.exit(main())

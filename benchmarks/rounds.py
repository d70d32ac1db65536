"""Runs senders against sinks, in turns, and keeps every figure."""

import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
MIB = 1 << 20

Figures = Mapping[str, float]


@dataclass(frozen=True)
class Way:
    """A sender with its options."""

    sender: str
    options: Mapping[str, int] = field(default_factory=dict)
    name: str = ""

    @property
    def title(self) -> str:
        return self.name or self.sender


@dataclass
class Series:
    """What several runs of one way gave, in the order of the rounds."""

    benchmark: str
    case: str
    way: str
    unit: str
    values: list[float]
    against: dict[str, list[float]] = field(default_factory=dict)
    """Ratios to other ways, each to the run in the same round."""
    x: float | None = None
    """Where it stands on a curve."""

    @property
    def median(self) -> float:
        return statistics.median(self.values)


@contextmanager
def sink(*, rtt: float = 0, bandwidth: float = 0, verify: bool = False, tls: bool = False) -> Iterator[tuple[str, str]]:
    """A sink of one's own: its URL, and the file with the authority for its certificate (or nothing)."""
    with tempfile.TemporaryDirectory(prefix="asyncupload-sink-") as folder:
        authority = _certificates(Path(folder)) if tls else ""
        command = [sys.executable, str(HERE / "sink.py"), "--rtt", str(rtt), "--bandwidth", str(bandwidth)]
        command += ["--verify"] if verify else []
        command += ["--cert", f"{folder}/server.pem"] if tls else []
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert process.stdout is not None
        try:
            yield json.loads(process.stdout.readline())["url"], authority
        finally:
            process.terminate()
            process.communicate()


def _certificates(folder: Path) -> str:
    import trustme  # noqa: PLC0415  (for TLS only)

    authority = trustme.CA()
    authority.issue_cert("localhost").private_key_and_cert_chain_pem.write_to_path(str(folder / "server.pem"))
    authority.cert_pem.write_to_path(str(folder / "authority.pem"))
    return str(folder / "authority.pem")


def send(way: Way, url: str, authority: str, file: Path) -> dict[str, float]:
    """One run in a process of its own. All the objects that it printed, as one."""
    command = [sys.executable, str(HERE / "senders.py"), way.sender, "--url", url, "--file", str(file)]
    for name, value in way.options.items():
        command += [f"--{name.replace('_', '-')}", str(value)]
    command += ["--ca-file", authority] if authority else []
    environment = {name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")}
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True, env=environment)
    figures: dict[str, float] = {}
    for line in done.stdout.splitlines():
        figures |= json.loads(line)
    return figures


def in_turns(ways: Sequence[Way], runs: int, url: str, authority: str, file: Path) -> dict[str, list[dict[str, float]]]:
    """Every way once per round, so that what slows the machine down for a while slows down all of them."""
    results: dict[str, list[dict[str, float]]] = {way.title: [] for way in ways}
    for _ in range(runs):
        for way in ways:
            results[way.title].append(send(way, url, authority, file))
            print(".", end="", file=sys.stderr, flush=True)
    print(file=sys.stderr)
    return results


def ratios(values: Sequence[float], reference: Sequence[float]) -> list[float]:
    return [value / other for value, other in zip(values, reference, strict=True)]


@contextmanager
def random_file(size: int) -> Iterator[Path]:
    """A file that no layer can compress, in the page cache."""
    with tempfile.TemporaryDirectory(prefix="asyncupload-bench-") as folder:
        path = Path(folder) / "file.bin"
        block = os.urandom(min(size, 64 * MIB))
        with path.open("wb") as file:
            for start in range(0, size, len(block)):
                file.write(block[: size - start])
        yield path


@contextmanager
def sparse_file(size: int) -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="asyncupload-bench-") as folder:
        path = Path(folder) / "sparse.bin"
        with path.open("wb") as file:
            file.truncate(size)
        yield path


@cache
def has(module: str) -> bool:
    """Whether a rival is installed."""
    return not subprocess.run(
        [sys.executable, "-c", f"import {module}"], stderr=subprocess.DEVNULL, check=False
    ).returncode


def available(ways: Sequence[Way]) -> list[Way]:
    """Those whose libraries are there; the others are named on standard error."""
    needs: dict[str, str] = {"requests": "requests", "httpx": "httpx"}
    found = [way for way in ways if has("uvloop" if "uvloop" in way.sender else needs.get(way.sender, "aiohttp"))]
    for way in ways:
        if way not in found:
            print(f"left out, not installed: {way.title}", file=sys.stderr)
    return found


def facts() -> dict[str, Any]:
    """The machine and the versions."""
    versions = {}
    for name in ("asyncupload", "aiohttp", "anyio", "zlib-ng", "uvloop", "requests", "httpx"):
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            versions[name] = "not installed"
    return {
        "python": platform.python_version(),
        "system": " ".join((platform.system(), platform.release().partition("-")[0])),
        "processor": _processor(),
        "cores": os.cpu_count(),
        "load": os.getloadavg()[0],
        "versions": versions,
    }


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text("utf-8").splitlines()
    except OSError:
        return "unknown"
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "unknown")

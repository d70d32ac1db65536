"""What does a web backend pay for relaying? Memory, the event loop's quiet, and what is left behind.

    python benchmarks/relay.py large 5GiB        one body from curl, through uvicorn, to the emulator
    python benchmarks/relay.py many 1000 200     relays of 1 MiB at once, of which 200 are cancelled at random
    python benchmarks/relay.py stall 512MiB      how late a 1 ms ticker is while a body is relayed

Backend, document server and browser are processes of their own. The *resident set at its peak* is the backend's, as the
kernel accounts for it when the process has ended. A ticker in the backend asks to be woken every millisecond and notes
how late it was; `stall` does that idle, relaying with this package on asyncio and on uvloop, and relaying with
`requests` in a thread, and compares the 99.9th percentiles. The ticker is late too when the machine has no processor
free for the loop: `at work` is the time that the loop itself spent on a processor between two ticks, whatever else ran.
"""

import argparse
import asyncio
import contextlib
import hashlib
import json
import os
import random
import re
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Self

import aiohttp
from backend import BUDGET

from asyncupload import Client
from asyncupload.emulator import Emulator

MIB = 1024 * 1024
LARGE_LIMIT_MIB = 150
LAG_LIMIT_MS = 10.0
BASE_MIB = 60
"""What a process takes besides its budget."""
CONNECTION_KIB = 128
"""What a connection that waits for its turn may take: uvicorn reads 64 KiB ahead, and as much lies in asyncio's buffer
before the socket is told to wait."""


# ── around it ──


@contextmanager
def _server(data: Path) -> Iterator[str]:
    """The emulator in another process."""
    command = [sys.executable, "-m", "asyncupload", "serve", "--json", "--port", "0", "--data", str(data)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        try:
            yield json.loads(server.stdout.readline())["url"]
        finally:
            server.terminate()


class Backend:
    """A backend in another process."""

    def __init__(self, server: str, kind: str = "relay", loop: str = "asyncio") -> None:
        self.url = f"http://127.0.0.1:{_free_port()}"
        self.peak_mib = 0.0
        environment = {**os.environ, "INFOROUTER": server, "PORT": self.url.rpartition(":")[2]}
        command = [sys.executable, str(Path(__file__).with_name("backend.py")), kind, loop]
        self._process = subprocess.Popen(command, env=environment)

    async def __aenter__(self) -> Self:
        async with aiohttp.ClientSession() as session:
            for _ in range(300):
                with contextlib.suppress(aiohttp.ClientError):
                    async with session.post(f"{self.url}/start"):
                        return self
                await asyncio.sleep(0.1)
        raise SystemExit("the backend did not come up")

    async def __aexit__(self, *_: object) -> None:
        self._process.terminate()
        self.peak_mib = await asyncio.to_thread(self._reap)

    def _reap(self) -> float:
        _, status, usage = os.wait4(self._process.pid, 0)
        self._process.returncode = os.waitstatus_to_exitcode(status)
        return usage.ru_maxrss / 1024

    async def lag(self) -> dict[str, float]:
        """How late the ticker was since the last ``/start``, in milliseconds."""
        async with aiohttp.ClientSession() as session, session.get(f"{self.url}/lag") as answer:
            return dict(await answer.json())

    async def curl(self, file: Path, name: str) -> None:
        """Send a file as a browser would."""
        command = ["curl", "--silent", "--show-error", "--fail", "--noproxy", "*", "-T", str(file)]
        curl = await asyncio.create_subprocess_exec(*command, f"{self.url}/files/{name}", stdout=subprocess.DEVNULL)
        if await curl.wait():
            raise SystemExit(f"curl ended with {curl.returncode}")


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def _random_file(path: Path, size: int) -> str:
    """Make one of random megabytes; its SHA-256."""
    digest, block = hashlib.sha256(), os.urandom(MIB)
    with path.open("wb") as file:
        for number in range(0, size, MIB):
            piece = number.to_bytes(8, "big") + block[: min(MIB, size - number) - 8]
            file.write(piece)
            digest.update(piece)
    return digest.hexdigest()


async def _stored(server: str, path: str, target: Path) -> str:
    """The SHA-256 of a document."""
    async with Client(server, user="demo", password="demo") as client:
        await client.download(path, target)
    return await asyncio.to_thread(_sha256, target)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


# ── what is measured ──


async def large(size: int) -> bool:
    """One large body: equal, and in how much memory."""
    with _workplace() as folder, _server(folder / "data") as server:
        expected = await asyncio.to_thread(_random_file, folder / "large", size)
        async with Backend(server) as backend_:
            began = time.monotonic()
            await backend_.curl(folder / "large", "large")
            seconds = time.monotonic() - began
        (folder / "large").unlink()
        equal = await _stored(server, "/Library/large", folder / "back") == expected
    print(f"{size / MIB:.0f} MiB relayed at {size / MIB / seconds:.0f} MiB/s, {'equal' if equal else 'NOT EQUAL'}")
    print(f"peak resident set of the backend {backend_.peak_mib:.1f} MiB, limit {LARGE_LIMIT_MIB} MiB")
    return equal and backend_.peak_mib < LARGE_LIMIT_MIB


async def many(count: int, cancelled: int) -> bool:
    """Many relays at once, some given up by their browsers at a random moment."""
    chance = random.Random(1)
    gone = set(chance.sample(range(count), cancelled))
    bodies = [os.urandom(64) * (MIB // 64) for _ in range(16)]
    with _workplace() as folder:
        async with Emulator(folder / "data") as emulator, Backend(emulator.url) as backend_:
            timeout = aiohttp.ClientTimeout(total=None)
            async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0), timeout=timeout) as session:

                async def one(number: int) -> int:
                    data = _slowly(bodies[number % 16], chance) if number in gone else _pieces(bodies[number % 16])
                    async with session.put(f"{backend_.url}/files/{number}", data=data) as answer:
                        return answer.status

                tasks = [asyncio.create_task(one(number)) for number in range(count)]
                for number in gone:
                    asyncio.get_running_loop().call_later(chance.uniform(0, 4), tasks[number].cancel)
                results = await asyncio.gather(*tasks, return_exceptions=True)
            await _until_quiet(emulator)
            documents = {document.path.rpartition("/")[2]: document for document in await emulator.documents()}
            handlers = await emulator.open_handlers()
            wrong = [n for n in range(count) if n not in gone and results[n] != 200]
            differ = [n for n in map(int, documents) if not await _same(emulator, n, bodies[n % 16])]
    budget = BASE_MIB + BUDGET / MIB + count * CONNECTION_KIB / 1024
    print(f"{count} relays of 1 MiB, {cancelled} cancelled: {len(documents)} stored, {len(wrong)} failed")
    print(f"{len(differ)} documents differ, {len(handlers)} handlers left")
    print(f"peak resident set of the backend {backend_.peak_mib:.1f} MiB, {budget:.0f} allowed")
    return not (wrong or differ or handlers) and backend_.peak_mib < budget and len(documents) >= count - cancelled


async def _pieces(data: bytes) -> AsyncIterator[bytes]:
    for start in range(0, len(data), 65536):
        yield data[start : start + 65536]


async def _slowly(data: bytes, chance: random.Random) -> AsyncIterator[bytes]:
    """A body that takes up to ten seconds, to be cancelled in."""
    async for piece in _pieces(data):
        yield piece
        await asyncio.sleep(chance.uniform(0, 0.7))


async def _until_quiet(emulator: Emulator) -> None:
    """What the backend cleans up, it does after its browser has gone."""
    for _ in range(200):
        if not await emulator.open_handlers():
            return
        await asyncio.sleep(0.1)


async def _same(emulator: Emulator, number: int, data: bytes) -> bool:
    return bool((await emulator.content(f"/Library/{number}")).read_bytes() == data)


async def stall(size: int) -> bool:
    """How late a ticker is, idle and at full rate."""
    found = dict[str, dict[str, float]]()
    with _workplace() as folder, _server(folder / "data") as server:
        await asyncio.to_thread(_random_file, folder / "file", size)
        for kind, loop in (("idle", "asyncio"), ("relay", "asyncio"), ("relay", "uvloop"), ("naive", "asyncio")):
            async with Backend(server, kind, loop) as backend_:
                began = time.monotonic()
                if kind == "idle":
                    await asyncio.sleep(5)
                else:
                    await backend_.curl(folder / "file", f"{kind}-{loop}")
                seconds = time.monotonic() - began
                lag = found[f"{kind} {loop}"] = await backend_.lag()
            rate = "" if kind == "idle" else f", {size / MIB / seconds:.0f} MiB/s"
            print(f"{kind:5} {loop:7} p99.9 {lag['p999']:7.2f} ms, worst {lag['worst']:7.2f} ms{rate}", end="")
            print(f", peak {backend_.peak_mib:.0f} MiB, {lag['ticks']:.0f} ticks, at work p99.9 {lag['own']:.2f} ms")
    return all(found[f"relay {loop}"]["p999"] < LAG_LIMIT_MS for loop in ("asyncio", "uvloop"))


@contextmanager
def _workplace() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="asyncupload-bench-") as folder:
        yield Path(folder)


def _size(text: str) -> int:
    found = re.fullmatch(r"(\d+)\s*([KMG]?)i?B?", text, flags=re.IGNORECASE)
    if not found:
        raise argparse.ArgumentTypeError(f"{text!r} is not a size such as 5GiB")
    return int(found[1]) << {"": 0, "K": 10, "M": 20, "G": 30}[found[2].upper()]


def main() -> int:
    parser = argparse.ArgumentParser(description="What a web backend pays for relaying.")
    what = parser.add_subparsers(dest="what", required=True)
    what.add_parser("large").add_argument("size", nargs="?", default="5GiB", type=_size)
    many_ = what.add_parser("many")
    many_.add_argument("count", nargs="?", default=1000, type=int)
    many_.add_argument("cancelled", nargs="?", default=200, type=int)
    what.add_parser("stall").add_argument("size", nargs="?", default="1GiB", type=_size)
    chosen = parser.parse_args()
    match chosen.what:
        case "large":
            good = asyncio.run(large(chosen.size))
        case "many":
            good = asyncio.run(many(chosen.count, chosen.cancelled))
        case _:
            good = asyncio.run(stall(chosen.size))
    print("as it should be" if good else "NOT as it should be")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())

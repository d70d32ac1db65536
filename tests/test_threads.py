"""Threads for calls that may never return."""

import asyncio
import os
import subprocess
import sys
import threading
import time
from concurrent.futures import wait
from pathlib import Path

import pytest

from asyncupload._threads import DaemonThreads

PATIENCE = 30.0
"""Seconds that a process has for what takes well under one."""


def test_what_a_call_returns_and_raises_comes_back() -> None:
    threads = DaemonThreads(2, "test")

    assert threads.submit(divmod, 7, 2).result() == (3, 1)
    with pytest.raises(ZeroDivisionError):
        threads.submit(divmod, 7, 0).result()
    threads.shutdown()


def test_there_are_no_more_threads_than_were_allowed_nor_than_are_needed() -> None:
    threads, gate = DaemonThreads(2, "counted"), threading.Event()

    def there() -> int:
        return sum(thread.name.startswith("counted") for thread in threading.enumerate())

    threads.submit(int).result()
    for _ in range(20):  # one that is about to be idle may not be so yet
        threads.submit(int).result()
        time.sleep(0.001)
    assert there() <= 2
    wait([threads.submit(gate.wait) for _ in range(5)], timeout=0.05)
    assert there() == 2
    gate.set()
    threads.shutdown()
    assert there() == 0


def test_what_waits_can_be_cancelled_and_nothing_is_taken_after_the_end() -> None:
    threads, gate = DaemonThreads(1, "test"), threading.Event()
    running, waiting = threads.submit(gate.wait), threads.submit(int)

    threads.shutdown(wait=False, cancel_futures=True)
    gate.set()

    assert running.result()
    assert waiting.cancelled()
    with pytest.raises(RuntimeError):
        threads.submit(int)
    threads.join(PATIENCE)


def test_an_event_loop_can_use_them() -> None:
    async def use() -> int:
        return await asyncio.get_running_loop().run_in_executor(threads, len, b"abc")

    threads = DaemonThreads(1, "test")
    assert asyncio.run(use()) == 3
    threads.shutdown()


HANGS = """
import asyncio, sys
from asyncupload import Client, Settings, Timeouts
from asyncupload.emulator import Emulator

class Hanging:
    '''As a file on a network drive that has gone away while it was read.'''

    def __init__(self):
        self.read_on = 3

    def read(self, size):
        self.read_on -= 1
        return b'x' * size if self.read_on else open(sys.argv[1], 'rb').read()

async def main():
    settings = Settings(chunk_size=256 * 1024, timeouts=Timeouts(cleanup=1))
    async with Emulator(sys.argv[2]) as server:
        async with Client(server.url, user='demo', password='demo', settings=settings) as client:
            upload = asyncio.ensure_future(client.upload(Hanging(), to='/Library/a.bin'))
            while not await server.open_handlers():
                await asyncio.sleep(0.05)
            await asyncio.sleep(0.3)
            upload.cancel()
            await asyncio.wait([upload])
            print('cancelled', upload.cancelled())
        print('left', await server.open_handlers())

asyncio.run(main())
print('over')
"""


def test_a_read_that_never_returns_keeps_neither_a_client_nor_the_interpreter(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "gone")
    done = subprocess.run(
        [sys.executable, "-c", HANGS, str(tmp_path / "gone"), str(tmp_path / "server")],
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )

    assert (done.returncode, done.stdout, done.stderr) == (0, "cancelled True\nleft []\nover\n", "")

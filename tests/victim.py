"""A process that loads, seen from outside: started, killed or frozen as fate has it, and awaited."""

import asyncio
import multiprocessing
import os
import signal
from contextlib import suppress
from dataclasses import replace

from loading import Fate, Job, When, load

PROCESSES = multiprocessing.get_context("forkserver")
PROCESSES.set_forkserver_preload(["loading", "asyncupload.emulator"])
"""A process is started in an instant: it is forked from one that has imported everything already."""


LATEST = 3.0
"""Seconds after which fate comes in any case, to a process that waits for something and does nothing that counts."""


class Victim:
    """A process, and its fate. To be made within an event loop.

    Args:
        job: What it is to do.
        fate: What befalls it; None lets it come to its end.
    """

    def __init__(self, job: Job, fate: Fate | None) -> None:
        self._fate = fate
        self._calls = 0
        self._ended, self._stopped = asyncio.Event(), asyncio.Event()
        self._heard, said = PROCESSES.Pipe(duplex=False)
        self._process = PROCESSES.Process(target=load, args=(replace(job, fate=fate, said=said),), daemon=True)
        self._process.start()
        said.close()
        self.pid = self._process.pid or 0
        loop = asyncio.get_running_loop()
        loop.add_reader(self._process.sentinel, self._note_end)
        loop.add_reader(self._heard.fileno(), self._hear)

    def _note_end(self) -> None:
        asyncio.get_running_loop().remove_reader(self._process.sentinel)
        self._ended.set()

    def _hear(self) -> None:
        asyncio.get_running_loop().remove_reader(self._heard.fileno())
        with suppress(EOFError):  # it ended without a word
            self._heard.recv()
            self._stopped.set()

    @property
    def was_frozen(self) -> bool:
        """Whether it was stopped for a while."""
        return self._stopped.is_set()

    def note_call(self) -> None:
        """A request has arrived at the server, of this process or of one beside it."""
        self._calls += 1
        if self._fate and self._fate.when is When.CALLS and self._calls == self._fate.count:
            self._strike(self._fate.signal)

    def _strike(self, which: signal.Signals) -> None:
        if self._ended.is_set():
            return
        with suppress(ProcessLookupError):  # it has ended in this instant
            os.kill(self.pid, which)
        if which is signal.SIGSTOP:
            self._stopped.set()

    async def end(self, *, thaw_after: float, deadline: float) -> int:
        """Wait for its end, and see to its fate meanwhile.

        Args:
            thaw_after: Seconds until it is woken if it is frozen.
            deadline: When it is killed in any case, by the loop's clock.

        Returns:
            The exit code; the signal's number below zero if it was killed.
        """
        beside = asyncio.create_task(self._see_to_fate(thaw_after))
        try:
            async with asyncio.timeout_at(deadline):
                await self._ended.wait()
        except TimeoutError:
            self._strike(signal.SIGKILL)
            await self._ended.wait()
        finally:
            beside.cancel()
            asyncio.get_running_loop().remove_reader(self._heard.fileno())
            self._heard.close()
        self._process.join()
        code = self._process.exitcode or 0
        self._process.close()
        return code

    async def _see_to_fate(self, thaw_after: float) -> None:
        fate = self._fate
        if fate is None:
            return
        with suppress(TimeoutError):
            async with asyncio.timeout(fate.count if fate.when is When.SECONDS else LATEST):
                await self._stopped.wait()
        if not self._stopped.is_set():
            self._strike(fate.signal)
        while True:  # it may stop itself only after it was woken
            await asyncio.sleep(thaw_after)
            self._strike(signal.SIGCONT)

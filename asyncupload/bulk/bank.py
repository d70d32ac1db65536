"""The near side of a load, where files are read: whether it holds, and whether new files may begin there."""

import asyncio
import os
import time
from collections.abc import Callable, Iterable
from typing import NamedTuple, TypeVar

import anyio

from asyncupload._log import get_logger
from asyncupload._threads import DaemonThreads
from asyncupload.errors import SourceError

from .batches import Pause
from .gate import FIRST_WAIT, LONGEST_WAIT, SYSTEMIC, Gate
from .ground import Blame, Ground, cause_of, is_lost
from .verdict import Verdict

T = TypeVar("T")

LOOK = 10.0
"""Seconds that a look may take. A share that does not even answer that is away."""

KEPT = 3600.0
"""Seconds for which a file is put off when what it stands on has been away for too long: the next run has it."""


class Judgement(NamedTuple):
    """What a file that could not be read means."""

    verdict: Verdict | None
    """None for what the error itself means."""
    counted: bool
    """Whether it was an attempt of the file's own."""
    wait: float = 0.0
    """Seconds until it is tried again, if it was not."""


class Bank:
    """One process's.

    Args:
        give_up_after: Seconds without any file read, after which there is no hope.
        waited: Where to add the seconds of ``pauses``.

    Attributes:
        gate: Closed by trouble that all files share.
    """

    def __init__(self, give_up_after: float, waited: dict[str, float]) -> None:
        self.gate = Gate()
        self._waited = waited
        self._give_up_after = give_up_after
        self._ground = Ground()
        self._away: dict[bytes, tuple[float, int]] = {}
        """Folders that stand on something lost, while others do not: since when, and how often that was met."""
        self._lost = set[bytes]()
        """Files that could not be read for want of what they stand on, before any could."""
        self._threads = DaemonThreads(2, "asyncupload-ground")

    @property
    def hopeless(self) -> bool:
        """Whether it has been in trouble for too long."""
        return self.gate.hopeless(time.monotonic(), self._give_up_after)

    @property
    def left(self) -> float:
        """Seconds until somebody may try again."""
        return max(0.0, self.gate.closed_until - time.monotonic())

    async def learn(self, sources: Iterable[bytes]) -> None:
        """These files belong to the load."""
        if [source for source in sources if self._ground.learn(source)]:
            await self._looked(self._ground.stand, None)

    async def read(self, source: bytes) -> None:
        """A file was read to its end."""
        self.gate = self.gate.success()
        self._ground.read(source)
        self._lost.clear()
        self._away.pop(os.path.dirname(source), None)  # noqa: PTH120  (bytes)
        if self._ground.moved:
            await self._looked(lambda: self._ground.settle(source), None)

    async def wait(self, pause: Pause) -> None:
        """The plan cannot be read on for a while. What is known of it goes on."""
        if not pause.last:
            self.close(str(pause.error))
            await anyio.sleep(self.left)

    def opened(self) -> None:
        """The plan is read on: whatever it was, it has passed."""
        self.gate = self.gate.success()

    async def judge(self, source: bytes, error: SourceError) -> Judgement:
        """What it means that a file could not be read. Trouble of all files closes the gate."""
        match await self._blame(source, cause_of(error)):
            case Blame.FILE:
                return Judgement(None, counted=True)
            case Blame.FOLDER:
                return Judgement(Verdict.AGAIN, counted=True)
            case Blame.LOST:
                return Judgement(Verdict.TROUBLE, counted=False, wait=self._put_off(source))
        self.close(str(error))
        return Judgement(Verdict.TROUBLE, counted=False)

    async def _blame(self, source: bytes, cause: OSError | None) -> Blame:
        if cause is None:
            return Blame.FILE
        found = await self._looked(lambda: self._ground.blame(source, cause), Blame.ALL)
        if found is Blame.FILE and is_lost(cause) and not self._ground.has_read:
            self._lost.add(source)
        return Blame.ALL if len(self._lost) >= SYSTEMIC else found

    def close(self, reason: str) -> None:
        """All files are in trouble: nobody begins for a while."""
        before = self.gate
        self.gate = self.gate.trouble(reason, time.monotonic(), answering=False)
        if self.gate.waits > before.waits:
            self._waited["pauses"] += self.left
            get_logger().warning("waiting_for_source", reason=reason, wait=round(self.left, 3))

    def _put_off(self, source: bytes) -> float:
        """Seconds until a file is tried again whose folder stands on something lost."""
        folder, now = os.path.dirname(source), time.monotonic()  # noqa: PTH120  (bytes)
        since, times = self._away.get(folder, (now, 0))
        self._away[folder] = since, times + 1
        if now - since > self._give_up_after:
            return KEPT
        return min(FIRST_WAIT * 2.0 ** min(times, 20), LONGEST_WAIT)

    async def _looked(self, look: Callable[[], T], otherwise: T) -> T:
        """Look in a thread, or give up waiting for it: whoever looks at a share that hangs, hangs as well."""
        with anyio.move_on_after(LOOK):
            return await asyncio.get_running_loop().run_in_executor(self._threads, look)
        return otherwise

    def leave(self) -> None:
        """Nobody looks any more. What hangs is not waited for."""
        self._threads.shutdown(wait=False)

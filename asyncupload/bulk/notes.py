"""Writes an upload's checkpoints into the queue, so that whoever comes after us can go on from there."""

import json
from dataclasses import asdict

from asyncupload.checkpoints import Commit

from .owners import moment
from .queue import Claim, Queue


class Notes:
    """Writes an upload's checkpoints into the queue, behind the fence."""

    def __init__(self, queue: Queue, claim: Claim, lease: float) -> None:
        self._queue = queue
        self._claim = claim
        self._lease = lease
        self.committed = bool(claim.row.commit)
        """Whether there is a request to store of which somebody must ask."""
        self.left = False
        """Whether one may have left since the row was claimed."""
        self.held = claim.row.checked_out
        """Whether the document may be checked out by us, or by an earlier owner."""

    @property
    def checked_out_before(self) -> bool:
        """What an earlier owner wrote down."""
        return self._claim.row.checked_out

    async def checking_out(self) -> None:
        """Before the request leaves: its reply can be lost."""
        self.held = True
        await self._queue.note_checkout(self._claim, held=True)

    async def given_back(self) -> None:
        """Nothing is left of it."""
        await self._queue.note_checkout(self._claim, held=False)
        self.held = False

    async def staging(self, handler: str) -> None:
        """Whoever comes after us deletes it."""
        await self._queue.note_handler(self._claim, handler)

    async def committing(self, commit: Commit) -> None:
        """Ask whether the row is still ours, and write down what is about to leave, in one step."""
        text = json.dumps(asdict(commit) | moment())
        await self._queue.committing(self._claim, text, lease=self._lease)
        self.committed = self.left = True

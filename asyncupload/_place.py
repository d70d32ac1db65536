"""The document's place on the server: what stands there, and holding it while a version of it is brought."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal
from weakref import WeakValueDictionary

import anyio

from ._names import Destination
from ._patience import Patience
from ._shield import undisturbed
from .checkpoints import Checkpoints
from .errors import AlreadyExists, AsyncUploadError, CheckedOut, Leftover, NotFound, ServerError

IfExists = Literal["version", "fail", "skip"]


@dataclass(frozen=True, slots=True)
class Place:
    """What stood at the destination before anything was sent."""

    to: Destination
    exists: bool
    crc32: int | None
    """Of the latest version, if the server tells it."""


class Turns:
    """A client's uploads to one place, one after another: of two at once, the second would find the first one's
    check-out and take it for its own."""

    def __init__(self) -> None:
        self._locks = WeakValueDictionary[str, anyio.Lock]()

    @asynccontextmanager
    async def at(self, path: str) -> AsyncIterator[None]:
        """Wait for those who came before. The server does not tell upper case from lower case, so neither do we."""
        lock = self._locks.setdefault(path.casefold(), anyio.Lock(fast_acquire=True))
        async with lock:
            yield


class Keeper:
    """Looks at places and holds them.

    Args:
        patience: The client's.
        log: A logger bound to this upload.
        checkpoints: Told of check-outs.
    """

    def __init__(self, patience: Patience, log: Any, checkpoints: Checkpoints) -> None:
        self._remote = patience.remote
        self._patience = patience
        self._log = log
        self._checkpoints = checkpoints

    async def look(self, to: Destination, if_exists: IfExists, *, folder_exists: bool = False) -> Place:
        """Before the first byte: a finalize that is refused may cost the whole upload, since it consumes the handler.

        Raises:
            NotFound: There is no such folder.
            AlreadyExists: The document is there, and must not be.
        """
        if not folder_exists:
            await self._require_folder(to)
        try:
            crc32 = await self._patience.persist(lambda: self._remote.document_crc32(to.path))
        except NotFound:
            return Place(to, exists=False, crc32=None)
        if if_exists == "fail":
            raise AlreadyExists(f"{to.path} exists already, and nothing was sent")
        return Place(to, exists=True, crc32=crc32)

    async def _require_folder(self, to: Destination) -> None:
        try:
            await self._patience.persist(lambda: self._remote.folder_exists(to.folder))
        except NotFound as error:
            raise NotFound(
                f"the folder {to.folder} does not exist on the server, or is not visible to this user; make it first",
                operation=error.operation,
                code=error.code,
                text=error.text,
            ) from error

    @asynccontextmanager
    async def hold(self, place: Place) -> AsyncIterator[None]:
        """Have the document checked out, so that nobody else adds a version meanwhile. There may be none yet.

        A check-out that was ours before stays; one of our own making is given back on every way out, and so is one that
        an earlier upload may have left.

        Raises:
            CheckedOut: Somebody else has it.
        """
        path, ours = place.to.path, False

        async def check_out() -> None:
            nonlocal ours
            asked_before, ours = (
                ours,
                True,
            )  # from here on it may be: the reply can be lost, and the next try be refused
            try:
                await self._remote.lock(path)
            except ServerError as refusal:
                # Refused to its own holder too: ours, if an earlier request of ours may have come about.
                ours = asked_before or refusal.unexpected
                if not await self._is_ours(path):
                    raise
                if not ours:
                    raise CheckedOut(
                        f"{path} is checked out by {self._remote.name}, in another program; nothing was sent",
                        by=self._remote.name,
                    ) from refusal

        try:
            if place.exists:
                if await self._is_ours(path):
                    ours = self._checkpoints.checked_out_before
                else:
                    await self._checkpoints.checking_out()
                    await self._patience.make(check_out)
            yield
        finally:
            if ours:
                await self._give_back(path)

    @asynccontextmanager
    async def take_over(self, place: Place) -> AsyncIterator[None]:
        """Give back what an earlier upload may have left checked out, once it is known what became of it."""
        yield
        if place.exists and self._checkpoints.checked_out_before:
            await self._give_back(place.to.path)

    async def require_free(self, path: str) -> None:
        """Make sure that nobody else has the document checked out.

        Raises:
            CheckedOut: Somebody has.
        """
        await self._is_ours(path)

    async def require_ours(self, path: str) -> None:
        """Make sure that the check-out was not taken away while bytes were sent.

        Raises:
            CheckedOut: It was.
        """
        holder = (await self._patience.persist(lambda: self._remote.document(path))).holder
        if not self._same(holder):
            now = f"{holder} has it now" if holder else "nobody has it now"
            raise CheckedOut(
                f"the check-out of {path} was taken away while bytes were sent ({now}); nothing was stored", by=holder
            )

    async def _is_ours_now(self, path: str) -> bool:
        return self._same((await self._remote.document(path)).holder)

    async def _is_ours(self, path: str) -> bool:
        if not self._remote.name:
            await self._patience.persist(self._remote.whoami)
        holder = (await self._patience.persist(lambda: self._remote.document(path))).holder
        if holder and not self._same(holder):
            raise CheckedOut(f"{path} is checked out by {holder}; nothing was sent", by=holder)
        return bool(holder)

    def _same(self, holder: str) -> bool:
        return holder.casefold() == self._remote.name.casefold()

    async def _give_back(self, path: str) -> None:
        async def unlock() -> None:
            try:
                await self._remote.unlock(path)
            except ServerError:
                # Refused as well if it is not checked out any more, which is what we want.
                if await self._is_ours_now(path):
                    raise

        if left := await self._patience.clean_up(unlock, partial(_left_checkout, path), share=1.0):
            self._log.warning("checkout_left", reason=left)
            return
        try:
            await undisturbed(self._checkpoints.given_back(), grace=self._patience.settings.timeouts.cleanup)
        except AsyncUploadError as error:  # the reason for coming here must go on
            self._log.warning("not_written_down", reason=str(error))


def _left_checkout(path: str, reason: str) -> Leftover:
    return Leftover(kind="checkout", name=path, reason=reason, remedy=f"UnLock {path} in the web interface")

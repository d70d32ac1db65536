"""The document's place on the server: what stands there, and holding it while a version of it is brought."""

import shlex
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from typing import Any, Literal
from weakref import WeakValueDictionary

import anyio

from . import _wire
from ._names import Destination
from ._patience import Patience
from ._shield import undisturbed
from .checkpoints import Checkpoints
from .errors import AlreadyExists, AsyncUploadError, CheckedOut, Leftover, NotFound, Outcome, ServerError

IfExists = Literal["version", "fail", "skip", "same"]


@dataclass(frozen=True, slots=True)
class Place:
    """What stood at the destination before anything was sent."""

    to: Destination
    exists: bool
    crc32: int | None
    """Of the latest version, if the server tells it."""
    changed: bool = False
    """Whether that is another one than when we looked first."""
    shared: bool = False
    """Whether it is held by a check-out that may be another program's: nobody could tell whose a lost request made."""


@dataclass(slots=True)
class _Held:
    """A check-out."""

    perhaps: bool = False
    """Whether there may be one of ours."""
    doubtful: bool = False
    """Whether it may as well be another program's."""
    noted: bool = False
    """Whether it was written down that there may be one."""


class Turns:
    """A client's uploads to one place, one after another: of two at once, the second would find the first one's
    check-out, and be refused."""

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

    async def same(self, place: Place, *, size: int, crc32: int, since: datetime | None = None) -> _wire.Stored | None:
        """What stands there, if its latest version is of this size and checksum, and, if that is given, was made since
        then by the server's clock."""
        if place.crc32 != crc32:
            return None
        document = await self._patience.persist(lambda: self._remote.document(place.to.path))
        if document.size != size:
            return None
        versions = await self._patience.persist(lambda: self._remote.versions(place.to.path))
        made = max(versions, key=lambda version: version.number).created if versions else None
        if since is not None and (made is None or made < since):
            return None
        return _wire.Stored(document.document_id, _wire.latest(versions))

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
    async def hold(self, place: Place) -> AsyncIterator[Place]:
        """Have the document checked out, so that nobody else adds a version meanwhile. There may be none yet.

        Gives the place as it is then: between the first look and the check-out somebody may have stored a version. The
        check-out is given back on every way out, and so is one that an earlier upload may have left.

        Raises:
            CheckedOut: Somebody else has it. Another program of the same user is somebody else.
        """
        if not place.exists:
            yield place
            return
        held = _Held()
        try:
            if await self._is_ours(place.to.path):
                self._require_left(place.to.path)
                held.perhaps = held.doubtful = True
            else:
                await self._checkpoints.checking_out()
                held.noted = True
                await self._patience.make(lambda: self._check_out(place.to.path, held))
            crc32 = await self._patience.persist(lambda: self._remote.document_crc32(place.to.path))
            yield replace(place, crc32=crc32, changed=crc32 != place.crc32, shared=held.doubtful)
        finally:
            if held.perhaps:
                await self._give_back(place.to.path)
            elif held.noted:  # refused: it is somebody else's, whom whoever reads the note would rob of it
                await self._note_given_back()

    async def _check_out(self, path: str, held: "_Held") -> None:
        """One request. Whether a refused one came after a lost one of ours is all that tells whose the check-out is."""
        before, held.perhaps = held.perhaps, True  # also if it is cancelled
        try:
            await self._remote.lock(path)
        except AsyncUploadError as error:
            held.perhaps = before or error.outcome is Outcome.UNKNOWN
            error.outcome = Outcome.NOT_APPLIED  # as good as: it can go again, for the next refusal tells
            if not isinstance(error, ServerError) or not await self._is_ours(path):
                raise
            if not held.perhaps:
                raise self._elsewhere(path) from error
            held.doubtful = True

    def _require_left(self, path: str) -> None:
        if not self._checkpoints.checked_out_before:
            raise self._elsewhere(path)

    def _elsewhere(self, path: str) -> CheckedOut:
        return CheckedOut(
            f"{path} is checked out by {self._remote.name}, in another program or by hand; nothing was sent. When "
            "nobody works on it any more, give it back in infoRouter (undo the check-out), and send it again",
            by=self._remote.name,
        )

    @asynccontextmanager
    async def take_over(self, place: Place) -> AsyncIterator[None]:
        """Give back what an earlier upload may have left checked out, once it is known what became of it."""
        yield
        await self.give_back_left(place)

    async def give_back_left(self, place: Place) -> None:
        """Give back what an earlier upload of the same may have left checked out."""
        if place.exists and self._checkpoints.checked_out_before:
            await self._give_back(place.to.path)

    async def give_back(self, path: str) -> bool:
        """Give a check-out of this user's back. Whether there was one.

        Raises:
            CheckedOut: It is somebody else's.
        """
        if not await self._is_ours(path):
            return False
        await self._patience.persist(lambda: self._unlock(path))
        return True

    async def _unlock(self, path: str) -> None:
        try:
            await self._remote.unlock(path)
        except ServerError:
            # Refused as well if it is not checked out any more, which is what we want.
            if await self._is_ours_now(path):
                raise

    async def require_free(self, path: str) -> None:
        """Make sure that nobody else has the document checked out.

        Raises:
            CheckedOut: Somebody has.
        """
        if await self._is_ours(path):
            self._require_left(path)

    async def require_unchanged(self, place: Place) -> None:
        """Right before a version is made: make sure that nobody made one meanwhile, where the check-out may be shared.

        Raises:
            CheckedOut: Somebody did.
        """
        if not place.shared:
            return
        if await self._patience.persist(lambda: self._remote.document_crc32(place.to.path)) != place.crc32:
            raise CheckedOut(
                f"{place.to.path} got a version from another program of {self._remote.name} while bytes were sent; "
                "nothing was stored",
                by=self._remote.name,
            )

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
        attempt = partial(self._unlock, path)
        if left := await self._patience.clean_up(attempt, partial(_left_checkout, path), share=1.0):
            self._log.warning("checkout_left", reason=left)
            return
        await self._note_given_back()

    async def _note_given_back(self) -> None:
        try:
            await undisturbed(self._checkpoints.given_back(), grace=self._patience.settings.timeouts.cleanup)
        except AsyncUploadError as error:  # the reason for coming here must go on
            self._log.warning("not_written_down", reason=str(error))


def _left_checkout(path: str, reason: str) -> Leftover:
    return Leftover(kind="checkout", name=path, reason=reason, remedy=f"asyncupload discard {shlex.quote(path)}")

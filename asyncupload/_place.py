"""The document's place on the server: what stands there, and holding it while a version of it is brought."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Literal, Protocol, TypeVar

import anyio

from ._names import Destination
from ._remote import Remote
from ._retry import persist
from ._shield import undisturbed
from .errors import AlreadyExists, AsyncUploadError, CheckedOut, NotFound, ServerError
from .settings import Settings

T = TypeVar("T")

IfExists = Literal["version", "fail", "skip"]


class Persist(Protocol):
    """Makes attempts at one request until it succeeds or another would not help."""

    async def __call__(self, attempt: Callable[[], Awaitable[T]], /) -> T: ...


@dataclass(frozen=True, slots=True)
class Place:
    """What stood at the destination before anything was sent."""

    to: Destination
    exists: bool
    crc32: int | None
    """Of the latest version, if the server tells it."""


class Keeper:
    """Looks at places and holds them.

    Args:
        remote: The server.
        settings: The user's.
        patience: How requests are outwaited.
        log: A logger bound to this upload.
    """

    def __init__(self, remote: Remote, settings: Settings, patience: Persist, log: Any) -> None:
        self._remote = remote
        self._settings = settings
        self._persist = patience
        self._log = log

    async def look(self, to: Destination, if_exists: IfExists) -> Place:
        """Before the first byte: a finalize that is refused may cost the whole upload, since it consumes the handler.

        Raises:
            NotFound: There is no such folder.
            AlreadyExists: The document is there, and must not be.
        """
        try:
            await self._persist(lambda: self._remote.folder_exists(to.folder))
        except NotFound as error:
            raise NotFound(
                f"the folder {to.folder} does not exist on the server, or is not visible to this user; make it first",
                operation=error.operation,
                code=error.code,
                text=error.text,
            ) from error
        try:
            crc32 = await self._persist(lambda: self._remote.document_crc32(to.path))
        except NotFound:
            return Place(to, exists=False, crc32=None)
        if if_exists == "fail":
            raise AlreadyExists(f"{to.path} exists already, and nothing was sent")
        return Place(to, exists=True, crc32=crc32)

    @asynccontextmanager
    async def hold(self, place: Place) -> AsyncIterator[None]:
        """Have the document checked out, so that nobody else adds a version meanwhile. There may be none yet.

        A check-out that was ours before stays; one of our own making is given back on every way out.

        Raises:
            CheckedOut: Somebody else has it.
        """
        path, ours = place.to.path, False

        async def check_out() -> None:
            nonlocal ours
            try:
                await self._remote.lock(path)
            except ServerError:
                # Refused to its own holder too, as after a lost reply; and nobody had it a moment ago.
                if not await self._is_ours(path):
                    raise
            ours = True

        try:
            if place.exists and not await self._is_ours(path):
                # Undisturbed: torn in mid-request, nobody would give it back.
                await self._persist(lambda: undisturbed(check_out(), grace=self._settings.timeouts.cleanup))
            yield
        finally:
            if ours:
                await undisturbed(self._give_back(path), grace=self._settings.timeouts.cleanup)

    async def is_still_ours(self, path: str) -> bool:
        """Whether the check-out that was ours is so yet."""
        return await self._persist(lambda: self._is_ours_now(path))

    async def _is_ours_now(self, path: str) -> bool:
        return self._same((await self._remote.document(path)).holder)

    async def _is_ours(self, path: str) -> bool:
        if not self._remote.name:
            await self._persist(self._remote.whoami)
        holder = (await self._persist(lambda: self._remote.document(path))).holder
        if holder and not self._same(holder):
            raise CheckedOut(f"{path} is checked out by {holder}; nothing was sent", by=holder)
        return bool(holder)

    def _same(self, holder: str) -> bool:
        return holder.casefold() == self._remote.name.casefold()

    async def _give_back(self, path: str) -> None:
        """Never raises: the reason for coming here must go on. A document that is not checked out any more is as
        good."""

        async def unlock() -> None:
            try:
                await self._remote.unlock(path)
            except ServerError:
                # Refused as well if it is not checked out any more, which is what we want.
                if await self._is_ours_now(path):
                    raise

        try:
            with anyio.fail_after(self._settings.timeouts.cleanup):
                await persist(lambda: self._remote.insisting(unlock), self._settings.retries)
        except (AsyncUploadError, TimeoutError) as error:
            self._log.warning("checkout_left", reason=str(error) or "no time left to give it back")

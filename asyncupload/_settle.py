"""A request to store whose reply was lost: the server cannot be asked about the request, but about what stands
there."""

from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import cast

import anyio

from . import _wire
from ._outcome import failed_inside, lacks_operation
from ._patience import Patience
from ._raised import raise_kept
from ._remote import Remote
from ._retry import persist, without_end
from ._statuses import SLOW
from .checkpoints import Commit
from .errors import (
    ANSWERED,
    AsyncUploadError,
    ForeignReply,
    NotFound,
    Outcome,
    OutcomeUnknown,
    ServerError,
    StoredDifferently,
    StoredTwice,
    TimedOut,
)
from .settings import Retries, Settings, Timeouts

REPEAT_EVERY = 3
"""Looks that found nothing, before the same request goes once more."""


class NotThere(AsyncUploadError):
    """Not yet, or not at all."""

    transient = True


def looking_rules(settings: Settings) -> Retries:
    """The waits between looks, which only ``timeouts.settle`` around them ends."""
    longest_wait = min(settings.retries.longest_wait, settings.timeouts.settle / 10)
    return replace(without_end(settings.retries), longest_wait=longest_wait)


AGAIN = 10
"""Times as long as an answer took, for which something else that was sent for the same request may be running."""

SHARE_OF_SETTLE = 20
"""And at least this part of ``timeouts.settle``: a gateway may ask again at once, as after a reset."""


def must_have_ended(error: AsyncUploadError | None, asked_at: float, timeouts: Timeouts) -> float:
    """When the server must have ended with a request, by the clock of ``anyio.current_time``.

    A server's own answer says that it has ended with one request. A gateway that has lost its patience may have sent
    two, and the answer be the second's, at the time when that patience was over.

    Args:
        error: What came of it, seen just now; None for a success that names nothing.
        asked_at: When the request left.
        timeouts: The user's.
    """
    if not isinstance(error, ServerError):
        return asked_at + timeouts.finalize
    now = anyio.current_time()
    return min(now + max(AGAIN * (now - asked_at), timeouts.settle / SHARE_OF_SETTLE), asked_at + timeouts.finalize)


class Settlement:
    """Finds out what became of a request to store, and repeats it where that can do nothing twice.

    The request may be running yet, whatever the way to the server said of it: a gateway that gives up, or a connection
    that is reset, does not stop it. A request that makes a version makes another one each time that it runs, so it is
    repeated only when the server must have ended with the one before. The operation that only creates can run twice:
    the second finds the document, or the handler gone.

    Args:
        patience: The upload's.
        commit: What was asked for.
        request: Sends the same request once more. Told whether the one before must have ended. None to look only.
        ends: When the server must have ended with the request, by the clock of ``anyio.current_time``; see
            :func:`must_have_ended`.
        error: How the request ended, if it was no success. One that took too long is likely to be at work yet: half of
            the time goes by before it is repeated, even where that is safe.
        doubtful: Whether a failure inside the server may come of how the request is written, which changes then.
    """

    def __init__(
        self,
        patience: Patience,
        commit: Commit,
        request: Callable[[bool], Awaitable[_wire.Stored]] | None,
        *,
        ends: float,
        error: AsyncUploadError | None = None,
        doubtful: Callable[[], bool] = lambda: False,
    ) -> None:
        self._patience = patience
        self._remote = patience.remote
        self._commit = commit
        self._request = request
        self._ends = ends
        slow = isinstance(error, TimedOut) or (isinstance(error, ForeignReply) and error.status in SLOW)
        self._not_before = anyio.current_time() + (patience.settings.timeouts.settle / 2 if slow else 0.0)
        self._error = error
        self._doubtful = doubtful
        self._looks = 0
        self._failed = int(isinstance(error, ServerError))
        self._may_repeat = request is not None
        self._refusal: ServerError | None = None
        self._why = "no look was answered in time"

    async def run(self) -> _wire.Stored:
        """Look until the document is found, the repeated request makes it, or ``timeouts.settle`` is over.

        Raises:
            ServerError: The server had ended with the request, nothing is there, and a repeat was refused, or failed
                inside the server again and again: it is not stored.
            StoredTwice: Two versions carry this upload's token.
            OutcomeUnknown: It is still not there; the server may be about to store it yet, so nobody sends it again.
        """
        settings = self._patience.settings
        rules = looking_rules(settings)
        found: _wire.Stored | ServerError | None = None
        try:
            with anyio.move_on_after(settings.timeouts.settle):
                found = await persist(
                    self._attempt, rules, pause=self._patience.pause, waited=self._patience.waited, on_retry=self._note
                )
        except OutcomeUnknown:
            raise
        except AsyncUploadError as failure:
            self._why = str(failure)
        if isinstance(found, ServerError):
            raise_kept(found)
        if found is not None:
            return found
        lost = f" ({self._error})" if self._error is not None else ""
        raise OutcomeUnknown(
            f"{self._commit.path}: all bytes arrived, but the reply to the request to store them was lost{lost}, and "
            f"looking for the document did not tell ({self._why}); look whether it is there before you send it again"
        )

    def _note(self, failure: AsyncUploadError, *_: object) -> None:
        self._why = str(failure)

    async def _attempt(self) -> _wire.Stored | ServerError:
        """What stands there, or the refusal that says that nothing will."""
        ended = anyio.current_time() >= self._ends  # asked before the look: what it does not find then will not come
        found = await self._look()
        self._looks += 1
        due = anyio.current_time() >= self._not_before
        safe = ended or (due and not self._commit.existed and self._remote.creates_only)
        if found is None and self._may_repeat and safe and (ended or self._looks % REPEAT_EVERY == 0):
            self._refusal = await self._repeat(ended=ended)
            found = await self._look()  # and not what the repeat says: the first may have come about as well
        if found is None and not (ended and self._refusal):
            raise NotThere("it was not there in time")
        return found or cast(ServerError, self._refusal)

    async def _look(self) -> _wire.Stored | None:
        return await self._remote.with_ticket(lambda: find(self._remote, self._commit))

    async def _repeat(self, *, ended: bool) -> ServerError | None:
        """Send the request once more; returns the server's refusal, if it was one."""
        request = cast(Callable[[bool], Awaitable[_wire.Stored]], self._request)
        try:
            await self._remote.with_ticket(lambda: request(ended))
        except AsyncUploadError as error:
            if error.outcome is Outcome.NOT_APPLIED and error.transient:
                raise
            # A busy server may have left both alone. One that refuses may have given the handler to the first.
            self._may_repeat = isinstance(error, ForeignReply) and (
                error.status == 503 or (failed_inside(error) and self._doubtful())
            )
            if isinstance(error, ServerError):  # its own answer: it has ended with this one
                return self._weigh(error)
        else:
            self._may_repeat = False
        self._ends = anyio.current_time() + self._patience.settings.timeouts.finalize
        return None

    def _weigh(self, error: ServerError) -> ServerError | None:
        """The refusal, if it is the last word. What goes wrong inside the server may pass, as a deadlock."""
        self._failed += error.unexpected
        self._may_repeat = error.unexpected and self._failed < ANSWERED
        return None if self._may_repeat else error


async def find(remote: Remote, commit: Commit) -> _wire.Stored | None:
    """What stands at the destination, if it is what was sent; None if it is not there.

    For a version the token tells. A new document is told by size and checksum, since nothing stood there before.

    Raises:
        StoredTwice: Two versions carry the token.
        StoredDifferently: The version with the token has another size.
        OutcomeUnknown: Another document stands there, or nobody can say whether it is another one.
    """
    try:
        crc32 = await remote.document_crc32(commit.path)
        versions = await _versions(remote, commit)
        document = await remote.document(commit.path)
    except NotFound:
        return None
    if commit.existed:
        ours = crc32 == commit.crc32 and document.size == commit.size
        version = _ours(commit, versions) or (_without_comment(commit, versions) if ours else None)
        return version and _wire.Stored(document.document_id, version.number)
    if crc32 is None:
        raise OutcomeUnknown(f"a document stands at {commit.path}, and the server tells no checksum of it")
    if crc32 != commit.crc32 or document.size not in {None, commit.size}:
        raise OutcomeUnknown(f"another document stands at {commit.path} now")
    return _wire.Stored(document.document_id, _wire.latest(versions))


async def _versions(remote: Remote, commit: Commit) -> tuple[_wire.Version, ...]:
    """Of the document. For a new one they only give it a number, which older servers do without."""
    try:
        return await remote.versions(commit.path)
    except AsyncUploadError as error:
        if commit.existed or not lacks_operation(error):
            raise
        return ()


def _without_comment(commit: Commit, versions: tuple[_wire.Version, ...]) -> _wire.Version | None:
    """The latest version, if it must be ours although it does not say so: it has our bytes, other ones stood there when
    we had checked the document out, and it has no comment at all, as where the server keeps none."""
    newest = max(versions, key=lambda version: version.number, default=None)
    changed = commit.replaces not in {None, commit.crc32}
    return newest if newest and changed and not newest.comment.strip() else None


def _ours(commit: Commit, versions: tuple[_wire.Version, ...]) -> _wire.Version | None:
    ours = [version for version in versions if commit.token in version.comment]
    if len(ours) > 1:
        numbers = tuple(sorted(version.number for version in ours))
        raise StoredTwice(
            f"{commit.path} was stored twice, as versions {' and '.join(map(str, numbers))}: a request to store that "
            "had to count as lost came about as well; delete one of them",
            versions=numbers,
        )
    if ours and ours[0].size not in {None, commit.size}:
        raise StoredDifferently(
            f"{commit.path} is stored as version {ours[0].number}, but with {ours[0].size} bytes where {commit.size} "
            "were sent; compare it with the source before you rely on it",
            expected=commit.crc32,
            found=0,
        )
    return ours[0] if ours else None

"""When to go on and how long to wait: a pure rule, and the loop that follows it."""

import asyncio
import math
from collections.abc import Callable

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncupload._retry import Pause, Waited, next_wait, persist, without_end
from asyncupload.errors import (
    AsyncUploadError,
    ChunkRefused,
    ConnectFailed,
    ConnectionLost,
    ForeignReply,
    LoginRefused,
    Outcome,
    TimedOut,
    TLSFailed,
)
from asyncupload.settings import Retries

RULES = Retries(attempts=5, first_wait=1.0, longest_wait=10.0, longest_obeyed=60.0)


def busy(retry_after: float | None) -> ForeignReply:
    """A server that asks to be left alone."""
    return ForeignReply("HTTP 503", status=503, transient=True, retry_after=retry_after)


WAITS: list[tuple[str, AsyncUploadError, int, float, float | None]] = [
    # what, how the last attempt ended, failures so far, chance, wait
    ("the first wait", ConnectFailed("x"), 1, 0.0, 1.0),
    ("twice as long", ConnectFailed("x"), 2, 0.0, 2.0),
    ("and again", ConnectFailed("x"), 4, 0.0, 8.0),
    ("half of it by chance", ConnectFailed("x"), 1, 1.0, 0.5),
    ("chance is taken off the doubled wait", ChunkRefused("x"), 3, 0.5, 3.0),
    ("the last attempt was made", ConnectFailed("x"), 5, 0.0, None),
    ("more than the last", ConnectFailed("x"), 6, 0.0, None),
    ("another try would fail alike", TLSFailed("x"), 1, 0.0, None),
    ("a password is never tried twice", LoginRefused("x"), 1, 0.0, None),
    ("may have been applied", ConnectionLost("x", outcome=Outcome.UNKNOWN), 1, 0.0, None),
    ("may have been applied, in time or not", TimedOut("x", outcome=Outcome.UNKNOWN), 1, 0.0, None),
    ("certainly applied", ConnectionLost("x", outcome=Outcome.APPLIED), 1, 0.0, None),
    ("the server's wish is longer", busy(7.0), 1, 0.0, 7.0),
    ("the server's wish is shorter", busy(0.25), 1, 0.0, 1.0),
    ("the server's wish is beyond the longest wait", busy(30.0), 1, 1.0, 30.0),
    ("the server's wish is beyond obedience", busy(3600.0), 1, 0.0, 60.0),
    ("the server wishes for ever", busy(math.inf), 1, 0.0, 60.0),
    ("the server wishes for nothing", busy(0.0), 2, 0.0, 2.0),
    ("the server's wish does not make it transient", ForeignReply("x", status=400, retry_after=7.0), 1, 0.0, None),
]


@pytest.mark.parametrize(("case", "error", "failures", "chance", "expected"), WAITS, ids=[row[0] for row in WAITS])
def test_waits(case: str, error: AsyncUploadError, failures: int, chance: float, expected: float | None) -> None:
    assert next_wait(error, failures, RULES, chance) == expected


def test_waits_stop_growing_at_the_longest() -> None:
    rules = Retries(attempts=100, first_wait=1.0, longest_wait=10.0)

    assert [next_wait(ConnectFailed("x"), n, rules, 0.0) for n in range(1, 8)] == [1, 2, 4, 8, 10, 10, 10]


SECONDS = st.floats(0, 1e6, allow_nan=False)


@given(
    attempts=st.integers(1, 5000),
    failures=st.integers(1, 5000),
    first=SECONDS,
    longest=SECONDS,
    obeyed=SECONDS,
    chance=st.floats(0, 1),
    wish=st.one_of(st.none(), st.floats(allow_nan=False)),
    transient=st.booleans(),
    outcome=st.sampled_from(Outcome),
    give_up_after=SECONDS,
    elapsed=SECONDS,
)
def test_a_wait_is_within_its_caps_and_absent_exactly_when_it_must_be(
    attempts: int,
    failures: int,
    first: float,
    longest: float,
    obeyed: float,
    chance: float,
    wish: float | None,
    transient: bool,
    outcome: Outcome,
    give_up_after: float,
    elapsed: float,
) -> None:
    rules = Retries(
        attempts=attempts,
        give_up_after=give_up_after,
        first_wait=first,
        longest_wait=longest,
        longest_obeyed=obeyed,
    )
    error = ForeignReply("x", status=503, outcome=outcome, transient=transient, retry_after=wish)

    wait = next_wait(error, failures, rules, chance, elapsed)

    over = failures >= attempts or elapsed >= give_up_after
    assert (wait is None) == (not transient or outcome is not Outcome.NOT_APPLIED or over)
    if wait is not None:
        assert 0 <= wait <= max(longest, obeyed)
        assert wait >= min(min(first, longest) / 2, give_up_after - elapsed)
        if wish is None:
            assert wait <= longest
        else:
            assert wait >= min(wish, obeyed)


def test_the_last_attempt_comes_when_the_time_is_over_and_not_later() -> None:
    """Whatever the backoff has come to; but a server that names a time is not asked before."""
    rules = Retries(give_up_after=300.0, first_wait=1.0, longest_wait=30.0)
    assert next_wait(ConnectFailed("x"), 50, rules, 0.0, elapsed=295.0) == 5.0
    assert next_wait(busy(20.0), 50, rules, 0.0, elapsed=295.0) == 20.0
    assert next_wait(ConnectFailed("x"), 50, rules, 0.0, elapsed=300.0) is None


def test_what_the_server_does_answer_is_not_asked_for_as_long_as_there_is_time() -> None:
    """A chunk that arrives damaged eight times in a row does not heal; a server that is away comes back."""
    rules = Retries()
    assert next_wait(ChunkRefused("x"), 7, rules, 0.0) is not None
    assert next_wait(ChunkRefused("x"), 8, rules, 0.0) is None
    assert next_wait(ConnectFailed("x"), 1000, rules, 0.0) is not None


def test_a_server_that_never_answered_is_asked_few_times_unless_it_is_known_to_come() -> None:
    error = ConnectFailed("x")
    error.first_contact = True
    assert next_wait(error, 3, Retries(), 0.0) is not None
    assert next_wait(error, 4, Retries(), 0.0) is None
    assert next_wait(error, 1000, Retries(first_attempts=None), 0.0) is not None


def test_without_end_means_that() -> None:
    """Only the time limit around it ends it: half a clean-up would be left."""
    rules = without_end(Retries(attempts=1, give_up_after=0.0))
    assert next_wait(ChunkRefused("x"), 1000, rules, 0.0, elapsed=1e9) is not None


# ── the loop ──────────────────────────────────────────────────────────────────────────────────────────────────────────

QUICK = Retries(attempts=4, first_wait=0.001, longest_wait=0.002, longest_obeyed=0.01)


class Attempts:
    """Fails as told, one error for each attempt, and then succeeds."""

    def __init__(self, *errors: Exception) -> None:
        self.made = 0
        self._errors = list(errors)

    async def __call__(self) -> str:
        self.made += 1
        if self._errors:
            raise self._errors.pop(0)
        return "done"


class Notes:
    """What ``on_retry`` was told."""

    def __init__(self) -> None:
        self.told: list[tuple[AsyncUploadError, int, float]] = []

    def __call__(self, error: AsyncUploadError, failures: int, wait: float) -> None:
        self.told.append((error, failures, wait))


@pytest.mark.anyio
async def test_a_success_is_not_repeated() -> None:
    attempt, notes = Attempts(), Notes()

    assert await persist(attempt, QUICK, on_retry=notes) == "done"

    assert attempt.made == 1
    assert notes.told == []


@pytest.mark.anyio
async def test_what_passes_is_outwaited_and_told() -> None:
    first, second = ConnectFailed("one"), ChunkRefused("two")
    attempt, notes = Attempts(first, second), Notes()

    assert await persist(attempt, QUICK, on_retry=notes) == "done"

    assert attempt.made == 3
    assert [(error, failures) for error, failures, _ in notes.told] == [(first, 1), (second, 2)]
    assert all(0 < wait <= QUICK.longest_wait for _, _, wait in notes.told)


@pytest.mark.anyio
async def test_the_last_attempts_error_comes_out_when_all_are_used_up() -> None:
    errors = [ConnectFailed(str(n)) for n in range(1, 6)]
    attempt, notes = Attempts(*errors), Notes()

    with pytest.raises(ConnectFailed) as caught:
        await persist(attempt, QUICK, on_retry=notes)

    assert caught.value is errors[3]
    assert attempt.made == QUICK.attempts == 4
    assert [failures for _, failures, _ in notes.told] == [1, 2, 3]


ENDS: dict[str, Callable[[], Exception]] = {
    "not transient": lambda: LoginRefused("no"),
    "outcome unknown": lambda: ConnectionLost("gone", outcome=Outcome.UNKNOWN),
    "not ours at all": lambda: RuntimeError("a bug"),
}


@pytest.mark.anyio
@pytest.mark.parametrize("case", ENDS)
async def test_what_a_repeat_would_not_mend_ends_the_attempts(case: str) -> None:
    error = ENDS[case]()
    attempt, notes = Attempts(ConnectFailed("passes"), error), Notes()

    with pytest.raises(type(error)) as caught:
        await persist(attempt, QUICK, on_retry=notes)

    assert caught.value is error
    assert attempt.made == 2
    assert len(notes.told) == 1


@pytest.mark.anyio
async def test_the_count_starts_anew_with_every_request() -> None:
    """It bounds faults in a row, not faults per file."""
    for _ in range(3):
        attempt = Attempts(*(ConnectFailed("x") for _ in range(3)))
        assert await persist(attempt, QUICK) == "done"


@pytest.mark.anyio
async def test_the_servers_wish_is_obeyed_and_capped() -> None:
    notes = Notes()
    rules = Retries(attempts=4, first_wait=0, longest_wait=0, longest_obeyed=0.01)

    await persist(Attempts(busy(0.005), busy(3600), busy(None)), rules, on_retry=notes)

    assert [wait for _, _, wait in notes.told] == [0.005, 0.01, 0]


@pytest.mark.anyio
async def test_the_wait_is_really_waited() -> None:
    """With a wait of an hour, nothing but the first attempt is made while others run."""
    attempt = Attempts(busy(3600))
    task = asyncio.ensure_future(persist(attempt, Retries(longest_obeyed=3600)))

    await anyio.wait_all_tasks_blocked()

    assert attempt.made == 1
    assert not task.done()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert attempt.made == 1


@pytest.mark.anyio
async def test_a_scope_ends_the_wait_at_once() -> None:
    attempt = Attempts(busy(3600))

    with anyio.fail_after(5), anyio.move_on_after(0.01) as scope:
        await persist(attempt, Retries(longest_obeyed=3600))

    assert scope.cancelled_caught
    assert attempt.made == 1


@pytest.mark.anyio
async def test_a_cancelled_attempt_is_not_made_again() -> None:
    attempt = Attempts(asyncio.CancelledError())  # type: ignore[arg-type]

    with pytest.raises(asyncio.CancelledError):
        await persist(attempt, QUICK)

    assert attempt.made == 1


# ── a pause for all ───────────────────────────────────────────────────────────────────────────────────────────────────

OBEDIENT = Retries(attempts=4, first_wait=0, longest_wait=0, longest_obeyed=3600)


async def _over(task: "asyncio.Future[str]") -> None:
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


@pytest.mark.anyio
async def test_one_uploads_pause_is_kept_by_all() -> None:
    """Faults 46 and 47: one is told to wait an hour, and another, which never failed, does not begin either."""
    pause, busied, innocent, one, other = Pause(), Attempts(busy(3600)), Attempts(), Waited(), Waited()
    first = asyncio.ensure_future(persist(busied, OBEDIENT, pause=pause, waited=one))
    await anyio.wait_all_tasks_blocked()
    second = asyncio.ensure_future(persist(innocent, OBEDIENT, pause=pause, waited=other))
    await anyio.sleep(0.02)

    assert (busied.made, innocent.made) == (1, 0)
    await _over(first)
    await _over(second)
    assert one.retry_after >= 0.02, "its own Retry-After"
    assert other.pauses >= 0.02, "somebody else's"
    assert (one.retries, other.retry_after, other.retries) == (0, 0, 0)


@pytest.mark.anyio
async def test_what_cleans_up_does_not_keep_the_pause() -> None:
    pause, attempt = Pause(), Attempts()
    pause.heed(busy(3600), OBEDIENT)

    assert await persist(attempt, OBEDIENT) == "done"


@pytest.mark.anyio
async def test_a_pause_is_heeded_even_by_an_attempt_that_gives_up() -> None:
    """The last attempt's wish is the server's as well: the next request must not come at once."""
    pause, late = Pause(), Attempts()
    with pytest.raises(ForeignReply):
        await persist(Attempts(busy(3600)), Retries(attempts=1, longest_obeyed=3600), pause=pause)
    task = asyncio.ensure_future(persist(late, OBEDIENT, pause=pause))
    await anyio.wait_all_tasks_blocked()

    assert late.made == 0
    await _over(task)


@pytest.mark.anyio
@pytest.mark.parametrize("wish", [None, 0.0])
async def test_without_a_wish_there_is_no_pause(wish: float | None) -> None:
    pause = Pause()
    pause.heed(busy(wish), OBEDIENT)

    with anyio.fail_after(5):
        await pause.over()


@pytest.mark.anyio
async def test_a_shorter_wish_does_not_shorten_a_pause() -> None:
    pause = Pause()
    pause.heed(busy(3600), OBEDIENT)
    pause.heed(busy(0.001), OBEDIENT)

    with anyio.move_on_after(0.05) as scope:
        await pause.over()

    assert scope.cancelled_caught


@pytest.mark.anyio
async def test_a_pause_is_no_longer_than_is_obeyed_and_then_it_is_over() -> None:
    pause, attempt = Pause(), Attempts()
    pause.heed(busy(math.inf), QUICK)

    with anyio.fail_after(5):
        assert await persist(attempt, QUICK, pause=pause) == "done"
        assert await persist(attempt, QUICK, pause=pause) == "done"
    assert attempt.made == 2


@pytest.mark.anyio
async def test_a_scope_ends_a_pause_at_once() -> None:
    pause, attempt = Pause(), Attempts()
    pause.heed(busy(3600), OBEDIENT)

    with anyio.fail_after(5), anyio.move_on_after(0.01) as scope:
        await persist(attempt, OBEDIENT, pause=pause)

    assert scope.cancelled_caught
    assert attempt.made == 0

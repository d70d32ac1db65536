"""Settings outside their range are refused at once, with the range in the message; and the formulas hold."""

import dataclasses
import math
import os
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncupload import Loss, Retries, Settings, Timeouts, UsageError, _body
from asyncupload.settings import KIB, LARGEST_CHUNK, MIB, SMALLEST_CHUNK

REFUSED: dict[str, tuple[Callable[[], object], str, str]] = {
    "chunk too small": (lambda: Settings(chunk_size=SMALLEST_CHUNK - 1), "chunk_size", "262144 to 33554432"),
    "chunk too large": (lambda: Settings(chunk_size=LARGEST_CHUNK + 1), "chunk_size", "262144 to 33554432"),
    "no depth": (lambda: Settings(depth=0), "depth", "at least 1"),
    "no threads": (lambda: Settings(checksum_threads=0), "checksum_threads", "at least 1"),
    "no such encoding": (lambda: Settings(encoding="pigeon"), "encoding", "auto"),  # type: ignore[arg-type]
    "no attempts": (lambda: Retries(attempts=0), "attempts", "at least 1"),
    "no first attempts": (lambda: Retries(first_attempts=0), "first_attempts", "at least 1"),
    "fewer than no restarts": (lambda: Retries(restarts=-1), "restarts", "not be negative"),
    "negative bytes": (lambda: Retries(restart_bytes=-1), "restart_bytes", "not be negative"),
    "negative patience": (lambda: Retries(give_up_after=-1), "give_up_after", "not be negative"),
    "negative first wait": (lambda: Retries(first_wait=-0.1), "first_wait", "not be negative"),
    "negative longest wait": (lambda: Retries(longest_wait=-1), "longest_wait", "not be negative"),
    "negative obedience": (lambda: Retries(longest_obeyed=-1), "longest_obeyed", "not be negative"),
    "no time to connect": (lambda: Timeouts(connect=0), "connect", "more than 0"),
    "no time to reply": (lambda: Timeouts(reply=-1), "reply", "more than 0"),
    "no slowest rate": (lambda: Timeouts(slowest_rate=0), "slowest_rate", "more than 0"),
    "no time to finalize": (lambda: Timeouts(finalize=0), "finalize", "more than 0"),
    "no time to settle": (lambda: Timeouts(settle=0), "settle", "more than 0"),
    "no time to clean up": (lambda: Timeouts(cleanup=0), "cleanup", "more than 0"),
    # Compares false with everything, and so would slip through a test for what is wrong.
    "not a number of seconds": (lambda: Timeouts(reply=math.nan), "reply", "more than 0"),
    "not a number to wait": (lambda: Retries(first_wait=math.nan), "first_wait", "not be negative"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_out_of_range_is_refused_with_the_range(case: str) -> None:
    make, name, allowed = REFUSED[case]

    with pytest.raises(UsageError) as refused:
        make()

    assert name in str(refused.value)
    assert allowed in str(refused.value)


def test_a_chunk_size_out_of_range_is_named() -> None:
    with pytest.raises(UsageError, match="chunk_size is 1000 bytes"):
        Settings(chunk_size=1000)


def test_a_rate_is_not_measured_in_seconds() -> None:
    with pytest.raises(UsageError) as refused:
        Timeouts(slowest_rate=0)

    assert "seconds" not in str(refused.value)


ACCEPTED: dict[str, Callable[[], object]] = {
    "the smallest chunk": lambda: Settings(chunk_size=SMALLEST_CHUNK),
    "the largest chunk": lambda: Settings(chunk_size=LARGEST_CHUNK),
    "one chunk ahead": lambda: Settings(depth=1),
    "one checksum thread": lambda: Settings(checksum_threads=1),
    "one attempt": lambda: Retries(attempts=1),
    "no restarts": lambda: Retries(restarts=0),
    "no waits": lambda: Retries(first_wait=0, longest_wait=0, longest_obeyed=0),
    "hardly any time": lambda: Timeouts(
        connect=1e-9, reply=1e-9, slowest_rate=1e-9, finalize=1e-9, cleanup=1e-9, settle=1e-9
    ),
}


@pytest.mark.parametrize("case", ACCEPTED)
def test_the_edges_of_the_ranges_are_inside(case: str) -> None:
    ACCEPTED[case]()


@given(depth=st.integers(1, 100), size=st.integers(SMALLEST_CHUNK, LARGEST_CHUNK))
def test_memory_is_depth_plus_two_chunks(depth: int, size: int) -> None:
    assert Settings(depth=depth, chunk_size=size).memory_per_upload == (depth + 2) * size


def test_the_default_chunk_passes_every_limit_that_servers_have_by_default() -> None:
    """Of the server's frameworks: 4 MiB for a whole request, and for one value of a form, percent-escapes included."""
    limit, chunk = 4 * MIB, Settings().chunk_size
    unlucky = bytes([0xFB, 0xEF, 0xBE]) * (chunk // 3)  # base64 of which is nothing but the character that grows

    assert len(_body.form((("a", "b"), ("c", "d")), os.urandom(chunk)).pieces[1]) < limit
    assert _body.soap("UploadFileChunk", (("a", "b"), ("c", "d")), unlucky, {}).size < limit
    assert _body.multipart((("a", "b"),), unlucky).size < limit


def test_a_chunk_has_the_time_of_a_reply_and_that_of_the_slowest_line() -> None:
    timeouts = Timeouts(reply=60, slowest_rate=16 * KIB)

    assert timeouts.chunk(0) == 60
    assert timeouts.chunk(MIB) == 60 + 64
    assert timeouts.chunk(32 * MIB) == 60 + 32 * 64


@given(small=st.integers(0, LARGEST_CHUNK), more=st.integers(1, LARGEST_CHUNK), rate=st.floats(1, 1e9))
def test_a_larger_chunk_has_more_time(small: int, more: int, rate: float) -> None:
    timeouts = Timeouts(slowest_rate=rate)

    assert timeouts.reply <= timeouts.chunk(small) < timeouts.chunk(small + more)


LOSSES: list[tuple[str, Loss, bool]] = [
    # what is lost, whether the checksum of the whole is to judge
    ("the first chunk", Loss(0, 100, rereadable=True), False),
    ("a chunk in the first half", Loss(49, 100, rereadable=True), False),
    ("exactly half is sent", Loss(50, 100, rereadable=True), False),
    ("more than half is sent", Loss(51, 100, rereadable=True), True),
    ("nobody knows how much is to come", Loss(10**9, None, rereadable=True), False),
    ("the first chunk, of an upload that has begun anew", Loss(0, 100, True, 1), True),
    ("it cannot begin anew", Loss(0, 100, rereadable=False), True),
    ("it cannot begin anew, and nobody knows how much", Loss(0, None, rereadable=False), True),
]


@pytest.mark.parametrize(("case", "loss", "proved"), LOSSES, ids=[row[0] for row in LOSSES])
def test_a_late_loss_is_proved_and_an_early_one_begins_anew(case: str, loss: Loss, proved: bool) -> None:
    """Faults 40 and 41: what costs less, where there is a choice."""
    assert Settings().prove(loss) is proved


@pytest.mark.parametrize("settings", [Settings(), Retries(), Timeouts()], ids=lambda made: type(made).__name__)
def test_settings_do_not_change_under_an_upload(settings: Settings | Retries | Timeouts) -> None:
    for field in dataclasses.fields(settings):
        with pytest.raises(dataclasses.FrozenInstanceError):
            setattr(settings, field.name, 1)


def test_settings_are_given_by_name() -> None:
    with pytest.raises(TypeError):
        Settings(MIB)  # type: ignore[call-arg]

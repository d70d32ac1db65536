"""Exactly once, or told so: under random faults, and under faults that Hypothesis chooses and shrinks.

A seed that fails is printed, and played again alone by ``python tests/storm.py --seed N``.
"""

import asyncio
import tempfile
from pathlib import Path

import babble
import fuzz
import pytest
import storm
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from verdicts import Journey
from weather import Round

from asyncupload.emulator import FAULTS, Call

pytestmark = pytest.mark.anyio

SEEDS = 10
"""Per test: some seconds of storm."""


@pytest.mark.parametrize("batch", range(5))
@pytest.mark.timeout(300)
async def test_every_upload_is_stored_once_or_told_as_what_it_is(batch: int) -> None:
    seen = await storm.storm(range(100_000 + batch * SEEDS, 100_000 + (batch + 1) * SEEDS))
    assert seen.outcomes.total() >= SEEDS
    assert not seen.wrong, "\n".join(str(this) for this in seen.wrong)


STEPS = (
    "AuthenticateUser",
    "FolderExists",
    "DocumentExists",
    "GetDocument",
    "Lock",
    "CreateUploadHandler",
    "UploadFileChunk",
    "UploadNewDocumentWidthHandler",
    "UploadDocumentWithHandler1",
    "GetDocumentVersions",
    "DeleteUploadHandler",
    "UnLock",
)

PLACES = st.dictionaries(
    st.tuples(st.sampled_from(STEPS), st.integers(1, 6)), st.sampled_from(sorted(FAULTS)), max_size=6
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(places=PLACES, chunks=st.integers(1, 5), existing=st.booleans())
@pytest.mark.timeout(300)
def test_no_script_of_faults_breaks_the_promise(
    places: dict[tuple[str, int], str], chunks: int, existing: bool
) -> None:
    def script(call: Call) -> str | None:
        name = places.get((call.operation, call.number))
        return name if name and FAULTS[name].fits(call.operation) else None

    this = Round(seed=-1)
    journey = Journey(f"{storm.FOLDER}/one.bin", bytes(range(256)) * 4 * chunks)
    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(storm.play(this, script, [journey], {journey.to} if existing else set(), Path(folder)))
    assert not this.wrong


def test_mutated_answers_end_in_typed_errors() -> None:
    """Some thousands of the million that ``make fuzz`` reads."""
    ends = fuzz.fuzz(20_000, seed=7) + fuzz.fuzz_spliced(5_000, seed=7)
    assert ends["success"]
    assert ends["ForeignReply"]


@pytest.mark.timeout(300)
async def test_no_answer_on_the_line_is_taken_for_that_to_another_question() -> None:
    """Answers that come twice, cut off, or with a stray one behind them, on connections that stay open."""
    ends = await babble.fuzz_line(600, seed=7)
    assert ends["on the line: answered"] > 590

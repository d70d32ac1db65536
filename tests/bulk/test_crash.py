"""Killed and frozen, again and again: a part of what ``make crash`` plays.

A seed that fails is printed, and played again alone by ``python tests/crash.py --seed N``.
"""

from collections import Counter
from dataclasses import replace

import crash
import pytest

pytestmark = pytest.mark.anyio


def as_told(rounds: list[crash.Round]) -> str:
    return "\n".join(str(this) for this in rounds)


def hurried(seed: int) -> crash.Round:
    """A round in which all are killed, and nobody waits for the leases of the dead."""
    return replace(crash.round_of(seed), processes=1, files=20, frozen=0.0, hurried=True)


@pytest.mark.timeout(300)
async def test_a_load_that_is_killed_again_and_again_stores_every_file_once() -> None:
    """Faults 74 and 81: at random moments, at a request, between any two writes; on a server in trouble."""
    happened, wrong = await crash.crash(map(hurried, range(1_000, 1_100)), enough=20)
    assert happened["killed"] >= 20
    assert not wrong, as_told(wrong)


@pytest.mark.timeout(300)
async def test_a_process_that_is_frozen_while_another_goes_on_stores_nothing_twice() -> None:
    """Faults 96 and 97: past its lease, and in the instant before a request to store."""
    happened, wrong = Counter[str](), list[crash.Round]()
    for seed in range(2_000, 2_010):
        this = replace(crash.round_of(seed), processes=2, files=20, frozen=1.0, faults={})
        this.options = replace(this.options, lease=0.3)
        more, bad = await crash.crash([this])
        happened, wrong = happened + more, wrong + bad
        if happened["frozen"] >= 2:
            break
    assert happened["frozen"] >= 2
    assert not wrong, as_told(wrong)

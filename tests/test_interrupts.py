"""Interrupted at random moments: a part of what ``make interrupts`` plays.

A seed that goes wrong is printed, and played again by ``python tests/interrupts.py --seed N``.
"""

import interrupts
import pytest

pytestmark = pytest.mark.anyio


@pytest.mark.timeout(300)
async def test_whenever_a_signal_comes_the_code_is_right_and_nothing_is_left() -> None:
    plays = await interrupts.interrupts(range(1_000, 1_024))

    assert {play.number for play in plays} == set(interrupts.SIGNALS)
    assert {play.command for play in plays} == set(interrupts.COMMANDS)
    assert not [play for play in plays if play.wrong], "\n".join(map(str, plays))

"""The line, measured: what is proposed, and that nothing is left on the server."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncupload import Client, Settings
from asyncupload.emulator import Emulator
from asyncupload.measure import ENOUGH, Proposal, Rate, measure, propose
from asyncupload.settings import KIB, MIB

RATES = st.lists(
    st.builds(
        Rate,
        st.sampled_from([1 << 18, 1 << 20, 1 << 22]),
        st.just(1),
        st.floats(1, 1e9),
    ),
    min_size=1,
    unique_by=lambda rate: rate.chunk_size,
)


@given(RATES)
def test_the_proposed_chunk_size_gives_nearly_the_best_rate_and_none_smaller_does(rates: list[Rate]) -> None:
    best, found = max(rate.bytes_per_second for rate in rates), propose(rates)
    good = {rate.chunk_size: rate.bytes_per_second >= ENOUGH * best for rate in rates}
    assert good[found.chunk_size]
    assert not any(good[size] for size in good if size < found.chunk_size)


def test_more_at_once_are_proposed_only_if_they_bring_something() -> None:
    alone = Rate(1 << 20, 1, 100.0)
    assert propose([alone, Rate(1 << 20, 2, 102.0)]) == Proposal(1 << 20, 1)
    assert propose([alone, Rate(1 << 20, 2, 190.0), Rate(1 << 20, 4, 195.0)]) == Proposal(1 << 20, 2)


@pytest.mark.anyio
async def test_a_size_that_something_on_the_way_refuses_ends_the_trying_of_sizes(tmp_path: Path) -> None:
    """A proxy's limit on requests: smaller ones have just worked, and are what is proposed."""
    async with Emulator(tmp_path / "server", body_limit=2 * MIB) as server:
        async with Client(server.url, user="demo", password="demo", settings=Settings(chunk_size=16 * MIB)) as client:
            rates = [rate async for rate in measure(client, seconds=0.05)]

        assert [rate.chunk_size for rate in rates if rate.at_once == 1] == [256 * KIB, MIB]
        assert {rate.at_once for rate in rates} > {1}
        assert not await server.open_handlers()

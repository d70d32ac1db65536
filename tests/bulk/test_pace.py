"""How many files at once: within bounds, half as many under congestion, more while that helps."""

from hypothesis import given
from hypothesis import strategies as st

from asyncupload.bulk.pace import FIRST, PATIENCE, Pace

LOOKS = st.lists(st.tuples(st.floats(0, 1e12), st.booleans(), st.booleans()), max_size=60)


@given(most=st.integers(1, 64), looks=LOOKS)
def test_the_limit_stays_within_bounds_whatever_comes(most: int, looks: list[tuple[float, bool, bool]]) -> None:
    pace = Pace(most=most)
    for work, congested, busy in looks:
        before, pace = pace, pace.after(work=work, congested=congested, busy=busy)
        assert 1 <= pace.limit <= most
        assert pace.limit <= before.limit + 1


@given(most=st.integers(1, 64), limit=st.integers(1, 64), work=st.floats(0, 1e12), busy=st.booleans())
def test_congestion_halves_it(most: int, limit: int, work: float, busy: bool) -> None:
    before = Pace(most=most, limit=limit)
    assert before.after(work=work, congested=True, busy=busy).limit == max(1, before.limit // 2)


def test_it_grows_to_the_most_while_more_comes_through() -> None:
    pace = Pace(most=16)
    assert pace.limit == FIRST
    for second in range(1, 14):
        pace = pace.after(work=1000.0 * second, congested=False, busy=True)
    assert pace.limit == 16


def test_it_stays_where_more_would_not_help_and_tries_again_after_a_while() -> None:
    pace = Pace(most=16).after(work=1000, congested=False, busy=True)
    limits = []
    for _ in range(PATIENCE + 1):
        pace = pace.after(work=1000, congested=False, busy=True)
        limits.append(pace.limit)
    assert limits == [FIRST + 1] * PATIENCE + [FIRST + 2]


def test_nothing_is_learned_while_fewer_files_are_there_than_are_allowed() -> None:
    pace = Pace(most=16)
    assert pace.after(work=1e9, congested=False, busy=False) == pace


def test_after_congestion_it_grows_again() -> None:
    pace = Pace(most=16, limit=8, best=1e9).after(work=10, congested=True, busy=True)
    assert pace.after(work=10, congested=False, busy=True).limit == 5

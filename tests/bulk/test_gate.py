"""The gate: closed by the server's trouble, ajar for one file at a time, open after one success."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncupload.bulk.gate import FIRST_WAIT, LONGEST_WAIT, SYSTEMIC, Gate


def closed(now: float = 100.0) -> Gate:
    return Gate().trouble("refused", now, answering=False)


def test_it_is_open_at_first() -> None:
    assert Gate().allowed(16, 0.0) == 16
    assert not Gate().ajar


def test_one_trouble_closes_it_where_the_server_does_not_answer() -> None:
    gate = closed(100.0)
    assert gate.allowed(16, 100.0) == 0
    assert gate.reason == "refused"


def test_after_the_wait_one_file_finds_out() -> None:
    gate = closed(100.0)
    assert gate.allowed(16, 100.0 + FIRST_WAIT) == 1
    assert gate.ajar


def test_a_success_opens_it() -> None:
    assert closed().success() == Gate()


def test_trouble_of_one_file_leaves_it_open_where_the_server_answers() -> None:
    gate = Gate()
    for _ in range(SYSTEMIC - 1):
        gate = gate.trouble("strange", 100.0, answering=True)
    assert gate.allowed(16, 100.0) == 16
    assert gate.trouble("strange", 100.0, answering=True).allowed(16, 100.0) == 0


def test_a_success_between_troubles_keeps_it_open() -> None:
    """A file that the server cannot take is no trouble of the server's."""
    gate = Gate()
    for _ in range(10 * SYSTEMIC):
        gate = gate.trouble("strange", 100.0, answering=True).success()
    assert gate.allowed(16, 100.0) == 16


def test_those_who_were_in_flight_when_it_closed_do_not_lengthen_the_wait() -> None:
    gate = closed(100.0)
    again = gate.trouble("refused", 100.5, answering=False)
    assert again.closed_until == gate.closed_until
    assert again.waits == gate.waits


@given(st.integers(1, 80))
def test_each_wait_is_twice_the_one_before_up_to_a_minute(probes: int) -> None:
    gate, now = Gate(), 5.0
    for number in range(probes):
        gate = gate.trouble("refused", now, answering=False)
        assert gate.closed_until - now == pytest.approx(min(FIRST_WAIT * 2**number, LONGEST_WAIT))
        now = gate.closed_until


def test_it_is_hopeless_when_nothing_has_succeeded_for_too_long() -> None:
    gate = closed(100.0)
    assert not gate.hopeless(160.0, 60.0)
    assert gate.hopeless(160.1, 60.0)
    assert not gate.success().hopeless(1e9, 60.0)


def test_troubles_that_never_closed_it_make_nothing_hopeless() -> None:
    assert not Gate().trouble("strange", 100.0, answering=True).hopeless(1e9, 60.0)

"""The words of a bulk load: which moves there are, and which destinations are one."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncupload.bulk.rows import ENDED, LEASED, MOVES, State, fold, origins


def test_every_state_says_where_it_leads() -> None:
    assert set(MOVES) == set(State)
    assert all(allowed <= set(State) for allowed in MOVES.values())


def test_a_document_is_stored_only_by_a_row_that_was_committing() -> None:
    """Fault 81: what is under way must have been written down before."""
    assert origins(State.STORED) == {State.COMMITTING}
    assert origins(State.COMMITTING) == {State.SENDING, State.COMMITTING}


def test_what_has_ended_is_only_ever_planned_anew() -> None:
    assert all(MOVES[state] == {State.PLANNED} for state in ENDED)


def test_every_state_is_reached_and_left() -> None:
    assert all(origins(state) for state in State)
    assert all(MOVES.values())


def test_a_row_is_either_planned_or_leased_or_ended() -> None:
    assert {State.PLANNED} | LEASED | ENDED == set(State)
    assert not LEASED & ENDED


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("/A/Report.pdf", "/a/REPORT.PDF"),
        ("/A/Übung", "/a/U\u0308BUNG"),
        ("/A/Straße", "/A/STRASSE"),
        ("/A/\u03a3", "/A/\u03c2"),
    ],
)
def test_twins_are_one_destination(one: str, other: str) -> None:
    assert fold(one) == fold(other)


def test_different_names_stay_different() -> None:
    assert fold("/A/resume") != fold("/A/resumé")


@given(st.text())
def test_folding_is_done_once(text: str) -> None:
    assert fold(fold(text)) == fold(text)


@given(st.text(), st.sampled_from(["NFC", "NFD"]))
def test_composition_makes_no_difference(text: str, form: str) -> None:
    assert fold(unicodedata.normalize(form, text)) == fold(text)  # type: ignore[arg-type]

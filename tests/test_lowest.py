"""What is installed to test the lowest versions that are allowed is the lowest that is allowed."""

import tomllib

import pytest
from lowest import PROJECT, direct, lowest


def test_a_floor_becomes_the_version_itself() -> None:
    assert list(lowest(["b>=2.1", "a~=1.0", "c>=3,<4"])) == ["a==1.0", "b==2.1", "c==3"]


def test_the_highest_of_several_floors_counts() -> None:
    assert list(lowest(["a>=2.9", "a>=2.10", "a>=2.1"])) == ["a==2.10"]


def test_what_is_for_some_systems_only_stays_so() -> None:
    assert list(lowest(['a>=1; sys_platform != "win32"'])) == ['a==1; sys_platform != "win32"']


@pytest.mark.parametrize("requirement", ["a", "a<2", "a!=1.1"])
def test_what_has_no_floor_is_refused(requirement: str) -> None:
    """Any version that ever was would have to do."""
    with pytest.raises(ValueError, match="no lowest version"):
        list(lowest([requirement]))


def test_everything_that_this_project_asks_for_has_a_floor() -> None:
    with PROJECT.open("rb") as file:
        asked = direct(tomllib.load(file)["project"])

    assert len(list(lowest(asked))) == len(asked)

"""The lowest versions that ``pyproject.toml`` allows, as constraints for pip: ``make test-lowest`` installs them.

python tests/lowest.py > constraints.txt
"""

import sys
import tomllib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement
from packaging.version import Version

PROJECT = Path(__file__).parent.parent / "pyproject.toml"
FLOORS = {">=", "~=", "=="}
"""Operators whose version is the lowest that they allow."""


def direct(project: dict[str, Any]) -> list[str]:
    """What users install, and what the tests need. Descriptions of types are read by no test."""
    named = [*project["dependencies"], *project["optional-dependencies"]["dev"]]
    return [text for text in named if not text.startswith("types-")]


def lowest(requirements: Iterable[str]) -> Iterator[str]:
    """One constraint for each library, where several requirements name it for the highest of their floors.

    Raises:
        ValueError: A requirement has no floor, so any version that ever was would have to do.
    """
    found: dict[str, Requirement] = {}
    for text in requirements:
        requirement = Requirement(text)
        if (known := found.get(requirement.name)) is None or _floor(known) < _floor(requirement):
            found[requirement.name] = requirement
    for name, requirement in sorted(found.items()):
        marker = f"; {requirement.marker}" if requirement.marker else ""
        yield f"{name}=={_floor(requirement)}{marker}"


def _floor(requirement: Requirement) -> Version:
    floors = [Version(one.version) for one in requirement.specifier if one.operator in FLOORS]
    if not floors:
        raise ValueError(f"{requirement} has no lowest version")
    return max(floors)


def main() -> None:
    with PROJECT.open("rb") as file:
        project = tomllib.load(file)["project"]
    sys.stdout.writelines(f"{line}\n" for line in lowest(direct(project)))


if __name__ == "__main__":
    main()

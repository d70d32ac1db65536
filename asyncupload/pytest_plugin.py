"""The document server on this machine, as a fixture for the tests of those who upload into one.

pytest finds this room by itself, in every environment that has the package, and imports it in every run: so it imports
nothing that takes time until a test asks for the fixture.
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from .emulator import ThreadedEmulator


@pytest.fixture
def asyncupload_emulator(tmp_path_factory: pytest.TempPathFactory) -> "Iterator[ThreadedEmulator]":
    """A document server of this test's own, with the folders /Library and /Finance/Reports and the user demo/demo.

    It runs in a thread, for async tests and others alike, and ends with the test.
    """
    from .emulator import Emulator, ThreadedEmulator  # noqa: PLC0415  (see above)

    with ThreadedEmulator(Emulator(tmp_path_factory.mktemp("asyncupload"))) as server:
        yield server

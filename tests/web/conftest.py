"""The document server that the examples find in their environment."""

import pytest

from asyncupload.emulator import Emulator


@pytest.fixture
def server(emulator: Emulator, monkeypatch: pytest.MonkeyPatch) -> Emulator:
    """A document server, whose address the examples know."""
    monkeypatch.setenv("INFOROUTER", emulator.url)
    return emulator

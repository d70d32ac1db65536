"""What the tests with nginx run under."""

import itertools
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path

import pytest

from .killable import KillableServer
from .nginx import Nginx, running
from .peers import peer

Before = Callable[..., AbstractContextManager[Nginx]]
"""Starts an nginx before the server at a URL; the keywords are those of :func:`running`."""


@pytest.fixture
def nginx(tmp_path: Path) -> Before:
    """Starts nginx; each one in a folder of its own."""
    program, numbers = peer("nginx"), itertools.count(1)
    return lambda behind, **rest: partial(running, program)(tmp_path / f"nginx-{next(numbers)}", behind, **rest)


@pytest.fixture
def killable(tmp_path: Path) -> Iterator[KillableServer]:
    """A server process, not yet started."""
    server = KillableServer(tmp_path / "served")
    yield server
    server.kill()

"""Programs that are not ours, and may not be on this machine."""

import os
import shutil
from typing import NoReturn

import pytest


def peer(program: str, packages: str = "") -> str:
    """Where the program is. Without it the test is skipped or, where ASYNCUPLOAD_REQUIRE_PEERS is 1, fails.

    Args:
        program: Its name.
        packages: What Debian calls that which brings it, if not by its name.
    """
    # Debian keeps some where only root's path leads.
    found = shutil.which(program, path=f"{os.environ.get('PATH', os.defpath)}:/usr/local/sbin:/usr/sbin")
    if found is None:
        do_without(program, packages or program)
    return found


def do_without(what: str, packages: str) -> NoReturn:
    """End a test for which something is not there."""
    why = f"{what} is not installed: `apt-get install {packages}`, or what this system has for that, brings it"
    if os.environ.get("ASYNCUPLOAD_REQUIRE_PEERS") == "1":
        pytest.fail(f"{why} (ASYNCUPLOAD_REQUIRE_PEERS=1 forbids to skip)")
    pytest.skip(why)

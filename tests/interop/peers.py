"""Programs that are not ours, and may not be on this machine."""

import os
import shutil

import pytest


def peer(program: str) -> str:
    """Where the program is. Without it the test is skipped or, where ASYNCUPLOAD_REQUIRE_PEERS is 1, fails."""
    # Debian keeps some where only root's path leads.
    found = shutil.which(program, path=f"{os.environ.get('PATH', os.defpath)}:/usr/local/sbin:/usr/sbin")
    if found is not None:
        return found
    why = f"{program} is not installed: `apt-get install {program}`, or what this system has for that, brings it"
    if os.environ.get("ASYNCUPLOAD_REQUIRE_PEERS") == "1":
        pytest.fail(f"{why} (ASYNCUPLOAD_REQUIRE_PEERS=1 forbids to skip)")
    pytest.skip(why)

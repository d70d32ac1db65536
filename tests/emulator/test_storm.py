"""Every fault there is, at once: the emulator keeps its feet, and its records keep the truth."""

import asyncio
import contextlib
import xml.etree.ElementTree as ET
from pathlib import Path

import aiohttp
import pytest

from asyncupload.emulator import FAULTS, Emulator, rates, together
from emulator.caller import Caller

FINALIZE = "UploadDocumentWithHandler"
TROUBLE = (aiohttp.ClientError, TimeoutError, UnicodeError, ET.ParseError, KeyError, AssertionError)
SILENT = {"stall", "stall-after"}
OF_ALL = {"recycle", "away"}
"""They hit everybody else, too."""


async def stored_in_a_storm(server: Emulator, number: int, room: asyncio.Semaphore) -> None:
    """One client that tries once and gives up at the first trouble."""
    async with room, Caller(server.url) as caller:
        with contextlib.suppress(*TROUBLE):
            async with asyncio.timeout(2):
                await caller.sign_in("demo", "demo")
                await caller.store(f"/Library/{number}", b"%d" % number)


@pytest.mark.anyio
@pytest.mark.parametrize("seed", range(2))
async def test_records_tell_what_was_applied(tmp_path: Path, seed: int, caplog: pytest.LogCaptureFixture) -> None:
    names = sorted(FAULTS.keys() - SILENT - OF_ALL)
    share = 0.15 / len(names)
    script = together(
        rates(dict.fromkeys(names, share), seed=seed), rates(dict.fromkeys(reversed(names), share), seed=seed + 1000)
    )
    # Few at a time: one session forgotten is all of them forgotten.
    room = asyncio.Semaphore(8)
    async with Emulator(tmp_path, script=script, delay=0.01, huge_size=1000, slow=0.02, gateway=0.01) as server:
        await asyncio.gather(*(stored_in_a_storm(server, number, room) for number in range(120)))
        await server.settled()
        applied = [call for call in server.calls if call.operation == FINALIZE and call.applied]
        assert len(await server.documents()) == len(applied) > 20
        assert all(FAULTS[name].applies for call in applied for name in call.faults)
    assert not caplog.records

"""Work that signals end: how, and what they leave to it."""

import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from asyncupload.cli.running import run

from .commands import end, environment

WORK = """
import asyncio, sys, time
from asyncupload.cli.running import Interrupted, run

async def work():
    print("working", flush=True)
    try:
        {wait}
    finally:
        print("cleaning", flush=True)
        {clean}
        print("clean", flush=True)

try:
    print("result", run(work))
except Interrupted as signal:
    print(signal.code, signal.hurried, flush=True)
    if signal.hurried:
        import os
        os._exit(0)
"""

FOREVER = "await asyncio.Event().wait()"
DEAF = "await asyncio.wait([asyncio.ensure_future(asyncio.sleep(25))])"


@contextmanager
def working(wait: str = FOREVER, clean: str = "pass") -> Iterator["subprocess.Popen[str]"]:
    process = subprocess.Popen(
        [sys.executable, "-c", WORK.format(wait=wait, clean=clean)],
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    with process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "working\n"
            yield process
        finally:
            process.kill()


def test_what_the_work_returns_is_the_result() -> None:
    async def work() -> str:
        return "done"

    assert run(work) == "done"


def test_what_the_work_raises_goes_on() -> None:
    async def work() -> None:
        raise LookupError("here")

    with pytest.raises(LookupError, match="here"):
        run(work)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_cancels_the_work_and_its_cleaning_up_is_waited_for(number: signal.Signals, code: int) -> None:
    with working(clean="await asyncio.sleep(0.3)") as process:
        process.send_signal(number)
        assert end(process) == (0, f"cleaning\nclean\n{code} False\n", "")


@pytest.mark.parametrize("clean", [DEAF, "time.sleep(25)"], ids=["waiting", "busy"])
def test_a_second_ctrl_c_does_not_wait_for_the_cleaning_up(clean: str) -> None:
    with working(clean=clean) as process:
        process.send_signal(signal.SIGINT)
        assert process.stdout is not None
        assert process.stdout.readline() == "cleaning\n"
        process.send_signal(signal.SIGINT)
        assert end(process, within=15) == (0, "130 True\n", "")


def test_a_ctrl_c_after_sigterm_is_the_first_of_its_kind() -> None:
    with working(clean="await asyncio.sleep(1)") as process:
        process.send_signal(signal.SIGTERM)
        assert process.stdout is not None
        assert process.stdout.readline() == "cleaning\n"
        process.send_signal(signal.SIGTERM)
        ended = end(process)
        assert ended.out.endswith("143 False\n")
        assert "Traceback" not in ended.err

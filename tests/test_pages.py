"""What the pages on testing and on observability show is run, as the programs that it makes together."""

import json
import os
import re
import sys
from pathlib import Path

import anyio
import pytest

from asyncupload.emulator import Emulator

pytest_plugins = ["pytester"]
DOCS = Path(__file__).parent.parent / "docs"


def _program(page: str) -> str:
    return "\n".join(re.findall(r"^```python\n(.*?)^```", (DOCS / page).read_text("utf-8"), re.MULTILINE | re.DOTALL))


def test_the_tests_shown_pass(pytester: pytest.Pytester) -> None:
    program = _program("testing.md")
    pytester.makepyfile(program)

    result = pytester.runpytest_subprocess("-W", "error", "-p", "no:cacheprovider")

    result.assert_outcomes(passed=program.count("def test_"))


@pytest.mark.anyio
async def test_the_program_shown_can_be_seen_in_each_way(emulator: Emulator) -> None:
    command = [sys.executable, "-W", "error", "-c", _program("observability.md")]
    environment = {**os.environ, "ASYNCUPLOAD_SERVER": emulator.url}

    with anyio.fail_after(50):
        done = await anyio.run_process(command, check=False, stderr=-2, env=environment)

    output = done.stdout.decode()
    assert done.returncode == 0, output
    lines = [json.loads(line) for line in re.findall(r"^\{.+\}$", output, re.MULTILINE)]
    assert [line["request_id"] for line in lines if line["event"] == "upload_ended"] == ["r-17"]
    for told in (
        '"name": "asyncupload.stage"',
        '"name": "UploadFileChunk"',
        'asyncupload_uploads_total{error="",status="stored"} 1.0',
    ):
        assert told in output
    assert "report.txt" not in "".join(re.findall(r"^\{\n.*?^\}", output, re.MULTILINE | re.DOTALL)), "a span tells it"

"""What the benchmarks compare does what it says: every sender brings all of its bytes, and the sink would know."""

import http.client
import importlib
import json
import os
import shutil
import signal
import subprocess
import sys
import zlib
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

BENCHMARKS = Path(__file__).parent.parent / "benchmarks"

SENDERS = ["bare", "bulk", "curl", "floor", "formdata", "ours", "prebuilt", "requests", "staged", "stall"]
"""Those whose libraries are here; the others differ by a line."""

CALLS = {"bare": 1 + 4 * 2, "prebuilt": 1 + 3}
"""Requests for two files of three chunks each, where it is not create, chunks, store: those two send no file."""


@contextmanager
def sink(*options: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """A sink, and what it says at its end."""
    process = subprocess.Popen(
        [sys.executable, str(BENCHMARKS / "sink.py"), *options], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    told: dict[str, Any] = {}
    try:
        yield json.loads(process.stdout.readline())["url"], told
    finally:
        process.send_signal(signal.SIGTERM)
        output, _ = process.communicate(timeout=20)
        told.update(json.loads(output))


@pytest.mark.parametrize("sender", SENDERS)
def test_a_sender_brings_every_byte(sender: str, tmp_path: Path) -> None:
    if sender == "curl" and shutil.which("curl") is None:
        pytest.skip("curl is not installed")
    file, chunk = tmp_path / "file", 256 * 1024
    file.write_bytes(os.urandom(2 * chunk + 5))
    command = [sys.executable, str(BENCHMARKS / "senders.py"), sender, "--file", str(file), "--chunk", str(chunk)]

    with sink("--verify") as (url, told):
        done = subprocess.run([*command, "--url", url, "--count", "2"], stdout=subprocess.PIPE, text=True, check=True)

    figures = json.loads(done.stdout.splitlines()[0])
    assert figures["seconds"] > 0
    assert figures["bytes"] == 2 * file.stat().st_size
    if sender in CALLS:
        assert told["requests"] == CALLS[sender]
    else:
        assert told["appended"] == 2 * file.stat().st_size


def test_a_verifying_sink_refuses_other_bytes() -> None:
    """Or a sender that sends the wrong ones would be the fastest of all."""

    def post(crc: int) -> bytes:
        body = (
            b'--b\r\nContent-Disposition: form-data; name="uploadHandler"\r\n\r\nh\r\n'
            b'--b\r\nContent-Disposition: form-data; name="chunkHEXCRC"\r\n\r\n%X\r\n'
            b'--b\r\nContent-Disposition: form-data; name="fileChunk"; filename="c"\r\n\r\ncontent\r\n--b--\r\n' % crc
        )
        head = {"Content-Type": "multipart/form-data; boundary=b"}
        with closing(http.client.HTTPConnection(address.hostname or "", address.port)) as connection:
            connection.request("POST", "/srv.asmx/UploadFileChunk", body, head)
            return connection.getresponse().read()

    with sink("--verify") as (url, told):
        address = urlsplit(url)
        assert b'tryagain="true"' in post(zlib.crc32(b"contend"))
        assert b'success="true"' in post(zlib.crc32(b"content"))

    assert told["appended"] == len(b"content")


def test_results_have_a_table_and_a_drawing_per_curve(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    pages, rounds = importlib.import_module("pages"), importlib.import_module("rounds")
    curve = [
        rounds.Series("scaling", "depth", str(x), "MiB/s", [100.0 * x, 110.0 * x, 90.0 * x], {"floor": [0.5]}, x)
        for x in (1, 2, 4)
    ]
    alone = rounds.Series("single", "1 MiB chunks", "floor", "MiB/s", [5.0])

    table = pages.table([*curve, alone])
    drawings = pages.plots([*curve, alone])

    assert "| depth | 2 | 200 | MiB/s (180 – 220) | 0.50 of floor |" in table
    assert "| 1 MiB chunks | floor | 5 | MiB/s (5 – 5) |  |" in table
    assert list(drawings) == ["scaling-depth"]
    assert drawings["scaling-depth"].count("<polyline") == 1

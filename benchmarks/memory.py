"""How much memory does an upload of a very large file take? The client's peak, in a process of its own.

    python benchmarks/memory.py 10GiB

The file is sparse, the server is the emulator in another process. What counts is the *resident set at its peak* of the
process that uploads, as the kernel accounts for it when the process has ended: interpreter, libraries and all. The
memory formula, ``(depth + 2) × chunk size``, is the part of it that grows with the settings; beside it stands what the
same process takes before the first byte (``check``).
"""

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

CHUNK = 4 * 1024 * 1024
LIMIT_MIB = 100


def main() -> int:
    parser = argparse.ArgumentParser(description="Peak memory of the upload of one large file.")
    parser.add_argument("size", nargs="?", default="10GiB", type=_size, help="such as 512MiB or 10GiB")
    size = parser.parse_args().size
    with tempfile.TemporaryDirectory(prefix="asyncupload-bench-") as folder:
        source = Path(folder) / "large.bin"
        with source.open("wb") as file:
            file.truncate(size)
        url, server = _serve(Path(folder) / "data")
        try:
            before, _ = _measured(["check"], url)
            began = time.monotonic()
            peak, result = _measured(["upload", str(source), "/Library/large.bin", "--json", "--quiet"], url)
            seconds = time.monotonic() - began
        finally:
            server.terminate()
            server.wait()
        receipt = json.loads(result)
    print(f"sent {receipt['size'] / 2**20:.0f} MiB in {receipt['chunks']} chunks of {CHUNK / 2**20:.0f} MiB")
    print(f"peak resident set {peak:.1f} MiB (before the first byte {before:.1f} MiB), limit {LIMIT_MIB} MiB")
    print(f"{receipt['size'] / 2**20 / seconds:.0f} MiB/s, with the emulator on the same machine")
    return 0 if receipt["size"] == size and peak < LIMIT_MIB else 1


def _size(text: str) -> int:
    found = re.fullmatch(r"(\d+)\s*([KMG]?)i?B?", text, flags=re.IGNORECASE)
    if not found:
        raise argparse.ArgumentTypeError(f"{text!r} is not a size such as 10GiB")
    return int(found[1]) << {"": 0, "K": 10, "M": 20, "G": 30}[found[2].upper()]


def _serve(data: Path) -> tuple[str, "subprocess.Popen[str]"]:
    command = [sys.executable, "-m", "asyncupload", "serve", "--json", "--port", "0", "--data", str(data)]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert server.stdout is not None
    return json.loads(server.stdout.readline())["url"], server


def _measured(words: list[str], url: str) -> tuple[float, str]:
    """Run a command; its peak resident set in MiB, and what it printed."""
    options = ["--server", url, "--user", "demo", "--chunk-size", str(CHUNK)]
    command = [sys.executable, "-m", "asyncupload", *words, *options]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, text=True, env={**os.environ, "ASYNCUPLOAD_PASSWORD": "demo"}
    )
    assert process.stdout is not None
    output = process.stdout.read()
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{' '.join(command)} ended with {process.returncode}")
    return usage.ru_maxrss / 1024, output


if __name__ == "__main__":
    sys.exit(main())

"""A server in a process of its own, as everybody can start it, for clients that know nothing of this package."""

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def serving(data: Path, *words: str) -> Iterator[str]:
    """Its URL, once it has said that it serves. User demo, password demo."""
    command = [sys.executable, "-m", "asyncupload", "serve", "--json", "--port", "0", "--data", str(data), *words]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            yield json.loads(process.stdout.readline())["url"]
        finally:
            process.terminate()


def stored(data: Path) -> list[bytes]:
    """The contents in the data folder of a server, in the order in which they came."""
    return [file.read_bytes() for file in sorted((data / "contents").iterdir(), key=lambda file: int(file.name))]

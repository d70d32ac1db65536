"""``asyncupload serve`` in a process that can be killed, and started again where it was."""

import json
import subprocess
from pathlib import Path

from cli.commands import end, start


class KillableServer:
    """One server process at a time, always at the same port and on the same folder."""

    def __init__(self, data: Path) -> None:
        self.data = data
        self.url = ""
        self._process: subprocess.Popen[str] | None = None

    def start(self, *words: object) -> None:
        """Return once it serves. The first start takes a free port, which the later ones take again."""
        port = self.url.rpartition(":")[2] or 0
        self._process = start("serve", "--json", "--port", port, "--data", self.data, *words)
        assert self._process.stdout is not None
        first = self._process.stdout.readline()
        assert first, end(self._process)
        self.url = json.loads(first)["url"]

    def kill(self) -> None:
        """As by a power cut: when this returns the process is gone."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()  # without a time limit, which would be waited out by sleeping
            for stream in (self._process.stdout, self._process.stderr):
                assert stream is not None
                stream.close()
            self._process = None

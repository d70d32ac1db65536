"""A real nginx in front of a server: one process in a folder of its own."""

import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from cli.commands import PATIENCE, eventually

_CONFIGURATION = """\
daemon off;
# One process: none that changes to a user who may not enter the folder, none that outlives the other.
master_process off;
pid nginx.pid;
error_log error.log;
events {{}}
http {{
    client_body_temp_path body;
    proxy_temp_path proxy;
    fastcgi_temp_path fastcgi;
    uwsgi_temp_path uwsgi;
    scgi_temp_path scgi;
    log_format answered '$status $connection $uri';
    access_log access.log answered;
    client_max_body_size 64m;
    proxy_http_version 1.1;
    proxy_set_header Connection "";
    upstream server {{
        server {behind};
        keepalive 4;
    }}
    server {{
        listen 127.0.0.1:{port} {listen};
        location / {{ proxy_pass http://server; }}
        {more}
    }}
}}
"""


class Answered(NamedTuple):
    """A request that nginx has answered."""

    status: int
    connection: int
    """Number of the client's connection that it came on."""
    operation: str


@dataclass(frozen=True, slots=True)
class Nginx:
    """One that is running."""

    url: str
    folder: Path

    def answered(self, operation: str = "") -> list[Answered]:
        """What it has answered, in order; of one operation or of all."""
        lines = (line.split(" ", 2) for line in (self.folder / "access.log").read_text("utf-8").splitlines())
        found = (Answered(int(status), int(number), uri.rpartition("/")[2]) for status, number, uri in lines)
        return [one for one in found if operation in {"", one.operation}]


@contextmanager
def running(program: str, folder: Path, behind: str, *, listen: str = "", more: str = "") -> Iterator[Nginx]:
    """Nginx in front of the server at the URL ``behind``.

    Args:
        program: Which nginx.
        folder: Where it keeps everything; made here.
        listen: What stands behind its port, for example ``ssl``; the URL is https then.
        more: Directives for its server.
    """
    folder.mkdir()
    port = free_port()
    address = behind.removeprefix("http://")
    (folder / "nginx.conf").write_text(_CONFIGURATION.format(behind=address, port=port, listen=listen, more=more))
    process = subprocess.Popen(
        [program, "-p", folder, "-c", folder / "nginx.conf"],
        stdin=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        eventually(lambda: process.poll() is not None or _connects(port), f"nginx at port {port}")
        assert process.poll() is None, f"nginx ended at once: {process.communicate()[1]}"
        yield Nginx(f"{'https' if 'ssl' in listen else 'http'}://127.0.0.1:{port}", folder)
    finally:
        process.kill()
        process.communicate(timeout=PATIENCE)


def free_port() -> int:
    """One that nobody listens at, a moment ago."""
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        port: int = holder.getsockname()[1]
        return port


def _connects(port: int) -> bool:
    with suppress(ConnectionRefusedError), socket.create_connection(("127.0.0.1", port)):
        return True
    return False

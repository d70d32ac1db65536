"""A proxy with a password, which says back what it was told: nothing that the commands say or keep has it."""

import base64
import threading
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.error import HTTPError
from urllib.parse import quote, urlsplit

import pytest

from .commands import PATIENCE
from .conftest import PASSWORD, Here, Server

OF_PROXY = "hush/Pr0xy word:ü"
TOKEN = base64.b64encode(f"jsmith:{OF_PROXY}".encode()).decode()
DIRECTLY = urllib.request.build_opener(urllib.request.ProxyHandler({}))


@contextmanager
def repeating(refused: str, url: str) -> Iterator[str]:
    """The address of a proxy that answers one operation with all that it was told, and hands on every other."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            operation = self.path.rpartition("/")[2]
            # The beginning is quoted in messages.
            said = f"{OF_PROXY} {quote(OF_PROXY)} {self.headers['Proxy-Authorization']}"
            status, answer = 407, body[:40] + f" {said} {self.headers}".encode()
            if operation != refused:
                asked = urllib.request.Request(url + urlsplit(self.path).path, body, dict(self.headers))
                try:
                    with DIRECTLY.open(asked, timeout=PATIENCE) as there:
                        status, answer = there.status, there.read()
                except HTTPError as error:
                    status, answer = error.code, error.read()
            self.send_response(status, "" if status == 200 else f"You said {self.headers['Proxy-Authorization']}")
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002  (the base class's name)
            """Says nothing: standard error is the tests'."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as proxy:
        proxy.daemon_threads = True
        threading.Thread(target=proxy.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        yield f"jsmith:{quote(OF_PROXY, safe='')}@127.0.0.1:{proxy.server_port}"
        proxy.shutdown()


@pytest.mark.parametrize("refused", ["AuthenticateUser", "UploadFileChunk", "DocumentExists"])
def test_nothing_that_is_said_or_kept_has_its_password(
    server: Server, here: Here, tmp_path: Path, refused: str
) -> None:
    sources, kept = tmp_path / "sources", tmp_path / "kept"
    sources.mkdir()
    kept.mkdir()
    (sources / "a.txt").write_bytes(b"content")
    load = ("bulk", sources, "/Library/Load", "--journal", kept / "journal", "--ledger", kept / "ledger")
    commands: list[tuple[object, ...]] = [
        ("check",),
        ("check", "--json", "-vv"),
        ("upload", sources / "a.txt", "/Library/a.txt", "--json", "-vv", "--give-up-after", 0),
        (*load, "--report", kept / "report.html", "--dry-run", "-vv"),
        (*load, "--report", kept / "report.html", "--json", "-vv", "--give-up-after", 0),
        (*load, "--report", kept / "report.json", "--give-up-after", 0),
        ("explain", sources / "a.txt", "--journal", kept / "journal"),
        ("jobs", kept, "--json"),
        ("download", "/Library/a.txt", tmp_path / "back", "-vv"),
        ("verify", sources / "a.txt", "/Library/a.txt", "-vv"),
    ]
    with repeating(refused, server.url) as proxy:
        ended = [here(*words, env={**server.login, "http_proxy": proxy}) for words in commands]
    said = "".join(each.out + each.err for each in ended).encode()
    said += b"".join(file.read_bytes() for file in kept.iterdir())
    assert b"407" in said
    assert any(each.code for each in ended)
    for secret in ("hush", "Pr0xy", TOKEN[8:24], "%2FPr0xy", PASSWORD, PASSWORD.replace(" ", "+")):
        assert secret.encode() not in said

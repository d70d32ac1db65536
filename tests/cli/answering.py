"""Servers that are not infoRouter's, or an older one: each a real one, on a real socket."""

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import NamedTuple


class Answer(NamedTuple):
    """What comes back."""

    status: int
    body: str = ""
    headers: Mapping[str, str] = {}


@contextmanager
def answering(answer: Callable[[str, str], Answer]) -> Iterator[str]:
    """The URL of a server that answers each POST by its operation and its body."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            asked = self.rfile.read(int(self.headers["Content-Length"])).decode("latin-1")
            status, body, headers = answer(self.path.rpartition("/")[2], asked)
            self.send_response(status)
            for name, value in {**headers, "Content-Length": str(len(body.encode()))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body.encode())

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002  (the base class's name)
            """Says nothing: standard error is the tests'."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()

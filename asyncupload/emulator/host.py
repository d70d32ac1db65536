"""What stands before the service: it looks at how long a request's line is, as IIS and Windows do, and tells nobody
what stood in it. A ticket is the first thing in the query of a GET."""

from typing import Any

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError, LineTooLong

from asyncupload.emulator.pages import bad_request, query_too_long
from asyncupload.emulator.replies import Reply

LONGEST_LINE = 16_384
"""Bytes of a request's line, and of a header. Windows refuses a longer one before any program sees it."""

LONGEST_QUERY = 2_048
"""Characters. IIS filters requests with a longer one, unless it is told otherwise."""


def filtered(request: web.BaseRequest) -> Reply | None:
    """The answer to a request that comes no further; None if it may go on."""
    return query_too_long() if len(request.rel_url.raw_query_string) > LONGEST_QUERY else None


class Host(web.Server):
    """Serves an application. Takes and hands on the arguments of the library's own."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs, max_line_size=LONGEST_LINE, max_field_size=LONGEST_LINE)

    def __call__(self) -> web.RequestHandler:
        return Connection(self, loop=self._loop, **self._kwargs)


class Connection(web.RequestHandler):
    """One of a client's.

    Attributes:
        heard: Bytes that came on it so far.
    """

    __slots__ = ("heard",)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.heard = 0

    def data_received(self, data: bytes) -> None:
        self.heard += len(data)
        super().data_received(data)

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """The library's own answer quotes what it could not read, and so does its log."""
        if not isinstance(exc, HttpProcessingError):
            return super().handle_error(request, status, exc, message)
        reply = bad_request(too_long=isinstance(exc, LineTooLong))
        response = web.Response(body=reply.body, status=reply.status, headers=reply.all_headers)
        response.force_close()
        return response

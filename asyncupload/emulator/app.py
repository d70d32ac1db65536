"""The HTTP side: finds the operation, counts the call, reads the body, lets a fault or the operation answer."""

import re
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import NoReturn

import anyio
from aiohttp import web

from asyncupload.emulator.faults import Call, Script, fault
from asyncupload.emulator.forms import Form, read_form, read_pairs
from asyncupload.emulator.operations import OPERATIONS, Operation
from asyncupload.emulator.operations.desk import Desk
from asyncupload.emulator.operations.uploads import mismatch
from asyncupload.emulator.replies import Rejected, Reply, rejected_reply

# The largest chunk (32 MiB) in base64 whose every sixteenth character is escaped is 50 MB; the rest is room.
BODY_LIMIT = 64 * 1024 * 1024


@dataclass(slots=True)
class CallRecord:
    """A call that came in. `status` is None until it is answered, and stays so if it never is."""

    operation: str
    number: int
    fault: str | None = None
    status: int | None = None


class App:
    """Answers requests. `calls` grows by one record per call of a known operation, in arrival order."""

    def __init__(self, desk: Desk, prefix: str, script: Script | None, calls: list[CallRecord]) -> None:
        self._desk = desk
        self._route = re.compile(rf"/*{re.escape(prefix.strip('/'))}/+srv\.asmx/+(\w+)/?", re.IGNORECASE)
        self._script = script
        self._calls = calls
        self._counts = Counter(record.operation for record in calls)

    async def __call__(self, request: web.BaseRequest) -> web.StreamResponse:
        match = self._route.fullmatch(request.path)
        operation = None if match is None else OPERATIONS.get(match[1].lower())
        if operation is None:
            return web.Response(status=404)
        record = self._recorded(operation)
        try:
            reply = await self._reply(request, operation, record)
        except Rejected as rejected:
            reply = rejected_reply(rejected)
        except Exception:
            record.status = 500
            raise
        record.status = reply.status
        headers = {"Content-Type": f"{reply.content_type}; charset=utf-8", **reply.headers}
        return web.Response(body=reply.body, status=reply.status, headers=headers)

    def _recorded(self, operation: Operation) -> CallRecord:
        self._counts[operation.name] += 1
        record = CallRecord(operation.name, self._counts[operation.name])
        self._calls.append(record)
        if self._script is not None:
            record.fault = self._script(Call(record.operation, record.number))
        return record

    async def _reply(self, request: web.BaseRequest, operation: Operation, record: CallRecord) -> Reply:
        exchange = _Exchange(request, operation, self._desk, await _received(request, operation))
        return await (exchange.apply() if record.fault is None else fault(record.fault).act(exchange))


@dataclass(frozen=True, slots=True)
class _Exchange:
    """What a fault may do with a request. Stalling and dropping end by cancellation, with the connection."""

    request: web.BaseRequest
    operation: Operation
    desk: Desk
    read: Callable[[], Form]

    async def apply(self) -> Reply:
        return await self.desk.store.run(lambda: self.operation.reply(self.desk, self.read))

    def mismatch(self) -> Reply:
        return self.operation.answered(self.desk, lambda: mismatch(self.desk))

    async def stall(self) -> NoReturn:
        while True:
            await anyio.sleep_forever()

    async def drop(self) -> NoReturn:
        if self.request.transport is not None:
            self.request.transport.abort()
        await self.stall()


async def _received(request: web.BaseRequest, operation: Operation) -> Callable[[], Form]:
    """Read the request whole, and say how its form is read from it: that is work for the store's thread."""
    if request.method not in {"GET", "POST"}:
        raise Rejected(405, f"{request.method} is not a method of {operation.name}")
    if request.method not in operation.methods:
        raise Rejected(415, f"{operation.name} takes bytes, which a query string cannot carry")
    cookie = request.cookies.get("ticket", "")
    if request.method == "GET":
        query = request.rel_url.raw_query_string.encode()
        return lambda: read_pairs(query, cookie)
    body = await _body(request)
    content_type = request.headers.get("Content-Type", "")
    return lambda: read_form(content_type, body, cookie)


async def _body(request: web.BaseRequest) -> bytearray:
    """The body, whole or not at all: one that breaks off raises, or cancels this task."""
    if (request.content_length or 0) > BODY_LIMIT:
        raise Rejected(413, f"a request may have {BODY_LIMIT} bytes")
    if request.headers.get("Expect", "").lower() == "100-continue" and request.transport is not None:
        request.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
    body = bytearray()
    async for piece in request.content.iter_any():
        body += piece
        if len(body) > BODY_LIMIT:
            raise Rejected(413, f"a request may have {BODY_LIMIT} bytes")
    return body

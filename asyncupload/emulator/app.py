"""The HTTP side: finds the operation, counts the call, and lets the call's faults and the operation answer."""

import asyncio
import re
import weakref
from collections import Counter
from collections.abc import Coroutine

from aiohttp import web

from asyncupload.emulator.exchange import CallRecord, Exchange, Measures
from asyncupload.emulator.faults import composed, fault
from asyncupload.emulator.operations import OPERATIONS, Operation
from asyncupload.emulator.operations.desk import Desk
from asyncupload.emulator.replies import Rejected, rejected_reply
from asyncupload.emulator.scripts import Call, Script, names


class App:
    """Answers requests. `calls` grows by one record per call of a known operation, in arrival order."""

    def __init__(
        self, desk: Desk, prefix: str, script: Script | None, calls: list[CallRecord], measures: Measures
    ) -> None:
        self._desk = desk
        self._route = re.compile(rf"/*{re.escape(prefix.strip('/'))}/+srv\.asmx/+(\w+)/?", re.IGNORECASE)
        self._script = script
        self._calls = calls
        self._measures = measures
        self._counts = Counter(record.operation for record in calls)
        self._late: set[asyncio.Task[None]] = set()
        self._closed_on_reuse: weakref.WeakSet[asyncio.Transport] = weakref.WeakSet()

    async def __call__(self, request: web.BaseRequest) -> web.StreamResponse:
        match = self._route.fullmatch(request.path)
        operation = None if match is None else OPERATIONS.get(match[1].lower())
        if operation is None:
            return web.Response(status=404)
        if request.transport in self._closed_on_reuse:
            # To its client this connection was closed before the request came: it is not a call.
            await self._exchange(request, operation, CallRecord(operation.name, 0)).drop()
        record = self._recorded(operation)
        exchange = self._exchange(request, operation, record)
        try:
            reply = await composed([fault(name) for name in record.faults], exchange)()
        except Rejected as rejected:
            reply = rejected_reply(rejected, self._desk.how)
        except Exception:
            record.status = 500
            raise
        record.status = reply.status
        if exchange.close_on_reuse and request.transport is not None:
            self._closed_on_reuse.add(request.transport)
        return web.Response(body=reply.body, status=reply.status, headers=reply.all_headers)

    def _recorded(self, operation: Operation) -> CallRecord:
        self._counts[operation.name] += 1
        record = CallRecord(operation.name, self._counts[operation.name])
        self._calls.append(record)
        if self._script is not None:
            record.faults = names(self._script(Call(record.operation, record.number)))
        return record

    def _exchange(self, request: web.BaseRequest, operation: Operation, record: CallRecord) -> Exchange:
        return Exchange(request, operation, self._desk, record, self._measures, self._in_background)

    def _in_background(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._late.add(task)
        task.add_done_callback(self._late.discard)

    async def stop(self) -> None:
        """Leave undone what was to be done late."""
        for task in self._late:
            task.cancel()
        await asyncio.gather(*self._late, return_exceptions=True)

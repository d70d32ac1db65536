"""The HTTP side: finds the operation, counts the call, and lets the call's faults and the operation answer."""

import asyncio
import re
import weakref
from collections import Counter
from collections.abc import Coroutine
from typing import Any, TypeVar, cast

from aiohttp import web

from asyncupload.emulator import soap, wsdl
from asyncupload.emulator.exchange import CallRecord, Exchange, Measures
from asyncupload.emulator.faults import composed, fault
from asyncupload.emulator.generations import Generation
from asyncupload.emulator.host import filtered
from asyncupload.emulator.incoming import Incoming, Way
from asyncupload.emulator.operations import OPERATIONS, Operation
from asyncupload.emulator.operations.desk import Desk
from asyncupload.emulator.outages import Outages
from asyncupload.emulator.pages import case_matters, no_forms, no_such_operation, page
from asyncupload.emulator.replies import Rejected, Reply, Unread, Wordless, rejected_reply
from asyncupload.emulator.scripts import Call, Script, names

T = TypeVar("T")


class App:
    """Answers requests. `calls` grows by one record per call of a known operation, in arrival order.

    What asks about the service, and what fails to name an operation of it, is no call.
    """

    def __init__(
        self,
        desk: Desk,
        generation: Generation,
        prefix: str,
        script: Script,
        calls: list[CallRecord],
        measures: Measures,
        outages: Outages,
    ) -> None:
        self._desk = desk
        self._generation = generation
        self._outages = outages
        self._route = re.compile(rf"/*{re.escape(prefix.strip('/'))}/+srv\.asmx(?:/+(\w+))?/*", re.IGNORECASE)
        self._script = script
        self._calls = calls
        self._measures = measures
        self._counts = Counter(record.operation for record in calls)
        self._late: set[asyncio.Task[Any]] = set()
        self._closed_on_reuse: weakref.WeakSet[asyncio.Transport] = weakref.WeakSet()

    async def __call__(self, request: web.BaseRequest) -> web.StreamResponse:
        before = page(502) if self._outages.recycling else filtered(request)
        if before is not None:
            return _response(before)
        match = self._route.fullmatch(request.path)
        if match is None:
            return web.Response(status=404)
        if match[1] is None:
            return await self._service(request)
        operation = self._operation(match[1])
        refusal = self._refusal(request, match[1], operation)
        if refusal is not None:
            return _response(refusal)
        return await self._call(self._incoming(request, soap=False), cast(Operation, operation))

    def _refusal(self, request: web.BaseRequest, name: str, operation: Operation | None) -> Reply | None:
        """What is said before anybody looks for parameters; None if somebody looks."""
        classic = self._desk.how.classic_binding
        if self._desk.how.no_forms or (classic and request.method not in {"GET", "POST"}):
            return no_forms(name)
        if operation is None:
            return no_such_operation(name) if classic else Reply(404, "text/plain", b"")
        return case_matters(name, operation.name) if classic and operation.name != name else None

    def _operation(self, name: str) -> Operation | None:
        """Also one that this server lacks and another has: that is a call, and its answer says so."""
        return self._generation.operations.get(name.lower()) or OPERATIONS.get(name.lower())

    async def _service(self, request: web.BaseRequest) -> web.StreamResponse:
        """What is asked of the service itself: about it by GET, an operation in an envelope by POST."""
        if request.method == "GET":
            return _response(self._about(request))
        incoming = self._incoming(request, soap=True)
        version = incoming.soap or soap.SOAP_11
        try:
            operation = await self._asked(incoming, version)
        except Unread as unread:
            return _response(rejected_reply(unread, self._desk.how))
        except Rejected as rejected:
            return _response(soap.fault(rejected.detail, version))
        return await self._call(incoming, operation)

    def _about(self, request: web.BaseRequest) -> Reply:
        if all(name.lower() != "wsdl" for name in request.query):
            return wsdl.page(self._signatures())
        if self._desk.how.no_soap:
            return page(404)
        address = f"{request.scheme}://{request.headers.get('Host', 'localhost')}{request.path}"
        return wsdl.wsdl(self._signatures(), address, soap_12=self._desk.how.soap_12)

    def _signatures(self) -> wsdl.Signatures:
        signatures = self._generation.signatures
        return {name: fields for name, fields in signatures.items() if name not in self._desk.missing}

    async def _asked(self, incoming: Incoming, version: soap.Version) -> Operation:
        """The operation that is asked for in SOAP; its body is read for it only if no SOAPAction says it."""
        if self._desk.how.no_soap:
            raise Unread(404, "this server speaks no SOAP")
        if incoming.request.method != "POST":
            raise Unread(405, f"{incoming.request.method} is not a method of this service")
        known = {soap.SOAP_11} | ({soap.SOAP_12} if self._desk.how.soap_12 else set())
        if incoming.request.content_type not in {one.content_type for one in known}:
            if self._desk.how.classic_binding:
                raise Wordless(415)
            raise Unread(415, f"SOAP is {' or '.join(sorted(one.content_type for one in known))}")
        name = soap.action(incoming.header("SOAPAction"), incoming.header("Content-Type"))
        empty = self._desk.how.classic_binding and "SOAPAction" in incoming.request.headers
        name = name or ("" if empty else soap.first_in_body(await incoming.body(), version))
        operation = self._operation(name)
        if operation is None or operation.name != name:
            unknown = f"{name} is no operation of this service"
            raise Rejected(400, soap.unrecognized(name, version) if self._desk.how.classic_binding else unknown)
        return operation

    async def _call(self, incoming: Incoming, operation: Operation) -> web.StreamResponse:
        if incoming.transport in self._closed_on_reuse:
            # To its client this connection was closed before the request came: it is not a call.
            await self._exchange(incoming, operation, CallRecord(operation.name, 0)).drop()
        record = self._recorded(operation, incoming.way)
        exchange = self._exchange(incoming, operation, record)
        try:
            reply = await composed([fault(name) for name in self._met(record, operation)], exchange)()
        except Rejected as rejected:
            reply = exchange.refused(rejected)
        except Exception:
            record.status = 500
            raise
        record.status = reply.status
        if exchange.twice:
            return _Twice(reply)
        if exchange.close_on_reuse and incoming.transport is not None:
            self._closed_on_reuse.add(incoming.transport)
        return _response(reply)

    def _met(self, record: CallRecord, operation: Operation) -> tuple[str, ...]:
        always = self._desk.how.slow_finalize and operation.consumes
        return (*record.faults, "slow") if always else record.faults

    def _recorded(self, operation: Operation, way: Way) -> CallRecord:
        self._counts[operation.name] += 1
        record = CallRecord(operation.name, self._counts[operation.name], way=way)
        self._calls.append(record)
        record.faults = names(self._script(Call(record.operation, record.number)))
        return record

    def _incoming(self, request: web.BaseRequest, *, soap: bool) -> Incoming:
        return Incoming(request, self._measures.body_limit, self._measures.body_limit_status, soap=soap)

    def _exchange(self, incoming: Incoming, operation: Operation, record: CallRecord) -> Exchange:
        return Exchange(incoming, operation, self._desk, record, self._measures, self._in_background, self._outages)

    def _in_background(self, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        task = asyncio.get_running_loop().create_task(work)
        self._late.add(task)
        task.add_done_callback(self._late.discard)
        return task

    async def settled(self, within: float) -> bool:
        """Wait for what is done late, at most `within` seconds. Whether all of it is done."""
        if self._late:
            await asyncio.wait(self._late, timeout=within)
        return not self._late

    async def stop(self) -> None:
        """Leave undone what was to be done late."""
        for task in self._late:
            task.cancel()
        await asyncio.gather(*self._late, return_exceptions=True)


class _Twice(web.Response):
    """One answer, written twice in one piece, so that nobody can go on behind the first."""

    def __init__(self, reply: Reply) -> None:
        super().__init__(status=reply.status)
        self._twice = (reply.head + reply.body) * 2
        self._on: asyncio.Transport | None = None
        self._goes_on = True

    @property
    def keep_alive(self) -> bool:
        return self._goes_on

    async def prepare(self, request: web.BaseRequest) -> None:
        self._on, self._goes_on = request.transport, request.keep_alive

    async def write_eof(self, data: bytes = b"") -> None:  # noqa: ARG002  (as in the base class)
        if self._on is not None:
            self._on.write(self._twice)


def _response(reply: Reply) -> web.Response:
    return web.Response(body=reply.body, status=reply.status, headers=reply.all_headers)

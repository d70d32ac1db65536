"""OpenTelemetry: a span for each upload, and in it one for each staging of its bytes and each request to store it.

    asyncupload.upload                      from the call to its end, waiting for its turn included
    ├── asyncupload.stage                   chunks into one handler
    ├── asyncupload.stage                   ... and into another, if the upload began anew
    └── asyncupload.commit                  the server makes the document

Spans made meanwhile in the same task, as by an instrumented aiohttp session that was lent to the client, become
children of the one that is open.
"""

from collections.abc import Mapping
from contextlib import AbstractContextManager, suppress
from types import MappingProxyType

from opentelemetry import trace
from opentelemetry.trace import Span, Status, StatusCode, Tracer
from opentelemetry.util.types import AttributeValue

from asyncupload.events import (
    ChunkRetried,
    Committing,
    Event,
    Failed,
    HandlerOpened,
    Listener,
    Receipt,
    Restarted,
    Stored,
)

MARK = "asyncupload."
"""What the names of spans and attributes begin with."""


NOTHING: Mapping[str, AttributeValue | None] = MappingProxyType({})


class Tracing:
    """An observer, for ``Client(observers=[Tracing()])``.

    Args:
        tracer: Where spans are made; None for the one named ``asyncupload`` of the provider that is set when this is
            made.
        paths: Whether to tell documents' paths, and messages, which may hold them. They name people and cases, and
            traces are often kept elsewhere and by others than documents are; without them a span still has the
            document's number, the handler's, and the kind of an error.

    A span's ``asyncupload.status`` is ``stored``, ``unchanged``, ``failed``, ``unknown`` or ``cancelled``. The second
    two are errors; a cancellation is not, since it is what a caller wanted.
    """

    def __init__(self, tracer: Tracer | None = None, *, paths: bool = False) -> None:
        self._tracer = tracer or trace.get_tracer("asyncupload")
        self._paths = paths

    def __call__(self) -> Listener:
        """Begin the span of one upload, as a child of the one that is current."""
        return _Trace(self._tracer, paths=self._paths)


class _Open:
    """A span that is current while it is open."""

    def __init__(self, tracer: Tracer, name: str) -> None:
        self.span: Span = tracer.start_span(MARK + name)
        # Begun and ended by one task: the listener is called nowhere else.
        self._current: AbstractContextManager[Span] | None = trace.use_span(self.span, end_on_exit=True)
        self._current.__enter__()

    def end(self, error: str = "") -> None:
        """Once: what is ended already, be it that its exporter has raised, stays so."""
        current, self._current = self._current, None
        if current is None:
            return
        try:
            if error:
                self.span.set_status(Status(StatusCode.ERROR, error))
        finally:
            current.__exit__(None, None, None)


class _Trace:
    """Listens to one upload."""

    def __init__(self, tracer: Tracer, *, paths: bool) -> None:
        self._tracer = tracer
        self._paths = paths
        self._whole = _Open(tracer, "upload")
        self._part: _Open | None = None
        self._over = False

    def __call__(self, event: Event) -> None:
        if self._over:
            return
        try:
            self._hear(event)
        except BaseException:
            self._let_go()
            raise

    def _let_go(self) -> None:
        """A tracer or an exporter has raised: no span of ours must stay the current one of the caller's."""
        self._over = True
        for open_ in filter(None, (self._part, self._whole)):
            with suppress(Exception):
                open_.end()

    def _hear(self, event: Event) -> None:
        match event:
            case HandlerOpened(handler=handler, chunk_size=chunk_size, size=size):
                self._begin("stage", handler=handler, chunk_size=chunk_size, size=size)
            case ChunkRetried(number=number, attempt=attempt, wait=wait, reason=reason):
                self._note("chunk_retried", reason, chunk=number, attempt=attempt, wait=wait)
            case Restarted(reason=reason):
                self._end_part("began anew")
                self._note("restarted", reason)
            case Committing(sent=sent):
                self._end_part()
                self._begin("commit", size=sent)
            case Stored(path=path, receipt=receipt):
                self._end(path, receipt.status, facts=_facts(receipt))
            case Failed(path=path, status=status, error=error):
                self._fail(path, status, error)

    def _begin(self, name: str, **facts: AttributeValue | None) -> None:
        self._part = _Open(self._tracer, name)
        self._part.span.set_attributes(_named(facts))

    def _note(self, name: str, reason: str, **facts: AttributeValue) -> None:
        told = {**facts, "reason": reason if self._paths else None}
        (self._part or self._whole).span.add_event(MARK + name, _named(told))

    def _end_part(self, error: str = "") -> None:
        part, self._part = self._part, None
        if part is not None:
            part.end(error)

    def _fail(self, path: str, status: str, error: BaseException) -> None:
        kind = type(error).__name__
        if status == "cancelled":
            self._end(path, status)
            return
        self._whole.span.set_attribute("error.type", kind)
        if self._paths:
            self._whole.span.record_exception(error)
        self._end(path, status, failed=f"{kind}: {error}" if self._paths else kind)

    def _end(
        self, path: str, status: str, *, failed: str = "", facts: Mapping[str, AttributeValue | None] = NOTHING
    ) -> None:
        self._over = True
        told = {**facts, "status": status, "path": path if self._paths else None}
        self._whole.span.set_attributes(_named(told))
        self._end_part(failed)
        self._whole.end(failed)


def _facts(receipt: Receipt) -> Mapping[str, AttributeValue | None]:
    return {
        "document_id": receipt.document_id,
        "version_id": receipt.version_id,
        "size": receipt.size,
        "chunks": receipt.chunks,
        "resent": receipt.resent,
        "restarted": receipt.restarted,
    }


def _named(facts: Mapping[str, AttributeValue | None]) -> dict[str, AttributeValue]:
    """Attributes of what is known."""
    return {MARK + name: value for name, value in facts.items() if value is not None}

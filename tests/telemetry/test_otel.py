"""Spans of OpenTelemetry's own SDK: what a trace tells of an upload, and what it keeps to itself."""

import asyncio
import os
from collections.abc import AsyncIterator, Iterator, Sequence
from pathlib import Path
from types import SimpleNamespace

import aiohttp
import pytest
from conftest import FOLDER, PATIENT
from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.sdk.trace import ReadableSpan, Span, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import StatusCode, Tracer

from asyncupload import AccessDenied, Client, EmptySource
from asyncupload.emulator import Emulator, Script, at
from asyncupload.telemetry.otel import Tracing

pytestmark = pytest.mark.anyio
SECRET_PATH = f"{FOLDER}/Case 17, Mrs Miller.txt"


class Spans:
    """A tracer, and what was made of it."""

    def __init__(self) -> None:
        self._exporter = InMemorySpanExporter()
        self._provider = TracerProvider()
        self._provider.add_span_processor(SimpleSpanProcessor(self._exporter))
        self.tracer: Tracer = self._provider.get_tracer("test")

    def close(self) -> None:
        self._provider.shutdown()

    @property
    def ended(self) -> tuple[ReadableSpan, ...]:
        return self._exporter.get_finished_spans()

    def called(self, name: str) -> list[ReadableSpan]:
        return [span for span in self.ended if span.name == f"asyncupload.{name}"]

    @property
    def upload(self) -> ReadableSpan:
        (span,) = self.called("upload")
        return span

    @property
    def text(self) -> str:
        return "".join(span.to_json() for span in self.ended)


@pytest.fixture
def spans() -> Iterator[Spans]:
    """Of a provider of the test's own: the global one stays unset."""
    made = Spans()
    yield made
    made.close()


async def _upload(
    tmp_path: Path,
    tracing: Tracing,
    *,
    script: Script | None = None,
    content: bytes = b"content",
    to: str = SECRET_PATH,
) -> None:
    async with (
        Emulator(tmp_path / "server", script=script) as server,
        Client(server.url, user="demo", password="demo", settings=PATIENT, observers=[tracing]) as client,
    ):
        await client.upload(content, to=to)


def _parent(span: ReadableSpan) -> int | None:
    return span.parent.span_id if span.parent else None


def _attributes(span: ReadableSpan) -> dict[str, object]:
    return {name.removeprefix("asyncupload."): value for name, value in (span.attributes or {}).items()}


async def test_an_upload_is_a_span_with_staging_and_storing_inside(spans: Spans, tmp_path: Path) -> None:
    with spans.tracer.start_as_current_span("request") as request:
        await _upload(tmp_path, Tracing(spans.tracer))

    (stage,), (commit,), upload = spans.called("stage"), spans.called("commit"), spans.upload
    assert upload.context
    assert _parent(upload) == request.get_span_context().span_id
    assert [_parent(stage), _parent(commit)] == [upload.context.span_id] * 2
    assert _attributes(upload) == {
        "status": "stored",
        "document_id": 1,
        "version_id": 1_000_000,
        "size": 7,
        "chunks": 1,
        "resent": 0,
        "restarted": 0,
    }
    assert _attributes(stage)["size"] == 7
    assert _attributes(commit) == {"size": 7}
    assert {span.status.status_code for span in spans.ended} == {StatusCode.UNSET}


async def test_trouble_that_passes_is_told_inside_the_span_that_met_it(spans: Spans, tmp_path: Path) -> None:
    script = at({("UploadFileChunk", 1): "tryagain", ("UploadFileChunk", 2): "lose-handler"})

    await _upload(tmp_path, Tracing(spans.tracer), script=script)

    first, second = spans.called("stage")
    assert [event.name for event in first.events] == ["asyncupload.chunk_retried"]
    assert dict(first.events[0].attributes or {}).keys() == {f"asyncupload.{n}" for n in ("chunk", "attempt", "wait")}
    assert first.status.status_code is StatusCode.ERROR
    assert second.status.status_code is StatusCode.UNSET
    assert [event.name for event in spans.upload.events] == ["asyncupload.restarted"]
    assert _attributes(spans.upload)["restarted"] == 1
    assert spans.upload.status.status_code is StatusCode.UNSET


async def test_a_failure_is_an_error_of_the_upload_and_of_the_part_that_it_ended(spans: Spans, tmp_path: Path) -> None:
    script = at({("UploadNewDocumentWidthHandler", 1): "forbid"})

    with pytest.raises(AccessDenied):
        await _upload(tmp_path, Tracing(spans.tracer), script=script)

    (stage,), (commit,), upload = spans.called("stage"), spans.called("commit"), spans.upload
    assert stage.status.status_code is StatusCode.UNSET
    for span in (commit, upload):
        assert (span.status.status_code, span.status.description) == (StatusCode.ERROR, "AccessDenied")
    assert _attributes(upload) == {"status": "failed", "error.type": "AccessDenied"}


async def test_a_failure_before_anything_is_asked_has_a_span_too(spans: Spans, tmp_path: Path) -> None:
    with pytest.raises(EmptySource):
        await _upload(tmp_path, Tracing(spans.tracer), content=b"")

    assert [span.name for span in spans.ended] == ["asyncupload.upload"]
    assert spans.upload.status.description == "EmptySource"


async def test_a_cancellation_is_no_error(spans: Spans, emulator: Emulator) -> None:
    reached = asyncio.Event()

    async def stuck() -> AsyncIterator[bytes]:
        yield os.urandom(PATIENT.chunk_size * 2)
        reached.set()
        await asyncio.Event().wait()

    tracing = Tracing(spans.tracer)
    async with Client(emulator.url, user="demo", password="demo", settings=PATIENT, observers=[tracing]) as client:
        task = asyncio.ensure_future(client.upload(stuck(), to=SECRET_PATH))
        await reached.wait()
        task.cancel()
        await asyncio.wait({task})

    assert task.cancelled()
    assert _attributes(spans.upload) == {"status": "cancelled"}
    assert {span.status.status_code for span in spans.ended} == {StatusCode.UNSET}


@pytest.mark.parametrize("fault", ["tryagain", "drop-after"])
async def test_paths_are_told_only_if_they_may_be(fault: str, spans: Spans, tmp_path: Path) -> None:
    """Neither in an attribute, nor in an error's message, nor in the reason of a retry or a restart."""
    script = at({("UploadFileChunk", 1): fault, **_refused(1), **_refused(2)})

    for number, tracing in enumerate((Tracing(spans.tracer), Tracing(spans.tracer, paths=True))):
        with pytest.raises(AccessDenied):
            await _upload(tmp_path / str(number), tracing, script=script)
        assert ("Miller" in spans.text) == (number == 1)

    shy, frank = spans.called("upload")
    assert [event.name for event in shy.events] == ["asyncupload.restarted"] * (fault == "drop-after")
    assert _attributes(frank)["path"] == SECRET_PATH
    assert frank.events[-1].name == "exception"


def _refused(number: int) -> dict[tuple[str, int], str]:
    return {("UploadNewDocumentWidthHandler", number): "forbid"}


async def test_what_is_current_afterwards_is_what_was_before(spans: Spans, tmp_path: Path) -> None:
    """Otherwise the application's next spans would stand inside an upload that is over."""
    with spans.tracer.start_as_current_span("request") as request:
        await _upload(tmp_path / "1", Tracing(spans.tracer))
        assert trace.get_current_span() is request
        with pytest.raises(AccessDenied):
            await _upload(tmp_path / "2", Tracing(spans.tracer), script=at(_refused(1)))
        assert trace.get_current_span() is request


async def test_requests_of_a_lent_session_that_is_traced_stand_inside(spans: Spans, emulator: Emulator) -> None:
    """As instrumentations of aiohttp do it: by a trace configuration, which belongs to the lent session."""
    config = aiohttp.TraceConfig()

    async def began(
        session: aiohttp.ClientSession, context: SimpleNamespace, parameters: aiohttp.TraceRequestStartParams
    ) -> None:
        context.span = spans.tracer.start_span(parameters.url.name)

    async def ended(
        session: aiohttp.ClientSession, context: SimpleNamespace, parameters: aiohttp.TraceRequestEndParams
    ) -> None:
        context.span.end()

    config.on_request_start.append(began)
    config.on_request_end.append(ended)
    async with (
        aiohttp.ClientSession(trace_configs=[config]) as session,
        Client(
            emulator.url,
            user="demo",
            password="demo",
            session=session,
            settings=PATIENT,
            observers=[Tracing(spans.tracer)],
        ) as client,
    ):
        await client.upload(b"content", to=SECRET_PATH)

    names = {span.context.span_id: span.name for span in spans.ended if span.context}
    inside = {span.name: names.get(_parent(span) or 0) for span in spans.ended}
    assert inside["AuthenticateUser"] == "asyncupload.upload"
    assert inside["UploadFileChunk"] == "asyncupload.stage"
    assert inside["UploadNewDocumentWidthHandler"] == "asyncupload.commit"


async def test_without_a_tracer_the_applications_own_is_used(emulator: Emulator) -> None:
    """It is not set here: spans are made and go nowhere, and the upload does not notice."""
    observers = [Tracing()]
    async with Client(emulator.url, user="demo", password="demo", settings=PATIENT, observers=observers) as client:
        receipt = await client.upload(b"content", to=SECRET_PATH)

    assert receipt.size == 7
    assert trace.get_current_span() is trace.INVALID_SPAN


class Broken(SpanExporter):
    """One whose collector is gone, and that does not keep it to itself."""

    def __init__(self, error: BaseException) -> None:
        self._error = error

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        raise self._error


class Raising(SpanProcessor):
    """One that raises wherever it can, at the beginning or at the end of a span with this name."""

    def __init__(self, name: str, moment: str) -> None:
        self._name = name
        self._moment = moment

    def on_start(self, span: Span, parent_context: Context | None = None) -> None:
        self._raise(span.name, "start")

    def on_end(self, span: ReadableSpan) -> None:
        self._raise(span.name, "end")

    def _raise(self, name: str, moment: str) -> None:
        if (name, moment) == (f"asyncupload.{self._name}", self._moment):
            raise LookupError("the collector is gone")


@pytest.mark.parametrize("moment", ["start", "end"])
@pytest.mark.parametrize("name", ["upload", "stage", "commit"])
async def test_an_upload_does_not_suffer_from_a_broken_processor(name: str, moment: str, emulator: Emulator) -> None:
    """Nor does its caller: whatever span was current before is current again."""
    provider = TracerProvider()
    provider.add_span_processor(Raising(name, moment))
    tracing = Tracing(provider.get_tracer("test"))
    before = trace.get_current_span()
    async with Client(emulator.url, user="demo", password="demo", settings=PATIENT, observers=[tracing]) as watched:
        receipt = await watched.upload(b"content", to=SECRET_PATH)
    assert receipt.status == "stored"
    assert trace.get_current_span() is before


async def test_an_upload_does_not_suffer_from_a_broken_exporter(emulator: Emulator) -> None:
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(Broken(LookupError("the collector is gone"))))
    tracing = Tracing(provider.get_tracer("test"))
    async with Client(emulator.url, user="demo", password="demo", settings=PATIENT, observers=[tracing]) as watched:
        assert (await watched.upload(b"content", to=SECRET_PATH)).status == "stored"

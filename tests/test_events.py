"""Events do not change once they are told, and a listener cannot cost a transfer."""

import asyncio
import dataclasses
import functools
import gc
import logging
import sys
from collections.abc import AsyncIterator
from typing import Any

import anyio
import pytest
from conftest import FOLDER, PATIENT
from structlog.testing import CapturingLogger

from asyncupload import (
    AccessDenied,
    Client,
    Leftover,
    NotFound,
    OutcomeUnknown,
    SourceChanged,
    StoredDifferently,
    UsageError,
    events,
)
from asyncupload.emulator import Emulator
from asyncupload.events import (
    Audience,
    ChunkReceived,
    ChunkRetried,
    ChunkSent,
    Committing,
    Downloaded,
    Event,
    Failed,
    HandlerOpened,
    Listener,
    Observer,
    Receipt,
    Restarted,
    Stored,
    StoredDocument,
    Times,
    Unpacked,
    UnpackedItem,
    Verified,
    Waiting,
)

RECEIPT = Receipt(
    status="stored",
    path="/L/f",
    document_id=1,
    version_id=2,
    size=3,
    crc32=4,
    chunks=1,
    resent=0,
    restarted=0,
    seconds=0.5,
    verified_by="staged checksum",
)

FACTS: tuple[Any, ...] = (
    Event(path="/L/f"),
    HandlerOpened(path="/L/f", handler="h", chunk_size=1, size=None),
    ChunkSent(path="/L/f", number=1, sent=1, size=1),
    ChunkRetried(path="/L/f", number=1, attempt=1, wait=0.1, reason="r", sent=0, size=1),
    Waiting(path="/L/f", reason="r", give_up_after=300.0),
    Restarted(path="/L/f", reason="r"),
    Committing(path="/L/f", sent=1),
    Stored(path="/L/f", receipt=RECEIPT),
    Failed(path="/L/f", error=LookupError("e")),
    ChunkReceived(path="/L/f", received=1, size=2),
    RECEIPT,
    Downloaded(path="/L/f", target="t", size=1, crc32=2, compared=True, resumed=0, seconds=0.1),
    Verified(path="/L/f", size=1, crc32=2, verified_by="bytes", seconds=0.1),
    StoredDocument(path="/L/f", size=1, crc32=2, version_id=None),
    Times(),
    UnpackedItem(name="a.txt", error=""),
    Unpacked(folder="/L", size=1, crc32=2, items=(), seconds=0.1),
    Leftover(kind="handler", name="h", reason="r", remedy="asyncupload discard h"),
)


def test_no_kind_of_fact_is_missing_below() -> None:
    made = {kind for kind in vars(events).values() if isinstance(kind, type) and dataclasses.is_dataclass(kind)}

    assert {type(fact) for fact in FACTS} == made


@pytest.mark.parametrize("fact", FACTS, ids=lambda fact: type(fact).__name__)
def test_a_fact_does_not_change(fact: Any) -> None:
    for field in dataclasses.fields(fact):
        with pytest.raises(dataclasses.FrozenInstanceError):
            setattr(fact, field.name, "something else")
    with pytest.raises((AttributeError, TypeError)):
        fact.remark = "and nothing is added"


@pytest.mark.parametrize("fact", FACTS, ids=lambda fact: type(fact).__name__)
def test_a_fact_is_equal_to_another_with_the_same_content(fact: Any) -> None:
    first = dataclasses.fields(fact)[0].name
    assert dataclasses.replace(fact) == fact
    assert dataclasses.replace(fact, **{first: 7.0}) != fact


def test_numbers_cannot_be_mixed_up_by_position() -> None:
    with pytest.raises(TypeError):
        ChunkSent("/L/f", 1, 2, 3)  # type: ignore[call-arg]


def test_a_listener_hears_events_in_order() -> None:
    heard: list[Event] = []
    audience = Audience(heard.append, CapturingLogger())
    told = [ChunkSent(path="/L/f", number=n, sent=n, size=9) for n in (1, 2, 3)]

    for event in told:
        audience.tell(event)

    assert heard == told


def test_without_a_listener_nothing_happens() -> None:
    log = CapturingLogger()

    Audience(None, log).tell(Event(path="/L/f"))

    assert log.calls == []


def test_a_listener_that_raises_is_logged_once_and_not_called_again() -> None:
    log, calls = CapturingLogger(), []

    def broken(event: Event) -> None:
        calls.append(event)
        raise LookupError("no such bar")

    audience = Audience(broken, log)
    for _ in range(3):
        audience.tell(Committing(path="/L/f", sent=1))

    assert len(calls) == 1
    assert [call.method_name for call in log.calls] == ["warning"]
    assert log.calls[0].kwargs["event_type"] == "Committing"
    assert log.calls[0].kwargs["exc_info"] is True


def test_a_cancellation_inside_a_listener_is_its_failure() -> None:
    """As of a task that it looks at: the upload's own comes only where it awaits something."""
    log = CapturingLogger()

    def stopped(event: Event) -> None:
        raise asyncio.CancelledError

    Audience(stopped, log).tell(Event(path="/L/f"))

    assert [call.args for call in log.calls] == [("listener_failed",)]


@pytest.mark.anyio
async def test_an_upload_does_not_suffer_from_a_broken_listener(
    client: Client, caplog: pytest.LogCaptureFixture
) -> None:
    calls: list[Event] = []

    def broken(event: Event) -> None:
        calls.append(event)
        raise LookupError("no such bar")

    with caplog.at_level(logging.WARNING, logger="asyncupload"):
        receipt = await client.upload(b"content", to=f"{FOLDER}/a.txt", on_event=broken)

    assert receipt.size == 7
    assert len(calls) == 1
    assert [record.getMessage().count("listener_failed") for record in caplog.records] == [1]
    assert "no such bar" in caplog.records[0].getMessage(), "the line does not say what the listener raised"


class Strange(BaseException):
    """What no ``except Exception`` catches."""


@pytest.mark.anyio
@pytest.mark.parametrize("error", [Strange(), asyncio.CancelledError(), GeneratorExit(), LookupError(), MemoryError()])
@pytest.mark.parametrize("kind", [HandlerOpened, ChunkSent, Committing, Stored])
async def test_whatever_a_listener_raises_at_whichever_event_the_document_is_stored(
    error: BaseException, kind: type[Event], client: Client
) -> None:
    def broken(event: Event) -> None:
        if isinstance(event, kind):
            raise error

    receipt = await client.upload(b"content", to=f"{FOLDER}/a.txt", on_event=broken)

    assert (receipt.status, receipt.size) == ("stored", 7)


def _awaited() -> dict[str, Any]:
    async def listen(event: Event) -> None:
        raise AssertionError

    class Listening:
        async def __call__(self, event: Event) -> None:
            raise AssertionError

    return {"a coroutine": listen, "a partial one": functools.partial(listen), "an object": Listening(), "nothing": 7}


@pytest.mark.anyio
@pytest.mark.parametrize("kind", _awaited())
async def test_a_listener_that_would_have_to_be_awaited_is_refused(kind: str, client: Client) -> None:
    with pytest.raises(UsageError, match="plain function"):
        await client.upload(b"content", to=f"{FOLDER}/a.txt", on_event=_awaited()[kind])


@pytest.mark.anyio
async def test_a_coroutine_that_comes_to_light_when_the_listener_is_called_is_its_failure(
    client: Client, caplog: pytest.LogCaptureFixture
) -> None:
    """And nobody is warned of one that was never awaited."""
    with caplog.at_level(logging.WARNING, logger="asyncupload"):
        listen = _awaited()["a coroutine"]
        await client.upload(b"content", to=f"{FOLDER}/a.txt", on_event=lambda event: listen(event))  # noqa: PLW0108
        gc.collect()
    assert [record.getMessage().count("not awaited") for record in caplog.records] == [1]


INTERRUPTING = """
import asyncio, sys
import asyncupload

SMALL = asyncupload.Settings(chunk_size=256 * 1024)

def ended(event, kind, error):
    if type(event).__name__ == kind:
        raise {"KeyboardInterrupt": KeyboardInterrupt, "SystemExit": SystemExit}[error](5)

async def main(url, to, kind, error):
    async with asyncupload.Client(url, user="demo", password="demo", settings=SMALL) as client:
        receipt = await client.upload(bytes(600_000), to=to, on_event=lambda event: ended(event, kind, error))
        print(receipt.status, flush=True)
        await asyncio.sleep(30)

loop, arguments = sys.argv[1], sys.argv[2:]
if loop == "uvloop":
    import uvloop
    run = uvloop.run
else:
    run = asyncio.run
try:
    run(main(*arguments))
except KeyboardInterrupt:
    sys.exit(5)
"""


@pytest.mark.anyio
@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
@pytest.mark.parametrize("error", ["KeyboardInterrupt", "SystemExit"])
@pytest.mark.parametrize("kind", ["HandlerOpened", "ChunkSent", "Committing", "Stored"])
async def test_an_interrupt_within_a_listener_ends_the_program_and_loses_nothing(
    loop: str, error: str, kind: str, emulator: Emulator
) -> None:
    """Before the request to store the upload is cancelled and cleans up; afterwards its receipt has come."""
    typed = [sys.executable, "-c", INTERRUPTING, loop, emulator.url, f"{FOLDER}/a.txt", kind, error]
    with anyio.fail_after(50):
        ended = await anyio.run_process(typed, check=False)
    assert ended.returncode == 5, ended.stderr.decode()
    assert ended.stdout.decode().splitlines() == (["stored"] if kind == "Stored" else [])
    if kind != "Committing":  # then the request to store may have left, or not
        assert len(await emulator.documents()) == (kind == "Stored")
        assert await emulator.open_handlers() == []


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (AccessDenied("no"), "failed"),
        (SourceChanged("it grew"), "failed"),
        (LookupError("of the source's own"), "failed"),
        (OutcomeUnknown("lost"), "unknown"),
        (StoredDifferently("other bytes", expected=1, found=2), "unknown"),
        (asyncio.CancelledError(), "cancelled"),
        (KeyboardInterrupt(), "cancelled"),
    ],
    ids=lambda value: value if isinstance(value, str) else type(value).__name__,
)
def test_a_failure_says_what_became_of_the_document(error: BaseException, status: str) -> None:
    assert Failed(path="/L/f", error=error).status == status


@pytest.mark.anyio
async def test_an_upload_that_fails_says_so_last_with_its_error(client: Client) -> None:
    heard: list[Event] = []

    with pytest.raises(NotFound) as caught:
        await client.upload(b"content", to="/No/Such/Folder/a.txt", on_event=heard.append)

    (failed,) = heard
    assert isinstance(failed, Failed)
    assert failed == Failed(path="/No/Such/Folder/a.txt", error=caught.value, times=failed.times)


class Witness:
    """An observer: one list of events for each upload."""

    def __init__(self) -> None:
        self.heard: list[list[Event]] = []

    def __call__(self) -> Listener:
        self.heard.append([])
        return self.heard[-1].append


@pytest.mark.anyio
async def test_an_observer_hears_each_upload_of_a_client_apart(emulator: Emulator) -> None:
    """Also two at once to the same place."""
    witness, heard = Witness(), list[Event]()
    async with Client(emulator.url, user="demo", password="demo", settings=PATIENT, observers=[witness]) as client:
        receipts = await asyncio.gather(
            client.upload(b"one", to=f"{FOLDER}/a.txt", on_event=heard.append),
            client.upload(b"three", to=f"{FOLDER}/a.txt"),
        )

    assert [told[-1] for told in witness.heard] == [Stored(path=one.path, receipt=one) for one in receipts]
    for told in witness.heard:
        assert [type(event) for event in told] == [HandlerOpened, ChunkSent, Committing, Stored]
    assert heard == witness.heard[0], "the upload's own listener heard something else"


@pytest.mark.anyio
async def test_an_upload_that_is_cancelled_while_it_waits_for_its_turn_ends_for_its_observer_too(
    emulator: Emulator,
) -> None:
    witness, go_on, waiting = Witness(), asyncio.Event(), asyncio.Event()

    def second_comes() -> Listener:
        if len(witness.heard) == 2:
            waiting.set()
        return lambda event: None

    observers: list[Observer] = [witness, second_comes]

    async def slow() -> AsyncIterator[bytes]:
        await go_on.wait()
        yield b"content"

    async with Client(emulator.url, user="demo", password="demo", settings=PATIENT, observers=observers) as client:
        first = asyncio.ensure_future(client.upload(slow(), to=f"{FOLDER}/a.txt"))
        second = asyncio.ensure_future(client.upload(b"content", to=f"{FOLDER}/a.txt"))
        await waiting.wait()
        second.cancel()
        await asyncio.wait({second})
        go_on.set()
        await first

    assert [type(event) for event in witness.heard[0]][-1] is Stored
    (ended,) = witness.heard[1]
    assert isinstance(ended, Failed)
    assert ended.status == "cancelled"


@pytest.mark.anyio
async def test_an_upload_does_not_suffer_from_a_broken_observer(
    emulator: Emulator, caplog: pytest.LogCaptureFixture
) -> None:
    witness = Witness()

    def broken() -> Listener:
        raise LookupError("no such exporter")

    def unfit() -> Listener:
        async def awaited(event: Event) -> None:
            raise AssertionError

        return awaited  # type: ignore[return-value]

    observers: list[Observer] = [broken, unfit, witness]
    with caplog.at_level(logging.WARNING, logger="asyncupload"):
        async with Client(emulator.url, user="demo", password="demo", settings=PATIENT, observers=observers) as client:
            await client.upload(b"content", to=f"{FOLDER}/a.txt")

    assert type(witness.heard[0][-1]) is Stored, "the one that works heard nothing of it"
    lines = [record.getMessage() for record in caplog.records]
    assert ["observer_failed" in line for line in lines] == [True, True]
    assert "no such exporter" in lines[0]
    assert "called, not awaited" in lines[1]

"""Events do not change once they are told, and a listener cannot cost a transfer."""

import asyncio
import dataclasses
import logging
from typing import Any

import pytest
from conftest import FOLDER
from structlog.testing import CapturingLogger

from asyncupload import Client, events
from asyncupload.events import (
    Audience,
    ChunkReceived,
    ChunkRetried,
    ChunkSent,
    Committing,
    Downloaded,
    Event,
    HandlerOpened,
    Receipt,
    Restarted,
    Stored,
    Times,
    Unpacked,
    UnpackedItem,
    Verified,
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
    Restarted(path="/L/f", reason="r"),
    Committing(path="/L/f", sent=1),
    Stored(path="/L/f", receipt=RECEIPT),
    ChunkReceived(path="/L/f", received=1, size=2),
    RECEIPT,
    Downloaded(path="/L/f", target="t", size=1, crc32=2, compared=True, resumed=0, seconds=0.1),
    Verified(path="/L/f", size=1, crc32=2, verified_by="bytes", seconds=0.1),
    Times(),
    UnpackedItem(name="a.txt", error=""),
    Unpacked(folder="/L", size=1, crc32=2, items=(), seconds=0.1),
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


def test_a_cancellation_inside_a_listener_is_not_taken_for_its_failure() -> None:
    def stopped(event: Event) -> None:
        raise asyncio.CancelledError

    with pytest.raises(asyncio.CancelledError):
        Audience(stopped, CapturingLogger()).tell(Event(path="/L/f"))


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

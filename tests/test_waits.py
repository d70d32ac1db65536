"""What an upload waited for has a name of its own, and nothing is counted under two."""

import asyncio
from dataclasses import asdict, replace
from pathlib import Path

import pytest
from conftest import FOLDER, PATIENT
from troubled import against, until

from asyncupload import Receipt, Times
from asyncupload.emulator import Call, at

pytestmark = pytest.mark.anyio

TO = f"{FOLDER}/report.bin"
LONG = replace(PATIENT, retries=replace(PATIENT.retries, first_wait=0.2, longest_wait=0.2, longest_obeyed=0.3))
"""Waits that are longer than anything else here, and are halved at most."""


def _named(receipt: Receipt) -> set[str]:
    """Reasons that there are only if something goes wrong."""
    names = {"retries", "retry_after", "pauses", "restarts"}
    return {name for name in names if getattr(receipt.times, name) > 0.01}


def _counted_once(receipt: Receipt) -> bool:
    return bool(sum(asdict(receipt.times).values()) - receipt.times.memory <= receipt.seconds)


@pytest.mark.parametrize(
    ("operation", "fault", "name"),
    [
        ("UploadFileChunk", "refuse-503", "retry_after"),
        ("UploadFileChunk", "refuse-408", "retries"),
        ("UploadFileChunk", "drop-before", "restarts"),
        ("UploadNewDocumentWidthHandler", "refuse-429", "retry_after"),
        ("UploadNewDocumentWidthHandler", "drop-headers", "retries"),
        ("DocumentExists", "refuse-500", "retries"),
    ],
)
async def test_a_wait_is_counted_under_its_reason_and_no_other(
    operation: str, fault: str, name: str, tmp_path: Path
) -> None:
    async with against(tmp_path, at({(operation, 1): fault}), LONG) as (_, client):
        receipt = await client.upload(b"data", to=TO)
    assert _named(receipt) == {name}
    assert getattr(receipt.times, name) >= 0.1
    assert _counted_once(receipt)
    assert f"{name.replace('_', ' ')} " in receipt.times.words


async def test_waiting_for_a_place_is_counted_as_memory(tmp_path: Path) -> None:
    def script(call: Call) -> str | None:
        return "delay" if call.operation == "UploadFileChunk" and call.number == 1 else None

    async with against(tmp_path, script, replace(PATIENT, uploads=1)) as (server, client):
        first = asyncio.ensure_future(client.upload(b"first", to=f"{FOLDER}/first.bin"))
        await until(lambda: [call for call in server.calls if call.operation == "UploadFileChunk"])
        second = await client.upload(b"second", to=TO)
        assert (await first).times.memory < second.times.memory
        assert second.times.memory >= 0.02


def test_what_there_is_most_of_is_named_first() -> None:
    assert Times(network=0.25, retry_after=12.04, reading=0.04).words == "retry after 12.0 s, network 0.2 s"
    assert not Times().words

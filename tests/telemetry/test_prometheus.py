"""Metrics in a registry of Prometheus's own library."""

import asyncio
import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from conftest import FOLDER, PATIENT
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import generate_latest

from asyncupload import AccessDenied, Client, OutcomeUnknown, Retries, Settings, Timeouts
from asyncupload.emulator import Emulator, Script, at
from asyncupload.telemetry.prometheus import Metrics

pytestmark = pytest.mark.anyio
CHUNK = PATIENT.chunk_size
TO = f"{FOLDER}/a.bin"


@pytest.fixture
def registry() -> CollectorRegistry:
    """The test's own: the library's is the process's."""
    return CollectorRegistry()


@pytest.fixture
def metrics(registry: CollectorRegistry) -> Metrics:
    return Metrics(registry)


def client_of(server: Emulator, metrics: Metrics, settings: Settings = PATIENT) -> Client:
    return Client(server.url, user="demo", password="demo", settings=settings, observers=[metrics])


def values(registry: CollectorRegistry) -> dict[str, float]:
    """What has a value other than 0, as an exposition writes it. Of histograms the count."""
    lines = (line.rsplit(" ", 1) for line in generate_latest(registry).decode().splitlines() if line[0] != "#")
    found = {name.removeprefix("asyncupload_"): float(value) for name, value in lines}
    return {
        name: value
        for name, value in found.items()
        if value and not any(part in name for part in ("_created", "_bucket", "_seconds_sum"))
    }


async def test_what_was_stored_is_counted_and_timed(
    emulator: Emulator, metrics: Metrics, registry: CollectorRegistry
) -> None:
    content = os.urandom(2 * CHUNK + 1)
    async with client_of(emulator, metrics) as client:
        await client.upload(content, to=TO)
        await client.upload(content, to=TO, if_exists="skip")

    assert values(registry) == {
        'uploads_total{error="",status="stored"}': 1,
        'uploads_total{error="",status="unchanged"}': 1,
        "sent_bytes_total": len(content),
        "upload_seconds_count": 1,
        "commit_seconds_count": 1,
    }


async def test_bytes_sent_in_vain_are_bytes_sent(metrics: Metrics, registry: CollectorRegistry, tmp_path: Path) -> None:
    script = at({("UploadFileChunk", 1): "tryagain", ("UploadFileChunk", 3): "lose-handler"})
    async with Emulator(tmp_path, script=script) as server, client_of(server, metrics) as client:
        await client.upload(os.urandom(2 * CHUNK), to=TO)

    assert values(registry) == {
        'uploads_total{error="",status="stored"}': 1,
        "sent_bytes_total": 3 * CHUNK,
        "chunks_resent_total": 1,
        "restarts_total": 1,
        "upload_seconds_count": 1,
        "commit_seconds_count": 1,
    }


def _lost(settle: float) -> Settings:
    return Settings(
        chunk_size=CHUNK, timeouts=Timeouts(reply=5, settle=settle), retries=Retries(first_wait=0.001, attempts=2)
    )


@pytest.mark.parametrize(
    ("script", "error", "status"),
    [
        (at({("UploadNewDocumentWidthHandler", 1): "forbid"}), AccessDenied, "failed"),
        (
            lambda call: {"UploadNewDocumentWidthHandler": "drop-before", "DocumentCRC32": "html"}.get(call.operation),
            OutcomeUnknown,
            "unknown",
        ),
    ],
)
async def test_a_failure_is_counted_by_its_kind(
    script: Script,
    error: type[Exception],
    status: str,
    metrics: Metrics,
    registry: CollectorRegistry,
    tmp_path: Path,
) -> None:
    async with Emulator(tmp_path, script=script) as server, client_of(server, metrics, _lost(0.2)) as client:
        with pytest.raises(error):
            await client.upload(b"content", to=TO)

    assert values(registry) == {
        f'uploads_total{{error="{error.__name__}",status="{status}"}}': 1,
        "sent_bytes_total": 7,
        "commit_seconds_count": 1,
    }


async def test_those_that_go_on_are_shown_until_they_end(
    emulator: Emulator, metrics: Metrics, registry: CollectorRegistry
) -> None:
    reached = asyncio.Event()

    async def stuck() -> AsyncIterator[bytes]:
        reached.set()
        await asyncio.Event().wait()
        yield b""

    async with client_of(emulator, metrics) as client:
        task = asyncio.ensure_future(client.upload(stuck(), to=TO))
        await reached.wait()
        assert values(registry) == {"uploads_in_progress": 1}
        task.cancel()
        await asyncio.wait({task})

    assert values(registry) == {'uploads_total{error="CancelledError",status="cancelled"}': 1}


async def test_clients_may_share_them_and_a_registry_holds_them_once(
    emulator: Emulator, metrics: Metrics, registry: CollectorRegistry
) -> None:
    for _ in range(2):
        async with client_of(emulator, metrics) as client:
            await client.upload(b"content", to=TO)

    assert values(registry)['uploads_total{error="",status="stored"}'] == 2
    with pytest.raises(ValueError, match="Duplicated"):
        Metrics(registry)

"""Through a real nginx: what it terminates, refuses, buffers, cuts off and answers in the server's place."""

import asyncio
import itertools
import os
import random
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
import trustme
from anyio.to_thread import run_sync
from cli.commands import PATIENCE, run
from conftest import FOLDER, PATIENT
from troubled import count

from asyncupload import (
    AsyncUploadError,
    ChunkSent,
    Client,
    Committing,
    Event,
    ForeignReply,
    HandlerOpened,
    NotFound,
    OutcomeUnknown,
    Receipt,
    Retries,
    Settings,
    Timeouts,
)
from asyncupload.emulator import Call, Emulator, Hit, at, rates

from .conftest import Before
from .killable import KillableServer

pytestmark = pytest.mark.anyio

KIB = 1024
CHUNK = PATIENT.chunk_size
TO = f"{FOLDER}/report.bin"
CALLED_BESIDES = (
    "AuthenticateUser",
    "FolderExists",
    "DocumentExists",
    "CreateUploadHandler",
    "UploadFileChunk",
    "GetDownloadHandler",
    "DownloadFileChunk",
)
CREATE = "UploadNewDocumentWidthHandler"
LOGIN = {"ASYNCUPLOAD_USER": "demo", "ASYNCUPLOAD_PASSWORD": "demo"}


def _client(url: str, settings: Settings = PATIENT) -> Client:
    return Client(url, user="demo", password="demo", settings=settings)


async def _stored_once(server: Emulator, data: bytes) -> None:
    """One document, one version, these bytes, and nothing left behind."""
    (document,) = await server.documents()
    assert (document.path, len(document.versions)) == (TO, 1)
    assert (await server.content(TO)).read_bytes() == data
    assert await server.open_handlers() == []


# ── TLS ─────────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("trusted", [True, False], ids=["with --ca-file", "without"])
async def test_a_private_authority_is_trusted_where_the_user_says_so(
    trusted: bool, nginx: Before, emulator: Emulator, tmp_path: Path
) -> None:
    """Faults 31 and 32: otherwise the message names the option, and not even a login is sent."""
    authority, file = trustme.CA(), tmp_path / "report.bin"
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    authority.issue_cert("127.0.0.1").private_key_and_cert_chain_pem.write_to_path(str(tmp_path / "own.pem"))
    own = f"ssl_certificate {tmp_path}/own.pem; ssl_certificate_key {tmp_path}/own.pem;"
    file.write_bytes(os.urandom(3 * CHUNK + 7))
    with nginx(emulator.url, listen="ssl", more=own) as proxy:
        words = ["upload", file, TO, "--chunk-size", CHUNK, "--json", "--server", proxy.url]
        words += ["--ca-file", tmp_path / "ca.pem"] if trusted else []
        ended = await run_sync(lambda: run(*words, env=LOGIN))
    if trusted:
        assert (ended.code, ended.said["chunks"]) == (0, 4)
        await _stored_once(emulator, file.read_bytes())
    else:
        assert (ended.code, ended.said["error"]) == (5, "TLSFailed")
        assert "--ca-file" in ended.said["message"]
        assert emulator.calls == []


# ── a limit on a request's size ─────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("buffering", ["on", "off"])
@pytest.mark.parametrize(("limit", "sizes"), [("600k", [1024, 512]), ("300k", [1024, 512, 256])])
async def test_chunks_too_large_for_the_proxy_are_made_smaller(
    limit: str, sizes: list[int], buffering: str, nginx: Before, emulator: Emulator
) -> None:
    """Fault 49. The client's next upload begins with what was learned."""
    data, opened = os.urandom(2 * 1024 * KIB + 7), list[int]()

    def listen(event: Event) -> None:
        if isinstance(event, HandlerOpened):
            opened.append(event.chunk_size // KIB)

    limits = f"client_max_body_size {limit}; proxy_request_buffering {buffering};"
    with nginx(emulator.url, more=limits) as proxy:
        async with _client(proxy.url, replace(PATIENT, chunk_size=1024 * KIB)) as client:
            receipt = await client.upload(data, to=TO, on_event=listen)
            await _stored_once(emulator, data)
            assert [one.status for one in proxy.answered("UploadFileChunk")].count(413) == len(sizes) - 1
            await client.upload(data, to=TO, on_event=listen)
    assert opened == [*sizes, sizes[-1]]
    assert (receipt.chunks, receipt.restarted) == (-(-len(data) // (sizes[-1] * KIB)), 0)


async def test_a_limit_below_the_smallest_chunk_is_told(nginx: Before, emulator: Emulator) -> None:
    with nginx(emulator.url, more="client_max_body_size 200k;") as proxy:
        async with _client(proxy.url) as client:
            with pytest.raises(ForeignReply, match="413"):
                await client.upload(os.urandom(2 * CHUNK), to=TO)
    assert await emulator.documents() == []
    assert await emulator.open_handlers() == []


# ── the server is killed behind it ──────────────────────────────────────────────────────────────────────────────────

STUBBORN = Settings(
    chunk_size=CHUNK,
    timeouts=Timeouts(connect=5, reply=10, finalize=10, settle=20, cleanup=10),
    retries=Retries(attempts=1000, first_wait=0.01, longest_wait=0.05),
)
"""Outwaits the start of a server on a busy machine."""

DATA = random.Random("eight chunks").randbytes(7 * CHUNK + 4711)


@dataclass
class Story:
    """An upload during which the server is killed and, unless it stays away, started again."""

    url: str
    server: KillableServer
    kill_at: Callable[[Event, "Story"], None]
    """Called with each event; kills."""
    comes_back: bool = True
    settings: Settings = STUBBORN
    killed: asyncio.Event = field(default_factory=asyncio.Event)
    handlers: set[str] = field(default_factory=set)
    """Those that the client knows of."""

    async def end(self) -> Receipt | AsyncUploadError:
        """How the upload ends."""
        back = asyncio.ensure_future(self._come_back())
        try:
            async with _client(self.url, self.settings) as client:
                return await client.upload(DATA, to=TO, on_event=self._listen)
        except AsyncUploadError as error:
            return error
        finally:
            await asyncio.wait_for(back, PATIENCE)  # the moment to kill may come after the end

    def kill(self) -> None:
        self.server.kill()
        self.killed.set()

    def _listen(self, event: Event) -> None:
        if isinstance(event, HandlerOpened):
            self.handlers.add(event.handler)
        if not self.killed.is_set():
            self.kill_at(event, self)

    async def _come_back(self) -> None:
        await self.killed.wait()
        if self.comes_back:
            await run_sync(self.server.start)


async def _judge(story: Story, end: Receipt | AsyncUploadError) -> None:
    """Hold what was told against what the server's folder has: once or not at all, equal, and nothing left behind."""
    story.server.kill()
    async with Emulator(story.server.data) as server:
        documents = await server.documents()
        if isinstance(end, Receipt):
            assert [len(document.versions) for document in documents] == [1]
            assert (end.path, end.document_id) == (TO, documents[0].id)
        elif not isinstance(end, OutcomeUnknown):
            assert documents == []
        if documents:
            assert (await server.content(TO)).read_bytes() == DATA
        if story.comes_back and not isinstance(end, OutcomeUnknown):
            assert not {handler.guid for handler in await server.open_handlers()} & story.handlers


def _after_chunk(number: int) -> Callable[[Event, Story], None]:
    def kill_at(event: Event, story: Story) -> None:
        if isinstance(event, ChunkSent) and event.number == number:
            story.kill()

    return kill_at


def _before_storing(event: Event, story: Story) -> None:
    if isinstance(event, Committing):
        story.kill()


MOMENTS = {"after chunk 1": _after_chunk(1), "after chunk 6": _after_chunk(6), "before storing": _before_storing}


@pytest.mark.parametrize("moment", MOMENTS)
async def test_a_server_killed_between_two_requests_and_started_again_has_the_document_once(
    moment: str, nginx: Before, killable: KillableServer
) -> None:
    """Faults 45 and 67. Early in the file it begins anew, late the checksum judges, to store it is asked for again."""
    killable.start()
    with nginx(killable.url) as proxy:
        story = Story(proxy.url, killable, MOMENTS[moment])
        end = await story.end()
        assert 502 in {one.status for one in proxy.answered()}
    assert isinstance(end, Receipt)
    assert end.restarted == (1 if moment == "after chunk 1" else 0)
    assert (end.resent > 0) == (moment == "after chunk 6")
    await _judge(story, end)


async def test_a_server_killed_after_it_has_stored_and_before_it_says_so_has_the_document_once(
    nginx: Before, killable: KillableServer, tmp_path: Path
) -> None:
    """Fault 42."""
    killable.start("--fault", "stall-after=0.005", "--seed", _seed_for_a_stall())
    watched = list[asyncio.Task[None]]()

    async def watch() -> None:
        async with _client(killable.url) as watcher:
            while not await _is_there(watcher, tmp_path / "back"):
                pass
        story.kill()

    def listen(event: Event, _: Story) -> None:
        if isinstance(event, Committing):
            watched.append(asyncio.ensure_future(watch()))

    with nginx(killable.url) as proxy:
        story = Story(proxy.url, killable, listen)
        end = await story.end()
        assert [one.status for one in proxy.answered(CREATE)] == [502]
    await asyncio.gather(*watched)
    assert isinstance(end, Receipt)
    await _judge(story, end)


async def _is_there(client: Client, target: Path) -> bool:
    try:
        await client.download(TO, target)
    except NotFound:
        return False
    return True


def _seed_for_a_stall() -> int:
    """One by which, of all that is called here, the request to store alone is stalled."""
    places = list(itertools.product(CALLED_BESIDES, range(1, 51)))
    for seed in itertools.count():
        script = rates({"stall-after": 0.005}, seed=seed)
        if script(Call(CREATE, 1)) and not any(script(Call(*place)) for place in places):
            return seed
    raise AssertionError


@pytest.mark.parametrize("seed", range(4))
async def test_a_server_killed_at_any_moment_ends_in_the_document_once_or_in_the_truth(
    seed: int, nginx: Before, killable: KillableServer
) -> None:
    """In the middle of a request, drawn from the seed; the last two of them while it stores."""
    die, events = random.Random(seed), itertools.count(1)
    wanted, seconds = (10 if seed >= 2 else die.randint(1, 9)), die.uniform(0, 0.005)

    def kill_at(event: Event, story: Story) -> None:
        if next(events) == wanted:
            asyncio.get_running_loop().call_later(seconds, story.kill)

    killable.start()
    buffering = die.choice(["on", "off"])
    with nginx(killable.url, more=f"proxy_request_buffering {buffering};") as proxy:
        # Killed while the document is half made, no time would be enough to tell.
        settings = replace(STUBBORN, timeouts=replace(STUBBORN.timeouts, settle=3))
        story = Story(proxy.url, killable, kill_at, settings=settings)
        await _judge(story, await story.end())


@pytest.mark.parametrize("moment", ["after chunk 1", "before storing"])
async def test_a_server_that_stays_away_ends_in_the_truth(moment: str, nginx: Before, killable: KillableServer) -> None:
    """Not stored; or, once it was asked to store, unknown."""
    hasty = replace(PATIENT, timeouts=replace(PATIENT.timeouts, settle=0.2, cleanup=0.2))
    killable.start()
    with nginx(killable.url) as proxy:
        story = Story(proxy.url, killable, MOMENTS[moment], comes_back=False, settings=hasty)
        end = await story.end()
    assert type(end) is (OutcomeUnknown if moment == "before storing" else ForeignReply)
    assert "502" in str(end)
    await _judge(story, end)


# ── buffers, delays, connections ────────────────────────────────────────────────────────────────────────────────────


def _every_chunk_late(call: Call) -> Hit:
    return "delay-after" if call.operation == "UploadFileChunk" else None


@pytest.mark.parametrize("answers", ["on", "off"])
@pytest.mark.parametrize("requests", ["on", "off"])
async def test_however_the_proxy_buffers_progress_counts_what_the_server_has(
    requests: str, answers: str, nginx: Before, tmp_path: Path
) -> None:
    """Fault 52. Nginx has a chunk whole long before the server does, and the server before it says so."""
    told = list[tuple[int, int]]()

    def listen(event: Event) -> None:
        if isinstance(event, ChunkSent):
            has = sum(call.applied for call in server.calls if call.operation == "UploadFileChunk")
            told.append((event.sent, min(has * CHUNK, len(DATA))))

    buffers = f"proxy_request_buffering {requests}; proxy_buffering {answers};"
    async with Emulator(tmp_path / "server", script=_every_chunk_late, delay=0.01) as server:
        with nginx(server.url, more=buffers) as proxy:
            async with _client(proxy.url) as client:
                receipt = await client.upload(DATA, to=TO, on_event=listen)
        await _stored_once(server, DATA)
    assert (receipt.chunks, receipt.resent, receipt.restarted) == (8, 0, 0)
    assert len(told) == 8
    assert all(sent == has for sent, has in told), told


SLOW = {
    "stored before": (("stall-after",), 1),
    "stored after": (("delay-after", "fail-504-late"), 1),
    "never stored": (("delay",), 2),
}
"""When the document is made, seen from nginx's 504: the faults that make it so, and how often it is asked for."""


@pytest.mark.parametrize("when", SLOW)
async def test_a_proxy_that_does_not_wait_for_the_storing_makes_no_second_document(
    when: str, nginx: Before, tmp_path: Path
) -> None:
    """Faults 42 and 72. A server whose proxy has gone may store all the same, then or later, or not."""
    faults, times = SLOW[when]
    impatient = f"location ~ {CREATE} {{ proxy_pass http://server; proxy_read_timeout 300ms; }}"
    settings = replace(PATIENT, timeouts=replace(PATIENT.timeouts, settle=3))
    async with Emulator(tmp_path / "server", script=at({(CREATE, 1): faults}), delay=0.8) as server:
        with nginx(server.url, more=impatient) as proxy:
            async with _client(proxy.url, settings) as client:
                receipt = await client.upload(DATA, to=TO)
            assert proxy.answered(CREATE)[0].status == 504
        await _stored_once(server, DATA)
        assert count(server, CREATE) == times
        assert (receipt.chunks, receipt.resent, receipt.restarted) == (8, 0, 0)
        assert receipt.document_id == (await server.documents())[0].id


async def test_connections_that_the_proxy_closes_every_few_requests_cost_nothing(
    nginx: Before, emulator: Emulator
) -> None:
    """Fault 38."""
    with nginx(emulator.url, more="keepalive_requests 3;") as proxy:
        async with _client(proxy.url) as client:
            receipt = await client.upload(DATA, to=TO)
        connections = [one.connection for one in proxy.answered()]
    assert len(connections) >= 12
    assert len(set(connections)) == -(-len(connections) // 3), "each is used as often as the proxy lets it"
    assert (receipt.chunks, receipt.resent, receipt.restarted) == (8, 0, 0)
    await _stored_once(emulator, DATA)

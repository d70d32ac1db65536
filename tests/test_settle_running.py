"""A request to store that runs on after its connection has gone: what may be repeated, and when; what is claimed."""

import io
import zipfile
import zlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from between import between
from conftest import BRISK, FOLDER, PATIENT
from troubled import count, holder

from asyncupload import Client, Commit, OutcomeUnknown, Settings, StoredDifferently, StoredTwice
from asyncupload.emulator import Emulator, Script, at

pytestmark = pytest.mark.anyio

TO = f"{FOLDER}/report.bin"
CREATE, ADD, PLAIN = "UploadNewDocumentWidthHandler", "UploadDocumentWithHandler1", "UploadDocumentWithHandler"
NO_HANDLER = "00000000-0000-0000-0000-000000000000"
GATEWAYS = ["gateway-reset", "gateway-502", "gateway-503", "gateway-504"]


def within(*, finalize: float, settle: float) -> Settings:
    return replace(PATIENT, timeouts=replace(PATIENT.timeouts, finalize=finalize, settle=settle))


@asynccontextmanager
async def slow_server(
    folder: Path,
    script: Script,
    settings: Settings = PATIENT,
    *,
    slow: float = 0.5,
    missing: tuple[str, ...] = (),
    variants: tuple[str, ...] = (),
) -> AsyncIterator[tuple[Emulator, Client]]:
    """A server whose finalizes take their time behind a gateway that does not."""
    async with (
        Emulator(folder, script=script, slow=slow, gateway=0.05, missing=missing, variants=variants) as server,
        Client(server.url, user="demo", password="demo", settings=settings) as client,
    ):
        yield server, client
        assert await server.settled()


async def _versions(server: Emulator) -> int:
    return sum(len(document.versions) for document in await server.documents())


# ── it runs on ──────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("gateway", GATEWAYS)
async def test_a_version_that_is_stored_after_its_gateway_gave_up_is_found_and_never_asked_for_twice(
    gateway: str, tmp_path: Path
) -> None:
    """Fault 72. The handler is there to the end, so a second request would make a second version."""
    async with slow_server(tmp_path, at({(ADD, 1): gateway})) as (server, client):
        await client.upload(b"before", to=TO)
        receipt = await client.upload(b"data", to=TO)
        assert await server.settled()
        (document,) = await server.documents()
        assert [version.number for version in document.versions][1:] == [receipt.version_id]
        assert count(server, ADD) == 1
        assert await holder(server, TO) is None


@pytest.mark.parametrize("gateway", GATEWAYS)
@pytest.mark.parametrize("variants", [(), ("auto-version",)])
async def test_so_is_a_new_document_where_the_server_cannot_only_create(
    gateway: str, variants: tuple[str, ...], tmp_path: Path
) -> None:
    async with slow_server(tmp_path, at({(PLAIN, 1): gateway}), missing=(CREATE,), variants=variants) as made:
        server, client = made
        await client.upload(b"data", to=TO)
        assert await server.settled()
        assert (await _versions(server), count(server, PLAIN)) == (1, 1)


@pytest.mark.parametrize("gateway", GATEWAYS)
async def test_where_it_can_only_create_a_repeat_does_no_harm(gateway: str, tmp_path: Path) -> None:
    async with slow_server(tmp_path, at({(CREATE, 1): gateway, (CREATE, 2): gateway})) as (server, client):
        await client.upload(b"data", to=TO)
        assert await server.settled()
        assert (await _versions(server), await server.open_handlers()) == (1, [])


@pytest.mark.parametrize("gateway", GATEWAYS)
async def test_a_version_that_takes_longer_than_anybody_looks_is_unknown_and_comes_once(
    gateway: str, tmp_path: Path
) -> None:
    settings = within(finalize=30, settle=0.3)
    async with slow_server(tmp_path, at({(ADD, 1): gateway}), settings, slow=1.2, variants=("auto-version",)) as (
        server,
        client,
    ):
        await client.upload(b"before", to=TO)
        with pytest.raises(OutcomeUnknown, match="look whether it is there"):
            await client.upload(b"data", to=TO)
        assert await _versions(server) == 1
        assert await server.settled()
        assert (await _versions(server), count(server, ADD)) == (2, 1)
        assert count(server, "DeleteUploadHandler") == 0


@pytest.mark.parametrize("operation", [ADD, PLAIN, CREATE])
async def test_what_a_gateway_asked_for_twice_is_waited_for(operation: str, tmp_path: Path) -> None:
    """The second request was refused, since the first had the handler, and works on it."""
    missing = (CREATE,) if operation == PLAIN else ()
    async with slow_server(tmp_path, at({(operation, 1): "gateway-again"}), missing=missing) as (server, client):
        if operation == ADD:
            await client.upload(b"before", to=TO)
        receipt = await client.upload(b"data", to=TO)
        (document,) = await server.documents()
        assert document.latest.number == receipt.version_id
        assert (receipt.restarted, count(server, operation), await server.open_handlers()) == (0, 1, [])


@pytest.mark.parametrize("fault", ["gateway-again-5030", "gateway-again-error"])
@pytest.mark.parametrize("source", ["bytes", "stream"])
@pytest.mark.parametrize("operation", [ADD, PLAIN, CREATE])
async def test_what_fails_because_it_was_sent_twice_is_no_word_about_the_first(
    operation: str, source: str, fault: str, tmp_path: Path
) -> None:
    """The second request failed at what the first is at work on: that one is waited for, and not sent a third time."""

    async def pieces() -> AsyncIterator[bytes]:
        yield b"data"

    missing = (CREATE,) if operation == PLAIN else ()
    script = at({(operation, 1): fault})
    async with slow_server(tmp_path, script, slow=0.25, missing=missing, variants=("auto-version",)) as made:
        server, client = made
        if operation == ADD:
            await client.upload(b"before", to=TO)
        receipt = await client.upload(pieces() if source == "stream" else b"data", to=TO)
        assert await server.settled()
        (document,) = await server.documents()
        assert document.latest.number == receipt.version_id
        assert (receipt.restarted, await _versions(server)) == (0, 2 if operation == ADD else 1)
        assert operation == CREATE or count(server, operation) == 1


@pytest.mark.parametrize("fault", ["gateway-again-5030", "gateway-again-error"])
async def test_an_archive_that_was_sent_twice_is_unpacked_once(fault: str, tmp_path: Path) -> None:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("a", b"first")
        archive.writestr("b", b"second")
    async with slow_server(tmp_path, at({("UploadZipWithHandler", 1): fault}), slow=0.25) as (server, client):
        done = await client.upload_zip(packed.getvalue(), to=FOLDER)
        assert await server.settled()
        assert (done.failed, await _versions(server), count(server, "UploadZipWithHandler")) == ((), 2, 1)


async def test_one_that_comes_about_after_that_is_found_by_the_next_pass(tmp_path: Path) -> None:
    script = at({(ADD, 1): "gateway-again", ("CreateUploadHandler", 3): "slow", ("UploadFileChunk", 3): "slow"})
    settings = within(finalize=30, settle=0.05)
    async with slow_server(tmp_path, script, settings, slow=0.3) as (server, client):
        await client.upload(b"before", to=TO)
        receipt = await client.upload(b"data", to=TO)
        assert receipt.restarted == 1
        (document,) = await server.documents()
        assert [version.number for version in document.versions][1:] == [receipt.version_id]
        assert (count(server, ADD), await server.open_handlers()) == (1, [])


async def test_a_handler_whose_request_was_lost_and_then_refused_is_not_left(tmp_path: Path) -> None:
    """The server had ended with the first: nobody is at work on it any more."""
    settings = within(finalize=0.3, settle=2)
    async with slow_server(tmp_path, at({(ADD, 1): "drop-before", (ADD, 2): "no-success"}), settings) as (
        server,
        client,
    ):
        await client.upload(b"before", to=TO)
        receipt = await client.upload(b"data", to=TO)
        assert (receipt.restarted, receipt.left) == (1, ())
        assert (await _versions(server), await server.open_handlers()) == (2, [])


async def test_two_versions_with_our_token_are_said_and_not_called_stored(tmp_path: Path) -> None:
    """As of a server that took longer than the time allowed for it, and of the repeat that was safe by then."""
    token = "[upload 0123abcd]"
    async with slow_server(tmp_path, lambda _: None) as (server, client):
        await client.upload(b"before", to=TO)
        twice = [await client.upload(b"data", to=TO, version_comment=token) for _ in range(2)]
        commit = Commit(path=TO, handler=NO_HANDLER, size=4, crc32=0, existed=True, token=token, comment=token)
        with pytest.raises(StoredTwice, match="stored twice, as versions") as caught:
            await client.resume_commit(commit, may_be_running=False)
        assert caught.value.versions == tuple(receipt.version_id for receipt in twice)
        assert count(server, ADD) == 2


# ── a claim without a document ──────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("operation", [CREATE, ADD])
async def test_a_success_without_names_is_no_proof(operation: str, tmp_path: Path) -> None:
    """As the answer to the chunk before it, which came twice, would be. What it speaks of is looked for, and made."""
    async with slow_server(tmp_path, at({(operation, 1): "false-success"}), BRISK) as (server, client):
        if operation == ADD:
            await client.upload(b"before", to=TO)
        receipt = await client.upload(b"data", to=TO)
        (document,) = await server.documents()
        assert (receipt.document_id, receipt.version_id) == (document.id, document.latest.number)
        assert (await server.content(TO)).read_bytes() == b"data"
        assert count(server, operation) == 2


async def test_a_server_that_only_ever_claims_is_not_believed(tmp_path: Path) -> None:
    settings = within(finalize=0.1, settle=0.3)
    script: Script = lambda call: "false-success" if call.operation == CREATE else None  # noqa: E731
    async with slow_server(tmp_path, script, settings) as (server, client):
        with pytest.raises(OutcomeUnknown):
            await client.upload(b"data", to=TO)
        assert await server.documents() == []


@pytest.mark.parametrize("operation", [CREATE, ADD])
async def test_a_404_after_the_request_to_store_has_run_is_unknown_and_settled(operation: str, tmp_path: Path) -> None:
    """A gateway whose server is taken away says so."""
    async with slow_server(tmp_path, at({(operation, 1): "fail-404-after"})) as (server, client):
        if operation == ADD:
            await client.upload(b"before", to=TO)
        receipt = await client.upload(b"data", to=TO)
        assert receipt.status == "stored"
        assert await _versions(server) == (2 if operation == ADD else 1)
        assert count(server, PLAIN) == 0, "the server was not taken for an older one"


async def test_a_404_while_a_new_document_is_being_stored_makes_no_second_one(tmp_path: Path) -> None:
    """The server does have the operation that only creates: one that can do nothing finds out."""
    requests = list[str]()

    async def note(operation: str) -> None:
        requests.append(operation)

    def not_found(operation: str, body: bytes) -> tuple[int, bytes] | None:
        return (404, b"<h1>Not Found</h1>") if operation == CREATE and requests.count(CREATE) == 1 else None

    async with (
        Emulator(tmp_path, variants=["auto-version"]) as server,
        between(server.url, instead=not_found, meanwhile=note) as proxy,
        Client(proxy.url, user="demo", password="demo", settings=PATIENT) as client,
    ):
        await client.upload(b"data", to=TO)
        assert (await _versions(server), count(server, PLAIN)) == (1, 0)


# ── what is compared, and how ───────────────────────────────────────────────────────────────────────────────────────


async def test_a_document_of_thousands_of_versions_settles_all_the_same(tmp_path: Path) -> None:
    async with slow_server(tmp_path, at({(ADD, 1): "drop-after"})) as (server, client):
        await client.upload(b"before", to=TO)
        await server.add_versions(TO, 8000, "a comment of some length, as people write them")
        receipt = await client.upload(b"data", to=TO)
        (document,) = await server.documents()
        assert receipt.version_id == document.latest.number
        assert len(document.versions) == 8002


async def test_a_new_document_with_our_checksum_and_another_size_is_not_ours(tmp_path: Path) -> None:
    """Four bytes of FF and zeros behind them: CRC-32 is blind to how many."""
    ours, theirs = b"\xff\xff\xff\xff" + bytes(8), b"\xff\xff\xff\xff" + bytes(9)
    assert zlib.crc32(ours) == zlib.crc32(theirs)
    made = list[str]()

    async def make_another(operation: str) -> None:
        if operation == CREATE and not made:
            made.append(operation)
            async with Client(server.url, user="demo", password="demo", settings=PATIENT) as other:
                await other.upload(theirs, to=TO)

    async with (
        Emulator(tmp_path, script=at({(CREATE, 2): "refuse-500"})) as server,
        between(server.url, meanwhile=make_another) as proxy,
        Client(proxy.url, user="demo", password="demo", settings=PATIENT) as client,
    ):
        with pytest.raises(OutcomeUnknown, match="another document"):
            await client.upload(ours, to=TO)


@pytest.mark.parametrize("words", ["", "missing-404"])
async def test_a_server_without_downloads_by_version_is_compared_by_what_it_tells_of_the_latest(
    words: str, tmp_path: Path
) -> None:
    variants = ("no-filehexcrc", *([words] if words else []))
    async with slow_server(
        tmp_path, lambda _: None, missing=("GetDownloadHandlerByVersion",), variants=variants
    ) as made:
        server, client = made
        receipt = await client.upload(b"data", to=TO)
        assert receipt.verified_by == "stored checksum"
        assert (await server.content(TO)).read_bytes() == b"data"


async def test_there_a_document_that_was_damaged_is_told(tmp_path: Path) -> None:
    script = at({("UploadFileChunk", 1): "corrupt-chunk"})
    async with slow_server(tmp_path, script, missing=("GetDownloadHandlerByVersion",), variants=("no-filehexcrc",)) as (
        _,
        client,
    ):
        with pytest.raises(StoredDifferently):
            await client.upload(b"data", to=TO)


# ── taken up by another process ─────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("existed", [True, False])
async def test_a_commit_that_may_be_running_is_taken_up_and_comes_once(existed: bool, tmp_path: Path) -> None:
    """The process that sent it died; its request runs on."""
    asked = ADD if existed else CREATE
    script: Script = lambda call: "gateway-502" if call.operation == asked else None  # noqa: E731
    settings = within(finalize=30, settle=0.2)
    async with slow_server(tmp_path, script, settings, slow=1.0, variants=("auto-version",)) as (server, client):
        commits = Commits()
        if existed:
            await client.upload(b"before", to=TO)
        with pytest.raises(OutcomeUnknown):
            await client.upload(b"data", to=TO, checkpoints=commits)
        with pytest.raises(OutcomeUnknown):
            await client.resume_commit(commits.seen[0], may_be_running=True)
        assert await server.settled()
        receipt = await client.resume_commit(commits.seen[0], may_be_running=True)
        assert receipt is not None
        assert await _versions(server) == 1 + existed


class Commits:
    """Checkpoints that only remember."""

    checked_out_before = False

    def __init__(self) -> None:
        self.seen: list[Commit] = []

    async def checking_out(self) -> None:
        """Go on."""

    async def given_back(self) -> None:
        """Go on."""

    async def staging(self, handler: str) -> None:
        """Go on."""

    async def committing(self, commit: Commit) -> None:
        self.seen.append(commit)

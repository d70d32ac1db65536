"""A load that has been working outwaits whatever the server, or what stands before it, says for a while."""

import asyncio
import ssl
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import anyio
import pytest
import trustme
from between import between
from conftest import PATIENT
from troubled import count, until

from asyncupload import Client, ForeignReply, LoginRefused, Settings, _session
from asyncupload.bulk import ends, gate, loader
from asyncupload.bulk.journal import Journal
from asyncupload.bulk.loader import Loader
from asyncupload.emulator import Call, Emulator

from .loads import OPTIONS, TO, Files, assert_stored_once, load, many, plan, states

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("hurried")]

BRIEF = replace(PATIENT, retries=replace(PATIENT.retries, attempts=2, first_attempts=2))
"""One file soon leaves the waiting to the load."""

ALERT = bytes.fromhex("15 03 03 00 02 02 50")
"""A record of TLS: fatal, internal error."""


@pytest.fixture
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """Waits for the server that keep their order but not their length."""
    monkeypatch.setattr(gate, "FIRST_WAIT", 0.05)
    monkeypatch.setattr(gate, "LONGEST_WAIT", 0.1)
    monkeypatch.setattr(loader, "LOOK", 0.02)
    monkeypatch.setattr(ends, "ASK_AGAIN", 0.05)


@pytest.fixture
def files(tmp_path: Path) -> Files:
    return Files(tmp_path / "files")


@pytest.fixture
def journal(tmp_path: Path) -> Path:
    return tmp_path / "load.journal"


class Spell:
    """A while in which every call meets a fault, from some call on.

    Args:
        fault: The emulator's name of it.
        begins: With which chunk.
        lasts: How many calls it hits.
        only: The operations that it hits; all of them if empty.
    """

    def __init__(self, fault: str, *, begins: int, lasts: int, only: frozenset[str] = frozenset()) -> None:
        self._fault, self._begins, self._left, self._only = fault, begins, lasts, only
        self._begun = False

    def __call__(self, call: Call) -> str | None:
        self._begun = self._begun or (call.operation == "UploadFileChunk" and call.number >= self._begins)
        if not self._begun or not self._left or (self._only and call.operation not in self._only):
            return None
        self._left -= 1
        return self._fault

    @property
    def over(self) -> bool:
        """Whether it came, and went."""
        return not self._left


def client_of(server: Emulator, settings: Settings = BRIEF) -> Client:
    return Client(server.url, user="demo", password="demo", settings=settings)


@pytest.mark.parametrize("fault", ["redirect-302", "refuse-401", "refuse-403", "refuse-404", "refuse-407", "html"])
async def test_what_stands_before_the_server_refuses_all_for_a_while(
    fault: str, tmp_path: Path, files: Files, journal: Path
) -> None:
    """filesender/filesender#52. Nothing is remembered of an operation that seemed to be missing then."""
    contents, spell = many(30), Spell(fault, begins=8, lasts=60)
    async with Emulator(tmp_path / "server", script=spell) as server, client_of(server) as client:
        progress, this = await load(client, journal, files.write(contents))
        assert spell.over
        assert (states(progress), this.error) == ({"stored": 30}, None)
        # As many as can be in flight: a handler may have been made whose deletion was refused.
        documents = {document.path for document in await server.documents()}
        assert documents == {f"{TO}/{name}" for name in contents}
        assert all(len(document.versions) == 1 for document in await server.documents())
        assert client._remote.creates_only
        assert not client._remote.ways.missing
        assert not client._remote.asker.lacking


async def test_a_page_that_refuses_one_file_is_no_matter_of_all(tmp_path: Path) -> None:
    """Its content may be what something on the way does not like, and a small request is understood all the while."""

    def script(call: Call) -> str | None:
        return "refuse-403" if call.operation == "UploadFileChunk" and call.number == 3 else None

    async with Emulator(tmp_path / "server", script=script) as server, client_of(server) as client:
        for number in range(2):
            await client.upload(b"data %d" % number, to=f"/Finance/Reports/{number}")
        with pytest.raises(ForeignReply) as caught:
            await client.upload(b"data", to="/Finance/Reports/third")
        assert not caught.value.of_all
        assert count(server, "UploadFileChunk") == 3, "it is not sent again and again"


@asynccontextmanager
async def front(port: int, alerted: Callable[[int], bool]) -> AsyncIterator[int]:
    """Passes connections on to a port, but answers those with a TLS alert whose number ``alerted`` says so."""
    number = 0

    async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while data := await reader.read(65536):
                writer.write(data)
                await writer.drain()
        except OSError:
            pass
        finally:
            writer.close()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal number
        number += 1
        if alerted(number):
            await reader.read(65536)
            writer.write(ALERT)
            writer.close()
            return
        there, back = await asyncio.open_connection("127.0.0.1", port)
        await asyncio.gather(pump(reader, back), pump(there, writer))

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1]
    await asyncio.sleep(0.05)


async def test_one_connection_of_many_that_is_answered_by_a_tls_alert_ends_no_load(
    tmp_path: Path, files: Files, journal: Path
) -> None:
    """HelpCode-ai/anythingmcp#437: one of several front ends that starts again."""
    authority, context = trustme.CA(), ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    authority.cert_pem.write_to_path(str(tmp_path / "ca"))
    contents, hit = many(20), list[int]()

    def alerted(number: int) -> bool:
        if number in {2, 3, 4}:
            hit.append(number)
        return number in {2, 3, 4}

    async with (
        Emulator(tmp_path / "server", ssl_context=context) as server,
        front(int(server.url.rpartition(":")[2]), alerted) as port,
        Client(
            f"https://127.0.0.1:{port}", user="demo", password="demo", ca_file=tmp_path / "ca", settings=BRIEF
        ) as client,
    ):
        await client.ping()
        progress, this = await load(client, journal, files.write(contents))
        assert hit
        assert (states(progress), this.error) == ({"stored": 20}, None)
        await assert_stored_once(server, contents)


# ── the login ───────────────────────────────────────────────────────────────────────────────────────────────────────


def _logins(server: Emulator) -> int:
    return count(server, "AuthenticateUser") + count(server, "RenewTicket")


@asynccontextmanager
async def changing(url: str, wrong: Callable[[], bool]) -> AsyncIterator[str]:
    """Between a client and a server: makes every password a wrong one for a while."""

    def change(_: str, body: bytes) -> bytes:
        return body.replace(b"PWD=demo", b"PWD=none").replace(b"password=demo", b"password=none") if wrong() else body

    async with between(url, request=change) as proxy:
        yield proxy.url


async def test_a_password_that_is_refused_for_a_while_is_asked_for_again_and_the_load_goes_on(
    tmp_path: Path, files: Files, journal: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A directory behind the server that is away says the same as a wrong password."""
    monkeypatch.setattr(_session, "AGAIN_AFTER", 0.3)
    contents, wrong = many(30), [False]
    async with Emulator(tmp_path / "server") as server, changing(server.url, lambda: wrong[0]) as url:
        async with Client(url, user="demo", password="demo", settings=BRIEF) as client, Journal.open(journal) as queue:
            this = Loader(client, queue, OPTIONS)

            async def lose() -> None:
                await until(lambda: count(server, "UploadFileChunk") > 6)
                wrong[0] = True
                await server.forget_tickets()
                await until(lambda: this._gate.ajar)
                wrong[0] = False

            async with anyio.create_task_group() as group:
                group.start_soon(lose)
                progress = await this.run(plan(files.write(contents)))
        assert (states(progress), this.error) == ({"stored": 30}, None)
        assert _logins(server) <= 4


async def test_a_password_that_stays_refused_ends_the_load_after_two_requests_and_fails_no_file(
    tmp_path: Path, files: Files, journal: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_session, "AGAIN_AFTER", 0.3)
    wrong = [False]
    async with Emulator(tmp_path / "server") as server, changing(server.url, lambda: wrong[0]) as url:
        async with Client(url, user="demo", password="demo", settings=BRIEF) as client, Journal.open(journal) as queue:
            this = Loader(client, queue, replace(OPTIONS, attempts=1))

            async def lose() -> None:
                await until(lambda: count(server, "UploadFileChunk") > 6)
                wrong[0] = True
                await server.forget_tickets()

            async with anyio.create_task_group() as group:
                group.start_soon(lose)
                began = time.monotonic()
                progress = await this.run(plan(files.write(many(30))))
        assert isinstance(this.error, LoginRefused)
        assert set(states(progress)) <= {"stored", "planned"}
        assert states(progress)["planned"]
        assert time.monotonic() - began >= 0.3
        assert _logins(server) == 3, "the good one, and two that were refused, some time apart"


async def test_a_client_that_lives_on_forgets_a_refusal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody starts a web server anew because the directory was away for a minute."""
    monkeypatch.setattr(_session, "AGAIN_AFTER", 0.3)
    wrong = [True]
    async with Emulator(tmp_path / "server") as server, changing(server.url, lambda: wrong[0]) as url:
        async with Client(url, user="demo", password="demo", settings=BRIEF) as client:
            for _ in range(5):
                with pytest.raises(LoginRefused) as caught:
                    await client.upload(b"data", to="/Finance/Reports/a.bin")
                assert caught.value.certain, "it was never accepted"
            assert _logins(server) == 1, "nobody hammers"
            wrong[0] = False
            await anyio.sleep(0.3)
            assert (await client.upload(b"data", to="/Finance/Reports/a.bin")).status == "stored"


def test_the_waits_between_refused_logins_lock_no_account() -> None:
    """Where five in half an hour are allowed."""
    at, waits = 0.0, list[float]()
    for times in range(8):
        waits.append(at)
        at += min(_session.AGAIN_AFTER * _session.GROWTH**times, _session.LONGEST_AFTER)
    assert max(sum(begin <= one < begin + 1800 for one in waits) for begin in waits) <= 4


async def test_a_lent_ticket_that_is_refused_now_and_then_ends_no_load(
    tmp_path: Path, files: Files, journal: Path
) -> None:
    """One node of several that did not know of it."""
    chunks, hit = 0, 0

    def instead(operation: str, _: bytes) -> tuple[int, bytes] | None:
        nonlocal chunks, hit
        chunks += operation == "UploadFileChunk"
        if operation != "UploadFileChunk" or chunks not in {8, 9, 10}:
            return None
        hit += 1
        return 200, b'<response success="false" error="[901] Session expired or Invalid ticket" errorCode="4010" />'

    async with Emulator(tmp_path / "server") as server, client_of(server) as first:
        await first.ping()
        async with (
            between(server.url, instead=instead) as proxy,
            Client(proxy.url, ticket=first._remote._key().reveal(), settings=BRIEF) as client,
        ):
            await client.ping()
            progress, this = await load(client, journal, files.write(many(20)))
        assert hit == 3
        assert (states(progress), this.error) == ({"stored": 20}, None)

"""Slow calls that run on, gateways that give up on them, answers that come twice, and servers that are away."""

import asyncio
from contextlib import suppress
from pathlib import Path

import aiohttp
import pytest

from asyncupload.emulator import Emulator, at
from emulator.caller import Caller
from emulator.raw import connected, form_request, head
from emulator.trouble import SLOW, troubled

pytestmark = pytest.mark.anyio

FINALIZE = "UploadDocumentWithHandler"
GATEWAYS = {"gateway-502": 502, "gateway-503": 503, "gateway-504": 504}


async def finalized(caller: Caller, handler: str, path: str = "/Library/a") -> int | None:
    """The status of the answer; None if there was none."""
    try:
        return (await caller.call(FINALIZE, path=path, uploadHandler=handler)).status
    except aiohttp.ClientError:
        return None


async def next_body(reader: asyncio.StreamReader) -> bytes:
    """The body of the next answer on the line, and not a byte more."""
    async with asyncio.timeout(10):
        said = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
        return await reader.readexactly(int(said.partition("content-length: ")[2].partition("\r\n")[0]))


async def numbers(server: Emulator) -> list[int]:
    """Of all versions there are."""
    return [version.number for document in await server.documents() for version in document.versions]


@pytest.mark.parametrize("name", ["gateway-reset", *GATEWAYS])
async def test_behind_a_gateway_a_finalize_runs_on_and_consumes_its_handler_at_its_end(
    tmp_path: Path, name: str
) -> None:
    async with troubled(tmp_path, at({(FINALIZE, 1): name})) as (server, caller):
        handler = await caller.staged()
        assert await finalized(caller, handler) == GATEWAYS.get(name)
        assert ([one.guid for one in await server.open_handlers()], await numbers(server)) == ([handler], [])
        assert await server.settled()
        assert (await server.open_handlers(), await numbers(server)) == ([], [1_000_000])
        assert server.calls[-1].applied


@pytest.mark.parametrize("variant", ["auto-version", ""])
async def test_a_second_finalize_of_a_handler_that_the_first_still_works_on_makes_a_second_version(
    tmp_path: Path, variant: str
) -> None:
    script = at({(FINALIZE, 2): "gateway-reset", (FINALIZE, 3): "gateway-502"})
    async with troubled(tmp_path, script, variant=variant) as (server, caller):
        assert (await caller.store("/Library/a", b"before")).ok
        if not variant:
            assert (await caller.call("Lock", Path="/Library/a")).ok
        handler = await caller.staged(b"twice")
        assert (await finalized(caller, handler), await finalized(caller, handler)) == (None, 502)
        assert await server.settled()
        assert await numbers(server) == [1_000_000, 1_000_001, 1_000_002]
        for number in (1_000_001, 1_000_002):
            assert (await server.content("/Library/a", number)).read_bytes() == b"twice"
        assert await server.open_handlers() == []
        assert not list((tmp_path / "staging").iterdir())


async def test_a_gateway_that_asks_again_hands_on_the_refusal_and_the_first_runs_on(tmp_path: Path) -> None:
    async with troubled(tmp_path, at({(FINALIZE, 1): "gateway-again"})) as (server, caller):
        answer = await caller.call(FINALIZE, path="/Library/a", uploadHandler=await caller.staged())
        assert (answer.code, await numbers(server)) == ("4000", [])
        assert await server.settled()
        assert await numbers(server) == [1_000_000]


async def test_when_the_first_has_ended_its_handler_is_nobodys(tmp_path: Path) -> None:
    async with troubled(tmp_path, at({(FINALIZE, 1): "gateway-504"})) as (server, caller):
        handler = await caller.staged()
        assert await finalized(caller, handler) == 504
        assert await server.settled()
        assert (await caller.call(FINALIZE, path="/Library/b", uploadHandler=handler)).code == "4000"


async def test_a_slow_finalize_without_a_handler_is_refused_at_once(tmp_path: Path) -> None:
    async with Emulator(tmp_path, variants=["slow-finalize"], slow=30) as server, Caller(server.url) as caller:
        await caller.sign_in("demo", "demo")
        async with asyncio.timeout(10):
            assert (await caller.call(FINALIZE, path="/Library/a", uploadHandler="none")).code == "4000"


async def test_a_session_that_ends_meanwhile_ends_no_finalize(tmp_path: Path) -> None:
    async with troubled(tmp_path, lambda _: None, variant="slow-finalize") as (server, caller):
        call = asyncio.create_task(finalized(caller, await caller.staged()))
        await asyncio.sleep(SLOW / 3)
        await server.forget_tickets()
        assert await call == 200
        assert await numbers(server) == [1_000_000]


async def test_the_variant_makes_every_finalize_slow_and_leaves_all_else_as_it_was(tmp_path: Path) -> None:
    async with troubled(tmp_path, at({(FINALIZE, 2): "gateway-reset"}), variant="slow-finalize") as (server, caller):
        began = asyncio.get_running_loop().time()
        assert (await caller.store("/Library/a")).ok
        assert asyncio.get_running_loop().time() - began >= SLOW
        assert [call.fault for call in server.calls if call.operation == FINALIZE] == [None]
        assert await finalized(caller, await caller.staged(), "/Library/b") is None
        assert len(await server.documents()) == 1
        assert await server.settled()
        assert len(await server.documents()) == 2


async def test_a_client_that_hangs_up_on_a_slow_finalize_does_not_end_it(tmp_path: Path) -> None:
    async with troubled(tmp_path, lambda _: None, variant="slow-finalize") as (server, caller):
        request = form_request(
            FINALIZE, authenticationTicket=caller.ticket, path="/Library/a", uploadHandler=await caller.staged()
        )
        _, writer = await connected(server.url)
        writer.write(b"".join(request))
        while server.calls[-1].operation != FINALIZE:  # noqa: ASYNC110
            await asyncio.sleep(0.001)
        await asyncio.sleep(SLOW / 4)
        writer.transport.abort()
        assert await server.settled()
        assert await numbers(server) == [1_000_000]


async def test_a_gateway_stands_before_every_operation(tmp_path: Path) -> None:
    async with troubled(tmp_path, at({("Lock", 1): "gateway-503"})) as (server, caller):
        assert (await caller.store("/Library/a")).ok
        assert (await caller.call("Lock", Path="/Library/a")).status == 503
        assert await server.checkouts() == {}
        assert await server.settled()
        assert await server.checkouts() == {"/Library/a": "demo"}


@pytest.mark.parametrize("name", ["answer-twice", "answer-twice-late"])
async def test_an_answer_that_comes_twice_is_there_to_be_taken_for_the_next_ones(tmp_path: Path, name: str) -> None:
    async with troubled(tmp_path, at({("FolderExists", 1): name})) as (server, caller):
        reader, writer = await connected(server.url)
        asked = form_request("FolderExists", authenticationTicket=caller.ticket, Path="/Library")
        writer.write(b"".join(asked))
        first, again = await next_body(reader), await next_body(reader)
        assert first == again
        assert b'success="true"' in first
        writer.write(head("ServerInfo", "Content-Length: 0"))
        assert b"VersionNumber" in await next_body(reader)
        writer.transport.abort()


@pytest.mark.parametrize("begun", [5, None], ids=["a word of its head", "its whole head"])
async def test_a_late_copy_does_not_come_behind_the_next_request(tmp_path: Path, begun: int | None) -> None:
    """There it would be that one's answer to anybody."""
    async with troubled(tmp_path, at({("FolderExists", 1): "answer-twice-late"})) as (server, caller):
        reader, writer = await connected(server.url)
        writer.write(b"".join(form_request("FolderExists", authenticationTicket=caller.ticket, Path="/Library")))
        assert b'success="true"' in await next_body(reader)
        request = head("ServerInfo", "Content-Length: 5", "Content-Type: application/x-www-form-urlencoded")
        writer.write(request[:begun])
        await asyncio.sleep(0.05)  # longer than until the copy
        writer.write(request[begun or len(request) :] + b"a=b&c")
        assert b"VersionNumber" in await next_body(reader)
        writer.transport.abort()


async def test_two_copies_at_once_come_in_one_piece(tmp_path: Path) -> None:
    async with troubled(tmp_path, at({("FolderExists", 1): "answer-twice"})) as (server, caller):
        reader, writer = await connected(server.url)
        writer.write(b"".join(form_request("FolderExists", authenticationTicket=caller.ticket, Path="/Library")))
        first = await reader.read(1 << 16)
        assert first.count(b"HTTP/1.1 200 OK") == 2
        assert server.calls[-1].status == 200
        writer.transport.abort()


async def test_a_success_in_name_only_leaves_everything_as_it_was(tmp_path: Path) -> None:
    async with troubled(tmp_path, at({(FINALIZE, 1): "false-success"})) as (server, caller):
        handler = await caller.staged()
        said = await caller.call(FINALIZE, path="/Library/a", uploadHandler=handler)
        assert said.document.attrib == {"success": "true"}
        assert (await numbers(server), server.calls[-1].applied) == ([], False)
        assert await finalized(caller, handler) == 200
        assert await numbers(server) == [1_000_000]


async def test_an_application_pool_that_starts_again_answers_nobody_and_has_forgotten_all(tmp_path: Path) -> None:
    async with troubled(tmp_path, at({("FolderExists", 1): "recycle"})) as (server, caller):
        assert (await caller.store("/Library/a")).ok
        await caller.staged()
        assert (await caller.call("FolderExists", Path="/Library")).status == 502
        async with Caller(server.url) as other:
            assert (await other.call("ServerInfo")).status == 502
            async with asyncio.timeout(10):
                while (await other.call("ServerInfo")).status == 502:  # noqa: ASYNC110
                    await asyncio.sleep(0.02)
        assert (await caller.call("FolderExists", Path="/Library")).code == "4010"
        assert await server.open_handlers() == []
        assert len(await server.documents()) == 1
        assert [call.operation for call in server.calls].count("ServerInfo") == 1


async def test_a_server_that_is_away_refuses_connections_and_comes_back_where_it_was(tmp_path: Path) -> None:
    async with troubled(tmp_path, at({("FolderExists", 1): "away"})) as (server, caller):
        url = server.url
        with pytest.raises(aiohttp.ServerDisconnectedError):
            await caller.call("FolderExists", Path="/Library")
        with pytest.raises(aiohttp.ClientConnectorError):
            await caller.call("FolderExists", Path="/Library")
        async with asyncio.timeout(10):
            while True:
                try:
                    assert (await caller.call("FolderExists", Path="/Library")).ok
                    break
                except aiohttp.ClientError:
                    await asyncio.sleep(0.02)
        assert server.url == url


async def test_who_comes_in_the_moment_in_which_it_goes_is_hung_up_on(tmp_path: Path) -> None:
    """A connection that nobody closes would be complained about at the end of the test."""
    async with Emulator(tmp_path) as server:
        for moment in range(8):
            coming = [asyncio.create_task(connected(server.url)) for _ in range(20)]
            for _ in range(moment):
                await asyncio.sleep(0)
            await server.go_away(0.01)
            for one in await asyncio.gather(*coming, return_exceptions=True):
                if not isinstance(one, BaseException):
                    async with asyncio.timeout(10):
                        with suppress(ConnectionError):
                            assert await one[0].read() == b""
                    one[1].transport.abort()
            await asyncio.sleep(0.03)


async def test_a_server_that_is_away_can_be_stopped_and_started(tmp_path: Path) -> None:
    async with Emulator(tmp_path) as server:
        await server.go_away(30)
        await asyncio.sleep(0)
        await server.stop()
        await server.start()
        async with Caller(server.url) as caller:
            await caller.sign_in("demo", "demo")
            await server.recycle(30)
            assert (await caller.call("ServerInfo")).status == 502


async def test_what_is_not_started_cannot_go_away(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="not started"):
        await Emulator(tmp_path).go_away(1)

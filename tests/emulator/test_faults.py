"""Each fault as a client sees it, and the scripts that choose them."""

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest

from asyncupload.emulator import FAULTS, Call, Emulator, Script, at, rates
from emulator.caller import Caller

pytestmark = pytest.mark.anyio


@asynccontextmanager
async def troubled(data: Path, script: Script, *, variant: str = "") -> AsyncIterator[tuple[Emulator, Caller]]:
    variants = [variant] if variant else []
    async with Emulator(data, script=script, variants=variants) as server, Caller(server.url) as caller:
        await caller.sign_in("demo", "demo")
        yield server, caller


def second_chunk(name: str) -> Script:
    return at({("UploadFileChunk", 2): name})


async def after_two_chunks(server: Emulator, caller: Caller, handler: str) -> int:
    """How many bytes the third chunk found when it came."""
    size = (await server.open_handlers())[0].size
    assert (await caller.chunk(handler, b"third")).ok
    return size


@pytest.mark.parametrize(("variant", "success"), [("", "false"), ("mismatch-success", "true")])
async def test_tryagain_is_the_answer_to_a_wrong_crc(tmp_path: Path, variant: str, success: str) -> None:
    async with troubled(tmp_path, second_chunk("tryagain"), variant=variant) as (server, caller):
        handler = await caller.open()
        assert (await caller.chunk(handler, b"first")).ok
        said = await caller.chunk(handler, b"second")
        assert (said.status, said["success"], said["tryagain"], said.code) == (200, success, "true", None)
        assert await after_two_chunks(server, caller, handler) == 5


@pytest.mark.parametrize(
    ("fault", "status", "retry_after"), [("refuse-500", 500, None), ("refuse-503", 503, "1"), ("html", 200, None)]
)
async def test_a_page_instead_of_an_answer(tmp_path: Path, fault: str, status: int, retry_after: str | None) -> None:
    async with troubled(tmp_path, second_chunk(fault)) as (server, caller):
        handler = await caller.open()
        assert (await caller.chunk(handler, b"first")).ok
        async with caller.session.post(f"{server.url}/srv.asmx/UploadFileChunk", data={"a": "b"}) as response:
            assert (response.status, response.content_type) == (status, "text/html")
            assert response.headers.get("Retry-After") == retry_after
            assert (await response.text()).startswith("<html>")
        assert await after_two_chunks(server, caller, handler) == 5
        assert [(call.fault, call.status) for call in server.calls[-2:]] == [(fault, status), (None, 200)]


@pytest.mark.parametrize(("fault", "staged"), [("drop-before", 5), ("drop-after", 11)])
async def test_a_dropped_connection(tmp_path: Path, fault: str, staged: int) -> None:
    async with troubled(tmp_path, second_chunk(fault)) as (server, caller):
        handler = await caller.open()
        assert (await caller.chunk(handler, b"first")).ok
        with pytest.raises(aiohttp.ServerDisconnectedError):
            await caller.chunk(handler, b"second")
        assert await after_two_chunks(server, caller, handler) == staged
        assert (server.calls[-2].fault, server.calls[-2].status) == (fault, None)


async def test_a_finalize_may_be_applied_and_its_answer_lost(tmp_path: Path) -> None:
    async with troubled(tmp_path, at({("UploadDocumentWithHandler", 1): "drop-after"})) as (server, caller):
        with pytest.raises(aiohttp.ServerDisconnectedError):
            await caller.store("/Library/a", b"content")
        assert [document.path for document in await server.documents()] == ["/Library/a"]
        assert await server.open_handlers() == []


async def test_a_stalled_call_gets_no_answer_and_is_let_go_with_its_client(tmp_path: Path) -> None:
    async with troubled(tmp_path, second_chunk("stall")) as (server, caller):
        handler = await caller.open()
        assert (await caller.chunk(handler, b"first")).ok
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.1):
                await caller.chunk(handler, b"second")
        assert await after_two_chunks(server, caller, handler) == 5


async def test_a_stalled_call_ends_with_the_server(tmp_path: Path) -> None:
    async with troubled(tmp_path, at({("ServerInfo", 1): "stall"})) as (server, caller):
        call = asyncio.create_task(caller.call("ServerInfo"))
        while not server.calls[-1].fault:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        started = time.monotonic()
        await server.stop()
        with pytest.raises(aiohttp.ClientError):
            await call
        assert time.monotonic() - started < 1


async def test_every_fault_that_fits_can_be_met(tmp_path: Path) -> None:
    """Nothing in the table is without its deed."""
    names = [name for name, fault in FAULTS.items() if fault.fits("ServerInfo") and name != "stall"]
    script = at({("ServerInfo", number): name for number, name in enumerate(names, start=1)})
    async with troubled(tmp_path, script) as (_, caller):
        for name in names:
            if name.startswith("drop"):
                with pytest.raises(aiohttp.ServerDisconnectedError):
                    await caller.request("POST", "ServerInfo")
            else:
                assert "Version" not in (await caller.request("POST", "ServerInfo")).text


def test_faults_have_names_meanings_and_places() -> None:
    assert {"tryagain", "refuse-500", "refuse-503", "drop-before", "drop-after", "stall", "html"} <= FAULTS.keys()
    assert all(fault.name == name and fault.meaning for name, fault in FAULTS.items())
    assert FAULTS["tryagain"].fits("UploadFileChunk")
    assert not FAULTS["tryagain"].fits("Lock")
    assert FAULTS["stall"].fits("Lock")


def test_an_exact_script_hits_its_places_only() -> None:
    script = at({("Lock", 2): "stall", ("UploadFileChunk", 1): "tryagain"})
    assert [script(Call("Lock", number)) for number in (1, 2, 3)] == [None, "stall", None]
    assert script(Call("UploadFileChunk", 1)) == "tryagain"


@pytest.mark.parametrize(
    ("place", "name", "words"),
    [
        (("Lock", 1), "nonsense", "drop-after"),
        (("Lock", 1), "tryagain", "does not fit"),
        (("lock", 1), "stall", "no such operation"),
        (("Lock", 0), "stall", "from 1"),
    ],
)
def test_an_exact_script_that_cannot_hit_is_refused(place: tuple[str, int], name: str, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        at({place: name})


def test_rates_are_kept_and_fit() -> None:
    script = rates({"tryagain": 0.1, "drop-after": 0.2}, seed=3)
    hits = Counter(script(Call("UploadFileChunk", number)) for number in range(1, 5001))
    assert 400 < hits["tryagain"] < 600
    assert 850 < hits["drop-after"] < 1150
    others = Counter(script(Call("Lock", number)) for number in range(1, 5001))
    assert others["tryagain"] == 0
    assert 850 < others["drop-after"] < 1150


def test_the_same_seed_meets_the_same_calls_in_any_order() -> None:
    calls = [Call(operation, number) for operation in ("Lock", "UnLock") for number in range(1, 50)]
    one, two = rates({"html": 0.5}, seed=1), rates({"html": 0.5}, seed=1)
    assert [one(call) for call in calls] == [two(call) for call in reversed(calls)][::-1]
    third = rates({"html": 0.5}, seed=2)
    assert [one(call) for call in calls] != [third(call) for call in calls]


def test_a_rate_of_one_hits_always() -> None:
    script = rates({"html": 1.0})
    assert {script(Call("Lock", number)) for number in range(1, 100)} == {"html"}


@pytest.mark.parametrize("shares", [{"html": 1.5}, {"html": -0.1}, {"html": 0.6, "stall": 0.6}])
def test_rates_that_are_none_are_refused(shares: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="between 0 and 1"):
        rates(shares)


def test_an_unknown_fault_is_refused_with_the_known_ones() -> None:
    with pytest.raises(ValueError, match=r"no such fault: nonsense; known are tryagain, .*html"):
        rates({"nonsense": 0.1})

"""What chooses the faults, and several of them on one call."""

import time
from collections import Counter
from pathlib import Path

import pytest

from asyncupload.emulator import FAULTS, PASSING, Call, Script, at, everywhere, once, rates, together
from emulator.raw import chunk_request
from emulator.trouble import told, troubled


def test_an_exact_script_hits_its_places_only() -> None:
    script = at({("Lock", 2): "stall", ("UploadFileChunk", 1): ("delay", "tryagain")})
    assert [script(Call("Lock", number)) for number in (1, 2, 3)] == [None, "stall", None]
    assert script(Call("UploadFileChunk", 1)) == ("delay", "tryagain")


@pytest.mark.parametrize(
    ("place", "name", "words"),
    [
        (("Lock", 1), "nonsense", "drop-after"),
        (("Lock", 1), "tryagain", "does not fit"),
        (("Lock", 1), ("delay", "tryagain"), "tryagain does not fit"),
        (("lock", 1), "stall", "no such operation"),
        (("Lock", 0), "stall", "from 1"),
    ],
)
def test_an_exact_script_that_cannot_hit_is_refused(
    place: tuple[str, int], name: str | tuple[str, ...], words: str
) -> None:
    with pytest.raises(ValueError, match=words):
        at({place: name})


def test_one_hit_counts_the_calls_that_it_is_asked_about() -> None:
    script = once("delay", "Lock", 2)
    asked = [Call("Lock", 7), Call("UnLock", 1), Call("Lock", 8), Call("Lock", 9)]
    assert [script(call) for call in asked] == [None, None, "delay", None]


def test_one_hit_of_any_operation_waits_for_one_that_fits() -> None:
    script = once("tryagain")
    asked = [Call("Lock", 1), Call("UploadFileChunk", 1), Call("UploadFileChunk", 2)]
    assert [script(call) for call in asked] == [None, "tryagain", None]


@pytest.mark.parametrize(
    ("name", "operation", "number", "words"),
    [
        ("nonsense", None, 1, "drop-after"),
        ("tryagain", "Lock", 1, "does not fit"),
        ("stall", "lock", 1, "no such operation"),
        ("stall", "Lock", 0, "from 1"),
        ("stall", None, 0, "from 1"),
    ],
)
def test_one_hit_that_cannot_be_is_refused(name: str, operation: str | None, number: int, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        once(name, operation, number)


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


@pytest.mark.parametrize("operation", ["AuthenticateUser", "ServerInfo", "UploadFileChunk", "DeleteUploadHandler"])
def test_trouble_everywhere_meets_every_operation_at_its_rate(operation: str) -> None:
    script = everywhere(0.12, seed=3)
    hits = Counter(script(Call(operation, number)) for number in range(1, 5001))
    missed = hits.pop(None)
    assert 500 < 5000 - missed < 700
    assert hits.keys() == {name for name in PASSING if FAULTS[name].fits(operation)}
    assert max(hits.values()) < 60


def test_trouble_everywhere_is_drawn_from_what_is_named() -> None:
    script = everywhere(1, among=["tryagain", "stall"])
    assert {script(Call("UploadFileChunk", number)) for number in range(1, 50)} == {"tryagain", "stall"}
    assert {script(Call("Lock", number)) for number in range(1, 50)} == {"stall"}
    assert everywhere(1, among=["tryagain"])(Call("Lock", 1)) is None


@pytest.mark.parametrize(
    ("rate", "among", "words"), [(1.5, ["stall"], "between 0 and 1"), (0.1, ["nonsense"], "no such fault")]
)
def test_trouble_that_is_none_is_refused(rate: float, among: list[str], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        everywhere(rate, among=among)


@pytest.mark.parametrize("shares", [{"html": 1.5}, {"html": -0.1}, {"html": 0.6, "stall": 0.6}])
def test_rates_that_are_none_are_refused(shares: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="between 0 and 1"):
        rates(shares)


def test_an_unknown_fault_is_refused_with_the_known_ones() -> None:
    with pytest.raises(ValueError, match=r"no such fault: nonsense; known are tryagain, .*html"):
        rates({"nonsense": 0.1})


def test_scripts_are_put_together_in_their_order() -> None:
    script = together(
        at({("Lock", 1): "delay", ("Lock", 2): ("delay", "stall")}),
        at({("Lock", 1): ("half-answer", "html"), ("Lock", 3): "html"}),
        lambda call: None,
    )
    hits = [script(Call("Lock", number)) for number in range(1, 5)]
    assert hits == [("delay", "half-answer", "html"), ("delay", "stall"), ("html",), None]
    assert together()(Call("Lock", 1)) is None


def test_every_call_of_a_storm_can_be_foretold() -> None:
    """Two rates of different seeds meet independently, and their meeting is as replayable as they are."""
    script = together(rates({"delay": 0.5}, seed=1), rates({"drop-after": 0.5}, seed=2))
    again = together(rates({"delay": 0.5}, seed=1), rates({"drop-after": 0.5}, seed=2))
    hits = [script(Call("Lock", number)) for number in range(1, 1001)]
    assert hits == [again(Call("Lock", number)) for number in range(1, 1001)]
    assert all(200 < count < 300 for count in Counter(hits).values())
    assert set(hits) == {None, ("delay",), ("drop-after",), ("delay", "drop-after")}


COMPOSED = [
    (("delay", "drop-after"), None, "closed", 6),
    (("drop-after", "delay"), None, "closed", 6),
    (("delay", "drop-before"), None, "closed", 0),
    (("half-answer", "refuse-502"), None, "closed", 0),
    (("close-idle", "html-after"), 200, "open", 6),
    (("delay-after", "fail-502-after"), 502, "open", 6),
    (("fail-502-after", "delay-after"), 502, "open", 6),
    (("reset-after", "double-chunk"), None, "reset", 12),
    (("fail-500-after", "double-chunk", "corrupt-chunk"), 500, "open", 12),
    (("drop-after", "expire-ticket"), None, "closed", 0),
    (("html-after", "tryagain"), 200, "open", 0),
    (("forget-sessions-after", "half-head"), None, "closed", 6),
    (("delay", "lose-chunk", "stall-after"), None, "silent", 0),
]


@pytest.mark.anyio
@pytest.mark.parametrize(("names", "status", "end", "staged"), COMPOSED, ids=["+".join(row[0]) for row in COMPOSED])
async def test_faults_are_wrapped_around_each_other(
    tmp_path: Path, names: tuple[str, ...], status: int | None, end: str, staged: int
) -> None:
    async with troubled(tmp_path, at({("UploadFileChunk", 1): names})) as (server, caller):
        request = chunk_request(caller.ticket, await caller.open(), b"second")
        started = time.monotonic()
        first, _ = await told(server.url, request)
        if "delay" in names:
            assert time.monotonic() - started > 0.03
        assert (first.status, first.end) == (status, end)
        assert [handler.size for handler in await server.open_handlers()] == [staged]
        [record] = [call for call in server.calls if call.faults]
        assert (record.faults, record.fault) == (names, "+".join(names))
        assert record.applied == (staged > 0) == all(FAULTS[name].applies for name in names)


@pytest.mark.anyio
async def test_what_is_outermost_does_not_wait_for_what_never_returns(tmp_path: Path) -> None:
    """A pause around a drop would come after it."""
    async with troubled(tmp_path, at({("ServerInfo", 1): ("delay-after", "drop-after")})) as (server, _):
        head = b"GET /srv.asmx/ServerInfo HTTP/1.1\r\nHost: e\r\n\r\n"
        first, _ = await told(server.url, (head, b""))
        assert first.end == "closed"


@pytest.mark.anyio
async def test_a_script_of_ones_own_may_be_any_function(tmp_path: Path) -> None:
    def every_second(call: Call) -> str | None:
        return "refuse-503" if call.operation == "ServerInfo" and call.number % 2 == 0 else None

    script: Script = every_second
    async with troubled(tmp_path, script) as (_, caller):
        assert [(await caller.request("POST", "ServerInfo")).status for _ in range(4)] == [200, 503, 200, 503]

"""What the storm counts as wrong: made-up claims, held against what a server has."""

from collections.abc import Iterable
from pathlib import Path

import pytest
from verdicts import Journey, judge
from weather import MISSING, RATES, Round, all_that_pass, round_of

from asyncupload import AsyncUploadError, Client, ConnectionLost, OutcomeUnknown, Receipt
from asyncupload.emulator import Call, Emulator

pytestmark = pytest.mark.anyio

TO = "/Library/a.bin"


async def judged(folder: Path, journeys: list[Journey], stored: Iterable[bytes], *, checked_out: bool = False) -> Round:
    """The round of these journeys, where the document at TO has one version of each of these contents."""
    this = Round(seed=-1)
    async with Emulator(folder) as server, Client(server.url, user="demo", password="demo") as client:
        for content in stored:
            await client.upload(content, to=TO)
        if checked_out:
            await server.set_checkout(TO, "demo")
        await judge(this, server, journeys, set())
    return this


def receipt(version: int = 1_000_000) -> Receipt:
    return Receipt(
        status="stored",
        path=TO,
        document_id=1,
        version_id=version,
        size=4,
        crc32=0,
        chunks=1,
        resent=0,
        restarted=0,
        seconds=0.1,
        verified_by="staged checksum",
    )


CLAIMS: dict[str, tuple[Receipt | BaseException, list[bytes], str]] = {
    "stored, and it is": (receipt(), [b"data"], ""),
    "stored, and nothing is there": (receipt(), [], "told as stored, but it is not"),
    "stored, and it is another version": (receipt(1_000_001), [b"data"], "told as another"),
    "stored, and other bytes are": (receipt(), [b"atad"], "versions with other bytes"),
    "stored twice": (receipt(), [b"data", b"data"], "2 versions were made"),
    "not stored, and it is not": (ConnectionLost("broke"), [], ""),
    "not stored, and it is": (ConnectionLost("broke"), [b"data"], "told as not stored"),
    "not known, and stored": (OutcomeUnknown("lost"), [b"data"], ""),
    "not known, and not stored": (OutcomeUnknown("lost"), [], ""),
    "an error of another kind": (OSError(28, "full"), [], "something else than an error of the package"),
}


@pytest.mark.parametrize("claim", CLAIMS)
async def test_a_claim_is_held_against_what_is_there(tmp_path: Path, claim: str) -> None:
    end, stored, wrong = CLAIMS[claim]
    this = await judged(tmp_path, [Journey(TO, b"data", end=end)], stored)
    assert bool(this.wrong) == bool(wrong)
    assert wrong in " ".join(this.wrong)
    assert this.doubled == []


async def test_two_versions_of_what_is_not_known_are_told_and_not_wrong(tmp_path: Path) -> None:
    this = await judged(tmp_path, [Journey(TO, b"data", end=OutcomeUnknown("lost"))], [b"data", b"data"])
    assert this.wrong == []
    assert "2 versions were made" in this.doubled[0]


@pytest.mark.parametrize("told", [True, False])
async def test_what_is_left_is_wrong_unless_somebody_was_told(tmp_path: Path, told: bool) -> None:
    journey = Journey(TO, b"data", end=receipt(), told={TO} if told else set())
    this = await judged(tmp_path, [journey], [b"data"], checked_out=True)
    assert ["left checked out, and nobody was told" in what for what in this.wrong] == ([] if told else [True])


async def test_only_those_alone_and_let_go_on_count_for_the_share(tmp_path: Path) -> None:
    journeys = [
        Journey(TO, b"data", end=receipt()),
        Journey("/Library/b.bin", b"b", end=ConnectionLost("broke"), cancel_after=1.0),
        Journey("/Library/c.bin", b"c", end=ConnectionLost("broke")),
        Journey("/Library/d.bin", b"d1", end=ConnectionLost("broke")),
        Journey("/Library/d.bin", b"d2", end=ConnectionLost("broke")),
    ]
    this = await judged(tmp_path, journeys, [b"data"])
    assert this.outcomes == {"stored": 1, "not stored: ConnectionLost": 4}
    assert this.uncontested == {"stored": 1, "not stored: ConnectionLost": 1}


def _led_back() -> AsyncUploadError:
    first, second = AsyncUploadError("the first"), AsyncUploadError("the second")
    first.__cause__, second.__context__ = second, first
    return first


async def test_an_error_that_freezes_whoever_renders_it_is_wrong(tmp_path: Path) -> None:
    this = await judged(tmp_path, [Journey(TO, b"data", end=_led_back())], [])
    assert ["leads back into itself" in what for what in this.wrong] == [True]


@pytest.mark.parametrize("rate", RATES)
def test_at_a_rate_every_kind_of_request_meets_trouble(rate: float) -> None:
    script, faults = all_that_pass(7, rate)
    assert len(faults) > 30
    for operation in ("AuthenticateUser", "FolderExists", "UploadFileChunk", "DeleteUploadHandler"):
        hits = sum(script(Call(operation, number)) is not None for number in range(1, 3001))
        assert rate * 0.8 < hits / 3000 < rate * 1.2


def test_a_seed_stands_for_one_round_and_many_seeds_for_all_there_is() -> None:
    rounds = [round_of(seed)[0] for seed in range(400)]
    assert str(rounds[17]) == str(round_of(17)[0])
    assert {this.rate for this in rounds} == {None, *RATES}
    assert {name for this in rounds for name in this.missing} == set(MISSING)
    assert any(this.full_disk for this in rounds)
    assert any("slow-finalize" in this.variants for this in rounds)

"""A storm: many uploads under random composed faults, each held against what the server has at the end.

    python tests/storm.py --uploads 10000            # what `make storm` runs
    python tests/storm.py --seed 4711                # one round again

A round is one server, some uploads at once by one or two clients, and a script of faults, all drawn from the round's
seed; some of the uploads share a destination, some are cancelled. Whatever happens, every upload ends stored exactly
once with equal bytes, or with an error that says which of "not stored" and "not known" holds; and no handler is left
that the client could know of, no document checked out.
"""

import argparse
import asyncio
import itertools
import random
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path

from asyncupload import (
    AsyncUploadError,
    Client,
    Committing,
    Event,
    HandlerOpened,
    OutcomeUnknown,
    Receipt,
    Retries,
    Settings,
    Timeouts,
)
from asyncupload.emulator import FAULTS, Document, Emulator, Script, rates, together

FOLDER = "/Finance/Reports"
CHUNK = 1024
"""Bytes that the server grants, so that forty chunks are few bytes."""

MOST_AT_ONCE = 8
MOST_CHUNKS = 40
HIGHEST_RATE = 0.3
"""Of all faults together, per request."""

LATE = frozenset({"drop-late", "fail-504-late"})
"""Applied after the client was told that it was lost."""

DAMAGE = frozenset({"corrupt-chunk", "lose-chunk", "double-chunk"})
"""A server that damages what it stages and keeps its checksum to itself is found out only when the document stands."""

VARIANTS = (
    (),
    ("mismatch-success",),
    ("lenient-consume",),
    ("no-errorcode",),
    ("lowercase-errorcode", "swapped-roots"),
    ("auto-version",),
    ("no-filehexcrc",),
    ("ticket-bound", "create-checks-ticket"),
    ("unbound", "capital-documentid", "major-versions"),
    ("padded-filehexcrc", "chunk-after-last", "checkout-locks"),
    ("early-finalize", "release-checkout", "namespaced-roots"),
)

SETTINGS = Settings(
    timeouts=Timeouts(connect=2, reply=0.3, slowest_rate=1e9, finalize=0.5, settle=2.0, cleanup=5.0),
    retries=Retries(attempts=12, restarts=6, first_wait=0.001, longest_wait=0.02, longest_obeyed=0.01),
)
HURRIED = replace(SETTINGS, timeouts=replace(SETTINGS.timeouts, reply=1.5, cleanup=1.0))
"""One unanswered request takes longer than there is time for cleaning up."""


@dataclass
class Round:
    """What one round was, and what was wrong with it."""

    seed: int
    faults: dict[str, float] = field(default_factory=dict)
    variants: tuple[str, ...] = ()
    settings: Settings = SETTINGS
    outcomes: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        shares = ", ".join(f"{name}={share:.2f}" for name, share in self.faults.items())
        return f"seed {self.seed}: {shares}; variants {self.variants}; {dict(self.outcomes)}; {self.wrong}"


def script_of(seed: int) -> tuple[Script, dict[str, float]]:
    """One to five faults, with rates that add up to at most HIGHEST_RATE; sometimes two of them hit one call."""
    die = random.Random(f"script {seed}")
    names = die.sample(sorted(FAULTS), die.randint(1, 5))
    weights = [die.random() for _ in names]
    scale = die.random() * HIGHEST_RATE / sum(weights)
    shares = {name: weight * scale for name, weight in zip(names, weights, strict=True)}
    cut = die.randint(1, len(names))
    halves = dict(list(shares.items())[:cut]), dict(list(shares.items())[cut:])
    return together(*(rates(half, seed=seed + place) for place, half in enumerate(halves) if half)), shares


@dataclass
class Journey:
    """One upload of a round, and what is known of it."""

    to: str
    data: bytes
    client: int = 0
    cancel_after: float | None = None
    """Seconds."""
    end: Receipt | BaseException | None = None
    handlers: set[str] = field(default_factory=set)
    committed: bool = False
    """Whether the request to store may have left."""

    def note(self, event: Event) -> None:
        match event:
            case HandlerOpened():
                self.handlers.add(event.handler)
                self.committed = False
            case Committing():
                self.committed = True
            case _:
                pass

    @property
    def may_be_stored(self) -> bool:
        """Whether nobody was told that it is not."""
        cut_off = isinstance(self.end, asyncio.CancelledError) and self.committed
        return isinstance(self.end, Receipt | OutcomeUnknown) or cut_off

    async def go(self, client: Client) -> None:
        try:
            async with asyncio.timeout(self.cancel_after):
                self.end = await client.upload(self.data, to=self.to, on_event=self.note)
        except AsyncUploadError as error:
            self.end = error
        except TimeoutError:
            self.end = asyncio.CancelledError()


async def run_round(seed: int, folder: Path) -> Round:
    """Play one round, and hold what was claimed against what is there."""
    die = random.Random(seed)
    script, shares = script_of(seed)
    this = Round(seed, shares, die.choice(VARIANTS), settings=HURRIED if die.random() < 0.1 else SETTINGS)
    if this.variants == ("no-filehexcrc",) and DAMAGE & set(shares):
        this.variants = ()
    blind = 0.0 if DAMAGE & set(shares) else 0.1
    journeys = [_journey(die, number, blind) for number in range(die.randint(1, MOST_AT_ONCE))]
    paths = sorted({journey.to for journey in journeys})
    await play(this, script, journeys, {path for path in paths if die.random() < 0.3}, folder)
    return this


def _journey(die: random.Random, number: int, blind: float) -> Journey:
    """Every eighth or so goes where another goes, by the same client or by another; every eighth is cancelled.

    A share ``blind`` of the contents has chunks that the CRC-32 of the whole does not show. (Where the server itself
    doubles such a chunk, only the size of the document can tell, when it stands.)
    """
    data = die.randbytes(die.randint(1, MOST_CHUNKS * CHUNK))
    if die.random() < blind:
        data = b"\xff" * 4 + bytes(len(data)) + data[:2]
    number = 0 if die.random() < 0.125 else number
    cancel_after = die.random() * 0.3 if die.random() < 0.125 else None
    return Journey(f"{FOLDER}/{number}.bin", data, client=int(die.random() < 0.25), cancel_after=cancel_after)


async def play(this: Round, script: Script, journeys: list[Journey], existing: set[str], folder: Path) -> None:
    """Make all journeys at once, over what exists, and judge."""
    calm = True
    async with Emulator(
        folder,
        script=lambda call: None if calm else script(call),
        variants=this.variants,
        chunk_sizes=(1, CHUNK),
    ) as server:
        async with (
            Client(server.url, user="demo", password="demo", settings=this.settings) as one,
            Client(server.url, user="demo", password="demo", settings=this.settings) as other,
        ):
            for path in existing:
                await one.upload(b"before", to=path)
            calm = False
            async with asyncio.TaskGroup() as travellers:
                for journey in journeys:
                    travellers.create_task(journey.go((one, other)[journey.client]))
            calm = True
        await asyncio.sleep(0.12)  # what the server does late, it does now
        documents = {document.path: document for document in await server.documents()}
        for path in {journey.to for journey in journeys}:
            here = [journey for journey in journeys if journey.to == path]
            await _judge(this, server, here, documents.get(path), int(path in existing))
        await _judge_leavings(this, server, journeys)


async def _judge(this: Round, server: Emulator, here: list[Journey], document: Document | None, before: int) -> None:
    """Hold what those who went to one place were told against its versions."""
    path, versions = here[0].to, document.versions[before:] if document else ()
    stored = {version.number: (await server.content(path, version.number)).read_bytes() for version in versions}
    for journey in here:
        made = sum(content == journey.data for content in stored.values())
        end = journey.end
        wrong = [
            (made > 1, f"{made} versions were made"),
            (isinstance(end, Receipt) and made != 1, "told as stored, but it is not"),
            (isinstance(end, Receipt) and not _named_rightly(end, stored, journey.data), f"told as another: {end}"),
            (not journey.may_be_stored and made > 0, f"told as not stored ({end!r}), but it is"),
        ]
        this.wrong.extend(f"{path}: {what}" for it_is, what in wrong if it_is)
        this.outcomes[_outcome(journey, stored=made > 0)] += 1
    if strange := [number for number, content in stored.items() if content not in {one.data for one in here}]:
        this.wrong.append(f"{path}: versions with other bytes were made: {strange}")


def _named_rightly(receipt: Receipt, stored: dict[int, bytes], data: bytes) -> bool:
    return receipt.version_id is None or stored.get(receipt.version_id) == data


def _outcome(journey: Journey, *, stored: bool) -> str:
    match journey.end:
        case Receipt(resent=resent, restarted=restarted):
            return "stored after trouble" if resent or restarted else "stored"
        case asyncio.CancelledError():
            return f"cancelled, and {'stored' if stored else 'not stored'}"
        case OutcomeUnknown():
            return f"{type(journey.end).__name__}, and {'stored' if stored else 'not stored'}"
        case end:
            return f"not stored: {type(end).__name__}"


async def _judge_leavings(this: Round, server: Emulator, journeys: list[Journey]) -> None:
    """No handler that the client knew is left, unless its outcome is unknown; no document is checked out.

    A lock whose request is applied after its reply was lost, and everybody has gone, is nobody's to give back; nor
    is a handler that is bound to a session that the server forgot.
    """
    checkouts = await server.checkouts()
    if checkouts and not LATE & set(this.faults):
        this.wrong.append(f"documents are left checked out: {checkouts}")
    known = {
        handler
        for journey in journeys
        if isinstance(journey.end, Receipt) or not journey.may_be_stored
        for handler in journey.handlers
    }
    left = {handler.guid for handler in await server.open_handlers()} & known
    if left and "ticket-bound" not in this.variants:
        this.wrong.append(f"handlers are left: {left}")


AT_ONCE = 6
"""Rounds played side by side: most of a round is waiting for answers that do not come."""


async def storm(seeds: Iterable[int], *, enough: int | None = None) -> tuple[Counter[str], list[Round]]:
    """Play the rounds of these seeds, until ``enough`` uploads have ended. The outcomes, and what went wrong."""
    outcomes, wrong, waiting = Counter[str](), list[Round](), iter(seeds)

    async def play() -> None:
        for seed in waiting:
            if enough is not None and outcomes.total() >= enough:
                return
            with tempfile.TemporaryDirectory(prefix="storm-") as folder:
                this = await run_round(seed, Path(folder))
            outcomes.update(this.outcomes)
            if this.wrong:
                wrong.append(this)

    async with asyncio.TaskGroup() as players:
        for _ in range(AT_ONCE):
            players.create_task(play())
    return outcomes, wrong


def main() -> int:
    parser = argparse.ArgumentParser(description="Uploads under random faults.")
    parser.add_argument("--uploads", type=int, default=10_000)
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--seed", type=int, help="play this round alone")
    chosen = parser.parse_args()
    began = time.monotonic()
    if chosen.seed is None:
        outcomes, wrong = asyncio.run(storm(itertools.count(chosen.first_seed), enough=chosen.uploads))
    else:
        outcomes, wrong = asyncio.run(storm([chosen.seed]))
    print(f"{outcomes.total()} uploads in {time.monotonic() - began:.0f} s")
    for outcome, count in outcomes.most_common():
        print(f"{count:8}  {outcome}")
    for this in wrong:
        print("WRONG", this)
    print(f"{len(wrong)} rounds went wrong")
    return len(wrong)


if __name__ == "__main__":
    sys.exit(main() != 0)

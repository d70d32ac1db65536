"""A storm: many uploads under random composed faults, each held against what the server has at the end.

    python tests/storm.py --uploads 10000            # what `make storm` runs
    python tests/storm.py --seed 4711                # one round again

A round is one server, one client, some uploads at once, and a script of faults, all drawn from the round's seed.
Whatever happens, every upload ends stored exactly once with equal bytes, or with an error that says which of "not
stored" and "not known" holds; and no handler is left that the client could know of, no document checked out.
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
from dataclasses import dataclass, field
from pathlib import Path

from asyncupload import (
    AsyncUploadError,
    Client,
    Event,
    HandlerOpened,
    Listener,
    OutcomeUnknown,
    Receipt,
    Retries,
    Settings,
    StoredDifferently,
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


@dataclass
class Round:
    """What one round was, and what was wrong with it."""

    seed: int
    faults: dict[str, float] = field(default_factory=dict)
    variants: tuple[str, ...] = ()
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


async def run_round(seed: int, folder: Path) -> Round:
    """Play one round, and hold what was claimed against what is there."""
    die = random.Random(seed)
    script, shares = script_of(seed)
    this = Round(seed, shares, die.choice(VARIANTS))
    if this.variants == ("no-filehexcrc",) and DAMAGE & set(shares):
        this.variants = ()
    contents = {
        f"{FOLDER}/{number}.bin": die.randbytes(die.randint(1, MOST_CHUNKS * CHUNK))
        for number in range(die.randint(1, MOST_AT_ONCE))
    }
    await play(this, script, contents, {path for path in contents if die.random() < 0.3}, folder)
    return this


async def play(this: Round, script: Script, contents: dict[str, bytes], existing: set[str], folder: Path) -> None:
    """Upload all contents at once, over what exists, and judge."""
    calm = True
    async with Emulator(
        folder,
        script=lambda call: None if calm else script(call),
        variants=this.variants,
        chunk_sizes=(1, CHUNK),
    ) as server:
        async with Client(server.url, user="demo", password="demo", settings=SETTINGS) as client:
            for path in existing:
                await client.upload(b"before " + contents[path][:5], to=path)
            calm = False
            handlers: dict[str, str] = {}
            ends = await asyncio.gather(
                *(client.upload(data, to=path, on_event=_noting(handlers)) for path, data in contents.items()),
                return_exceptions=True,
            )
            calm = True
        await asyncio.sleep(0.12)  # what the server does late, it does now
        documents = {document.path: document for document in await server.documents()}
        for (path, data), end in zip(contents.items(), ends, strict=True):
            document = documents.get(path)
            stored = document is not None and (await server.content(path)).read_bytes() == data
            this.outcomes[_judged(this, path, end, document, int(path in existing), stored=stored)] += 1
        unknown = {path for path, end in zip(contents, ends, strict=True) if isinstance(end, OutcomeUnknown)}
        await _judge_leavings(this, server, {handler for handler, path in handlers.items() if path not in unknown})


def _judged(
    this: Round, path: str, end: Receipt | BaseException, document: Document | None, before: int, *, stored: bool
) -> str:
    """The name of the outcome; what is wrong with it goes to the round."""
    made = (len(document.versions) if document else 0) - before
    wrong = [
        (made > 1, f"{made} versions were made"),
        # A server that takes a late copy of the last chunk behind it makes this possible; it must be told then.
        (made > 0 and not stored and not isinstance(end, StoredDifferently), "a document with other bytes was made"),
        (isinstance(end, Receipt) and made != 1, "told as stored, but it is not"),
        (isinstance(end, Receipt) and not _named_rightly(end, document), f"told as another version: {end}"),
        (_says_not_stored(end) and made > 0, f"told as not stored ({end!r}), but it is"),
        (not isinstance(end, Receipt | AsyncUploadError), f"ended in {end!r}"),
    ]
    this.wrong.extend(f"{path}: {what}" for it_is, what in wrong if it_is)
    if isinstance(end, Receipt):
        return "stored after trouble" if end.resent or end.restarted else "stored"
    if isinstance(end, StoredDifferently):
        return "stored differently, and told so"
    if isinstance(end, OutcomeUnknown):
        return f"unknown, and {'stored' if made else 'not stored'}"
    return f"not stored: {type(end).__name__}"


def _named_rightly(receipt: Receipt, document: Document | None) -> bool:
    return document is None or receipt.version_id in {None, document.versions[-1].number}


def _says_not_stored(end: Receipt | BaseException) -> bool:
    return isinstance(end, AsyncUploadError) and not isinstance(end, OutcomeUnknown)


def _noting(handlers: dict[str, str]) -> Listener:
    """Notes down the handlers that the client knows of, and for which document."""

    def listen(event: Event) -> None:
        if isinstance(event, HandlerOpened):
            handlers[event.handler] = event.path

    return listen


async def _judge_leavings(this: Round, server: Emulator, known: set[str]) -> None:
    """No handler that the client knew is left, unless its outcome is unknown; no document is checked out.

    A lock whose request is applied after its reply was lost, and everybody has gone, is nobody's to give back; nor
    is a handler that is bound to a session that the server forgot.
    """
    checkouts = await server.checkouts()
    if checkouts and not LATE & set(this.faults):
        this.wrong.append(f"documents are left checked out: {checkouts}")
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

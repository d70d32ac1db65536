"""A storm: many uploads under random composed faults, each held against what the server really has at the end.

    python tests/storm.py --uploads 10000            # what `make storm` runs
    python tests/storm.py --seed 4711                # one round again

A round is one server, one client, some uploads at once, and a script of faults, all drawn from the round's seed. Whatever
happens, every upload ends stored exactly once with equal bytes, or with an error that says which of "not stored" and "not
known" holds; and no handler is left that the client could know of.
"""

import argparse
import asyncio
import random
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from asyncupload import AsyncUploadError, Client, OutcomeUnknown, Receipt, Retries, Settings, Timeouts
from asyncupload.emulator import FAULTS, Document, Emulator, Script, rates, together

FOLDER = "/Finance/Reports"
CHUNK = 1024
"""Bytes that the server grants, so that forty chunks are few bytes."""

MOST_AT_ONCE = 8
MOST_CHUNKS = 40
HIGHEST_RATE = 0.3
"""Of all faults together, per request."""

NEEDS_STAGED_CHECKSUM = frozenset({"corrupt-byte", "lose-chunk", "double-chunk"})
"""A server that damages what it stages and keeps its checksum to itself cannot be found out before the document stands."""

VARIANTS = (
    (),
    ("mismatch-success",),
    ("lenient-consume",),
    ("no-errorcode",),
    ("lowercase-errorcode", "swapped-roots"),
    ("auto-version",),
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
    calm = False
    contents = {
        f"{FOLDER}/{number}.bin": die.randbytes(die.randint(1, MOST_CHUNKS * CHUNK))
        for number in range(die.randint(1, MOST_AT_ONCE))
    }
    existing = {path for path in contents if die.random() < 0.3}
    async with Emulator(
        folder,
        script=lambda call: None if calm else script(call),
        variants=this.variants,
        chunk_sizes=(1, CHUNK),
        delay=0.05,
        document_max_size=0,
    ) as server:
        calm = True
        async with Client(server.url, user="demo", password="demo", settings=SETTINGS) as client:
            for path in existing:
                await client.upload(b"before " + contents[path][:5], to=path)
            calm = False
            ends = await asyncio.gather(
                *(client.upload(data, to=path) for path, data in contents.items()), return_exceptions=True
            )
            calm = True
        await asyncio.sleep(0.12)  # what the server does late, it does now
        documents = {document.path: document for document in await server.documents()}
        for (path, data), end in zip(contents.items(), ends, strict=True):
            document, versions = documents.get(path), 1 if path in existing else 0
            stored = document is not None and (await server.content(path)).read_bytes() == data
            this.outcomes[_judged(this, path, end, document, versions, stored=stored)] += 1
        await _judge_handlers(this, server)
    return this


def _judged(
    this: Round, path: str, end: Receipt | BaseException, document: Document | None, before: int, *, stored: bool
) -> str:
    """The name of the outcome; what is wrong with it goes to the round."""
    now = len(document.versions) if document else 0
    if now > before + 1:
        this.wrong.append(f"{path}: {now - before} versions were made")
    if now > before and not stored:
        this.wrong.append(f"{path}: a document with other bytes was made")
    match end:
        case Receipt():
            if now != before + 1:
                this.wrong.append(f"{path}: told as stored, but it is not")
            elif document and end.version_id != document.versions[-1].number:
                this.wrong.append(f"{path}: told as version {end.version_id}, which it is not")
            return "stored" if not (end.resent or end.restarted) else "stored after trouble"
        case OutcomeUnknown():
            return f"unknown, and {'stored' if now > before else 'not stored'}"
        case AsyncUploadError():
            if now > before:
                this.wrong.append(f"{path}: told as not stored ({type(end).__name__}: {end}), but it is")
            return f"not stored: {type(end).__name__}"
        case _:
            this.wrong.append(f"{path}: {end!r}")
            return "crashed"


async def _judge_handlers(this: Round, server: Emulator) -> None:
    """A handler whose making was answered with a lost reply is known to nobody: the server's own cleaning up finds it."""
    left = await server.open_handlers()
    nameless = sum(
        1
        for call in server.calls
        if call.operation == "CreateUploadHandler" and call.fault and "delete" not in call.fault
    )
    undeletable = sum(1 for call in server.calls if call.operation == "DeleteUploadHandler" and call.fault)
    unknown = sum(count for outcome, count in this.outcomes.items() if outcome.startswith("unknown"))
    used = [handler for handler in left if handler.size]
    if len([handler for handler in left if not handler.size]) > nameless:
        this.wrong.append(f"{len(left) - len(used)} empty handlers are left, and only {nameless} replies were lost")
    if len(used) > unknown:
        this.wrong.append(f"{len(used)} used handlers are left ({undeletable} deletions met faults)")


async def storm(uploads: int, first_seed: int) -> int:
    """Play rounds until so many uploads have ended; print the table of outcomes. The number of rounds that went wrong."""
    outcomes, bad, seed, began = Counter[str](), 0, first_seed, time.monotonic()
    while sum(outcomes.values()) < uploads:
        with tempfile.TemporaryDirectory(prefix="storm-") as folder:
            this = await asyncio.wait_for(run_round(seed, Path(folder)), 120)
        outcomes += this.outcomes
        if this.wrong:
            bad += 1
            print("WRONG", this, flush=True)
        seed += 1
    print(f"{sum(outcomes.values())} uploads in {seed - first_seed} rounds, {time.monotonic() - began:.0f} s")
    for outcome, count in outcomes.most_common():
        print(f"{count:8}  {outcome}")
    print(f"{bad} rounds went wrong")
    return bad


def main() -> int:
    parser = argparse.ArgumentParser(description="Uploads under random faults.")
    parser.add_argument("--uploads", type=int, default=10_000)
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--seed", type=int, help="play this round alone")
    chosen = parser.parse_args()
    if chosen.seed is not None:
        return asyncio.run(storm(1, chosen.seed))
    return asyncio.run(storm(chosen.uploads, chosen.first_seed))


if __name__ == "__main__":
    sys.exit(main() != 0)

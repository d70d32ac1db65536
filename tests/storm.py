"""A storm: many uploads under random composed faults, each held against what the server has at the end.

    python tests/storm.py --uploads 10000            # what `make storm` runs
    python tests/storm.py --seed 4711                # one round again

A round is one server, some uploads at once by one or two clients, and a script of faults, all drawn from the round's
seed (tests/weather.py); some of the uploads share a destination, some are cancelled. Whatever happens, every upload
ends stored exactly once with equal bytes, or with an error that says which of "not stored" and "not known" holds; and
no handler is left that the client could know of, no document checked out, unless somebody was told (tests/verdicts.py).
How many are stored at each rate is printed.
"""

import argparse
import asyncio
import itertools
import multiprocessing
import os
import random
import re
import sys
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

from full_disk import FULL, logs_on_full_disks
from verdicts import Journey, judge
from weather import AWAY, CHUNK, DAMAGE, FEW, GATEWAY, GOAL, RATES, SETTINGS, Round, at_rate, round_of

from asyncupload import Client, OutcomeUnknown, Timeouts
from asyncupload.emulator import Emulator, Script

FOLDER = "/Finance/Reports"

MOST_AT_ONCE = 8


async def run_round(seed: int, folder: Path) -> Round:
    """Play one round, and hold what was claimed against what is there."""
    die = random.Random(seed)
    this, script = round_of(seed)
    blind = 0.0 if DAMAGE & set(this.faults) else 0.1
    journeys = [_journey(die, number, blind, this.most_chunks) for number in range(die.randint(1, MOST_AT_ONCE))]
    paths = sorted({journey.to for journey in journeys})
    await play(this, script, journeys, {path for path in paths if die.random() < 0.3}, folder)
    return this


def _journey(die: random.Random, number: int, blind: float, most_chunks: int) -> Journey:
    """Every eighth or so goes where another goes, by the same client or by another; every eighth is cancelled.

    A share ``blind`` of the contents has chunks that the CRC-32 of the whole does not show. (Where the server itself
    doubles such a chunk, only the size of the document can tell, when it stands.)
    """
    data = die.randbytes(die.randint(8, most_chunks * CHUNK))
    if die.random() < blind:
        data = b"\xff" * 4 + bytes(len(data)) + data[:8]
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
        missing=this.missing,
        chunk_sizes=(1, CHUNK),
        slow=this.slow,
        gateway=GATEWAY,
        away=AWAY,
        huge_size=1_500_000,
    ) as server:
        await _prepare(server, existing, this.history)
        async with (
            Client(server.url, user="demo", password="demo", settings=this.settings) as one,
            Client(server.url, user="demo", password="demo", settings=this.settings) as other,
        ):
            calm = False
            FULL.set(this.full_disk)
            async with asyncio.TaskGroup() as travellers:
                for journey in journeys:
                    travellers.create_task(journey.go((one, other)[journey.client]))
            FULL.set(False)
            calm = True
        await asyncio.sleep(0.05)  # what was on its way when the clients went has arrived
        await server.settled(this.slow + 1)  # what the server does late, it does now
        await judge(this, server, journeys, existing)


async def _prepare(server: Emulator, existing: set[str], history: int) -> None:
    unhurried = replace(SETTINGS, timeouts=Timeouts())
    async with Client(server.url, user="demo", password="demo", settings=unhurried) as client:
        for path in existing:
            with suppress(OutcomeUnknown):  # on a server on which it cannot be compared
                await client.upload(b"before", to=path)
            await server.settled(5)
            if history:
                await server.add_versions(path, history)


# ── all of them ──

AT_ONCE = 8
"""Rounds played side by side: most of a round is waiting for answers that do not come."""


@dataclass
class Weathered:
    """What came of a storm."""

    outcomes: Counter[str] = field(default_factory=Counter)
    shares: defaultdict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    """The outcomes of those who were alone and let go on, by the kind of their round."""
    wrong: list[Round] = field(default_factory=list)
    doubled: list[Round] = field(default_factory=list)

    def add(self, this: Round) -> None:
        """A round has ended."""
        self.outcomes.update(this.outcomes)
        self.shares[this.kind].update(this.uncontested)
        if this.wrong:
            self.wrong.append(this)
        if this.doubled:
            self.doubled.append(this)

    def merge(self, other: "Weathered") -> None:
        """What another process has seen."""
        self.outcomes.update(other.outcomes)
        for kind, outcomes in other.shares.items():
            self.shares[kind].update(outcomes)
        self.wrong += other.wrong
        self.doubled += other.doubled

    def share(self, kind: str) -> float:
        """Of the uploads in rounds of this kind, how many were stored, and said so."""
        outcomes = self.shares[kind]
        stored = sum(count for outcome, count in outcomes.items() if outcome.startswith("stored"))
        return stored / max(outcomes.total(), 1)


async def storm(seeds: Iterable[int], *, enough: int | None = None) -> Weathered:
    """Play the rounds of these seeds, until ``enough`` uploads have ended."""
    seen, waiting = Weathered(), iter(seeds)

    async def play_on() -> None:
        for seed in waiting:
            if enough is not None and seen.outcomes.total() >= enough:
                return
            with tempfile.TemporaryDirectory(prefix="storm-") as folder:
                seen.add(await run_round(seed, Path(folder)))

    with logs_on_full_disks():
        async with asyncio.TaskGroup() as players:
            for _ in range(AT_ONCE):
                players.create_task(play_on())
    return seen


def _part(first: int, step: int, enough: int) -> Weathered:
    """What one of several processes plays."""
    return asyncio.run(storm(itertools.count(first, step), enough=enough))


def _side_by_side(uploads: int, first_seed: int, processes: int) -> Weathered:
    seen, enough = Weathered(), -(-uploads // processes)
    with ProcessPoolExecutor(processes, mp_context=multiprocessing.get_context("spawn")) as pool:
        part = partial(_part, step=processes, enough=enough)
        for other in pool.map(part, range(first_seed, first_seed + processes)):
            seen.merge(other)
    return seen


def _kind(wrong: str) -> str:
    """What is wrong, without what it is wrong with."""
    return re.sub(rf"{FOLDER}\S+ |\(?\b\w+\(.*|[:,]? [{{\[].*", "", wrong)


def _tell(seen: Weathered) -> None:
    for outcome, count in seen.outcomes.most_common():
        print(f"{count:8}  {outcome}")
    print(f"\nstored, of those who were alone at their place and not cancelled (the goal is {GOAL}):")
    for kind in sorted(seen.shares):
        others = Counter({what: n for what, n in seen.shares[kind].items() if not what.startswith("stored")})
        why = ", ".join(f"{n} {what}" for what, n in others.most_common(4))
        print(f"   {seen.share(kind):.3f} of {seen.shares[kind].total():5}  at {kind}  ({why})")
    print()
    for this in seen.doubled:
        print("TWICE, and said so", this)
    for this in seen.wrong:
        print("WRONG", this)
    kinds = Counter(_kind(what) for this in seen.wrong for what in this.wrong)
    for kind, count in kinds.most_common():
        print(f"{count:8}  {kind}")
    print(f"{len(seen.doubled)} rounds with two versions of which somebody was told that it is not known")
    print(f"{len(seen.wrong)} rounds went wrong")


def main() -> int:
    parser = argparse.ArgumentParser(description="Uploads under random faults.")
    parser.add_argument("--uploads", type=int, default=10_000)
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--processes", type=int, default=min(4, os.cpu_count() or 1))
    parser.add_argument("--seed", type=int, help="play this round alone")
    chosen = parser.parse_args()
    began = time.monotonic()
    if chosen.seed is None:
        seen = _side_by_side(chosen.uploads, chosen.first_seed, chosen.processes)
    else:
        seen = asyncio.run(storm([chosen.seed]))
    print(f"{seen.outcomes.total()} uploads in {time.monotonic() - began:.0f} s")
    _tell(seen)
    if chosen.seed is not None:
        return len(seen.wrong)
    low = [kind for kind in (at_rate(rate, FEW) for rate in RATES) if seen.share(kind) < GOAL]
    for kind in low:
        print(f"too few were stored at {kind}")
    return len(seen.wrong) + len(low)


if __name__ == "__main__":
    sys.exit(main() != 0)

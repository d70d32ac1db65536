"""Loads that are killed again and again, each held against what the server has at the end.

    python tests/crash.py --kills 500                # what `make crash` runs
    python tests/crash.py --seed 4711                # one round again

A round is a tree of files, one server with random faults, one journal, and one to four processes that load the tree
side by side, all drawn from the round's seed. The processes are killed with SIGKILL at random moments, when some
request of theirs arrives, and between any two writes of the journal; some are frozen past their lease instead, many of
them between the write that lets a request to store leave and the request. Each is started again on the same journal,
until the load has ended. Whatever happened, every file is then stored exactly once with equal bytes, no document is
checked out, and no upload handler is left but those that nobody had the time to write down.
"""

import argparse
import asyncio
import itertools
import os
import random
import re
import signal
import sys
import tempfile
import time
import unicodedata
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from loading import ENDED_EARLY, SETTINGS, Fate, Job, When
from victim import Victim
from weather import AWAY, CHUNK, DAMAGE, GATEWAY, LATE, SLOW, VARIANTS

from asyncupload import Client
from asyncupload.bulk.journal import Journal
from asyncupload.bulk.options import LoadOptions
from asyncupload.bulk.queue import Claim
from asyncupload.bulk.rows import ENDED, LEASED, Row, State
from asyncupload.emulator import FAULTS, Call, Document, Emulator, Hit, rates

TO = "/Finance/Reports/Load"
MOST_CHUNKS = 12
HIGHEST_RATE = 0.1
"""Of all faults together, per request: a load of many files must come to its end."""

DENIAL = "no-success"
"""An answer that says that there is no document where one stands."""

TOKEN = re.compile(r"\[upload \w+\]")
"""Stands in the comment of one version, and of no other."""

CLEARING = frozenset({"DeleteUploadHandler", "UploadNewDocumentWidthHandler", "UploadDocumentWithHandler1"})
"""A refusal of one of these is taken at its word; if it was made up, the handler stands."""

PATIENCE = 90.0
"""Seconds after which a round has no more trouble; after as many again it is given up."""


@dataclass
class Round:
    """What one round was, and what was wrong with it."""

    seed: int
    processes: int
    variants: tuple[str, ...]
    faults: dict[str, float]
    options: LoadOptions
    files: int
    frozen: float
    """Share of the fates that freeze."""
    hurried: bool
    """Whether the leases of the dead end at once, as if time had passed."""
    slow: float = SLOW[0]
    """Seconds that a slow call takes, and a finalize that runs on while its process is dead."""
    happened: Counter[str] = field(default_factory=Counter)
    outcomes: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        shares = ", ".join(f"{name}={share:.3f}" for name, share in self.faults.items())
        return (
            f"seed {self.seed}: {self.processes} processes, if_exists={self.options.if_exists}, "
            f"lease {self.options.lease:.2g} s; slow is {self.slow} s; {shares}; "
            f"variants {self.variants}; {dict(self.happened)}; "
            f"{dict(self.outcomes)}; {self.wrong}"
        )


def round_of(seed: int) -> Round:
    """What a seed stands for."""
    die = random.Random(f"crash {seed}")
    names = die.sample(sorted(FAULTS), die.randint(0, 4))
    weights = [die.random() for _ in names]
    scale = die.random() * HIGHEST_RATE / max(sum(weights), 0.1)
    variants = die.choice([variants for variants in VARIANTS if "no-unlock" not in variants])
    return Round(
        seed=seed,
        processes=die.choice((1, 1, 1, 2, 2, 4)),
        variants=() if variants == ("no-filehexcrc",) and DAMAGE & set(names) else variants,
        faults={name: weight * scale for name, weight in zip(names, weights, strict=True)},
        options=LoadOptions(
            if_exists=die.choice(("skip", "version")),
            files=die.choice((1, 4, 16)),
            attempts=1000,
            retry_after=1e-4,
            lease=die.choice((0.3, 0.6, 1.0)),
            give_up_after=30.0,
        ),
        files=die.randint(20, 60),
        frozen=die.choice((0.0, 0.3, 0.6)),
        hurried=die.random() < 0.7,
        slow=die.choice(SLOW),
    )


# ── files ──


@dataclass(frozen=True)
class Files:
    """A tree on the disk, and what it is to become."""

    root: Path
    contents: dict[bytes, bytes]
    """By their paths."""
    before: dict[str, bytes]
    """By destination: what is on the server before the load."""
    problems: int
    """How many of them are never sent."""


def files_of(die: random.Random, count: int, root: Path) -> Files:
    """Write a tree of about ``count`` files. One is empty, and some are one to the server."""
    names = [die.choice(("", "2023/", "2023/Q1/", "Ümläut/")) + f"{number}.bin" for number in range(count)]
    twins = die.sample(["Twin.txt", "twin.TXT", "2023/B\u00e4r.txt", "2023/Ba\u0308r.txt"], die.choice((0, 2, 4)))
    contents = {name: die.randbytes(die.randint(1, MOST_CHUNKS * CHUNK)) for name in [*names, *twins]}
    contents["empty.bin"] = b""
    for name, data in contents.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    before = {name: die.choice((contents[name], b"before")) for name in names if die.random() < 0.3}
    folded = {unicodedata.normalize("NFC", name).casefold() for name in contents}
    return Files(
        root,
        {os.fsencode(root / name): data for name, data in contents.items()},
        {f"{TO}/{name}": data for name, data in before.items()},
        problems=len(contents) - len(folded) + 1,
    )


# ── fate ──


MOST = {When.SECONDS: 0.6, When.CALLS: 100, When.WRITES: 40, When.COMMITS: 6}
"""Before fate comes: so little that few processes come to their end, so much that the load does."""


def fate_of(die: random.Random, this: Round, before: int) -> Fate:
    """What befalls the next process after ``before`` others. Each is given a little more time, so that the load comes
    to its end on a machine that has more to do."""
    when = die.choice(tuple(When))
    count = die.random() * MOST[when] * (1 + before / 20)
    return Fate(freezes=die.random() < this.frozen, when=when, count=count if when is When.SECONDS else int(count) + 1)


# ── the load ──


class Play:
    """A round at work.

    Args:
        this: The round.
        folder: For its files.
    """

    def __init__(self, this: Round, folder: Path) -> None:
        self._this = this
        self._die = random.Random(f"play {this.seed}")
        self._files = files_of(self._die, this.files, folder / "tree")
        self._journal = folder / "journal"
        self._log = folder / "log"
        self._script = rates(this.faults, seed=this.seed)
        self._calm = True
        self._living = dict[int, Victim]()
        self._began = time.monotonic()
        self._server = Emulator(
            folder / "server",
            script=self._meet,
            variants=this.variants,
            chunk_sizes=(1, CHUNK),
            default_chunk_size=CHUNK,
            slow=this.slow,
            gateway=GATEWAY,
            away=AWAY,
        )

    def _meet(self, call: Call) -> Hit:
        for victim in list(self._living.values()):
            victim.note_call()
        return None if self._calm else self._script(call)

    async def run(self) -> None:
        """Load until nothing is left to do, and judge."""
        async with self._server:
            await self._prepare()
            self._calm = False
            await self._load()
            self._calm = True
            async with Journal.open(self._journal) as journal:
                failed = await journal.retry()
            if failed:  # what the faults' answers gave up, a user would have tried again
                self._this.happened["files retried"] += failed
                await self._load()
            await self._server.settled(self._this.slow + 1)  # what the server does late, it does now
            async with Journal.open(self._journal) as journal:
                await Judgement(self._this, self._files, self._server, journal).run()

    async def _prepare(self) -> None:
        async with Client(self._server.url, user="demo", password="demo", settings=SETTINGS) as client:
            for folder in sorted({path.rpartition("/")[0] for path in self._files.before}):
                if not await client.folder_exists(folder):
                    await client.create_folder(folder)
            for path, data in self._files.before.items():
                await client.upload(data, to=path)

    async def _load(self) -> None:
        async with asyncio.TaskGroup() as places:
            for place in range(self._this.processes):
                places.create_task(self._fill(place))

    async def _fill(self, place: int) -> None:
        """Start process after process until one sees the load at its end."""
        die = random.Random(f"place {place} {self._this.seed}")
        for before in itertools.count():
            spent = time.monotonic() - self._began
            if spent > 2 * PATIENCE:
                break
            self._calm = self._calm or spent > PATIENCE
            code = await self._one(None if spent > PATIENCE else fate_of(die, self._this, before), die)
            if code == 0:
                return
        self._this.wrong.append("the load did not come to its end in time")

    async def _one(self, fate: Fate | None, die: random.Random) -> int:
        """One process, from its start to its end. Returns the exit code."""
        this = self._this
        job = Job(
            url=self._server.url,
            root=self._files.root,
            to=TO,
            journal=self._journal,
            options=this.options,
            log=self._log,
        )
        victim = Victim(job, fate)
        self._living[victim.pid] = victim
        thaw_after = this.options.lease * die.uniform(0.5, 3)
        left = self._began + 2 * PATIENCE - time.monotonic()
        code = await victim.end(thaw_after=thaw_after, deadline=asyncio.get_running_loop().time() + left)
        del self._living[victim.pid]
        if fate and victim.was_frozen:
            this.happened["frozen"] += 1
            this.happened[f"frozen, chosen by {fate.when}"] += 1
        if fate and code == -signal.SIGKILL:
            this.happened["killed"] += 1
            this.happened[f"killed, chosen by {fate.when}"] += 1
            if this.hurried:
                await self._let_go(victim.pid)
        elif code in {0, ENDED_EARLY}:
            this.happened["processes that saw the end" if code == 0 else "processes that gave up"] += 1
        else:
            this.wrong.append(f"a process ended with {code}")
        return code

    async def _let_go(self, pid: int) -> None:
        """What the dead one held, as if the time of its leases had passed."""
        async with Journal.open(self._journal) as journal:
            rows = [row async for row in journal.rows(LEASED) if row.owner.split()[1] == str(pid)]
            await journal.let_go([Claim(row, row.owner, row.fence, row.state) for row in rows])


# ── the judgement ──


class Judgement:
    """Holds what the journal says, and what the server has, against the files."""

    def __init__(self, this: Round, files: Files, server: Emulator, journal: Journal) -> None:
        self._this = this
        self._files = files
        self._server = server
        self._journal = journal

    async def run(self) -> None:
        rows = [row async for row in self._journal.rows()]
        documents = {document.path: document for document in await self._server.documents()}
        await self._judge_sums(rows, documents)
        for row in rows:
            self._this.outcomes[f"rows {row.state}"] += 1
            if not row.item.problem:
                await self._judge_row(row, documents.get(row.item.destination))
        await self._judge_leavings(rows)

    def _wrong_if(self, it_is: object, what: str) -> None:
        if it_is:
            self._this.wrong.append(what)

    async def _judge_sums(self, rows: list[Row], documents: dict[str, Document]) -> None:
        sources = {row.item.source for row in rows}
        self._wrong_if(len(sources) != len(rows) or sources != set(self._files.contents), "other rows than files")
        left = [f"{row.id} {row.state} {row.reason}" for row in rows if row.state not in ENDED]
        self._wrong_if(left, f"rows have not ended: {left}")
        problems = sum(bool(row.item.problem) for row in rows)
        self._wrong_if(problems != self._files.problems, f"{problems} problems for {self._files.problems}")
        counts = {state: tally.rows for state, tally in (await self._journal.counts()).items() if tally.rows}
        self._wrong_if(counts != Counter(row.state for row in rows), f"the counts do not add up: {counts}")
        expected = {row.item.destination for row in rows if not row.item.problem}
        self._wrong_if(set(documents) != expected, f"other documents than rows: {set(documents) ^ expected}")

    async def _judge_row(self, row: Row, document: Document | None) -> None:
        path, data = row.item.destination, self._files.contents[row.item.source]
        before = self._files.before.get(path)
        equal = before == data and self._this.options.if_exists == "skip"
        expected = State.UNCHANGED if equal else State.STORED
        versions = document.versions if document else ()
        tokens = Counter(token for version in versions for token in TOKEN.findall(version.comment))
        twice = [token for token, count in tokens.items() if count > 1]
        self._wrong_if(twice, f"{path}: one request to store made two versions: {twice}")
        made = len(versions) - (before is not None)
        if before == data and DENIAL in self._this.faults and made == 0:
            return  # it was sent as a new document, refused, and an equal one found
        self._wrong_if(row.state is not expected, f"{path} is {row.state}, not {expected}: {row.reason}")
        self._wrong_if(made != (not equal), f"{path}: {made} versions were made")
        if not versions:
            return
        latest = versions[-1].number
        stored = (await self._server.content(path, latest)).read_bytes()
        self._wrong_if(stored != data, f"{path}: other bytes are stored")
        told = row.facts.version_id
        self._wrong_if(told not in {None, latest}, f"{path}: told as version {told}, and it is {latest}")

    async def _judge_leavings(self, rows: list[Row]) -> None:
        """A lock whose request is applied after everybody has gone is nobody's to give back; a handler that is bound to
        the session of a dead process cannot be deleted."""
        checkouts = await self._server.checkouts()
        if not LATE & set(self._this.faults):
            self._wrong_if(checkouts, f"documents are left checked out: {checkouts}")
        if "ticket-bound" in self._this.variants:
            return
        left = {handler.guid for handler in await self._server.open_handlers()}
        lives = [await self._journal.life(row.id) for row in rows]
        noted = {deed.detail for life in lives for deed in life if deed.what == "handler"}
        explained = left & {row.handler for row in rows}
        self._this.happened["handlers left, in a row"] += len(explained)
        forgotten = left & noted - explained
        most = sum(
            call.operation in CLEARING and bool(call.faults) and not call.applied and call.status == 200
            for call in self._server.calls
        )
        self._wrong_if(len(forgotten) > most, f"handlers were written down, and are left: {forgotten}")
        unknown = len(left - noted)
        self._this.happened["handlers left, never written down"] += unknown
        created = [call for call in self._server.calls if call.operation == "CreateUploadHandler"]
        lost = sum(call.status is None or bool(call.faults) for call in created)
        broken = self._this.happened["killed"] + self._this.happened["frozen"]  # who is frozen reads no answer in time
        most = broken * self._this.options.files + lost
        self._wrong_if(
            unknown > most, f"{unknown} handlers are left, never written down, where {most} can be explained"
        )


# ── rounds ──

AT_ONCE = 2
"""Rounds played side by side: much of a round is waiting."""


async def crash(
    rounds: Iterable[Round], *, enough: int | None = None, keep: Path | None = None
) -> tuple[Counter[str], list[Round]]:
    """Play rounds until there were ``enough`` kills. What happened, and the rounds that went wrong.

    Args:
        rounds: As many as there may be.
        enough: Kills after which no other round begins.
        keep: A folder where all files of all rounds are kept, the processes' logs among them.
    """
    happened, wrong, waiting = Counter[str](), list[Round](), iter(rounds)

    async def play() -> None:
        for this in waiting:
            if enough is not None and happened["killed"] >= enough:
                return
            with tempfile.TemporaryDirectory(prefix="crash-") as folder:
                await Play(this, keep / str(this.seed) if keep else Path(folder)).run()
            happened.update(this.happened + this.outcomes)
            happened["rounds"] += 1
            if this.wrong:
                print("WRONG", this, flush=True)
                wrong.append(this)
            if happened["rounds"] % 10 == 0:
                print(f"{happened['killed']} kills in {happened['rounds']} rounds", flush=True)

    async with asyncio.TaskGroup() as players:
        for _ in range(AT_ONCE):
            players.create_task(play())
    return happened, wrong


def main() -> int:
    parser = argparse.ArgumentParser(description="Loads that are killed again and again.")
    parser.add_argument("--kills", type=int, default=500)
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--seed", type=int, help="play this round alone")
    parser.add_argument("--keep", type=Path, help="keep the rounds' files in this folder")
    chosen = parser.parse_args()
    began = time.monotonic()
    seeds = itertools.count(chosen.first_seed) if chosen.seed is None else [chosen.seed]
    happened, wrong = asyncio.run(crash(map(round_of, seeds), enough=chosen.kills, keep=chosen.keep))
    print(f"{happened['killed']} kills in {time.monotonic() - began:.0f} s")
    for what, count in happened.most_common():
        print(f"{count:8}  {what}")
    print(f"{len(wrong)} rounds went wrong{':' if wrong else ''} {' '.join(str(this.seed) for this in wrong)}")
    return len(wrong)


if __name__ == "__main__":
    sys.exit(main() != 0)

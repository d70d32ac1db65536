"""Loads that are stopped, whose journal is damaged, and that are started again, each held against what the server has.

    python tests/damage.py --plays 100               # what `make damage` runs
    python tests/damage.py --seed 4711               # one play again; when exactly the signal comes may differ

A play is ``asyncupload bulk`` in a process of its own, against a server where documents stand already, and a signal,
or damage under its hands. Then its journal is damaged in one of many ways, some files are changed or not, and the same
command runs again. Whatever the damage was, each content is then stored once for each document, or what was not stored
is told, with what to do about it; when that is done, the same command ends with 0.
"""

import argparse
import asyncio
import os
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterable
from contextlib import closing, suppress
from dataclasses import dataclass, field
from pathlib import Path

import anyio.to_thread
from cli.commands import Ended, end, environment

from asyncupload import Client
from asyncupload.emulator import Emulator

TO = "/Library/Load"
FILES = 12
DELAY = 0.004
"""Seconds that the server takes for each request: a signal finds the load in its middle."""

HURRIED = (
    "import sys; from asyncupload.bulk.options import LoadOptions as Options; "
    "Options.__init__.__kwdefaults__['lease'] = 0.3; from asyncupload.cli import main; sys.exit(main())"
)
"""The command, with leases that do not outlive their process for a minute."""

BESIDE = ("", "-wal", "-shm")
SIGNALS = (signal.SIGKILL, signal.SIGKILL, signal.SIGTERM, signal.SIGINT)


def start(*words: object, env: dict[str, str]) -> "subprocess.Popen[str]":
    """Type the command and go on."""
    pipes = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    typed = [sys.executable, "-c", HURRIED, *map(str, words)]
    return subprocess.Popen(typed, env=environment(**env), text=True, **pipes)  # type: ignore[call-overload,no-any-return]


# ── damage ──


@dataclass(frozen=True)
class Scene:
    """What a kind of damage may use."""

    journal: Path
    before: Path
    """A folder with the journal's files as they were some time ago."""
    die: random.Random

    def of(self, ending: str) -> Path:
        """A file beside the journal."""
        return self.journal.with_name(self.journal.name + ending)

    def restore(self, *endings: str, in_place: bool = True, lost: str = ".no") -> None:
        """Put back files as they were: over those that are there, or as others."""
        gone(self, lost)
        for ending in endings:
            there, old = self.of(ending), self.before / (self.journal.name + ending)
            if not in_place or not old.exists():
                there.unlink(missing_ok=True)
            if old.exists():
                there.write_bytes(old.read_bytes())

    def patch(self, path: Path, pieces: int, piece: Callable[[], bytes], step: int = 1) -> None:
        """Write over some places of a file."""
        if not path.exists() or not path.stat().st_size:
            return
        with path.open("r+b") as file:
            for _ in range(pieces):
                file.seek(step * self.die.randrange(max(path.stat().st_size // step, 1)))
                file.write(piece())

    def cut(self, path: Path) -> None:
        """Let a file end too early."""
        if path.exists() and path.stat().st_size:
            os.truncate(path, self.die.randrange(1, path.stat().st_size + 1))

    def change(self, statement: str) -> None:
        """What somebody does who opens it by hand."""
        with closing(sqlite3.connect(self.journal)) as db:
            db.execute(statement)
            db.commit()


def replaced_by_a_folder(scene: Scene) -> None:
    for ending in BESIDE:
        scene.of(ending).unlink(missing_ok=True)
    scene.journal.mkdir()


def gone(scene: Scene, *endings: str) -> None:
    for ending in endings:
        scene.of(ending).unlink(missing_ok=True)


def later(restore: Callable[[], object]) -> None:
    """Nobody brings a backup back within a second."""
    time.sleep(1.2)
    restore()


KINDS: dict[str, Callable[[Scene], object]] = {
    "none": lambda _: None,
    "cut": lambda s: s.cut(s.journal),
    "zeros": lambda s: s.patch(s.journal, s.die.randint(1, 3), lambda: bytes(4096), 4096),
    "noise": lambda s: s.patch(s.journal, s.die.choice((1, 10, 200)), lambda: s.die.randbytes(1)),
    "noisy pages": lambda s: s.patch(s.journal, s.die.randint(1, 3), lambda: s.die.randbytes(4096), 4096),
    "head only": lambda s: os.truncate(s.journal, min(s.die.choice((16, 100, 512, 4096)), s.journal.stat().st_size)),
    "emptied": lambda s: os.truncate(s.journal, 0),
    "folder": replaced_by_a_folder,
    "log cut": lambda s: s.cut(s.of("-wal")),
    "log noise": lambda s: s.patch(s.of("-wal"), 3, lambda: s.die.randbytes(2)),
    "log lost": lambda s: gone(s, "-wal"),
    "index lost": lambda s: gone(s, "-shm"),
    "log and index lost": lambda s: gone(s, "-wal", "-shm"),
    "log of before": lambda s: s.restore("-wal"),
    "index of before": lambda s: s.restore("-shm"),
    "journal of before": lambda s: s.restore(""),
    "all of before": lambda s: s.restore(*BESIDE),
    "all of before but the index": lambda s: s.restore("", "-wal", lost="-shm"),
    "a copy of before": lambda s: s.restore(*BESIDE, in_place=False),
    "all of before and its lock": lambda s: later(lambda: s.restore(*BESIDE, ".lock")),
    "a copy of before and its lock": lambda s: later(lambda: s.restore(*BESIDE, ".lock", in_place=False)),
    "journal deleted": lambda s: gone(s, ""),
    "all but the lock deleted": lambda s: gone(s, *BESIDE),
    "lock deleted": lambda s: gone(s, ".lock"),
    "lock noise": lambda s: s.patch(s.of(".lock"), 30, lambda: s.die.randbytes(1)),
    "rows deleted": lambda s: s.change("DELETE FROM rows WHERE state = 'stored' AND id % 2"),
    "rows reset": lambda s: s.change("UPDATE rows SET state = 'planned', due = 0 WHERE state = 'stored' AND id % 2"),
}
"""What is done to a journal."""

UNDER_ITS_HANDS = ("cut", "zeros", "noisy pages", "emptied", "all of before", "journal deleted", "log noise")
"""Kinds that are also tried while the command runs."""


# ── plays ──


@dataclass
class Play:
    """What one play was, and what was wrong with it."""

    seed: int
    kind: str
    mode: str
    number: signal.Signals | None
    """What stops the first run; None: it is damaged under its hands, and left alone."""
    changed: int
    """How many files are others when the command runs again."""
    end: str = ""
    told: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        by = self.number.name if self.number else "itself"
        return f"seed {self.seed}: {self.kind}, {self.mode}, stopped by {by}: {self.end}; {self.told}; {self.wrong}"


def play_of(seed: int) -> Play:
    """What a seed stands for."""
    die = random.Random(f"damage {seed}")
    kinds = list(KINDS)
    under = seed % 4 == 3
    kind = die.choice(UNDER_ITS_HANDS) if under else kinds[seed % len(kinds)]
    mode = die.choice(("version", "version", "version", "skip", "fail"))
    # What is killed in its last write may not have noted that, and a change by hand is found by the note only.
    number = signal.SIGTERM if kind.startswith("rows") else die.choice(SIGNALS)
    return Play(seed, kind, mode, None if under else number, die.choice((0, 0, 2)))


class Stage:
    """A folder for one play: files, a server and a journal."""

    def __init__(self, play: Play, folder: Path) -> None:
        self._play = play
        self._die = random.Random(f"play {play.seed}")
        self._folder = folder
        self._source = folder / "tree"
        self._slow = False
        self._server = Emulator(folder / "server", script=lambda _: "delay-after" if self._slow else None, delay=DELAY)
        self._scene = Scene(folder / "load.journal", folder / "before", self._die)
        self._contents: dict[str, list[bytes]] = {}
        """What each file has been, from the first content on."""

    async def run(self) -> Play:
        """Play it."""
        self._source.mkdir()
        self._scene.before.mkdir()
        async with self._server:
            await self._prepare()
            self._slow = True
            await self._first()
            for name in self._die.sample(sorted(self._contents), self._play.changed):
                self._write(name, b"changed " * 50 + os.urandom(8))
            again = await self._command()
            if again.code == 0 and self._play.changed:  # one that was being stored was left alone until that was known
                again = await self._command()
            await self._judge(again)
        return self._play

    async def _prepare(self) -> None:
        old = 0 if self._play.mode == "fail" else FILES // 2
        async with Client(self._server.url, user="demo", password="demo") as client:
            await client.create_folder(TO)
            for number in range(FILES):
                name = f"{number}.bin"
                self._write(name, b"before %d" % number)
                if number < old:
                    await client.upload(self._source / name, to=f"{TO}/{name}")
                self._write(name, b"content %d " % number * 40)

    def _write(self, name: str, content: bytes) -> None:
        (self._source / name).write_bytes(content)
        self._contents.setdefault(name, []).append(content)

    async def _first(self) -> None:
        process, play = await self._started(), self._play
        stored, later = sorted(self._die.sample(range(1, FILES - 2), 2))
        await self._stored(stored, process)
        for ending in (*BESIDE, ".lock"):
            with suppress(FileNotFoundError):
                shutil.copy(self._scene.of(ending), self._scene.before)
        await self._stored(later, process)
        if play.number:
            process.send_signal(play.number)
            await _end(process)
        await anyio.to_thread.run_sync(KINDS[play.kind], self._scene)
        if not play.number:
            ended = await _end(process)
            play.wrong += [f"a traceback: {ended.err}"] if "Traceback" in ended.err else []
        await self._server.settled()

    async def _stored(self, count: int, process: "subprocess.Popen[str]") -> None:
        made = {"UploadDocumentWithHandler1", "UploadNewDocumentWidthHandler"}
        before = FILES // 2 if self._play.mode != "fail" else 0
        while process.poll() is None:
            if sum(call.operation in made for call in self._server.calls) >= before + count:
                return
            await asyncio.sleep(0.002)

    async def _started(self, *words: object) -> "subprocess.Popen[str]":
        url = self._server.url
        env = {"ASYNCUPLOAD_SERVER": url, "ASYNCUPLOAD_USER": "demo", "ASYNCUPLOAD_PASSWORD": "demo"}
        own = ("bulk", self._source, TO, "--if-exists", self._play.mode, "--files", 4, "--attempts", 1)
        typed = words or (*own, "--journal", self._scene.journal)
        return await anyio.to_thread.run_sync(lambda: start(*typed, env=env))

    async def _command(self) -> Ended:
        ended = await _end(await self._started())
        self._play.wrong += [f"a traceback: {ended.err}"] if "Traceback" in ended.err else []
        self._play.told += [line for line in ended.err.splitlines() if line.startswith("asyncupload: the journal")]
        self._play.end += f"{ended.code} "
        return ended

    async def _judge(self, again: Ended) -> None:
        if again.code == 1:
            again = await self._after_what_it_told(again)
        if self._play.kind == "folder":
            self._wrong_if(again.code != 2 or "is a directory" not in again.err, f"a folder for a journal: {again}")
            return
        expected = 1 if self._play.mode == "fail" and self._play.changed else 0
        self._wrong_if(again.code not in {0, expected}, f"the same command ends with {again.code}: {again}")
        for document in await self._server.documents():
            made = [(await self._server.content(document.path, one.number)).read_bytes() for one in document.versions]
            contents = self._contents.pop(document.name)
            once = [content for content in contents if content in made]
            latest = contents[-2:] if again.code else contents[-1:]
            self._wrong_if(made != once or made[-1] not in latest, f"{document.name}: versions {made}")
        self._wrong_if(self._contents, f"not stored: {list(self._contents)}")

    async def _after_what_it_told(self, again: Ended) -> Ended:
        """What a killed program held, and no journal knows of any more, is told; a user gives it back."""
        if checkouts := await self._server.checkouts():
            told = "checked out by demo, in another program or by hand" in again.err
            self._wrong_if(not told, f"check-outs are left, and not told: {again}")
        for path in checkouts:
            await self._server.set_checkout(path, None)
        await _end(await self._started("retry", self._scene.journal))
        return await self._command()

    def _wrong_if(self, it_is: object, what: str) -> None:
        if it_is:
            self._play.wrong.append(what)


async def _end(process: "subprocess.Popen[str]") -> Ended:
    return await anyio.to_thread.run_sync(lambda: end(process, within=90))


async def damage(plays: Iterable[Play]) -> list[Play]:
    """Play all of them, two at a time: much of a play is waiting."""
    waiting, played = iter(plays), list[Play]()

    async def some() -> None:
        for play in waiting:
            with tempfile.TemporaryDirectory(prefix="damage-") as folder:
                played.append(await Stage(play, Path(folder)).run())
            if play.wrong:
                print("WRONG", play, flush=True)

    async with asyncio.TaskGroup() as players:
        for _ in range(2):
            players.create_task(some())
    return played


def main() -> int:
    parser = argparse.ArgumentParser(description="Loads whose journal is damaged.")
    parser.add_argument("--plays", type=int, default=100)
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--seed", type=int, help="play this one alone")
    chosen = parser.parse_args()
    began = time.monotonic()
    seeds = range(chosen.first_seed, chosen.first_seed + chosen.plays) if chosen.seed is None else [chosen.seed]
    plays = asyncio.run(damage(map(play_of, seeds)))
    told = Counter((play.kind, "told" if play.told else "not told") for play in plays)
    for (kind, whether), count in sorted(told.items()):
        print(f"{count:6}  {kind}: {whether}")
    wrong = [play for play in plays if play.wrong]
    print(f"{len(plays)} plays in {time.monotonic() - began:.0f} s, {len(wrong)} went wrong")
    return len(wrong)


if __name__ == "__main__":
    sys.exit(main() != 0)

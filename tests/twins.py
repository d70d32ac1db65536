"""Programs of one account that send the same files to the same places at the same time.

    python tests/twins.py --plays 40                 # what `make twins` runs
    python tests/twins.py --seed 4711                # one play again; the interleaving differs

A play is two ``asyncupload bulk``, each in a process of its own, with copies of one journal or with journals that were
never related, on documents that are new or stand there already, against a server that takes its time. In some of them
one is killed while it holds check-outs, and started again; in some, ``asyncupload upload`` and a client of the library
send one of the files as well. Whatever the interleaving, each content is stored once for each document, nothing is left
checked out, and each program says what happened.
"""

import argparse
import asyncio
import json
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterable
from contextlib import closing
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

import anyio.to_thread
from cli.commands import Ended, end
from damage import start

from asyncupload import CheckedOut, Client
from asyncupload.emulator import Document, Emulator

TO = "/Library/Load"
KINDS = ("an original and a copy", "two copies", "never related")
ELSEWHERE = "checked out by demo, in another program or by hand"


@dataclass
class Play:
    """What one play was, and what was wrong with it."""

    seed: int
    kind: str
    mode: str
    files: int
    old: int
    """How many of the documents stand there already, with other content."""
    kills: bool
    others: bool
    """Whether a single upload and a client of the library are at it as well."""
    end: str = ""
    wrong: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        more = (", one is killed" if self.kills else "") + (", with others" if self.others else "")
        there = f"{self.old} of {self.files} stand there"
        return f"seed {self.seed}: {self.kind}, {self.mode}, {there}{more}: {self.end}; {self.wrong}"


def play_of(seed: int, files: int = 40) -> Play:
    """What a seed stands for."""
    die = random.Random(f"twins {seed}")
    mode = die.choice(("version", "version", "skip"))
    return Play(
        seed,
        KINDS[seed % len(KINDS)],
        mode,
        files,
        die.choice((0, files // 2, files)),
        kills=die.random() < 0.3,
        others=die.random() < 0.3,
    )


class Stage:
    """A folder for one play: files, a server and two journals."""

    def __init__(self, play: Play, folder: Path) -> None:
        self._play = play
        self._die = random.Random(f"play {play.seed}")
        self._source = folder / "tree"
        self._journals = [folder / "first.journal", folder / "second.journal"]
        self._slow = 0.0
        self._server = Emulator(
            folder / "server",
            script=lambda _: "delay" if self._die.random() < self._slow else None,
            delay=self._die.choice((0.001, 0.005, 0.02)),
        )
        self._names = [f"{number}.bin" for number in range(play.files)]

    async def run(self) -> Play:
        """Play it."""
        self._source.mkdir()
        async with self._server:
            await self._prepare()
            self._slow = self._die.choice((0.2, 0.6, 1.0))
            tasks = [asyncio.create_task(self._bulk(place)) for place in range(2)]
            if self._play.others:
                await asyncio.gather(self._single(), self._client())
            ended = await asyncio.gather(*tasks)
            await self._judge(ended)
        return self._play

    async def _prepare(self) -> None:
        for name in self._names:
            (self._source / name).write_bytes(f"before {name}".encode())
        async with Client(self._server.url, user="demo", password="demo") as client:
            await client.create_folder(TO)
            for name in self._names[: self._play.old]:
                await client.upload(self._source / name, to=f"{TO}/{name}")
        if self._play.kind != "never related":
            await self._relate()
        for name in self._names:
            (self._source / name).write_bytes(self._content(name))

    async def _relate(self) -> None:
        """A journal that has sent one file, and copies of it."""
        one = self._source / "one"
        one.mkdir()
        (one / "one.bin").write_bytes(b"one")
        await _end(await self._started("bulk", one, TO, "--journal", self._journals[0]))
        (one / "one.bin").unlink()
        one.rmdir()
        shutil.copy(self._journals[0], self._journals[1])
        if self._play.kind == "two copies":
            shutil.copy(self._journals[0], self._journals[0].with_name("third.journal"))
            self._journals[0] = self._journals[0].with_name("third.journal")

    @staticmethod
    def _content(name: str) -> bytes:
        return f"content of {name} ".encode() * 40

    async def _bulk(self, place: int) -> Ended:
        await asyncio.sleep(self._die.choice((0, 0, 0.05, 0.2)) * place)
        words = ("bulk", self._source, TO, "--if-exists", self._play.mode, "--retry-after", 0.3, "--attempts", 20)
        typed = (*words, "--files", self._die.choice((1, 4, 16)), "--json", "--journal", self._journals[place])
        process = await self._started(*typed)
        if place and self._play.kills:
            await self._kill_in_the_middle(process)
            process = await self._started(*typed)
        return await _end(process)

    async def _kill_in_the_middle(self, process: "subprocess.Popen[str]") -> None:
        """While it holds something, where there is something to hold."""
        while process.poll() is None and not self._holds():  # noqa: ASYNC110  (another process's doings)
            await asyncio.sleep(0.002)
        process.send_signal(signal.SIGKILL)
        await _end(process)

    def _holds(self) -> bool:
        held = "checked_out" if self._play.old else "handler <> ''"
        try:
            with closing(sqlite3.connect(f"file:{self._journals[1]}?mode=ro", uri=True)) as db:
                return bool(db.execute(f"SELECT 1 FROM rows WHERE {held}").fetchone())
        except sqlite3.OperationalError:  # it is being made
            return False

    async def _single(self) -> None:
        """Compared, for a version that is asked for after the others have ended would be another one."""
        name = self._names[0]
        ended = await _end(await self._started("upload", self._source / name, f"{TO}/{name}", "--if-exists", "skip"))
        self._wrong_if(ended.code != 0 and ELSEWHERE not in ended.err, f"a single upload: {ended}")

    async def _client(self) -> None:
        name = self._names[-1]
        async with Client(self._server.url, user="demo", password="demo") as client:
            try:
                await client.upload(self._source / name, to=f"{TO}/{name}", if_exists="skip")
            except CheckedOut as error:
                self._wrong_if(ELSEWHERE not in str(error), f"a client: {error}")

    async def _started(self, *words: object) -> "subprocess.Popen[str]":
        url = self._server.url
        env = {"ASYNCUPLOAD_SERVER": url, "ASYNCUPLOAD_USER": "demo", "ASYNCUPLOAD_PASSWORD": "demo"}
        return await anyio.to_thread.run_sync(lambda: start(*words, env=env))

    async def _judge(self, ended: Iterable[Ended]) -> None:
        await self._server.settled()
        self._wrong_if(await self._server.checkouts(), f"left checked out: {await self._server.checkouts()}")
        documents = {one.name: one for one in await self._server.documents()}
        for name in self._names:
            await self._judge_document(name, documents[name])
        for one in ended:
            said = Counter(json.loads(line)["status"] for line in one.out.splitlines())
            self._play.end += f"{one.code} {said['stored']}+{said['unchanged']}, "
            self._wrong_if(one.code != 0, f"a load ends with {one.code}: {one}")
            enough = self._play.kills or said["stored"] + said["unchanged"] >= self._play.files
            self._wrong_if(not enough, f"a load tells of other files: {said}")

    async def _judge_document(self, name: str, document: Document) -> None:
        made = [(await self._server.content(document.path, one.number)).read_bytes() for one in document.versions]
        old = [f"before {name}".encode()] if name in self._names[: self._play.old] else []
        self._wrong_if(made[: len(old) + 1] != [*old, self._content(name)], f"{name} is {made}")
        again = document.versions[len(old) : -1]
        self._wrong_if(again and not self._later_begun(again[-1].created), f"{name} has {len(made)} versions")

    def _later_begun(self, stored: float) -> bool:
        """Whether a load that was told to add a version began after that: it had no way to know of anybody."""
        if self._play.kind != "never related" or self._play.mode != "version":
            return False
        begun = []
        for journal in self._journals:
            with closing(sqlite3.connect(journal)) as db:
                begun += db.execute("SELECT value FROM run WHERE fact = 'begun'").fetchone()
        return stored < max(datetime.fromisoformat(one).timestamp() for one in begun) + 0.001

    def _wrong_if(self, it_is: object, what: str) -> None:
        if it_is:
            self._play.wrong.append(what)


async def _end(process: "subprocess.Popen[str]") -> Ended:
    return await anyio.to_thread.run_sync(lambda: end(process, within=90))


async def twins(plays: Iterable[Play]) -> list[Play]:
    """Play one after another: each has several processes."""
    played = list[Play]()
    for play in plays:
        with tempfile.TemporaryDirectory(prefix="twins-") as folder:
            played.append(await Stage(play, Path(folder)).run())
        if play.wrong:
            print("WRONG", play, flush=True)
    return played


def main() -> int:
    parser = argparse.ArgumentParser(description="Programs of one account that send the same at the same time.")
    parser.add_argument("--plays", type=int, default=40)
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--seed", type=int, help="play this one alone")
    parser.add_argument("--files", type=int, default=40)
    chosen = parser.parse_args()
    began = time.monotonic()
    seeds = range(chosen.first_seed, chosen.first_seed + chosen.plays) if chosen.seed is None else [chosen.seed]
    plays = asyncio.run(twins(play_of(seed, chosen.files) for seed in seeds))
    for play in plays:
        print(play)
    wrong = [play for play in plays if play.wrong]
    print(f"{len(plays)} plays in {time.monotonic() - began:.0f} s, {len(wrong)} went wrong")
    return len(wrong)


if __name__ == "__main__":
    sys.exit(main() != 0)

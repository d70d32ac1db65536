"""Commands that a signal interrupts at a random moment, each held against what the server and the disk have then.

    python tests/interrupts.py --signals 200         # of each kind; what `make interrupts` runs
    python tests/interrupts.py --seed 4711           # one play again; what the signal hits may differ

A play is one command in a process of its own (`upload` of a new document, or of a version, `bulk`, `download`), against
a server that takes its time, and one SIGINT, SIGTERM or SIGHUP, from the first moment of the process to its last.
Whatever it hits, the exit code is the signal's, or the one of work that had ended before; there is no traceback; no
upload handler, check-out or download handler is left on the server, but what the command itself has told; and no
half of a file stands anywhere.
"""

import argparse
import asyncio
import json
import os
import random
import re
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from typed import ENDLESS

from asyncupload import Client
from asyncupload.emulator import Emulator

CHUNK = 256 * 1024
"""The smallest chunk there is: many requests from few bytes."""
DELAY = 0.02
"""Seconds that the server takes for each request, so that many signals find one under way."""
PATIENCE = 90.0
"""Seconds after which a command is taken to hang."""
COMMANDS = ("upload", "version", "bulk", "download")
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
TYPED = Path(__file__).with_name("typed.py")
FOLDER = "/Library"
FILES = 6
"""Of a load."""


@dataclass
class Play:
    """What one play was, and what was wrong with it."""

    seed: int
    command: str
    number: signal.Signals
    share: float
    """Of the time that the command takes undisturbed: when the signal comes."""
    came: float = 0.0
    """The same in seconds."""
    end: str = ""
    wrong: list[str] = field(default_factory=list)

    def wrong_if(self, it_is: object, what: str) -> None:
        if it_is:
            self.wrong.append(what)

    def __str__(self) -> str:
        return f"seed {self.seed}: {self.command}, {self.number.name} after {self.came:.3f} s: {self.end}; {self.wrong}"


def play_of(seed: int) -> Play:
    """What a seed stands for."""
    die = random.Random(f"interrupt {seed}")
    return Play(
        seed, die.choice(COMMANDS), SIGNALS[seed % len(SIGNALS)], die.random() * 1.1 if die.random() < 0.95 else 0.1
    )


@dataclass(frozen=True)
class Ended:
    """A command that has come to its end."""

    code: int
    out: str
    err: str
    seconds: float

    @property
    def said(self) -> list[dict[str, Any]]:
        """The objects on standard output."""
        return [json.loads(line) for line in self.out.splitlines()]

    @property
    def told(self) -> set[str]:
        """The names of what it says to have left."""
        return {left["name"] for one in self.said for left in one.get("left", ())}

    @property
    def before_our_first_line(self) -> bool:
        """Whether it was Python itself that was interrupted while it started, or made ready to run us."""
        return (self.code in {-number for number in SIGNALS} and not self.err) or (
            "KeyboardInterrupt" in self.err
            and not re.search(r"asyncupload/(?!__init__|_signals|__main__)\w+", self.err)
        )


class Theatre:
    """Plays one after another, against one server.

    Args:
        folder: For its files.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._server = Emulator(folder / "server", script=self._slowly, delay=DELAY)
        self._slow = True
        self._takes: dict[str, float] = {}
        """Seconds, by command."""

    def _slowly(self, _: object) -> str | None:
        return "delay" if self._slow else None

    async def run(self, plays: Iterator[Play]) -> list[Play]:
        """Play all of them."""
        played = []
        async with self._server:
            for command in COMMANDS:
                await self._rehearse(command)
            for play in plays:
                await self._play(play)
                played.append(play)
                if play.wrong:
                    print("WRONG", play, flush=True)
        return played

    async def _rehearse(self, command: str) -> None:
        """How long does it take, when nobody interrupts it?"""
        stage = Stage(self._folder / f"rehearsal-{command}", command, self._server.url)
        await self._prepare(stage)
        ended = await stage.command(None)
        if ended.code != 0:
            raise RuntimeError(f"{command} does not work: {ended}")
        self._takes[command] = ended.seconds

    async def _prepare(self, stage: "Stage") -> None:
        self._slow = False
        stage.prepare()
        if stage.name in {"version", "download"}:
            async with Client(self._server.url, user="demo", password="demo") as client:
                await client.upload(stage.before, to=stage.there)
        self._slow = True

    async def _play(self, play: Play) -> None:
        stage = Stage(self._folder / f"play-{play.seed}", play.command, self._server.url)
        await self._prepare(stage)
        calls = len(self._server.calls)
        play.came = play.share * self._takes[play.command]
        ended = await stage.command((play.number, play.came))
        if play.command == "bulk":  # what was being stored of a load is written down, for the next run to find out
            again = await stage.command(None)
            play.wrong_if(again.code != 0, f"the same command again: {again}")
        await asyncio.sleep(2 * DELAY)  # what the server has begun, it ends
        await self._judge_server(play, ended, calls)
        self._judge_end(play, ended)
        await self._judge_documents(play, stage, ended)

    def _judge_end(self, play: Play, ended: Ended) -> None:
        right = 128 + play.number
        code = 128 - ended.code if ended.code < 0 else ended.code  # as a shell tells it
        if ended.before_our_first_line:
            play.end = "before our first line"
        else:
            play.end = {right: "interrupted", 0: "had ended"}.get(code, f"ended with {code}")
            play.wrong_if("Traceback" in ended.err, f"a traceback: {ended.err}")
            play.wrong_if(code not in {right, 0}, f"it ended with {ended.code}: {ended.err}")
        play.wrong_if(ENDLESS in ended.err, f"an error cannot be rendered: {ended.err}")
        play.wrong_if(ended.seconds > play.came + 20, f"it took {ended.seconds:.1f} s")
        play.wrong_if("never" in ended.err or "destroyed" in ended.err, f"Python complains: {ended.err}")

    async def _judge_server(self, play: Play, ended: Ended, calls: int) -> None:
        handlers = {handler.guid for handler in await self._server.open_handlers()}
        play.wrong_if(handlers - ended.told, f"handlers are left, and not told: {handlers - ended.told}")
        for guid in handlers:
            async with Client(self._server.url, user="demo", password="demo") as client:
                await client.discard(guid)
        checkouts = await self._server.checkouts()
        play.wrong_if(checkouts, f"documents are left checked out: {checkouts}")
        for path in checkouts:
            await self._server.set_checkout(path, None)
        done = Counter(call.operation for call in self._server.calls[calls:] if call.applied)
        opened = sum(count for name, count in done.items() if name.startswith("GetDownloadHandler"))
        play.wrong_if(opened > done["DeleteDownloadHandler"], f"download handlers are left: {done}")

    async def _judge_documents(self, play: Play, stage: "Stage", ended: Ended) -> None:
        documents = {document.path: document for document in await self._server.documents()}
        match play.command:
            case "download":
                back = stage.folder / "back"
                names = {path.name for path in stage.folder.iterdir() if "back" in path.name}
                play.wrong_if(back.exists() and back.read_bytes() != stage.before, "half a file is there")
                play.wrong_if(ended.code == 0 and not back.exists(), "told as downloaded, and it is not there")
                play.wrong_if(any(name != "back" and not name.endswith(".part") for name in names), f"files: {names}")
            case "bulk":
                for path, data in stage.documents.items():
                    made = [
                        await self._content(path, one.number)
                        for one in (documents[path].versions if path in documents else ())
                    ]
                    play.wrong_if(made != [data], f"{path}: {len(made)} versions")
            case _:
                found = documents.get(stage.there)
                versions = found.versions if found else ()
                made = [await self._content(stage.there, one.number) for one in versions]
                made = made[1:] if play.command == "version" else made
                play.wrong_if(made not in ([], [stage.after]), f"{len(made)} documents were made")
                play.wrong_if(ended.code == 0 and not made, "told as stored, and it is not")
                said = ended.err + ended.out
                promised = "nothing was stored" in said
                play.wrong_if(promised and made, "told as not stored, and it is")
                if made and ended.code != 0:
                    play.end += ", and stored"
                    play.wrong_if("look whether" not in said, f"stored, and nothing is said of it: {said}")

    async def _content(self, path: str, number: int) -> bytes:
        return (await self._server.content(path, number)).read_bytes()


class Stage:
    """The files of one play, and its command.

    Args:
        folder: For its files.
        name: Which command.
        url: The server's.
    """

    def __init__(self, folder: Path, name: str, url: str) -> None:
        self.folder = folder
        self.name = name
        self._url = url
        self.there = f"{FOLDER}/{folder.name}.bin"
        self.before, self.after = os.urandom(5 * CHUNK), os.urandom(5 * CHUNK)
        self.documents = {f"{FOLDER}/{folder.name}/{number}.bin": os.urandom(CHUNK + number) for number in range(FILES)}

    def prepare(self) -> None:
        """Write what is to be sent."""
        (self.folder / "tree").mkdir(parents=True)
        (self.folder / "file").write_bytes(self.after)
        for path, data in self.documents.items():
            (self.folder / "tree" / Path(path).name).write_bytes(data)

    async def command(self, disturbed: tuple[int, float] | None) -> Ended:
        """Type it, send a signal after so many seconds, and wait for its end."""
        words: dict[str, list[object]] = {
            "upload": ["upload", self.folder / "file", self.there],
            "version": ["upload", self.folder / "file", self.there],
            "download": ["download", self.there, self.folder / "back"],
            "bulk": [
                *("bulk", self.folder / "tree", f"{FOLDER}/{self.folder.name}"),
                *("--journal", self.folder / "load.journal", "--grace", "0", "--files", "2"),
            ],
        }
        typed = [*words[self.name], "--json", "--chunk-size", CHUNK]
        began = time.monotonic()
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, str(TYPED), *map(str, typed)),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env=self._environment(),
        )
        if disturbed is not None:
            number, seconds = disturbed
            await asyncio.sleep(max(0.0, began + seconds - time.monotonic()))
            if process.returncode is None:
                process.send_signal(number)
        try:
            out, err = await asyncio.wait_for(process.communicate(), PATIENCE)
        except TimeoutError:
            process.kill()
            out, err = await process.communicate()
            err += b"\nkilled: it hangs"
        return Ended(process.returncode or 0, out.decode(), err.decode()[-1000:], time.monotonic() - began)

    def _environment(self) -> dict[str, str]:
        others = {name: value for name, value in os.environ.items() if not name.startswith("ASYNCUPLOAD_")}
        return {
            **others,
            "ASYNCUPLOAD_SERVER": self._url,
            "ASYNCUPLOAD_USER": "demo",
            "ASYNCUPLOAD_PASSWORD": "demo",
            "no_proxy": "*",
        }


async def interrupts(seeds: Iterable[int], *, at_once: int = 2) -> list[Play]:
    """Play these seeds, some side by side."""
    waiting = (play_of(seed) for seed in seeds)
    with tempfile.TemporaryDirectory(prefix="interrupts-") as folder:
        theatres = [Theatre(Path(folder) / str(number)) for number in range(at_once)]
        return [play for played in await asyncio.gather(*(one.run(waiting) for one in theatres)) for play in played]


def table(plays: Iterable[Play]) -> str:
    """How they ended: a line for each command and signal."""
    ends = Counter((play.command, play.number.name, play.end) for play in plays)
    return "\n".join(f"{count:6}  {command:9} {name:8} {end}" for (command, name, end), count in sorted(ends.items()))


def main() -> int:
    parser = argparse.ArgumentParser(description="Commands that a signal interrupts at a random moment.")
    parser.add_argument("--signals", type=int, default=200, help="of each kind")
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--at-once", type=int, default=2)
    parser.add_argument("--seed", type=int, help="this play alone")
    chosen = parser.parse_args()
    first, began = chosen.first_seed, time.monotonic()
    seeds = range(first, first + len(SIGNALS) * chosen.signals) if chosen.seed is None else [chosen.seed]
    plays = asyncio.run(interrupts(seeds, at_once=min(chosen.at_once, len(seeds))))
    wrong = [play for play in plays if play.wrong]
    print(table(plays))
    print(f"{len(plays)} signals in {time.monotonic() - began:.0f} s, {len(wrong)} plays went wrong")
    return len(wrong)


if __name__ == "__main__":
    sys.exit(main() != 0)

"""A server whose answers come twice, in pieces, cut off and run together, on connections that stay open.

It is asked whether folders exist, and knows by their numbers: who reads the answer to another question is found out.
"""

import asyncio
import random
import re
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from urllib.parse import unquote_plus

from asyncupload import AsyncUploadError, Client, Retries, Settings, Timeouts

YES = b'<response success="true" />'
NO = b'<response success="false" errorCode="4041" error="Folder not found." />'
TICKET = b'<root success="true" ticket="3f2504e0-4f89-11d3-9a0c-0305e82c3301" username="demo" />'

SETTINGS = Settings(
    timeouts=Timeouts(connect=5, reply=5, cleanup=1),
    retries=Retries(give_up_after=20, first_wait=0.001, longest_wait=0.005),
)


def exists(number: int) -> bool:
    """Whether the folder of that number does: neighbours seldom agree in a row."""
    return random.Random(f"folder {number}").random() < 0.5


def _written(body: bytes) -> bytes:
    return b"HTTP/1.1 200 OK\r\nContent-Type: text/xml\r\nContent-Length: %d\r\n\r\n" % len(body) + body


class Babbler:
    """Answers one connection after another, as its die falls."""

    def __init__(self, seed: int) -> None:
        self._die = random.Random(f"babble {seed}")
        self._tasks = set[asyncio.Task[None]]()
        self.asked = 0

    def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.get_running_loop().create_task(self._talk(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def end(self) -> None:
        """Hang up on everybody."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            with suppress(ConnectionError, asyncio.IncompleteReadError):
                while True:
                    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
                    size = int(re.findall(r"(?i)content-length: (\d+)", head)[0])
                    body = unquote_plus((await reader.readexactly(size)).decode())
                    await self._answer(writer, _said(head, body))
        finally:
            writer.transport.abort()

    async def _answer(self, writer: asyncio.StreamWriter, said: bytes) -> None:
        self.asked += 1
        whole, stray = _written(said), _written(self._die.choice((YES, NO)))
        match self._die.randrange(12):
            case 0:
                writer.write(whole + whole)
            case 1:
                writer.write(whole * self._die.randint(3, 6))
            case 2:
                writer.write(whole + stray)
            case 3:
                writer.write(whole + stray[: self._die.randrange(1, len(stray))])
            case 4:
                writer.write(whole[: self._die.randrange(len(whole))])
                raise ConnectionAbortedError
            case 5:
                place = self._die.randrange(len(whole))
                writer.write(whole[:place])
                await asyncio.sleep(0.001)
                writer.write(whole[place:] + stray)
            case _:
                writer.write(whole)
        await writer.drain()


def _said(head: str, body: str) -> bytes:
    if "FolderExists" not in head:
        return TICKET
    return YES if exists(int(body.rpartition("/")[2].partition("&")[0])) else NO


@asynccontextmanager
async def babbling(seed: int) -> AsyncIterator[tuple[str, Babbler]]:
    """Such a server: its URL, and itself."""
    babbler = Babbler(seed)
    server = await asyncio.start_server(babbler, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", babbler
    finally:
        server.close()
        await babbler.end()


async def fuzz_line(questions: int, seed: int) -> Counter[str]:
    """Ask one after another, some side by side; AssertionError if an answer is another question's."""
    ends, numbers = Counter[str](), iter(range(questions))

    async def ask(client: Client) -> None:
        for number in numbers:
            try:
                told = await client.folder_exists(f"/Library/{number}")
            except AsyncUploadError as error:
                ends[f"on the line: {type(error).__name__}"] += 1
                continue
            ends["on the line: answered"] += 1
            if told != exists(number):
                raise AssertionError(f"question {number} of seed {seed} was answered by the answer to another one")

    async with babbling(seed) as (url, _), Client(url, user="demo", password="demo", settings=SETTINGS) as client:
        async with asyncio.TaskGroup() as askers:
            for _ in range(4):
                askers.create_task(ask(client))
    return ends

"""What stands before a server in the field, on raw sockets: it hangs up as it likes, and adds what it likes to
answers."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from yarl import URL


@dataclass
class Message:
    """A request, or an answer."""

    first: str
    heads: list[tuple[str, str]]
    body: bytes

    @property
    def operation(self) -> str:
        return self.first.split()[1].rpartition("/")[2]

    def all_of(self, name: str) -> list[str]:
        """The headers of that name."""
        return [value for key, value in self.heads if key.lower() == name]

    def written(self) -> bytes:
        """As it goes out, with the length of what it has."""
        heads = [(key, value) for key, value in self.heads if key.lower() not in {"content-length", "connection"}]
        lines = [self.first, *(f"{key}: {value}" for key, value in heads), f"Content-Length: {len(self.body)}", "", ""]
        return "\r\n".join(lines).encode("utf-8", "surrogateescape") + self.body


Change = Callable[[Message, Message], Message | bytes]
"""From a request and its answer to what the client gets."""


def unchanged(_: Message, answer: Message) -> Message:
    """Adds nothing."""
    return answer


async def keep_open(_: Message) -> bool:
    """Whether the connection stays open: for ever."""
    return True


@dataclass
class Front:
    """What came.

    Attributes:
        connections: How many.
        requests: With the number of the connection that each came on.
    """

    url: str = ""
    connections: int = 0
    requests: list[tuple[int, Message]] = field(default_factory=list)

    def connections_of(self, operation: str) -> list[int]:
        """The connections on which an operation was asked for."""
        return [number for number, request in self.requests if request.operation == operation]

    def operations(self) -> list[str]:
        """In the order of coming."""
        return [request.operation for _, request in self.requests]


async def read_message(reader: asyncio.StreamReader) -> Message:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("utf-8", "surrogateescape")
    first, *lines = head.strip().split("\r\n")
    heads = [(name, value.strip()) for name, _, value in (line.partition(":") for line in lines)]
    length = next((int(value) for name, value in heads if name.lower() == "content-length"), 0)
    return Message(first, heads, await reader.readexactly(length))


async def _ask(server: URL, request: Message) -> Message:
    reader, writer = await asyncio.open_connection(server.host, server.port)
    try:
        writer.write(request.written().replace(b"\r\n", b"\r\nConnection: close\r\n", 1))
        return await read_message(reader)
    finally:
        writer.transport.abort()


@asynccontextmanager
async def front(
    server: str | Callable[[Message], str],
    *,
    change: Change = unchanged,
    stay: Callable[[Message], Awaitable[bool]] = keep_open,
) -> AsyncIterator[Front]:
    """Passes requests on to ``server``, one after another on each connection.

    Args:
        server: Asked on a connection of its own for each request; or who chooses one for it.
        change: Makes the answer another.
        stay: Awaited when a request has been answered: whether the connection stays open, which no answer says.
    """
    seen = Front()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen.connections += 1
        number = seen.connections
        try:
            while True:
                request = await read_message(reader)
                seen.requests.append((number, request))
                chosen = server if isinstance(server, str) else server(request)
                answer = change(request, await _ask(URL(chosen), request))
                writer.write(answer if isinstance(answer, bytes) else answer.written())
                await writer.drain()
                if not await stay(request):
                    return
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    listener = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        seen.url = f"http://127.0.0.1:{listener.sockets[0].getsockname()[1]}"
        yield seen
    finally:
        listener.close()
        await asyncio.sleep(0)

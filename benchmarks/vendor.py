"""The loop of the vendor's samples, written as a user would, over whichever library posts it."""

import asyncio
import re
import ssl
import subprocess
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, TypeAlias
from zlib import crc32

Post: TypeAlias = Callable[..., bytes]
Clock: TypeAlias = Callable[[], AbstractContextManager[None]]

TICKET = {"authenticationTicket": "0f0f0f0f-0000-4000-8000-000000000000"}


def send(post: Post, file: str, chunk: int) -> None:
    """One file: create, read and post chunk by chunk, finalize."""
    handler, granted = _grant(post("CreateUploadHandler", TICKET | {"PreferedChunkSize": str(chunk)}))
    left = Path(file).stat().st_size
    with Path(file).open("rb") as source:
        while left:
            data = source.read(granted)
            left -= len(data)
            _require(post("UploadFileChunk", _fields(handler, data, last=not left), data))
    _require(post("UploadDocumentWithHandler", TICKET | {"path": "/Library/f.bin", "uploadHandler": handler}))


def curl(endpoint: str, ca_file: str) -> Post:
    """Posts by starting curl."""

    def post(operation: str, fields: dict[str, str], chunk: bytes | None = None) -> bytes:
        command = ["curl", "--silent", "--show-error", endpoint + operation, "--noproxy", "*"]
        command += ["--cacert", ca_file] if ca_file else []
        for name, value in fields.items():
            command += ["-F" if chunk is not None else "-d", f"{name}={value}"]
        if chunk is not None:
            command += ["-F", "fileChunk=@-;filename=chunk;type=application/octet-stream"]
        return subprocess.run(command, input=chunk, stdout=subprocess.PIPE, check=True).stdout

    return post


async def formdata(
    endpoint: str, file: str, chunk: int, count: int, at_once: int, tls: ssl.SSLContext | None, clock: Clock
) -> None:
    """aiohttp with FormData; the file is read on the loop, as most would."""
    import aiohttp  # noqa: PLC0415

    async with aiohttp.ClientSession() as session:

        async def post(operation: str, fields: dict[str, str], data: bytes | None = None) -> bytes:
            form: Any = fields
            if data is not None:
                form = aiohttp.FormData(fields)
                form.add_field("fileChunk", data, filename="chunk", content_type="application/octet-stream")
            async with session.post(endpoint + operation, data=form, ssl=tls or True) as response:
                return await response.read()

        async def one() -> None:
            handler, granted = _grant(await post("CreateUploadHandler", TICKET | {"PreferedChunkSize": str(chunk)}))
            left = Path(file).stat().st_size
            with Path(file).open("rb") as source:
                while left:
                    data = source.read(granted)
                    left -= len(data)
                    _require(await post("UploadFileChunk", _fields(handler, data, last=not left), data))
            _require(
                await post("UploadDocumentWithHandler", TICKET | {"path": "/Library/f.bin", "uploadHandler": handler})
            )

        numbers = iter(range(count))

        async def some() -> None:
            for _ in numbers:
                await one()

        await post("isValidTicket", TICKET)
        with clock():
            await asyncio.gather(*(some() for _ in range(at_once)))


async def bare(endpoint: str, file: str, count: int, at_once: int, tls: ssl.SSLContext | None, clock: Clock) -> None:
    """The four calls of a small file (look, create, chunk, store), with bodies made beforehand."""
    import aiohttp  # noqa: PLC0415

    data = Path(file).read_bytes()
    small = (
        b"authenticationTicket=0f0f0f0f-0000-4000-8000-000000000000&path=%2FLibrary%2Ff.bin&PreferedChunkSize=262144"
    )
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    multipart = {"Content-Type": "multipart/form-data; boundary=bare"}
    body = _body("00000000-0000-4000-8000-000000000000", data)
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:

        async def post(operation: str, content: bytes, headers: dict[str, str]) -> None:
            async with session.post(endpoint + operation, data=content, headers=headers, ssl=tls or True) as response:
                await response.read()

        numbers = iter(range(count))

        async def some() -> None:
            for _ in numbers:
                await post("DocumentExists", small, headers)
                await post("CreateUploadHandler", small, headers)
                await post("UploadFileChunk", body, multipart)
                await post("UploadNewDocumentWidthHandler", small, headers)

        await post("isValidTicket", small, headers)
        with clock():
            await asyncio.gather(*(some() for _ in range(at_once)))


async def prebuilt(endpoint: str, file: str, chunk: int, tls: ssl.SSLContext | None, clock: Clock) -> None:
    """One body in memory, posted as often as the file has chunks."""
    import aiohttp  # noqa: PLC0415

    with Path(file).open("rb") as source:
        body = _body("00000000-0000-4000-8000-000000000000", source.read(chunk))
    headers = {"Content-Type": "multipart/form-data; boundary=bare"}
    async with aiohttp.ClientSession() as session:
        async with session.post(endpoint + "isValidTicket", data=TICKET, ssl=tls or True) as response:
            await response.read()
        with clock():
            for _ in range(-(-Path(file).stat().st_size // chunk)):
                async with session.post(
                    endpoint + "UploadFileChunk", data=body, headers=headers, ssl=tls or True
                ) as response:
                    _require(await response.read())


def _fields(handler: str, data: bytes, *, last: bool) -> dict[str, str]:
    values = {"uploadHandler": handler, "chunkHEXCRC": f"{crc32(data):X}", "lastChunk": str(last).lower()}
    return TICKET | values


def _body(handler: str, data: bytes) -> bytes:
    fields = "".join(
        f'--bare\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'
        for name, value in _fields(handler, data, last=False).items()
    )
    before = f'{fields}--bare\r\nContent-Disposition: form-data; name="fileChunk"; filename="c"\r\n\r\n'
    return before.encode() + data + b"\r\n--bare--\r\n"


def _grant(answer: bytes) -> tuple[str, int]:
    handler = re.search(rb'UploadHandler="([^"]+)"', answer)
    size = re.search(rb'ChunkSize="(\d+)"', answer)
    assert handler is not None, answer
    assert size is not None, answer
    return handler[1].decode(), int(size[1])


def _require(answer: bytes) -> None:
    if b'success="true"' not in answer:
        raise SystemExit(f"the sink refused: {answer!r}")

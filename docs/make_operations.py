"""Writes docs/operations.md: every operation of the server that the client asks for, as the code has it.

    make docs

What each operation is for, and what a lost reply means, is asked of ``asyncupload._wire`` and ``_reading``; in which
forms it goes, of the encoder; what the emulator has, of its table. Which method asks for it is seen: each is run
against the emulator.
"""

import asyncio
import inspect
import io
import re
import sys
import tempfile
import textwrap
import zipfile
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from asyncupload import Client, IteratorSource, Properties, SourceChanged, VersionNumber, _call, _reading, _wire
from asyncupload._body import Encoding
from asyncupload._call import Call, LostReply
from asyncupload._secret import Secret
from asyncupload.emulator import Emulator, at
from asyncupload.emulator.operations import OPERATIONS, Operation

PAGE = Path(__file__).with_name("operations.md")

HEAD = """\
# The server's operations

Generated from the code by `make docs`; a test fails where this page and the code part.

The server offers each operation by GET, as a form by POST, and in SOAP 1.1. The client asks by POST alone. **It never
puts an operation into a GET**: the query string is part of the URL, and URLs are kept where nobody looks after secrets,
in the logs of web servers and proxies, so that whoever reads those could take the ticket and act as the user. Servers
of the newer generation refuse chunks by GET anyway (HTTP 415). The one thing that is asked by GET is the service's
description of itself, `srv.asmx?WSDL`, where SOAP is spoken and before an archive is sent: it needs no ticket and gets
none.

Chunks travel raw in `multipart/form-data`, or in base64 as a field of a form or an element of SOAP. With
`encoding="auto"` the first chunk goes raw; where it is refused, the ways are tried with one byte that no server
appends, on a handler that is deleted. Everything else is a form, or SOAP with
`encoding="soap"`.

## Asked for by the client

*Ways* says how the client asks, *emulator* how it may be asked there. *Used by* names the methods of `Client` that were
seen to ask, each run against the emulator; the commands have the same names (`upload-zip` for `upload_zip`).
"""

LOST = {
    LostReply.REPEAT: "repeat",
    LostReply.PROVE: "prove",
    LostReply.ASK: "ask",
}

EXAMPLES: Mapping[str, Any] = {
    "ticket": Secret("00000000-0000-4000-8000-000000000000"),
    "password": Secret("secret"),
    "crc": 0,
    "chunk": b"chunk",
    "wish": 1 << 20,
    "offset": 0,
    "size": 1,
    "last": True,
    "changed_only": False,
    "check_out": False,
    "notify": False,
}
"""Arguments by name; any other is a text. Which they are makes no difference to the page."""

VARIATIONS: Mapping[str, tuple[Mapping[str, Any], ...]] = {
    "finalize": (
        {"comment": ""},
        {},
        {"properties": Properties(version=VersionNumber(2))},
        {"properties": Properties(description="x")},
    ),
    "open_download": ({}, {"version": 1_000_000}),
    "download_info": ({}, {"version": 1_000_000}),
}
"""Where the arguments choose the operation."""


def main() -> int:
    """Write the page."""
    PAGE.write_text(page(), "utf-8")
    return 0


def page() -> str:
    """The page as it should be now."""
    usage = asyncio.run(seen())
    rows = [
        f"| `{name}` | {purpose} | {ways(call)} | {LOST[call.lost_reply]} | {usage.get(name, '–')} "
        f"| {emulated(OPERATIONS.get(name.lower()))} |"
        for name, (call, purpose) in asked().items()
    ]
    lost = [f"* **{word}**: {reply.value}." for reply, word in LOST.items()]
    others = ", ".join(f"`{row.name}`" for row in OPERATIONS.values() if row.name not in asked())
    return "\n".join(
        (
            HEAD,
            "| operation | what for | ways | lost reply | used by | emulator |",
            "| --- | --- | --- | --- | --- | --- |",
            *rows,
            "",
            "When the reply is lost, and the request may have been acted on:",
            "",
            *lost,
            "",
            "## Only in the emulator",
            "",
            textwrap.fill(others, 120, break_long_words=False) + ".",
            "",
        )
    )


def asked() -> dict[str, tuple[Call[Any], str]]:
    """Every operation that the client has words for: an example, and what for."""
    found: dict[str, tuple[Call[Any], str]] = {}
    for make in [*vars(_wire).values(), *vars(_reading).values()]:
        if inspect.isfunction(make) and getattr(inspect.signature(make).return_annotation, "__origin__", None) is Call:
            for call in examples(make):
                found.setdefault(call.operation, (call, sentence(make)))
    return found


def examples(make: Callable[..., Call[Any]]) -> Iterator[Call[Any]]:
    """A request of each operation that it chooses among."""
    required = (
        parameter for parameter in inspect.signature(make).parameters.values() if parameter.default is parameter.empty
    )
    arguments = {parameter.name: EXAMPLES.get(parameter.name, parameter.name) for parameter in required}
    for other in VARIATIONS.get(make.__name__, ({},)):
        yield make(**{**arguments, **other})


def sentence(make: Callable[..., Any]) -> str:
    """The first of its description."""
    described = " ".join((inspect.getdoc(make) or "").split())
    return re.split(r"(?<=[.;:]) ", described)[0].rstrip(".;:").replace("``", "`")


def ways(call: Call[Any]) -> str:
    """How it may travel: the forms of all encodings."""
    names = {"multipart/form-data": "multipart", "application/x-www-form-urlencoded": "form", "text/xml": "SOAP"}
    kinds = (_call.encode(call, encoding).content_type.partition(";")[0] for encoding in Encoding)
    return ", ".join(dict.fromkeys(names[kind] for kind in kinds))


def emulated(row: Operation | None) -> str:
    """How the emulator may be asked."""
    return ", ".join(("GET",) * ("GET" in row.methods) + ("form", "multipart", "SOAP")) if row else "no"


async def seen() -> dict[str, str]:
    """Operation to the methods that ask for it, in the order of JOURNEYS."""
    usage = defaultdict[str, list[str]](list)
    with tempfile.TemporaryDirectory() as folder:
        for method, journey in JOURNEYS.items():
            for operation in await calls(Path(tempfile.mkdtemp(dir=folder)), journey):
                usage[operation].append(f"`{method}`")
    return {name: "all" if len(methods) == len(JOURNEYS) else ", ".join(methods) for name, methods in usage.items()}


async def calls(folder: Path, journey: Callable[[Client, Path], Awaitable[object]]) -> list[str]:
    """The operations that a journey asks for, each once."""
    # An older server, a reply to the request to store that is lost, and a ticket that dies: the client has to do
    # otherwise, to look, and to renew it.
    trouble = at(
        {
            ("UploadNewDocumentWidthHandler", 2): "refuse-404",
            ("UploadDocumentWithHandler1", 1): "drop-after",
            ("UnLock", 1): "expire-ticket",
        }
    )
    async with Emulator(folder / "server", script=trouble) as server:
        await signed_in(server, lambda client: client.upload(b"bytes", to=THERE))
        before = len(server.calls)
        await signed_in(server, lambda client: journey(client, folder))
        return list(dict.fromkeys(record.operation for record in server.calls[before:]))


async def signed_in(server: Emulator, work: Callable[[Client], Awaitable[object]]) -> None:
    """Work with a client of the server."""
    async with Client(server.url, user="demo", password="demo") as client:  # noqa: S106
        await work(client)


THERE = "/Library/document"
"""A document that stands there when a journey begins."""


def broken() -> IteratorSource:
    """A source that ends early: what is staged of it has to be cleaned up."""

    async def pieces() -> AsyncIterator[bytes]:
        yield b"bytes"

    return IteratorSource(pieces(), size=6)


async def _upload(client: Client, _: Path) -> None:
    with suppress(SourceChanged):
        await client.upload(broken(), to="/Library/new")
    await client.upload(b"new", to="/Library/new")
    await client.upload(b"version", to=THERE)
    await client.upload(b"version", to=THERE, if_exists="skip")
    await client.upload(b"with comment", to=THERE, version_comment="x")
    numbered = Properties(version=VersionNumber(2))
    await client.upload(b"with number", to=THERE, version_comment="x", properties=numbered)
    await client.upload(b"with description", to=THERE, properties=Properties(description="x"))


async def _upload_zip(client: Client, _: Path) -> None:
    with suppress(SourceChanged):
        await client.upload_zip(broken(), to="/Library")
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("entry", "bytes")
    await client.upload_zip(packed.getvalue(), to="/Library")


async def _download(client: Client, folder: Path) -> None:
    await client.download(THERE, folder / "back")
    await client.download(THERE, folder / "back", version=1_000_000)


async def _verify(client: Client, _: Path) -> None:
    await client.verify(b"bytes", THERE)
    await client.verify(b"bytes", THERE, deep=True)


JOURNEYS: Mapping[str, Callable[[Client, Path], Awaitable[object]]] = {
    "upload": _upload,
    "upload_zip": _upload_zip,
    "download": _download,
    "verify": _verify,
    "describe": lambda client, _: client.describe(THERE, version=1_000_000),
    "check": lambda client, _: client.check(),
    "discard": lambda client, _: client.discard("00000000-0000-4000-8000-000000000000"),
}
"""What each method of the client is for, once in every way that makes a difference to the server."""


if __name__ == "__main__":
    sys.exit(main())

"""The backend that `relay.py` measures: `backend.py KIND LOOP`, with INFOROUTER and PORT in its environment."""

import asyncio
import contextlib
import os
import re
import sys
import time
import zlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import requests
import uvicorn
from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from asyncupload import Client, Settings

MIB = 1024 * 1024
BUDGET = 64 * MIB
"""Bytes of files that it may hold, of all relays together."""


def serve(kind: str, loop: str) -> None:
    """Serve relays until told to stop: by this package (``relay``), by a thread (``naive``), or nothing (``idle``)."""
    lags, own = list[float](), list[float]()

    async def tick() -> None:
        clock = asyncio.get_running_loop().time
        while True:
            due, worked = clock() + 0.001, time.thread_time()
            await asyncio.sleep(0.001)
            lags.append(clock() - due)
            own.append(time.thread_time() - worked)

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        ticker = asyncio.create_task(tick())
        settings = Settings(memory=BUDGET)
        async with Client(os.environ["INFOROUTER"], user="demo", password="demo", settings=settings) as client:
            app.state.client = client
            yield
        ticker.cancel()

    async def put(request: Request) -> JSONResponse:
        with contextlib.suppress(ClientDisconnect):
            if kind == "naive":
                return JSONResponse(await _naive(request))
            to = f"/Library/{request.path_params['name']}"
            receipt = await request.app.state.client.upload(request.stream(), to=to)
            return JSONResponse({"size": receipt.size})
        return JSONResponse({}, 499)

    async def start(_: Request) -> JSONResponse:
        lags.clear()
        own.clear()
        return JSONResponse({})

    async def measured(_: Request) -> JSONResponse:
        return JSONResponse({"ticks": len(lags), "p999": _p999(lags), "worst": max(lags) * 1000, "own": _p999(own)})

    routes = [
        Route("/files/{name}", put, methods=["PUT"]),
        Route("/start", start, methods=["POST"]),
        Route("/lag", measured),
    ]
    app = Starlette(routes=routes, lifespan=lifespan)
    uvicorn.run(app, port=int(os.environ["PORT"]), loop=loop, log_level="error", access_log=False, backlog=4096)


def _p999(seconds: list[float]) -> float:
    """The 99.9th percentile, in milliseconds."""
    return sorted(seconds)[int(len(seconds) * 0.999)] * 1000


async def _naive(request: Request) -> dict[str, int]:
    """As it is often done: the whole body, then `requests` in a thread, one chunk after another."""
    body = await request.body()
    server = os.environ["INFOROUTER"]

    def call(operation: str, chunk: bytes | None = None, **fields: object) -> dict[str, str]:
        files = {"fileChunk": ("chunk", chunk)} if chunk is not None else None
        answer = session.post(f"{server}/srv.asmx/{operation}", data=fields, files=files, timeout=600)
        if answer.status_code != 200:
            raise RuntimeError(f"{operation}: {answer.status_code} {answer.text[:200]}")
        return dict(re.findall(r'(\w+)="([^"]*)"', answer.text))

    def send() -> None:
        ticket = call("AuthenticateUser", UID="demo", PWD="demo")["ticket"]
        opened = call("CreateUploadHandler", AuthenticationTicket=ticket, PreferedChunkSize=MIB)
        handler = next(value for name, value in opened.items() if name.lower() == "uploadhandler")
        for start in range(0, len(body), MIB):
            chunk = body[start : start + MIB]
            last = "true" if start + MIB >= len(body) else "false"
            said = call(
                "UploadFileChunk",
                chunk,
                authenticationTicket=ticket,
                uploadHandler=handler,
                lastChunk=last,
                chunkHEXCRC=f"{zlib.crc32(chunk):X}",
            )
            if said.get("success") != "true":
                raise SystemExit(f"the naive relay was refused: {said}")

    with requests.Session() as session:
        await asyncio.to_thread(send)
    return {"size": len(body)}


if __name__ == "__main__":
    serve(sys.argv[1], sys.argv[2])

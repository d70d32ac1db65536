"""What the ways of sending chunks cost beside each other: rate, CPU and peak memory of the process that uploads.

    python benchmarks/encodings.py [SIZE_MIB]

One file from the page cache, to a server that reads and drops what comes, in a process of its own. It does not decode
base64, so the figures are the client's side. The ways take turns, and the median of the rounds is shown; rates are of
the file's bytes, of which base64 makes a third more on the line.
"""

import asyncio
import json
import multiprocessing
import os
import re
import resource
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import zlib

MIB = 1024 * 1024
ROUNDS = 5
CHUNK = 3 * MIB
WAYS = ("multipart", "form", "soap")


def main() -> int:
    if len(sys.argv) > 2:
        return asyncio.run(_send(*sys.argv[1:]))
    size = int(sys.argv[1]) if len(sys.argv) > 1 else 512
    listener = socket.create_server(("127.0.0.1", 0), backlog=16)
    url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    with tempfile.NamedTemporaryFile() as file:
        crc = 0
        for _ in range(size):
            crc = zlib.crc32(piece := os.urandom(MIB), crc)
            file.write(piece)
        file.flush()
        server = multiprocessing.get_context("fork").Process(target=_serve, args=(listener, crc), daemon=True)
        server.start()
        told = {way: list[dict[str, float]]() for way in WAYS}
        for _ in range(ROUNDS):
            for way, runs in told.items():
                runs.append(_measured(url, way, file.name))
        server.kill()
    print(f"{size} MiB in chunks of {CHUNK // MIB} MiB, median of {ROUNDS}\n")
    print("| way | MiB/s | CPU s/GB | peak MiB |\n| --- | --- | --- | --- |")
    for way, runs in told.items():
        rate, cpu, peak = (statistics.median(run[name] for run in runs) for name in ("rate", "cpu", "peak"))
        print(f"| {way} | {rate:.0f} | {cpu:.2f} | {peak:.0f} |")
    return 0


def _measured(url: str, way: str, file: str) -> dict[str, float]:
    ended = subprocess.run([sys.executable, __file__, url, way, file], stdout=subprocess.PIPE, check=True)
    found: dict[str, float] = json.loads(ended.stdout)
    return found


async def _send(url: str, way: str, file: str) -> int:
    from asyncupload import Client, Settings  # noqa: PLC0415  (the server's process does without)

    settings = Settings(chunk_size=CHUNK, encoding=way)  # type: ignore[arg-type]
    async with Client(url, user="bench", password="bench", settings=settings) as client:
        await client.ping()
        began, before = time.monotonic(), time.process_time()
        receipt = await client.upload(file, to="/Library/bench.bin")
        seconds, cpu = time.monotonic() - began, time.process_time() - before
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps({"rate": receipt.size / MIB / seconds, "cpu": cpu / receipt.size * 1e9, "peak": peak}))
    return 0


# ── the other end ───────────────────────────────────────────────────────────────────────────────────────────────────


def _serve(listener: socket.socket, crc: int) -> None:
    while True:
        threading.Thread(target=_answer_all, args=(listener.accept()[0], crc), daemon=True).start()


def _answer_all(connection: socket.socket, crc: int) -> None:
    """``crc`` is what the whole file will have: the answer to each chunk tells it, and the client heeds the last."""
    buffer = bytearray(MIB)
    came = b""
    while True:
        while b"\r\n\r\n" not in came:
            if not (more := connection.recv(65536)):
                return
            came += more
        head, _, came = came.partition(b"\r\n\r\n")
        length = re.search(rb"content-length: *(\d+)", head, re.IGNORECASE)
        left = int(length[1]) if length else 0
        left, came = left - len(came[:left]), came[left:]
        while left:
            left -= connection.recv_into(buffer, min(left, MIB))
        xml = _answer(head, crc)
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: text/xml\r\nContent-Length: %d\r\n\r\n" % len(xml) + xml)


def _answer(head: bytes, crc: int) -> bytes:
    """By the operation that stands in the address or in the SOAPAction. Chunks are taken without being looked at."""
    operations = {
        b"AuthenticateUser": b'ticket="0f0f0f0f-0000-4000-8000-000000000000" username="bench"',
        b"isValidTicket": b'username="bench"',
        b"CreateUploadHandler": b'UploadHandler="00000000-0000-4000-8000-000000000001" ChunkSize="%d"' % CHUNK,
        b"UploadFileChunk": b'tryagain="false" filehexcrc="%X"' % crc,
        b"DocumentExists": b'success="false" errorCode="4041"',
    }
    asked = re.search(rb"(?:srv\.asmx/|tempuri\.org/)(\w+)", head)
    said = operations.get(asked[1] if asked else b"", b'DocumentId="1" VersionId="1000000"')
    return b"<root %s %s/>" % (b"" if b"success" in said else b'success="true"', said)


if __name__ == "__main__":
    sys.exit(main())

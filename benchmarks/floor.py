"""What the machine can do with no pipeline at all: one blocking socket, one buffer, a checksum, and on to the next."""

import os
import re
import socket
import ssl
from urllib.parse import urlsplit

from zlib_ng import zlib_ng

TAIL = b"\r\n--floor--\r\n"


def connect(url: str, tls: ssl.SSLContext | None) -> socket.socket:
    parts = urlsplit(url)
    made = socket.create_connection((parts.hostname, parts.port))
    made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return tls.wrap_socket(made, server_hostname=parts.hostname) if tls else made


def send(connection: socket.socket, url: str, file: str, chunk: int) -> None:
    """One file: create, chunks, finalize."""
    path = urlsplit(url).path + "/srv.asmx/"
    grant = _form(connection, path + "CreateUploadHandler", f"authenticationTicket=t&PreferedChunkSize={chunk}")
    handler, buffer = _attribute(grant, "UploadHandler"), memoryview(bytearray(chunk))
    descriptor = os.open(file, os.O_RDONLY)
    try:
        size, offset = os.fstat(descriptor).st_size, 0
        while offset < size:
            count = os.preadv(descriptor, [buffer], offset)
            offset += count
            answer = _chunk(connection, path, handler, buffer[:count], last=offset == size)
            if b'success="true"' not in answer:
                raise SystemExit(f"the sink refused a chunk: {answer!r}")
    finally:
        os.close(descriptor)
    _form(connection, path + "UploadDocumentWithHandler", f"authenticationTicket=t&path=/L/f&uploadHandler={handler}")


def _chunk(connection: socket.socket, path: str, handler: str, data: memoryview, *, last: bool) -> bytes:
    values = {"uploadHandler": handler, "chunkHEXCRC": f"{zlib_ng.crc32(data):X}", "lastChunk": str(last).lower()}
    fields = "".join(
        f'--floor\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n' for name, value in values.items()
    )
    before = f'{fields}--floor\r\nContent-Disposition: form-data; name="fileChunk"; filename="c"\r\n\r\n'.encode()
    head = (
        f"POST {path}UploadFileChunk HTTP/1.1\r\nHost: sink\r\nContent-Type: multipart/form-data; boundary=floor\r\n"
        f"Content-Length: {len(before) + len(data) + len(TAIL)}\r\n\r\n"
    ).encode()
    connection.sendall(head + before)
    connection.sendall(data)
    connection.sendall(TAIL)
    return _answer(connection)


def _form(connection: socket.socket, path: str, form: str) -> bytes:
    head = (
        f"POST {path} HTTP/1.1\r\nHost: sink\r\nContent-Type: application/x-www-form-urlencoded\r\n"
        f"Content-Length: {len(form)}\r\n\r\n"
    )
    connection.sendall((head + form).encode())
    return _answer(connection)


def _answer(connection: socket.socket) -> bytes:
    """The whole of it: the sink's are small."""
    came = b""
    while True:
        came += connection.recv(65536)
        head, found, body = came.partition(b"\r\n\r\n")
        length = re.search(rb"Content-Length: (\d+)", head)
        if found and length and len(body) >= int(length[1]):
            return body


def _attribute(answer: bytes, name: str) -> str:
    found = re.search(rf'{name}="([^"]+)"'.encode(), answer)
    assert found is not None, answer
    return found[1].decode()

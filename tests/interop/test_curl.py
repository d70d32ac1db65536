"""The plainest client there is, with the words that a manual for it would have."""

import base64
import re
import subprocess
import zlib
from collections.abc import Iterator
from pathlib import Path
from random import Random
from urllib.parse import quote_plus

import pytest

from .peers import peer
from .serving import serving, stored

CONTENT = Random(2).randbytes(3_000_000)
CHUNK = 1_200_000
"""Beyond the size from which on curl asks before it sends a body."""


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("server")


@pytest.fixture(scope="module")
def service(data: Path) -> Iterator[str]:
    peer("curl")
    with serving(data) as url:
        yield f"{url}/srv.asmx"


def curl(*words: str) -> dict[str, str]:
    """The attributes of the answer's document."""
    done = subprocess.run(
        ["curl", "--silent", "--show-error", "--fail", *words], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return dict(re.findall(r'(\w+)="([^"]*)"', done.stdout.split("?>", 1)[1]))


def opened(service: str) -> tuple[str, str]:
    """A ticket, and an upload handler for chunks of that size."""
    ticket = curl("--data", "UID=demo&PWD=demo", f"{service}/AuthenticateUser")["ticket"]
    made = curl(f"{service}/CreateUploadHandler?authenticationTicket={ticket}&PreferedChunkSize={CHUNK}")
    assert made["ChunkSize"] == str(CHUNK)
    return ticket, made["UploadHandler"]


def chunks() -> Iterator[tuple[bytes, dict[str, str]]]:
    """Each chunk with the fields that go with it."""
    for start in range(0, len(CONTENT), CHUNK):
        chunk = CONTENT[start : start + CHUNK]
        yield (
            chunk,
            {
                "chunkHEXCRC": f"{zlib.crc32(chunk):X}",
                "lastChunk": "true" if start + CHUNK >= len(CONTENT) else "false",
            },
        )


def finish(service: str, ticket: str, handler: str, said: dict[str, str]) -> None:
    assert int(said["filehexcrc"], 16) == zlib.crc32(CONTENT)
    fields = {"authenticationTicket": ticket, "path": f"/Library/{handler}.bin", "uploadHandler": handler}
    words = [word for name, text in fields.items() for word in ("--data-urlencode", f"{name}={text}")]
    assert curl(*words, f"{service}/UploadDocumentWithHandler")["success"] == "true"


def test_file_parts_of_a_multipart_form(service: str, data: Path, tmp_path: Path) -> None:
    ticket, handler = opened(service)
    part, said = tmp_path / "part", {"": ""}
    for chunk, fields in chunks():
        part.write_bytes(chunk)
        fields |= {"authenticationTicket": ticket, "uploadHandler": handler}
        words = [word for name, text in fields.items() for word in ("--form", f"{name}={text}")]
        said = curl(*words, "--form", f"fileChunk=@{part};type=application/octet-stream", f"{service}/UploadFileChunk")
    finish(service, ticket, handler, said)
    assert stored(data)[-1] == CONTENT


def test_base64_in_a_form_that_curl_escapes(service: str, data: Path, tmp_path: Path) -> None:
    ticket, handler = opened(service)
    part, said = tmp_path / "part", {"": ""}
    for chunk, fields in chunks():
        part.write_bytes(base64.encodebytes(chunk))  # In lines, as the base64 command writes it.
        fields |= {"authenticationTicket": ticket, "uploadHandler": handler}
        words = [word for name, text in fields.items() for word in ("--data-urlencode", f"{name}={text}")]
        said = curl(*words, "--data-urlencode", f"fileChunk@{part}", f"{service}/UploadFileChunk")
    finish(service, ticket, handler, said)
    assert stored(data)[-1] == CONTENT


def test_base64_in_a_form_that_is_ready_in_a_file(service: str, data: Path, tmp_path: Path) -> None:
    ticket, handler = opened(service)
    part, said = tmp_path / "part", {"": ""}
    for chunk, fields in chunks():
        part.write_text(f"&fileChunk={quote_plus(base64.b64encode(chunk))}")
        fields |= {"authenticationTicket": ticket, "uploadHandler": handler}
        words = "&".join(f"{name}={text}" for name, text in fields.items())
        said = curl("--data", words, "--data", f"@{part}", f"{service}/UploadFileChunk")
    finish(service, ticket, handler, said)
    assert stored(data)[-1] == CONTENT

"""A typed SOAP client, made from nothing but the WSDL: the vendor's own kind of program."""

import zlib
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any

import pytest
import zeep

from asyncupload.emulator.operations import SIGNATURES

from .serving import serving, stored

CHUNK = 262_144


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("server")


@pytest.fixture(scope="module")
def service(data: Path) -> Iterator[Any]:
    with serving(data) as url, zeep.Client(f"{url}/srv.asmx?WSDL") as client:  # type: ignore[no-untyped-call]
        yield client.service


@pytest.fixture
def ticket(service: Any) -> str:
    return attributes(service.AuthenticateUser("demo", "demo"))["ticket"]


def attributes(result: Any) -> dict[str, str]:
    """Of the document that a result is."""
    return dict(result.attrib)


def test_a_file_of_several_chunks_comes_up_and_is_the_same(service: Any, data: Path, ticket: str) -> None:
    content = Random(1).randbytes(3 * CHUNK + 1000)
    opened = attributes(service.CreateUploadHandler(ticket, CHUNK))
    handler, size = opened["UploadHandler"], int(opened["ChunkSize"])
    said: dict[str, str] = {}
    for start in range(0, len(content), size):
        chunk = content[start : start + size]
        last = start + size >= len(content)
        wrong = attributes(service.UploadFileChunk(ticket, handler, chunk, "0", last))
        assert (wrong["success"], wrong["tryagain"]) == ("false", "true")
        said = attributes(service.UploadFileChunk(ticket, handler, chunk, f"{zlib.crc32(chunk):X}", last))
        assert (said["success"], said["tryagain"]) == ("true", "false")
    assert int(said["filehexcrc"], 16) == zlib.crc32(content)
    done = attributes(service.UploadDocumentWithHandler(ticket, "/Library/zeep.bin", handler))
    assert done["success"] == "true"
    assert content in stored(data)


def test_a_refused_finalize_is_a_result_and_no_exception(service: Any, ticket: str) -> None:
    handler = attributes(service.CreateUploadHandler(ticket, 0))["UploadHandler"]
    said = attributes(service.UploadDocumentWithHandler(ticket, "/Library/none.bin", handler))
    assert (said["success"], said["errorCode"]) == ("false", "4000")


def test_what_cannot_be_bound_is_an_exception(service: Any, ticket: str) -> None:
    with pytest.raises(zeep.exceptions.Fault, match="Path is required"):
        service.DocumentExists(ticket, "")


SAMPLES = {"string": "text", "int": 1, "short": 1, "bool": True, "bytes": b"bytes"}


@pytest.mark.parametrize("name", SIGNATURES)
def test_every_operation_can_be_called(service: Any, name: str) -> None:
    """With fields of the right kinds and no ticket: each answers with a document, whatever that says."""
    values = {
        field.name: "" if field.name.lower() == "authenticationticket" else SAMPLES[field.kind]
        for field in SIGNATURES[name]
    }
    assert "success" in attributes(service[name](**values))

"""A typed SOAP client, made from nothing but the WSDL: the vendor's own kind of program."""

import zlib
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any

import pytest
import zeep

from asyncupload.emulator import GENERATIONS
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


# ── by the names of a real server's description of 2019 ─────────────────────────────────────────────────────────────


@pytest.fixture(scope="module", params=["srvSoap", "srvSoap12"])
def old(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """In SOAP 1.1, and in 1.2."""
    folder = tmp_path_factory.mktemp("old")
    with (
        serving(folder, "--generation", "2019") as url,
        zeep.Client(f"{url}/srv.asmx?WSDL", port_name=request.param) as client,  # type: ignore[no-untyped-call]
    ):
        yield client.service


def test_a_file_comes_up_and_is_compared_by_the_real_names(old: Any) -> None:
    content = Random(2).randbytes(2 * CHUNK + 1000)
    ticket = attributes(old.AuthenticateUser(UID="demo", PWD="demo"))["ticket"]
    opened = attributes(old.CreateUploadHandler(AuthenticationTicket=ticket, PreferedChunkSize=CHUNK))
    handler = opened["UploadHandler"]
    for start in range(0, len(content), CHUNK):
        chunk = content[start : start + CHUNK]
        said = attributes(
            old.UploadFileChunk(
                AuthenticationTicket=ticket,
                UploadHandler=handler,
                FileChunk=chunk,
                ChunkHEXCRC=f"{zlib.crc32(chunk):X}",
                LastChunk=start + CHUNK >= len(content),
            )
        )
        assert said["success"] == "true"
    stored_as = attributes(
        old.UploadDocumentWithHandler2(
            AuthenticationTicket=ticket,
            Path="/Library/zeep.bin",
            UploadHandler=handler,
            VersionComments="by its names",
            MPVersionMajor=3,
            MPVersionMinor=2,
            MPVersionRevision=1,
        )
    )
    number = int(stored_as["VersionId"])
    told = attributes(
        old.GetDownloadInfoByVersion(AuthenticationTicket=ticket, Path="/Library/zeep.bin", VersionNumber=number)
    )
    assert (int(told["Size"]), int(told["CRC32"], 16)) == (len(content), zlib.crc32(content))


@pytest.mark.parametrize("name", GENERATIONS["2019"].signatures)
def test_every_operation_of_2019_can_be_called(old: Any, name: str) -> None:
    values = {
        field.name: "" if field.name == "AuthenticationTicket" else SAMPLES[field.kind]
        for field in GENERATIONS["2019"].signatures[name]
    }
    assert "success" in attributes(old[name](**values))


def test_what_cannot_be_read_is_an_exception_in_either_soap(old: Any) -> None:
    with pytest.raises(zeep.exceptions.Fault, match="Object reference not set"):
        old.UploadFileChunk(AuthenticationTicket="", UploadHandler="", ChunkHEXCRC="0", LastChunk=True)

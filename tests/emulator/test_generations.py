"""The server that a real WSDL of 2019 describes, beside the one of today's pages."""

import base64
import zlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from asyncupload.emulator import GENERATIONS, Emulator
from emulator.caller import Caller, envelope

pytestmark = pytest.mark.anyio

UNKNOWN = "3f2504e0-4f89-41d3-9a0c-0305e82c3301"
DATA = bytes(range(256))
NOT_THERE = ("GetGeneralAppSettings", "UploadZipWithHandler", "VerifyVersionHash")

SOAP_12 = "http://www.w3.org/2003/05/soap-envelope"


@pytest.fixture
async def old(tmp_path: Path) -> AsyncIterator[Emulator]:
    async with Emulator(tmp_path / "data", generation="2019") as started:
        yield started


@pytest.fixture
async def caller(old: Emulator) -> AsyncIterator[Caller]:
    async with Caller(old.url) as opened:
        await opened.sign_in("demo", "demo")
        yield opened


def of_chunk(handler: str, data: bytes = DATA, *, last: str = "true") -> dict[str, str]:
    return {"UploadHandler": handler, "ChunkHEXCRC": f"{zlib.crc32(data):X}", "LastChunk": last}


async def test_a_chunk_in_a_form_is_repeated_decimal_values(caller: Caller) -> None:
    handler = await caller.open()
    fields = [("AuthenticationTicket", caller.ticket), *of_chunk(handler).items()]
    values = [("FileChunk", str(byte)) for byte in DATA]
    said = await caller.request("POST", "UploadFileChunk", data=[*fields, *values])
    assert (said.ok, said["filehexcrc"]) == (True, f"{zlib.crc32(DATA):X}")


async def test_a_chunk_in_multipart_or_base64_is_an_exception_of_the_framework(old: Emulator, caller: Caller) -> None:
    """In its words, as plain text, and without a ticket."""
    handler = await caller.open()
    for said, words in (
        (await caller.chunk(handler, DATA, last=True), "Request format is invalid: multipart/form-data"),
        (await caller.chunk_base64(handler, DATA, last=True), f"{base64.b64encode(DATA).decode()} to System.Byte."),
    ):
        assert (said.status, said.content_type) == (500, "text/plain")
        assert words in said.text
        assert caller.ticket not in said.text
    assert [handler.size for handler in await old.open_handlers()] == [0]


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({}, "Missing parameter: PreferedChunkSize."),
        ({"PreferedChunkSize": ""}, "Cannot convert  to System.Int32."),
        ({"PreferedChunkSize": "3000000000"}, "Cannot convert 3000000000 to System.Int32."),
    ],
)
async def test_what_cannot_be_bound_is_an_exception(caller: Caller, fields: dict[str, str], words: str) -> None:
    said = await caller.call("CreateUploadHandler", **fields)
    assert (said.status, words in said.text) == (500, True)


async def test_a_text_may_be_empty(caller: Caller) -> None:
    said = await caller.call("DocumentExists", Path="")
    assert (said.status, said["error"]) == (200, "Document not found.")


async def test_offsets_have_32_bits(tmp_path: Path) -> None:
    fields = {"DownloadHandler": UNKNOWN, "StartOffset": "5000000000", "ChunkSize": "1"}
    for name, status in (("2019", 500), ("2026", 200)):
        async with Emulator(tmp_path / name, generation=name) as server, Caller(server.url) as caller:
            await caller.sign_in("demo", "demo")
            assert (await caller.call("DownloadFileChunk", **fields)).status == status


@pytest.mark.parametrize("name", [*NOT_THERE, "NoSuch"])
async def test_an_operation_that_is_not_there_is_told_in_the_frameworks_words(caller: Caller, name: str) -> None:
    said = await caller.call(name)
    assert (said.status, f"{name} Web Service method name is not valid" in said.text) == (500, True)
    said = await caller.post(envelope(name), f"http://tempuri.org/{name}")
    assert said.status == 500
    assert "soap:Client" in said.text


@pytest.mark.parametrize("generation", GENERATIONS)
async def test_the_wsdl_has_the_names_of_the_generation(tmp_path: Path, generation: str) -> None:
    async with Emulator(tmp_path, generation=generation) as server, Caller(server.url) as caller:
        text = (await caller.request("GET", "", params={"WSDL": ""})).text
    old = generation == "2019"
    assert ('name="AuthenticationTicket" type="s:string"' in text and 'name="authenticationTicket"' not in text) is old
    assert ('name="MPVersionMajor" type="s:short"' in text) is old
    assert ('binding name="srvSoap12"' in text) is old
    assert [name for name in NOT_THERE if f'operation name="{name}"' not in text] == (list(NOT_THERE) if old else [])


async def soap(caller: Caller, operation: str, *, version: str = "1.1", **fields: str) -> str:
    body = envelope(operation, AuthenticationTicket=caller.ticket, **fields)
    action = f"http://tempuri.org/{operation}"
    if version == "1.1":
        return (await caller.post(body, action)).text
    body = body.replace("http://schemas.xmlsoap.org/soap/envelope/", SOAP_12)
    said = await caller.post(body, kind=f'application/soap+xml; charset=utf-8; action="{action}"')
    assert said.content_type == "application/soap+xml"
    assert SOAP_12 in said.text
    return said.text


@pytest.mark.parametrize("version", ["1.1", "1.2"])
async def test_a_document_comes_up_in_envelopes(old: Emulator, caller: Caller, version: str) -> None:
    handler = await caller.open()
    fields = of_chunk(handler) | {"FileChunk": base64.b64encode(DATA).decode()}
    assert f'filehexcrc="{zlib.crc32(DATA):X}"' in await soap(caller, "UploadFileChunk", version=version, **fields)
    stored = await soap(caller, "UploadDocumentWithHandler", version=version, Path="/Library/a", UploadHandler=handler)
    assert 'success="true"' in stored
    (document,) = await old.documents()
    assert document.latest.crc32 == zlib.crc32(DATA)


async def test_a_fault_in_soap_12_names_the_sender(caller: Caller) -> None:
    text = await soap(caller, "CreateUploadHandler", version="1.2", PreferedChunkSize="much")
    assert "<soap:Value>soap:Sender</soap:Value>" in text
    assert "unable to read request" in text


async def test_an_element_in_another_case_is_null(caller: Caller) -> None:
    assert 'error="Folder not found."' in await soap(caller, "FolderExists", path="/Library")


async def test_no_bytes_at_all_are_the_servers_fault(caller: Caller) -> None:
    """An empty element is no bytes, and a chunk."""
    handler = await caller.open()
    assert "soap:Server" in await soap(caller, "UploadFileChunk", **of_chunk(handler))
    said = await caller.request("POST", "UploadFileChunk", data={"AuthenticationTicket": "", **of_chunk(handler)})
    assert (said.status, "NullReferenceException: Object reference" in said.text) == (500, True)
    assert 'filehexcrc="0"' in await soap(caller, "UploadFileChunk", **of_chunk(handler, b""), FileChunk="")


@pytest.mark.parametrize(
    ("operation", "fields"),
    [
        ("CreateUploadHandler", {"PreferedChunkSize": ""}),
        ("CreateUploadHandler", {"PreferedChunkSize": "3000000000"}),
        ("UploadFileChunk", {**of_chunk(UNKNOWN, last="True"), "FileChunk": ""}),
        ("UploadFileChunk", {**of_chunk(UNKNOWN, last=""), "FileChunk": ""}),
    ],
)
async def test_what_cannot_be_read_in_an_envelope_is_the_senders_fault(
    caller: Caller, operation: str, fields: dict[str, str]
) -> None:
    """There truths are told from other words by their case, and an empty element is no number."""
    text = await soap(caller, operation, **fields)
    assert "soap:Client" in text
    assert "unable to read request" in text


@pytest.mark.parametrize("body", ["", "<a", envelope("UploadFileChunk", FileChunk="!!!")])
async def test_an_envelope_that_is_no_xml_is_a_bad_request_without_a_word(caller: Caller, body: str) -> None:
    said = await caller.post(body, "http://tempuri.org/UploadFileChunk")
    assert (said.status, said.text) == (400, "")


@pytest.mark.parametrize("action", ['""', '"http://tempuri.org/NoSuch"', '"http://tempuri.org/serverinfo"'])
async def test_an_action_that_is_none_is_not_recognized(caller: Caller, action: str) -> None:
    said = await caller.post(envelope("ServerInfo"), action)
    assert (said.status, "did not recognize the value of HTTP Header SOAPAction" in said.text) == (500, True)


async def test_the_action_says_what_is_called_whatever_stands_in_the_body(caller: Caller) -> None:
    said = await caller.post(envelope("FolderExists"), "http://tempuri.org/ServerInfo")
    assert (said.status, "VersionNumber" in said.text) == (200, True)


async def test_names_of_operations_have_a_case(caller: Caller) -> None:
    said = await caller.call("createuploadhandler", PreferedChunkSize="0")
    assert (said.status, "'CreateUploadHandler' with the same name but different casing" in said.text) == (500, True)


async def test_no_method_but_get_and_post_is_recognized(caller: Caller) -> None:
    said = await caller.request("PUT", "ServerInfo")
    assert (said.status, "unexpectedly ending in &#x27;/ServerInfo&#x27;" in said.text) == (500, True)


@pytest.mark.parametrize(
    ("value", "status"), [(" 7 ", 200), ("+7", 200), ("256", 500), ("-1", 500), ("", 500), ("7a", 500)]
)
async def test_a_byte_is_written_as_a_number_is(caller: Caller, value: str, status: int) -> None:
    handler = await caller.open()
    said = await caller.call("UploadFileChunk", **of_chunk(handler, b"\7"), FileChunk=value)
    assert said.status == status


@pytest.mark.parametrize("path", ["/Library/<b>", "/Library/a&#1;", "/Library/<!", "/Library/</a"])
@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_what_looks_like_markup_is_dangerous(caller: Caller, method: str, path: str) -> None:
    said = await (caller.get if method == "GET" else caller.call)("FolderExists", Path=path)
    assert (said.status, said.content_type) == (500, "text/plain")
    where = "QueryString" if method == "GET" else "Form"
    assert f"HttpRequestValidationException: A potentially dangerous Request.{where} value was detected" in said.text
    assert (await caller.soap("FolderExists", Path=path)).status == 200


@pytest.mark.parametrize("path", ["/Library/<", "/Library/a < b", "/Library/&amp;", "/Library/&", "/Library/#&;"])
async def test_what_only_reminds_of_markup_is_not(caller: Caller, path: str) -> None:
    assert (await caller.call("FolderExists", Path=path)).status == 200


async def test_a_version_is_told_of_without_staging_a_download(caller: Caller) -> None:
    handler = await caller.open()
    await soap(caller, "UploadFileChunk", **of_chunk(handler), FileChunk=base64.b64encode(DATA).decode())
    assert (await caller.call("UploadDocumentWithHandler", Path="/Library/a", UploadHandler=handler)).ok
    said = await caller.call("GetDownloadInfoByVersion", Path="/Library/a", VersionNumber="1000000")
    assert (said["Size"], int(said["CRC32"], 16)) == ("256", zlib.crc32(DATA))
    said = await caller.call("GetDownloadInfoByVersion", Path="/Library/a", VersionNumber="7")
    assert not said.ok


def test_a_generation_that_is_none_is_not_played(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="known are 2026, 2019"):
        Emulator(tmp_path, generation="1999")


async def test_without_forms_an_envelope_is_the_only_way(tmp_path: Path) -> None:
    async with (
        Emulator(tmp_path, generation="2019", variants=["no-forms"]) as server,
        Caller(server.url) as caller,
    ):
        for said in (await caller.call("ServerInfo"), await caller.get("ServerInfo")):
            assert (said.status, "unexpectedly ending in &#x27;/ServerInfo&#x27;" in said.text) == (500, True)
        assert (await caller.soap("ServerInfo")).ok

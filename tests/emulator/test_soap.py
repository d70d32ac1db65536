"""The same operations in envelopes."""

import base64
import xml.etree.ElementTree as ET
import zlib
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asyncupload.emulator import FAULTS, Emulator, at
from asyncupload.emulator.replies import Rejected
from asyncupload.emulator.soap import read_envelope
from emulator.caller import Caller, Said, envelope
from emulator.trouble import troubled

SOAP = "{http://schemas.xmlsoap.org/soap/envelope/}"
TEMPURI = "{http://tempuri.org/}"

anyio = pytest.mark.anyio


def soap_chunk(handler: str, data: bytes, *, last: str = "false") -> dict[str, str]:
    return {
        "uploadHandler": handler,
        "fileChunk": base64.b64encode(data).decode(),
        "chunkHEXCRC": f"{zlib.crc32(data):X}",
        "lastChunk": last,
    }


def fault_of(said: Said) -> tuple[str, str]:
    """The code and the text of the fault that this is."""
    assert (said.status, said.content_type) == (500, "text/xml")
    found = ET.fromstring(said.text).find(f"{SOAP}Body/{SOAP}Fault")
    assert found is not None
    return found.findtext("faultcode", ""), found.findtext("faultstring", "")


@anyio
async def test_the_document_stands_in_the_result_without_a_namespace(caller: Caller) -> None:
    said = await caller.post(envelope("FolderExists", authenticationTicket=caller.ticket, Path="/Library"))
    assert (said.status, said.content_type) == (200, "text/xml")
    path = f"{SOAP}Body/{TEMPURI}FolderExistsResponse/{TEMPURI}FolderExistsResult/response"
    found = said.document.find(path)
    assert found is not None
    assert found.attrib == {"success": "true"}


@anyio
async def test_a_refusal_is_an_ordinary_result(server: Emulator, caller: Caller) -> None:
    plain = await caller.call("DocumentExists", Path="/Library/none")
    said = await caller.soap("DocumentExists", Path="/Library/none")
    assert (said.status, said.document.attrib) == (200, plain.document.attrib)
    assert not server.calls[-1].applied


@anyio
async def test_a_document_comes_up_in_envelopes(server: Emulator, caller: Caller) -> None:
    handler = (await caller.soap("CreateUploadHandler", PreferedChunkSize="0"))["UploadHandler"]
    first, second = bytes(range(256)), b"\r\n<&>]]>"
    assert (await caller.soap("UploadFileChunk", **soap_chunk(handler, first))).ok
    said = await caller.soap("UploadFileChunk", **soap_chunk(handler, second, last="1"))
    assert said["filehexcrc"] == f"{zlib.crc32(first + second):X}"
    assert server.calls[-1].applied
    parameters = '<x><item NAME="VERSIONCOMMENT" VALUE="a &amp; b"/></x>'
    said = await caller.soap(
        "UploadDocumentWithHandler3", path="/Library/a", uploadHandler=handler, xmlParameters=parameters
    )
    assert said.ok
    (document,) = await server.documents()
    assert (document.latest.crc32, document.latest.comment) == (zlib.crc32(first + second), "a & b")


@anyio
async def test_the_largest_chunk_passes_in_an_envelope(server: Emulator, caller: Caller) -> None:
    handler, data = await caller.open(33_554_432), bytes(33_554_432)
    assert (await caller.soap("UploadFileChunk", **soap_chunk(handler, data))).ok
    assert (await server.open_handlers())[0].crc == zlib.crc32(data)


@anyio
async def test_a_refused_chunk_says_so_in_an_envelope(caller: Caller) -> None:
    handler = await caller.open()
    said = await caller.soap("UploadFileChunk", **(soap_chunk(handler, b"data") | {"chunkHEXCRC": "0"}))
    assert (said["success"], said["tryagain"]) == ("false", "true")


@anyio
@pytest.mark.parametrize("action", [None, "", '""', '"http://tempuri.org/ServerInfo"', "http://tempuri.org/ServerInfo"])
async def test_the_action_may_be_quoted_or_left_out(caller: Caller, action: str | None) -> None:
    assert (await caller.soap("ServerInfo", action=action)).ok


@anyio
@pytest.mark.parametrize(
    ("action", "words"),
    [
        ("http://tempuri.org/LogOut", "the SOAPAction asks for LogOut"),
        ('"http://tempuri.org/NoSuch"', "NoSuch is no operation"),
        ("http://tempuri.org/serverinfo", "serverinfo is no operation"),
        ("urn:ServerInfo", "SOAPAction: urn:ServerInfo"),
    ],
)
async def test_an_action_that_does_not_fit_is_a_fault(caller: Caller, action: str, words: str) -> None:
    code, text = fault_of(await caller.post(envelope("ServerInfo"), action))
    assert code == "soap:Client"
    assert words in text


MALFORMED = {
    "text": "text",
    "nothing": "",
    "broken": envelope("ServerInfo")[:-10],
    "another root": "<ServerInfo xmlns='http://tempuri.org/' />",
    "an empty body": '<s:Envelope xmlns:s="http://schemas.xmlsoap.org/soap/envelope/"><s:Body /></s:Envelope>',
    "SOAP 1.2": envelope("ServerInfo").replace("http://schemas.xmlsoap.org/soap/envelope/", "http://www.w3.org/x"),
    "entities": envelope("ServerInfo").replace("?>", '?><!DOCTYPE a [<!ENTITY b "c">]>'),
    "a document type": envelope("ServerInfo").replace("?>", "?><!DOCTYPE a>"),
    "another encoding": envelope("ServerInfo").replace("utf-8", "klingon"),
    "another namespace": envelope("ServerInfo").replace("http://tempuri.org/", "urn:else"),
}


@anyio
@pytest.mark.parametrize("what", MALFORMED)
@pytest.mark.parametrize("action", [None, "http://tempuri.org/ServerInfo"])
async def test_what_is_no_envelope_is_a_fault(caller: Caller, what: str, action: str | None) -> None:
    assert fault_of(await caller.post(MALFORMED[what], action))[0] == "soap:Client"


@anyio
@pytest.mark.parametrize(
    ("operation", "fields"),
    [
        ("DocumentExists", {"Path": ""}),
        ("DocumentExists", {}),
        ("CreateUploadHandler", {"PreferedChunkSize": "much"}),
        ("UploadFileChunk", {**soap_chunk("a", b"data"), "lastChunk": "yes"}),
        ("UploadFileChunk", {**soap_chunk("a", b"data"), "fileChunk": "***"}),
    ],
)
async def test_a_value_that_cannot_be_bound_is_a_fault(caller: Caller, operation: str, fields: dict[str, str]) -> None:
    code, text = fault_of(await caller.soap(operation, **fields))
    assert code == "soap:Client"
    assert text.split()[0] in {"Path", "PreferedChunkSize", "lastChunk", "fileChunk"}


@anyio
async def test_parameters_that_are_no_xml_are_the_servers_fault(caller: Caller) -> None:
    handler = await caller.staged()
    fields = {"path": "/Library/a", "uploadHandler": handler, "xmlParameters": "<a>"}
    assert fault_of(await caller.soap("UploadDocumentWithHandler3", **fields))[0] == "soap:Server"


@anyio
async def test_elements_within_a_field_are_a_fault(caller: Caller) -> None:
    body = envelope("DocumentExists", Path="in").replace("in</", "<b/></")
    assert fault_of(await caller.post(body))[1] == "Path holds elements, not text"


@anyio
async def test_other_content_types_are_unsupported(server: Emulator, caller: Caller) -> None:
    before = len(server.calls)
    for kind in ("application/soap+xml", "application/x-www-form-urlencoded"):
        assert (await caller.post(envelope("ServerInfo"), kind=kind)).status == 415
    assert (await caller.request("PUT", "")).status == 405
    assert len(server.calls) == before


@anyio
@pytest.mark.parametrize("action", [None, "http://tempuri.org/ServerInfo"])
async def test_an_envelope_beyond_the_limit_is_a_bare_refusal(tmp_path: Path, action: str | None) -> None:
    async with Emulator(tmp_path, body_limit=400) as server, Caller(server.url) as caller:
        assert (await caller.post(envelope("ServerInfo", x="a" * 400), action)).status == 413


@anyio
async def test_no_soap(tmp_path: Path) -> None:
    async with Emulator(tmp_path, variants=["no-soap"]) as server, Caller(server.url) as caller:
        assert (await caller.post(envelope("ServerInfo"))).status == 404
        assert (await caller.request("GET", "", params={"WSDL": ""})).status == 404
        assert (await caller.call("ServerInfo")).ok


@anyio
async def test_case_soap(tmp_path: Path) -> None:
    async with Emulator(tmp_path, variants=["case-soap"]) as server, Caller(server.url) as caller:
        await caller.sign_in("demo", "demo")
        assert (await caller.soap("FolderExists", Path="/Library")).ok
        assert fault_of(await caller.soap("FolderExists", path="/Library"))[1] == "Path is required"
        ticket, caller.ticket = caller.ticket, ""
        # This operation's page spells it with a capital; null is the anonymous user.
        assert (await caller.soap("GetDownloadInfo", Path="/Library/a", AuthenticationTicket=ticket)).code == "4041"
        assert (await caller.soap("GetDownloadInfo", Path="/Library/a", authenticationticket=ticket)).code == "4010"


@anyio
async def test_without_case_soap_any_case_will_do(caller: Caller) -> None:
    assert (await caller.soap("FolderExists", pATH="/Library")).ok


@anyio
async def test_namespaced_roots_stay_in_their_namespace(tmp_path: Path) -> None:
    async with Emulator(tmp_path, variants=["namespaced-roots"]) as server, Caller(server.url) as caller:
        assert (await caller.soap("ServerInfo")).document.tag == f"{TEMPURI}root"


@anyio
async def test_base64_in_soap_is_no_matter_of_encoding(tmp_path: Path) -> None:
    variants = ["no-base64", "no-multipart"]
    async with Emulator(tmp_path, variants=variants) as server, Caller(server.url) as caller:
        await caller.sign_in("demo", "demo")
        assert (await caller.soap("UploadFileChunk", **soap_chunk(await caller.open(), b"data"))).ok


IN_AN_ENVELOPE = {
    "tryagain": b'tryagain="true"',
    "system-error": b"SystemError:",
    "system-error-after": b"SystemError:",
    "entities": b"<!DOCTYPE root [<!ENTITY",
    "external-entity": b"<!DOCTYPE root [<!ENTITY file SYSTEM",
    "bom": b"\xef\xbb\xbf<?xml",
    "latin-1": "réessayez".encode("latin-1"),
    "other-case": b'<root xmlns="" SUCCESS="false"',
    "no-success": b'<root xmlns="" tryagain="false" />',
    "other-case-tryagain": b'TryAgain="TRUE"',
    "disk-full": b'errorCode="5030"',
}
BARE = {
    "html": b"<form>",
    "refuse-503": b"<html>",
    "refuse-400": b'{"status": 400',
    "other-xml-after": b"<feed ",
    "fail-500-after": b"<html>",
}


@anyio
@pytest.mark.parametrize("name", [*IN_AN_ENVELOPE, *BARE])
async def test_a_fault_is_met_in_soap_too(tmp_path: Path, name: str) -> None:
    script = at({("UploadFileChunk", 1): name})
    async with troubled(tmp_path, script) as (server, caller):
        body = envelope("UploadFileChunk", authenticationTicket=caller.ticket, **soap_chunk(await caller.open(), b"x"))
        headers = {"Content-Type": "text/xml", "SOAPAction": "http://tempuri.org/UploadFileChunk"}
        async with caller.session.post(f"{server.url}/srv.asmx", data=body, headers=headers) as response:
            heard = await response.read()
        assert (b"<UploadFileChunkResult><" in heard) == (name in IN_AN_ENVELOPE)
        assert {**IN_AN_ENVELOPE, **BARE}[name] in heard
        assert (server.calls[-1].fault, server.calls[-1].applied) == (name, FAULTS[name].applies)


@anyio
async def test_a_truncated_answer_in_soap_is_half_an_envelope(tmp_path: Path) -> None:
    async with troubled(tmp_path, at({("ServerInfo", 1): "truncated-after"})) as (_, caller):
        async with caller.session.post(
            f"{caller.url}/srv.asmx", data=envelope("ServerInfo"), headers={"Content-Type": "text/xml"}
        ) as response:
            heard = await response.text()
    assert "<soap:Envelope" in heard
    assert "</soap:Envelope>" not in heard


@anyio
async def test_a_fault_before_the_operation_meets_a_malformed_envelope_as_a_fault(tmp_path: Path) -> None:
    async with troubled(tmp_path, at({("LogOut", 1): "expire-ticket"})) as (_, caller):
        assert fault_of(await caller.post("<a>", "http://tempuri.org/LogOut"))[0] == "soap:Client"


@settings(max_examples=50)
@given(st.text(alphabet=st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"], exclude_characters="￾￿")))
def test_text_comes_out_as_it_went_in(text: str) -> None:
    assert read_envelope(envelope("Lock", Path=text).encode(), "Lock").text("path") == text


@settings(max_examples=100)
@given(st.binary(max_size=60), st.integers(0, 300), st.integers(0, 300))
def test_whatever_comes_is_read_or_rejected(garbage: bytes, start: int, end: int) -> None:
    whole = envelope("Lock", Path="/Library").encode()
    with suppress(Rejected):
        read_envelope(whole[:start] + garbage + whole[end:], "Lock")

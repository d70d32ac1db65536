"""What the service tells about itself."""

from pathlib import Path

import pytest

from asyncupload.emulator import Emulator
from asyncupload.emulator.operations import OPERATIONS
from emulator.caller import Caller, Said

pytestmark = pytest.mark.anyio

WSDL = "{http://schemas.xmlsoap.org/wsdl/}"
SCHEMA = "{http://www.w3.org/2001/XMLSchema}"
NAMES = [operation.name for operation in OPERATIONS.values()]


async def told(caller: Caller, word: str = "WSDL") -> Said:
    return await caller.request("GET", "", params={word: ""})


async def test_every_operation_is_described_with_its_fields(server: Emulator, caller: Caller) -> None:
    before = len(server.calls)
    said = await told(caller)
    assert (said.status, said.content_type) == (200, "text/xml")
    for kind in ("portType", "binding"):
        named = [found.get("name") for found in said.document.iterfind(f"{WSDL}{kind}/{WSDL}operation")]
        assert named == NAMES
    chunk = said.document.find(f".//{SCHEMA}element[@name='UploadFileChunk']")
    assert chunk is not None
    assert [(one.get("name"), one.get("type")) for one in chunk.iterfind(f".//{SCHEMA}element")] == [
        ("authenticationTicket", "s:string"),
        ("uploadHandler", "s:string"),
        ("fileChunk", "s:base64Binary"),
        ("chunkHEXCRC", "s:string"),
        ("lastChunk", "s:boolean"),
    ]
    assert len(server.calls) == before


@pytest.mark.parametrize("word", ["WSDL", "wsdl", "Wsdl"])
@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
async def test_the_address_is_the_one_that_was_asked(tmp_path: Path, word: str, host: str) -> None:
    async with Emulator(tmp_path, prefix="/InfoRouter", host="localhost") as server:
        async with Caller(server.url.replace("localhost", host)) as caller:
            said = await told(caller, word)
            address = said.document.find(".//{http://schemas.xmlsoap.org/wsdl/soap/}address")
            assert address is not None
            assert address.attrib == {"location": f"{caller.url}/srv.asmx"}


async def test_a_host_with_markup_is_written_as_text(caller: Caller) -> None:
    said = await caller.request("GET", "", params={"WSDL": ""}, headers={"Host": 'a"><b/>'})
    assert said.root is None or said.root.find(".//b") is None


async def test_a_browser_is_shown_the_operations(caller: Caller) -> None:
    said = await caller.request("GET", "")
    assert (said.status, said.content_type) == (200, "text/html")
    assert all(f"<b>{name}</b>" in said.text for name in NAMES)
    assert "fileChunk (bytes)" in said.text

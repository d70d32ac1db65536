"""Servers that lack operations, and those whose locks do not work."""

import time
from pathlib import Path

import pytest

from asyncupload.emulator import Emulator
from asyncupload.emulator.operations import OPERATIONS
from emulator.caller import Caller

pytestmark = pytest.mark.anyio

NAMES = [operation.name for operation in OPERATIONS.values()]


@pytest.mark.parametrize("name", NAMES)
async def test_an_operation_that_is_missing_is_an_error_in_aspnets_words(tmp_path: Path, name: str) -> None:
    async with Emulator(tmp_path, missing=[name]) as server, Caller(server.url) as caller:
        for said in (await caller.call(name, path="/Library"), await caller.request("POST", name.lower())):
            assert said.status == 500
            assert f"{name} Web Service method name is not valid." in said.text
        assert [(call.operation, call.status, call.applied) for call in server.calls] == [(name, 500, False)] * 2


async def test_or_it_is_not_found(tmp_path: Path) -> None:
    names = ["GetFolderRules", "GetDocumentVersions"]
    async with Emulator(tmp_path, missing=names, variants=["missing-404"]) as server, Caller(server.url) as caller:
        await caller.sign_in("demo", "demo")
        for name in names:
            assert (await caller.call(name, path="/Library")).status == 404
        assert (await caller.call("FolderExists", path="/Library")).ok


@pytest.mark.parametrize("variant", ["", "missing-404"])
async def test_in_an_envelope_it_is_the_callers_fault(tmp_path: Path, variant: str) -> None:
    variants = [variant] if variant else []
    async with Emulator(tmp_path, missing=["Lock"], variants=variants) as server, Caller(server.url) as caller:
        said = await caller.soap("Lock", action="http://tempuri.org/Lock", Path="/Library/a")
        assert said.status == 500
        assert "<faultcode>soap:Client</faultcode>" in said.text
        assert "Server did not recognize the value of HTTP Header SOAPAction: http://tempuri.org/Lock." in said.text


async def test_it_is_not_in_what_the_service_tells_of_itself(tmp_path: Path) -> None:
    async with Emulator(tmp_path, missing=["UploadNewDocumentWidthHandler"]) as server, Caller(server.url) as caller:
        for asked in ("", "?WSDL"):
            async with caller.session.get(f"{server.url}/srv.asmx{asked}") as response:
                told = await response.text()
            assert "UploadDocumentWithHandler" in told
            assert "UploadNewDocumentWidthHandler" not in told


async def test_a_finalize_that_is_missing_leaves_its_handler(tmp_path: Path) -> None:
    name = "UploadNewDocumentWidthHandler"
    async with (
        Emulator(tmp_path, missing=[name], variants=["slow-finalize"], slow=0.01) as server,
        Caller(server.url) as caller,
    ):
        await caller.sign_in("demo", "demo")
        handler = await caller.staged()
        asked = {"FolderPath": "/Library", "DocumentName": "a", "xmlParameters": "<parameters />"}
        assert (await caller.call(name, uploadHandler=handler, **asked)).status == 500
        assert [one.guid for one in await server.open_handlers()] == [handler]


async def test_what_no_server_has_cannot_be_missing(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no such operation: Nonsense"):
        Emulator(tmp_path, missing=["Lock", "Nonsense"])


@pytest.mark.parametrize(("variant", "operation"), [("no-lock", "Lock"), ("no-unlock", "UnLock")])
async def test_a_lock_may_never_work(tmp_path: Path, variant: str, operation: str) -> None:
    async with Emulator(tmp_path, variants=[variant]) as server, Caller(server.url) as caller:
        await caller.sign_in("demo", "demo")
        await caller.store("/Library/a")
        said = {name: await caller.call(name, path="/Library/a") for name in ("Lock", "UnLock")}
        assert (said[operation].ok, said[operation].code) == (False, "5030")
        assert await server.checkouts() == ({} if operation == "Lock" else {"/Library/a": "demo"})


async def test_a_document_may_have_thousands_of_versions(tmp_path: Path) -> None:
    async with Emulator(tmp_path) as server, Caller(server.url) as caller:
        await caller.sign_in("demo", "demo")
        await caller.store("/Library/a", b"latest")
        await server.add_versions("/Library/a", 8_000, comment="as every day")
        began = time.monotonic()
        said = await caller.call("GetDocumentVersions", Path="/Library/a")
        assert time.monotonic() - began < 10
        assert len(said.text) > 2 << 20
        listed = said.document.findall("Versions/Version")
        assert [int(version.attrib["Number"]) for version in listed] == list(range(1_000_000, 1_008_001))
        assert listed[-1].findtext("Comment") == "as every day"
        assert (await server.content("/Library/a", 1_008_000)).read_bytes() == b"latest"
        assert (await caller.call("Lock", Path="/Library/a")).ok
        assert (await caller.store("/Library/a"))["VersionId"] == "1008001"

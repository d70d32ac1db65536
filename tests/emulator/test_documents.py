"""Looking at documents, and locking them."""

import zlib
from datetime import UTC, datetime, timedelta

import anyio
import pytest

from asyncupload.emulator import Emulator
from emulator.caller import Caller

pytestmark = pytest.mark.anyio

CONTENT = next(data for number in range(1000) if zlib.crc32(data := b"%d" % number) < 1 << 28)
"""Its CRC has a leading zero."""


async def test_an_existing_document_tells_its_crcs(caller: Caller) -> None:
    document = (await caller.store("/Library/a.txt", CONTENT))["DocumentId"]
    crc = f"{zlib.crc32(CONTENT):08x}"
    for path in ("/Library/a.txt", "library\\A.txt", f"~D{document}", f"~d{document}.txt"):
        said = await caller.call("DocumentExists", Path=path)
        assert said.document.tag == "response"
        assert said.document.attrib == {"success": "true", "CRC32LASTVERSION": crc, "CRC32": crc}


async def test_an_unpublished_document_has_no_published_crc(caller: Caller) -> None:
    xml = '<x><item NAME="PUBLISHOPTION" VALUE="DontPublish"/></x>'
    handler = await caller.staged()
    await caller.call("UploadDocumentWithHandler3", path="/Library/a", uploadHandler=handler, xmlParameters=xml)
    assert (await caller.call("DocumentExists", Path="/Library/a"))["CRC32"] == ""


@pytest.mark.parametrize("path", ["/Library/none", "/Library", "/Nowhere/a", "~D77", "~F1", "/"])
async def test_what_is_no_document_is_4041(caller: Caller, path: str) -> None:
    for operation in ("DocumentExists", "GetDocument", "GetDocumentVersions", "Lock", "UnLock", "IsLockPossible"):
        said = await caller.call(operation, Path=path)
        assert (said.status, said["success"], said.code) == (200, "false", "4041"), operation
        assert said["error"] == "Document not found."


@pytest.mark.parametrize("path", ["~", "~X1", "~D", "~D1/a", "~Dx"])
async def test_a_short_path_of_no_kind_has_its_own_text(caller: Caller, path: str) -> None:
    assert (await caller.call("DocumentExists", Path=path))["error"] == "InvalidDocumentIdentifer"


async def test_an_empty_path_is_a_bad_request(caller: Caller) -> None:
    assert (await caller.call("DocumentExists", Path="")).status == 400
    assert (await caller.call("DocumentExists1", FolderPath="/Library", DocumentName="")).status == 400


async def test_a_document_is_found_by_folder_and_name(caller: Caller) -> None:
    document = (await caller.store("/Library/a.txt"))["DocumentId"]
    assert (await caller.call("DocumentExists1", FolderPath="/Library", DocumentName="A.txt")).ok
    for folder, name in (("/Library", "b"), ("/Nowhere", "a.txt"), ("/Library", f"~D{document}")):
        assert (await caller.call("DocumentExists1", FolderPath=folder, DocumentName=name)).code == "4041"


async def test_a_document_is_described(server: Emulator, caller: Caller) -> None:
    stored = await caller.store("/Finance/Reports/a & b.txt", b"12345")
    said = await caller.call("GetDocument", Path="/finance/reports/A & B.txt", withVersions="true")
    assert (said.document.tag, said["error"]) == ("response", "")
    document = said.document.find("document")
    assert document is not None
    facts = {
        "DocumentID": stored["DocumentId"],
        "Name": "a & b.txt",
        "Path": "\\Finance\\Reports",
        "Size": "5",
        "VersionNumber": "1000000",
        "PublishedVersionNumber": "1000000",
        "VersionCount": "1",
        "CheckoutByUserName": "",
    }
    assert facts.items() <= document.attrib.items()
    age = datetime.now(UTC) - datetime.fromisoformat(document.attrib["ModificationDate"])
    assert timedelta(0) <= age < timedelta(minutes=1)
    await server.set_checkout("/Finance/Reports/a & b.txt", "somebody")
    document = (await caller.call("GetDocument", Path="/Finance/Reports/a & b.txt")).document.find("document")
    assert document is not None
    assert document.attrib["CheckoutByUserName"] == "somebody"


async def test_a_flag_that_is_none_is_a_bad_request(caller: Caller) -> None:
    assert (await caller.call("GetDocument", Path="/Library/a", withSecurity="maybe")).status == 400


async def test_versions_come_with_size_and_comment(server: Emulator, caller: Caller) -> None:
    await caller.store("/Library/a", b"1")
    await server.set_checkout("/Library/a", "demo")
    comment = "<&\"'>\n é"
    fields = {"uploadHandler": await caller.staged(b"22"), "path": "/Library/a", "versionComments": comment}
    await caller.call("UploadDocumentWithHandler1", **fields)
    said = await caller.call("GetDocumentVersions", Path="/Library/a")
    versions = said.document.findall("Versions/Version")
    assert [version.attrib["Number"] for version in versions] == ["1000000", "1000001"]
    assert [version.findtext("VersionSize") for version in versions] == ["1", "2"]
    assert [version.findtext("Comment") for version in versions] == ["", comment]
    assert versions[0].findtext("VersionAuthor") == "demo"


async def test_a_lock_is_held_once(server: Emulator, caller: Caller, other: Caller) -> None:
    await caller.store("/Library/a")
    assert (await caller.call("IsLockPossible", Path="/Library/a")).ok
    said = await caller.call("Lock", Path="/Library/a")
    assert said.document.attrib == {"success": "true", "error": ""}
    assert (await caller.call("Lock", Path="/Library/a"))["error"] == "Already checked out by you."
    assert (await other.call("Lock", Path="/Library/a"))["error"] == "Already checked out by demo."
    assert (await other.call("IsLockPossible", Path="/Library/a")).code == "4000"
    [document] = await server.documents()
    assert document.checkout is not None
    assert document.checkout.login == "demo"


async def test_asking_whether_a_lock_is_possible_locks_nothing(caller: Caller) -> None:
    await caller.store("/Library/a")
    await caller.call("IsLockPossible", Path="/Library/a")
    assert (await caller.call("Lock", Path="/Library/a")).ok


async def test_a_lock_is_given_back_by_its_holder(caller: Caller, other: Caller) -> None:
    await caller.store("/Library/a")
    assert (await caller.call("UnLock", path="/Library/a", force="true")).code == "4000"
    await caller.call("Lock", Path="/Library/a")
    assert (await other.call("UnLock", path="/Library/a")).code == "4030"
    assert (await caller.call("UnLock", path="/Library/a")).ok
    assert (await caller.call("UnLock", path="/Library/a")).code == "4000"


async def test_a_lock_is_broken_by_force(caller: Caller, other: Caller) -> None:
    await caller.store("/Library/a")
    await caller.call("Lock", Path="/Library/a")
    assert (await other.call("UnLock", path="/Library/a", force="true")).ok
    assert (await other.call("Lock", Path="/Library/a")).ok


async def test_a_lock_lets_its_holder_add_a_version_and_stays(caller: Caller) -> None:
    await caller.store("/Library/a")
    await caller.call("Lock", Path="/Library/a")
    assert (await caller.store("/Library/a"))["VersionId"] == "1000001"
    assert (await caller.call("UnLock", path="/Library/a")).ok


@pytest.mark.parametrize("operation", ["DocumentExists", "GetDocument", "GetDocumentVersions", "Lock", "UnLock"])
async def test_the_ticket_is_checked_before_the_document(caller: Caller, operation: str) -> None:
    caller.ticket = ""
    assert (await caller.call(operation, Path="/Library/none")).code == "4010"


async def test_stored_bytes_are_verified_against_what_was_filed(server: Emulator, caller: Caller) -> None:
    await caller.store("/Library/a", b"content")
    for number in ("0", "1000000"):
        said = await caller.call("VerifyVersionHash", path="/Library/a", versionNumber=number)
        assert said.document.attrib == {"success": "true", "hashVerified": "true"}
    await anyio.Path(await server.content("/Library/a")).write_bytes(b"confent")
    said = await caller.call("VerifyVersionHash", path="/Library/a")
    assert said.document.attrib == {"success": "true", "hashVerified": "false"}
    for path, number in (("/Library/none", "0"), ("/Library/a", "1000001")):
        assert (await caller.call("VerifyVersionHash", path=path, versionNumber=number)).code == "4041"

"""What lies in a folder."""

import pytest

from asyncupload.emulator import Emulator
from emulator.caller import Caller, Said

pytestmark = pytest.mark.anyio


async def listed(server: Emulator, caller: Caller, operation: str) -> Said:
    await server.create_folder("/Library/sub/below")
    await caller.store("/Library/b", b"four")
    await caller.store("/Library/A")
    await caller.store("/Library/sub/deep")
    return await caller.call(operation, Path="/Library")


async def test_the_full_form_tells_what_get_document_tells(server: Emulator, caller: Caller) -> None:
    said = await listed(server, caller, "GetFoldersAndDocuments")
    folder, *documents = said.document
    assert (said.document.tag, folder.tag, folder.get("Name"), folder.get("Path")) == (
        "root",
        "folder",
        "sub",
        "\\Library",
    )
    assert [one.get("Name") for one in documents] == ["A", "b"]
    assert documents[1].attrib == (await caller.call("GetDocument", Path="/Library/b")).document[0].attrib


async def test_the_short_form(server: Emulator, caller: Caller) -> None:
    said = await listed(server, caller, "GetFoldersAndDocuments1")
    assert (said.document.tag, said["name"], said["itemcount"]) == ("response", "Library", "3")
    assert [(one.tag, one.get("n")) for one in said.document] == [("f", "sub"), ("d", "A"), ("d", "b")]
    assert (said.document[2].get("size"), said.document[2].get("version")) == ("4", "1000000")


async def test_the_form_with_names_only(server: Emulator, caller: Caller) -> None:
    said = await listed(server, caller, "GetFoldersAndDocuments2")
    assert [(one.tag, one.get("name"), one.get("versionid")) for one in said.document] == [
        ("folder", "sub", None),
        ("document", "A", "1000000"),
        ("document", "b", "1000000"),
    ]


@pytest.mark.parametrize("suffix", ["", "1", "2"])
async def test_a_missing_folder_is_an_error_and_no_empty_list(caller: Caller, suffix: str) -> None:
    assert (await caller.call(f"GetFoldersAndDocuments{suffix}", Path="/None")).code == "4041"
    caller.ticket = ""
    assert (await caller.call(f"GetFoldersAndDocuments{suffix}", Path="/Library")).code == "4010"

"""Folders: there or not, made, and what they allow."""

import pytest

from asyncupload.emulator import Emulator
from emulator.caller import Caller

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize("path", ["/Finance/Reports", "finance\\reports\\", "/Finance", "//Finance//Reports"])
async def test_a_folder_that_is_there_says_nothing_else(caller: Caller, path: str) -> None:
    said = await caller.call("FolderExists", Path=path)
    assert (said.document.tag, said.document.attrib) == ("response", {"success": "true"})


@pytest.mark.parametrize("path", ["/Finance/None", "/None", "/", "/Library/a", "~F99", "~D1", "/Finance/../Finance"])
async def test_what_is_no_folder_is_4041(caller: Caller, path: str) -> None:
    await caller.store("/Library/a")
    for operation in ("FolderExists", "GetFolderRules"):
        said = await caller.call(operation, Path=path)
        assert (said.status, said["success"], said.code, said["error"]) == (200, "false", "4041", "Folder not found.")


async def test_a_folder_is_found_by_parent_and_name(caller: Caller) -> None:
    assert (await caller.call("FolderExists1", FolderPath="/Finance", FolderName="reports")).ok
    assert (await caller.call("FolderExists1", FolderPath="/Finance", FolderName="none")).code == "4041"
    assert (await caller.call("FolderExists1", FolderPath="/None", FolderName="reports")).code == "4041"
    assert (await caller.call("FolderExists1", FolderPath="/Finance", FolderName="")).status == 400


async def test_a_folder_is_made_with_all_its_levels(caller: Caller) -> None:
    said = await caller.call("CreateFolder", Path="/Finance/2024/Q1/March")
    assert said["FolderName"] == "March"
    assert (await caller.call("FolderExists", Path=f"~F{said['FolderId']}")).ok
    assert (await caller.store("/Finance/2024/Q1/March/a")).ok
    assert (await caller.call("CreateFolder", Path="/Finance/2024/Q1")).code == "4090"


async def test_a_made_folder_tells_its_real_name(caller: Caller) -> None:
    assert (await caller.call("CreateFolder", Path="/Finance/a#b  c...d. "))["FolderName"] == "a_b c.d"
    assert (await caller.call("FolderExists", Path="/Finance/a_b c.d")).ok


async def test_a_folder_does_not_take_the_name_of_a_document(caller: Caller) -> None:
    await caller.store("/Library/a")
    assert (await caller.call("CreateFolder", Path="/Library/A")).code == "4090"


@pytest.mark.parametrize("path", ["/NewLibrary", "/None/a", "/"])
async def test_a_library_is_not_made(caller: Caller, path: str) -> None:
    assert (await caller.call("CreateFolder", Path=path)).code == "4041"


async def test_a_name_of_which_nothing_is_left_is_refused(caller: Caller) -> None:
    assert (await caller.call("CreateFolder", Path="/Library/...")).code == "4000"


async def test_everything_is_allowed(caller: Caller) -> None:
    said = await caller.call("GetFolderRules", Path="/Library")
    rules = {rule.attrib["Name"]: rule.attrib["Value"] for rule in said.document.iter("Rule")}
    assert rules == {"AllowableFileTypes": "*", "NewDocuments": "allows", "Checkins": "allows", "Checkouts": "allows"}


async def test_the_lever_makes_libraries_too(server: Emulator, caller: Caller) -> None:
    await server.create_folder("/Brand/New")
    await server.create_folder("/brand/new")
    assert (await caller.call("FolderExists", Path="/Brand/New")).ok


@pytest.mark.parametrize("operation", ["FolderExists", "CreateFolder", "GetFolderRules"])
async def test_the_ticket_is_checked_before_the_folder(caller: Caller, operation: str) -> None:
    caller.ticket = ""
    assert (await caller.call(operation, Path="/None/a")).code == "4010"

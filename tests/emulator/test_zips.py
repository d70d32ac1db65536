"""A ZIP that becomes documents."""

import io
import zipfile
from pathlib import Path

import anyio
import pytest

from asyncupload.emulator import Emulator
from emulator.caller import Caller, Said

pytestmark = pytest.mark.anyio

Members = dict[str, bytes]


def zipped(members: Members) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return buffer.getvalue()


async def upload(caller: Caller, content: bytes, folder: str = "/Library", **flags: str) -> Said:
    handler = await caller.staged(content)
    return await caller.call("UploadZipWithHandler", folderPath=folder, uploadHandler=handler, **flags)


def log(said: Said) -> dict[str, str]:
    """Item to error."""
    return {row.findtext("item", ""): row.findtext("error", "") for row in said.document.iterfind("logs/log")}


async def stored(server: Emulator) -> Members:
    return {one.path: await anyio.Path(await server.content(one.path)).read_bytes() for one in await server.documents()}


async def test_members_become_documents_in_folders_of_their_own(server: Emulator, caller: Caller) -> None:
    said = await upload(caller, zipped({"a.txt": b"one", "empty/": b"", "b/c/d.txt": b"two", "b/zero": b""}))
    assert (said.document.tag, said.ok, log(said)) == ("root", True, {})
    assert said.document.find("logs") is not None
    assert await stored(server) == {"/Library/a.txt": b"one", "/Library/b/c/d.txt": b"two", "/Library/b/zero": b""}
    assert (await caller.call("FolderExists", Path="/Library/empty")).ok
    assert await server.open_handlers() == []
    assert server.calls[-2].applied


async def test_an_existing_document_needs_a_checkout_of_its_own(server: Emulator, caller: Caller) -> None:
    await upload(caller, zipped({"a": b"one", "b": b"one"}))
    said = await upload(caller, zipped({"a": b"two", "c": b"two"}))
    assert (said["success"], said["error"]) == ("false", "[log]")
    assert log(said) == {"a": "This document is not checked out."}
    assert (await stored(server))["/Library/c"] == b"two"
    assert (await upload(caller, zipped({"a": b"two"}), checkOutCheckIn="true")).ok
    assert (await stored(server))["/Library/a"] == b"two"
    assert await server.checkouts() == {}


async def test_only_what_has_changed_gets_a_version(server: Emulator, caller: Caller) -> None:
    await upload(caller, zipped({"a": b"same", "b": b"old"}))
    assert (await upload(caller, zipped({"a": b"same", "b": b"new"}), changedOnly="true")).ok
    assert {one.name: len(one.versions) for one in await server.documents()} == {"a": 1, "b": 2}


@pytest.mark.parametrize("told", [True, False])
async def test_subscribers_are_told_if_asked_for(server: Emulator, caller: Caller, told: bool) -> None:
    await upload(caller, zipped({"a": b"one"}), sendEmail=str(told).lower())
    assert [one.latest.notified for one in await server.documents()] == [told]


@pytest.mark.parametrize("name", ["../a", "b/../../a", "/a", "./a", "..\\a", "\\a"])
async def test_a_name_that_leads_out_of_the_folder_is_an_error_of_its_item(
    server: Emulator, caller: Caller, name: str
) -> None:
    said = await upload(caller, zipped({name: b"out", "good": b"in"}))
    assert list(log(said).values()) == ["The name leads out of the folder."]
    assert await stored(server) == {"/Library/good": b"in"}


async def test_a_name_that_no_document_may_have_is_an_error_of_its_item(caller: Caller) -> None:
    assert list(log(await upload(caller, zipped({"a:b": b"x"})))) == ["a:b"]


async def test_a_bomb_is_an_error_of_its_item(server: Emulator, caller: Caller) -> None:
    said = await upload(caller, zipped({"bomb": bytes(5_000_000), "good": b"in"}))
    assert log(said) == {"bomb": "The member would unpack to 5000000 bytes, which is too much."}
    assert await stored(server) == {"/Library/good": b"in"}


async def test_a_member_beyond_the_limit_of_documents_is_an_error_of_its_item(tmp_path: Path) -> None:
    async with Emulator(tmp_path, document_max_size=1000) as server, Caller(server.url) as caller:
        await caller.sign_in("demo", "demo")
        assert list(log(await upload(caller, zipped({"large": bytes(1001), "good": b"in"})))) == ["large"]


async def test_a_broken_member_is_an_error_of_its_item(server: Emulator, caller: Caller) -> None:
    content = zipped({"bad": b"some text", "good": b"in"}).replace(zipped({"bad": b"some text"})[33:40], b"garbage", 1)
    said = await upload(caller, content)
    assert log(said)["bad"].startswith("Unzip operation failed: ")
    assert await stored(server) == {"/Library/good": b"in"}


async def test_what_is_no_zip_is_refused(server: Emulator, caller: Caller) -> None:
    said = await upload(caller, b"no zip")
    assert said.code == "4000"
    assert said["error"].startswith("Unzip operation failed: ")
    assert await server.open_handlers() == []


async def test_a_missing_folder_is_4041(caller: Caller) -> None:
    assert (await upload(caller, zipped({"a": b"x"}), "/None")).code == "4041"


async def test_zip_logs(tmp_path: Path) -> None:
    async with Emulator(tmp_path, variants=["zip-logs"]) as server, Caller(server.url) as caller:
        await caller.sign_in("demo", "demo")
        assert log(await upload(caller, zipped({"a": b"x", "b/": b""}))) == {"a": "", "b/": ""}


async def test_a_refused_zip_stays_where_a_refused_finalize_does(tmp_path: Path) -> None:
    async with Emulator(tmp_path, variants=["lenient-consume"]) as server, Caller(server.url) as caller:
        await caller.sign_in("demo", "demo")
        handler = await caller.staged(zipped({"../a": b"out", "b": b"in"}))
        for _ in range(2):
            said = await caller.call("UploadZipWithHandler", folderPath="/Library", uploadHandler=handler)
            assert "../a" in log(said)
        assert [one.guid for one in await server.open_handlers()] == [handler]


async def test_what_a_killed_server_was_unpacking_is_dropped(tmp_path: Path) -> None:
    left = tmp_path / "staging" / "zip-left"
    left.mkdir(parents=True)
    (left / "member").write_bytes(b"half")
    async with Emulator(tmp_path):
        assert not left.exists()

"""Each variant against the same call without it."""

from collections.abc import Awaitable, Callable
from dataclasses import fields
from pathlib import Path

import pytest

from asyncupload.emulator import VARIANTS, Emulator
from asyncupload.emulator.variants import Behaviour, behaviour
from emulator.caller import Caller, Said


def test_every_variant_has_its_switch() -> None:
    switches = {field.name.replace("_", "-") for field in fields(Behaviour)}
    assert switches == VARIANTS.keys()
    assert behaviour(VARIANTS) == Behaviour(**{field.name: True for field in fields(Behaviour)})
    assert behaviour(()) == Behaviour()


def test_an_unknown_variant_is_refused_with_the_known_ones(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no such variant: nonsense; known are mismatch-success, "):
        Emulator(tmp_path, variants=["nonsense", "auto-version"])


async def with_and_without(data: Path, variant: str, tried: Callable[[Caller], Awaitable[Said]]) -> tuple[Said, Said]:
    """What `tried` is told by an emulator with the variant, and by one without."""
    told = []
    for name, variants in (("with", [variant]), ("without", [])):
        users = {"demo": "demo", "other": "secret", "SysAdmin": "pass"}
        async with Emulator(data / name, users=users, variants=variants) as server, Caller(server.url) as caller:
            await caller.sign_in("demo", "demo")
            told.append(await tried(caller))
    return told[0], told[1]


@pytest.mark.anyio
async def test_mismatch_success(tmp_path: Path) -> None:
    async def tried(caller: Caller) -> Said:
        return await caller.chunk(await caller.open(), b"data", crc="0")

    varied, strict = await with_and_without(tmp_path, "mismatch-success", tried)
    assert varied.document.attrib == {"success": "true", "tryagain": "true"}
    assert (strict["success"], strict["tryagain"]) == ("false", "true")


@pytest.mark.anyio
async def test_no_filehexcrc(tmp_path: Path) -> None:
    async def tried(caller: Caller) -> Said:
        return await caller.chunk(await caller.open(), b"data", last=True)

    varied, strict = await with_and_without(tmp_path, "no-filehexcrc", tried)
    assert varied.document.attrib == {"success": "true", "tryagain": "false"}
    assert "filehexcrc" in strict.document.attrib


async def refused(caller: Caller) -> Said:
    return await caller.call("DocumentExists", Path="/Library/none")


@pytest.mark.anyio
async def test_swapped_roots(tmp_path: Path) -> None:
    varied, strict = await with_and_without(tmp_path, "swapped-roots", refused)
    assert (varied.document.tag, strict.document.tag) == ("root", "response")
    varied, strict = await with_and_without(tmp_path, "swapped-roots", lambda caller: caller.call("isValidTicket"))
    assert (varied.document.tag, strict.document.tag) == ("response", "root")


@pytest.mark.anyio
async def test_no_errorcode(tmp_path: Path) -> None:
    varied, strict = await with_and_without(tmp_path, "no-errorcode", refused)
    assert varied.document.attrib == {"success": "false", "error": "Document not found."}
    assert strict.document.attrib == {**varied.document.attrib, "errorCode": "4041"}


@pytest.mark.anyio
async def test_lowercase_errorcode(tmp_path: Path) -> None:
    varied, _ = await with_and_without(tmp_path, "lowercase-errorcode", refused)
    assert varied.document.attrib == {"success": "false", "error": "Document not found.", "errorcode": "4041"}


@pytest.mark.anyio
async def test_lenient_consume(tmp_path: Path) -> None:
    async def tried(caller: Caller) -> Said:
        handler = await caller.staged()
        assert not (await caller.call("UploadDocumentWithHandler", path="/None/a", uploadHandler=handler)).ok
        said = await caller.call("UploadDocumentWithHandler", path="/Library/a", uploadHandler=handler)
        again = await caller.call("UploadDocumentWithHandler", path="/Library/b", uploadHandler=handler)
        assert again.code == "4000"
        return said

    varied, strict = await with_and_without(tmp_path, "lenient-consume", tried)
    assert (varied.ok, strict.ok) == (True, False)


@pytest.mark.anyio
async def test_auto_version(tmp_path: Path) -> None:
    async def tried(caller: Caller) -> Said:
        await caller.store("/Library/a")
        return await caller.store("/Library/a")

    varied, strict = await with_and_without(tmp_path, "auto-version", tried)
    assert varied["VersionId"] == "1000001"
    assert strict.code == "4000"


@pytest.mark.anyio
async def test_auto_version_respects_the_checkout_of_another_user(tmp_path: Path) -> None:
    async with Emulator(tmp_path, variants=["auto-version"]) as server, Caller(server.url) as caller:
        await caller.sign_in("demo", "demo")
        await caller.store("/Library/a")
        await server.set_checkout("/Library/a", "somebody")
        assert (await caller.store("/Library/a")).code == "4000"


@pytest.mark.anyio
@pytest.mark.parametrize("operation", ["FolderExists", "FolderExists1", "CreateFolder", "GetFolderRules"])
async def test_bare_failure(tmp_path: Path, operation: str) -> None:
    def tried(caller: Caller) -> Awaitable[Said]:
        return caller.call(operation, Path="/None/a", FolderPath="/None", FolderName="a")

    varied, strict = await with_and_without(tmp_path, "bare-failure", tried)
    assert varied.document.attrib == {"error": "Folder not found."}
    assert strict["success"] == "false"


@pytest.mark.anyio
async def test_bare_failure_concerns_folders_only(tmp_path: Path) -> None:
    varied, strict = await with_and_without(tmp_path, "bare-failure", refused)
    assert varied.document.attrib == strict.document.attrib


@pytest.mark.anyio
async def test_capital_roots(tmp_path: Path) -> None:
    varied, strict = await with_and_without(tmp_path, "capital-roots", refused)
    assert (varied.document.tag, strict.document.tag) == ("Response", "response")
    varied, strict = await with_and_without(tmp_path, "capital-roots", lambda caller: caller.call("isValidTicket"))
    assert (varied.document.tag, strict.document.tag) == ("Root", "root")


@pytest.mark.anyio
async def test_capital_booleans(tmp_path: Path) -> None:
    async def tried(caller: Caller) -> Said:
        return await caller.chunk(await caller.open(), b"data", crc="0")

    varied, strict = await with_and_without(tmp_path, "capital-booleans", tried)
    assert (varied["success"], varied["tryagain"]) == ("False", "True")
    assert (strict["success"], strict["tryagain"]) == ("false", "true")


@pytest.mark.anyio
async def test_no_sysadmin(tmp_path: Path) -> None:
    def tried(caller: Caller) -> Awaitable[Said]:
        return caller.call("AuthenticateUser", UID="sysadmin", PWD="pass")

    varied, strict = await with_and_without(tmp_path, "no-sysadmin", tried)
    assert (varied.ok, varied["error"]) == (False, "[902] Ticket generation not allowed")
    assert strict.ok


@pytest.mark.anyio
async def test_dead_ticket_4000(tmp_path: Path) -> None:
    async def tried(caller: Caller) -> Said:
        caller.ticket = "expired"
        return await refused(caller)

    varied, strict = await with_and_without(tmp_path, "dead-ticket-4000", tried)
    assert (varied.code, strict.code) == ("4000", "4010")
    assert varied["error"] == strict["error"] == "[901] Session expired or Invalid ticket"


@pytest.mark.anyio
async def test_empty_errors(tmp_path: Path) -> None:
    varied, strict = await with_and_without(tmp_path, "empty-errors", lambda caller: caller.call("DocumentExists"))
    assert (varied.status, varied.text) == (400, "")
    assert (strict.status, strict.content_type) == (400, "application/problem+json")


@pytest.mark.anyio
async def test_verified_child(tmp_path: Path) -> None:
    async def tried(caller: Caller) -> Said:
        await caller.store("/Library/a")
        return await caller.call("VerifyVersionHash", path="/Library/a")

    varied, strict = await with_and_without(tmp_path, "verified-child", tried)
    assert (varied.document.findtext("Value"), varied.document.attrib) == ("true", {"success": "true"})
    assert strict["hashVerified"] == "true"

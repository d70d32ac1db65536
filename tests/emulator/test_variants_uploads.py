"""The variants of the way from an upload handler to a document, each against the same calls without it."""

import base64
import zlib
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from asyncupload.emulator import Emulator
from emulator.caller import Caller, Said
from emulator.test_variants import with_and_without

pytestmark = pytest.mark.anyio

Tried = Callable[[Caller], Awaitable[Said]]
"""What is tried with and without the variant; its last answer decides."""

SHORT = next(data for number in range(1000) if zlib.crc32(data := b"%d" % number) < 1 << 28)
"""Its CRC has a leading zero."""
UNKNOWN = "3f2504e0-4f89-41d3-9a0c-0305e82c3301"
FINALIZE = "UploadDocumentWithHandler"


def crc_text(written: str) -> Tried:
    """A chunk with its CRC written like this."""

    async def tried(caller: Caller) -> Said:
        return await caller.chunk(await caller.open(), SHORT, crc=written.format(zlib.crc32(SHORT)))

    return tried


async def multipart(caller: Caller) -> Said:
    return await caller.chunk(await caller.open(), b"data")


async def in_base64(caller: Caller) -> Said:
    return await caller.chunk_base64(await caller.open(), b"data")


async def by_get(caller: Caller) -> Said:
    fields = {"UploadHandler": await caller.open(), "ChunkHEXCRC": f"{zlib.crc32(b'data'):X}", "LastChunk": "true"}
    return await caller.get("UploadFileChunk", FileChunk=base64.b64encode(b"data").decode(), **fields)


async def handler_of_another_ticket(caller: Caller) -> Said:
    handler = await caller.open()
    await caller.sign_in("demo", "demo")
    return await caller.chunk(handler, b"data")


async def handler_of_another_user(caller: Caller) -> Said:
    handler = await caller.open()
    await caller.sign_in("other", "secret")
    return await caller.chunk(handler, b"data")


async def handler_without_ticket(caller: Caller) -> Said:
    ticket, caller.ticket = caller.ticket, ""
    said = await caller.call("CreateUploadHandler")
    caller.ticket = ticket
    return said


async def chunk_after_the_last(caller: Caller) -> Said:
    return await caller.chunk(await caller.staged(), b"more", last=True)


async def finalize_too_early(caller: Caller) -> Said:
    handler = await caller.open()
    await caller.chunk(handler, b"data")
    return await caller.call(FINALIZE, path="/Library/a", uploadHandler=handler)


async def large_chunk(caller: Caller) -> Said:
    return await caller.chunk(await caller.open(), bytes(262_145))


async def forbidden_name(caller: Caller) -> Said:
    await caller.store("/Library/a:b")
    return await caller.call("DocumentExists", Path="/Library/a_b")


async def no_parameters(caller: Caller) -> Said:
    handler = await caller.staged()
    return await caller.call(f"{FINALIZE}3", path="/Library/a", uploadHandler=handler, xmlParameters="")


async def still_locked(caller: Caller) -> Said:
    """A new version under a lock, and then the release of that lock."""
    await caller.store("/Library/a")
    await caller.call("Lock", Path="/Library/a")
    assert (await caller.store("/Library/a")).ok
    return await caller.call("UnLock", path="/Library/a")


async def locked_by_a_new_document(caller: Caller) -> Said:
    xml = '<p><i NAME="CHECKOUT" VALUE="yes"/></p>'
    handler = await caller.staged()
    said = await caller.call(f"{FINALIZE}3", path="/Library/a", uploadHandler=handler, xmlParameters=xml)
    assert said.ok
    return await caller.call("UnLock", path="/Library/a")


SWITCHED: list[tuple[str, Tried, tuple[bool, int], tuple[bool, int]]] = [
    ("unpadded-crc-text", crc_text("{:X}"), (True, 200), (True, 200)),
    ("unpadded-crc-text", crc_text("{:08X}"), (False, 200), (True, 200)),
    ("unpadded-crc-text", crc_text("{:x}"), (False, 200), (True, 200)),
    ("padded-crc-text", crc_text("{:08X}"), (True, 200), (True, 200)),
    ("padded-crc-text", crc_text("{:X}"), (False, 200), (True, 200)),
    ("padded-crc-text", crc_text("{:08x}"), (False, 200), (True, 200)),
    ("get-chunks", by_get, (True, 200), (False, 415)),
    ("no-multipart", multipart, (False, 400), (True, 200)),
    ("no-multipart", in_base64, (True, 200), (True, 200)),
    ("no-base64", in_base64, (False, 400), (True, 200)),
    ("no-base64", multipart, (True, 200), (True, 200)),
    ("ticket-bound", handler_of_another_ticket, (False, 200), (True, 200)),
    ("ticket-bound", multipart, (True, 200), (True, 200)),
    ("unbound", handler_of_another_user, (True, 200), (False, 200)),
    ("create-checks-ticket", handler_without_ticket, (False, 200), (True, 200)),
    ("checkout-locks", locked_by_a_new_document, (True, 200), (False, 200)),
    ("empty-parameters", no_parameters, (True, 200), (False, 400)),
    ("chunk-after-last", chunk_after_the_last, (True, 200), (False, 200)),
    ("early-finalize", finalize_too_early, (True, 200), (False, 200)),
    ("large-chunks", large_chunk, (True, 200), (False, 200)),
    ("clean-names", forbidden_name, (True, 200), (False, 200)),
    ("release-checkout", still_locked, (False, 200), (True, 200)),
]


@pytest.mark.parametrize(
    ("variant", "tried", "varied", "strict"), SWITCHED, ids=[f"{row[0]}-{n}" for n, row in enumerate(SWITCHED)]
)
async def test_a_variant_decides(
    tmp_path: Path, variant: str, tried: Tried, varied: tuple[bool, int], strict: tuple[bool, int]
) -> None:
    said = await with_and_without(tmp_path, variant, tried)
    assert [(one.root is not None and one.ok, one.status) for one in said] == [varied, strict]


async def test_padded_filehexcrc(tmp_path: Path) -> None:
    async def tried(caller: Caller) -> Said:
        return await caller.chunk(await caller.open(), SHORT, last=True)

    varied, strict = await with_and_without(tmp_path, "padded-filehexcrc", tried)
    assert (varied["filehexcrc"], strict["filehexcrc"]) == (f"{zlib.crc32(SHORT):08x}", f"{zlib.crc32(SHORT):X}")


@pytest.mark.parametrize(
    ("handler", "words"),
    [("nonsense", "Invalid upload handler."), (UNKNOWN, "The upload handler was not found or has expired.")],
)
async def test_old_handler_text(tmp_path: Path, handler: str, words: str) -> None:
    varied, strict = await with_and_without(tmp_path, "old-handler-text", lambda caller: caller.chunk(handler, b"data"))
    assert (varied["error"], varied.code) == (words, "4000")
    assert strict["error"] != varied["error"]


async def test_a_ticket_bound_handler_without_ticket_is_bound_by_its_first_use(tmp_path: Path) -> None:
    async with Emulator(tmp_path, variants=["ticket-bound"]) as server, Caller(server.url) as caller:
        handler = await caller.open()
        await caller.sign_in("demo", "demo")
        assert (await caller.chunk(handler, b"one")).ok
        assert (await caller.chunk(handler, b"two", last=True)).ok
        first = caller.ticket
        await caller.sign_in("demo", "demo")
        fields = {"path": "/Library/a", "uploadHandler": handler}
        assert (await caller.call(FINALIZE, **fields)).code == "4000"
        assert (await caller.call("DeleteUploadHandler", UploadHandler=handler)).ok
        caller.ticket = first
        assert (await caller.call(FINALIZE, **fields)).ok


async def test_a_chunk_after_the_last_is_appended_and_told(tmp_path: Path) -> None:
    varied, _ = await with_and_without(tmp_path, "chunk-after-last", chunk_after_the_last)
    assert int(varied["filehexcrc"], 16) == zlib.crc32(b"contentmore")


async def test_an_early_finalize_files_what_there_is(tmp_path: Path) -> None:
    async with Emulator(tmp_path, variants=["early-finalize"]) as server, Caller(server.url) as caller:
        await caller.sign_in("demo", "demo")
        assert (await finalize_too_early(caller)).ok
        assert (await server.content("/Library/a")).read_bytes() == b"data"
        nothing = await caller.call(FINALIZE, path="/Library/b", uploadHandler=await caller.open())
        assert nothing.code == "4000"


async def test_checkout_locks_needs_a_lock_first_and_keeps_it(tmp_path: Path) -> None:
    async with Emulator(tmp_path, variants=["checkout-locks"]) as server, Caller(server.url) as caller:
        await caller.sign_in("demo", "demo")
        await caller.store("/Library/a")
        xml = '<p><i NAME="CHECKOUT" VALUE="yes"/></p>'

        async def again() -> Said:
            fields = {"path": "/Library/a", "uploadHandler": await caller.staged(), "xmlParameters": xml}
            return await caller.call(f"{FINALIZE}3", **fields)

        assert (await again()).code == "4000"
        await caller.call("Lock", Path="/Library/a")
        assert (await again()).ok
        assert await server.checkouts() == {"/Library/a": "demo"}


async def test_capital_documentid(tmp_path: Path) -> None:
    varied, strict = await with_and_without(tmp_path, "capital-documentid", lambda caller: caller.store("/Library/a"))
    assert varied["DocumentID"] == strict["DocumentId"]
    assert ("DocumentId" in varied.document.attrib, "DocumentID" in strict.document.attrib) == (False, False)


async def test_major_versions(tmp_path: Path) -> None:
    async def tried(caller: Caller) -> Said:
        await caller.store("/Library/a")
        await caller.call("Lock", Path="/Library/a")
        assert (await caller.store("/Library/a")).ok
        return await caller.store("/Library/a")

    varied, strict = await with_and_without(tmp_path, "major-versions", tried)
    assert (varied["VersionId"], strict["VersionId"]) == ("3000000", "1000002")


async def test_limit_at_chunk(tmp_path: Path) -> None:
    async with (
        Emulator(tmp_path, variants=["limit-at-chunk"], document_max_size=10) as server,
        Caller(server.url) as caller,
    ):
        await caller.sign_in("demo", "demo")
        handler = await caller.open()
        assert (await caller.chunk(handler, bytes(10))).ok
        assert (await caller.chunk(handler, b"x")).code == "4000"
        assert [one.size for one in await server.open_handlers()] == [10]


async def test_zero_is_latest(tmp_path: Path) -> None:
    async def tried(caller: Caller) -> Said:
        await caller.store("/Library/a", b"published")
        await caller.call("Lock", Path="/Library/a")
        xml = '<p><i NAME="PUBLISHOPTION" VALUE="DontPublish"/></p>'
        fields = {"path": "/Library/a", "uploadHandler": await caller.staged(b"new"), "xmlParameters": xml}
        assert (await caller.call(f"{FINALIZE}3", **fields)).ok
        return await caller.call("GetDownloadInfo", Path="/Library/a")

    varied, strict = await with_and_without(tmp_path, "zero-is-latest", tried)
    assert (varied["Size"], strict["Size"]) == ("3", "9")


async def test_roots_in_a_namespace_can_be_read_by_their_local_names(tmp_path: Path) -> None:
    async with Emulator(tmp_path, variants=["namespaced-roots"]) as server, Caller(server.url) as caller:
        await caller.sign_in("demo", "demo")
        document = (await caller.call("GetFolderRules", Path="/Library")).document
        assert document.tag == "{http://tempuri.org/}response"
        assert [child.tag for child in document] == ["{http://tempuri.org/}Rules"]


async def test_sample_names(tmp_path: Path) -> None:
    async def wished(caller: Caller) -> Said:
        return await caller.call("CreateUploadHandler", ChunkSize="300000")

    varied, strict = await with_and_without(tmp_path / "size", "sample-names", wished)
    assert (varied["ChunkSize"], strict["ChunkSize"]) == ("300000", "262144")

    async def commented(caller: Caller) -> Said:
        handler = await caller.staged()
        await caller.call(f"{FINALIZE}1", path="/Library/a", uploadHandler=handler, versionComment="why")
        return await caller.call("GetDocumentVersions", Path="/Library/a")

    varied, strict = await with_and_without(tmp_path / "comment", "sample-names", commented)
    assert (varied.document.findtext(".//Comment"), strict.document.findtext(".//Comment")) == ("why", "")


@pytest.mark.parametrize("variant", ["key-parameters", "item-parameters", "name-parameters"])
async def test_one_grammar_only(tmp_path: Path, variant: str) -> None:
    grammars = {
        "key-parameters": '<p><parameter key="DESCRIPTION">d</parameter></p>',
        "item-parameters": '<x><item NAME="DESCRIPTION" VALUE="d"/></x>',
        "name-parameters": '<p><parameter Name="DESCRIPTION" Value="d" /></p>',
    }

    async def described(caller: Caller) -> Said:
        """By every grammar, each for a document of its own."""
        for name, xml in grammars.items():
            fields = {"path": f"/Library/{name}", "uploadHandler": await caller.staged(), "xmlParameters": xml}
            assert (await caller.call(f"{FINALIZE}3", **fields)).ok
        return await caller.call("GetFoldersAndDocuments", Path="/Library")

    varied, strict = await with_and_without(tmp_path, variant, described)
    kept = {one.get("Name"): one.get("Description") for one in varied.document}
    assert kept == {name: "d" if name == variant else "" for name in grammars}
    assert {one.get("Description") for one in strict.document} == {"d"}

"""From a handler to a document."""

import asyncio
import base64
import zlib
from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import urlencode

import aiohttp
import anyio
import pytest

from asyncupload.emulator import Emulator
from emulator.caller import Caller, Said

pytestmark = pytest.mark.anyio

UNKNOWN = "3f2504e0-4f89-41d3-9a0c-0305e82c3301"


def described(said: Said) -> tuple[bool, str | None, int]:
    return said.ok, said.code, said.status


async def stored(server: Emulator, path: str) -> bytes:
    return await anyio.Path(await server.content(path)).read_bytes()


# --- CreateUploadHandler


@pytest.mark.parametrize(
    ("wished", "given"),
    [(0, 262_144), (1, 262_144), (-5, 262_144), (1_000_000, 1_000_000), (33_554_432, 33_554_432), (10**12, 33_554_432)],
)
async def test_a_wish_is_brought_into_the_range(caller: Caller, wished: int, given: int) -> None:
    said = await caller.call("CreateUploadHandler", PreferedChunkSize=str(wished))
    assert (said.document.tag, said.ok, said["error"], said["ChunkSize"]) == ("response", True, "", str(given))


async def test_no_wish_is_the_default(tmp_path: Path) -> None:
    async with Emulator(tmp_path, default_chunk_size=1000) as server, Caller(server.url) as caller:
        assert (await caller.call("CreateUploadHandler", ChunkSize="300000"))["ChunkSize"] == "1000"


async def test_a_wish_that_is_no_number_is_a_bad_request(caller: Caller) -> None:
    assert (await caller.call("CreateUploadHandler", PreferedChunkSize="much")).status == 400


async def test_a_handler_made_without_a_ticket_belongs_to_who_uses_it_first(caller: Caller, other: Caller) -> None:
    ticket, caller.ticket = caller.ticket, ""
    handler = await caller.open()
    caller.ticket = ticket
    assert (await caller.chunk(handler, b"mine")).ok
    assert (await other.chunk(handler, b"theirs")).code == "4000"


# --- UploadFileChunk


async def test_chunks_are_appended_in_order_and_the_last_tells_the_whole_crc(server: Emulator, caller: Caller) -> None:
    handler = await caller.open()
    first = await caller.chunk(handler, b"one ")
    assert first.document.tag == "root"
    assert first.document.attrib == {"success": "true", "tryagain": "false"}
    second = await caller.chunk_base64(handler, b"two \xff\x00+/=")
    assert second.ok
    last = await caller.chunk(handler, b"three", last=True)
    whole = b"one two \xff\x00+/=three"
    assert last["filehexcrc"] == f"{zlib.crc32(whole):X}"
    assert (await caller.call("UploadDocumentWithHandler", path="/Library/a.txt", uploadHandler=handler)).ok
    assert await stored(server, "/Library/a.txt") == whole


async def test_a_multipart_text_part_holds_base64(server: Emulator, caller: Caller) -> None:
    handler, data = await caller.open(), bytes(range(256))
    fields = {
        "authenticationTicket": caller.ticket,
        "UPLOADHANDLER": handler,
        "fileChunk": base64.b64encode(data).decode(),
        "chunkHEXCRC": f"{zlib.crc32(data):X}",
        "lastChunk": "true",
    }
    form = aiohttp.FormData(fields, default_to_multipart=True)
    assert (await caller.request("POST", "UploadFileChunk", data=form)).ok
    assert (await server.open_handlers())[0].crc == zlib.crc32(data)


@pytest.mark.parametrize("written", ["{:X}", "{:x}", "{:08X}", "  {:08x} ", "000{:08X}"])
async def test_a_crc_is_compared_as_a_number(caller: Caller, written: str) -> None:
    data = next(data for number in range(1000) if zlib.crc32(data := b"%d" % number) < 1 << 28)
    assert (await caller.chunk(await caller.open(), data, crc=written.format(zlib.crc32(data)))).ok


@pytest.mark.parametrize("crc", ["0", "xyz", "-1", "0x1", "1_0", "123456789"])
async def test_a_chunk_with_a_wrong_crc_is_not_appended(server: Emulator, caller: Caller, crc: str) -> None:
    handler = await caller.open()
    said = await caller.chunk(handler, b"data", last=True, crc=crc)
    assert (said.status, said["success"], said["tryagain"], said.code) == (200, "false", "true", None)
    assert (await server.open_handlers())[0].size == 0
    assert (await caller.chunk(handler, b"data", last=True))["filehexcrc"] == f"{zlib.crc32(b'data'):X}"


async def test_a_get_cannot_carry_bytes(caller: Caller) -> None:
    said = await caller.get(
        "UploadFileChunk", uploadHandler=UNKNOWN, fileChunk="QQ==", chunkHEXCRC="1", lastChunk="true"
    )
    assert (said.status, said.root) == (415, None)


async def test_an_empty_chunk_is_a_bad_request(caller: Caller) -> None:
    handler = await caller.open()
    assert (await caller.chunk(handler, b"", last=True)).status == 400
    assert (await caller.chunk_base64(handler, b"", last=True)).status == 400


@pytest.mark.parametrize("field", ["uploadHandler", "fileChunk", "chunkHEXCRC"])
async def test_a_missing_field_is_a_bad_request_even_without_a_ticket(caller: Caller, field: str) -> None:
    fields = {"uploadHandler": UNKNOWN, "fileChunk": "QQ==", "chunkHEXCRC": "1", "lastChunk": "true"}
    del fields[field]
    caller.ticket = ""
    said = await caller.call("UploadFileChunk", **fields)
    assert (said.status, said.content_type) == (400, "application/problem+json")
    assert field in said.text


@pytest.mark.parametrize(("field", "value"), [("fileChunk", "A"), ("fileChunk", "*"), ("lastChunk", "1")])
async def test_a_field_that_cannot_be_read_is_a_bad_request(caller: Caller, field: str, value: str) -> None:
    fields = {"uploadHandler": UNKNOWN, "fileChunk": "QQ==", "chunkHEXCRC": "1", "lastChunk": "true"}
    assert (await caller.call("UploadFileChunk", **{**fields, field: value})).status == 400


async def test_a_missing_last_flag_is_false(server: Emulator, caller: Caller) -> None:
    fields = {"fileChunk": "QQ==", "chunkHEXCRC": f"{zlib.crc32(b'A'):X}"}
    assert (await caller.call("UploadFileChunk", uploadHandler=await caller.open(), **fields)).ok
    assert [handler.completed for handler in await server.open_handlers()] == [False]


async def test_the_ticket_is_checked_before_the_handler(caller: Caller) -> None:
    caller.ticket = UNKNOWN
    assert described(await caller.chunk("no handler", b"data")) == (False, "4010", 200)


@pytest.mark.parametrize(("handler", "words"), [("no handler", "It is the GUID"), (UNKNOWN, "cannot be found")])
async def test_an_unknown_handler_is_4000(caller: Caller, handler: str, words: str) -> None:
    said = await caller.chunk(handler, b"data")
    assert described(said) == (False, "4000", 200)
    assert words in said["error"]


async def test_a_handler_is_bound_to_its_user_and_not_to_a_ticket(caller: Caller, other: Caller) -> None:
    handler = await caller.open()
    assert (await other.chunk(handler, b"data")).code == "4000"
    await caller.sign_in("demo", "demo")
    assert (await caller.chunk(handler, b"data")).ok


async def test_a_chunk_larger_than_negotiated_is_refused(server: Emulator, caller: Caller) -> None:
    handler = await caller.open(262_144)
    assert (await caller.chunk(handler, bytes(262_145))).code == "4000"
    assert (await server.open_handlers())[0].size == 0
    assert (await caller.chunk(handler, bytes(262_144))).ok


async def test_the_largest_chunk_passes(server: Emulator, caller: Caller) -> None:
    handler = await caller.open(33_554_432)
    assert (await caller.chunk(handler, bytes(33_554_432))).ok
    assert (await server.open_handlers())[0].size == 33_554_432


async def test_a_chunk_after_the_last_is_refused(server: Emulator, caller: Caller) -> None:
    handler = await caller.staged(b"all")
    assert (await caller.chunk(handler, b"more", last=True)).code == "4000"
    assert (await server.open_handlers())[0].size == 3


async def test_requests_on_one_handler_are_served_one_after_another(server: Emulator, caller: Caller) -> None:
    handler = await caller.open()
    pieces = [bytes([number]) * 1000 for number in range(40)]
    said = await asyncio.gather(*(caller.chunk(handler, piece) for piece in pieces))
    assert all(one.ok for one in said)
    assert (await caller.chunk(handler, b"end", last=True)).ok
    assert (await caller.call("UploadDocumentWithHandler", path="/Library/a", uploadHandler=handler)).ok
    content = await stored(server, "/Library/a")
    assert sorted(content[at : at + 1000] for at in range(0, 40_000, 1000)) == sorted(pieces)
    assert content.endswith(b"end")


async def test_a_chunk_has_its_place_from_when_it_was_received_whole(server: Emulator, caller: Caller) -> None:
    handler, gate = await caller.open(), asyncio.Event()
    fields = {
        "authenticationTicket": caller.ticket,
        "uploadHandler": handler,
        "fileChunk": base64.b64encode(b"second").decode(),
        "chunkHEXCRC": f"{zlib.crc32(b'second'):X}",
    }
    body = urlencode(fields).encode()

    async def slowly() -> AsyncIterator[bytes]:
        yield body[:-4]
        await gate.wait()
        yield body[-4:]

    kind = {"Content-Type": "application/x-www-form-urlencoded"}
    slow = asyncio.create_task(caller.request("POST", "UploadFileChunk", data=slowly(), headers=kind))
    while server.calls[-1].operation != "UploadFileChunk":  # noqa: ASYNC110
        await asyncio.sleep(0.005)
    assert (await caller.chunk(handler, b"first ")).ok
    gate.set()
    assert (await slow).ok
    assert (await caller.chunk(handler, b"!", last=True))["filehexcrc"] == f"{zlib.crc32(b'first second!'):X}"


async def test_two_clients_do_not_disturb_each_other(server: Emulator, caller: Caller, other: Caller) -> None:
    async def bring(who: Caller, name: str, byte: bytes) -> None:
        handler = await who.open()
        for _ in range(20):
            assert (await who.chunk(handler, byte * 5000)).ok
        assert (await who.chunk(handler, byte, last=True)).ok
        assert (await who.call("UploadDocumentWithHandler", path=f"/Library/{name}", uploadHandler=handler)).ok

    await asyncio.gather(bring(caller, "a", b"a"), bring(other, "b", b"b"))
    assert await stored(server, "/Library/a") == b"a" * 100_001
    assert await stored(server, "/Library/b") == b"b" * 100_001


# --- DeleteUploadHandler


async def test_deleting_a_handler_drops_its_bytes(server: Emulator, caller: Caller, tmp_path: Path) -> None:
    handler = await caller.staged()
    said = await caller.call("DeleteUploadHandler", UploadHandler=handler)
    assert said.document.attrib == {"success": "true", "error": ""}
    assert await server.open_handlers() == []
    assert list((tmp_path / "data" / "staging").iterdir()) == []


async def test_deleting_twice_is_a_success(caller: Caller) -> None:
    handler = await caller.open()
    assert (await caller.call("DeleteUploadHandler", UploadHandler=handler)).ok
    assert (await caller.call("DeleteUploadHandler", UploadHandler=handler)).ok


async def test_deleting_the_handler_of_another_user_leaves_it(server: Emulator, caller: Caller, other: Caller) -> None:
    handler = await caller.open()
    assert (await other.call("DeleteUploadHandler", UploadHandler=handler)).ok
    assert [one.guid for one in await server.open_handlers()] == [handler]


async def test_deleting_looks_at_the_guid_before_the_ticket(caller: Caller) -> None:
    caller.ticket = ""
    said = await caller.call("DeleteUploadHandler", UploadHandler="no handler")
    assert (said.code, said["error"]) == ("4000", "bad Request")
    assert (await caller.call("DeleteUploadHandler", UploadHandler=UNKNOWN)).code == "4010"


# --- the finalize operations


async def test_a_new_document_is_named_by_its_ids(server: Emulator, caller: Caller) -> None:
    said = await caller.store("/Library/a.txt", b"bytes")
    assert said.document.tag == "root"
    [document] = await server.documents()
    assert (said["DocumentId"], said["VersionId"]) == (str(document.id), "1000000")
    assert (document.path, document.latest.size, document.latest.crc32) == ("/Library/a.txt", 5, zlib.crc32(b"bytes"))
    assert await server.open_handlers() == []


@pytest.mark.parametrize("path", ["library\\A.TXT", "/LIBRARY//a.txt/", "Library/a.txt"])
async def test_a_path_is_found_however_it_is_written(server: Emulator, caller: Caller, path: str) -> None:
    await caller.store("/Library/a.txt")
    assert (await caller.store(path))["error"] == "This document is not checked out."
    await server.set_checkout(path, "demo")
    assert (await caller.store(path))["VersionId"] == "1000001"


async def test_a_new_version_needs_the_callers_own_checkout(server: Emulator, caller: Caller) -> None:
    await caller.store("/Library/a")
    await server.set_checkout("/Library/a", "somebody")
    assert (await caller.store("/Library/a")).code == "4000"
    await server.set_checkout("/Library/a", "demo")
    assert (await caller.store("/Library/a", b"second"))["VersionId"] == "1000001"
    [document] = await server.documents()
    assert [version.size for version in document.versions] == [7, 6]
    assert document.checkout is not None


async def test_a_short_path_names_an_existing_document(server: Emulator, caller: Caller) -> None:
    document = (await caller.store("/Library/a.txt"))["DocumentId"]
    await server.set_checkout("/Library/a.txt", "demo")
    assert (await caller.store(f"~D{document}.txt"))["VersionId"] == "1000001"
    assert (await caller.store("~D999")).code == "4041"
    assert (await caller.store("~X1"))["error"] == "InvalidDocumentIdentifer"


async def test_the_comment_is_kept_with_the_version(server: Emulator, caller: Caller) -> None:
    fields = {"uploadHandler": await caller.staged(), "path": "/Library/a", "versionComments": "March & April"}
    assert (await caller.call("UploadDocumentWithHandler1", **fields)).ok
    assert (await server.documents())[0].latest.comment == "March & April"


async def test_the_comment_of_the_plain_finalize_is_an_unknown_field(server: Emulator, caller: Caller) -> None:
    fields = {"uploadHandler": await caller.staged(), "path": "/Library/a", "versionComments": "x"}
    assert (await caller.call("UploadDocumentWithHandler", **fields)).ok
    assert (await server.documents())[0].latest.comment == ""


async def finalize3(caller: Caller, xml: str, path: str = "/Library/a") -> Said:
    handler = await caller.staged()
    return await caller.call("UploadDocumentWithHandler3", path=path, uploadHandler=handler, xmlParameters=xml)


def items(**values: str) -> str:
    return "<x>" + "".join(f'<item NAME="{key}" VALUE="{value}"/>' for key, value in values.items()) + "</x>"


async def test_parameters_are_kept(server: Emulator, caller: Caller) -> None:
    xml = items(VERSIONCOMMENT="c", DESCRIPTION="d", KEYWORDS="k, l", PUBLISHOPTION="DontPublish")
    assert (await finalize3(caller, xml)).ok
    [document] = await server.documents()
    assert (document.latest.comment, document.description, document.keywords) == ("c", "d", "k, l")
    assert document.published is None


async def test_checkout_checks_out_and_in(server: Emulator, caller: Caller) -> None:
    assert (await finalize3(caller, items(CHECKOUT="yes"))).ok
    assert (await finalize3(caller, items(CHECKOUT="no"))).code == "4000"
    assert (await finalize3(caller, items(CHECKOUT="yes")))["VersionId"] == "1000001"
    await server.set_checkout("/Library/a", "demo")
    assert (await finalize3(caller, items(CHECKOUT="yes")))["VersionId"] == "1000002"
    assert (await server.documents())[0].checkout is None
    await server.set_checkout("/Library/a", "somebody")
    assert (await finalize3(caller, items(CHECKOUT="yes"))).code == "4000"


@pytest.mark.parametrize(
    ("xml", "status", "code"),
    [("", 400, None), ("<a>", 500, None), ('<a><i NAME="CHECKOUT" VALUE="oui"/></a>', 200, "4000")],
)
async def test_parameters_that_cannot_be_read(caller: Caller, xml: str, status: int, code: str | None) -> None:
    said = await finalize3(caller, xml)
    assert said.status == status
    assert (None if said.root is None else said.code) == code


async def finalize_new(caller: Caller, folder: str, name: str, xml: str = "<parameters />") -> Said:
    fields = {"FolderPath": folder, "DocumentName": name, "xmlParameters": xml, "uploadHandler": await caller.staged()}
    return await caller.call("UploadNewDocumentWidthHandler", **fields)


async def test_creating_only_never_makes_a_second_version(server: Emulator, caller: Caller) -> None:
    said = await finalize_new(caller, "/Library", "a.txt", items(VERSIONCOMMENT="c"))
    assert said["VersionId"] == "1000000"
    await server.set_checkout("/Library/a.txt", "demo")
    assert (await finalize_new(caller, "/Library", "A.TXT")).code == "4090"
    assert (await finalize_new(caller, "/Nowhere", "a.txt")).code == "4041"
    assert (await finalize_new(caller, "/Library", "b/c")).code == "4000"
    assert (await finalize_new(caller, "/Library", "b", "")).status == 400
    [document] = await server.documents()
    assert [version.comment for version in document.versions] == ["c"]


@pytest.mark.parametrize("path", ["/Nowhere/a", "/Library/missing/a", "a", "/", "/Library/../Library/a"])
async def test_a_missing_folder_is_4041(server: Emulator, caller: Caller, path: str) -> None:
    assert (await caller.store(path)).code == "4041"
    assert await server.documents() == []


async def test_a_folder_is_not_overwritten(server: Emulator, caller: Caller) -> None:
    await server.create_folder("/Library/sub")
    assert (await caller.store("/Library/sub")).code == "4090"


@pytest.mark.parametrize("name", ["a:b", "a*", 'a"', "a|b", "..", ".", "a\x00b", "a\nb"])
async def test_a_document_name_that_is_forbidden_is_refused(server: Emulator, caller: Caller, name: str) -> None:
    assert (await caller.store(f"/Library/{name}")).code == "4000"
    assert await server.documents() == []


async def test_finalize_before_the_last_chunk_is_refused(caller: Caller) -> None:
    handler = await caller.open()
    await caller.chunk(handler, b"data")
    assert (await caller.call("UploadDocumentWithHandler", path="/Library/a", uploadHandler=handler)).code == "4000"


async def test_a_document_beyond_the_limit_is_refused_at_the_end(tmp_path: Path) -> None:
    async with Emulator(tmp_path, document_max_size=10) as server, Caller(server.url) as caller:
        await caller.sign_in("demo", "demo")
        assert (await caller.store("/Library/ten", bytes(10))).ok
        assert (await caller.store("/Library/eleven", bytes(11))).code == "4000"


@pytest.mark.parametrize("path", ["/Library/a", "/Nowhere/a"])
async def test_a_handler_serves_one_attempt_that_was_let_in(server: Emulator, caller: Caller, path: str) -> None:
    handler = await caller.staged()
    await caller.call("UploadDocumentWithHandler", path=path, uploadHandler=handler)
    again = await caller.call("UploadDocumentWithHandler", path="/Library/b", uploadHandler=handler)
    assert again["error"] == "The upload handler cannot be found."
    assert await server.open_handlers() == []


async def test_an_attempt_that_was_not_let_in_leaves_the_handler(caller: Caller, other: Caller) -> None:
    handler = await caller.staged()
    assert (await other.call("UploadDocumentWithHandler", path="/Library/a", uploadHandler=handler)).code == "4000"
    ticket, caller.ticket = caller.ticket, "expired"
    assert (await caller.call("UploadDocumentWithHandler", path="/Library/a", uploadHandler=handler)).code == "4010"
    caller.ticket = ticket
    assert (await caller.call("UploadDocumentWithHandler", path="", uploadHandler=handler)).status == 400
    assert (await caller.call("UploadDocumentWithHandler", path="/Library/a", uploadHandler=handler)).ok


async def test_a_finalize_by_get_works(caller: Caller) -> None:
    handler = await caller.staged()
    assert (await caller.get("UploadDocumentWithHandler", path="/Library/a b&c", uploadHandler=handler)).ok
    assert (await caller.get("DocumentExists", Path="/Library/a b&c")).ok

"""The faults as they meet a finalize, and what became of the document."""

from pathlib import Path

import pytest

from asyncupload.emulator import FAULTS, at
from emulator.raw import form_request
from emulator.trouble import SENT, settled, told, troubled

pytestmark = pytest.mark.anyio

FINALIZE = "UploadDocumentWithHandler"
ANSWERED = {
    *("close-idle", "close-on-reuse", "delay", "delay-after", "forget-sessions-after"),
    *("slow", "answer-twice", "answer-twice-late"),
}
"""The faults that leave the answer whole."""


@pytest.mark.parametrize(("name", "code"), [("consume-handler", "5030"), ("forbid", "4030")])
async def test_a_consumed_handler_is_gone_and_nothing_came_of_it(tmp_path: Path, name: str, code: str) -> None:
    async with troubled(tmp_path, at({(FINALIZE, 1): name}), variant="lenient-consume") as (
        server,
        caller,
    ):
        said = await caller.store("/Library/a")
        assert (said.ok, said.code) == (False, code)
        assert await server.open_handlers() == []
        assert await server.documents() == []
        assert not server.calls[-1].applied


@pytest.mark.parametrize("operation", ["AuthenticateUser", "CreateUploadHandler", FINALIZE])
async def test_a_success_without_ids_is_one_all_the_same(tmp_path: Path, operation: str) -> None:
    first = 2 if operation == "AuthenticateUser" else 1
    async with troubled(tmp_path, at({(operation, first): "no-ids", (FINALIZE, 2): "no-ids"})) as (server, caller):
        fields = {"path": "/Library/a", "UID": "demo", "PWD": "demo"}
        if operation == FINALIZE:
            fields["uploadHandler"] = await caller.staged()
        assert (await caller.call(operation, **fields)).document.attrib == {"success": "true"}
        assert (server.calls[-1].fault, server.calls[-1].applied) == ("no-ids", True)
        assert len(await server.documents()) == (operation == FINALIZE)
        assert len(await server.open_handlers()) == (operation == "CreateUploadHandler")


async def test_a_failure_keeps_its_words_where_ids_get_lost(tmp_path: Path) -> None:
    async with troubled(tmp_path, at({(FINALIZE, 1): "no-ids"})) as (_, caller):
        assert (await caller.store("/None/a")).code == "4041"


@pytest.mark.parametrize("name", [name for name, fault in FAULTS.items() if fault.fits(FINALIZE) and fault.applies])
async def test_a_finalize_may_be_applied_whatever_its_client_sees(tmp_path: Path, name: str) -> None:
    async with troubled(tmp_path, at({(FINALIZE, 1): name})) as (server, caller):
        handler = await caller.staged()
        fields = {"authenticationTicket": caller.ticket, "path": "/Library/a", "uploadHandler": handler}
        first, _ = await told(server.url, form_request(FINALIZE, **fields))
        assert (b"DocumentId" in first.body) == (name in ANSWERED)
        await settled(server)
        assert [document.path for document in await server.documents()] == ["/Library/a"]
        assert await server.open_handlers() == []


@pytest.mark.parametrize("name", [name for name, fault in FAULTS.items() if fault.fits(FINALIZE) and not fault.applies])
async def test_or_it_may_not(tmp_path: Path, name: str) -> None:
    async with troubled(tmp_path, at({(FINALIZE, 1): name})) as (server, caller):
        handler = await caller.staged()
        fields = {"authenticationTicket": caller.ticket, "path": "/Library/a", "uploadHandler": handler}
        await told(server.url, form_request(FINALIZE, **fields), SENT.get(name, 1.0))
        assert await server.documents() == []
        assert not any(call.applied for call in server.calls if call.fault)


@pytest.mark.parametrize("name", ["drop-late", "fail-504-late"])
async def test_what_comes_late_is_not_there_at_first(tmp_path: Path, name: str) -> None:
    async with troubled(tmp_path, at({(FINALIZE, 1): name})) as (server, caller):
        fields = {"authenticationTicket": caller.ticket, "path": "/Library/a", "uploadHandler": await caller.staged()}
        await told(server.url, form_request(FINALIZE, **fields))
        assert (await caller.call("DocumentExists", Path="/Library/a")).code == "4041"
        await settled(server)
        assert (await caller.call("DocumentExists", Path="/Library/a")).ok


async def test_what_would_come_late_ends_with_the_server(tmp_path: Path) -> None:
    async with troubled(tmp_path, at({(FINALIZE, 1): ("drop-late", "stall")})) as (server, caller):
        fields = {"authenticationTicket": caller.ticket, "path": "/Library/a", "uploadHandler": await caller.staged()}
        await told(server.url, form_request(FINALIZE, **fields))
        await settled(server)
        await server.stop()
        await server.start()
        assert await server.documents() == []
        assert len(await server.open_handlers()) == 1

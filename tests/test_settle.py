"""A request to store whose reply is lost: found out, repeated on its own handler, or told as unknown; never twice."""

import os
import re
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
from between import between
from conftest import BRISK, FOLDER, PATIENT
from troubled import against, count, holder

from asyncupload import AlreadyExists, AsyncUploadError, Client, Event, Outcome, OutcomeUnknown, ServerError, Stored
from asyncupload.emulator import Call, Emulator, Script

pytestmark = pytest.mark.anyio

TO = f"{FOLDER}/report.bin"
CREATE, ADD = "UploadNewDocumentWidthHandler", "UploadDocumentWithHandler1"
HURRIED = replace(PATIENT, timeouts=replace(PATIENT.timeouts, settle=0.5, finalize=0.1))
"""So little time for finding out that it runs out, and many times what a look takes."""


async def _numbers(server: Emulator) -> list[int]:
    (document,) = await server.documents()
    return [version.number for version in document.versions]


def _from_then_on(faults: dict[str, str]) -> tuple[list[str], Script]:
    """A script that begins when something stands in the list."""
    begun = list[str]()
    return begun, lambda call: faults.get(call.operation) if begun else None


# ── found ───────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("fault", ["drop-after", "drop-before", "refuse-500", "html", "stall"])
@pytest.mark.parametrize("operation", [CREATE, ADD])
async def test_a_lost_reply_ends_stored_once_with_the_right_numbers(operation: str, fault: str, tmp_path: Path) -> None:
    """Fault 42. What was done is found; what was not is asked for once more, on the same handler."""
    hits = {(operation, 1): fault}
    events = list[Event]()
    async with against(tmp_path, lambda call: hits.get((call.operation, call.number)), BRISK) as (server, client):
        if operation == ADD:
            await client.upload(b"before", to=TO)
        receipt = await client.upload(b"data", to=TO, version_comment="March", on_event=events.append)
        (document,) = await server.documents()
        assert len(document.versions) == (2 if operation == ADD else 1)
        assert (receipt.document_id, receipt.version_id) == (document.id, document.latest.number)
        assert document.latest.comment.startswith("March")
        assert (await server.content(TO)).read_bytes() == b"data"
        assert count(server, operation) == (1 if fault == "drop-after" else 2)
        assert count(server, "DeleteUploadHandler") == 0
        assert count(server, "UploadFileChunk") == (2 if operation == ADD else 1), "no byte goes twice"
        assert await holder(server, TO) is None
        assert await server.open_handlers() == []
    assert isinstance(events[-1], Stored)


async def test_both_requests_may_be_lost_and_the_second_found(tmp_path: Path) -> None:
    hits = {(CREATE, 1): "drop-before", (CREATE, 2): "drop-after"}
    async with against(tmp_path, lambda call: hits.get((call.operation, call.number))) as (server, client):
        receipt = await client.upload(b"data", to=TO)
        assert [receipt.version_id] == await _numbers(server)
        assert count(server, CREATE) == 2


@pytest.mark.parametrize("fault", ["drop-before", "refuse-500", "refuse-503", "html"])
@pytest.mark.parametrize("look", ["DocumentExists", "GetDocumentVersions", "GetDocument"])
async def test_trouble_in_looking_passes(look: str, fault: str, tmp_path: Path) -> None:
    lost = list[str]()

    def script(call: Call) -> str | None:
        if call.operation == ADD:
            lost.append("now")
            return "drop-after"
        if call.operation == look and lost == ["now"]:
            lost.append("looked")
            return fault
        return None

    async with against(tmp_path, script) as (server, client):
        await client.upload(b"before", to=TO)
        receipt = await client.upload(b"data", to=TO)
        assert lost == ["now", "looked"]
        assert receipt.version_id == (await _numbers(server))[-1]
        assert len(await _numbers(server)) == 2


async def test_a_ticket_that_dies_with_the_request_is_renewed_for_looking(tmp_path: Path) -> None:
    """Fault 67: a recycled application pool cuts the reply and forgets its tickets."""
    forgotten = list[str]()

    async def forget(operation: str) -> None:
        if operation == "GetDocumentVersions" and not forgotten:
            forgotten.append(operation)
            await server.forget_tickets()

    hits = {(CREATE, 1): "drop-after"}
    async with Emulator(tmp_path / "server", script=lambda call: hits.get((call.operation, call.number))) as server:
        async with (
            between(server.url, meanwhile=forget) as proxy,
            Client(proxy.url, user="demo", password="demo", settings=PATIENT) as client,
        ):
            receipt = await client.upload(b"data", to=TO)
        assert forgotten
        assert [receipt.version_id] == await _numbers(server)
        assert count(server, "AuthenticateUser") + count(server, "RenewTicket") == 2


# ── whose version it is ─────────────────────────────────────────────────────────────────────────────────────────────


async def test_an_equal_version_that_somebody_else_added_is_not_taken_for_ours(tmp_path: Path) -> None:
    """Only the token in the comment tells two equal contents apart."""
    rivals = list[int | None]()

    async def overtake(operation: str) -> None:
        if operation == ADD and not rivals:
            rivals.append(None)
            await server.set_checkout(TO, None)
            async with Client(server.url, user="anna", password="anna", settings=PATIENT) as other:
                receipt = await other.upload(b"equal", to=TO, version_comment="[upload 00000000]")
            rivals.append(receipt.version_id)
            await server.set_checkout(TO, "demo")

    # Anna's own request to store is the second; ours is the third and is lost before it is done, and then the fourth.
    hits = {(ADD, 2): "refuse-500"}
    users = {"demo": "demo", "anna": "anna"}
    async with Emulator(tmp_path / "server", script=lambda c: hits.get((c.operation, c.number)), users=users) as server:
        async with (
            between(server.url, meanwhile=overtake) as proxy,
            Client(proxy.url, user="demo", password="demo", settings=BRISK) as client,
        ):
            await client.upload(b"before", to=TO)
            receipt = await client.upload(b"equal", to=TO)
        (document,) = await server.documents()
        assert len(document.versions) == 3
        assert receipt.version_id == document.versions[2].number
        assert document.versions[1].number == rivals[1]
        assert document.versions[1].author == "anna"
        assert document.versions[2].author == "demo"


async def test_ours_is_found_beneath_a_version_that_somebody_added_after_it(tmp_path: Path) -> None:
    """And the receipt names ours, not the latest."""
    lost = list[str]()

    async def add_another(operation: str) -> None:
        if operation == ADD:
            lost.append(operation)
        if operation == "DocumentExists" and len(lost) == 1:
            lost.append("overtaken")
            await server.set_checkout(TO, None)
            async with Client(server.url, user="anna", password="anna", settings=PATIENT) as other:
                await other.upload(b"newer", to=TO)

    hits = {(ADD, 1): "drop-after"}
    users = {"demo": "demo", "anna": "anna"}
    async with Emulator(tmp_path / "server", script=lambda c: hits.get((c.operation, c.number)), users=users) as server:
        async with (
            between(server.url, meanwhile=add_another) as proxy,
            Client(proxy.url, user="demo", password="demo", settings=PATIENT) as client,
        ):
            await client.upload(b"before", to=TO)
            receipt = await client.upload(b"ours", to=TO)
        numbers = await _numbers(server)
        assert len(numbers) == 3
        assert receipt.version_id == numbers[1]
        assert (await server.content(TO, numbers[1])).read_bytes() == b"ours"


async def test_each_upload_has_a_token_of_its_own(tmp_path: Path) -> None:
    async with against(tmp_path) as (server, client):
        for number in range(6):
            await client.upload(b"%d" % number, to=TO)
        (document,) = await server.documents()
        tokens = Counter(re.findall(r"\[upload [0-9a-f]{8}\]", " ".join(v.comment for v in document.versions)))
        assert len(tokens) == 5
        assert set(tokens.values()) == {1}


async def test_another_document_at_the_place_is_told_as_unknown(tmp_path: Path) -> None:
    """Ours was not made, somebody else's was: to add a version to it is nothing that anybody asked for."""
    made = list[str]()

    async def make_another(operation: str) -> None:
        if operation == CREATE and not made:
            made.append(operation)
            async with Client(server.url, user="anna", password="anna", settings=PATIENT) as other:
                await other.upload(b"theirs", to=TO)

    hits = {(CREATE, 2): "refuse-500"}
    users = {"demo": "demo", "anna": "anna"}
    async with Emulator(tmp_path / "server", script=lambda c: hits.get((c.operation, c.number)), users=users) as server:
        async with (
            between(server.url, meanwhile=make_another) as proxy,
            Client(proxy.url, user="demo", password="demo", settings=PATIENT) as client,
        ):
            with pytest.raises(OutcomeUnknown, match=f"another document stands at {TO} now"):
                await client.upload(b"ours", to=TO)
        assert len(await _numbers(server)) == 1
        assert (await server.content(TO)).read_bytes() == b"theirs"
        assert count(server, "DeleteUploadHandler") == 0


# ── the server says itself that it failed ───────────────────────────────────────────────────────────────────────────

SLOW = replace(
    PATIENT,
    timeouts=replace(PATIENT.timeouts, settle=20, finalize=1800),
    retries=replace(PATIENT.retries, longest_wait=0.2),
)
"""A test that waited for the request to end would be killed, and one that looked to the end would end as unknown."""


@pytest.mark.parametrize("operation", [CREATE, ADD])
async def test_a_server_that_fails_at_the_request_to_store_is_told_in_its_own_words(
    operation: str, tmp_path: Path
) -> None:
    """It has answered, and so has soon ended with it: to look for a while is enough, and that its handler is gone is no
    news."""
    begun, script = _from_then_on({operation: "consume-handler"})
    async with against(tmp_path, script, SLOW) as (server, client):
        if operation == ADD:
            await client.upload(b"before", to=TO)
        begun.append("now")
        with pytest.raises(ServerError, match="could not be written to the warehouse") as caught:
            await client.upload(b"data", to=TO)
        assert (caught.value.code, caught.value.outcome) == (5030, Outcome.NOT_APPLIED)
        assert count(server, "DocumentExists") < 60
        assert sum(len(document.versions) for document in await server.documents()) == (1 if operation == ADD else 0)
        assert await server.open_handlers() == []


@pytest.mark.parametrize("operation", [CREATE, ADD])
async def test_a_failure_inside_the_server_passes(operation: str, tmp_path: Path) -> None:
    """As a deadlock in its database. The handler is there yet, and no byte goes twice."""
    hits = {(operation, number): "system-error" for number in range(1, 5)}
    async with against(tmp_path, lambda call: hits.get((call.operation, call.number)), SLOW) as (server, client):
        if operation == ADD:
            await client.upload(b"before", to=TO)
        receipt = await client.upload(b"data", to=TO)
        assert receipt.version_id == (await _numbers(server))[-1]
        assert len(await _numbers(server)) == (2 if operation == ADD else 1)
        assert receipt.restarted == 0
        assert count(server, operation) == 5


async def test_a_server_that_fails_each_time_ends_it(tmp_path: Path) -> None:
    begun, script = _from_then_on({CREATE: "system-error"})
    begun.append("now")
    async with against(tmp_path, script, SLOW) as (server, client):
        with pytest.raises(ServerError, match="SystemError:Object reference"):
            await client.upload(b"data", to=TO)
        assert count(server, CREATE) == 8
        assert await server.documents() == []
        assert await server.open_handlers() == []


# ── not found ───────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("operation", [CREATE, ADD])
async def test_what_is_not_found_in_time_is_told_as_unknown_and_nothing_is_undone(
    operation: str, tmp_path: Path
) -> None:
    """Every request to store is lost undone. The server may be about to do it yet: its handler stays."""
    begun, script = _from_then_on({operation: "drop-before"})
    async with against(tmp_path, script, HURRIED) as (server, client):
        if operation == ADD:
            await client.upload(b"before", to=TO)
        begun.append("now")
        with pytest.raises(OutcomeUnknown, match=r"not there in time\); look whether it is there") as caught:
            await client.upload(b"data", to=TO)
        assert caught.value.outcome is Outcome.UNKNOWN
        assert not caught.value.transient
        assert TO in str(caught.value)
        assert count(server, operation) == 2, "once more, and not for as long as there is time"
        assert count(server, "DeleteUploadHandler") == 0
        assert len(await server.open_handlers()) == 1
        assert sum(len(document.versions) for document in await server.documents()) == (1 if operation == ADD else 0)


@pytest.mark.parametrize("fault", ["drop-before", "stall"])
@pytest.mark.parametrize("look", ["DocumentExists", "GetDocumentVersions", "GetDocument"])
async def test_when_nobody_answers_any_more_the_time_is_up_in_the_end(look: str, fault: str, tmp_path: Path) -> None:
    lost = list[str]()

    def script(call: Call) -> str | None:
        if call.operation == CREATE:
            lost.append("now")
            return "drop-after"
        return fault if lost and call.operation == look else None

    why = "no look was answered in time" if fault == "stall" else f"{look} at .*: the connection broke"
    async with against(tmp_path, script, HURRIED) as (server, client):
        with pytest.raises(OutcomeUnknown, match=why):
            await client.upload(b"data", to=TO)
        assert count(server, "DeleteUploadHandler") == 0
        assert len(await _numbers(server)) == 1, "it was stored, which nobody could tell"


@pytest.mark.parametrize("fault", ["refuse-503", "drop-before"])
async def test_a_repeat_that_is_turned_away_does_not_undo_what_the_first_may_do(fault: str, tmp_path: Path) -> None:
    """The first request may be running yet: whatever becomes of the second, nobody deletes the handler."""

    def script(call: Call) -> str | None:
        if call.operation == CREATE:
            return "drop-before" if call.number == 1 else fault
        return None

    async with against(tmp_path, script, HURRIED) as (server, client):
        with pytest.raises(OutcomeUnknown):
            await client.upload(b"data", to=TO)
        assert count(server, CREATE) >= 2
        assert count(server, "DeleteUploadHandler") == 0
        assert len(await server.open_handlers()) == 1


async def test_a_repeat_that_is_refused_does_not_undo_what_the_first_may_do(tmp_path: Path) -> None:
    """As the server refuses it whose first request has the handler already, and is at work on it."""
    at_work = replace(HURRIED, timeouts=replace(HURRIED.timeouts, finalize=30))
    requests = list[str]()

    def refuse(operation: str, body: bytes) -> tuple[int, bytes] | None:
        if operation != CREATE:
            return None
        requests.append(operation)
        gone = b'<root success="false" errorCode="4000" error="The upload handler cannot be found."/>'
        return (500, b"") if len(requests) == 1 else (200, gone)

    async with (
        Emulator(tmp_path / "server") as server,
        between(server.url, instead=refuse) as proxy,
        Client(proxy.url, user="demo", password="demo", settings=at_work) as client,
    ):
        with pytest.raises(OutcomeUnknown):
            await client.upload(b"data", to=TO)
        assert len(requests) == 2
        assert count(server, "DeleteUploadHandler") == 0


async def test_a_server_that_stores_it_late_is_waited_for(tmp_path: Path) -> None:
    """Fault 72: the gateway gave up before the server did."""
    requests = list[tuple[str, bytes]]()

    async def store_at_last(operation: str) -> None:
        if operation == "DocumentExists" and len(requests) == 1 and len(looked) == 2:
            async with Client(server.url, user="demo", password="demo", settings=PATIENT) as late:
                await late.upload(b"data", to=TO)
        if operation == "DocumentExists" and requests:
            looked.append(operation)

    looked = list[str]()

    def give_up(operation: str, body: bytes) -> tuple[int, bytes] | None:
        if operation == CREATE:
            requests.append((operation, body))
            return 504, b"<h1>Gateway Timeout</h1>"
        return None

    async with (
        Emulator(tmp_path / "server") as server,
        between(server.url, instead=give_up, meanwhile=store_at_last) as proxy,
        Client(proxy.url, user="demo", password="demo", settings=PATIENT) as client,
    ):
        receipt = await client.upload(b"data", to=TO)
        assert [receipt.version_id] == await _numbers(server)
        assert len(requests) == 1


# ── refused ─────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("code", ["4030", "4090", "4041"])
async def test_a_refusal_to_store_is_no_lost_reply(code: str, tmp_path: Path) -> None:
    """Fault 70: told as it is, the handler deleted, nothing looked for and nothing repeated."""
    refusal = f'<root success="false" errorCode="{code}" error="no"/>'.encode()
    async with (
        Emulator(tmp_path / "server") as server,
        between(server.url, instead=lambda name, _: (200, refusal) if name == CREATE else None) as proxy,
        Client(proxy.url, user="demo", password="demo", settings=PATIENT) as client,
    ):
        with pytest.raises(AsyncUploadError) as caught:
            await client.upload(b"data", to=TO)
        assert caught.value.outcome is Outcome.NOT_APPLIED
        assert [name for name, _ in proxy.requests].count(CREATE) == 1
        assert count(server, "GetDocumentVersions") == 0
        assert await server.open_handlers() == []


async def test_a_handler_that_is_gone_when_it_is_to_be_stored_begins_anew(tmp_path: Path) -> None:
    """Fault 66."""
    hasty = replace(PATIENT, timeouts=replace(PATIENT.timeouts, settle=0.5))
    data, requests = os.urandom(1000), list[str]()

    def lose_first(operation: str, body: bytes) -> tuple[int, bytes] | None:
        requests.extend([operation] if operation == CREATE else [])
        gone = b'<root success="false" errorCode="4000" error="The upload handler cannot be found."/>'
        return (200, gone) if operation == CREATE and len(requests) == 1 else None

    async with (
        Emulator(tmp_path / "server") as server,
        between(server.url, instead=lose_first) as proxy,
        Client(proxy.url, user="demo", password="demo", settings=hasty) as client,
    ):
        receipt = await client.upload(data, to=TO)
        assert (await server.content(TO)).read_bytes() == data
        assert len(await _numbers(server)) == 1
        assert await server.open_handlers() == []
    assert receipt.restarted == 1


# ── older servers ───────────────────────────────────────────────────────────────────────────────────────────────────


def _lacking(operation: str, body: bytes) -> tuple[int, bytes] | None:
    return (404, b"<h1>Not Found</h1>") if operation == CREATE else None


UNNAMED = b"InvalidOperationException: UploadNewDocumentWidthHandler Web Service method name is not valid."


@pytest.mark.parametrize(("status", "page"), [(404, b"<h1>Not Found</h1>"), (500, UNNAMED)])
async def test_a_server_without_the_creating_operation_is_asked_for_the_other_and_that_is_remembered(
    status: int, page: bytes, tmp_path: Path
) -> None:
    """Newer ones answer 404, ASP.NET's older web services 500 with a text."""
    async with (
        Emulator(tmp_path / "server") as server,
        between(server.url, instead=lambda name, _: (status, page) if name == CREATE else None) as proxy,
        Client(proxy.url, user="demo", password="demo", settings=PATIENT) as client,
    ):
        await client.upload(b"plain", to=TO)
        receipt = await client.upload(b"with a comment", to=f"{FOLDER}/next.bin", version_comment="March")
        assert (await server.content(TO)).read_bytes() == b"plain"
        documents = await server.documents()
        assert [document.latest.comment for document in documents] == ["", "March"]
        assert receipt.version_id == documents[1].latest.number
        finals = [name for name, _ in proxy.requests if name.startswith(("UploadNew", "UploadDocument"))]
        asked = [CREATE, CREATE] if status == 404 else [CREATE]
        assert finals == [*asked, "UploadDocumentWithHandler", ADD], "a bare 404 is asked once more, with no handler"
        assert await server.open_handlers() == []


@pytest.mark.parametrize("fault", ["drop-after", "drop-before", "refuse-500", "html"])
@pytest.mark.parametrize("comment", ["", "March"])
async def test_there_too_a_lost_reply_ends_stored_once(comment: str, fault: str, tmp_path: Path) -> None:
    operation = ADD if comment else "UploadDocumentWithHandler"
    hits = {(operation, 1): fault}
    async with (
        Emulator(tmp_path / "server", script=lambda call: hits.get((call.operation, call.number))) as server,
        between(server.url, instead=_lacking) as proxy,
        Client(proxy.url, user="demo", password="demo", settings=BRISK) as client,
    ):
        receipt = await client.upload(b"data", to=TO, version_comment=comment)
        assert [receipt.version_id] == await _numbers(server)
        assert (await server.content(TO)).read_bytes() == b"data"
        assert count(server, "DeleteUploadHandler") == 0


async def test_there_too_a_document_that_came_in_between_gets_no_version(tmp_path: Path) -> None:
    made = list[str]()

    async def make_another(operation: str) -> None:
        if operation == CREATE and not made:
            made.append(operation)
            async with Client(server.url, user="anna", password="anna", settings=PATIENT) as other:
                await other.upload(b"theirs", to=TO)

    async with (
        Emulator(tmp_path / "server", users={"demo": "demo", "anna": "anna"}) as server,
        between(server.url, instead=_lacking, meanwhile=make_another) as proxy,
        Client(proxy.url, user="demo", password="demo", settings=PATIENT) as client,
    ):
        with pytest.raises(AsyncUploadError) as caught:
            await client.upload(b"ours", to=TO, if_exists="fail")
        assert not isinstance(caught.value, OutcomeUnknown)
        assert len(await _numbers(server)) == 1
        assert (await server.content(TO)).read_bytes() == b"theirs"
        assert await server.open_handlers() == []


async def test_what_the_creating_operation_refuses_is_not_asked_of_the_other(tmp_path: Path) -> None:
    """It would add a version."""
    taken = b'<root success="false" errorCode="4090" error="An object with this name already exists."/>'
    async with (
        Emulator(tmp_path / "server") as server,
        between(server.url, instead=lambda name, _: (200, taken) if name == CREATE else None) as proxy,
        Client(proxy.url, user="demo", password="demo", settings=PATIENT) as client,
    ):
        with pytest.raises(AlreadyExists):
            await client.upload(b"data", to=TO)
        assert not {"UploadDocumentWithHandler", ADD} & {name for name, _ in proxy.requests}

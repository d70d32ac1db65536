"""Nothing that was asked for is lost silently: what a server has not kept is found out, sent otherwise, or told."""

import datetime as dt
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import anyio
import pytest
from between import between
from conftest import BRISK, FOLDER, PATIENT
from troubled import count

from asyncupload import (
    Client,
    Outcome,
    OutcomeUnknown,
    Properties,
    Receipt,
    ServerError,
    Settings,
    VersionNumber,
)
from asyncupload._ways import DOUBT
from asyncupload.emulator import Emulator, at

pytestmark = pytest.mark.anyio

AT = f"{FOLDER}/report.bin"
DAY = dt.date(2024, 1, 15)
ALL = Properties(
    description="what it is",
    keywords="one, two",
    text="words",
    created=DAY,
    modified=DAY,
    publish="dont",
    notify=False,
    version=VersionNumber(2, 0, 1),
)
EVERY_NAME = ("comment", "description", "keywords", "text", "created", "modified", "publish", "notify", "version")

Serving = Callable[..., AbstractAsyncContextManager[tuple[Emulator, Client]]]


@pytest.fixture
def serving(tmp_path: Path) -> Serving:
    @asynccontextmanager
    async def serve(
        *variants: str, settings: Settings = PATIENT, **options: Any
    ) -> AsyncIterator[tuple[Emulator, Client]]:
        async with (
            Emulator(tmp_path / "server", variants=variants, **options) as server,
            Client(server.url, user="demo", password="demo", settings=settings) as client,
        ):
            yield server, client

    return serve


async def brought(client: Client, to: str, **options: Any) -> Receipt:
    return await client.upload(b"data", to=to, version_comment="March", **options)


def looks(server: Emulator) -> int:
    return count(server, "GetDocument") + count(server, "GetDocumentVersions")


@pytest.mark.parametrize("variant", ["key-parameters", "name-parameters"])
async def test_the_first_document_tells_what_is_lost_and_the_second_has_it(variant: str, serving: Serving) -> None:
    """The other grammar is found by it, and then known."""
    async with serving(variant) as (server, client):
        first = await brought(client, f"{FOLDER}/1", properties=ALL)
        assert first.status == "stored"
        assert first.not_kept == EVERY_NAME
        second = await brought(client, f"{FOLDER}/2", properties=ALL)
        assert second.not_kept == ()
        before = looks(server)
        third = await brought(client, f"{FOLDER}/3", properties=ALL)
        assert (third.not_kept, looks(server)) == ((), before)
        for document in (await server.documents())[1:]:
            latest = document.latest
            kept = (document.description, document.keywords, document.text_content, latest.comment, latest.number)
            assert kept == ("what it is", "one, two", "words", "March", 2_000_001)
            assert (latest.published, latest.notified) == (False, False)


@pytest.mark.parametrize("variant", ["key-parameters", "name-parameters"])
async def test_many_at_once_lose_no_more_than_one(variant: str, serving: Serving) -> None:
    receipts = list[Receipt]()

    async def bring(client: Client, number: int) -> None:
        receipts.append(await brought(client, f"{FOLDER}/{number}", properties=Properties(description="x")))

    async with serving(variant) as (server, client):
        async with anyio.create_task_group() as group:
            for number in range(6):
                group.start_soon(bring, client, number)
        assert sorted(receipt.not_kept for receipt in receipts) == [(), (), (), (), (), ("comment", "description")]
        assert sorted(document.description for document in await server.documents()) == ["", *["x"] * 5]


async def test_a_server_that_reads_none_is_told_each_time(serving: Serving) -> None:
    """And asked no more once both grammars have been tried."""
    async with serving("no-parameters") as (server, client):
        for number in range(2):
            assert (await brought(client, f"{FOLDER}/{number}", properties=ALL)).not_kept == EVERY_NAME
        before = looks(server)
        assert (await brought(client, f"{FOLDER}/3", properties=ALL)).not_kept == EVERY_NAME
        assert looks(server) == before
        assert (await client.upload(b"data", to=f"{FOLDER}/4")).not_kept == ()  # nothing was asked for


@pytest.mark.parametrize("variant", ["", "item-parameters"])
async def test_where_all_is_kept_it_is_asked_once(variant: str, serving: Serving) -> None:
    async with serving(*filter(None, [variant])) as (server, client):
        assert (await brought(client, f"{FOLDER}/1", properties=ALL)).not_kept == ()
        before = looks(server)
        assert before == 2
        assert (await brought(client, f"{FOLDER}/2", properties=ALL)).not_kept == ()
        assert looks(server) == before


@pytest.mark.parametrize("given", [Properties(created=DAY), Properties(publish="dont"), Properties(publish="publish")])
async def test_a_wish_that_is_granted_is_looked_at_once(given: Properties, serving: Serving) -> None:
    async with serving() as (server, client):
        await client.upload(b"data", to=f"{FOLDER}/1", properties=given)
        before = looks(server)
        assert (await client.upload(b"data", to=f"{FOLDER}/2", properties=given)).not_kept == ()
        assert looks(server) == before == 1


async def test_nothing_is_asked_where_nothing_was_asked_for(serving: Serving) -> None:
    async with serving() as (server, client):
        await client.upload(b"data", to=AT)
        assert looks(server) == 0


@pytest.mark.parametrize(
    ("variant", "lost"),
    [("no-dates", ("created", "modified")), ("own-numbers", ("version",)), ("no-comments", ("comment",))],
)
async def test_what_is_kept_in_part_is_told_in_part(variant: str, lost: tuple[str, ...], serving: Serving) -> None:
    async with serving(variant) as (_, client):
        for number in range(3):
            assert (await brought(client, f"{FOLDER}/{number}", properties=ALL)).not_kept == lost


async def test_a_wish_that_was_granted_anyway_says_nothing_of_the_other(serving: Serving) -> None:
    """That a version is published, as it is by default, is no proof that one would not be."""
    async with serving("no-parameters") as (_, client):
        for _ in range(2):
            await client.upload(b"data", to=AT, properties=Properties(publish="publish"))
        for name in ("a", "b", "c"):
            receipt = await client.upload(b"data", to=f"{FOLDER}/{name}", properties=Properties(publish="dont"))
            assert receipt.not_kept == ("publish",)


async def test_the_same_description_as_before_is_no_proof_either(serving: Serving) -> None:
    """It may be an earlier version's: a version's comment tells, which has a token of its own."""
    async with serving("key-parameters") as (_, client):
        await client.upload(b"1", to=AT, properties=Properties(description="x"))
        await client.upload(b"2", to=AT, properties=Properties(description="x"))
    async with serving("item-parameters") as (server, client):
        receipt = await client.upload(b"3", to=AT, properties=Properties(description="x"))
        assert receipt.not_kept == ()
        receipt = await client.upload(b"4", to=AT, properties=Properties(description="another"))
        assert receipt.not_kept == ()
        (document,) = await server.documents()
        assert document.description == "another"


async def test_what_a_server_does_not_tell_is_not_called_lost(serving: Serving) -> None:
    async with serving("bare-document") as (server, client):
        given = Properties(description="x", created=DAY)
        assert (await client.upload(b"data", to=f"{FOLDER}/1", properties=given)).not_kept == ()
        before = looks(server)
        assert (await client.upload(b"data", to=f"{FOLDER}/2", properties=given)).not_kept == ()
        assert looks(server) == before  # nor asked about again


@pytest.mark.parametrize("fault", ["refuse-500", "html", "reset-before"])
async def test_a_look_that_fails_costs_no_receipt(fault: str, serving: Serving) -> None:
    async with serving(script=lambda call: fault if call.operation == "GetDocument" else None) as (_, client):
        receipt = await client.upload(b"data", to=AT, properties=Properties(description="x"))
        assert (receipt.status, receipt.not_kept) == ("stored", ())


@pytest.mark.parametrize("comment", ["", "March"])
async def test_what_others_have_made_of_the_document_says_nothing_of_the_server(comment: str, serving: Serving) -> None:
    """A version of theirs that comes between the request to store and the look."""
    others = 0
    ours, theirs = Properties(description="ours"), Properties(description="theirs")
    async with serving("item-parameters") as (server, other):

        async def add(operation: str) -> None:
            nonlocal others
            if operation == "GetDocument" and not others:
                others += 1
                await other.upload(b"theirs", to=AT, properties=theirs)

        async with (
            between(server.url, meanwhile=add) as proxy,
            Client(proxy.url, user="demo", password="demo", settings=PATIENT) as client,
        ):
            first = await client.upload(b"ours", to=AT, version_comment=comment, properties=ours)
            assert (others, first.not_kept, await numbers(server)) == (1, (), [1_000_000, 1_000_001])
            assert (await server.documents())[0].description == "theirs"  # and nothing of theirs was changed
            second = await client.upload(b"ours", to=f"{FOLDER}/2", version_comment=comment, properties=ours)
            assert second.not_kept == ()
            assert {document.description for document in await server.documents()} == {"ours", "theirs"}


# ── a grammar at which the server fails ──


async def numbers(server: Emulator) -> list[int]:
    """Of all versions of the document, which is the only one."""
    (document,) = await server.documents()
    return [version.number for version in document.versions]


@pytest.mark.parametrize("kind", ["new", "version"])
@pytest.mark.parametrize("failing", ["strict-parameters", "strict-parameters-error"])
@pytest.mark.parametrize("variant", ["key-parameters", "name-parameters"])
async def test_where_a_server_fails_at_a_grammar_the_other_is_used_and_nothing_is_doubled(
    variant: str, failing: str, kind: str, serving: Serving
) -> None:
    """Be it with HTTP 500, which tells nothing, or in its own words. It is known for what follows."""
    async with serving(variant, failing, "lenient-consume", settings=BRISK) as (server, client):
        if kind == "version":
            await client.upload(b"before", to=AT)
        receipt = await client.upload(b"data", to=AT, properties=Properties(description="what it is"))
        assert (receipt.not_kept, receipt.restarted) == ((), 0)
        assert await numbers(server) == ([1_000_000, 1_000_001] if kind == "version" else [1_000_000])
        assert (await server.documents())[0].description == "what it is"
        before = len(server.calls)
        await client.upload(b"more", to=f"{FOLDER}/another", properties=ALL)
        asked = [call.operation for call in server.calls[before:]]
        assert asked.count("UploadNewDocumentWidthHandler") == 1


@pytest.mark.parametrize("kind", ["new", "version"])
async def test_a_handler_that_is_used_up_by_such_a_failure_is_replaced(kind: str, serving: Serving) -> None:
    async with serving("key-parameters", "strict-parameters-error") as (server, client):
        if kind == "version":
            await client.upload(b"before", to=AT)
        receipt = await client.upload(b"data", to=AT, properties=Properties(description="what it is"))
        assert (receipt.not_kept, receipt.restarted) == ((), 1)
        assert len(await numbers(server)) == (2 if kind == "version" else 1)
        assert (await server.documents())[0].description == "what it is"
        assert await server.open_handlers() == []


@pytest.mark.parametrize("consumed", [[], ["lenient-consume"]])
async def test_where_it_fails_at_both_it_is_told_in_its_own_words(consumed: list[str], serving: Serving) -> None:
    async with serving("no-parameters", "strict-parameters-error", *consumed) as (server, client):
        with pytest.raises(ServerError, match="SystemError:Object reference") as caught:
            await client.upload(b"data", to=AT, properties=Properties(description="what it is"))
        assert caught.value.outcome is Outcome.NOT_APPLIED
        assert await server.documents() == []
        assert await server.open_handlers() == []
        assert (await client.upload(b"data", to=AT)).status == "stored"  # nothing is asked for


async def test_where_nobody_can_tell_it_is_unknown_and_the_next_ones_go_otherwise(serving: Serving) -> None:
    """HTTP 500 tells nothing, and a handler that is gone may be at somebody's hands."""
    settings = replace(PATIENT, timeouts=replace(PATIENT.timeouts, settle=0.3))
    async with serving("key-parameters", "strict-parameters", settings=settings) as (server, client):
        for number in range(DOUBT):
            with pytest.raises(OutcomeUnknown, match="HTTP 500"):
                await client.upload(b"data", to=f"{FOLDER}/{number}", properties=Properties(description="x"))
        assert await server.documents() == []
        receipt = await client.upload(b"data", to=AT, properties=Properties(description="x"))
        assert (receipt.not_kept, len(await server.documents())) == ((), 1)


@pytest.mark.parametrize("fault", ["system-error", "refuse-500", "system-error-after", "fail-500-after"])
async def test_a_failure_that_passes_changes_no_grammar(fault: str, serving: Serving) -> None:
    script = at({("UploadNewDocumentWidthHandler", 1): fault})
    async with serving("item-parameters", "lenient-consume", script=script) as (server, client):
        receipt = await client.upload(b"data", to=AT, properties=ALL)
        assert (receipt.not_kept, await numbers(server)) == ((), [2_000_001])


async def test_a_grammar_that_was_taken_once_is_not_doubted_again(serving: Serving) -> None:
    script = at({("UploadNewDocumentWidthHandler", number): "system-error" for number in (2, 3, 4)})
    async with serving("item-parameters", "lenient-consume", script=script) as (_, client):
        for number in range(2):
            assert (await client.upload(b"data", to=f"{FOLDER}/{number}", properties=ALL)).not_kept == ()


# ── operations that are not there ──


HANDLER = "UploadDocumentWithHandler"


@pytest.mark.parametrize("variant", ["", "missing-404"])
@pytest.mark.parametrize(
    ("missing", "number", "lost"),
    [
        (["1"], None, ()),
        (["1", "3"], None, ("comment",)),
        (["2"], VersionNumber(7), ()),
        (["2", "3"], VersionNumber(7), ("version",)),
        (["1", "2", "3"], VersionNumber(7), ("comment", "version")),
    ],
)
async def test_a_versions_comment_goes_by_another_operation_where_its_own_is_missing(
    variant: str, missing: list[str], number: VersionNumber | None, lost: tuple[str, ...], serving: Serving
) -> None:
    """Each is tried once by a client; what none of them carries is told."""
    names = [f"{HANDLER}{one}" for one in missing]
    async with serving(*filter(None, [variant]), missing=names) as (server, client):
        await client.upload(b"0", to=AT)
        given = Properties(version=number)
        receipt = await client.upload(b"1", to=AT, version_comment="March", properties=given)
        assert receipt.not_kept == lost
        assert await server.open_handlers() == []
        tried = sum(count(server, name) for name in names)
        receipt = await client.upload(b"2", to=AT, version_comment="April")
        assert receipt.not_kept == tuple(name for name in lost if name == "comment")
        (document,) = await server.documents()
        assert len(document.versions) == 3
        assert document.latest.comment.startswith("" if "comment" in lost else "April [upload ")
        assert sum(count(server, name) for name in names) == tried


@pytest.mark.parametrize("variant", ["no-comments", "no-parameters"])
async def test_a_lost_reply_is_settled_without_a_token_and_nothing_is_doubled(variant: str, serving: Serving) -> None:
    """Nobody else can have put these bytes there while the document was checked out."""
    async with serving(variant) as (server, client):
        await client.upload(b"0", to=AT)
        server.fail("drop-after", operation=f"{HANDLER}3")
        given = Properties(description="x")
        receipt = await client.upload(b"1", to=AT, properties=given)
        (document,) = await server.documents()
        assert [version.number for version in document.versions] == [1_000_000, receipt.version_id]

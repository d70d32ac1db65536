"""Limits and folder rules: refused before the first byte, in words that name the rule; unknown ones forbid nothing."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import pytest
from between import between
from conftest import FOLDER, PATIENT
from hypothesis import given
from hypothesis import strategies as st
from troubled import count

from asyncupload import AccessDenied, Client, PathSource, RuleViolated
from asyncupload._rules import ATTEMPTS, extension, file_types
from asyncupload.emulator import Call, Emulator

LIMIT = 1_000_000
TYPES = {FOLDER: {"AllowableFileTypes": ".pdf,.docx"}}

Serving = Callable[..., AbstractAsyncContextManager[tuple[Emulator, Client]]]


@pytest.fixture
def serving(tmp_path: Path) -> Serving:
    @asynccontextmanager
    async def serve(**options: Any) -> AsyncIterator[tuple[Emulator, Client]]:
        async with (
            Emulator(tmp_path / "server", **options) as server,
            Client(server.url, user="demo", password="demo", settings=PATIENT) as client,
        ):
            yield server, client

    return serve


async def refused(server: Emulator, client: Client, source: Any, to: str, **options: Any) -> RuleViolated:
    """The refusal, before which no handler was made and nothing checked out."""
    before = count(server, "CreateUploadHandler"), count(server, "Lock")
    with pytest.raises(RuleViolated) as caught:
        await client.upload(source, to=to, **options)
    assert (count(server, "CreateUploadHandler"), count(server, "Lock")) == before
    assert isinstance(caught.value, AccessDenied)
    return caught.value


@pytest.mark.anyio
async def test_a_file_that_is_too_large_is_not_sent(serving: Serving, tmp_path: Path) -> None:
    (tmp_path / "large").write_bytes(bytes(3 * LIMIT))
    async with serving(document_max_size=LIMIT) as (server, client):
        error = await refused(server, client, tmp_path / "large", f"{FOLDER}/a.bin")
        assert (error.rule, error.limit, error.value) == ("DocumentMaxSize", str(LIMIT), str(3 * LIMIT))
        with pytest.raises(RuleViolated):
            await client.preview(PathSource(tmp_path / "large"), to=f"{FOLDER}/a.bin")
        receipt = await client.upload(bytes(LIMIT), to=f"{FOLDER}/a.bin")
        assert receipt.size == LIMIT
        await refused(server, client, bytes(LIMIT + 1), f"{FOLDER}/a.bin")  # nor as a version


@pytest.mark.anyio
async def test_a_stream_is_bounded_while_it_is_sent(serving: Serving) -> None:
    read = 0

    async def long() -> AsyncIterator[bytes]:
        nonlocal read
        while read < 10 * LIMIT:
            read += 65_536
            yield bytes(65_536)

    async with serving(document_max_size=LIMIT) as (server, client):
        with pytest.raises(
            RuleViolated, match="has 1048576 bytes or more, and the server's DocumentMaxSize is 1000000"
        ):
            await client.upload(long(), to=f"{FOLDER}/a.bin", chunk_size=262_144)
        assert await server.open_handlers() == []
        assert await server.documents() == []
        assert count(server, "UploadFileChunk") == 3  # the fourth would be too much
    assert read < 10 * LIMIT


@pytest.mark.anyio
@pytest.mark.parametrize("listed", [".pdf,.docx", "PDF,DOCX"])
async def test_a_type_that_a_folder_does_not_take_is_not_sent(listed: str, serving: Serving) -> None:
    async with serving(rules={FOLDER: {"AllowableFileTypes": listed}}) as (server, client):
        error = await refused(server, client, b"data", f"{FOLDER}/a.bin")
        assert (error.rule, error.limit, error.value) == ("AllowableFileTypes", listed, "bin")
        assert f"of type bin (rule AllowableFileTypes of the folder {FOLDER}: {listed})" in str(error)
        assert "without type" in str(await refused(server, client, b"data", f"{FOLDER}/README"))
        await client.upload(b"data", to=f"{FOLDER}/a.Pdf")
        await client.upload(b"data", to="/Library/a.bin")  # another folder, other rules


@pytest.mark.anyio
async def test_new_documents_and_versions_have_rules_of_their_own(serving: Serving, tmp_path: Path) -> None:
    async with serving() as (_, client):
        await client.upload(b"data", to=f"{FOLDER}/a.bin")
    async with serving(rules={FOLDER: {"NewDocuments": "disallows"}}) as (server, client):
        assert (await refused(server, client, b"data", f"{FOLDER}/b.bin")).rule == "NewDocuments"
        await client.upload(b"other", to=f"{FOLDER}/a.bin")
    async with serving(rules={FOLDER: {"Checkins": "disallows"}}) as (server, client):
        assert (await refused(server, client, b"third", f"{FOLDER}/a.bin")).rule == "Checkins"
        receipt = await client.upload(b"other", to=f"{FOLDER}/a.bin", if_exists="skip")
        assert receipt.status == "unchanged"  # nothing is asked for that is not allowed


@pytest.mark.anyio
async def test_each_folder_is_asked_about_once_and_the_settings_too(serving: Serving) -> None:
    """Also by many at once, as in a load."""
    async with serving() as (server, client):
        async with anyio.create_task_group() as group:
            for number in range(8):
                for folder in (FOLDER, "/Library"):
                    group.start_soon(lambda to: client.upload(b"data", to=to), f"{folder}/{number}")
        assert count(server, "GetFolderRules") == 2
        assert count(server, "GetGeneralAppSettings") == 1


@pytest.mark.anyio
@pytest.mark.parametrize("variants", [[], ["missing-404"]])
async def test_a_server_without_rules_forbids_nothing(variants: list[str], serving: Serving) -> None:
    """And is asked no more, about whatever folder."""
    missing = ["GetFolderRules", "GetGeneralAppSettings", "getApplicationParameters"]
    async with serving(missing=missing, variants=variants, document_max_size=LIMIT) as (server, client):
        for to in (f"{FOLDER}/a", "/Library/a", "/Library/b"):
            await client.upload(b"data", to=to)
        assert [count(server, name) for name in missing] == [1, 1, 1]


@pytest.mark.anyio
@pytest.mark.parametrize(
    "options",
    [
        {"generation": "2019"},
        {"missing": ["GetGeneralAppSettings"]},
        {"missing": ["GetGeneralAppSettings"], "variants": ["missing-404"]},
        {"missing": ["GetGeneralAppSettings"], "variants": ["no-forms"]},
    ],
    ids=str,
)
async def test_an_older_server_tells_its_limit_by_another_operation(options: dict[str, Any], serving: Serving) -> None:
    """Which is asked for once by a client, and so is the missing one; `check` knows it, too."""
    async with serving(document_max_size=LIMIT, **options) as (server, client):
        error = await refused(server, client, bytes(LIMIT + 1), f"{FOLDER}/a.bin")
        assert (error.rule, error.limit, error.value) == ("FILEUPLOADLIMIT", str(LIMIT), str(LIMIT + 1))
        assert f"the server's FILEUPLOADLIMIT is {LIMIT}" in str(error)
        await client.upload(bytes(LIMIT), to=f"{FOLDER}/a.bin")
        assert count(server, "GetGeneralAppSettings") + (options.get("generation") == "2019") <= 2
        assert count(server, "getApplicationParameters") == 1
        assert (await client.check()).document_max_size == LIMIT


@pytest.mark.anyio
async def test_a_server_that_says_no_size_in_the_newer_operation_is_asked_the_older_one(serving: Serving) -> None:
    def silent(operation: str, body: bytes) -> bytes:
        return body.replace(b"DocumentMaxSize", b"Other") if operation == "GetGeneralAppSettings" else body

    async with (
        serving(document_max_size=LIMIT) as (server, _),
        between(server.url, answer=silent) as proxy,
        Client(proxy.url, user="demo", password="demo", settings=PATIENT) as client,
    ):
        assert (await refused(server, client, bytes(LIMIT + 1), f"{FOLDER}/a.bin")).rule == "FILEUPLOADLIMIT"
        report = await client.check()
        assert (report.document_max_size, report.default_chunk_size) == (LIMIT, 262_144)


@pytest.mark.anyio
@pytest.mark.parametrize("fault", ["refuse-500", "html", "system-error", "refuse-403", "half-answer"])
async def test_an_answer_that_nobody_can_read_forbids_nothing(fault: str, serving: Serving) -> None:
    def script(call: Call) -> str | None:
        return fault if call.operation in {"GetGeneralAppSettings", "GetFolderRules"} else None

    async with serving(rules=TYPES, document_max_size=2, script=script) as (server, client):
        assert (await client.upload(b"ab", to=f"{FOLDER}/a.pdf")).status == "stored"
        assert count(server, "GetFolderRules") <= ATTEMPTS


@given(
    st.lists(st.from_regex(r"[a-z0-9]{1,5}", fullmatch=True), min_size=1), st.sampled_from([",", ", ", ";", " ", "|"])
)
def test_lists_of_types_are_read_however_they_are_written(kinds: list[str], between: str) -> None:
    for before in ("", ".", "*."):
        assert file_types(between.join(before + kind.upper() for kind in kinds)) == set(kinds)
        assert not file_types(between.join([*(before + kind for kind in kinds), "*.*"]))


def test_a_type_is_what_comes_after_the_last_dot() -> None:
    assert [extension(name) for name in ("a.tar.GZ", "a", "a.", ".profile")] == ["gz", "", "", "profile"]
    assert not file_types("")

"""What a finalize asks for besides the document itself."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from asyncupload.emulator import Document, Emulator
from emulator.caller import Caller, Said

pytestmark = pytest.mark.anyio


async def with_version(caller: Caller, major: str, minor: str = "0", revision: str = "0", **more: str) -> Said:
    return await caller.call(
        "UploadDocumentWithHandler2",
        path="/Library/a",
        uploadHandler=await caller.staged(),
        mpVersionMajor=major,
        mpVersionMinor=minor,
        mpVersionRevision=revision,
        **more,
    )


async def with_parameters(caller: Caller, **keys: str) -> Said:
    items = "".join(f'<item NAME="{key}" VALUE="{value}"/>' for key, value in keys.items())
    return await caller.call(
        "UploadDocumentWithHandler3",
        path="/Library/a",
        uploadHandler=await caller.staged(),
        xmlParameters=f"<xmlparameters>{items}</xmlparameters>",
    )


async def only(server: Emulator) -> Document:
    (document,) = await server.documents()
    return document


async def test_a_version_number_is_the_senders_choice(server: Emulator, caller: Caller) -> None:
    assert (await with_version(caller, "3", "2", "1", versionComments="why"))["VersionId"] == "3002001"
    await caller.call("Lock", Path="/Library/a")
    assert (await with_version(caller, "2"))["VersionId"] == "2000000"
    document = await only(server)
    assert [version.number for version in document.versions] == [3_002_001, 2_000_000]
    assert (document.versions[0].comment, document.latest.number) == ("why", 2_000_000)
    # What follows comes behind all that there is.
    assert (await caller.store("/Library/a"))["VersionId"] == "3002002"


async def test_a_version_number_is_there_once(server: Emulator, caller: Caller) -> None:
    await with_version(caller, "1")
    await caller.call("Lock", Path="/Library/a")
    said = await with_version(caller, "1")
    assert (said.code, said["error"]) == ("4000", "The document has a version 1000000 already.")
    assert len((await only(server)).versions) == 1
    assert await server.open_handlers() == []


@pytest.mark.parametrize("parts", [("0", "0", "0"), ("2401", "0", "0"), ("1", "1000", "0"), ("1", "0", "-1")])
async def test_a_version_number_out_of_range(server: Emulator, caller: Caller, parts: tuple[str, str, str]) -> None:
    said = await with_version(caller, *parts)
    assert (said.code, said["error"]) == ("4000", "Invalid version number component")
    assert await server.documents() == []


async def test_a_part_beyond_16_bits_is_a_bad_request(caller: Caller) -> None:
    assert (await with_version(caller, "32768")).status == 400
    assert (await with_version(caller, "32767")).status == 200


async def test_every_parameter_is_kept(server: Emulator, caller: Caller) -> None:
    said = await with_parameters(
        caller,
        DESCRIPTION="d",
        KEYWORDS="k, l",
        TEXTONLYCONTENT="words",
        CREATIONDATE="2024-01-15",
        MODIFICATIONDATE="2024-02-01T10:00:00Z",
        PUBLISHOPTION="DontPublish",
        MPVERSIONMAJOR="2",
        SENDEMAILS="no",
    )
    assert said["VersionId"] == "2000000"
    document = await only(server)
    assert (document.description, document.keywords, document.text_content) == ("d", "k, l", "words")
    assert document.created == document.creation_date == datetime(2024, 1, 15, tzinfo=UTC).timestamp()
    assert document.modified == document.modification_date == datetime(2024, 2, 1, 10, tzinfo=UTC).timestamp()
    version = document.latest
    assert (version.publish_option, version.published, version.notified) == ("DontPublish", False, False)
    told = (await caller.call("GetDocument", Path="/Library/a")).document[0].attrib
    assert (told["CreationDate"], told["ModificationDate"]) == ("2024-01-15T00:00:00.000Z", "2024-02-01T10:00:00.000Z")


async def test_what_is_not_sent_again_stays(server: Emulator, caller: Caller) -> None:
    await with_parameters(caller, DESCRIPTION="d", CREATIONDATE="2024-01-15")
    await with_parameters(caller, KEYWORDS="k", CHECKOUT="yes")
    document = await only(server)
    assert (document.description, document.keywords, len(document.versions)) == ("d", "k", 2)
    assert document.creation_date is not None


async def test_subscribers_are_told_by_default(server: Emulator, caller: Caller) -> None:
    await caller.store("/Library/a")
    await with_parameters(caller, CHECKOUT="yes", SENDEMAILS="off")
    await with_parameters(caller, CHECKOUT="yes")
    assert [version.notified for version in (await only(server)).versions] == [True, False, True]


async def test_all_of_it_survives_a_restart(tmp_path: Path) -> None:
    async with Emulator(tmp_path) as server, Caller(server.url) as caller:
        await caller.sign_in("demo", "demo")
        await with_parameters(caller, TEXTONLYCONTENT="words", SENDEMAILS="no", MODIFICATIONDATE="2024-02-01")
        before = await only(server)
    async with Emulator(tmp_path) as server:
        assert await only(server) == before

"""The front door: one client for any number of uploads, which leaves nothing behind when it closes."""

import asyncio
import os
from pathlib import Path

import aiohttp
import pytest
from between import between
from conftest import FOLDER, PATIENT, Leftovers
from emulator.caller import Caller

from asyncupload import (
    AsyncUploadError,
    Client,
    ConnectFailed,
    LoginRefused,
    NotFound,
    ServerError,
    Settings,
    TicketRefused,
    Timeouts,
    UsageError,
)
from asyncupload.emulator import Emulator, at

pytestmark = pytest.mark.anyio


async def test_many_uploads_at_once_share_one_login(client: Client, emulator: Emulator) -> None:
    contents = {f"{FOLDER}/{number}.bin": os.urandom(300_000 + number) for number in range(20)}
    receipts = await asyncio.gather(*(client.upload(data, to=to) for to, data in contents.items()))
    assert [receipt.path for receipt in receipts] == list(contents)
    for to, data in contents.items():
        assert (await emulator.content(to)).read_bytes() == data
    assert [call.operation for call in emulator.calls].count("AuthenticateUser") == 1


async def test_a_wrong_password_is_tried_once_and_never_again(emulator: Emulator) -> None:
    """Fault 65: also when many uploads find out together, and when one more comes later. Accounts get locked."""
    async with Client(emulator.url, user="demo", password="wrong", settings=PATIENT) as client:
        uploads = (client.upload(b"data", to=f"{FOLDER}/{number}") for number in range(5))
        results = await asyncio.gather(*uploads, return_exceptions=True)
        with pytest.raises(LoginRefused):
            await client.upload(b"data", to=f"{FOLDER}/late")
    assert [type(result) for result in results] == [LoginRefused] * 5
    assert [call.operation for call in emulator.calls] == ["AuthenticateUser"]


async def test_a_session_of_our_own_is_logged_out_and_a_lent_ticket_is_not(emulator: Emulator) -> None:
    async with Client(emulator.url, user="demo", password="demo", settings=PATIENT) as client:
        await client.upload(b"data", to=f"{FOLDER}/one")
        assert client._remote._ticket is not None
        ticket = client._remote._ticket
        async with Client(emulator.url, ticket=ticket, settings=PATIENT) as lent:
            await lent.upload(b"data", to=f"{FOLDER}/two")
        assert "LogOut" not in [call.operation for call in emulator.calls]
    assert emulator.calls[-1].operation == "LogOut"
    async with Client(emulator.url, ticket=ticket, settings=PATIENT) as stale:
        with pytest.raises(TicketRefused):
            await stale.upload(b"data", to=f"{FOLDER}/three")


async def test_a_client_that_never_asked_anything_says_nothing_at_its_end(emulator: Emulator) -> None:
    async with Client(emulator.url, user="demo", password="demo"):
        pass
    assert emulator.calls == []


async def test_closing_leaves_no_thread_task_or_socket(tmp_path: Path) -> None:
    before = Leftovers()
    async with Emulator(tmp_path / "server") as server:
        async with Client(server.url, user="demo", password="demo", settings=PATIENT) as client:
            (tmp_path / "file").write_bytes(b"data")
            await client.upload(tmp_path / "file", to=f"{FOLDER}/file")
    assert not Leftovers().since(before)


async def test_closing_does_not_wait_for_a_server_that_hangs(tmp_path: Path) -> None:
    settings = Settings(timeouts=Timeouts(cleanup=0.2))
    before = Leftovers()
    async with Emulator(tmp_path / "server", script=at({("LogOut", 1): "stall"})) as server:
        async with Client(server.url, user="demo", password="demo", settings=settings) as client:
            await client.upload(b"data", to=f"{FOLDER}/file")
    assert not Leftovers().since(before)


async def test_a_lent_session_is_not_closed(emulator: Emulator) -> None:
    async with aiohttp.ClientSession() as session:
        async with Client(emulator.url, user="demo", password="demo", session=session, settings=PATIENT) as client:
            await client.upload(b"data", to=f"{FOLDER}/file")
        assert not session.closed


async def test_a_client_may_be_opened_again(emulator: Emulator) -> None:
    client = Client(emulator.url, user="demo", password="demo", settings=PATIENT)
    for name in ("one", "two"):
        async with client:
            await client.upload(b"data", to=f"{FOLDER}/{name}")
    assert [call.operation for call in emulator.calls].count("LogOut") == 2


async def test_a_closed_client_says_how_to_open_it() -> None:
    client = Client("http://127.0.0.1:9", user="demo", password="demo")
    with pytest.raises(UsageError, match="async with"):
        await client.upload(b"data", to=f"{FOLDER}/file")


async def test_an_address_that_never_answered_fails_at_once(tmp_path: Path) -> None:
    """Fault 29: it is more likely mistyped than down, and the default patience is half a minute."""
    async with Emulator(tmp_path / "server") as server:
        url = server.url
    async with Client(url, user="demo", password="demo") as client:
        with pytest.raises(ConnectFailed):
            await asyncio.wait_for(client.upload(b"data", to=f"{FOLDER}/file"), 5)


async def test_a_server_that_goes_away_for_a_moment_is_waited_for(tmp_path: Path) -> None:
    """Fault 30."""
    server = Emulator(tmp_path / "server")
    settings = Settings(chunk_size=PATIENT.chunk_size)
    async with Client((await _started(server)).url, user="demo", password="demo", settings=settings) as client:
        await client.upload(b"data", to=f"{FOLDER}/one")
        await server.stop()
        upload = asyncio.ensure_future(client.upload(b"data", to=f"{FOLDER}/two"))
        await asyncio.sleep(0.3)
        await server.start()
        assert (await upload).size == 4
    await server.stop()


async def _started(server: Emulator) -> Emulator:
    await server.start()
    return server


async def test_an_upload_that_outlives_its_client_ends_in_an_error(tmp_path: Path) -> None:
    """And opens no connection that nobody would close."""
    before = Leftovers()
    async with Emulator(tmp_path / "server", script=at({("UploadFileChunk", 1): "stall"})) as server:
        async with Client(server.url, user="demo", password="demo", settings=PATIENT) as client:
            upload = asyncio.ensure_future(client.upload(b"data", to=f"{FOLDER}/file"))
            while "UploadFileChunk" not in [call.operation for call in server.calls]:  # noqa: ASYNC110
                await asyncio.sleep(0)
        with pytest.raises(AsyncUploadError):
            await upload
    assert not Leftovers().since(before)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({}, "user and a password"),
        ({"user": "demo"}, "user and a password"),
        ({"user": "demo", "password": "x", "ca_file": "/no/such.pem"}, "/no/such.pem"),
    ],
)
def test_credentials_that_cannot_work_are_refused(options: dict[str, str], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        Client("http://host", **options)  # type: ignore[arg-type]


# ── check ───────────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_check_reports_what_the_server_grants_and_leaves_nothing(client: Client, emulator: Emulator) -> None:
    report = await client.check()
    assert report.url == f"{emulator.url}/srv.asmx"
    assert report.user == "demo"
    assert report.chunk_size == PATIENT.chunk_size
    assert report.default_chunk_size == 262_144
    assert report.version
    assert await emulator.open_handlers() == []


async def test_check_does_without_what_older_servers_lack(emulator: Emulator) -> None:
    def older(operation: str, body: bytes) -> bytes:
        return b"<html>no such operation</html>" if operation == "GetGeneralAppSettings" else body

    async with (
        between(emulator.url, answer=older) as proxy,
        Client(proxy.url, user="demo", password="demo", settings=PATIENT) as client,
    ):
        report = await client.check()
    assert (report.default_chunk_size, report.document_max_size) == (None, None)


async def test_check_outwaits_what_passes(tmp_path: Path) -> None:
    script = at({(name, 1): "refuse-503" for name in ("ServerInfo", "isValidTicket", "DeleteUploadHandler")})
    async with (
        Emulator(tmp_path / "server", script=script) as server,
        Client(server.url, user="demo", password="demo", settings=PATIENT) as client,
    ):
        assert (await client.check()).user == "demo"
        assert await server.open_handlers() == []


async def test_check_says_why_not(emulator: Emulator) -> None:
    async with Client(emulator.url, user="demo", password="wrong", settings=PATIENT) as client:
        with pytest.raises(LoginRefused, match="AuthenticateUser"):
            await client.check()


async def test_a_document_that_is_not_there_cannot_be_downloaded(client: Client, tmp_path: Path) -> None:
    with pytest.raises(NotFound):
        await client.download(f"{FOLDER}/nothing", tmp_path / "target")
    assert list(tmp_path.iterdir()) == [tmp_path / "server"]


# ── discard ─────────────────────────────────────────────────────────────────────────────────────────────────────────


async def _left_by(user: str, server: Emulator) -> str:
    """The GUID of a handler with bytes in it, whose client has gone."""
    async with Caller(server.url) as caller:
        await caller.sign_in(user, user)
        left = await caller.open()
        assert (await caller.chunk(left, b"data")).ok
    return left


@pytest.mark.parametrize("form", ["{}", " {} ", "{{{}}}", "urn:uuid:{}"])
async def test_a_handler_that_was_left_is_discarded(form: str, client: Client, emulator: Emulator) -> None:
    """However its GUID is written. A second time does no harm."""
    left = await _left_by("demo", emulator)
    await client.discard(form.format(left.upper()))
    assert await emulator.open_handlers() == []
    await client.discard(left)


async def test_a_handler_of_somebody_else_is_left_alone(tmp_path: Path) -> None:
    async with Emulator(tmp_path / "server", users={"demo": "demo", "anna": "anna"}) as server:
        left = await _left_by("anna", server)
        async with Client(server.url, user="demo", password="demo", settings=PATIENT) as client:
            await client.discard(left)
        assert [handler.guid for handler in await server.open_handlers()] == [left]


async def test_what_is_no_guid_is_not_asked_for(client: Client, emulator: Emulator) -> None:
    for handler in ("", "the one", "7c9e6679-7425-40de-944b"):
        with pytest.raises(UsageError, match="those are GUIDs"):
            await client.discard(handler)
    assert emulator.calls == []


async def test_discarding_outwaits_what_passes(tmp_path: Path) -> None:
    script = at({("DeleteUploadHandler", 1): "drop-after", ("DeleteUploadHandler", 2): "expire-ticket"})
    async with Emulator(tmp_path / "server", script=script) as server:
        async with Client(server.url, user="demo", password="demo", settings=PATIENT) as client:
            await client.discard("7c9e6679-7425-40de-944b-e07fc1f90ae7")
        assert [call.operation for call in server.calls].count("DeleteUploadHandler") == 3


@pytest.mark.parametrize("variants", [(), ("no-errorcode",), ("bare-failure",)])
async def test_a_folder_that_is_there_already_is_as_good_as_made(variants: tuple[str, ...], tmp_path: Path) -> None:
    async with (
        Emulator(tmp_path / "server", variants=variants) as server,
        Client(server.url, user="demo", password="demo") as client,
    ):
        for _ in range(2):
            await client.create_folder("/Library/A/B")
        assert await client.folder_exists("/Library/A/B")
        with pytest.raises(ServerError):
            await client.create_folder("/Nowhere/A")

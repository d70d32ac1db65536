"""Logging in and out, and what the server tells about itself."""

import uuid
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from asyncupload.emulator import Emulator
from emulator.caller import Caller

pytestmark = pytest.mark.anyio

UNKNOWN = "3f2504e0-4f89-41d3-9a0c-0305e82c3301"


async def test_a_login_gives_a_ticket_for_thirty_days(caller: Caller) -> None:
    said = await caller.call("AuthenticateUser", UID="demo", PWD="demo")
    assert said.document.tag == "root"
    assert said.ok
    assert str(uuid.UUID(said["ticket"])) == said["ticket"]
    assert said["username"] == "demo"
    assert said["isAuthenticated"] == "True"
    life = datetime.fromisoformat(said["expireOn"]) - datetime.now(UTC)
    assert timedelta(days=29, hours=23) < life < timedelta(days=30, minutes=1)


async def test_each_login_is_a_session_of_its_own(caller: Caller) -> None:
    first = await caller.call("AuthenticateUser", UID="demo", PWD="demo")
    second = await caller.call("AuthenticateUser1", UID="demo", PWD="demo", Lang="en")
    assert first["ticket"] != second["ticket"]


async def test_the_login_name_may_have_any_case(caller: Caller) -> None:
    assert (await caller.call("AuthenticateUser", UID="DEMO", PWD="demo"))["username"] == "demo"


@pytest.mark.parametrize(("user", "password"), [("demo", "Demo"), ("nobody", "demo")])
async def test_a_wrong_login_is_900_in_a_document(caller: Caller, user: str, password: str) -> None:
    said = await caller.call("AuthenticateUser", UID=user, PWD=password)
    assert (said.status, said["success"], said.code) == (200, "false", "4010")
    assert said["error"].startswith("[900]")


async def test_a_login_without_a_password_is_a_bad_request(caller: Caller) -> None:
    said = await caller.call("AuthenticateUser", UID="demo", PWD="")
    assert (said.status, said.root) == (400, None)


async def test_renewing_keeps_a_good_ticket(caller: Caller) -> None:
    said = await caller.call("RenewTicket", UID="demo", PWD="demo", OldTicket=caller.ticket)
    assert said["ticket"] == caller.ticket


async def test_renewing_reads_the_cookie(caller: Caller) -> None:
    data = {"UID": "demo", "PWD": "demo"}
    said = await caller.request("POST", "RenewTicket", data=data, headers={"Cookie": f"ticket={caller.ticket}"})
    assert said["ticket"] == caller.ticket


@pytest.mark.parametrize("old", ["", UNKNOWN])
async def test_renewing_without_a_good_ticket_makes_a_new_one(caller: Caller, old: str) -> None:
    said = await caller.call("RenewTicket", UID="demo", PWD="demo", OldTicket=old)
    assert said.ok
    assert said["ticket"] not in {old, caller.ticket}


async def test_renewing_does_not_hand_over_the_ticket_of_another_user(caller: Caller, other: Caller) -> None:
    said = await caller.call("RenewTicket", UID="demo", PWD="demo", OldTicket=other.ticket)
    assert (said["username"], said["ticket"] != other.ticket) == ("demo", True)


async def test_renewing_looks_at_the_ticket_before_the_password(caller: Caller) -> None:
    said = await caller.call("RenewTicket", UID="demo", PWD="wrong", OldTicket="old")
    assert said["error"] == "invalid ticket format"


async def test_a_valid_ticket_is_described_without_being_repeated(caller: Caller) -> None:
    said = await caller.call("isValidTicket")
    assert said.ok
    assert said["username"] == "demo"
    assert "ticket" not in said.document.attrib


async def test_a_valid_ticket_may_come_in_a_cookie(caller: Caller) -> None:
    said = await caller.request("POST", "isValidTicket", headers={"Cookie": f"ticket={caller.ticket}"})
    assert said.ok


@pytest.mark.parametrize("ticket", ["", "nonsense", UNKNOWN])
async def test_an_unknown_ticket_is_not_valid(caller: Caller, ticket: str) -> None:
    caller.ticket = ticket
    said = await caller.call("isValidTicket")
    assert (said.code, said["error"][:5]) == ("4010", "[901]")


async def test_logging_out_ends_the_ticket(caller: Caller) -> None:
    assert (await caller.call("LogOut")).ok
    assert (await caller.call("isValidTicket")).code == "4010"
    assert (await caller.call("LogOut"))["error"].startswith("[901]")


async def test_a_recycled_application_pool_forgets_every_ticket(server: Emulator, caller: Caller) -> None:
    await server.forget_tickets()
    assert (await caller.call("DocumentExists", Path="/Library/a"))["error"].startswith("[901]")


async def test_no_ticket_is_the_anonymous_user_who_may_do_nothing(caller: Caller) -> None:
    caller.ticket = ""
    said = await caller.call("DocumentExists", Path="/Library/a")
    assert (said.status, said.code, said["error"][:5]) == (200, "4010", "[900]")


async def test_server_info_needs_no_ticket(caller: Caller) -> None:
    caller.ticket = ""
    said = await caller.get("ServerInfo")
    assert (said.document.tag, said.ok) == ("root", True)
    assert said["VersionNumber"].count(".") == 3
    assert abs(datetime.fromisoformat(said["Coordinated_Universal_Time"]) - datetime.now(UTC)) < timedelta(minutes=1)


async def test_the_settings_tell_the_limits(caller: Caller) -> None:
    said = await caller.call("GetGeneralAppSettings")
    upload = said.document.find("GeneralSettings/UploadSettings")
    assert upload is not None
    assert upload.findtext("DefaultUploadFileChunkSize") == "262144"
    assert upload.findtext("DocumentMaxSize") == "0"


async def test_the_settings_are_for_those_who_are_signed_in(caller: Caller) -> None:
    caller.ticket = ""
    assert (await caller.call("GetGeneralAppSettings")).code == "4010"


async def test_the_application_parameters_tell_the_limit(tmp_path: Path) -> None:
    async with Emulator(tmp_path, document_max_size=1234) as server, Caller(server.url) as caller:
        assert (await caller.call("getApplicationParameters")).code == "4010"
        await caller.sign_in("demo", "demo")
        said = await caller.call("getApplicationParameters")
        assert said.document.findtext("PARAMETERS/FILEUPLOADLIMIT") == "1234"

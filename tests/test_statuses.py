"""Which statuses pass, by what they mean. Public reports: sindresorhus/got#991, notatallshaw/nab#579,
sourcegraph/sourcegraph-public-snapshot#11876, pgbackrest/pgbackrest#2661, knative/specs#97."""

import os
import re
from dataclasses import replace
from pathlib import Path

import pytest
from between import between
from conftest import BRISK, FOLDER, PATIENT
from front import Message, front

from asyncupload import Client, ForeignReply
from asyncupload._call import LostReply
from asyncupload._outcome import outcome_of
from asyncupload._statuses import passes, remedy
from asyncupload.emulator import Emulator
from asyncupload.errors import Outcome

pytestmark = pytest.mark.anyio

TO = f"{FOLDER}/report.bin"
CHUNK = PATIENT.chunk_size

PASSING = [408, 420, 421, 423, 425, 429, 449, 499, 500, 502, 503, 504, 507, 508, 509, 511, 520, 521, 522, 523, 524, 525]
PASSING += [526, 527, 529, 530, 540, 561, 598, 599, 999]
LASTING = [400, 401, 402, 403, 404, 405, 406, 407, 409, 410, 411, 412, 413, 414, 415, 416, 417, 418, 422, 424, 426, 428]
LASTING += [431, 444, 451, 501, 505, 506, 510]


@pytest.mark.parametrize("status", PASSING)
def test_it_may_pass(status: int) -> None:
    assert passes(status)


@pytest.mark.parametrize("status", [*LASTING, 201, 204, 206, 301])
def test_it_stays(status: int) -> None:
    assert not passes(status)


@pytest.mark.parametrize("lost_reply", [LostReply.PROVE, LostReply.ASK])
@pytest.mark.parametrize(
    "status", [421, 423, 499, 507, 508, 509, 511, 520, 521, 522, 523, 524, 525, 526, 529, 530, 598, 999]
)
def test_what_a_gateway_says_does_not_tell_what_became_of_the_request(status: int, lost_reply: LostReply) -> None:
    """Its numbers are no standard's, and what they mean is what another program means by them."""
    error = ForeignReply("x", status=status, transient=True)
    assert outcome_of(error, body_left=True, lost_reply=lost_reply) is Outcome.UNKNOWN


@pytest.mark.parametrize("status", [425, 429])
def test_a_request_that_was_let_in_nowhere_has_done_nothing(status: int) -> None:
    error = ForeignReply("x", status=status, transient=True)
    assert outcome_of(error, body_left=True, lost_reply=LostReply.ASK) is Outcome.NOT_APPLIED


STATIONS = ["AuthenticateUser", "FolderExists", "CreateUploadHandler", "UploadFileChunk", "DeleteUploadHandler"]


@pytest.mark.parametrize("operation", STATIONS)
@pytest.mark.parametrize("status", [408, 421, 423, 509, 520, 522, 524, 530, 599])
async def test_an_upload_waits_until_it_has_passed(emulator: Emulator, operation: str, status: int) -> None:
    """Wherever it is met, and though nothing has reached the server."""
    left = 2

    def instead(asked: str, _: bytes) -> tuple[int, bytes] | None:
        nonlocal left
        if asked != operation or not left:
            return None
        left -= 1
        return status, b"<html><h1>passing</h1></html>"

    async with between(emulator.url, instead=instead) as proxy:
        async with Client(proxy.url, user="demo", password="demo", settings=PATIENT) as client:
            assert (await client.upload(os.urandom(2 * CHUNK), to=TO)).status == "stored"


@pytest.mark.parametrize("operation", ["UploadFileChunk", "UploadDocumentWithHandler1"])
@pytest.mark.parametrize("status", [520, 522, 524])
async def test_so_it_does_if_the_server_has_done_what_was_asked(tmp_path: Path, operation: str, status: int) -> None:
    """No chunk is doubled by it, and no version."""
    left = 1

    def change(request: Message, answer: Message) -> Message:
        nonlocal left
        if request.operation != operation or not left:
            return answer
        left -= 1
        return Message(f"HTTP/1.1 {status} Connection timed out", [("Retry-After", "0")], b"<html>")

    data = os.urandom(2 * CHUNK + 1)
    async with Emulator(tmp_path / "server") as server, front(server.url, change=change) as seen:
        async with Client(seen.url, user="demo", password="demo", settings=BRISK) as client:
            receipt = await client.upload(data, to=TO)
            assert (await client.verify(data, TO, deep=True)).size == len(data)
            found = await client.describe(TO)
    assert receipt.status == "stored"
    assert found.version_id == receipt.version_id


@pytest.mark.parametrize("status", [501, 505, 402, 409])
async def test_what_stays_is_not_waited_for(emulator: Emulator, status: int) -> None:
    def instead(asked: str, _: bytes) -> tuple[int, bytes] | None:
        return (status, b"") if asked == "CreateUploadHandler" else None

    settings = replace(PATIENT, retries=replace(PATIENT.retries, attempts=None))
    async with between(emulator.url, instead=instead) as proxy:
        async with Client(proxy.url, user="demo", password="demo", settings=settings) as client:
            with pytest.raises(ForeignReply, match=f"HTTP {status}"):
                await client.upload(b"x", to=TO)
    assert [operation for operation, _ in proxy.requests].count("CreateUploadHandler") == 1


REMEDIES = {
    "Windows": (
        401,
        ["Negotiate", "NTLM"],
        "",
        r"Windows authentication \(Negotiate, NTLM\).*anonymous authentication",
    ),
    "Kerberos alone": (401, ["Negotiate"], "", r"Windows authentication \(Negotiate\)"),
    "Basic beside it": (401, ["Negotiate", "Basic"], "", "lend a session"),
    "Bearer": (401, ["Bearer"], "", "Bearer, which is not spoken here"),
    "nothing": (401, [], "", "^$"),
    "a proxy": (407, ["Basic"], "", "http://user:password@host:port"),
    "a proxy that says nothing": (407, [], "", "http://user:password@host:port"),
    "a proxy of Windows": (407, ["NTLM"], "", "cntlm"),
    "a network": (511, [], "", "browser"),
    "nginx": (400, [], "<p>The plain HTTP request was sent to HTTPS port</p>", "https://"),
    "Apache": (400, [], "You're speaking plain HTTP to an SSL-enabled server port.", "https://"),
    "Go": (400, [], "Client sent an HTTP request to an HTTPS server.", "https://"),
    "another one": (400, [], "Bad Request", "^$"),
}


@pytest.mark.parametrize("case", REMEDIES)
def test_the_way_out_is_said(case: str) -> None:
    """Public reports: aio-libs/aiohttp#434, curl/curl#10882."""
    status, challenges, page, words = REMEDIES[case]
    assert re.search(words, remedy(status, challenges, page))


async def test_a_web_server_that_asks_for_windows_says_so(emulator: Emulator) -> None:
    def change(_: Message, __: Message) -> Message:
        heads = [("WWW-Authenticate", "Negotiate"), ("WWW-Authenticate", "NTLM")]
        return Message("HTTP/1.1 401 Unauthorized", heads, b"<html><h2>401 - Unauthorized</h2></html>")

    async with front(emulator.url, change=change) as seen:
        async with Client(seen.url, user="demo", password="demo", settings=PATIENT) as client:
            with pytest.raises(ForeignReply, match=r"Windows authentication \(Negotiate, NTLM\) before infoRouter"):
                await client.folder_exists(FOLDER)
    assert seen.operations() == ["AuthenticateUser"]

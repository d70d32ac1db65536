"""Load balancers know a session's node by a cookie. Public reports: aio-libs/aiohttp#1183, aio-libs/aiohttp#2846,
ethersphere/swarm#1851, lexiforest/curl_cffi#414, nuxeo/nuxeo-drive#116."""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from conftest import FOLDER, PATIENT
from front import Front, Message, front
from yarl import URL

from asyncupload import Client, ForeignReply, TicketRefused
from asyncupload._cookies import Jar
from asyncupload.emulator import Emulator

pytestmark = pytest.mark.anyio

HERE = URL("http://10.0.0.5:8080/InfoRouter/srv.asmx/LogOut")

VALUES = {
    "a plain one": ("SERVERID=node1", "SERVERID=node1"),
    "in quotes": ('route="1.node-a"', 'route="1.node-a"'),
    "with a semicolon in quotes": ('a="x; y"', 'a="x; y"'),
    "JSON": ('b={"n":1,"m":"x"}', 'b={"n":1,"m":"x"}'),
    "base64": ("AWSALB=ab+/c==; Expires=Thu, 01-Jan-2099 00:00:00 GMT", "AWSALB=ab+/c=="),
    "a name with tildes": ("BIGipServer~Common~pool=rd5o1; HttpOnly", "BIGipServer~Common~pool=rd5o1"),
    "escapes": ("c=a\\054b%20", "c=a\\054b%20"),
    "commas and spaces": ("d=a,b c", "d=a,b c"),
    "a comma and a bang": ("citrix_ns_id=!abc,1", "citrix_ns_id=!abc,1"),
    "nothing": ("e=", "e="),
    "for encrypted lines only": ("f=1; Secure; SameSite=None", "f=1"),
    "of an address": ("g=1; Domain=10.0.0.5", "g=1"),
    "a path in another case": ("h=1; Path=/inforouter", "h=1"),
    "an age that is none": ("i=1; Max-Age=soon", "i=1"),
    "an attribute nobody knows": ("j=1; Priority=High; Partitioned", "j=1"),
    "not ASCII": ("k=caf\u00e9", "k=caf\u00e9"),
}
"""What a balancer sets, and what is to come back."""


def sent_by(*headers: str, url: URL = HERE) -> str:
    jar = Jar(URL("http://10.0.0.5:8080/InfoRouter/srv.asmx"))
    jar.update_cookies_from_headers(headers, URL("http://10.0.0.5:8080/InfoRouter/srv.asmx/AuthenticateUser"))
    return jar.filter_cookies(url).output(header="", sep=";").strip()


@pytest.mark.parametrize("value", VALUES)
async def test_a_value_goes_back_as_it_came(value: str) -> None:
    given, back = VALUES[value]
    assert sent_by(given) == back


@pytest.mark.parametrize(
    "given", ["=x", "x", "", "a=1; Domain=other.example", "b=1; Path=/other", "c=1; Max-Age=0", "d=1\x01"]
)
async def test_what_is_not_for_us_does_not(given: str) -> None:
    assert not sent_by(given)


async def test_it_goes_to_no_other_server() -> None:
    assert not sent_by("a=1", url=URL("http://10.0.0.6:8080/InfoRouter/srv.asmx/LogOut"))


async def test_a_later_one_takes_the_place_of_the_first() -> None:
    assert sent_by("a=1; Path=/", "a=2; Path=/") == "a=2"


@dataclass
class Balancer:
    """Gives each client that brings no cookie of its to the node after the last one's, and knows it by the cookie from
    then on."""

    nodes: dict[str, str]
    turn: int = 0

    def choose(self, request: Message) -> str:
        pairs = (pair.partition("=") for cookie in request.all_of("cookie") for pair in cookie.split("; "))
        known = [value for name, _, value in pairs if name == "NODE" and value in self.nodes]
        self.turn += not known
        node = known[0] if known else list(self.nodes)[self.turn % 2]
        request.heads.append(("X-Node", node))
        return self.nodes[node]

    def mark(self, request: Message, answer: Message) -> Message:
        answer.heads.append(("Set-Cookie", f"NODE={request.all_of('x-node')[0]}; Path=/; HttpOnly; Secure"))
        return answer


@asynccontextmanager
async def two_nodes(root: Path) -> AsyncIterator[Front]:
    """Sessions and staged bytes are each node's own."""
    async with Emulator(root / "a") as first, Emulator(root / "b") as second:
        balancer = Balancer({'"a|1"': first.url, '"b=2"': second.url})
        async with front(balancer.choose, change=balancer.mark) as seen:
            yield seen


async def test_a_client_of_an_address_stays_with_its_node(tmp_path: Path) -> None:
    data = os.urandom(2 * PATIENT.chunk_size + 1)
    async with two_nodes(tmp_path) as seen:
        async with Client(seen.url, user="demo", password="demo", settings=PATIENT) as client:
            assert (await client.upload(data, to=f"{FOLDER}/a.bin")).status == "stored"
    assert seen.operations().count("AuthenticateUser") == 1
    first, *others = [request.all_of("cookie") for _, request in seen.requests]
    assert not first
    assert {tuple(each) for each in others} in ({('NODE="a|1"',)}, {('NODE="b=2"',)})


async def test_each_client_has_cookies_of_its_own(tmp_path: Path) -> None:
    async with two_nodes(tmp_path) as seen:
        async with Client(seen.url, user="demo", password="demo", settings=PATIENT) as one:
            async with Client(seen.url, user="demo", password="demo", settings=PATIENT) as other:
                await one.folder_exists(FOLDER)
                await other.folder_exists(FOLDER)
                await one.folder_exists(FOLDER)
    sent = [request.all_of("cookie") for _, request in seen.requests]
    assert sent.count([]) == 2
    assert ['NODE="a|1"'] in sent
    assert ['NODE="b=2"'] in sent


async def test_a_client_that_is_opened_again_begins_without_any(emulator: Emulator) -> None:
    def mark(_: Message, answer: Message) -> Message:
        answer.heads.append(("Set-Cookie", "NODE=1"))
        return answer

    client_of: dict[str, Any] = {"user": "demo", "password": "demo", "settings": PATIENT}
    async with front(emulator.url, change=mark) as seen:
        client = Client(seen.url, **client_of)
        for _ in range(2):
            async with client:
                await client.folder_exists(FOLDER)
    assert [request.all_of("cookie") for _, request in seen.requests].count([]) == 2


async def test_a_lent_sessions_jar_is_used_as_it_is(tmp_path: Path) -> None:
    """What stands in it already goes along."""
    async with two_nodes(tmp_path) as seen, aiohttp.ClientSession(cookie_jar=Jar(URL("http://127.0.0.1"))) as lent:
        lent.cookie_jar.update_cookies({"MINE": "1"}, URL(seen.url))
        async with Client(seen.url, ticket="none", settings=PATIENT, session=lent) as client:
            with pytest.raises(TicketRefused):
                await client.folder_exists(FOLDER)
    assert all("MINE=1" in request.all_of("cookie")[0] for _, request in seen.requests)


async def test_a_cookie_is_not_shown_by_a_page_that_echoes_it(emulator: Emulator) -> None:
    def echo(request: Message, answer: Message) -> Message:
        if not (cookies := request.all_of("cookie")):
            answer.heads.append(("Set-Cookie", 'NODE="s3cret-of-the-balancer"'))
            return answer
        text = cookies[0].replace('"', "").encode()
        return Message("HTTP/1.1 403 Forbidden", [], b"<p>you are " + text + b"</p>")

    async with front(emulator.url, change=echo) as seen:
        with pytest.raises(ForeignReply, match="403") as caught:
            async with Client(seen.url, user="demo", password="demo", settings=PATIENT) as client:
                await client.folder_exists(FOLDER)
    assert "s3cret" not in str(caught.value) + caught.value.excerpt

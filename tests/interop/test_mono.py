"""Against ASP.NET's own web services, as Mono has them: binding, envelopes, filters and failures that are not ours."""

import asyncio
import http.client
import json
import os
import re
import zlib
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlencode, urlsplit
from xml.etree.ElementTree import Element

import pytest
import zeep
from anyio.to_thread import run_sync
from cli.commands import Ended, run
from conftest import FOLDER, PATIENT
from defusedxml.ElementTree import fromstring

from asyncupload import Client, EmptySource, ForeignReply, NotFound, Outcome, Properties

from .mono import Mono, build, running
from .serving import serving

pytestmark = pytest.mark.anyio

CHUNK = PATIENT.chunk_size
MIB = 1024 * 1024
LOGIN = {"ASYNCUPLOAD_USER": "demo", "ASYNCUPLOAD_PASSWORD": "demo"}


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("mono") / "built"
    build(folder)
    return folder


@pytest.fixture(scope="module")
def server(built: Path) -> Iterator[Mono]:
    """One for all: each test has documents of its own."""
    with running(built, built.parent / "server") as started:
        yield started


@pytest.fixture
async def to(server: Mono) -> AsyncIterator[Client]:
    async with Client(server.url, user="demo", password="demo", settings=PATIENT) as opened:
        yield opened


def type_in(server: Mono, *words: object) -> Ended:
    return run(*words, "--server", server.url, env=LOGIN)


# ── up ──────────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("encoding", ["auto", "soap"])
async def test_a_document_and_a_version_come_up_and_down_again(
    encoding: Literal["auto", "soap"], server: Mono, tmp_path: Path
) -> None:
    """Two chunks each. What the comments say looks like markup, which a form must not have there."""
    path, comments = f"{FOLDER}/{encoding}.bin", ["<b>März</b> &#8364; & more", "]]> second"]
    contents = [os.urandom(CHUNK + 7), os.urandom(2 * CHUNK)]
    settings = replace(PATIENT, encoding=encoding)
    async with Client(server.url, user="demo", password="demo", settings=settings) as client:
        for content, comment in zip(contents, comments, strict=True):
            receipt = await client.upload(
                content, to=path, version_comment=comment, properties=Properties(description="<i>told</i>")
            )
            assert (receipt.chunks, receipt.resent, receipt.restarted) == (2, 0, 0)
            assert (receipt.verified_by, receipt.not_kept) == ("staged checksum", ())
        kept = [version.comment for version in await client._patience.remote.versions(path)]
        assert [one.startswith(comment) for one, comment in zip(kept, comments, strict=True)] == [True, True], kept
        for version, content in zip((1_000_000, 1_000_001), contents, strict=True):
            await client.download(path, tmp_path / "back", version=version)
            assert (tmp_path / "back").read_bytes() == content
    assert [server.stored().count(content) for content in contents] == [1, 1]


@pytest.mark.parametrize("encoding", ["multipart", "form"])
async def test_no_form_carries_a_chunk(encoding: Literal["multipart", "form"], server: Mono) -> None:
    """That is told in the framework's words, at once, and nothing was appended."""
    settings = replace(PATIENT, encoding=encoding)
    async with Client(server.url, user="demo", password="demo", settings=settings) as client:
        with pytest.raises(ForeignReply, match=r"Request format is invalid|Cannot convert") as caught:
            await client.upload(b"data", to=f"{FOLDER}/never")
        assert (caught.value.outcome, caught.value.transient) == (Outcome.NOT_APPLIED, False)
        with pytest.raises(NotFound):
            await client._patience.remote.document_crc32(f"{FOLDER}/never")


@pytest.mark.parametrize(
    "name", ["Grüße – 文 😀.pdf", "a & b + c #1 %41.txt", "it's [x] {y}; =~.txt", "&#60;b&lt;.txt", "%3Cscript%3E"]
)
@pytest.mark.parametrize("encoding", ["auto", "soap"])
async def test_names_arrive_as_they_are(name: str, encoding: Literal["auto", "soap"], server: Mono) -> None:
    """Be it that a form must not have them."""
    settings = replace(PATIENT, encoding=encoding)
    async with Client(server.url, user="demo", password="demo", settings=settings) as client:
        await client.upload(os.urandom(10), to=f"/Library/{encoding} {name}", if_exists="fail")
        raw = await client._patience.remote.document(f"/Library/{encoding} {name}")
        assert raw.size == 10


async def test_a_stream_and_uploads_at_once_come_up(to: Client, server: Mono) -> None:
    contents = [os.urandom(CHUNK + number) for number in range(4)]

    async def pieces(content: bytes) -> AsyncIterator[bytes]:
        yield content[:1000]
        yield content[1000:]

    await asyncio.gather(*(to.upload(pieces(one), to=f"{FOLDER}/{n}") for n, one in enumerate(contents)))
    assert {server.stored().count(content) for content in contents} == {1}


async def test_nothing_is_sent_of_an_empty_source(to: Client) -> None:
    with pytest.raises(EmptySource):
        await to.upload(b"", to=f"{FOLDER}/empty")


@pytest.mark.parametrize("encoding", ["auto", "soap"])
async def test_chunks_beyond_the_limit_for_requests_get_smaller(
    encoding: Literal["auto", "soap"], server: Mono
) -> None:
    """Its limit is the framework's own, 4 MiB, and it closes the connection while the rest is still coming."""
    content, settings = os.urandom(9 * MIB), replace(PATIENT, chunk_size=8 * MIB, encoding=encoding)
    async with Client(server.url, user="demo", password="demo", settings=settings) as client:
        receipt = await client.upload(content, to=f"{FOLDER}/large-{encoding}")
    assert (receipt.chunks, receipt.restarted) == (5, 0)
    assert content in server.stored()


@pytest.mark.parametrize("forms", [True, False])
@pytest.mark.parametrize("words", [True, False])
async def test_where_forms_are_switched_off_or_errors_have_no_words_soap_is_spoken(
    forms: bool, words: bool, built: Path, tmp_path: Path
) -> None:
    with running(built, tmp_path / "server", forms=forms, words=words) as server:
        async with Client(server.url, user="demo", password="demo", settings=PATIENT) as client:
            await client.upload(b"data", to=f"{FOLDER}/a <b&#1;".replace("<", ""), version_comment="<b>")
            assert (await client.check()).encodings == ("soap",)
        assert server.stored() == [b"data"]


# ── the commands ────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_the_commands_work(server: Mono, tmp_path: Path) -> None:
    typed, file, path = partial(type_in, server), tmp_path / "file", f"{FOLDER}/typed.bin"
    file.write_bytes(os.urandom(2 * CHUNK))
    upload = ("upload", file, path, "--chunk-size", CHUNK, "--json")

    checked = (await run_sync(typed, "check", "--json")).said
    assert (checked["encodings"], checked["version"]) == (["soap"], "8.1.155")

    ended = await run_sync(typed, *upload)
    assert (ended.code, ended.said["chunks"], ended.said["resent"]) == (0, 2, 0)
    assert (await run_sync(typed, "verify", file, path)).code == 0
    assert (await run_sync(typed, "download", path, tmp_path / "back")).code == 0
    assert (tmp_path / "back").read_bytes() == file.read_bytes()

    ended = await run_sync(typed, *upload, "--encoding", "form")
    assert (ended.code, "Cannot convert" in ended.said["message"]) == (5, True)


async def test_a_tree_is_loaded(server: Mono, tmp_path: Path) -> None:
    """Its folders are made, and a second run finds all in place."""
    (tmp_path / "tree" / "inner").mkdir(parents=True)
    contents = {name: os.urandom(1000) for name in ("one.bin", "inner/two & three.bin")}
    for name, content in contents.items():
        (tmp_path / "tree" / name).write_bytes(content)
    words = ("bulk", tmp_path / "tree", "/Library/Tree", "--json", "--journal", tmp_path / "tree.journal")
    for status in ("stored", "unchanged"):
        ended = await run_sync(partial(type_in, server, *words, "--if-exists", "skip"))
        assert ended.code == 0, ended
        told = [json.loads(line) for line in ended.out.splitlines()]
        assert [one["status"] for one in told if "path" in one] == [status] * 2 if status == "stored" else True
    assert all(server.stored().count(content) == 1 for content in contents.values())


# ── what the service itself says ────────────────────────────────────────────────────────────────────────────────────


ENCODING = "http://schemas.xmlsoap.org/soap/encoding/"
ARRAYS = (
    f'<s:schema xmlns:s="http://www.w3.org/2001/XMLSchema" targetNamespace="{ENCODING}">'
    '<s:complexType name="Array"><s:sequence><s:any minOccurs="0" /></s:sequence></s:complexType>'
    '<s:attribute name="arrayType" type="s:string" /></s:schema>'
)


class Offline(zeep.Transport):
    """For a description that imports a schema from the internet: for forms, which this client has no use for."""

    def load(self, url: str) -> Any:
        return ARRAYS.encode() if url == ENCODING else super().load(url)  # type: ignore[no-untyped-call]


def test_a_chunk_with_a_wrong_checksum_is_asked_for_again(server: Mono) -> None:
    """By a client that is made of nothing but the service's own description."""
    with zeep.Client(f"{server.url}/srv.asmx?WSDL", transport=Offline()) as typed:  # type: ignore[no-untyped-call]
        service: Any = typed.service
        ticket = service.AuthenticateUser("demo", "demo").get("ticket")
        handler = service.CreateUploadHandler(ticket, 0).get("UploadHandler")
        said = service.UploadFileChunk(ticket, handler, b"data", "0", True)
        assert (said.get("success"), said.get("tryagain")) == ("false", "true")
        said = service.UploadFileChunk(ticket, handler, b"data", f"{zlib.crc32(b'data'):X}", True)
        assert (said.get("success"), said.get("tryagain"), said.get("filehexcrc")) == ("true", "false", "ADF3F363")
        assert service.UploadDocumentWithHandler(ticket, "/Library/zeep.bin", handler).get("success") == "true"
    assert b"data" in server.stored()


class Asked:
    """One server, asked in words of every kind; with a ticket and a handler."""

    def __init__(self, url: str) -> None:
        self._host = urlsplit(url).netloc
        ticket = self.ask("POST", "/AuthenticateUser", urlencode({"UID": "demo", "PWD": "demo"}), FORM)[2]
        self.ticket = fromstring(ticket).get("ticket", "")
        opened = self.ask(
            "POST", "/CreateUploadHandler", self._filled("AuthenticationTicket=T&PreferedChunkSize=0"), FORM
        )
        self.handler = fromstring(opened[2]).get("UploadHandler", "")

    def ask(self, method: str, path: str, body: str | None, headers: dict[str, str]) -> tuple[int, str, str]:
        """Status, kind of content and text."""
        connection = http.client.HTTPConnection(self._host, timeout=30)
        try:
            connection.request(method, f"/srv.asmx{path}", body, headers)
            answer = connection.getresponse()
            return answer.status, (answer.getheader("Content-Type") or "").partition(";")[0], answer.read().decode()
        finally:
            connection.close()

    def said(self, method: str, path: str, body: str, headers: dict[str, str]) -> tuple[int, str, str]:
        """The same, with its own ticket and handler for T and H."""
        filled = self._filled(body)
        return (
            self.ask("GET", f"{path}?{filled}", None, {})
            if method == "GET"
            else self.ask(method, path, filled, headers)
        )

    def _filled(self, words: str) -> str:
        handler = getattr(self, "handler", "")
        return (
            words.replace("Ticket=T", f"Ticket={self.ticket}")
            .replace(">T<", f">{self.ticket}<")
            .replace("Handler=H", f"Handler={handler}")
            .replace(">H<", f">{handler}<")
        )


FORM = {"Content-Type": "application/x-www-form-urlencoded"}
XMLNS = 'xmlns="http://tempuri.org/"'
ENVELOPES = {
    "text/xml": "http://schemas.xmlsoap.org/soap/envelope/",
    "application/soap+xml": "http://www.w3.org/2003/05/soap-envelope",
}
ASKED = "AuthenticationTicket=T&"
OF_CHUNK = f"{ASKED}UploadHandler=H&ChunkHEXCRC=0&LastChunk=false"
CLIENT, SERVER = "(?s)Client.*unable to read request|Sender.*unable to read request", "Server<|Receiver<"

FORMS: dict[str, tuple[str, str, str]] = {
    # what is asked: operation, fields, and what is said
    "a chunk of the wrong checksum": ("UploadFileChunk", f"{OF_CHUNK}&FileChunk=1&FileChunk=255", 'tryagain="true"'),
    "bytes with blanks and signs": ("UploadFileChunk", f"{OF_CHUNK}&FileChunk=+7+&FileChunk=%2B7", 'tryagain="true"'),
    "a chunk in base64": ("UploadFileChunk", f"{OF_CHUNK}&FileChunk=AQID", "Cannot convert"),
    "a byte beyond": ("UploadFileChunk", f"{OF_CHUNK}&FileChunk=256", "Cannot convert"),
    "an empty byte": ("UploadFileChunk", f"{OF_CHUNK}&FileChunk=", "Cannot convert"),
    "no bytes": ("UploadFileChunk", OF_CHUNK, "NullReferenceException"),
    "1 for true": ("UploadFileChunk", f"{OF_CHUNK[:-5]}1&FileChunk=7", "Cannot convert"),
    "True": ("UploadFileChunk", f"{OF_CHUNK[:-5]}+True+&FileChunk=7", 'tryagain="true"'),
    "no truth": ("UploadFileChunk", f"{OF_CHUNK[:-5]}&FileChunk=7", "Cannot convert"),
    "names in another case": ("CreateUploadHandler", "authenticationticket=T&preferedchunksize=0", "262144"),
    "an operation in another case": ("createuploadhandler", f"{ASKED}PreferedChunkSize=0", "names are case sensitive"),
    "no such operation": ("NoSuch", ASKED, "Web Service method name is not valid"),
    "a field that is missing": ("FolderExists", ASKED, "Missing parameter"),
    "a text that is empty": ("FolderExists", f"{ASKED}Path=", "Folder not found."),
    "a text given twice": ("FolderExists", f"{ASKED}Path=/Library&Path=/Library", "Folder not found."),
    "no number": ("CreateUploadHandler", f"{ASKED}PreferedChunkSize=", "Cannot convert"),
    "a number with commas": ("CreateUploadHandler", f"{ASKED}PreferedChunkSize=1,000", "Cannot convert"),
    "a number given twice": (
        "CreateUploadHandler",
        f"{ASKED}PreferedChunkSize=1&PreferedChunkSize=1",
        "Cannot convert",
    ),
    "a number beyond 32 bits": ("CreateUploadHandler", f"{ASKED}PreferedChunkSize=3000000000", "Cannot convert"),
    "markup": ("FolderExists", f"{ASKED}Path=/%3Cb%3E", "HttpRequestValidationException"),
    "a reference": ("FolderExists", f"{ASKED}Path=/%26%2338;", "HttpRequestValidationException"),
    "what only reminds of markup": ("FolderExists", f"{ASKED}Path=/a+%3C+b+%26amp;", "Folder not found."),
}
REQUESTS: dict[str, tuple[str, str, str, dict[str, str], str]] = {
    "json": ("POST", "/FolderExists", "{}", {"Content-Type": "application/json"}, "Request format is invalid"),
    "multipart": (
        "POST",
        "/UploadFileChunk",
        "--b--",
        {"Content-Type": "multipart/form-data; boundary=b"},
        "Request format is invalid",
    ),
    "another method": ("PUT", "/FolderExists", ASKED, FORM, "Request format is unrecognized"),
    "no kind of envelope": (
        "POST",
        "",
        "{}",
        {"Content-Type": "application/json", "SOAPAction": '"http://tempuri.org/ServerInfo"'},
        "^$",
    ),
}


def of_form(method: str, case: str) -> tuple[str, str, str, dict[str, str], str]:
    operation, fields, words = FORMS[case]
    return method, f"/{operation}", fields, FORM, words


def of_envelope(kind: str, operation: str, inside: str, words: str, *, action: str | None = None) -> Any:
    space, action = ENVELOPES[kind], action if action is not None else f"http://tempuri.org/{operation}"
    body = f'<e:Envelope xmlns:e="{space}"><e:Body><{operation} {XMLNS}>{inside}</{operation}></e:Body></e:Envelope>'
    headers = {"Content-Type": f'{kind}; charset=utf-8; action="{action}"'}
    if kind == "text/xml":
        headers = {"Content-Type": f"{kind}; charset=utf-8", "SOAPAction": f'"{action}"'}
    return "POST", "", body, headers, words


TICKET = "<AuthenticationTicket>T</AuthenticationTicket>"


def chunk(bytes_: str, last: str = "false") -> str:
    return f"{TICKET}<UploadHandler>H</UploadHandler>{bytes_}<ChunkHEXCRC>1</ChunkHEXCRC><LastChunk>{last}</LastChunk>"


INSIDE: dict[str, tuple[str, str, str]] = {
    "a folder": ("FolderExists", f"{TICKET}<Path>/Library</Path>", 'success="true"'),
    "elements in another order": ("FolderExists", f"<Path>/Library</Path>{TICKET}", 'success="true"'),
    "no number": ("CreateUploadHandler", f"{TICKET}<PreferedChunkSize/>", CLIENT),
    "a number beyond 32 bits": ("CreateUploadHandler", "<PreferedChunkSize>3000000000</PreferedChunkSize>", CLIENT),
    "a number that is missing": ("CreateUploadHandler", TICKET, "262144"),
    "a chunk of the wrong checksum": ("UploadFileChunk", chunk("<FileChunk>\nAQ\nID\n</FileChunk>"), 'tryagain="true"'),
    "a chunk of no bytes": ("UploadFileChunk", chunk("<FileChunk/>"), 'tryagain="true"'),
    "no bytes": ("UploadFileChunk", chunk(""), SERVER),
    "no base64": ("UploadFileChunk", chunk("<FileChunk>!!!</FileChunk>"), "^$"),
    "1 for true": ("UploadFileChunk", chunk("<FileChunk/>", "1"), 'tryagain="true"'),
    "True": ("UploadFileChunk", chunk("<FileChunk/>", "True"), CLIENT),
    "no truth": ("UploadFileChunk", chunk("<FileChunk/>", ""), CLIENT),
    "no XML": ("FolderExists", "<", "^$"),
    "no such operation": ("NoSuch", "", "did not recognize the value of HTTP Header|was not recognized"),
    "markup": ("FolderExists", f"{TICKET}<Path>/&lt;b&gt;&amp;#38;</Path>", "Folder not found."),
}

CASES = {
    **{f"{case} ({method})": of_form(method, case) for case in FORMS for method in ("POST", "GET")},
    **REQUESTS,
    **{f"{case} ({kind})": of_envelope(kind, *INSIDE[case]) for case in INSIDE for kind in ENVELOPES},
    "an action in another case": of_envelope("text/xml", "ServerInfo", "", "did not recognize", action="serverinfo"),
    "an empty action": of_envelope("text/xml", "ServerInfo", "", "did not recognize", action=""),
    "another operation's action": of_envelope(
        "text/xml", "FolderExists", "", "VersionNumber", action="http://tempuri.org/ServerInfo"
    ),
}


@pytest.fixture(scope="module")
def both(server: Mono, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Asked, Asked]]:
    """Mono's, and the emulator's generation of the same kind."""
    with serving(tmp_path_factory.mktemp("emulator"), "--generation", "2019") as url:
        yield Asked(server.url), Asked(url)


@pytest.mark.parametrize("case", CASES)
def test_the_emulator_answers_as_this_server_does(case: str, both: tuple[Asked, Asked]) -> None:
    *request, words = CASES[case]
    (status, kind, text), theirs = (asked.said(*request) for asked in reversed(both))
    assert (status, kind) == theirs[:2], f"{text}\n{theirs[2]}"
    for one in (text, theirs[2]):
        assert re.search(words, one), one


def described(url: str) -> dict[str, list[str]]:
    """What a WSDL calls each operation's fields, with their types."""
    connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=30)
    connection.request("GET", "/srv.asmx?WSDL")
    root: Element = fromstring(connection.getresponse().read())
    connection.close()
    return {
        element.get("name", ""): [
            f"{field.get('name')}: {field.get('type')}" for field in element.iter(f"{XSD}element")
        ]
        for element in root.iter(f"{XSD}element")
        if element.find(f"{XSD}complexType") is not None
        and not element.get("name", "").endswith(("Response", "Result"))
    }


XSD = "{http://www.w3.org/2001/XMLSchema}"


def test_both_describe_what_they_have_in_the_same_words(server: Mono, tmp_path: Path) -> None:
    with serving(tmp_path, "--generation", "2019") as url:
        ours = described(url)
    theirs = described(server.url)
    assert len(theirs) >= 27
    assert {name: ours[name] for name in theirs} == theirs

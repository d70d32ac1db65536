"""Answers that other clients read. Public reports: rclone/rclone#5954, sparklemotion/nokogiri#3299,
priore/SOAPEngine#171, iterate-ch/cyberduck#15539, rwitzel/streamflyer#10, skazantsev/WebDavClient#80,
frankframework/frankframework#6280, dynamicweb/Swift#37."""

import os
from collections.abc import Callable

import pytest
from conftest import FOLDER, PATIENT
from front import Message, front

from asyncupload import Client, ForeignReply
from asyncupload._repair import decoded, repaired
from asyncupload._reply import Answer, Reply, read
from asyncupload.emulator import Emulator

pytestmark = pytest.mark.anyio

NAME = '<root success="true" DocumentId="7" note="{}"/>'

READ: dict[str, tuple[bytes, str, str]] = {
    # what comes, the charset that its header says, and what the note says
    "a reference to a control character": (NAME.format("a&#xB;b").encode(), "", "a\ufffdb"),
    "to another, in decimals": (NAME.format("a&#11;b&#0;c&#x1f;").encode(), "", "a\ufffdb\ufffdc\ufffd"),
    "to no character": (NAME.format("&#xFFFE;&#xD800;&#x110000;&#99999999;").encode(), "", "\ufffd\ufffd\ufffd\ufffd"),
    "to half a character": (NAME.format("&#xD83D;&#xDE00;").encode(), "", "\ufffd\ufffd"),
    "control characters": (NAME.format("a\x0bb\x01c").encode(), "", "a b c"),
    "zeros": (NAME.format("a\0b").encode(), "", "a b"),
    "zeros behind": (NAME.format("a").encode() + bytes(3), "", "a"),
    "a control character between attributes": (NAME.format("a").replace(" Doc", "\x0cDoc").encode(), "", "a"),
    "no character": (NAME.format("a\uffffb").encode(), "", "a\ufffdb"),
    "half a character": (NAME.format("a\ud800b").encode("utf-8", "surrogatepass"), "", "a\ufffd\ufffd\ufffdb"),
    "an ampersand": (NAME.format("R&D, Q & A, &").encode(), "", "R&D, Q & A, &"),
    "a name of HTML's": (NAME.format("a&nbsp;&eacute;&Uuml;").encode(), "", "a\xa0éÜ"),
    "a name of nobody's": (NAME.format("&what;").encode(), "", "&what;"),
    "less than": (NAME.format("size < 5").encode(), "", "size < 5"),
    "a reference that is right beside one that is not": (NAME.format("&#233;&amp;&lt;&#xB;").encode(), "", "é&<\ufffd"),
    "a prefix that nobody declared": (NAME.format("a").replace(" note", ' i:nil="true" note').encode(), "", "a"),
    "space before the declaration": (b'\r\n <?xml version="1.0"?>' + NAME.format("é").encode(), "", "é"),
    "a byte order mark and space": (b'\xef\xbb\xbf\n<?xml version="1.0"?>' + NAME.format("é").encode(), "", "é"),
    "two marks": (b'\xef\xbb\xbf\xef\xbb\xbf<?xml version="1.0"?>' + NAME.format("é").encode(), "", "é"),
    "UTF-16 that is UTF-8": (b'<?xml version="1.0" encoding="utf-16"?>' + NAME.format("é").encode(), "utf-8", "é"),
    "UTF-16 without a mark": (NAME.format("é").encode("utf-16-le"), "", "é"),
    "UTF-16 the other way round": (NAME.format("é").encode("utf-16-be"), "utf-16", "é"),
    "UTF-32": (NAME.format("é").encode("utf-32"), "", "é"),
    "what the header says": (NAME.format("é€").encode("cp1252"), "windows-1252", "é€"),
    "Turkish, in the header": (NAME.format("ğış").encode("iso-8859-9"), "iso-8859-9", "ğış"),
    "Japanese, declared": (
        ('<?xml version="1.0" encoding="Shift_JIS"?>' + NAME.format("日本")).encode("shift_jis"),
        "",
        "日本",
    ),
    "Chinese, declared": (
        ('<?xml version="1.0" encoding="gb2312"?>' + NAME.format("中文")).encode("gb2312"),
        "",
        "中文",
    ),
    "declared, against the header": (
        b'<?xml version="1.0" encoding="windows-1254"?>' + NAME.format("ğ").encode("windows-1254"),
        "utf-8",
        "ğ",
    ),
    "nothing said, and not UTF-8": (NAME.format("B\u00fcro").encode("latin-1"), "", "B\ufffdro"),
    "a charset of nobody's": (
        b'<?xml version="1.0" encoding="klingon"?>' + NAME.format("é").encode(),
        "x-user-defined",
        "é",
    ),
    "a codec that is no charset": (b'<?xml version="1.0" encoding="rot13"?>' + NAME.format("a").encode(), "zlib", "a"),
}


def told(body: bytes, charset: str = "", operation: str = "GetDocument") -> Reply:
    return read(operation, Answer(200, body, charset=charset), str)


@pytest.mark.parametrize("form", READ)
def test_it_is_read(form: str) -> None:
    body, charset, note = READ[form]
    reply = told(body, charset)
    assert (reply.get("DocumentId"), reply.get("note")) == ("7", note.strip())


STAYS: dict[str, bytes] = {
    "cut off": b'<root success="true" note="&#xB;">',
    "cut off in an attribute": b'<root success="true" note="&#xB;',
    "two roots": b'<root success="true" note="&#xB;"/><root success="false"/>',
    "something behind": b'<root success="true" note="&#xB;"/>--',
    "an attribute twice": b'<root success="true" success="false" note="&#xB;"/>',
    "a quote that is missing": b'<root success="true" note="&#xB;></root>',
    "a document type": b'<!DOCTYPE r [<!ENTITY x "true">]><root success="&x;" note="&#xB;"/>',
    "words before it": b'Warning: &#xB; <root success="true"/>',
}
"""To mend these would be to guess."""


@pytest.mark.parametrize("form", STAYS)
def test_what_may_mean_something_else_is_not_read(form: str) -> None:
    with pytest.raises(ForeignReply, match="is not the XML it should be"):
        told(STAYS[form])


def test_it_is_said_what_is_wrong_and_where() -> None:
    with pytest.raises(ForeignReply, match=r"line 2, column 23: mismatched tag") as caught:
        told(b'<root success="true">\n<Document name="x"/></rood>')
    assert "is this the address" not in str(caught.value)


def test_a_good_answer_is_not_looked_at_twice() -> None:
    """What stands for itself there, as in CDATA, stays as it is."""
    assert told(b'<root success="true"><a><![CDATA[&#xB; & <b>]]></a></root>').child("a").text == "&#xB; & <b>"  # type: ignore[union-attr]


@pytest.mark.parametrize("charset", ["", "utf-8", "utf-16", "utf-7", "idna", "punycode", "undefined", "x", "\0", "zip"])
@pytest.mark.parametrize("body", [b"", b"\0", b"<", b"\xff\xfe", b"\xff\xfe<", b"\xef\xbb\xbf", bytes(range(256)) * 3])
def test_any_bytes_are_some_text(body: bytes, charset: str) -> None:
    assert isinstance(decoded(body, charset), str)
    assert isinstance(repaired(body, charset), str)


def test_it_takes_no_time_that_grows_by_more_than_the_answer() -> None:
    """What would take minutes otherwise."""
    for piece in ("&", "&#", '="', "<a:", " ", "<?xml ", "a = ", "&a"):
        repaired((piece * (400_000 // len(piece))).encode())


async def test_a_document_with_such_a_description_gets_a_version(emulator: Emulator) -> None:
    def describe(request: Message, answer: Message) -> Message:
        if request.operation == "GetDocument":
            answer.body = answer.body.replace(b"<document ", b'<document Remark="one&#xB;two" ', 1)
            answer.body = answer.body.replace(b"<Document ", b'<Document Remark="one&#xB;two" ', 1)
            assert b"&#xB;" in answer.body
        return answer

    async with front(emulator.url, change=describe) as seen:
        async with Client(seen.url, user="demo", password="demo", settings=PATIENT) as client:
            first = await client.upload(b"first", to=f"{FOLDER}/a.bin")
            second = await client.upload(b"second", to=f"{FOLDER}/a.bin")
    assert "GetDocument" in seen.operations()
    assert (first.document_id, first.status, second.status) == (second.document_id, "stored", "stored")


def _many(answer: Message) -> Message:
    answer.heads += [(f"X-Header-{number}", "x") for number in range(400)]
    return answer


def _large(answer: Message) -> Message:
    answer.heads.append(("Content-Security-Policy", "default-src 'self' " * 2000))
    return answer


def _worded(answer: Message) -> Message:
    answer.first = "HTTP/1.1 200 Tr\udcc3\udca8s bien"
    return answer


def _odd(answer: Message) -> Message:
    answer.heads += [
        ("X-Word", "\u00e9"),
        ("x_y.z", ""),
        ("Content-Type", "application/octet-stream; charset=nonsense"),
    ]
    return answer


HEADS: dict[str, Callable[[Message], Message]] = {
    "many": _many,
    "large": _large,
    "a reason that is no ASCII": _worded,
    "odd names and types": _odd,
}


@pytest.mark.parametrize("heads", HEADS)
async def test_headers_that_gateways_add_do_no_harm(emulator: Emulator, heads: str) -> None:
    """Public reports: aio-libs/aiohttp#2304, tdryer/hangups#464."""
    async with front(emulator.url, change=lambda _, answer: HEADS[heads](answer)) as seen:
        async with Client(seen.url, user="demo", password="demo", settings=PATIENT) as client:
            assert (await client.upload(os.urandom(100), to=f"{FOLDER}/a.bin")).status == "stored"

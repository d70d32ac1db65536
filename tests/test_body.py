"""The bodies of requests, read by others: forms, multipart forms, envelopes, and base64 in slices."""

import asyncio
import base64
import os
import random
import re
import urllib.parse
import xml.etree.ElementTree as ET
import zlib
from collections.abc import Callable, Sequence

import aiohttp
import pytest
from aiohttp.base_protocol import BaseProtocol
from bodies import Part, joined
from hypothesis import example, given, settings
from hypothesis import strategies as st

from asyncupload import Properties, UsageError, VersionNumber
from asyncupload import _reading as reading
from asyncupload import _wire as wire
from asyncupload._body import JOINED, NAMESPACE, SLICE, Base64, Body, Encoding, Names, soap
from asyncupload._call import Call, encode
from asyncupload._reply import Answer, read_description
from asyncupload._secret import Secret
from asyncupload.emulator import GENERATIONS
from asyncupload.emulator.operations import OPERATIONS, SIGNATURES
from asyncupload.emulator.soap import read_envelope
from asyncupload.emulator.wsdl import wsdl
from asyncupload.properties import NO_TEXT

TICKET = Secret("0f8fad5b-d9cb-469f-a165-70867728950e")
GUID = "7c9e6679-7425-40de-944b-e07fc1f90ae7"
T = TICKET.reveal()

# ── urlencoded forms ──────────────────────────────────────────────────────────────────────────────────────────────────

WORDS = st.text(st.characters(codec="utf-8"), max_size=40)


@given(user=WORDS, password=WORDS)
def test_any_text_survives_the_form(user: str, password: str) -> None:
    body = encode(wire.authenticate(user, Secret(password)))

    assert urllib.parse.parse_qsl(joined(body).decode("ascii"), keep_blank_values=True, strict_parsing=True) == [
        ("UID", user),
        ("PWD", password),
    ]
    assert body.size == len(joined(body))


def test_text_that_is_no_unicode_is_refused_in_our_own_words() -> None:
    """Fault 18: otherwise a comment with a file's name in it fails after all its bytes were sent, and not as ours."""
    with pytest.raises(UsageError):
        encode(wire.finalize(TICKET, "/L/a.txt", GUID, "caf\udce9.bin"))


# ── the multipart form, read by others ────────────────────────────────────────────────────────────────────────────────


async def parts_by_aiohttp(body: Body) -> list[Part]:
    """As aiohttp's own reader, which is made for servers, reads it."""
    loop = asyncio.get_running_loop()
    stream = aiohttp.StreamReader(BaseProtocol(loop), 2**16, loop=loop)
    stream.feed_data(joined(body))
    stream.feed_eof()
    reader = aiohttp.MultipartReader({"Content-Type": body.content_type}, stream)
    found: list[Part] = []
    while (part := await reader.next()) is not None:
        assert isinstance(part, aiohttp.BodyPartReader)
        found.append((part.name or "", part.filename, bytes(await part.read())))
    return found


HARD = [
    b"content",
    b"\r\n",
    b"\r\n--",
    b"--\r\n",
    b"\r\n--asyncupload-\r\n",
    b"\n\n",
    bytes(range(256)),
    b"\r",
    b'Content-Disposition: form-data; name="lastChunk"\r\n\r\ntrue\r\n',
]


@pytest.mark.anyio
@pytest.mark.parametrize("chunk", HARD, ids=lambda chunk: repr(chunk[:20]))
async def test_a_chunk_arrives_as_a_file_part_behind_the_other_fields(chunk: bytes) -> None:
    body = encode(wire.send_chunk(TICKET, GUID, chunk, zlib.crc32(chunk), last=False))
    expected: list[Part] = [
        ("authenticationTicket", None, T.encode()),
        ("uploadHandler", None, GUID.encode()),
        ("chunkHEXCRC", None, f"{zlib.crc32(chunk):X}".encode()),
        ("lastChunk", None, b"false"),
        ("fileChunk", "chunk", chunk),
    ]

    assert await parts_by_aiohttp(body) == expected
    assert body.size == len(joined(body))
    assert joined(body).count(b"Content-Type: application/octet-stream\r\n\r\n") == 1


@settings(max_examples=60, deadline=None)
@given(chunk=st.binary(min_size=1, max_size=300), handler=WORDS.filter(lambda text: text.isprintable()))
def test_any_bytes_survive_the_multipart_form(chunk: bytes, handler: str) -> None:
    body = encode(wire.send_chunk(TICKET, handler, chunk, 0, last=True))

    parts = asyncio.run(parts_by_aiohttp(body))

    assert parts[1] == ("uploadHandler", None, handler.encode())
    assert parts[-1] == ("fileChunk", "chunk", chunk)
    assert len(parts) == 5


@pytest.mark.parametrize("make", [bytes, bytearray, memoryview])
def test_the_chunk_is_neither_joined_nor_copied(make: Callable[[bytes], bytes]) -> None:
    chunk = make(bytes(JOINED + 1))
    body = encode(wire.send_chunk(TICKET, GUID, chunk, 0, last=False))

    assert sum(piece is chunk for piece in body.pieces) == 1
    assert len(body.pieces) == 3


@pytest.mark.parametrize("size", [1, JOINED])
def test_a_small_chunk_leaves_in_one_piece(size: int) -> None:
    """To wake the other side for each of three small pieces takes longer than to copy them."""
    chunk = os.urandom(size)
    body = encode(wire.send_chunk(TICKET, GUID, memoryview(chunk), 0, last=False))

    (piece,) = body.pieces
    assert isinstance(piece, bytes)
    assert chunk in piece
    assert asyncio.run(parts_by_aiohttp(body))[-1] == ("fileChunk", "chunk", chunk)


def test_two_bodies_have_two_boundaries() -> None:
    """Whoever has seen one cannot put the next one into a file."""
    types = {encode(wire.send_chunk(TICKET, GUID, b"x", 0, last=False)).content_type for _ in range(50)}

    assert len(types) == 50
    assert all(re.fullmatch(r"multipart/form-data; boundary=asyncupload-[0-9a-f]{32}", kind) for kind in types)


# ── the same in base64, for servers that take no multipart form ───────────────────────────────────────────────────────


@given(chunk=st.binary(min_size=1, max_size=400))
def test_any_bytes_survive_the_form_in_base64(chunk: bytes) -> None:
    """Fault 50. Base64's plus sign would arrive as a space."""
    call = wire.send_chunk(TICKET, GUID, chunk, 0xA3, last=True)
    body = encode(call, Encoding.FORM)

    assert body.content_type == "application/x-www-form-urlencoded"
    pairs = urllib.parse.parse_qsl(joined(body).decode("ascii"), strict_parsing=True)
    assert pairs[:3] + pairs[-1:] == [
        ("authenticationTicket", T),
        ("uploadHandler", GUID),
        ("chunkHEXCRC", "A3"),
        ("lastChunk", "true"),
    ]
    name, value = pairs[3]
    assert name == "fileChunk"
    assert base64.b64decode(value, validate=True) == chunk
    assert body.size == len(joined(body))


@pytest.mark.parametrize("make", [bytes, bytearray, memoryview])
def test_every_kind_of_buffer_goes_out_in_base64(make: Callable[[bytes], bytes]) -> None:
    """The bytes FB EF are two plus signs and more."""
    body = encode(wire.send_chunk(TICKET, GUID, make(b"\xfb\xef\xbe content"), 0, last=False), Encoding.FORM)

    assert b"&fileChunk=%2B%2B%2B%2BIGNvbnRlbnQ=&" in joined(body)
    assert body.size == len(joined(body))


# ── envelopes ─────────────────────────────────────────────────────────────────────────────────────────────────────────

CHUNK_FIELDS = ["AuthenticationTicket", "UploadHandler", "FileChunk", "ChunkHEXCRC", "LastChunk"]


def _fields(body: Body) -> list[tuple[str, str]]:
    """Local names and texts of what an envelope asks with, in order, by the standard library's parser."""
    envelope = ET.fromstring(joined(body))
    assert envelope.tag == "{http://schemas.xmlsoap.org/soap/envelope/}Envelope"
    ((called,),) = envelope
    assert called.tag.startswith("{http://tempuri.org/}")
    return [(child.tag.removeprefix("{http://tempuri.org/}"), child.text or "") for child in called]


@settings(max_examples=60)
@given(chunk=st.binary(min_size=1, max_size=400))
def test_any_bytes_survive_an_envelope(chunk: bytes) -> None:
    body = encode(wire.send_chunk(TICKET, GUID, chunk, 0xA3, last=True), Encoding.SOAP)

    assert body.content_type == "text/xml; charset=utf-8"
    assert body.action == '"http://tempuri.org/UploadFileChunk"'
    assert _fields(body) == list(
        zip(CHUNK_FIELDS, [T, GUID, base64.b64encode(chunk).decode(), "A3", "true"], strict=True)
    )
    assert body.size == len(joined(body))


XML_WORDS = st.text(max_size=40).filter(lambda text: not NO_TEXT.search(text))


@given(user=XML_WORDS, password=XML_WORDS)
@example("a\r\nb", "</PWD><PWD>&amp;]]>")
def test_any_text_survives_an_envelope(user: str, password: str) -> None:
    """And no secret adds an element of its own."""
    body = encode(wire.authenticate(user, Secret(password)), Encoding.SOAP)

    assert _fields(body) == [("UID", user), ("PWD", password)]
    assert len(body.pieces) == 1
    assert body.size == len(joined(body))


@given(st.sampled_from(["\x00", "\x08", "\x0b", "\x0c", "\x0e", "\x1f", "\ufffe", "\uffff"]))
def test_what_an_envelope_cannot_carry_is_refused_without_showing_it(character: str) -> None:
    with pytest.raises(UsageError, match="PWD has control characters, which SOAP cannot carry") as caught:
        encode(wire.authenticate("demo", Secret(f"hush{character}hush")), Encoding.SOAP)
    assert "hush" not in str(caught.value)


def test_an_envelope_does_not_show_what_is_in_it() -> None:
    body = encode(wire.authenticate("demo", Secret("hush-hush")), Encoding.SOAP)

    assert "hush" not in f"{body!r} {body}"


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        ({}, CHUNK_FIELDS),
        ({"other": ("LASTCHUNK",)}, CHUNK_FIELDS),
        (
            {"uploadfilechunk": ("LastChunk", "FileChunk", "AuthenticationTicket", "UploadHandler", "ChunkHEXCRC")},
            ["LastChunk", "FileChunk", "AuthenticationTicket", "UploadHandler", "ChunkHEXCRC"],
        ),
        (
            {"uploadfilechunk": ("AuthenticationTicket", "NewField", "UploadHandler")},
            CHUNK_FIELDS,
        ),
    ],
    ids=["nothing said", "of another operation", "all said", "some said"],
)
def test_elements_are_spelled_and_ordered_as_the_server_says(names: Names, expected: Sequence[str]) -> None:
    call = wire.send_chunk(TICKET, GUID, b"content", 0xA3, last=True)

    fields = _fields(encode(call, Encoding.SOAP, names))

    assert [name for name, _ in fields] == list(expected)
    documented = dict(_fields(encode(call, Encoding.SOAP)))
    assert {name.lower(): value for name, value in fields} == {k.lower(): v for k, v in documented.items()}


DESCRIBED = read_description(Answer(200, wsdl(SIGNATURES, "http://host/srv.asmx").body))


@pytest.mark.parametrize(
    "call",
    [
        wire.authenticate("demo", Secret("x")),
        wire.create_handler(TICKET, 5),
        wire.send_chunk(TICKET, GUID, b"content", 0xA3, last=True),
        wire.finalize(TICKET, "/L/a", GUID, "comment"),
        wire.finalize_new(TICKET, "/L", "a", GUID, "comment"),
        wire.unpack(TICKET, "/L", GUID, changed_only=True, check_out=False, notify=False),
        reading.read_chunk(TICKET, GUID, 0, 9),
    ],
    ids=lambda call: call.operation,
)
def test_a_server_that_tells_upper_from_lower_case_finds_every_field(call: Call[object]) -> None:
    operation = OPERATIONS[call.operation.lower()]
    body = joined(encode(call, Encoding.SOAP, DESCRIBED))

    form = read_envelope(body, call.operation, exactly=operation.fields)

    for name, value in call.fields:
        assert form.text(name) == (value.reveal() if isinstance(value, Secret) else value)


@pytest.mark.parametrize(
    "call",
    [
        wire.authenticate("demo", Secret("x")),
        wire.document(TICKET, "/L/a"),
        wire.unlock(TICKET, "/L/a"),
        wire.create_handler(TICKET, 5),
        wire.send_chunk(TICKET, GUID, b"content", 0xA3, last=True),
        wire.finalize(TICKET, "/L/a", GUID, "comment", Properties(version=VersionNumber(2))),
        wire.finalize_new(TICKET, "/L", "a", GUID, "comment"),
        reading.open_download(TICKET, "/L/a", 5, 1_000_000),
        reading.read_chunk(TICKET, GUID, 0, 9),
    ],
    ids=lambda call: call.operation,
)
def test_a_server_that_keeps_its_description_to_itself_is_spoken_to_like_a_real_one(call: Call[object]) -> None:
    """Names and order are those of the WSDL of 2019."""
    signature = GENERATIONS["2019"].signatures[call.operation]

    assert [name for name, _ in _fields(encode(call, Encoding.SOAP))] == [field.name for field in signature]


# ── base64 in slices ──────────────────────────────────────────────────────────────────────────────────────────────────


@settings(max_examples=40, deadline=None)
@given(size=st.integers(0, 2 * SLICE + 5), seed=st.integers(0, 99), plus=st.sampled_from([b"+", b"%2B"]))
@example(size=SLICE, seed=1, plus=b"%2B")
@example(size=SLICE + 1, seed=1, plus=b"%2B")
@example(size=2 * SLICE - 1, seed=1, plus=b"+")
def test_slices_join_to_the_base64_of_the_whole(size: int, seed: int, plus: bytes) -> None:
    data = random.Random(seed).randbytes(size)
    chunk = Base64(memoryview(data), plus)

    slices = [chunk.slice(number) for number in range(chunk.slices)]

    assert b"".join(slices) == base64.b64encode(data).replace(b"+", plus)
    assert len(chunk) == sum(map(len, slices))
    assert all(len(one) <= SLICE * 4 // 3 * len(plus) for one in slices)


def test_a_chunk_of_nothing_but_plus_signs_is_counted_right() -> None:
    chunk = Base64(b"\xfb\xef\xbe" * SLICE, b"%2B")

    assert len(chunk) == 3 * 4 * SLICE
    assert chunk.slice(0) == b"%2B" * (SLICE * 4 // 3)


@pytest.mark.parametrize("encoding", Encoding)
def test_a_large_chunk_is_in_no_piece_but_its_own(encoding: Encoding) -> None:
    """So that it is neither joined nor copied, and the last piece is short: with it, the whole has left."""
    chunk = bytes(3 * SLICE)
    body = encode(wire.send_chunk(TICKET, GUID, chunk, 0, last=True), encoding)

    before, own, last = body.pieces
    assert not isinstance(before, Base64)
    assert len(before) < 1000
    assert isinstance(own, Base64) or own is chunk
    assert not isinstance(last, Base64)
    assert 0 < len(last) < 200


def test_fields_without_a_chunk_are_one_short_piece() -> None:
    body = soap("Op", (("one", "1"), ("two", TICKET)), None, {})

    assert len(body.pieces) == 1
    assert f'<Op xmlns="{NAMESPACE}"><One>1</One><Two>{T}</Two></Op>'.encode() in joined(body)

"""The server's words: what goes out, letter by letter, and what comes back, operation by operation."""

import base64
import re
import urllib.parse
import zlib
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, cast

import pytest
from bodies import joined, parts_by_email
from defusedxml.ElementTree import fromstring
from hypothesis import given, settings
from hypothesis import strategies as st

from asyncupload import AsyncUploadError, ForeignReply, ServerError
from asyncupload import _reading as reading
from asyncupload import _wire as wire
from asyncupload._body import Encoding
from asyncupload._call import Call, LostReply, encode, understand
from asyncupload._reply import Answer
from asyncupload._secret import Secret

TICKET = Secret("0f8fad5b-d9cb-469f-a165-70867728950e")
GUID = "7c9e6679-7425-40de-944b-e07fc1f90ae7"
T = TICKET.reveal()

Pairs = list[tuple[str, str]]

PARAMETERS = """<xmlparameters><item NAME="VERSIONCOMMENT" VALUE='März &amp; "April" &lt;1&gt;'/></xmlparameters>"""

CALLS: dict[str, tuple[Callable[[], Call[Any]], Pairs, LostReply]] = {
    "ServerInfo": (wire.server_info, [], LostReply.REPEAT),
    "AuthenticateUser": (
        lambda: wire.authenticate("jsmith", Secret("p&ss wörd")),
        [("UID", "jsmith"), ("PWD", "p&ss wörd")],
        LostReply.REPEAT,
    ),
    "RenewTicket": (
        lambda: wire.renew_ticket("jsmith", Secret("p&ss wörd"), TICKET),
        [("UID", "jsmith"), ("PWD", "p&ss wörd"), ("OldTicket", T)],
        LostReply.REPEAT,
    ),
    "LogOut": (lambda: wire.log_out(TICKET), [("AuthenticationTicket", T)], LostReply.REPEAT),
    "isValidTicket": (lambda: wire.is_valid_ticket(TICKET), [("AuthenticationTicket", T)], LostReply.REPEAT),
    "FolderExists": (
        lambda: wire.folder_exists(TICKET, "/Büro/日"),
        [("authenticationTicket", T), ("Path", "/Büro/日")],
        LostReply.REPEAT,
    ),
    "DocumentExists": (
        lambda: wire.document_exists(TICKET, "/Büro/日.txt"),
        [("authenticationTicket", T), ("Path", "/Büro/日.txt")],
        LostReply.REPEAT,
    ),
    "GetGeneralAppSettings": (
        lambda: wire.general_settings(TICKET),
        [("authenticationTicket", T)],
        LostReply.REPEAT,
    ),
    "getApplicationParameters": (
        lambda: wire.application_parameters(TICKET),
        [("AuthenticationTicket", T)],
        LostReply.REPEAT,
    ),
    "GetFolderRules": (
        lambda: wire.folder_rules(TICKET, "/Büro"),
        [("authenticationTicket", T), ("Path", "/Büro")],
        LostReply.REPEAT,
    ),
    "CreateUploadHandler": (
        lambda: wire.create_handler(TICKET, 1048576),
        # One r: the vendor's spelling.
        [("authenticationTicket", T), ("PreferedChunkSize", "1048576")],
        LostReply.REPEAT,
    ),
    "UploadFileChunk": (
        lambda: wire.send_chunk(TICKET, GUID, b"content", 0x00A3F2B1, last=True),
        [("authenticationTicket", T), ("uploadHandler", GUID), ("chunkHEXCRC", "A3F2B1"), ("lastChunk", "true")],
        LostReply.PROVE,
    ),
    "DeleteUploadHandler": (
        lambda: wire.delete_handler(TICKET, GUID),
        [("authenticationTicket", T), ("UploadHandler", GUID)],
        LostReply.REPEAT,
    ),
    "UploadDocumentWithHandler": (
        lambda: wire.finalize(TICKET, "/L/a.txt", GUID, ""),
        [("authenticationTicket", T), ("path", "/L/a.txt"), ("uploadHandler", GUID)],
        LostReply.ASK,
    ),
    "UploadDocumentWithHandler1": (
        lambda: wire.finalize(TICKET, "/L/a.txt", GUID, "März & April"),
        [
            ("authenticationTicket", T),
            ("path", "/L/a.txt"),
            ("uploadHandler", GUID),
            ("versionComments", "März & April"),
        ],
        LostReply.ASK,
    ),
    "UploadNewDocumentWidthHandler": (
        lambda: wire.finalize_new(TICKET, "/L/März", "a.txt", GUID, 'März & "April" <1>'),
        # The vendor's spelling, too.
        [
            ("authenticationTicket", T),
            ("folderPath", "/L/März"),
            ("documentName", "a.txt"),
            ("uploadHandler", GUID),
            ("xmlParameters", PARAMETERS),
        ],
        LostReply.ASK,
    ),
    "GetDocument": (
        lambda: wire.document(TICKET, "/L/a.txt"),
        [
            ("AuthenticationTicket", T),
            ("Path", "/L/a.txt"),
            ("withPropertySets", "false"),
            ("withSecurity", "false"),
            ("withOwner", "false"),
            ("withVersions", "false"),
        ],
        LostReply.REPEAT,
    ),
    "GetDocumentVersions": (
        lambda: wire.versions(TICKET, "/L/a.txt"),
        [("AuthenticationTicket", T), ("Path", "/L/a.txt")],
        LostReply.REPEAT,
    ),
    "Lock": (
        lambda: wire.lock(TICKET, "/L/a.txt"),
        [("AuthenticationTicket", T), ("Path", "/L/a.txt")],
        LostReply.ASK,
    ),
    "UnLock": (
        lambda: wire.unlock(TICKET, "/L/a.txt"),
        # Never with force: that would take away what somebody else has.
        [("authenticationTicket", T), ("path", "/L/a.txt"), ("force", "false")],
        LostReply.REPEAT,
    ),
    "CreateFolder": (
        lambda: wire.create_folder(TICKET, "/L/New"),
        [("authenticationTicket", T), ("Path", "/L/New")],
        LostReply.REPEAT,
    ),
    "UploadZipWithHandler": (
        lambda: wire.unpack(TICKET, "/L", GUID, changed_only=True, check_out=False, notify=False),
        [
            ("authenticationTicket", T),
            ("folderPath", "/L"),
            ("uploadHandler", GUID),
            ("changedOnly", "true"),
            ("checkOutCheckIn", "false"),
            ("sendEmail", "false"),
        ],
        LostReply.ASK,
    ),
    "GetDownloadHandlerByVersion": (
        lambda: reading.open_download(TICKET, "/L/a.txt", 262144, 1000001),
        [
            ("AuthenticationTicket", T),
            ("Path", "/L/a.txt"),
            ("PreferedChunkSize", "262144"),
            ("VersionNumber", "1000001"),
        ],
        LostReply.REPEAT,
    ),
    "GetDownloadHandler": (
        lambda: reading.open_download(TICKET, "/L/a.txt", 262144),
        [("AuthenticationTicket", T), ("Path", "/L/a.txt"), ("PreferedChunkSize", "262144")],
        LostReply.REPEAT,
    ),
    "GetDownloadInfo": (
        lambda: reading.download_info(TICKET, "/L/a.txt"),
        [("AuthenticationTicket", T), ("Path", "/L/a.txt")],
        LostReply.REPEAT,
    ),
    "GetDownloadInfoByVersion": (
        lambda: reading.download_info(TICKET, "/L/a.txt", 1000001),
        [("AuthenticationTicket", T), ("Path", "/L/a.txt"), ("VersionNumber", "1000001")],
        LostReply.REPEAT,
    ),
    "DownloadFileChunk": (
        lambda: reading.read_chunk(TICKET, GUID, 5_000_000_000, 1000),
        [("authenticationTicket", T), ("DownloadHandler", GUID), ("StartOffset", "5000000000"), ("ChunkSize", "1000")],
        LostReply.REPEAT,
    ),
    "DeleteDownloadHandler": (
        lambda: reading.close_download(TICKET, GUID),
        [("authenticationTicket", T), ("DownloadHandler", GUID)],
        LostReply.REPEAT,
    ),
}


# ── what goes out ─────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("operation", CALLS)
def test_fields_go_out_as_they_are_documented(operation: str) -> None:
    make, pairs, lost_reply = CALLS[operation]
    call = make()

    assert call.operation == operation
    assert call.lost_reply is lost_reply
    if call.chunk is None:
        body = encode(call)
        assert body.content_type == "application/x-www-form-urlencoded"
        assert urllib.parse.parse_qsl(joined(body).decode("ascii"), strict_parsing=bool(pairs)) == pairs
    else:
        assert parts_by_email(encode(call))[:-1] == [(name, None, value.encode()) for name, value in pairs]


def test_no_operation_is_missing_above() -> None:
    annotated = {
        name
        for name, thing in [*vars(wire).items(), *vars(reading).items()]
        if "Call" in str(getattr(thing, "__annotations__", {}).get("return"))
    }
    made = {
        make.__name__ if make.__name__ != "<lambda>" else make.__code__.co_names[1] for make, _, _ in CALLS.values()
    }

    assert annotated == made | {"probe_chunk"}


def test_a_probe_is_a_chunk_that_nobody_can_append() -> None:
    call = wire.probe_chunk(TICKET, GUID)
    fields = dict(call.fields)

    assert call.operation == "UploadFileChunk"
    assert call.chunk
    assert int(str(fields["chunkHEXCRC"]), 16) != zlib.crc32(call.chunk)
    assert fields["lastChunk"] == "false"
    assert call.lost_reply is LostReply.REPEAT


@pytest.mark.parametrize(("last", "word"), [(True, "true"), (False, "false")])
def test_the_last_chunk_says_so(last: bool, word: str) -> None:
    assert dict(wire.send_chunk(TICKET, GUID, b"x", 0, last=last).fields)["lastChunk"] == word


@given(st.integers(0, 0xFFFFFFFF))
def test_a_checksum_goes_out_in_upper_case_without_padding(crc: int) -> None:
    text = cast(str, dict(wire.send_chunk(TICKET, GUID, b"x", crc, last=False).fields)["chunkHEXCRC"])

    assert re.fullmatch(r"0|[1-9A-F][0-9A-F]{0,7}", text)
    assert int(text, 16) == crc


def test_a_comment_that_is_empty_is_not_sent() -> None:
    """A strict server answers it with HTTP 400."""
    assert wire.finalize(TICKET, "/L/a", GUID, "").operation == "UploadDocumentWithHandler"
    assert wire.finalize(TICKET, "/L/a", GUID, "x").operation == "UploadDocumentWithHandler1"


def test_parameters_without_a_comment_are_still_a_document() -> None:
    """An empty field would be an HTTP 400 on a strict server."""
    fields = dict(wire.finalize_new(TICKET, "/L", "a", GUID, "").fields)

    assert fields["xmlParameters"] == "<xmlparameters></xmlparameters>"


@given(st.text(st.characters(codec="utf-8", categories=["L", "N", "P", "S", "Zs"]), min_size=1, max_size=60))
def test_any_comment_survives_the_parameters(comment: str) -> None:
    """Read by another's parser: quotes and angle brackets neither end the value nor add a parameter."""
    fields = dict(wire.finalize_new(TICKET, "/L", "a", GUID, comment).fields)

    (item,) = fromstring(cast(str, fields["xmlParameters"]))
    assert item.attrib == {"NAME": "VERSIONCOMMENT", "VALUE": comment}


@pytest.mark.parametrize("operation", sorted(set(CALLS) - {"UploadFileChunk"}))
def test_only_a_chunk_leaves_a_choice_of_form(operation: str) -> None:
    call = CALLS[operation][0]()

    assert encode(call, Encoding.FORM) == encode(call, Encoding.MULTIPART)


@pytest.mark.parametrize("operation", CALLS)
def test_fields_go_out_in_an_envelope_in_their_documented_order(operation: str) -> None:
    """A chunk before the last two of them: some servers read them by place."""
    make, pairs, _ = CALLS[operation]
    call = make()
    expected = [*pairs[:-2], ("fileChunk", base64.b64encode(b"content").decode()), *pairs[-2:]] if call.chunk else pairs

    envelope = fromstring(joined(encode(call, Encoding.SOAP)))

    (called,) = envelope.findall("{*}Body/*")
    assert called.tag == "{http://tempuri.org/}" + operation
    # In upper and lower case as the server's description has them, which is asked for; the order is the pages'.
    assert [(child.tag.lower(), child.text or "") for child in called] == [
        ("{http://tempuri.org/}" + name.lower(), value) for name, value in expected
    ]


# ── what is shown ─────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("operation", CALLS)
def test_no_call_and_no_body_shows_secrets(operation: str) -> None:
    call = CALLS[operation][0]()

    for text in (repr(call), str(call), f"{call}", repr(encode(call)), str(encode(call))):
        assert T not in text
        assert "wörd" not in text


@pytest.mark.parametrize("make", [bytes, bytearray, memoryview])
def test_no_call_and_no_body_shows_a_files_bytes(make: Callable[[bytes], bytes]) -> None:
    """A logger that shows local variables would write a mebibyte of somebody's document for every frame."""
    call = wire.send_chunk(TICKET, GUID, make(b"confidential"), 0, last=False)

    assert "confidential" not in repr(call)
    assert "confidential" not in repr(encode(call))


# ── what comes back ───────────────────────────────────────────────────────────────────────────────────────────────────


def answer(body: str) -> Answer:
    return Answer(200, body.encode())


DATA = base64.b64encode(b"content").decode()

UNDERSTOOD: dict[str, tuple[str, str, Any]] = {
    # what is asked, what comes back, what it means
    "a version": ("ServerInfo", '<root success="true" VersionNumber="8.7.0.0"/>', wire.ServerInfo("8.7.0.0", None)),
    "no version": ("ServerInfo", '<root success="true"/>', wire.ServerInfo("", None)),
    "a clock": (
        "ServerInfo",
        '<root success="true" Coordinated_Universal_Time="2026-03-31T18:00:00.250Z"/>',
        wire.ServerInfo("", datetime(2026, 3, 31, 18, 0, 0, 250_000, UTC)),
    ),
    "a clock without a zone": (
        "ServerInfo",
        '<root success="true" Coordinated_Universal_Time="2026-03-31 18:00:00"/>',
        wire.ServerInfo("", datetime(2026, 3, 31, 18, tzinfo=UTC)),
    ),
    "a clock in other words": (
        "ServerInfo",
        '<root success="true" Coordinated_Universal_Time="3/31/2026 6:00:00 PM"/>',
        wire.ServerInfo("", None),
    ),
    "when a version was made": (
        "GetDocumentVersions",
        '<r success="true"><Version Number="1000000"><DateCreated>2026-03-31T18:00:00.250Z</DateCreated></Version></r>',
        (wire.Version(1000000, "", None, datetime(2026, 3, 31, 18, 0, 0, 250_000, UTC)),),
    ),
    "whether a version is published": (
        "GetDocumentVersions",
        '<r success="true"><Version Number="1"><DatePublished/></Version></r>',
        (wire.Version(1, "", published=False),),
    ),
    "the rules of a folder": (
        "GetFolderRules",
        '<response success="true"><Rules><Rule Name="AllowableFileTypes" Value=".pdf,BMP"/></Rules></response>',
        {"allowablefiletypes": ".pdf,BMP"},
    ),
    "a folder without rules": ("GetFolderRules", '<response success="true"/>', {}),
    "what a document is described by": (
        "GetDocument",
        '<r success="true"><document DocumentID="7" Description="x" Keywords="" CreationDate="2024-01-15"/></r>',
        wire.Document(7, "", told={"description": "x", "keywords": "", "created": "2024-01-15"}),
    ),
    "a login": (
        "AuthenticateUser",
        '<root success="true" ticket="T-1" username="JSmith" isAuthenticated="True"/>',
        wire.Login(Secret("T-1"), "JSmith"),
    ),
    "a login without a name": (
        "AuthenticateUser",
        '<r success="true" ticket="T-1"/>',
        wire.Login(Secret("T-1"), "jsmith"),
    ),
    "a renewal": (
        "RenewTicket",
        '<root success="true" ticket="T-1" username="JSmith"/>',
        wire.Login(Secret("T-1"), "JSmith"),
    ),
    "a logout": ("LogOut", '<root success="true"/>', None),
    "a valid ticket": ("isValidTicket", '<root success="true" username="jsmith"/>', "jsmith"),
    "a folder": ("FolderExists", '<response success="true"/>', None),
    "a document": ("DocumentExists", '<r success="true" CRC32LASTVERSION="a3f1c29d" CRC32="b7"/>', 0xA3F1C29D),
    "a document with leading zeros": ("DocumentExists", '<r success="true" crc32lastversion="000000a3"/>', 0xA3),
    "a document without a checksum": ("DocumentExists", '<r success="true" CRC32LASTVERSION=""/>', None),
    "limits": (
        "GetGeneralAppSettings",
        """<response success="true"><GeneralSettings><UploadSettings>
        <DocumentMaxSize>78643200</DocumentMaxSize><DefaultUploadFileChunkSize> 262144 </DefaultUploadFileChunkSize>
        </UploadSettings></GeneralSettings></response>""",
        wire.Limits(78643200, 262144),
    ),
    "limits as servers of before tell them": (
        "getApplicationParameters",
        "<r success='true'><PARAMETERS><FILEUPLOADLIMIT>1072693248</FILEUPLOADLIMIT></PARAMETERS></r>",
        wire.Limits(1072693248, None, "FILEUPLOADLIMIT"),
    ),
    "odd limits": (
        "GetGeneralAppSettings",
        '<response success="true"><DocumentMaxSize>none</DocumentMaxSize></response>',
        wire.Limits(None, None),
    ),
    "a handler": (
        "CreateUploadHandler",
        f'<response success="true" error="" UploadHandler="{GUID}" ChunkSize="262144"/>',
        wire.Grant(GUID, 262144),
    ),
    "a chunk": ("UploadFileChunk", '<root success="true" tryagain="false"/>', None),
    "the last chunk": ("UploadFileChunk", '<root success="true" filehexcrc=" 00a3f2b1 "/>', 0xA3F2B1),
    "a deleted handler": ("DeleteUploadHandler", '<response success="true" error=""/>', None),
    "a new document": (
        "UploadDocumentWithHandler",
        '<root success="true" DocumentId="12345" VersionId="1000001"/>',
        wire.Stored(12345, 1000001),
    ),
    "a new document in another spelling": (
        "UploadDocumentWithHandler1",
        '<root success="true" DocumentID="12345" versionid="1000001"/>',
        wire.Stored(12345, 1000001),
    ),
    # The document stands: that it has no number is no reason to say otherwise.
    "a new document without a number": ("UploadDocumentWithHandler", '<root success="true"/>', wire.Stored(None, None)),
    "a new document and nothing but a new one": (
        "UploadNewDocumentWidthHandler",
        '<root success="true" DocumentId="12345" VersionId="1000000"/>',
        wire.Stored(12345, 1000000),
    ),
    "a document that nobody has": (
        "GetDocument",
        '<response success="true"><document DocumentID="7" CheckoutBy="" CheckoutByUserName=""/></response>',
        wire.Document(7, ""),
    ),
    "a document that somebody has": (
        "GetDocument",
        '<response success="true"><document documentid="7" CheckoutBy="12" CheckoutByUserName="jsmith"/></response>',
        wire.Document(7, "jsmith"),
    ),
    "a document that somebody has, by an older server": (
        "GetDocument",
        '<response success="true"><Document DocumentID="7" CheckoutBy="jsmith"/></response>',
        wire.Document(7, "jsmith"),
    ),
    "a document with its size": (
        "GetDocument",
        '<response success="true"><Document DocumentID="7" Size="12"/></response>',
        wire.Document(7, "", 12),
    ),
    "versions": (
        "GetDocumentVersions",
        """<response success="true"><Versions><Version Number="1000000"><VersionSize>3</VersionSize><Comment/></Version>
        <Version Number="1000001"><Comment> März &amp; April </Comment></Version><Version Number="1000002"/>
        <Version><Comment>without a number</Comment></Version></Versions></response>""",
        (wire.Version(1000000, "", 3), wire.Version(1000001, "März & April"), wire.Version(1000002, "")),
    ),
    "no versions": ("GetDocumentVersions", '<response success="true"><Versions/></response>', ()),
    "a check-out": ("Lock", '<response success="true" error=""/>', None),
    "a document given back": ("UnLock", '<response success="true" error=""/>', None),
    "a large download": (
        "GetDownloadHandler",
        f'<r success="true" Size="5000000000" CRC32="A3" ChunkSize="262144" downloadhandler="{GUID}"/>',
        reading.Info(5_000_000_000, 0xA3, GUID, 262144),
    ),
    "a download of what is rendered": (
        "GetDownloadHandler",
        f'<r success="true" Size="0" CRC32="" ChunkSize="262144" downloadhandler="{GUID}"/>',
        reading.Info(0, None, GUID, 262144),
    ),
    "a download": (
        "GetDownloadHandler",
        f'<r success="true" Size="7" CRC32="A3" ChunkSize="262144" downloadhandler="{GUID}"/>',
        reading.Info(7, 0xA3, GUID, 262144),
    ),
    "a folder that was made": (
        "CreateFolder",
        '<response success="true" FolderId="456" FolderName="New"/>',
        None,
    ),
    "a download of a version": (
        "GetDownloadHandlerByVersion",
        f'<r success="true" Size="7" CRC32="A3" ChunkSize="262144" downloadhandler="{GUID}"/>',
        reading.Info(7, 0xA3, GUID, 262144),
    ),
    "an archive, all of it": ("UploadZipWithHandler", '<root success="true"><logs/></root>', ()),
    "an archive, told by the item": (
        "UploadZipWithHandler",
        '<root success="true"><logs><log><item>a.txt</item><error/></log></logs></root>',
        (wire.Unpacked("a.txt", ""),),
    ),
    "an archive, some of it": (
        "UploadZipWithHandler",
        """<root success="false" error="[log]"><logs><log><item>a.txt</item><error>no right</error></log>
        <log><item>b.txt</item></log></logs></root>""",
        (wire.Unpacked("a.txt", "no right"), wire.Unpacked("b.txt", "")),
    ),
    "the limit of older servers": (
        "getApplicationParameters",
        '<response success="true"><FILEUPLOADLIMIT>1048576</FILEUPLOADLIMIT></response>',
        wire.Limits(1048576, None, "FILEUPLOADLIMIT"),
    ),
    "what a download would bring": (
        "GetDownloadInfo",
        '<r success="true" Size="7" CRC32="a3" VersionNumber="1000001"/>',
        reading.Facts(7, 0xA3, 1000001),
    ),
    "what a version would": (
        "GetDownloadInfoByVersion",
        '<r success="true" Size="7" CRC32=""/>',
        reading.Facts(7, None),
    ),
    "a piece": (
        "DownloadFileChunk",
        f'<r success="true" filelength="7" chunklength="7" lastchunk="true" chunkCRC32="a3">{DATA}</r>',
        reading.Piece(b"content", 0xA3),
    ),
    "a piece in lines": (
        "DownloadFileChunk",
        f'<r success="true" chunkcrc32="A3">\r\n{DATA[:4]}\r\n{DATA[4:]}\r\n</r>',
        reading.Piece(b"content", 0xA3),
    ),
    "a closed download": ("DeleteDownloadHandler", '<r success="true"/>', None),
}


@pytest.mark.parametrize("case", UNDERSTOOD)
def test_a_success_is_understood(case: str) -> None:
    operation, body, meaning = UNDERSTOOD[case]

    assert understand(CALLS[operation][0](), answer(body)) == meaning


def test_every_operations_success_is_among_them() -> None:
    assert {operation for operation, _, _ in UNDERSTOOD.values()} == set(CALLS)


INCOMPLETE: dict[str, tuple[str, str, str]] = {
    "no ticket": ("AuthenticateUser", '<r success="true"/>', "ticket"),
    "an empty ticket": ("AuthenticateUser", '<r success="true" ticket=" "/>', "ticket"),
    "no handler": ("CreateUploadHandler", '<r success="true" ChunkSize="262144"/>', "UploadHandler"),
    "no chunk size": ("CreateUploadHandler", '<r success="true" UploadHandler="x"/>', "ChunkSize"),
    "a chunk size of nothing": (
        "CreateUploadHandler",
        '<r success="true" UploadHandler="x" ChunkSize="0"/>',
        "ChunkSize",
    ),
    "an odd chunk size": ("CreateUploadHandler", '<r success="true" UploadHandler="x" ChunkSize="1MB"/>', "'1MB'"),
    "a negative chunk size": ("CreateUploadHandler", '<r success="true" UploadHandler="x" ChunkSize="-1"/>', "'-1'"),
    "an odd checksum of the whole": ("UploadFileChunk", '<r success="true" filehexcrc="xyz"/>', "'xyz'"),
    "a long checksum of the whole": ("UploadFileChunk", '<r success="true" filehexcrc="123456789"/>', "CRC-32"),
    "an odd checksum": ("DocumentExists", '<r success="true" CRC32LASTVERSION="-"/>', "'-'"),
    "no document": ("GetDocument", '<r success="true"/>', "document"),
    "no size": (
        "GetDownloadHandler",
        '<r success="true" CRC32="A3" ChunkSize="1" downloadhandler="x"/>',
        "Size",
    ),
    "no download handler": ("GetDownloadHandler", '<r success="true" Size="1" ChunkSize="1"/>', "downloadhandler"),
    "no size to download": ("GetDownloadHandler", '<r success="true" ChunkSize="1" downloadhandler="x"/>', "Size"),
    "no checksum of a piece": ("DownloadFileChunk", f'<r success="true">{DATA}</r>', "CRC-32"),
    "no base64": ("DownloadFileChunk", '<r success="true" chunkCRC32="A3">abc</r>', "says success, but"),
    "no letters of base64": ("DownloadFileChunk", '<r success="true" chunkCRC32="A3">日本語!</r>', "says success, but"),
}


@pytest.mark.parametrize("case", INCOMPLETE)
def test_a_success_without_what_is_needed_is_no_success(case: str) -> None:
    operation, body, missing = INCOMPLETE[case]

    with pytest.raises(ForeignReply) as caught:
        understand(CALLS[operation][0](), answer(body))

    assert missing in str(caught.value)
    assert str(caught.value).startswith(f"{operation}: the answer says success, but")
    assert caught.value.transient
    assert isinstance(caught.value.__cause__, ValueError)


@pytest.mark.parametrize("operation", CALLS)
def test_a_refusal_is_an_error_of_every_operation(operation: str) -> None:
    with pytest.raises(ServerError) as caught:
        understand(CALLS[operation][0](), answer('<r success="false" errorCode="4170" error="In use"/>'))

    assert caught.value.operation == operation


@pytest.mark.parametrize("operation", CALLS)
def test_the_calls_own_secrets_are_struck_out_of_its_errors(operation: str) -> None:
    call = CALLS[operation][0]()
    echo = "&".join(value.reveal() for _, value in call.fields if isinstance(value, Secret))

    with pytest.raises(ForeignReply) as caught:
        understand(call, Answer(500, f"<p>{echo}</p>".encode()))

    assert T not in f"{caught.value} {caught.value.excerpt}"
    assert "wörd" not in f"{caught.value} {caught.value.excerpt}"


@pytest.mark.parametrize(
    "body",
    [
        f'<root success="true" ticket="{GUID}',
        f'<string>&lt;root success="true" ticket="{GUID}"/&gt;</string>',
        f'<root ticket="{GUID}"/>',
    ],
    ids=["cut", "in text", "without success"],
)
@pytest.mark.parametrize("operation", ["AuthenticateUser", "RenewTicket"])
def test_a_new_ticket_is_not_quoted_from_an_answer_that_cannot_be_read(operation: str, body: str) -> None:
    """It is as good as a password, and no secret of the request's."""
    with pytest.raises(ForeignReply) as caught:
        understand(CALLS[operation][0](), answer(body))

    assert GUID not in f"{caught.value} {caught.value.excerpt}"


@settings(max_examples=150)
@given(
    operation=st.sampled_from(sorted(CALLS)),
    attributes=st.dictionaries(
        st.sampled_from(
            ["ticket", "UploadHandler", "ChunkSize", "filehexcrc", "Size", "CRC32", "chunkCRC32", "downloadhandler"]
        ),
        st.sampled_from(["", "0", "7", "-7", "A3", "xyz", "9" * 30, "日"]),
    ),
    text=st.sampled_from(["", DATA, "=", "a", "日", "<DocumentMaxSize/>", "<DocumentMaxSize>x</DocumentMaxSize>"]),
)
def test_whatever_a_success_carries_it_is_understood_or_an_error_of_ours(
    operation: str, attributes: dict[str, str], text: str
) -> None:
    pairs = "".join(f' {name}="{value}"' for name, value in attributes.items())
    try:
        understand(CALLS[operation][0](), answer(f'<r success="true"{pairs}>{text}</r>'))
    except AsyncUploadError as error:
        assert isinstance(error, ForeignReply)  # noqa: PT017

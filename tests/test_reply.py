"""Every form of answer that servers and what stands before them give, and the one error that each of them means."""

import html
import re
import urllib.parse

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from asyncupload import (
    AccessDenied,
    AlreadyExists,
    AsyncUploadError,
    ChunkRefused,
    ForeignReply,
    HandlerLost,
    LoginRefused,
    NotFound,
    Redirected,
    ServerError,
    TicketRefused,
)
from asyncupload._call import LostReply
from asyncupload._outcome import outcome_of
from asyncupload._reply import Answer, Reply, read, read_description
from asyncupload._secret import Secret
from asyncupload.emulator.operations import SIGNATURES
from asyncupload.emulator.wsdl import wsdl
from asyncupload.errors import Outcome

TICKET = "0f8fad5b-d9cb-469f-a165-70867728950e"


def shown(text: str) -> str:
    """Hides nothing."""
    return text


hide = Secret(TICKET).blot


def ok(body: str | bytes, operation: str = "UploadFileChunk") -> Reply:
    return read(operation, Answer(200, body.encode() if isinstance(body, str) else body), shown)


def refused(body: str, operation: str = "UploadFileChunk") -> ServerError:
    with pytest.raises(ServerError) as caught:
        ok(body, operation)
    return caught.value


def foreign(body: str | bytes, status: int = 200) -> ForeignReply:
    with pytest.raises(ForeignReply) as caught:
        read("UploadFileChunk", Answer(status, body.encode() if isinstance(body, str) else body), shown)
    return caught.value


# ── successes ─────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("root", ["root", "response", "Response", "Anything", "ns:root xmlns:ns='http://x/'"])
def test_the_roots_name_does_not_matter(root: str) -> None:
    assert ok(f'<{root} success="true" DocumentId="7"/>').number("DocumentId") == 7


SUCCESSES: dict[str, str | bytes] = {
    "plain": '<root success="true" name="B\u00fcro"/>',
    "declared": '<?xml version="1.0" encoding="utf-8"?>\n<root success="true" name="B\u00fcro"/>',
    "upper case word": '<root success="True" name="B\u00fcro"/>',
    "shouted word": '<root success="TRUE" name="B\u00fcro"/>',
    "other case of the attribute": '<root Success="true" NAME="B\u00fcro"/>',
    "spaces in the value": '<root success=" true " name=" B\u00fcro "/>',
    "empty error": '<root success="true" error="" name="B\u00fcro"/>',
    "tryagain says no": '<root success="true" tryagain="false" name="B\u00fcro"/>',
    "default namespace": '<root xmlns="http://tempuri.org/" success="true" name="B\u00fcro"/>',
    "prefixed attributes": '<a:root xmlns:a="http://x/" a:success="true" a:name="B\u00fcro"/>',
    "byte order mark": b"\xef\xbb\xbf" + '<root success="true" name="B\u00fcro"/>'.encode(),
    "Latin-1, declared": '<?xml version="1.0" encoding="ISO-8859-1"?><root success="true" name="B\u00fcro"/>'.encode(
        "latin-1"
    ),
    "UTF-16, marked": '<?xml version="1.0" encoding="utf-16"?><root success="true" name="B\u00fcro"/>'.encode("utf-16"),
    "with a comment": '<!-- served by 3 --><root success="true" name="B\u00fcro"/>',
    "with a processing instruction": '<?xml-stylesheet href="x"?><root success="true" name="B\u00fcro"/>',
    "character reference": '<root success="true" name="B&#252;ro"/>',
    "with children": '<root success="true" name="B\u00fcro"><document success="false"/></root>',
    "space after the end": '<root success="true" name="B\u00fcro"/>\r\n\r\n',
}


@pytest.mark.parametrize("form", SUCCESSES)
def test_a_success_is_read_in_every_form(form: str) -> None:
    assert ok(SUCCESSES[form]).get("name") == "B\u00fcro"


def test_attributes_are_found_in_any_case() -> None:
    reply = ok('<root success="true" DocumentID="7" filehexcrc="00a3f2b1" empty="" word="x"/>')

    assert reply.number("DocumentId") == reply.number("documentid") == 7
    assert reply.crc("FileHexCRC") == 0xA3F2B1
    assert reply.get("missing") == ""
    assert reply.get("missing", "default") == "default"
    assert reply.has("missing", "DOCUMENTid")
    assert not reply.has("missing")
    assert reply.number("missing") is reply.number("word") is reply.number("empty") is None
    assert reply.crc("missing") is reply.crc("empty") is None
    with pytest.raises(ValueError, match="CRC-32"):
        reply.crc("word")


@pytest.mark.parametrize("text", ["-1", "1.5", "1e3", "0x10", "12 34", "9" * 20, "١٢", "１"])
def test_what_is_no_number_is_none(text: str) -> None:
    assert ok(f'<root success="true" number="{text}"/>').number("number") is None


def test_children_are_found_however_deep_and_in_any_case() -> None:
    reply = ok(
        '<response success="true" xmlns:x="http://x/"><General><x:UPLOAD size="5"> 78643200 </x:UPLOAD>'
        "</General><empty/></response>"
    )

    child = reply.child("upload")
    assert child is not None
    assert child.text == "78643200"
    assert child.number("Size") == 5
    empty = reply.child("Empty")
    assert empty is not None
    assert empty.text == ""
    assert reply.child("none") is None


def test_a_huge_attribute_is_read_whole() -> None:
    assert len(ok(f'<root success="true" name="{"x" * 900_000}"/>').get("name")) == 900_000


def test_a_deep_answer_is_read_without_recursion() -> None:
    depth = 20_000
    reply = ok(f'<root success="true">{"<a>" * depth}<deep/>{"</a>" * depth}</root>')

    assert reply.child("deep") is not None


# ── try again ─────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("success", ['success="true"', 'success="false"', 'Success="True"', "", 'success=""'])
@pytest.mark.parametrize("word", ["true", "TRUE", " True "])
def test_try_again_is_obeyed_whatever_success_says(success: str, word: str) -> None:
    """Servers disagree; to take it for appended would lose the chunk."""
    error = refused(f'<root {success} tryagain="{word}" error="CRC"/>')

    assert type(error) is ChunkRefused
    assert error.transient
    assert (error.operation, error.text) == ("UploadFileChunk", "CRC")


def test_no_try_again_is_no_success() -> None:
    assert type(refused('<root tryagain="false"/>', "LogOut")) is ServerError
    assert type(refused('<root tryagain="false"/>')) is HandlerLost


# ── refusals ──────────────────────────────────────────────────────────────────────────────────────────────────────────

REFUSALS: list[tuple[str, str, type[ServerError]]] = [
    # operation, attributes, what it means
    ("FolderExists", 'success="false" errorCode="4010" error="Ticket"', TicketRefused),
    ("FolderExists", 'success="false" errorcode="4010"', TicketRefused),
    ("FolderExists", 'success="False" ERRORCODE=" 4010 "', TicketRefused),
    ("FolderExists", 'success="false" error="[901] Session expired"', TicketRefused),
    ("FolderExists", 'success="false" error="[901]Session expired"', TicketRefused),
    ("FolderExists", 'success="false" error="[900] Authentication failed"', TicketRefused),
    ("GetDownloadInfo", 'success="false" errorCode="4000" error="[901] x"', TicketRefused),
    ("UploadFileChunk", 'success="false" errorCode="4000" error="[901] x"', TicketRefused),
    ("FolderExists", 'success="false" errorCode="4030"', AccessDenied),
    ("FolderExists", 'success="false" error="[921] Insufficient rights"', AccessDenied),
    ("DocumentExists", 'success="false" errorCode="4041"', NotFound),
    ("DocumentExists", 'success="false" error="[2285]Document not found"', NotFound),
    ("UploadDocumentWithHandler", 'success="false" errorCode="4090"', AlreadyExists),
    ("UploadFileChunk", 'success="false" errorCode="4000"', HandlerLost),
    # Not every 4000 speaks of the handler.
    ("UploadDocumentWithHandler", 'success="false" errorCode="4000"', ServerError),
    ("FolderExists", 'success="false" errorCode="4170"', ServerError),
    ("LogOut", 'success="false" error="odd"', ServerError),
    ("LogOut", 'success="false"', ServerError),
    ("LogOut", 'success="no"', ServerError),
    ("LogOut", 'success=""', ServerError),
    # Older servers give no code, and words in any language: what was asked says what is missing.
    ("FolderExists", 'success="false" error="Ordner nicht gefunden."', NotFound),
    ("DocumentExists", 'success="false" error="Dokument nicht gefunden."', NotFound),
    ("UploadFileChunk", 'success="false" error="Der Handler ist unbekannt."', HandlerLost),
    ("DocumentExists", 'success="false" errorCode="4170"', ServerError),
    ("UploadFileChunk", 'success="false" errorCode="4170"', ServerError),
    # Some refusals lack `success` altogether.
    ("FolderExists", 'error="Folder not found."', NotFound),
    ("LogOut", 'error="Odd."', ServerError),
    ("FolderExists", 'errorCode="4041" error="Folder not found."', NotFound),
    # An exception inside the server.
    ("UploadFileChunk", 'success="false" errorCode="5030"', ServerError),
    ("UploadFileChunk", 'success="false" error="SystemError: Object reference"', ServerError),
    ("AuthenticateUser", 'success="false" error="[900] Authentication failed"', LoginRefused),
    ("AuthenticateUser", 'success="false" error="[902] not allowed"', LoginRefused),
    ("AuthenticateUser", 'success="false" errorCode="4010"', LoginRefused),
    ("AuthenticateUser", 'success="false" errorCode="4030"', LoginRefused),
    ("RenewTicket", 'success="false" errorCode="4010" error="[900] Authentication failed"', LoginRefused),
    ("RenewTicket", 'success="false" errorCode="4010" error="[901] Session expired"', TicketRefused),
    ("RenewTicket", 'success="false" errorCode="4000" error="invalid ticket format"', ServerError),
]


@pytest.mark.parametrize(("operation", "attributes", "kind"), REFUSALS, ids=[f"{r[0]} {r[1]}" for r in REFUSALS])
def test_refusals(operation: str, attributes: str, kind: type[ServerError]) -> None:
    error = refused(f"<response {attributes}/>", operation)

    assert type(error) is kind
    assert not error.transient
    assert error.operation == operation
    assert str(error).startswith(f"{operation}: ")


@pytest.mark.parametrize("attributes", ['errorCode="5030" error="x"', 'error="SystemError: no database"'])
def test_a_server_that_cannot_look_has_not_refused_the_password(attributes: str) -> None:
    """A refused password is never tried again, and exits as such; a database that is away comes back."""
    assert type(refused(f'<root success="false" {attributes}/>', "AuthenticateUser")) is ServerError


def test_a_refusal_says_what_the_server_said() -> None:
    error = refused('<root success="false" errorCode="4170" error=" In use.&#10; "/>', "FolderExists")

    assert (error.code, error.text) == (4170, "In use.")
    assert str(error) == "FolderExists: In use. (code 4170)"


def test_a_servers_words_do_not_flood_or_steer_a_terminal() -> None:
    """A text may hold a whole page, or sequences that a terminal obeys."""
    error = refused(f'<root success="false" error="one&#10;two&#155;31m {"x" * 5000}"/>', "LogOut")

    assert len(error.text) <= 500
    assert str(error).isprintable()
    assert error.text.startswith("one two 31m xxx")


def test_a_refusal_without_words_says_so() -> None:
    assert str(refused('<root success="false"/>', "LogOut")) == "LogOut: refused without a reason"


@pytest.mark.parametrize("code", ["", "x", "-5", "4010.0"])
def test_an_odd_code_is_no_code(code: str) -> None:
    assert refused(f'<root success="false" errorCode="{code}"/>').code is None


# ── what is not the protocol's ────────────────────────────────────────────────────────────────────────────────────────

BOMB = (
    '<!DOCTYPE a [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;"><!ENTITY c "&b;&b;&b;&b;&b;&b;&b;&b;">]>'
    '<root success="true" name="&c;">&c;</root>'
)

FOREIGN: dict[str, str | bytes] = {
    "empty": b"",
    "blank": b"  \r\n",
    "a login page": "<!DOCTYPE html><html><body><form action=login><input name=user></form></body></html>",
    "HTML that happens to be XML": "<html><body>Welcome</body></html>",
    "JSON": '{"success": true}',
    "words": "OK",
    "zeros": bytes(100),
    "cut in the middle": '<root success="true" DocumentI',
    "cut before the end": '<root success="true"><logs>',
    "two roots": '<root success="true"/><root success="true"/>',
    "something after the end": '<root success="true"/>--',
    "no attribute of ours": '<root DocumentId="7"/>',
    "ours only below": '<Envelope><Body><root success="true"/></Body></Envelope>',
    "an answer in text": '<string>&lt;root success="true"/&gt;</string>',
    "a document type": '<!DOCTYPE root><root success="true"/>',
    "an external entity": '<!DOCTYPE r [<!ENTITY x SYSTEM "file:///etc/passwd">]><r success="true" name="y">&x;</r>',
    "an entity bomb": BOMB,
    "an attribute twice": '<root success="true" success="true"/>',
}


@pytest.mark.parametrize("form", FOREIGN)
def test_a_page_with_status_200_that_is_not_the_protocols_is_foreign(form: str) -> None:
    """Fault 43: a maintenance page goes away again. What speaks of success in our words is the server's own, though."""
    error = foreign(FOREIGN[form])

    assert type(error) is ForeignReply
    assert error.status == 200
    assert error.transient
    ours = re.search(r"<[^>]*\bsuccess=", error.excerpt) is not None
    assert ("is this the address of an infoRouter server?" in str(error)) is not ours
    assert "passwd" not in error.excerpt or form == "an external entity"
    assert "root:" not in error.excerpt


def test_a_pages_words_are_kept_however_long_its_style_is() -> None:
    style = "<style>" + "p {color: red} " * 1000 + "</style>"
    error = foreign(f"<html><head>{style}<script>{'x();' * 1000}</script></head><body>Request format is unrecognized")
    assert "Request format is unrecognized" in error.excerpt


def test_a_foreign_page_is_quoted_without_its_tags() -> None:
    page = (
        "<html><head><style>p {color: red}</style><script>alert(1)</script></head>"
        "<body><h1>Sign in</h1>\n\n<p>to   <b>Contoso</b></p></body></html>"
    )

    error = foreign(page)

    assert "“Sign in to Contoso”" in str(error)
    assert "alert" not in str(error)
    assert "color" not in str(error)
    assert error.excerpt == page


def test_a_long_page_is_quoted_in_part() -> None:
    error = foreign("word " * 10_000)

    assert len(str(error)) < 300
    assert "…" in str(error)


@pytest.mark.parametrize("letter", ["x", "é", "日", "🙂"])
def test_an_excerpt_is_two_kibibytes_of_text_at_most(letter: str) -> None:
    error = foreign(letter * 10_000)

    assert 1000 <= len(error.excerpt) <= 2048
    assert set(error.excerpt) <= {letter, "\ufffd"}


# ── statuses ──────────────────────────────────────────────────────────────────────────────────────────────────────────

STATUSES: dict[int, bool] = {
    # status: whether the request may succeed when it is sent again
    201: False,
    204: False,
    206: False,
    400: False,
    401: False,
    403: False,
    404: False,
    405: False,
    407: False,
    408: True,
    411: False,
    413: False,
    414: False,
    415: False,
    425: True,
    429: True,
    431: False,
    500: True,
    501: False,
    502: True,
    503: True,
    504: True,
    599: True,
}


@pytest.mark.parametrize("status", STATUSES)
def test_what_a_status_means(status: int) -> None:
    # Even beside a body that says success: a status before all.
    error = foreign('<root success="true"/>', status)

    assert type(error) is ForeignReply
    assert error.transient is STATUSES[status]
    assert error.status == status
    assert f"HTTP {status}" in str(error)


@given(st.integers(100, 599).filter(lambda status: status != 200))
def test_no_status_but_200_is_a_success(status: int) -> None:
    with pytest.raises(ForeignReply) as caught:
        read("LogOut", Answer(status, b'<root success="true"/>', retry_after=3.0), shown)

    assert caught.value.status == status
    if caught.value.transient:
        assert caught.value.retry_after == 3.0


def test_the_servers_wish_to_be_left_alone_is_kept() -> None:
    with pytest.raises(ForeignReply) as caught:
        read("LogOut", Answer(503, b"", retry_after=17.5), shown)

    assert caught.value.retry_after == 17.5


@pytest.mark.parametrize("status", [300, 301, 302, 303, 304, 307, 308])
def test_a_redirect_names_where_it_leads(status: int) -> None:
    with pytest.raises(Redirected) as caught:
        read("LogOut", Answer(status, b"<p>moved</p>", location="https://elsewhere/login"), shown)

    error = caught.value
    assert "https://elsewhere/login" in str(error)
    assert "redirects are not followed" in str(error)
    assert (error.status, error.transient) == (status, False)
    assert error.excerpt == "<p>moved</p>"


def test_what_a_redirect_names_can_be_printed() -> None:
    """Headers may hold undecodable bytes, and line ends of a terminal's."""
    with pytest.raises(Redirected) as caught:
        read("LogOut", Answer(302, b"", location="https://e\udcff\x1b[31m"), shown)

    assert str(caught.value).isprintable()


def test_a_redirect_to_nowhere_says_so() -> None:
    with pytest.raises(Redirected, match="redirects to nowhere"):
        read("LogOut", Answer(302, b""), shown)


def test_a_request_that_is_too_large_tells_what_can_be_done() -> None:
    """Where smaller chunks are of no use any more, somebody has to raise a limit, and has to know which."""
    error = foreign("<html><head><title>413</title></head><h1>413 Request Entity Too Large</h1></html>", 413)

    assert "HTTP 413: “413 Request Entity Too Large”" in str(error)
    assert "client_max_body_size" in str(error)
    assert "maxAllowedContentLength" in str(error)


def test_a_pages_title_is_not_quoted_beside_its_heading() -> None:
    page = "<html><head lang=en>\n<title>502 Bad Gateway</title></head><body><center><h1>502 Bad Gateway</h1></center>"

    assert str(foreign(page, 502)) == "UploadFileChunk: HTTP 502: “502 Bad Gateway”"
    assert "“the header of it”" in str(foreign("<header>the header</header> of it", 502))


# ── SOAP ──────────────────────────────────────────────────────────────────────────────────────────────────────────────

TEMPURI = 'xmlns="http://tempuri.org/"'


def enveloped(inside: str, prefix: str = "soap:", around: str = TEMPURI) -> str:
    """A SOAP answer with that element in it."""
    space = f'xmlns:{prefix[:-1]}="http://schemas.xmlsoap.org/soap/envelope/"' if prefix else ""
    return (
        f'<?xml version="1.0" encoding="utf-8"?><{prefix}Envelope {space}><{prefix}Header/><{prefix}Body>'
        f"<UploadFileChunkResponse {around}><UploadFileChunkResult>{inside}</UploadFileChunkResult>"
        f"</UploadFileChunkResponse></{prefix}Body></{prefix}Envelope>"
    )


@pytest.mark.parametrize("prefix", ["soap:", "s:", ""])
@pytest.mark.parametrize("around", [TEMPURI, ""], ids=["in a namespace", "without"])
@pytest.mark.parametrize("own", ["", 'xmlns="" ', f"{TEMPURI} "], ids=["inherited", "none", "its own"])
@pytest.mark.parametrize("root", ["root", "response", "Response"])
def test_an_answer_is_found_in_its_envelope(prefix: str, around: str, own: str, root: str) -> None:
    """The pages and the servers in the field are not of one mind about namespaces."""
    reply = ok(enveloped(f'<{root} {own}success="true" filehexcrc="A3"><x>y</x></{root}>', prefix, around))

    assert reply.crc("filehexcrc") == 0xA3
    child = reply.child("x")
    assert child is not None
    assert child.text == "y"


def test_refusals_are_found_in_envelopes() -> None:
    assert type(refused(enveloped('<root success="true" tryagain="true"/>'))) is ChunkRefused
    assert type(refused(enveloped('<root success="false" errorCode="4010"/>'))) is TicketRefused
    assert type(refused(enveloped('<root success="false" errorCode="4000" error="gone"/>'))) is HandlerLost


@pytest.mark.parametrize(
    "inside",
    ["", "text", "&lt;root success='true'/&gt;", "<other/>", "<a><root success='true'/></a>"],
    ids=["nothing", "text", "XML as text", "another element", "deeper"],
)
def test_an_envelope_without_an_answer_is_foreign(inside: str) -> None:
    assert type(foreign(enveloped(inside))) is ForeignReply


def fault(code: str, text: str = "Server was unable to read request.") -> bytes:
    """As .NET writes it."""
    return (
        '<soap:Envelope xmlns:soap="http://schemas.xmlsoap.org/soap/envelope/"><soap:Body><soap:Fault>'
        f"<faultcode>{code}</faultcode><faultstring>{text}</faultstring><detail /></soap:Fault></soap:Body>"
        "</soap:Envelope>"
    ).encode()


@pytest.mark.parametrize("lost_reply", [LostReply.PROVE, LostReply.ASK])
@pytest.mark.parametrize(
    ("code", "outcome"),
    [
        ("soap:Client", Outcome.NOT_APPLIED),
        ("Client", Outcome.NOT_APPLIED),
        ("soap:Server", Outcome.UNKNOWN),
        ("Server", Outcome.UNKNOWN),
        ("soap:MustUnderstand", Outcome.UNKNOWN),
        ("", Outcome.UNKNOWN),
    ],
)
def test_a_fault_is_a_refusal_that_did_nothing_only_if_the_sender_is_at_fault(
    code: str, outcome: Outcome, lost_reply: LostReply
) -> None:
    """The others may come after a chunk was appended, or a document made."""
    with pytest.raises(ServerError) as caught:
        read("UploadFileChunk", Answer(500, fault(code)), shown)

    assert type(caught.value) is ServerError
    assert "Server was unable to read request." in str(caught.value)
    assert not caught.value.transient
    assert outcome_of(caught.value, body_left=True, lost_reply=lost_reply) is outcome
    assert outcome_of(caught.value, body_left=False, lost_reply=lost_reply) is Outcome.NOT_APPLIED


def test_a_fault_shows_no_secret_and_steers_no_terminal() -> None:
    with pytest.raises(ServerError) as caught:
        read("FolderExists", Answer(500, fault("soap:Client", f"ticket {TICKET}\n is\u009b31m bad {'x' * 5000}")), hide)

    assert str(caught.value).startswith("FolderExists: ticket ••• is 31m bad x")
    assert str(caught.value).isprintable()
    assert len(caught.value.text) <= 500


def test_a_fault_without_words_says_so() -> None:
    with pytest.raises(ServerError, match="LogOut: a SOAP fault without a reason"):
        read("LogOut", Answer(500, fault("soap:Client", "")), shown)


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (500, b"<html><p>faultcode</p>"),
        (500, b'<!DOCTYPE x [<!ENTITY a "b">]><x><faultcode>&a;</faultcode></x>'),
        (200, fault("soap:Client")),
        (502, fault("soap:Client")),
    ],
    ids=["no XML", "a document type", "status 200", "status 502"],
)
def test_what_only_looks_like_a_fault_is_foreign(status: int, body: bytes) -> None:
    error = foreign(body, status)

    assert error.status == status
    assert outcome_of(error, body_left=True, lost_reply=LostReply.ASK) is Outcome.UNKNOWN


# ── the service's description of itself ───────────────────────────────────────────────────────────────────────────────


def test_a_description_tells_every_operations_fields_in_order() -> None:
    described = read_description(Answer(200, wsdl(SIGNATURES, "http://host/srv.asmx").body))

    for operation, fields in SIGNATURES.items():
        assert described[operation.lower()] == tuple(field.name for field in fields)


@pytest.mark.parametrize(
    "body",
    [b"", b"<html><p>Welcome", b"<root success='true'/>", b'<!DOCTYPE a [<!ENTITY b "c">]><a/>', b"\x00\xff", b"{}"],
)
def test_what_is_no_description_tells_nothing(body: bytes) -> None:
    assert read_description(Answer(200, body)) == {}


@pytest.mark.parametrize("status", [302, 400, 401, 403, 404, 500])
def test_a_server_may_keep_its_description_to_itself(status: int) -> None:
    """ASMX answers 500 where its documentation is switched off."""
    assert read_description(Answer(status, b"<p>no</p>")) == {}


@pytest.mark.parametrize("status", [408, 425, 429, 502, 503, 504])
def test_a_description_that_is_not_to_be_had_at_the_moment_is_worth_another_try(status: int) -> None:
    with pytest.raises(ForeignReply) as caught:
        read_description(Answer(status, b"", retry_after=2.0))

    assert caught.value.transient
    assert caught.value.retry_after == 2.0


@given(st.binary(max_size=200))
def test_any_bytes_are_a_description_or_none(body: bytes) -> None:
    for found in read_description(Answer(200, body)).values():
        assert isinstance(found, tuple)


# ── secrets ───────────────────────────────────────────────────────────────────────────────────────────────────────────

ECHOES: dict[str, Answer] = {
    "a page": Answer(200, f"<p>your ticket {TICKET} is {TICKET}</p>".encode()),
    "an error page": Answer(500, f"PWD={TICKET}&UID=x".encode()),
    "a refusal": Answer(200, f'<root success="false" error="[901] {TICKET} expired"/>'.encode()),
    "a mismatch": Answer(200, f'<root tryagain="true" error="{TICKET}"/>'.encode()),
    "a redirect": Answer(302, f"<a href='/?t={TICKET}'>".encode(), location=f"https://x/login?ticket={TICKET}"),
    "broken XML": Answer(200, f'<root success="true" ticket="{TICKET}'.encode()),
    "other XML": Answer(200, f'<root ticket="{TICKET}"/>'.encode()),
}


@pytest.mark.parametrize("form", ECHOES)
def test_secrets_are_struck_out_of_all_that_an_error_says(form: str) -> None:
    with pytest.raises(AsyncUploadError) as caught:
        read("FolderExists", ECHOES[form], hide)

    said = f"{caught.value} {caught.value!r} {vars(caught.value)} {caught.value.__cause__}"
    assert TICKET not in said
    assert "•••" in said


@settings(max_examples=150)
@given(
    before=st.text(st.sampled_from("xé日🙂"), max_size=2100),
    echoes=st.integers(1, 150),
    between=st.sampled_from(["", " ", "日"]),
)
@example(before="日" * 1360, echoes=1, between="")
@example(before="", echoes=150, between="")
def test_no_part_of_a_secret_is_left_at_the_edge_of_an_excerpt(before: str, echoes: int, between: str) -> None:
    body = (before + (TICKET + between) * echoes).encode()
    with pytest.raises(ForeignReply) as caught:
        read("FolderExists", Answer(500, body), hide)

    assert TICKET[:8] not in caught.value.excerpt
    assert TICKET[:8] not in str(caught.value)


PASSWORD = "<b>&\"'ö /+%"
"""Everything that one or another notation writes in another way."""


@pytest.mark.parametrize(
    "written",
    [html.escape(PASSWORD), urllib.parse.quote(PASSWORD), urllib.parse.quote_plus(PASSWORD)],
    ids=["HTML", "URL", "form"],
)
def test_a_secret_is_struck_out_as_pages_and_addresses_write_it(written: str) -> None:
    """ASP.NET's request validation quotes the field that it finds dangerous; a login page comes back with its query."""
    blot = Secret(PASSWORD).blot

    with pytest.raises(ForeignReply) as caught:
        read("FolderExists", Answer(500, f"a dangerous value was detected (PWD={written})".encode()), blot)
    assert written not in caught.value.excerpt
    with pytest.raises(Redirected) as redirected:
        read("FolderExists", Answer(302, b"", location=f"/login?PWD={written}"), blot)
    assert written not in str(redirected.value)


# ── anything at all ───────────────────────────────────────────────────────────────────────────────────────────────────

NAMES = st.sampled_from(["success", "tryagain", "error", "errorCode", "errorcode", "ErrorCode", "x", "DocumentId"])
VALUES = st.sampled_from(
    ["true", "false", "True", "", "4010", "4000", "5000", "[901]", "SystemError", "x&amp;y", "&#0;"]
)
ALMOST = st.builds(
    lambda root, pairs, rest: (
        "<" + root + "".join(f' {name}="{value}"' for name, value in pairs) + ">" + rest + "</" + root + ">"
    ).encode(),
    st.sampled_from(["root", "response", "x:y", ""]),
    st.lists(st.tuples(NAMES, VALUES), max_size=4),
    st.sampled_from(["", "text", "<a/>", "<a>", "&x;", "<![CDATA[x]]>"]),
)
ENCODED = st.builds(
    lambda name, text: f'<?xml version="1.0" encoding="{name}"?>'.encode() + text,
    st.sampled_from(["utf-8", "utf-16", "utf-7", "ascii", "cp037", "idna", "hex", "zip", "punycode", "mbcs", "big5"]),
    st.binary(max_size=40) | ALMOST,
)


@settings(max_examples=400)
@given(
    body=st.binary(max_size=200) | st.text(max_size=200).map(str.encode) | ALMOST | ENCODED,
    status=st.sampled_from([200, 200, 200, 200, 302, 404, 500]),
    operation=st.sampled_from(["UploadFileChunk", "AuthenticateUser", "FolderExists"]),
)
def test_any_bytes_are_a_reply_or_an_error_of_ours(body: bytes, status: int, operation: str) -> None:
    try:
        reply = read(operation, Answer(status, body), hide)
    except (ServerError, ForeignReply) as error:
        refusal: AsyncUploadError = error
    else:
        assert reply.flag("success")
        assert not reply.flag("tryagain")
        assert status == 200
        return
    assert len(getattr(refusal, "excerpt", "")) <= 2048

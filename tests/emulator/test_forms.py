"""What came in."""

import base64
from urllib.parse import quote_plus, urlencode

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from asyncupload.emulator.fields import fields
from asyncupload.emulator.forms import Form, read_form, read_pairs
from asyncupload.emulator.replies import Rejected

MULTIPART = "multipart/form-data; boundary=line"
URLENCODED = "application/x-www-form-urlencoded"


def multipart(*parts: tuple[str, bytes]) -> bytes:
    """The headers after the disposition's type, and the content, of each part."""
    written = (
        b"--line\r\nContent-Disposition: form-data" + head.encode() + b"\r\n\r\n" + data + b"\r\n"
        for head, data in parts
    )
    return b"".join(written) + b"--line--\r\n"


@settings(max_examples=50)
@given(st.dictionaries(st.text(min_size=1, max_size=5), st.text(max_size=20), max_size=4))
@example({"a": "%2B+/=&%25", "b": "%%2B2F %2f"})
def test_urlencoded_fields_come_out_as_they_went_in(fields: dict[str, str]) -> None:
    form = read_pairs(urlencode(fields).encode())
    folded = {name.lower(): value for name, value in reversed(fields.items())}
    for name, value in folded.items():
        assert form.text(name) == value


@given(st.binary(min_size=1, max_size=200))
def test_base64_survives_a_form(data: bytes) -> None:
    written = base64.b64encode(data).decode()
    for quoted in (quote_plus(written), quote_plus(written).lower() if written.islower() else quote_plus(written)):
        assert bytes(read_pairs(f"FILE={quoted}".encode()).octets("file")) == data
    assert bytes(read_pairs(f"file={quote_plus(written)}%0D%0A".encode()).octets("file")) == data


@given(st.binary(max_size=200))
@example(b"\r\n--line")
@example(b"\r\n--linear\r\n")
@example(b"--line--")
@example(b"\r\n--lin")
@example(b"\r\n\r\n")
@example(b"\r\n")
def test_a_file_part_is_the_bytes_as_they_are(data: bytes) -> None:
    if b"\r\n--line\r\n" in b"\r\n" + data + b"\r\n" or b"\r\n--line--" in b"\r\n" + data:
        return  # The sender has to choose another boundary.
    body = multipart(('; name="before"', b"1"), ('; name="File"; filename="a"', data), ('; name="after"', b"2"))
    form = read_form(MULTIPART, body)
    assert bytes(form.octets("file")) == data
    assert (form.text("before"), form.text("after")) == ("1", "2")


@pytest.mark.parametrize(
    "head",
    [
        '; name="f"; filename="a;b.txt"',
        "; filename=a; name=f",
        "; name=\"f\"; filename*=UTF-8''a",
        '; NAME="F"; FILENAME=""',
    ],
)
def test_a_part_with_a_file_name_is_a_file(head: str) -> None:
    assert bytes(read_form(MULTIPART, multipart((head, b"AAA="))).octets("f")) == b"AAA="


def test_a_part_without_a_file_name_is_text() -> None:
    form = read_form(MULTIPART, multipart(('; name="f"\r\nContent-Type: application/octet-stream', b"QUJD")))
    assert bytes(form.octets("f")) == b"ABC"


def test_a_boundary_may_be_quoted() -> None:
    body = multipart(('; name="a"', b"1")).replace(b"--line", b"--a line?")
    assert read_form('Multipart/Form-Data; charset=utf-8; boundary="a line?"', body).text("a") == "1"


def test_the_first_of_two_fields_counts() -> None:
    """To ASP.NET's own web services they are one text."""
    assert read_pairs(b"a=1&A=2&a=3", classic=True).text("a") == "1,2,3"
    assert read_pairs(b"a=1&A=2").text("a") == "1"
    assert read_form(MULTIPART, multipart(('; name="a"', b"1"), ('; name="A"', b"2"))).text("a") == "1"


@pytest.mark.parametrize(
    ("kind", "body", "status"),
    [
        ("application/json", b"{}", 415),
        ("", b"a=1", 415),
        ("multipart/form-data", b"--line--", 400),
        (MULTIPART, b"nothing of the kind", 400),
        (MULTIPART, b"--line\r\nContent-Disposition: form-data; name=a\r\n\r\n1", 400),
        (MULTIPART, b"--line\r\nContent-Disposition: form-data; name=a\r\n--line--", 400),
        (MULTIPART, multipart(("", b"nameless")), 400),
    ],
)
def test_what_is_no_form_is_refused(kind: str, body: bytes, status: int) -> None:
    with pytest.raises(Rejected) as caught:
        read_form(kind, body)
    assert caught.value.status == status


def test_no_body_is_a_form_without_fields() -> None:
    assert not read_form("", b"").has("a")
    assert not read_form("application/octet-stream", b"").has("a")


def test_missing_fields_have_their_values() -> None:
    form = Form()
    assert (form.text("a"), form.number("a"), form.flag("a")) == ("", 0, False)


@pytest.mark.parametrize(
    ("text", "number"), [("12", 12), (" -7 ", -7), ("9223372036854775807", (1 << 63) - 1), ("+1", 1)]
)
def test_numbers(text: str, number: int) -> None:
    assert Form({"n": text.encode()}).number("N") == number


@pytest.mark.parametrize("text", ["x", "1.5", "0x1", "1_0", "9223372036854775808", "٣", "1 2", "9" * 5000])
def test_what_is_no_number(text: str) -> None:
    with pytest.raises(Rejected):
        Form({"n": text.encode()}).number("n")


@pytest.mark.parametrize(("text", "flag"), [("true", True), ("TRUE", True), (" False ", False), ("", False)])
def test_flags(text: str, flag: bool) -> None:
    assert Form({"f": text.encode()}).flag("f") is flag


@pytest.mark.parametrize("text", ["1", "0", "yes", "on", "truee"])
def test_what_is_no_flag(text: str) -> None:
    with pytest.raises(Rejected):
        Form({"f": text.encode()}).flag("f")


@pytest.mark.parametrize("text", [b"A", b"AAA", b"A===", b"AA*=", b"AA==AA"])
def test_what_is_no_base64(text: bytes) -> None:
    with pytest.raises(Rejected):
        Form({"f": text}).octets("f")


def test_bytes_that_are_no_utf_8_are_read_with_replacements() -> None:
    assert read_pairs(b"a=%ff%C3%A9").text("a") == "\ufffdé"


@pytest.mark.parametrize("missing", ["s", "o"])
def test_binding_wants_strings_and_octets(missing: str) -> None:
    form = Form({"s": b"1", "o": b"QQ=="})
    form.bind(fields("S O:bytes n:int m:short f:bool missing?"))
    del form.texts[missing]
    with pytest.raises(Rejected, match=missing.upper()):
        form.bind(fields("S O:bytes"))


@pytest.mark.parametrize("kind", ["int", "short", "bool"])
def test_binding_wants_the_right_kind(kind: str) -> None:
    with pytest.raises(Rejected, match="S is"):
        Form({"s": b"text"}).bind(fields(f"S:{kind}"))


@pytest.mark.parametrize(("text", "flag"), [(b"1", True), (b"0", False), (b"true", True), (b" FALSE ", False)])
def test_flags_in_soap_are_digits_too(text: bytes, flag: bool) -> None:
    assert Form({"f": text}, soap=True).flag("f") is flag

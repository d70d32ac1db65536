"""What came in: the fields of a query string, of a urlencoded form or of a multipart form; of an envelope, too.

Field names are looked up without regard to case, because the vendor's own samples spell them both ways.
Of several fields of one name the first counts, but to ASP.NET's own web services, where they are the bytes of a chunk,
or one text with commas.
"""

import binascii
import re
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field
from urllib.parse import unquote_to_bytes

from asyncupload.emulator.fields import Field
from asyncupload.emulator.replies import Rejected, Wordless

_OCTET = re.compile(rb"\s*[+-]?[0-9]+\s*")
_LARGEST_OCTET = 255
_MARKUP = re.compile(r"<[a-z!/?]|&#", re.IGNORECASE)
_INT16 = 1 << 15
_INT32 = 1 << 31
_INT64 = 1 << 63
# The three characters of base64 that a form escapes. None of them can begin or complete another escape, so
# they may be put back first; unquote_to_bytes alone takes six times as long for a chunk.
_BASE64_ESCAPES = (
    (b"%2B", b"+"),
    (b"%2F", b"/"),
    (b"%3D", b"="),
    (b"%2b", b"+"),
    (b"%2f", b"/"),
    (b"%3d", b"="),
)
_NAME = re.compile(r';\s*name="?([^";\r\n]*)"?', re.IGNORECASE)
_FILE_NAME = re.compile(r";\s*filename\*?=", re.IGNORECASE)
_BOUNDARY = re.compile(r'boundary=(?:"([^"]+)"|([^;,\s]+))', re.IGNORECASE)


@dataclass(slots=True)
class Form:
    """The fields of one request. `texts` and `files` have lower-case names; `cookie` is the one named ticket.

    A part of a multipart form is a file if it has a file name, whatever its content type. `soap` says that the
    fields are the elements of an envelope, `classic` that they are bound as by ASP.NET's own web services: `repeated`
    are the second and further values of a name.
    """

    texts: dict[str, bytes] = field(default_factory=dict)
    files: dict[str, memoryview] = field(default_factory=dict)
    cookie: str = ""
    soap: bool = False
    classic: bool = False
    repeated: dict[str, list[bytes]] = field(default_factory=dict)

    def text(self, name: str) -> str:
        """The field as text, empty if it is missing."""
        more = self.repeated.get(name.lower(), ()) if self.classic else ()
        return b",".join((self.texts.get(name.lower(), b""), *more)).decode("utf-8", "replace")

    def number(self, name: str) -> int:
        """0 if missing. Also beyond 32 bits, as an offset into a large file has to be; but not to a classic server."""
        text = self.text(name).strip()
        if not text and name.lower() not in self._bound:
            return 0
        limit = _INT32 if self.classic else _INT64
        if not re.fullmatch(r"[+-]?[0-9]{1,19}", text) or not -limit <= int(text) < limit:
            raise self._unconvertible(name, text, "is not a whole number", "Int32")
        return int(text)

    def flag(self, name: str) -> bool:
        """False if missing. ``1`` and ``0`` are booleans in SOAP only."""
        text = self.text(name).strip()
        text = text if self.classic and self.soap else text.lower()
        yes, no = ({"true", "1"}, {"false", "0"}) if self.soap else ({"true"}, {"false"})
        if text not in yes | no and (text or name.lower() in self._bound):
            raise self._unconvertible(name, text, "is neither true nor false", "Boolean")
        return text in yes

    def octets(self, name: str) -> bytes | memoryview:
        """A file part's bytes as they are, or the bytes that a text field holds in base64; to a classic server one
        decimal number per byte."""
        if self.classic and not self.soap:
            return bytes(map(self._octet, [self.texts.get(name.lower(), b""), *self.repeated.get(name.lower(), ())]))
        raw = self.files.get(name.lower())
        if raw is not None:
            return raw
        written = self.texts.get(name.lower(), b"").translate(None, b" \t\r\n")
        try:
            return binascii.a2b_base64(written, strict_mode=True)
        except binascii.Error as error:
            if self.classic:
                raise Wordless(400) from error
            raise Rejected(400, f"{name} is not base64") from error

    def has(self, name: str) -> bool:
        """Is there anything in the field?"""
        return bool(self.texts.get(name.lower()) or self.files.get(name.lower()))

    def bind(self, fields: Iterable[Field]) -> None:
        """Refuse the request (400) before an operation looks at it, as the framework's model binding does."""
        for one in fields:
            self._require(one)
            if one.kind in {"int", "short"}:
                self.number(one.name)
            if one.kind == "short" and not -_INT16 <= self.number(one.name) < _INT16:
                raise self._unconvertible(one.name, self.text(one.name), "is beyond 16 bits", "Int16")
            if one.kind == "bool":
                self.flag(one.name)

    def _require(self, one: Field) -> None:
        if not self.classic:
            if one.required and not self.has(one.name):
                raise Rejected(400, f"{one.name} is required")
        elif one.name.lower() not in self.texts:
            if one.kind == "bytes":
                raise Rejected(500, "Object reference not set to an instance of an object.")
            if not self.soap:
                raise Rejected(400, f"Missing parameter: {one.name}.")

    @property
    def _bound(self) -> Collection[str]:
        """The fields that are converted even if there is nothing in them."""
        return self.texts if self.classic else ()

    def _unconvertible(self, name: str, text: str, why: str, kind: str) -> Rejected:
        if self.classic and self.soap:
            return Rejected(400, f"{_UNREADABLE} ---> Input string was not in a correct format.")
        return Rejected(400, f"Cannot convert {text} to System.{kind}." if self.classic else f"{name} {why}")

    def _octet(self, written: bytes) -> int:
        if not _OCTET.fullmatch(written) or not 0 <= int(written) <= _LARGEST_OCTET:
            raise Rejected(400, f"Cannot convert {written.decode('utf-8', 'replace')} to System.Byte.")
        return int(written)


_UNREADABLE = "Server was unable to read request. ---> There is an error in XML document (1, 1)."


def read_form(
    content_type: str, body: bytes | bytearray, cookie: str = "", *, classic: bool = False, validated: bool = False
) -> Form:
    """The fields of a POST body. Rejected: 415 for a content type that is no form, 400 for broken multipart.

    The files of a multipart form are views of `body`, not copies. A `classic` server reads none.
    One that has forms `validated` refuses what looks like markup in any field.
    """
    kind = content_type.partition(";")[0].strip().lower()
    if not body or kind == "application/x-www-form-urlencoded":
        return read_pairs(bytes(body), cookie, classic=classic, validated="Form" if validated else "")
    if classic:
        raise Rejected(400, f"Request format is invalid: {content_type}.")
    if kind != "multipart/form-data":
        raise Rejected(415, f"no form can be read from {kind or 'a body without a content type'}")
    match = _BOUNDARY.search(content_type)
    if match is None:
        raise Rejected(400, "the multipart form has no boundary")
    return _read_parts(body, (match[1] or match[2]).encode(), cookie)


def read_pairs(pairs: bytes, cookie: str = "", *, classic: bool = False, validated: str = "") -> Form:
    """The fields of a query string or of a urlencoded body, which is what `validated` says if they are to be."""
    form = Form(cookie=cookie, classic=classic)
    for pair in pairs.split(b"&"):
        name, _, value = pair.partition(b"=")
        key = _plain(name).decode("utf-8", "replace").lower()
        if key not in form.texts:
            form.texts[key] = _plain(value)
        else:
            form.repeated.setdefault(key, []).append(_plain(value))
        if validated:
            _refuse_markup(_plain(name).decode("utf-8", "replace"), form.text(key), validated)
    return form


def _refuse_markup(name: str, text: str, where: str) -> None:
    """With some characters of what is suspected, be it a password."""
    if found := _MARKUP.search(text):
        quoted = text[max(0, found.start() - 10) : found.start() + 20]
        raise Rejected(
            400,
            f'A potentially dangerous Request.{where} value was detected from the client ({name}="...{quoted}...").',
        )


def _plain(quoted: bytes) -> bytes:
    plain = quoted.replace(b"+", b" ")
    if b"%" not in plain:
        return plain
    for escape, character in _BASE64_ESCAPES:
        plain = plain.replace(escape, character)
        if b"%" not in plain:
            return plain
    return unquote_to_bytes(plain)


def _read_parts(body: bytes | bytearray, boundary: bytes, cookie: str) -> Form:
    form = Form(cookie=cookie)
    view = memoryview(body)
    for start, end in _part_bounds(body, boundary):
        head_end = body.find(b"\r\n\r\n", start, end)
        if head_end < 0:
            raise Rejected(400, "a part of the multipart form has no end to its headers")
        headers = bytes(view[start:head_end]).decode("utf-8", "replace")
        name = _NAME.search(headers)
        if name is None:
            raise Rejected(400, "a part of the multipart form has no name")
        content = view[head_end + 4 : end]
        if _FILE_NAME.search(headers):
            form.files.setdefault(name[1].lower(), content)
        else:
            form.texts.setdefault(name[1].lower(), bytes(content))
    return form


def _part_bounds(body: bytes | bytearray, boundary: bytes) -> Iterator[tuple[int, int]]:
    """Where each part (headers included) starts and ends. Searched by hand: a chunk's part is one `find`.

    A boundary counts only if its line ends after it: a chunk may hold the same bytes with more behind them. What stands
    before the first one, or behind the last, is not a part.
    """
    line = b"--" + boundary
    before = 0 if body.startswith(line) and _ends_line(body, len(line)) else _find_line(body, b"\r\n" + line, 0) + 2
    if before == 1:
        raise Rejected(400, "the multipart form does not hold its boundary")
    at = before + len(line)
    while not body.startswith(b"--", at):
        start = at
        at = _find_line(body, b"\r\n" + line, start)
        if at < 0:
            raise Rejected(400, "the multipart form is cut off")
        yield start, at
        at += len(line) + 2


def _find_line(body: bytes | bytearray, line: bytes, start: int) -> int:
    at = body.find(line, start)
    while at >= 0 and not _ends_line(body, at + len(line)):
        at = body.find(line, at + 1)
    return at


def _ends_line(body: bytes | bytearray, at: int) -> bool:
    return body.startswith((b"\r\n", b"--"), at)

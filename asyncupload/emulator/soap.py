"""SOAP 1.1 around an operation: its fields out of an envelope, its document back into one.

ASMX's document/literal wrapped style: the body's first element is named like the operation, its children like the
fields, and the answer's document stands as XML, not as text, in ``<OperationResult>``.
"""

import re
from collections.abc import Sequence
from dataclasses import replace
from io import BytesIO
from typing import Any
from xml.etree.ElementTree import Element, ParseError

from defusedxml.common import DefusedXmlException
from defusedxml.ElementTree import fromstring, iterparse

from asyncupload.emulator.fields import Field
from asyncupload.emulator.forms import Form
from asyncupload.emulator.replies import NAMESPACE, Rejected, Reply, text_element

_SOAP = "http://schemas.xmlsoap.org/soap/envelope/"
_NIL = "{http://www.w3.org/2001/XMLSchema-instance}nil"
_UNREADABLE = (ParseError, DefusedXmlException, ValueError, LookupError)
# A reply's document: what may stand before its root (mark, declaration, document type), and the root's start tag.
_DOCUMENT = re.compile(
    rb"(?P<before>(?:\xef\xbb\xbf)?(?:<\?xml[^>]*\?>)?(?:<!DOCTYPE[^\[>]*(?:\[.*?\])?>)?)"
    rb"(?P<start><\w+[^>]*?)(?P<rest>/?>.*)",
    re.DOTALL,
)


def action(header: str) -> str:
    """The operation that a SOAPAction names, quoted or not; empty if it names none. Rejected for a foreign one."""
    bare = header.strip().strip('"').strip()
    if bare and not bare.startswith(NAMESPACE):
        raise Rejected(400, f"the SOAPAction {bare} is not one of {NAMESPACE}")
    return bare.removeprefix(NAMESPACE)


def first_in_body(body: bytes | bytearray) -> str:
    """The operation that an envelope holds, read no further than there: a chunk may follow. Rejected if malformed."""
    within = False
    try:
        for _, started in iterparse(BytesIO(body), events=("start",), forbid_dtd=True):
            if within:
                return _local(started)
            within = started.tag == f"{{{_SOAP}}}Body"
    except _UNREADABLE:
        raise _malformed() from None
    raise _empty()


def read_envelope(
    body: bytes | bytearray, operation: str, cookie: str = "", exactly: Sequence[Field] | None = None
) -> Form:
    """The fields of a call to the operation. Rejected for an envelope that is malformed, or one of another operation.

    Fields are known by their local names, whatever their case; with `exactly` only if written like one of those.
    """
    called = _called(_parsed(body))
    if called.tag != f"{{{NAMESPACE}}}{operation}":
        raise Rejected(400, f"the envelope holds {called.tag}, the SOAPAction asks for {operation}")
    form = Form(cookie=cookie, soap=True)
    for child in called:
        if len(child):
            raise Rejected(400, f"{_local(child)} holds elements, not text")
        if exactly is None or any(field.name == _local(child) for field in exactly):
            text = "" if child.get(_NIL) in {"true", "1"} else child.text or ""
            form.texts.setdefault(_local(child).lower(), text.encode())
    return form


def enveloped(operation: str, reply: Reply) -> Reply:
    """The reply as a SOAP client gets it; what is neither a document nor a refusal stays the page that it is."""
    if reply.rejected is not None:
        return fault(reply.rejected, "Server" if reply.status == 500 else "Client")
    found = _DOCUMENT.fullmatch(reply.body) if reply.content_type == "text/xml" else None
    if found is None:
        return reply
    start = found["start"] if b" xmlns=" in found["start"] else _without_namespace(found["start"])
    inner = f'<{operation}Response xmlns="{NAMESPACE}"><{operation}Result>'.encode()
    outer = f"</{operation}Result></{operation}Response>".encode()
    return replace(reply, body=found["before"] + _envelope(inner + start + found["rest"] + outer))


def no_such_action(name: str) -> Reply:
    """As ASP.NET says that it has no operation of that name."""
    return fault(f"Server did not recognize the value of HTTP Header SOAPAction: {NAMESPACE}{name}.")


def fault(text: str, side: str = "Client") -> Reply:
    """A SOAP fault: of the request's making (``Client``), or of the server's (``Server``)."""
    inside = text_element("faultcode", f"soap:{side}") + text_element("faultstring", text)
    body = b'<?xml version="1.0" encoding="utf-8"?>' + _envelope(f"<soap:Fault>{inside}</soap:Fault>".encode())
    return Reply(500, "text/xml", body)


def _without_namespace(start: bytes) -> bytes:
    """The vendor's documents have no namespace, and must not inherit the one around them."""
    return re.sub(rb"^<\w+", lambda name: name[0] + b' xmlns=""', start)


def _envelope(inside: bytes) -> bytes:
    opening = f'<soap:Envelope xmlns:soap="{_SOAP}"><soap:Body>'.encode()
    return opening + inside + b"</soap:Body></soap:Envelope>"


def _parsed(body: bytes | bytearray) -> "Element[Any]":
    try:
        return fromstring(bytes(body), forbid_dtd=True)
    except _UNREADABLE:
        raise _malformed() from None


def _called(envelope: "Element[Any]") -> "Element[Any]":
    body = envelope.find(f"{{{_SOAP}}}Body") if envelope.tag == f"{{{_SOAP}}}Envelope" else None
    if body is None or len(body) == 0:
        raise _empty()
    return body[0]


def _empty() -> Rejected:
    return Rejected(400, "this is not a SOAP 1.1 envelope with something in its body")


def _malformed() -> Rejected:
    return Rejected(400, "the envelope is not well-formed XML without a document type")


def _local(element: "Element[Any]") -> str:
    return str(element.tag).rpartition("}")[2]

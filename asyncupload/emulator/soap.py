"""SOAP around an operation: its fields out of an envelope, its document back into one.

ASMX's document/literal wrapped style: the body's first element is named like the operation, its children like the
fields, and the answer's document stands as XML, not as text, in ``<OperationResult>``.
"""

import html
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from http import HTTPStatus
from io import BytesIO
from typing import Any
from xml.etree.ElementTree import Element, ParseError

from defusedxml.common import DefusedXmlException
from defusedxml.ElementTree import fromstring, iterparse

from asyncupload.emulator.fields import Field
from asyncupload.emulator.forms import Form
from asyncupload.emulator.replies import NAMESPACE, Rejected, Reply, Wordless, element, text_element

_NIL = "{http://www.w3.org/2001/XMLSchema-instance}nil"
_UNREADABLE = (ParseError, DefusedXmlException, ValueError, LookupError)
# A reply's document: what may stand before its root (mark, declaration, document type), and the root's start tag.
_DOCUMENT = re.compile(
    rb"(?P<before>(?:\xef\xbb\xbf)?(?:<\?xml[^>]*\?>)?(?:<!DOCTYPE[^\[>]*(?:\[.*?\])?>)?)"
    rb"(?P<start><\w+[^>]*?)(?P<rest>/?>.*)",
    re.DOTALL,
)


@dataclass(frozen=True, slots=True)
class Version:
    """Of SOAP. `client` and `server` are what it calls the two sides that may be at fault."""

    name: str
    namespace: str
    content_type: str
    client: str
    server: str


SOAP_11 = Version("1.1", "http://schemas.xmlsoap.org/soap/envelope/", "text/xml", "Client", "Server")
SOAP_12 = Version("1.2", "http://www.w3.org/2003/05/soap-envelope", "application/soap+xml", "Sender", "Receiver")

_ACTION = re.compile(r';\s*action="?([^";]*)"?', re.IGNORECASE)


def action(header: str, content_type: str = "") -> str:
    """The operation that a SOAPAction names, quoted or not, or in SOAP 1.2 the content type; empty if none is named.
    Rejected for a foreign one."""
    found = _ACTION.search(content_type)
    bare = (found[1] if found else header).strip().strip('"').strip()
    if bare and not bare.startswith(NAMESPACE):
        raise Rejected(400, unrecognized(bare))
    return bare.removeprefix(NAMESPACE)


def first_in_body(body: bytes | bytearray, version: Version = SOAP_11) -> str:
    """The operation that an envelope holds, read no further than there: a chunk may follow. Rejected if malformed."""
    within = False
    try:
        for _, started in iterparse(BytesIO(body), events=("start",), forbid_dtd=True):
            if within:
                return _local(started)
            within = started.tag == f"{{{version.namespace}}}Body"
    except _UNREADABLE:
        raise _malformed() from None
    raise _empty(version)


def read_envelope(
    body: bytes | bytearray,
    operation: str,
    cookie: str = "",
    exactly: Sequence[Field] | None = None,
    *,
    version: Version = SOAP_11,
    classic: bool = False,
) -> Form:
    """The fields of a call to the operation. Rejected for an envelope that is malformed, or one of another operation.

    Fields are known by their local names, whatever their case; with `exactly` only if written like one of those.
    """
    called = _called(_parsed(body, classic=classic), version)
    if classic and called.tag != f"{{{NAMESPACE}}}{operation}":  # its parameters are then not found in there
        return Form(cookie=cookie, soap=True, classic=True)
    if called.tag != f"{{{NAMESPACE}}}{operation}":
        raise Rejected(400, f"the envelope holds {called.tag}, the SOAPAction asks for {operation}")
    form = Form(cookie=cookie, soap=True, classic=classic)
    for child in called:
        if len(child):
            raise Rejected(400, f"{_local(child)} holds elements, not text")
        if exactly is None or any(field.name == _local(child) for field in exactly):
            text = "" if child.get(_NIL) in {"true", "1"} else child.text or ""
            form.texts.setdefault(_local(child).lower(), text.encode())
    return form


def enveloped(operation: str, reply: Reply, version: Version = SOAP_11) -> Reply:
    """The reply as a SOAP client gets it; what is neither a document nor a refusal stays the page that it is."""
    if reply.rejected is not None:
        return fault(reply.rejected, version, senders=reply.senders)
    if not reply.body and reply.status != HTTPStatus.OK:
        return replace(reply, content_type=version.content_type)
    found = _DOCUMENT.fullmatch(reply.body) if reply.content_type == "text/xml" else None
    if found is None:
        return reply
    start = found["start"] if b" xmlns=" in found["start"] else _without_namespace(found["start"])
    inner = f'<{operation}Response xmlns="{NAMESPACE}"><{operation}Result>'.encode()
    outer = f"</{operation}Result></{operation}Response>".encode()
    body = found["before"] + _envelope(inner + start + found["rest"] + outer, version)
    return replace(reply, body=body, content_type=version.content_type)


def unrecognized(action: str, version: Version = SOAP_11) -> str:
    """As ASP.NET says that it has no operation of that action."""
    if version is SOAP_12:
        return f"Unable to handle request. The action '{action}' was not recognized."
    return f"Server did not recognize the value of HTTP Header SOAPAction: {action}."


def no_such_action(name: str, version: Version = SOAP_11) -> Reply:
    """The same of an operation that another server has."""
    return fault(unrecognized(f"{NAMESPACE}{name}", version), version)


def fault(text: str, version: Version = SOAP_11, *, senders: bool = True) -> Reply:
    """A SOAP fault: of the request's making, or of the server's."""
    code = f"soap:{version.client if senders else version.server}"
    if version is SOAP_12:
        reason = element("soap:Text", {"xml:lang": "en"}, html.escape(text))
        inside = element("soap:Code", {}, text_element("soap:Value", code)) + element("soap:Reason", {}, reason)
    else:
        inside = text_element("faultcode", code) + text_element("faultstring", text)
    inside = f"<soap:Fault>{inside}</soap:Fault>"
    body = b'<?xml version="1.0" encoding="utf-8"?>' + _envelope(inside.encode(), version)
    return Reply(500, version.content_type, body)


def _without_namespace(start: bytes) -> bytes:
    """The vendor's documents have no namespace, and must not inherit the one around them."""
    return re.sub(rb"^<\w+", lambda name: name[0] + b' xmlns=""', start)


def _envelope(inside: bytes, version: Version) -> bytes:
    opening = f'<soap:Envelope xmlns:soap="{version.namespace}"><soap:Body>'.encode()
    return opening + inside + b"</soap:Body></soap:Envelope>"


def _parsed(body: bytes | bytearray, *, classic: bool) -> "Element[Any]":
    try:
        return fromstring(bytes(body), forbid_dtd=True)
    except _UNREADABLE:
        raise (Wordless(400) if classic else _malformed()) from None


def _called(envelope: "Element[Any]", version: Version) -> "Element[Any]":
    body = envelope.find(f"{{{version.namespace}}}Body")
    if envelope.tag != f"{{{version.namespace}}}Envelope" or body is None or len(body) == 0:
        raise _empty(version)
    return body[0]


def _empty(version: Version) -> Rejected:
    return Rejected(400, f"this is not a SOAP {version.name} envelope with something in its body")


def _malformed() -> Rejected:
    return Rejected(400, "the envelope is not well-formed XML without a document type")


def _local(element: "Element[Any]") -> str:
    return str(element.tag).rpartition("}")[2]

"""What goes back: the XML documents of the operations, and the bare HTTP errors that come without one."""

import html
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from http import HTTPStatus
from typing import Literal

from asyncupload.emulator.variants import Behaviour

Root = Literal["root", "response"]

NAMESPACE = "http://tempuri.org/"
"""The service's: of its operations and their fields in SOAP."""
# XML 1.0 has no way to write these, not even as a character reference.
_UNWRITABLE = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")
# A reader turns a bare line break or tab within an attribute into a blank.
_SPACES = str.maketrans({"\t": "&#9;", "\n": "&#10;", "\r": "&#13;"})


@dataclass(frozen=True, slots=True)
class Answer:
    """One XML document: the attributes of its root, and what stands inside, already written as XML.

    `done` is False for a success in name only, which nothing came of.
    """

    attributes: Mapping[str, str] = field(default_factory=dict)
    inside: str = ""
    done: bool = True


class Refusal(Exception):
    """The operation says no: a document with ``success="false"``. `inside` is XML already."""

    def __init__(self, code: int | None, text: str, inside: str = "", **attributes: str) -> None:
        super().__init__(text)
        self.code = code
        self.text = text
        self.inside = inside
        self.attributes = attributes


class Rejected(Exception):
    """The request never reaches an operation's own answer: an HTTP error without an XML document."""

    def __init__(self, status: int, detail: str) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail


class Unread(Rejected):
    """The host refused it before it was read, so whatever protocol it speaks: a bare HTTP error to all."""


class Wordless(Unread):
    """As ASP.NET's own web services refuse what is no envelope or no XML: a status, and not a word."""

    def __init__(self, status: int) -> None:
        super().__init__(status, "")


@dataclass(frozen=True, slots=True)
class Reply:
    """What is written to the socket. `done` says whether the operation did its work.

    `rejected` says why the request reached no operation, None if it did or if a fault stands here; `senders` says that
    the request is to blame for it.
    """

    status: int
    content_type: str
    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict)
    done: bool = False
    rejected: str | None = None
    senders: bool = True

    @property
    def all_headers(self) -> dict[str, str]:
        return {"Content-Type": f"{self.content_type}; charset=utf-8", **self.headers}

    @property
    def head(self) -> bytes:
        """The status line and the headers as they stand before the body."""
        length = {"Content-Length": str(len(self.body))}
        lines = [f"{name}: {value}\r\n" for name, value in {**self.all_headers, **length}.items()]
        return f"HTTP/1.1 {self.status} {HTTPStatus(self.status).phrase}\r\n{''.join(lines)}\r\n".encode()


def element(name: str, attributes: Mapping[str, str], inside: str = "") -> str:
    """An XML element. `inside` is XML already; attribute values are plain text."""
    written = "".join(f' {key}="{_written(value).translate(_SPACES)}"' for key, value in attributes.items())
    return f"<{name}{written}>{inside}</{name}>" if inside else f"<{name}{written} />"


def text_element(name: str, text: str) -> str:
    """An element that holds plain text."""
    return f"<{name}>{_written(text)}</{name}>"


def success_reply(answer: Answer, root: Root, how: Behaviour) -> Reply:
    reply = _document({"success": "true", **answer.attributes}, answer.inside, root, how)
    return replace(reply, done=answer.done)


def failure_reply(refusal: Refusal, root: Root, how: Behaviour, *, bare: bool) -> Reply:
    """`bare` is for the operations whose older pages print a failure as nothing but its text."""
    if bare and how.bare_failure:
        return _document({"error": refusal.text}, "", root, how)
    attributes = {"success": "false", "error": refusal.text, **refusal.attributes}
    if refusal.code is not None and not how.no_errorcode:
        attributes["errorcode" if how.lowercase_errorcode else "errorCode"] = str(refusal.code)
    return _document(attributes, refusal.inside, root, how)


def rejected_reply(rejected: Rejected, how: Behaviour) -> Reply:
    """Their body is described nowhere (question 13); a small problem document is what the framework makes."""
    if isinstance(rejected, Wordless):
        return Reply(rejected.status, "text/xml", b"")
    suspected = rejected.detail.startswith(_KINDS["Web.HttpRequestValidationException"])
    if (how.classic_binding or suspected) and not isinstance(rejected, Unread):
        return _exception(rejected)
    if how.empty_errors:
        return _rejection(rejected, rejected.status, "text/plain", "")
    body = json.dumps(
        {"status": rejected.status, "title": "The request was not understood.", "detail": rejected.detail}
    )
    return _rejection(rejected, rejected.status, "application/problem+json", body)


_KINDS = {
    "InvalidOperationException": ("Request", "Missing"),
    "Web.HttpRequestValidationException": ("A potentially",),
    "NullReferenceException": ("Object",),
}


def _exception(rejected: Rejected) -> Reply:
    """As ASP.NET's own web services tell whatever they did not expect: its text and where it was thrown."""
    kind = next((kind for kind, words in _KINDS.items() if rejected.detail.startswith(words)), "ArgumentException")
    text = (
        f"System.{kind}: {rejected.detail}\r\n   at System.Web.Services.Protocols.HttpServerProtocol.ReadParameters()"
        "\r\n   at System.Web.Services.Protocols.WebServiceHandler.CoreProcessRequest()\r\n"
    )
    return _rejection(rejected, 500, "text/plain", text)


def _rejection(rejected: Rejected, status: int, kind: str, text: str) -> Reply:
    senders = rejected.status != HTTPStatus.INTERNAL_SERVER_ERROR
    return Reply(status, kind, text.encode(), rejected=rejected.detail, senders=senders)


def _document(attributes: Mapping[str, str], inside: str, root: Root, how: Behaviour) -> Reply:
    written = dict(attributes)
    if how.capital_booleans:
        written = {name: {"true": "True", "false": "False"}.get(value, value) for name, value in written.items()}
    if how.namespaced_roots:
        written["xmlns"] = NAMESPACE
    text = f'<?xml version="1.0" encoding="utf-8"?>{element(_root_name(root, how), written, inside)}'
    return Reply(200, "text/xml", text.encode())


def _root_name(root: Root, how: Behaviour) -> str:
    name = {"root": "response", "response": "root"}[root] if how.swapped_roots else root
    return name.capitalize() if how.capital_roots else name


def _written(text: str) -> str:
    return html.escape(_UNWRITABLE.sub("\ufffd", text))

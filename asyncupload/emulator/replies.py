"""What goes back: the XML documents of the operations, and the bare HTTP errors that come without one."""

import html
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from asyncupload.emulator.variants import Behaviour

Root = Literal["root", "response"]

# XML 1.0 has no way to write these, not even as a character reference.
_UNWRITABLE = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")
# A reader turns a bare line break or tab within an attribute into a blank.
_SPACES = str.maketrans({"\t": "&#9;", "\n": "&#10;", "\r": "&#13;"})


@dataclass(frozen=True, slots=True)
class Answer:
    """One XML document: the attributes of its root, and what stands inside, already written as XML."""

    attributes: Mapping[str, str] = field(default_factory=dict)
    inside: str = ""


class Refusal(Exception):
    """The operation says no: a document with ``success="false"``."""

    def __init__(self, code: int | None, text: str, **attributes: str) -> None:
        super().__init__(text)
        self.code = code
        self.text = text
        self.attributes = attributes


class Rejected(Exception):
    """The request never reaches an operation's own answer: an HTTP error without an XML document."""

    def __init__(self, status: int, detail: str) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail


@dataclass(frozen=True, slots=True)
class Reply:
    """What is written to the socket."""

    status: int
    content_type: str
    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict)


def element(name: str, attributes: Mapping[str, str], inside: str = "") -> str:
    """An XML element. `inside` is XML already; attribute values are plain text."""
    written = "".join(f' {key}="{_written(value).translate(_SPACES)}"' for key, value in attributes.items())
    return f"<{name}{written}>{inside}</{name}>" if inside else f"<{name}{written} />"


def text_element(name: str, text: str) -> str:
    """An element that holds plain text."""
    return f"<{name}>{_written(text)}</{name}>"


def success_reply(answer: Answer, root: Root, how: Behaviour) -> Reply:
    return _document({"success": "true", **answer.attributes}, answer.inside, root, how)


def failure_reply(refusal: Refusal, root: Root, how: Behaviour, *, bare: bool) -> Reply:
    """`bare` is for the operations whose older pages print a failure as nothing but its text."""
    if bare and how.bare_failure:
        return _document({"error": refusal.text}, "", root, how)
    attributes = {"success": "false", "error": refusal.text, **refusal.attributes}
    if refusal.code is not None and not how.no_errorcode:
        attributes["errorcode" if how.lowercase_errorcode else "errorCode"] = str(refusal.code)
    return _document(attributes, "", root, how)


def rejected_reply(rejected: Rejected) -> Reply:
    """Their body is described nowhere (question 13); a small problem document is what the framework makes."""
    body = json.dumps(
        {"status": rejected.status, "title": "The request was not understood.", "detail": rejected.detail}
    )
    return Reply(rejected.status, "application/problem+json", body.encode())


def _document(attributes: Mapping[str, str], inside: str, root: Root, how: Behaviour) -> Reply:
    swapped = {"root": "response", "response": "root"}[root]
    name = swapped if how.swapped_roots else root
    text = f'<?xml version="1.0" encoding="utf-8"?>{element(name, attributes, inside)}'
    return Reply(200, "text/xml", text.encode())


def _written(text: str) -> str:
    return html.escape(_UNWRITABLE.sub("\ufffd", text))

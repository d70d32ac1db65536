"""What comes back: XML read as the protocol's envelope, and the error for every answer that is not a success. No I/O.

Sources disagree on root names, on the case of attributes and on the form of refusals; the reader takes every variant.
"""

import re
from collections.abc import Callable
from typing import NamedTuple
from xml.etree.ElementTree import Element, ParseError
from xml.parsers.expat import ErrorString

from defusedxml.common import DefusedXmlException
from defusedxml.ElementTree import fromstring

from . import _checksum
from ._repair import decoded, repaired
from ._statuses import passes, remedy
from .errors import (
    AccessDenied,
    AlreadyExists,
    ChunkRefused,
    ForeignReply,
    HandlerLost,
    LoginRefused,
    NotFound,
    Redirected,
    ServerError,
    TicketRefused,
)

EXCERPT = 2048
"""Characters of a foreign answer that stay readable on its error."""


LONGEST_TEXT = 500
"""Characters of a server's own error text that are kept."""


class Answer(NamedTuple):
    """An HTTP answer as it came off the line."""

    status: int
    body: bytes
    location: str = ""
    retry_after: float | None = None
    charset: str = ""
    """What its header says of it."""
    challenges: tuple[str, ...] = ()
    """How the web server, or the proxy, wants a user to show who it is: ``Basic``, ``NTLM``, ``Negotiate``."""

    def __repr__(self) -> str:
        """Without the body: it may echo a password, and tracebacks may show local variables."""
        return f"<Answer {self.status}, {len(self.body)} bytes>"


class Reply:
    """An answer in the protocol's words: one element, read without regard to its name, its namespace or the case of
    attributes.

    The root is called ``root``, ``response`` or ``Response`` by different operations, and the same attribute
    ``errorCode`` or ``errorcode``, ``DocumentId`` or ``DocumentID``.
    """

    def __init__(self, element: Element) -> None:
        self._element = element
        self._attributes = {_local(name).lower(): value for name, value in element.attrib.items()}

    def get(self, name: str, default: str = "") -> str:
        """An attribute, stripped; ``default`` where it is missing."""
        return self._attributes.get(name.lower(), default).strip()

    def has(self, *names: str) -> bool:
        """Whether any of the attributes is there."""
        return any(name.lower() in self._attributes for name in names)

    def flag(self, name: str) -> bool:
        """Whether an attribute says ``true``, in any case."""
        return self.get(name).lower() == "true"

    def number(self, name: str) -> int | None:
        """A whole number, or None where it is missing or is none."""
        return whole_number(self.get(name))

    def crc(self, name: str) -> int | None:
        """A checksum as a number; None where it is missing or empty.

        Raises:
            ValueError: Something else stands there.
        """
        text = self.get(name)
        return _checksum.from_text(text) if text else None

    def children(self, name: str) -> "list[Reply]":
        """All elements below, however deep, with that local name."""
        return [
            Reply(e) for e in self._element.iter() if e is not self._element and _local(e.tag).lower() == name.lower()
        ]

    def child(self, name: str) -> "Reply | None":
        """The first of them."""
        return next(iter(self.children(name)), None)

    @property
    def text(self) -> str:
        """The text inside the element, stripped."""
        return (self._element.text or "").strip()


def read(operation: str, answer: Answer, hide: Callable[[str], str], *, partial: bool = False) -> Reply:
    """The envelope of a success.

    Args:
        operation: What was asked.
        answer: What came back.
        hide: Strikes the request's secrets out of a text: pages and messages may echo them.
        partial: Whether a refusal that carries a log is one to be read too, since it tells what was done.

    Raises:
        ServerError: The server refused.
        ForeignReply: The answer is not the protocol's.
    """
    if answer.status != 200:
        raise _fault(operation, answer, hide) or _foreign_status(operation, answer, hide)
    root = _parsed(answer)
    if isinstance(root, str):
        raise foreign(operation, answer, hide, f"is not the XML it should be{root}")
    reply = Reply(_inside(root))
    if not reply.has("success", "tryagain", "error", "errorCode"):
        raise foreign(operation, answer, hide, "is XML, but not the protocol's")
    # Before `success`: servers disagree on what stands there beside it, and to take it for appended would lose the
    # chunk.
    if reply.flag("tryagain"):
        raise ChunkRefused(
            f"{operation}: the server found another checksum than was sent, and did not append the chunk",
            operation=operation,
            text=hide(reply.get("error")),
        )
    if not reply.flag("success") and not (partial and reply.child("log")):
        raise _refusal(operation, reply, hide)
    return reply


_NO_XML = (ParseError, DefusedXmlException, ValueError, LookupError)


def _parsed(answer: Answer) -> Element | str:
    """The root; or what is wrong, where it is known. The parser's error stays here: rich cannot render it, a
    ``SyntaxError`` without a text."""
    root = _read_as_it_is(answer.body)
    # What was truncated stays so, and what defines entities of its own is nobody's answer.
    if isinstance(root, Element) or b"<" not in answer.body[:64] or b"<!DOCTYPE" in answer.body:
        return root
    again = _read_as_it_is(repaired(answer.body, answer.charset))
    return again if isinstance(again, Element) else root


def _read_as_it_is(text: bytes | str) -> Element | str:
    try:
        return fromstring(text, forbid_dtd=True)
    except _NO_XML as error:
        # The parser's frames hold their own error: with it the request, a chunk perhaps, would wait for the collector.
        error.__traceback__ = None
        if not isinstance(error, ParseError):
            return ""
        line, column = error.position
        return f" (line {line}, column {column + 1}: {ErrorString(error.code)})"


def _inside(root: Element) -> Element:
    """The protocol's element, taken out of SOAP's envelope if it is in one: Envelope, Body, …Response, …Result."""
    if _local(root.tag) == "Envelope":
        found = root.find("{*}Body/*/*/*")
        return root if found is None else found
    return root


def _fault(operation: str, answer: Answer, hide: Callable[[str], str]) -> ServerError | None:
    """SOAP's word for a request that could not be read (``Client``), or that something went wrong with (``Server``)."""
    if answer.status != 500 or b"faultcode" not in answer.body:
        return None
    root = _parsed(answer)
    if isinstance(root, str):
        return None
    fault = Reply(root)
    code, text = (child.text if (child := fault.child(name)) else "" for name in ("faultcode", "faultstring"))
    text = _shown(hide(" ".join(text.split())))
    # Only the sender's mistake is certain to have done nothing.
    known = text if code.endswith("Client") else f"SystemError: {text}"
    return ServerError(f"{operation}: {text or 'a SOAP fault without a reason'}", operation=operation, text=known)


def read_description(answer: Answer, hide: Callable[[str], str] = str) -> dict[str, tuple[str, ...]]:
    """What a WSDL calls the fields of each operation, in order; the operations in lower case. Empty for what is none:
    a server may keep it to itself, by a 404 or, as ASMX does, by a 500.

    To be read in a thread: a real server's has some hundred operations.

    Raises:
        ForeignReply: It is not to be had at the moment.
    """
    if answer.status != 500 and passes(answer.status):
        raise _foreign_status("WSDL", answer, hide)
    if answer.status != 200:
        return {}
    root = _parsed(answer)
    if isinstance(root, str):
        return {}
    return {
        element.get("name", "").lower(): tuple(
            field.get("name", "") for field in element.iterfind("{*}complexType/{*}sequence/{*}element")
        )
        for element in root.iterfind("{*}types/{*}schema/{*}element")
    }


def foreign(operation: str, answer: Answer, hide: Callable[[str], str], what: str) -> ForeignReply:
    """The error for an answer with status 200 that does not speak the protocol: what it means for the request is
    unknown."""
    excerpt = _excerpt(answer, hide)
    # What speaks of success is the server's own, damaged as it may be.
    doubt = (
        ""
        if re.search(r"<[^>]*\bsuccess\s*=", excerpt, re.IGNORECASE)
        else "; is this the address of an infoRouter server?"
    )
    return ForeignReply(
        f"{operation}: the answer {what}{_quoted(excerpt)}{doubt}",
        status=answer.status,
        excerpt=excerpt,
        transient=True,
    )


def _foreign_status(operation: str, answer: Answer, hide: Callable[[str], str]) -> ForeignReply:
    status, excerpt = answer.status, _excerpt(answer, hide)
    if 300 <= status < 400:
        return Redirected(
            f"{operation}: the server redirects to {_shown(hide(answer.location)) or 'nowhere'} (HTTP {status}); "
            "redirects are not followed, so give that address as the server's URL if it is the right one",
            status=status,
            excerpt=excerpt,
        )
    return ForeignReply(
        f"{operation}: HTTP {status}{_quoted(excerpt)}{remedy(status, answer.challenges, excerpt)}",
        status=status,
        excerpt=excerpt,
        transient=passes(status),
        retry_after=answer.retry_after,
    )


_UNSEEN = re.compile(r"<(style|script)\b.*?</\1>", re.DOTALL | re.IGNORECASE)


def _excerpt(answer: Answer, hide: Callable[[str], str]) -> str:
    # Hidden before anything is cut: a cut through a secret would leave its first half standing. Without the NULs of
    # UTF-16 that does not say so, between which nobody would find it.
    text = hide(decoded(answer.body, answer.charset).replace("\0", ""))
    if len(text) > EXCERPT:  # a page's style stands before its words, and may be longer than all that is kept
        text = _UNSEEN.sub("", text)
    return text[:EXCERPT]


def _shown(text: str) -> str:
    """A server's words as far as they may go into a message or a terminal."""
    return "".join(c if c.isprintable() else " " for c in text)[:LONGEST_TEXT]


def _quoted(excerpt: str) -> str:
    """The first words of an answer, tags removed, to be put into a message."""
    # A page's title says what its heading says again.
    unseen = r"<(head|style|script)\b.*?</\1>|<[^>]*>"
    words = " ".join(re.sub(unseen, " ", excerpt, flags=re.DOTALL | re.IGNORECASE).split())
    words = _shown(words)
    return f": “{words[:120]}{'…' if len(words) > 120 else ''}”" if words else ""


def _refusal(operation: str, reply: Reply, hide: Callable[[str], str]) -> ServerError:
    """The error for ``success="false"`` (or no ``success`` at all, which some failures lack)."""
    text = _shown(hide(reply.get("error")))
    code = reply.number("errorCode")
    # A refused login says so in full: anything less is no reason never to try this password again.
    # To renew a ticket may fail for the ticket's sake as well: then a login finds out.
    renewal = operation == "RenewTicket" and text.startswith("[900]")
    login = (operation == "AuthenticateUser" or renewal) and reply.has("success")
    kind = LoginRefused if login else _classify(operation, code, text)
    if text.startswith("SystemError") or (code is not None and code >= 5000):
        kind = ServerError
    shown = f"{text or 'refused without a reason'}{f' (code {code})' if code is not None else ''}"
    return kind(f"{operation}: {shown}", operation=operation, code=code, text=text)


_BY_CODE: dict[int, type[ServerError]] = {
    4010: TicketRefused,
    4030: AccessDenied,
    4041: NotFound,
    4090: AlreadyExists,
}
_BY_TEXT: dict[str, type[ServerError]] = {"[921]": AccessDenied, "[2285]": NotFound}
_TICKET_TEXTS = ("[900]", "[901]")


def _classify(operation: str, code: int | None, text: str) -> type[ServerError]:
    # A dead ticket is also reported as 4000 with the old text, by one operation at least.
    if text.startswith(_TICKET_TEXTS):
        return TicketRefused
    kind = _BY_CODE.get(code or 0) or next((k for t, k in _BY_TEXT.items() if text.startswith(t)), None)
    if kind is not None:
        return kind
    # Older servers give no code, and a text in the session's language: what was asked says what it is about.
    if code is None and operation in {"DocumentExists", "FolderExists"}:
        return NotFound
    return HandlerLost if operation == "UploadFileChunk" and code in {None, 4000} else ServerError


def _local(tag: str) -> str:
    return tag.rpartition("}")[2]


def whole_number(text: str) -> int | None:
    """The number that a text stands for, or None if it is not one of up to 19 digits."""
    return int(text) if re.fullmatch(r"\d{1,19}", text, flags=re.ASCII) else None

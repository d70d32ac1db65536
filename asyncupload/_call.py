"""One request: what is asked, how the answer is read, and what it means if that is lost. No I/O."""

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum
from functools import partial
from typing import Any, Generic, TypeVar

from . import _body, _reply
from ._body import Body, Buffer, Encoding, Fields, Names
from ._reply import Answer, Reply
from ._secret import Secret, blot_all, blot_new_tickets

T = TypeVar("T")

GIVE_TICKETS = frozenset({"AuthenticateUser", "RenewTicket"})
"""Operations whose answers hold a ticket that was in no request yet."""


class LostReply(Enum):
    """What to do when a request may have been acted on and its reply was lost."""

    REPEAT = "send it again: a second time does no harm"
    PROVE = "a blind repeat could append the chunk twice: only the checksum of the whole can tell"
    ASK = "a repeat cannot tell either: look at what stands at the destination"


@dataclass(frozen=True, slots=True)
class Call(Generic[T]):
    """One request: what to ask, with what, and how to read the answer."""

    operation: str
    fields: Fields
    read: Callable[[Reply], T]
    lost_reply: LostReply = LostReply.REPEAT
    chunk: Buffer | None = field(default=None, repr=False)
    """Raw bytes for the field ``fileChunk``."""
    partial: bool = False
    """Whether a refusal with a log in it says that some of it was done, and which."""


def encode(call: Call[Any], encoding: Encoding = Encoding.MULTIPART, names: Names | None = None) -> Body:
    """The body of a call, written in that way. One with a chunk in base64 is work for a thread.

    Args:
        call: What is asked.
        encoding: How it travels.
        names: What the server's WSDL calls them; only SOAP needs it.
    """
    if encoding is Encoding.SOAP:
        return _body.soap(call.operation, call.fields, call.chunk, names or {})
    if call.chunk is not None and encoding is Encoding.MULTIPART:
        return _body.multipart(call.fields, call.chunk)
    return _body.form(call.fields, call.chunk)


def hide(call: Call[Any], ours: Callable[[str], str], text: str) -> str:
    """``text`` without the secrets of a request, nor those that its answer may give.

    Args:
        call: The request.
        ours: Strikes out what travels with every request.
        text: What came back, or an error's words.
    """
    secrets = {name: value for name, value in call.fields if isinstance(value, Secret)}
    text = blot_all(secrets.values(), ours(text))
    if secrets:  # ASP.NET quotes some characters of a field in which it suspects markup: by no others can they be known
        text = re.sub(rf"\b({'|'.join(secrets)})=(\"|&quot;|&#34;).*", r"\1=•••", text, flags=re.IGNORECASE)
    if call.operation not in GIVE_TICKETS:
        return text
    # A new ticket is as good as a password, and was in no request yet.
    return blot_new_tickets(text)


def understand(call: Call[T], answer: Answer, ours: Callable[[str], str] = str) -> T:
    """What the server said to ``call``.

    Args:
        call: The request.
        answer: What came back.
        ours: As for :func:`hide`.

    Raises:
        ServerError: The server refused.
        ForeignReply: The answer is not the protocol's.
    """
    blot = partial(hide, call, ours)
    reply = _reply.read(call.operation, answer, blot, partial=call.partial)
    try:
        return call.read(reply)
    except ValueError as error:
        raise _reply.foreign(call.operation, answer, blot, f"says success, but {blot(str(error))}") from error

"""Trouble on demand: which faults there are."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from types import MappingProxyType

from asyncupload.emulator import acts, gateways, pages
from asyncupload.emulator.acts import Act, Rest
from asyncupload.emulator.exchange import Exchange
from asyncupload.emulator.operations import OPERATIONS, uploads


@dataclass(frozen=True, slots=True)
class Fault:
    """`operations` are the operations that it fits, None for all of them.

    `applies` says whether a call that it hits does its work, provided that the operation itself has nothing
    against it. What really became of a call is in its record.
    """

    name: str
    meaning: str
    act: Act
    applies: bool
    operations: frozenset[str] | None = None

    def fits(self, operation: str) -> bool:
        return self.operations is None or operation in self.operations


def composed(faults: Sequence[Fault], exchange: Exchange) -> Rest:
    """The exchange with these faults around it, the first one outermost."""
    rest: Rest = exchange.apply
    for one in reversed(faults):
        rest = partial(one.act, exchange, rest)
    return rest


_NAMES = frozenset(operation.name for operation in OPERATIONS.values())
_CHUNK = frozenset({"UploadFileChunk"})
_FINALIZE = frozenset(operation.name for operation in OPERATIONS.values() if operation.consumes)
_NEEDS_TICKET = _NAMES - {
    "AuthenticateUser",
    "AuthenticateUser1",
    "RenewTicket",
    "ServerInfo",
    "CreateUploadHandler",
}
_GIVES_IDS = (_FINALIZE - {"UploadZipWithHandler"}) | {
    "AuthenticateUser",
    "AuthenticateUser1",
    "RenewTicket",
    "CreateUploadHandler",
    "GetDownloadHandler",
    "GetDownloadHandlerByVersion",
}
_NO, _YES = False, True
# Name, meaning, act, is the call applied, the operations that it fits if not all.
_ALL = (
    # Nothing is applied, and the answer says so.
    Fault(
        "tryagain",
        "the chunk is refused as if its CRC were wrong, and not appended",
        acts.answering(lambda desk, _: uploads.mismatch(desk)),
        _NO,
        _CHUNK,
    ),
    Fault("refuse-400", "HTTP 400 with a problem document", acts.instead(lambda: pages.problem(400)), _NO),
    Fault("refuse-401", "HTTP 401 with an HTML page that asks for Windows logon", acts.instead(pages.logon), _NO),
    Fault("refuse-403", "HTTP 403 with an HTML page", acts.paged(403), _NO),
    Fault("refuse-404", "HTTP 404 with an HTML page", acts.paged(404), _NO),
    Fault("refuse-407", "HTTP 407 with an HTML page of a proxy", acts.instead(pages.proxy_logon), _NO),
    Fault("refuse-408", "HTTP 408 with an HTML page", acts.paged(408), _NO),
    Fault("refuse-413", "HTTP 413 with an HTML page", acts.paged(413), _NO),
    Fault("refuse-415", "HTTP 415 with a problem document", acts.instead(lambda: pages.problem(415)), _NO),
    Fault("refuse-429", "HTTP 429 with Retry-After in seconds", acts.wait(429), _NO),
    Fault("refuse-500", "HTTP 500 with an HTML page; nothing is applied", acts.paged(500), _NO),
    Fault("refuse-502", "HTTP 502 with an HTML page; nothing is applied", acts.paged(502), _NO),
    Fault(
        "refuse-503", "HTTP 503 with an HTML page and Retry-After in seconds; nothing is applied", acts.wait(503), _NO
    ),
    Fault("refuse-503-date", "as refuse-503, with Retry-After as an HTTP date", acts.instead_by(acts.wait_until), _NO),
    Fault("refuse-504", "HTTP 504 with an HTML page; nothing is applied", acts.paged(504), _NO),
    Fault("redirect-302", "HTTP 302 to another host", acts.instead(lambda: pages.redirect(302)), _NO),
    Fault("redirect-307", "HTTP 307 to another host", acts.instead(lambda: pages.redirect(307)), _NO),
    # The connection.
    Fault("drop-headers", "the connection closes after the headers, before the body is read", acts.drop_headers, _NO),
    Fault("drop-body", "the connection closes after about half of the body", acts.drop_body, _NO),
    Fault(
        "drop-before",
        "the request is read whole, then the connection closes; nothing is applied",
        acts.dropping(reset=False, applied=False),
        _NO,
    ),
    Fault(
        "drop-after",
        "the request is applied, then the connection closes without an answer",
        acts.dropping(reset=False, applied=True),
        _YES,
    ),
    Fault("reset-before", "as drop-before, with a reset", acts.dropping(reset=True, applied=False), _NO),
    Fault("reset-after", "as drop-after, with a reset", acts.dropping(reset=True, applied=True), _YES),
    Fault(
        "half-answer",
        "applied; the answer breaks off in mid-body, short of its declared length",
        acts.half_answer,
        _YES,
    ),
    Fault("half-head", "applied; the answer breaks off in mid-header", acts.half_head, _YES),
    Fault("close-idle", "answered, then the connection closes without having said so", acts.close_idle, _YES),
    Fault(
        "close-on-reuse",
        "answered; the next request on the connection finds it closed, and does not count as a call",
        acts.close_on_reuse,
        _YES,
    ),
    Fault("stall", "no answer until the client or the server goes away; nothing is applied", acts.stall, _NO),
    Fault("stall-after", "applied, then no answer until the client or the server goes away", acts.stall_after, _YES),
    Fault("drop-late", "read whole, then the connection closes; applied after a pause", acts.drop_late, _YES),
    Fault("delay", "read whole, then a pause before it is applied, if its client is still there", acts.delay, _YES),
    Fault("delay-after", "applied, then a pause before the answer", acts.delay_after, _YES),
    # What stands before the server, and a server that is away.
    Fault(
        "slow",
        "it takes `slow` seconds, and runs on if its connection goes; a finalize uses its handler up at its end",
        gateways.slow,
        _YES,
    ),
    Fault(
        "gateway-reset", "as slow, but after `gateway` seconds the connection is reset", gateways.giving_up(None), _YES
    ),
    Fault("gateway-502", "as slow, but after `gateway` seconds it is HTTP 502", gateways.giving_up(502), _YES),
    Fault("gateway-503", "as slow, but after `gateway` seconds it is HTTP 503", gateways.giving_up(503), _YES),
    Fault("gateway-504", "as slow, but after `gateway` seconds it is HTTP 504", gateways.giving_up(504), _YES),
    Fault(
        "gateway-again",
        "as slow, but after `gateway` seconds it is sent once more, and refused since its handler is taken",
        gateways.sending_again(4000, "Invalid upload handler."),
        _YES,
        _FINALIZE,
    ),
    Fault(
        "gateway-again-5030",
        "as gateway-again, but the second request fails at what the first is at work on, with 5030",
        gateways.sending_again(5030, "The document could not be written to the warehouse."),
        _YES,
        _FINALIZE,
    ),
    Fault(
        "gateway-again-error",
        "as gateway-again-5030, with SystemError: and no code",
        gateways.sending_again(None, "SystemError:The process cannot access the file."),
        _YES,
        _FINALIZE,
    ),
    Fault("answer-twice", "applied; the answer is written twice, at once", gateways.answer_twice, _YES),
    Fault(
        "answer-twice-late",
        "applied and answered; the answer comes once more `echo` seconds later, if its connection is idle then",
        gateways.answer_twice_late,
        _YES,
    ),
    Fault(
        "recycle",
        "HTTP 502, to this call and for `away` seconds to all; every ticket and every handler is gone",
        gateways.recycle,
        _NO,
    ),
    Fault("away", "every connection closes, and for `away` seconds nobody listens", gateways.leave, _NO),
    # Another answer.
    Fault("html", "HTTP 200 with an HTML login page; nothing is applied", acts.instead(pages.login_page), _NO),
    Fault("html-after", "applied; HTTP 200 with an HTML login page", acts.afterwards(pages.login_page), _YES),
    Fault("fail-404-after", "applied; HTTP 404 with an HTML page", acts.paged_after(404), _YES),
    Fault("fail-500-after", "applied; HTTP 500 with an HTML page", acts.paged_after(500), _YES),
    Fault("fail-502-after", "applied; HTTP 502 with an HTML page", acts.paged_after(502), _YES),
    Fault("fail-504-after", "applied; HTTP 504 with an HTML page", acts.paged_after(504), _YES),
    Fault("fail-504-late", "HTTP 504 with an HTML page; applied after a pause", acts.fail_late, _YES),
    Fault("empty-after", "applied; HTTP 200 with an empty body", acts.afterwards(pages.empty), _YES),
    Fault("huge-after", "applied; HTTP 200 with a document of mostly blanks, huge_size bytes", acts.huge_after, _YES),
    Fault("other-xml-after", "applied; HTTP 200 with XML of another kind", acts.afterwards(pages.other_xml), _YES),
    Fault("truncated-after", "applied; HTTP 200 with the first half of the XML, whole for HTTP", acts.truncated, _YES),
    # The protocol's own state.
    Fault(
        "expire-ticket",
        "the call's ticket is gone before the call",
        acts.first(acts.expire_ticket),
        _NO,
        _NEEDS_TICKET,
    ),
    Fault(
        "forget-sessions",
        "every ticket is gone before the call",
        acts.first(acts.forget_sessions),
        _NO,
        _NEEDS_TICKET,
    ),
    Fault("forget-sessions-after", "applied and answered; every ticket is gone then", acts.forget_sessions_after, _YES),
    Fault(
        "lose-handler",
        "the call's upload handler is gone before the call",
        acts.first(uploads.lose_handler),
        _NO,
        _CHUNK | _FINALIZE,
    ),
    Fault(
        "corrupt-chunk",
        "appended and acknowledged with one byte flipped; filehexcrc tells the truth about it",
        acts.damaged(acts.corrupted),
        _YES,
        _CHUNK,
    ),
    Fault("lose-chunk", "acknowledged, but not appended", acts.lose_chunk, _NO, _CHUNK),
    Fault(
        "double-chunk",
        "appended twice and acknowledged once",
        acts.damaged(lambda chunk: bytes(chunk) * 2),
        _YES,
        _CHUNK,
    ),
    Fault(
        "consume-handler",
        "the finalize is refused with 5030, and the upload handler is used up",
        acts.consuming(5030, "The document could not be written to the warehouse."),
        _NO,
        _FINALIZE,
    ),
    Fault(
        "forbid",
        "the finalize is refused with 4030, and the upload handler is used up",
        acts.consuming(4030, "[921] Insufficient rights"),
        _NO,
        _FINALIZE,
    ),
    Fault(
        "disk-full",
        "the chunk is refused with 5030, and not appended",
        acts.refused(5030, "There is not enough space on the disk."),
        _NO,
        _CHUNK,
    ),
    Fault(
        "no-ids",
        "applied; a success without anything that it should tell",
        acts.afterwards_by(acts.without_ids),
        _YES,
        _GIVES_IDS,
    ),
    Fault("false-success", "a success without ids, and nothing is stored", gateways.claim, _NO, _FINALIZE),
    Fault(
        "system-error",
        "a document with SystemError: and no code; nothing is applied",
        acts.answering(acts.system_error),
        _NO,
    ),
    Fault("system-error-after", "applied; a document with SystemError: and no code", acts.system_error_after, _YES),
    # Documents that are made to be misread; nothing is applied.
    Fault("entities", "a success full of nested entities", acts.misread(pages.entities), _NO),
    Fault("external-entity", "a success with an entity that names a file", acts.misread(pages.external_entity), _NO),
    Fault("bom", "a refusal behind a byte order mark", acts.misread(pages.with_bom), _NO),
    Fault("latin-1", "a refusal in ISO-8859-1, declared in the document only", acts.misread(pages.latin_1), _NO),
    Fault("other-case", "a refusal whose attributes are in upper case", acts.misread(pages.other_case), _NO),
    Fault("no-success", "a document without a success attribute", acts.misread(pages.no_success), _NO),
    Fault(
        "other-case-tryagain",
        "the chunk is refused with TryAgain in another case, beside a success",
        acts.misread(pages.other_case_try_again),
        _NO,
        _CHUNK,
    ),
)

FAULTS: Mapping[str, Fault] = MappingProxyType({fault.name: fault for fault in _ALL})

_LASTING = frozenset(
    {
        *("refuse-400", "refuse-401", "refuse-403", "refuse-404", "refuse-407", "refuse-413", "refuse-415"),
        *("fail-404-after", "forbid", "disk-full", "corrupt-chunk", "lose-chunk", "double-chunk"),
        *(
            "huge-after",
            "entities",
            "external-entity",
            "bom",
            "latin-1",
            "other-case",
            "no-success",
            "other-case-tryagain",
        ),
    }
)
PASSING = frozenset(FAULTS) - _LASTING
"""The faults of a server, or of what is on the way to it, that is in trouble for a moment.

The others are refusals, damage, and answers made to be misread, which another try need not overcome.
"""


def fault(name: str) -> Fault:
    """The fault of that name; ValueError with the known names for a name that is none."""
    if name not in FAULTS:
        raise ValueError(f"no such fault: {name}; known are {', '.join(FAULTS)}")
    return FAULTS[name]

"""Trouble on demand: which faults there are, and which call meets which."""

import random
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import NoReturn, Protocol

from asyncupload.emulator.operations import OPERATIONS
from asyncupload.emulator.replies import Reply


@dataclass(frozen=True, slots=True)
class Call:
    """One call as it arrives. `number` counts this operation's calls, from 1, since the emulator was made."""

    operation: str
    number: int


Script = Callable[[Call], str | None]
"""Says which fault, a name of FAULTS, hits a call; None for none. Asked once per call, in arrival order."""


class Exchange(Protocol):
    """One request whose body has been read whole, seen by the fault that may do with it what it likes."""

    async def apply(self) -> Reply:
        """Do what was asked for, as without a fault."""

    async def stall(self) -> NoReturn:
        """Wait until the client or the emulator goes away."""

    async def drop(self) -> NoReturn:
        """Close the connection without a word."""

    def mismatch(self) -> Reply:
        """The answer to a chunk whose CRC is wrong."""


@dataclass(frozen=True, slots=True)
class Fault:
    """`operations` are the operations that it fits, None for all of them."""

    name: str
    meaning: str
    act: Callable[[Exchange], Awaitable[Reply]]
    operations: frozenset[str] | None = None

    def fits(self, operation: str) -> bool:
        return self.operations is None or operation in self.operations


async def _try_again(exchange: Exchange) -> Reply:
    return exchange.mismatch()


async def _refuse_500(_: Exchange) -> Reply:
    return Reply(500, "text/html", b"<html><body><h1>Server Error</h1></body></html>")


async def _refuse_503(_: Exchange) -> Reply:
    body = b"<html><body><h1>Service Unavailable</h1></body></html>"
    return Reply(503, "text/html", body, {"Retry-After": "1"})


async def _drop_before(exchange: Exchange) -> Reply:
    await exchange.drop()


async def _drop_after(exchange: Exchange) -> Reply:
    await exchange.apply()
    await exchange.drop()


async def _stall(exchange: Exchange) -> Reply:
    await exchange.stall()


async def _login_page(_: Exchange) -> Reply:
    return Reply(200, "text/html", b"<html><body><form><input name='UID'><input name='PWD'></form></body></html>")


_OPERATION_NAMES = frozenset(operation.name for operation in OPERATIONS.values())
_CHUNK = frozenset({"UploadFileChunk"})
_ALL = (
    Fault("tryagain", "the chunk is refused as if its CRC were wrong, and not appended", _try_again, _CHUNK),
    Fault("refuse-500", "HTTP 500 with an HTML page; nothing is applied", _refuse_500),
    Fault("refuse-503", "HTTP 503 with an HTML page and Retry-After: 1; nothing is applied", _refuse_503),
    Fault(
        "drop-before",
        "the request is read whole, then the connection closes; nothing is applied",
        _drop_before,
    ),
    Fault("drop-after", "the request is applied, then the connection closes without an answer", _drop_after),
    Fault("stall", "no answer until the client or the server goes away; nothing is applied", _stall),
    Fault("html", "HTTP 200 with an HTML login page; nothing is applied", _login_page),
)

FAULTS: Mapping[str, Fault] = MappingProxyType({fault.name: fault for fault in _ALL})


def fault(name: str) -> Fault:
    """The fault of that name; ValueError with the known names for a name that is none."""
    if name not in FAULTS:
        raise ValueError(f"no such fault: {name}; known are {', '.join(FAULTS)}")
    return FAULTS[name]


def rates(shares: Mapping[str, float], *, seed: int = 0) -> Script:
    """A script that gives each fault its share (0 to 1, at most 1 in sum) of the calls that it fits.

    What hits a call depends on the seed, the operation and the call's number alone, so that two runs meet the
    same faults even if their calls arrive in another order.
    """
    chosen = [(fault(name), share) for name, share in shares.items()]
    if any(not 0 <= share <= 1 for share in shares.values()) or sum(shares.values()) > 1:
        raise ValueError(f"shares must lie between 0 and 1 and add up to at most 1: {dict(shares)}")

    def script(call: Call) -> str | None:
        drawn = random.Random(f"{seed}/{call.operation}/{call.number}").random()  # noqa: S311 -- a die, not a secret
        for one, share in chosen:
            if one.fits(call.operation):
                drawn -= share
                if drawn < 0:
                    return one.name
        return None

    return script


def at(places: Mapping[tuple[str, int], str]) -> Script:
    """A script of exact places: ``at({("UploadFileChunk", 2): "drop-after"})``.

    ValueError for an operation that does not exist, a fault that does not fit it, or a number below 1.
    """
    hits = dict(places)
    for (operation, number), name in hits.items():
        if operation not in _OPERATION_NAMES:
            raise ValueError(f"no such operation: {operation}")
        if not fault(name).fits(operation):
            raise ValueError(f"{name} does not fit {operation}")
        if number < 1:
            raise ValueError(f"calls are counted from 1: {operation} {number}")
    return lambda call: hits.get((call.operation, call.number))

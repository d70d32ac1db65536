"""This package's word for an error of aiohttp's or the operating system's. A library's own words are passed on only as
far as it is known what they are made of: they may quote the answer, and with it a ticket."""

import re
import ssl
from collections.abc import Callable
from dataclasses import dataclass

import aiohttp

from ._proxy import Proxy
from ._secret import blot_tickets
from ._statuses import remedy
from ._tls import advice, reason_of
from .errors import AsyncUploadError, ConnectFailed, ConnectionLost, ForeignReply, TimedOut, TLSFailed, UsageError

_QUOTING = re.compile(r"\n|\\n|:?\s*\bb['\"]")
_ENCODED = re.compile(r"Can not decode content-encoding: (\w+)(?: \((\w+)\))?", re.IGNORECASE)
_TLS_RECORD = re.compile(rb"[\x14-\x17]\x03[\x00-\x04]")
"""How what a server says in TLS begins: as a rule, that it did not understand."""


@dataclass(frozen=True, slots=True)
class Asked:
    """What was under way.

    Attributes:
        where: The operation and the address.
        seconds: How long it may take.
        encrypted: Whether TLS was to be spoken.
        identified: Whether the client has a certificate.
        proxy: Where requests go first.
        heard: The first bytes that came, as far as they are known.
        answered: Whether this connection has brought an answer before.
    """

    where: str
    seconds: float
    encrypted: bool = False
    identified: bool = False
    proxy: Proxy | None = None
    heard: bytes = b""
    answered: bool = False

    @property
    def way(self) -> str:
        """By which the server was to be reached."""
        return f" through the proxy {self.proxy.url} that {self.proxy.variable} names" if self.proxy else ""


def words(error: Exception, hide: Callable[[str], str] = str) -> str:
    """Its text without what it quotes of the answer: bytes that may be a part of a ticket."""
    match error:
        case aiohttp.ClientConnectorError():
            text = f"{error.host}:{error.port}: {_of_system(error.os_error)}"
        case aiohttp.ServerDisconnectedError() if not isinstance(error.message, str):
            text = "Server disconnected"
        case aiohttp.ClientResponseError():
            text = error.message
        case OSError():
            text = _of_system(error)
        case _:
            text = str(error)
    # Hidden before it is cut: a cut through a secret would leave its first half standing.
    return _QUOTING.split(blot_tickets(hide(text)), maxsplit=1)[0].strip(" :")


def quotes(error: Exception) -> bool:
    """Whether a library's text may have bytes of the answer in it."""
    return bool(re.search(r"\n|\\n|b['\"]", str(error)))


def _of_system(error: BaseException) -> str:
    return reason_of(error) or getattr(error, "strerror", None) or str(error) or type(error).__name__


def translate(error: Exception, asked: Asked, hide: Callable[[str], str] = str) -> AsyncUploadError:
    """This package's error. The most specific kinds come first.

    Args:
        error: The library's.
        asked: What was under way.
        hide: Strikes the request's secrets out of a text.
    """

    def told(what: str) -> str:
        return f"{asked.where}: {what} ({words(error, hide) or type(error).__name__})"

    match error:
        case aiohttp.InvalidURL():
            found: AsyncUploadError = UsageError(told("not a URL that can be asked"))
        case aiohttp.ClientSSLError() | ssl.SSLError() | aiohttp.ServerFingerprintMismatch():
            found = TLSFailed(told(f"the TLS handshake failed; {advice(error, identified=asked.identified)}"))
        case aiohttp.ClientConnectorError() | aiohttp.ConnectionTimeoutError():
            found = ConnectFailed(told(f"cannot connect{asked.way}{_in_handshake(error, asked)}"))
        case aiohttp.ClientHttpProxyError():
            found = _refused_by_proxy(error, told)
        case TimeoutError():
            found = TimedOut(f"{asked.where}: no answer within {asked.seconds:.0f} s")
        case _ if encoding := _ENCODED.search(str(error)):
            found = ConnectionLost(
                f"{asked.where}: the answer says that it is compressed ({(encoding[2] or encoding[1]).lower()}), which "
                "was not asked for, and cannot be read so; something on the way changes answers, or what they say of "
                "themselves"
            )
        case _:
            found = ConnectionLost(told(f"the connection broke{_misunderstood(error, asked)}"))
    return found


def _refused_by_proxy(error: aiohttp.ClientHttpProxyError, told: Callable[[str], str]) -> ForeignReply:
    heads = error.headers.getall("Proxy-Authenticate", []) if error.headers is not None else []
    challenges = [one.split()[0].rstrip(",") for one in heads if one.split()]
    return ForeignReply(
        f"{told(f'the proxy refused: HTTP {error.status}')}{remedy(error.status, challenges)}", status=error.status
    )


def _in_handshake(error: Exception, asked: Asked) -> str:
    """What may be meant by one that hangs up on whoever begins to speak TLS."""
    cause = getattr(error, "os_error", None)
    if not asked.encrypted or not isinstance(cause, ConnectionResetError | ConnectionAbortedError):
        return ""
    return (
        ": the other side broke the TLS handshake off; it may speak no TLS at this port (then the address begins with "
        "http://), or only versions older than TLS 1.2"
    )


def _misunderstood(error: Exception, asked: Asked) -> str:
    """What may be meant by one that hangs up on whoever does not speak TLS."""
    if asked.encrypted or asked.answered:
        return ""
    if _TLS_RECORD.match(asked.heard) or re.search(r"b['\"]\\x1[4-7]\\x03", str(error)):
        return ": what answers at this port speaks TLS; give the address with https://"
    if isinstance(error, aiohttp.ServerDisconnectedError | ConnectionResetError) and not asked.heard:
        return " before the server said anything; if it speaks TLS at this port, the address begins with https://"
    return ""

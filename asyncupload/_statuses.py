"""What a status of HTTP says of trying again. By what it means, not by a list of those that were met."""

import re
from collections.abc import Sequence

LASTING = frozenset({501, 505, 506, 510})
"""The server cannot do what is asked, now or later: a method, a version of HTTP, a variant, an extension."""

PASSING = frozenset({408, 420, 421, 423, 425, 429, 449, 460, 499})
"""Of the 4xx: too slow, too early, too much, locked for now, the wrong one of several servers behind one address; and
what gateways say of a request that they gave up."""


def passes(status: int) -> bool:
    """Whether the same request may get another answer after a while. A class that is none is read as 5xx, as HTTP has
    it."""
    return status in PASSING or (status >= 500 and status not in LASTING)


SLOW = frozenset({504, 522, 524, 598, 599})
"""A gateway did not wait any longer: what it passed on may be worked on yet."""

WINDOWS = frozenset({"negotiate", "ntlm", "kerberos"})
"""Ways of Windows to show who one is. They belong to a connection, and need a library of their own."""

_LIMITED = (
    "; something limits how large a request may be: raise that limit (nginx: client_max_body_size; "
    "IIS: maxAllowedContentLength), or ask for smaller chunks if that is possible"
)
_FILTERED = "; the server suspects markup in a form: let the encoding be auto or soap, or let it not validate requests"

_PLAIN = re.compile(r"plain HTTP|SSL-enabled server|HTTP request to an HTTPS server|requires TLS", re.IGNORECASE)
"""How web servers say that they were asked without TLS at a port for it."""


def remedy(status: int, challenges: Sequence[str] = (), page: str = "") -> str:
    """What the user can do about a status; empty where nothing is known.

    Args:
        status: Of an answer that is not the protocol's.
        challenges: How a user is to show who it is.
        page: What came with it.
    """
    if status == 413:
        return _LIMITED
    if status in {401, 407}:
        return _who_asks(status, challenges)
    if status == 511:
        return "; the network wants somebody to log in first: open any http address in a browser"
    if status == 500 and "potentially dangerous" in page:
        return _FILTERED
    if status < 500 and _PLAIN.search(page):
        return "; this port speaks TLS: give the address with https://"
    return ""


def _who_asks(status: int, challenges: Sequence[str]) -> str:
    windows = [one for one in challenges if one.lower() in WINDOWS]
    others = [one for one in challenges if one.lower() not in WINDOWS]
    basic = any(one.lower() == "basic" for one in others)
    if status == 407:
        if basic or not challenges:
            return "; the proxy wants a user: http_proxy (https_proxy) may be http://user:password@host:port"
        return (
            f"; the proxy wants to know the user by {', '.join(challenges)}, which is not spoken here: run a relay on "
            "this machine that does (cntlm, px), and name that as the proxy"
        )
    if windows and not basic:
        return (
            f"; the web server wants Windows authentication ({', '.join(windows)}) before infoRouter is asked, which "
            "is not spoken here: enable anonymous authentication for infoRouter's srv.asmx in IIS, where tickets say "
            "who it is, or ask through a relay that logs in"
        )
    if basic:
        return "; the web server wants a user of its own (Basic): lend a session that has it (aiohttp.BasicAuth)"
    return f"; the web server wants to know the user by {', '.join(others)}, which is not spoken here" if others else ""

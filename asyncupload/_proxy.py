"""The proxy that the environment names, read as curl reads it, and its password apart from its address: addresses are
shown in errors."""

import base64
import ipaddress
import os
import re
import sys
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, field
from urllib.parse import unquote

from yarl import URL

from ._secret import Hidden, Secret
from .errors import UsageError

_PLATFORM: str = sys.platform

PORT = 1080
"""Where a proxy is whose address has no port, as with curl; one that is spoken to in TLS is at 443."""


@dataclass(frozen=True, slots=True)
class Proxy:
    """Where requests go first.

    Attributes:
        url: Its address, without user and password.
        variable: Who names it.
        headers: What it is told of the user.
        secrets: What must not be seen.
    """

    url: URL
    variable: str = "the environment"
    headers: dict[str, str] = field(default_factory=dict)
    secrets: tuple[Secret, ...] = ()


def proxy_for(url: URL) -> Proxy | None:
    """The environment's proxy for this server, None if it is asked directly.

    By ``http_proxy`` or ``https_proxy``, otherwise ``all_proxy``, each in lower case first and then in upper case, but
    for ``HTTP_PROXY``: where a web server runs this, anybody who sends a header ``Proxy`` sets that. Where there are
    none, the system's own settings hold on Windows and macOS.

    Raises:
        UsageError: The environment's word is no address of a proxy. It is not shown: it may have a password in it.
    """
    if not url.host or _is_exempt(url.host.lower().rstrip("."), url.port or 0):
        return None
    variable = next((name for name in _variables(url.scheme) if os.environ.get(name, "").strip()), "")
    if not variable:
        return _of_system(url)
    # Asked for in the call, since a local variable would be seen in the traceback of the error.
    return _read(Hidden(os.environ[variable].strip()), variable)


def overlooked(url: URL) -> str | None:
    """What to say of a proxy that is named and not used: ``HTTP_PROXY`` in upper case; None where nothing is."""
    named = os.environ.get("HTTP_PROXY", "").strip() and os.name != "nt"  # where case does not matter
    if url.scheme != "http" or not named or any(os.environ.get(name, "").strip() for name in _variables("http")):
        return None
    return "HTTP_PROXY is set, and not read in upper case, as with curl: if that proxy is meant, set http_proxy"


def _variables(scheme: str) -> Iterator[str]:
    for name in (f"{scheme}_proxy", "all_proxy"):
        yield name
        if name != "http_proxy":
            yield name.upper()


def _of_system(url: URL) -> Proxy | None:
    if _PLATFORM not in {"win32", "darwin"} or urllib.request.proxy_bypass(url.host or ""):
        return None
    settings = "the system's settings"
    named = urllib.request.getproxies().get(url.scheme)
    return _read(Hidden(named), settings) if named else None


def _is_exempt(host: str, port: int) -> bool:
    """Whether ``no_proxy`` says that the host is asked directly: names with all that end in them, addresses, networks
    (``10.0.0.0/8``), each also with a port; or an asterisk alone."""
    listed = os.environ.get("no_proxy") or os.environ.get("NO_PROXY") or ""
    if listed.strip() == "*":
        return True
    return any(_covers(each.lower(), host, port) for each in re.split(r"[\s,]+", listed) if each)


def _covers(entry: str, host: str, port: int) -> bool:
    name, of_port = entry, ""
    if found := re.fullmatch(r"(\[[^\]]+\]|[^:]+):(\d+)", entry):
        name, of_port = found.groups()
    if of_port and int(of_port) != port:
        return False
    name = name.strip("[]")
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        name = name.removeprefix("*").strip(".")
        return bool(name) and (host == name or host.endswith(f".{name}"))
    try:
        return address in ipaddress.ip_network(name, strict=False)
    except ValueError:
        return False


_NO_PROXY = (
    "the proxy that the environment names ({}) is not the address of one that can be used; it looks like "
    "http://host:8080, or http://user:password@host:8080"
)
_NO_SOCKS = (
    "the proxy that the environment names ({}) speaks SOCKS, which is not spoken here: name one that speaks HTTP "
    "(http://host:8080), or run one on this machine that passes on to it (privoxy); to ask the server directly, name "
    "it in no_proxy"
)


def _read(text: str, variable: str) -> Proxy:
    """As other programs read it: what has no scheme is a host, or a user, a password and a host."""
    if text.lower().startswith("socks"):
        raise UsageError(_NO_SOCKS.format(variable))
    if (found := _taken_apart(text, variable)) is None:
        raise UsageError(_NO_PROXY.format(variable))
    return found


def _taken_apart(text: str, variable: str) -> Proxy | None:
    try:
        url = URL(text if "://" in text else f"http://{text}")
        port = url.explicit_port or (443 if url.scheme == "https" else PORT)
        bare = URL.build(scheme=url.scheme, host=url.host or "", port=port)
    except ValueError:
        return None
    if url.scheme not in {"http", "https"} or not bare.host:
        return None
    if "@" in url.raw_path + url.raw_query_string + url.raw_fragment:
        return None  # a password with a slash in it: what stands before that is no host
    if url.user is None and url.password is None:
        return Proxy(bare, variable)
    user, password = url.user or "", url.password or ""
    token = base64.b64encode(f"{user}:{password}".encode()).decode()
    written = [token, password or user, unquote(url.raw_password or url.raw_user or "")]
    headers: dict[str, str] = {"Proxy-Authorization": Hidden(f"Basic {token}")}
    return Proxy(bare, variable, headers, tuple(map(Secret, written)))

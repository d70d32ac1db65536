"""The proxy that the environment names, and its password apart from its address: addresses are shown in errors."""

import base64
import urllib.request
from dataclasses import dataclass, field
from urllib.parse import unquote

from yarl import URL

from ._secret import Hidden, Secret
from .errors import UsageError


@dataclass(frozen=True, slots=True)
class Proxy:
    """Where requests go first.

    Attributes:
        url: Its address, without user and password.
        headers: What it is told of the user.
        secrets: What must not be seen.
    """

    url: URL
    headers: dict[str, str] = field(default_factory=dict)
    secrets: tuple[Secret, ...] = ()


def proxy_for(url: URL) -> Proxy | None:
    """The environment's proxy for this server, None if it is asked directly.

    Raises:
        UsageError: The environment's word is no address of a proxy. It is not shown: it may have a password in it.
    """
    if not url.host or urllib.request.proxy_bypass(url.host):
        return None
    if not urllib.request.getproxies().get(url.scheme):
        return None
    # Asked for once more, since a local variable would be seen in the traceback of the error.
    found = _read(urllib.request.getproxies()[url.scheme])
    if found is None:
        raise UsageError(
            f"the proxy that the environment names for {url.scheme} ({url.scheme.upper()}_PROXY) is not the address "
            "of one that can be used; it looks like http://host:8080"
        )
    return found


def _read(text: str) -> Proxy | None:
    """As other programs read it: what has no scheme is a host, or a user, a password and a host."""
    text = text.strip()
    try:
        url = URL(text if "://" in text else f"http://{text}")
        bare = URL.build(scheme=url.scheme, host=url.host or "", port=url.port)
    except ValueError:
        return None
    if url.scheme not in {"http", "https"} or not bare.host or not bare.port:
        return None
    if "@" in url.raw_path + url.raw_query_string + url.raw_fragment:
        return None  # a password with a slash in it: what stands before that is no host
    if url.user is None and url.password is None:
        return Proxy(bare)
    user, password = url.user or "", url.password or ""
    token = base64.b64encode(f"{user}:{password}".encode()).decode()
    written = [token, password or user, unquote(url.raw_password or url.raw_user or "")]
    return Proxy(bare, {"Proxy-Authorization": Hidden(f"Basic {token}")}, tuple(map(Secret, written)))

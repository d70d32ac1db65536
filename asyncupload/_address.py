"""The server's address: what is asked, and whether what goes there can be read on the way."""

import ipaddress
import re

from yarl import URL

from ._secret import Hidden
from .errors import UsageError


def unseen(url: str) -> str:
    """The address as it is given. If it may carry a password, which none should, it does not show itself where local
    variables are shown."""
    return Hidden(url) if "@" in url else url


def endpoint(url: str) -> URL:
    """The address of ``srv.asmx``.

    Args:
        url: The server's, with its virtual directory if it has one; ``/srv.asmx`` at the end may be given or left out.

    Raises:
        UsageError: It is no http(s) URL, or carries what must not be in one. The message shows no password.
    """
    url = unseen(url)
    found = _read(url)
    if isinstance(found, URL):
        return found
    shown = "the server's URL" if isinstance(url, Hidden) else repr(url)
    raise UsageError(f"{shown} {found}")


def _read(url: str) -> URL | str:
    """What is asked, or what is wrong with it. An error of the library's would quote what it takes for a port."""
    try:
        parsed = URL(url.strip())
        host = parsed.host  # read when it is asked for
    except ValueError:
        return "cannot be read as a URL; it looks like https://host/InfoRouter"
    if parsed.scheme not in {"http", "https"} or not host:
        return "is not a server's URL; it looks like https://host/InfoRouter"
    if not _can_be_asked_for(parsed.raw_host or ""):
        return "names a host that cannot be: a part between its dots is empty, or longer than 63 letters"
    if "@" in url.partition("://")[2]:
        return "must not carry a user or a password: URLs end up in logs"
    if parsed.query_string or parsed.fragment:
        return "must be given without a query and without a fragment"
    path = parsed.path.rstrip("/")
    return parsed.with_path(path if path.lower().endswith("/srv.asmx") else f"{path}/srv.asmx")


def _can_be_asked_for(host: str) -> bool:
    """Whether the system's resolver takes a name: it does not say no, but fails, where one is none."""
    try:
        host.encode("idna")
    except UnicodeError:
        return False
    return len(host) <= _LONGEST_HOST and "\0" not in host


_LONGEST_HOST = 254
"""Letters of a name, with a dot at its end."""

_warned_of: set[str] = set()


def first_warning(url: URL) -> str | None:
    """What to say of requests that can be read on the way, once for each host in a process; None if they cannot, or if
    it was said."""
    host = url.host or ""
    if url.scheme != "http" or _is_here(host) or host in _warned_of:
        return None
    _warned_of.add(host)
    return (
        f"{url.origin()} is asked without encryption: passwords, tickets and documents can be read and changed on the "
        "way; give an https address if the server has one"
    )


def _is_here(host: str) -> bool:
    """Whether requests to ``host`` do not leave this machine."""
    if re.fullmatch(r"localhost\.?", host, re.IGNORECASE):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False

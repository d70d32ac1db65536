"""Cookies, by which a load balancer knows the node that has a client's session and its staged bytes."""

import re
from collections.abc import Iterator, Sequence
from http.cookies import Morsel

import aiohttp
from yarl import URL

_PAIR = re.compile(r'[ \t]*([^=;]*?)[ \t]*=[ \t]*("(?:[^"\\]|\\.)*"(?=[ \t]*(?:;|$))|[^;]*?)[ \t]*(?:;|$)')
_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
_FLAGS = frozenset({"secure", "httponly"})
_TOLD = frozenset({"path", "domain", "max-age", "expires"})

MOST = 50
"""Cookies of one answer that are read."""


class Jar(aiohttp.CookieJar):
    """One client's cookies. Values go back as they came, quotes and all: a balancer compares them byte by byte.

    Cookies of a server that is given by its IP address are kept too, and so is a cookie for encrypted lines only where
    the server, asked without encryption, has sent it so itself: it is seen on the way as often as it is given.

    Args:
        server: The only one that is asked.
    """

    def __init__(self, server: URL) -> None:
        super().__init__(unsafe=True, quote_cookie=False, treat_as_secure_origin=server.origin())

    def update_cookies_from_headers(self, headers: Sequence[str], response_url: URL) -> None:
        """Keep what an answer sets."""
        found = [cookie for header in headers[:MOST] for cookie in _read(header, response_url.path)]
        # The library's own reader takes quotes off, or leaves out what it cannot read.
        self.update_cookies([(cookie.key, cookie) for cookie in found], response_url)


def _read(header: str, asked: str) -> Iterator[Morsel[str]]:
    """The cookie of one ``Set-Cookie``, as browsers read it; nothing if it has no name.

    Args:
        header: What the answer says.
        asked: The path that was asked. IIS gives the application's as its administrator wrote it, and takes any case.
    """
    pair = _PAIR.match(header)
    if pair is None or not pair[1] or _CONTROL.search(header):
        return
    cookie: Morsel[str] = Morsel()
    # Not by `set`, which refuses what servers do send.
    cookie.__setstate__({"key": pair[1], "value": pair[2], "coded_value": pair[2]})  # type: ignore[attr-defined]
    for attribute in header[pair.end() :].split(";"):
        name, _, value = (part.strip(" \t") for part in attribute.partition("="))
        if name.lower() in _FLAGS:
            dict.__setitem__(cookie, name.lower(), "yes")
        elif name.lower() in _TOLD:
            dict.__setitem__(cookie, name.lower(), value.strip('"'))
    if asked.lower().startswith(cookie["path"].lower()):
        dict.__setitem__(cookie, "path", asked[: len(cookie["path"])])
    yield cookie

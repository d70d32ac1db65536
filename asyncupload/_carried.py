"""What a session adds to each request: secrets that are not ours, and that a page may echo."""

import base64
from collections.abc import Iterator
from contextlib import suppress

import aiohttp
from yarl import URL

from ._secret import Secret

TELLING = ("Authorization", "Cookie", "Proxy-Authorization", "X-Api-Key", "X-Auth-Token")
"""Headers of a lent session that let whoever reads them in."""

SHORTEST = 8
"""Characters of a cookie that can be a secret: to strike out every ``1`` would leave nothing of a page."""


def carried_by(session: aiohttp.ClientSession, url: URL) -> Iterator[Secret]:
    """What a session adds to each request, and a page may echo."""
    values = [session.headers[name] for name in TELLING if name in session.headers]
    values += [part for value in values for part in value.split() if len(part) < len(value)]
    values += [morsel.value.strip('"') for morsel in session.cookie_jar.filter_cookies(url).values()]
    yield from (Secret(value) for value in values if len(value) >= SHORTEST)
    yield from map(Secret, _passwords_of(session))


def _passwords_of(session: aiohttp.ClientSession) -> Iterator[str]:
    """Those for the server and for the proxy that it was made with, as they are and as they are sent."""
    # The library tells nobody of the proxy.
    proxy = URL(getattr(session, "_default_proxy", None) or "")
    auths = [auth for auth in (session.auth, getattr(session, "_default_proxy_auth", None)) if auth is not None]
    for user, password in [(proxy.user, proxy.password), *((auth.login, auth.password) for auth in auths)]:
        for encoding in ("latin-1", "utf-8"):
            with suppress(UnicodeError):
                yield base64.b64encode(f"{user}:{password}".encode(encoding)).decode()
        yield password or ""

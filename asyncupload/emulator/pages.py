"""Answers that no operation writes: pages of gateways, and documents that are made to be misread."""

import html
import json
import math
import time
from collections.abc import Mapping
from email.utils import formatdate
from http import HTTPStatus

from asyncupload.emulator.replies import Reply, element

ELSEWHERE = "http://elsewhere.invalid/login"
"""Where redirects lead: a host that cannot exist."""

_DECLARED = b'<?xml version="1.0" encoding="utf-8"?>'
_NOT_DONE = {"success": "false", "error": "Le service est indisponible: réessayez.", "errorCode": "5030"}


def page(status: int, headers: Mapping[str, str] | None = None) -> Reply:
    """An HTML page under that status, as a gateway or the framework shows it."""
    title = HTTPStatus(status).phrase
    body = f"<html><head><title>{status} {title}</title></head><body><h1>{title}</h1></body></html>"
    return Reply(status, "text/html", body.encode(), headers or {})


def query_too_long() -> Reply:
    """As IIS filters a request (404.15), to those who are not on its own machine."""
    title = "404 - File or directory not found."
    text = "The resource you are looking for might have been removed, had its name changed, or is unavailable."
    body = f"<html><head><title>{title}</title></head><body><h2>{title}</h2><h3>{text}</h3></body></html>"
    return Reply(404, "text/html", body.encode())


def bad_request(*, too_long: bool) -> Reply:
    """As Windows refuses what never becomes a request."""
    title = "Bad Request - Request Too Long" if too_long else "Bad Request"
    why = "The size of the request headers is too long." if too_long else "The request is badly formed."
    body = (
        f"<html><head><title>Bad Request</title></head><body><h2>{title}</h2><p>HTTP Error 400. {why}</p></body></html>"
    )
    return Reply(400, "text/html", body.encode())


def no_such_operation(name: str) -> Reply:
    """As ASP.NET's older web services say it."""
    text = (
        f"System.InvalidOperationException: {name} Web Service method name is not valid.\r\n   at System.Web.Services"
    )
    return Reply(500, "text/plain", text.encode())


def case_matters(asked: str, name: str) -> Reply:
    """As they say that they tell upper case from lower case."""
    text = (
        f"System.ArgumentException: Invalid method name '{asked}', method names are case sensitive. The method name "
        f"'{name}' with the same name but different casing was found.\r\nParameter name: methodName"
    )
    return Reply(500, "text/plain", text.encode())


def no_forms(name: str) -> Reply:
    """As they say that they are asked in SOAP only: on the page that is shown for all that goes wrong early."""
    text = html.escape(f"Request format is unrecognized for URL unexpectedly ending in '/{name}'.")
    style = "body {font-family:Verdana;} p {font-weight:normal;color:black;} " * 40
    body = (
        f"<html><head><title>{text}</title><style>{style}</style></head>"
        f"<body><h1>Server Error in '/' Application.</h1><h2>{text}</h2></body></html>"
    )
    return Reply(500, "text/html", body.encode())


def problem(status: int) -> Reply:
    """A refusal by the framework before any operation runs."""
    body = json.dumps({"status": status, "title": HTTPStatus(status).phrase})
    return Reply(status, "application/problem+json", body.encode())


def login_page() -> Reply:
    return Reply(200, "text/html", b"<html><body><form><input name='UID'><input name='PWD'></form></body></html>")


def logon() -> Reply:
    return page(401, {"WWW-Authenticate": "Negotiate"})


def proxy_logon() -> Reply:
    return page(407, {"Proxy-Authenticate": 'Basic realm="proxy"'})


def redirect(status: int) -> Reply:
    return page(status, {"Location": ELSEWHERE})


def wait_date(seconds: int) -> str:
    """When that many seconds have passed, as an HTTP date; those have no parts of a second, so not too early."""
    return formatdate(math.ceil(time.time() + seconds), usegmt=True)


def empty() -> Reply:
    return Reply(200, "text/xml", b"")


def huge(size: int) -> Reply:
    """A document of that many bytes, well-formed and without a word in it."""
    opening, closing = _DECLARED + b'<root success="true">', b"</root>"
    return Reply(200, "text/xml", opening + b" " * max(0, size - len(opening) - len(closing)) + closing)


def other_xml() -> Reply:
    """XML, but of something else."""
    return _document(b'<feed xmlns="http://www.w3.org/2005/Atom"><title>Maintenance</title></feed>')


def entities() -> Reply:
    """A success, for a reader that expands entities; nested, so that it has a million characters then."""
    nested = "".join(f'<!ENTITY e{n} "{f"&e{n - 1};" * 10}">' for n in range(1, 7))
    declared = f'<!DOCTYPE root [<!ENTITY e0 "x">{nested}]>'
    return _document(declared.encode() + b'<root success="true" tryagain="false" error="&e6;" />')


def external_entity() -> Reply:
    """A success, for a reader that fetches what a document points at."""
    declared = b'<!DOCTYPE root [<!ENTITY file SYSTEM "file:///etc/hostname">]>'
    return _document(declared + b'<root success="true" tryagain="false">&file;</root>')


def with_bom() -> Reply:
    """An honest refusal behind a byte order mark."""
    return Reply(200, "text/xml", b"\xef\xbb\xbf" + _DECLARED + _written(_NOT_DONE).encode())


def latin_1() -> Reply:
    """An honest refusal that declares and uses ISO-8859-1, under an HTTP header that says utf-8."""
    declared = '<?xml version="1.0" encoding="ISO-8859-1"?>'
    return Reply(200, "text/xml", (declared + _written(_NOT_DONE)).encode("latin-1"))


def other_case() -> Reply:
    """An honest refusal whose attributes are written in another case."""
    return _document(_written({name.upper(): value for name, value in _NOT_DONE.items()}).encode())


def no_success() -> Reply:
    """Says neither yes nor no, which is no."""
    return _document(b'<root tryagain="false" />')


def other_case_try_again() -> Reply:
    """Not appended; beside it stands the success of the vendor's examples."""
    return _document(b'<root success="TRUE" TryAgain="TRUE" />')


def _written(attributes: Mapping[str, str]) -> str:
    return element("root", attributes)


def _document(xml: bytes) -> Reply:
    return Reply(200, "text/xml", _DECLARED + xml)

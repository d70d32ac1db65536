"""The service about itself: its WSDL, and a page that lists its operations."""

import html
from collections.abc import Callable, Mapping

from asyncupload.emulator.fields import Field
from asyncupload.emulator.replies import NAMESPACE, Reply, element

_TYPES = {"string": "string", "int": "int", "short": "short", "bool": "boolean", "bytes": "base64Binary"}
_SPACES = {
    "xmlns:wsdl": "http://schemas.xmlsoap.org/wsdl/",
    "xmlns:soap": "http://schemas.xmlsoap.org/wsdl/soap/",
    "xmlns:soap12": "http://schemas.xmlsoap.org/wsdl/soap12/",
    "xmlns:s": "http://www.w3.org/2001/XMLSchema",
    "xmlns:tns": NAMESPACE,
    "targetNamespace": NAMESPACE,
}
# ASMX describes a result that is an XmlElement as anything at all, text between included.
_ANYTHING = element(
    "s:complexType", {"mixed": "true"}, element("s:sequence", {}, element("s:any", {"processContents": "lax"}))
)

Signatures = Mapping[str, tuple[Field, ...]]
"""Name of an operation to its fields, in the order in which both are told."""


def wsdl(signatures: Signatures, address: str, *, soap_12: bool = False) -> Reply:
    """WSDL 1.1: document/literal wrapped, one port type, a binding for each SOAP, one service at `address`."""
    bindings = ("soap", "soap12") if soap_12 else ("soap",)
    schema = element(
        "s:schema",
        {"elementFormDefault": "qualified", "targetNamespace": NAMESPACE},
        _each(signatures, lambda name: _elements(name, signatures[name])),
    )
    parts = (
        element("wsdl:types", {}, schema),
        _each(signatures, _messages),
        element("wsdl:portType", {"name": "srvSoap"}, _each(signatures, _ported)),
        *(_binding(signatures, soap) for soap in bindings),
        _service(address, bindings),
    )
    text = '<?xml version="1.0" encoding="utf-8"?>' + element("wsdl:definitions", _SPACES, "".join(parts))
    return Reply(200, "text/xml", text.encode())


def page(signatures: Signatures) -> Reply:
    """What a browser is shown: the operations with their fields."""
    rows = (
        f"<li><b>{name}</b> {html.escape(', '.join(f'{field.name} ({field.kind})' for field in fields))}</li>"
        for name, fields in signatures.items()
    )
    body = f"<html><head><title>srv</title></head><body><a href='?WSDL'>WSDL</a><ul>{''.join(rows)}</ul></body></html>"
    return Reply(200, "text/html", body.encode())


def _each(signatures: Signatures, written: Callable[[str], str]) -> str:
    return "".join(map(written, signatures))


def _elements(name: str, fields: tuple[Field, ...]) -> str:
    result = element("s:element", {"name": f"{name}Result", "minOccurs": "0"}, _ANYTHING)
    return _wrapper(name, "".join(map(_parameter, fields))) + _wrapper(f"{name}Response", result)


def _wrapper(name: str, inside: str) -> str:
    return element("s:element", {"name": name}, element("s:complexType", {}, element("s:sequence", {}, inside)))


def _parameter(field: Field) -> str:
    """As ASMX has it: what can be null may be left out, whether or not the operation can do without it."""
    least = "0" if field.kind in {"string", "bytes"} else "1"
    return element("s:element", {"name": field.name, "type": f"s:{_TYPES[field.kind]}", "minOccurs": least})


def _messages(name: str) -> str:
    return _message(f"{name}SoapIn", name) + _message(f"{name}SoapOut", f"{name}Response")


def _message(name: str, holds: str) -> str:
    part = element("wsdl:part", {"name": "parameters", "element": f"tns:{holds}"})
    return element("wsdl:message", {"name": name}, part)


def _ported(name: str) -> str:
    asked = element("wsdl:input", {"message": f"tns:{name}SoapIn"})
    answered = element("wsdl:output", {"message": f"tns:{name}SoapOut"})
    return element("wsdl:operation", {"name": name}, asked + answered)


def _binding(signatures: Signatures, soap: str) -> str:
    transport = {"transport": "http://schemas.xmlsoap.org/soap/http", "style": "document"}
    inside = element(f"{soap}:binding", transport) + _each(signatures, lambda name: _bound(name, soap))
    return element("wsdl:binding", {"name": _port(soap), "type": "tns:srvSoap"}, inside)


def _port(soap: str) -> str:
    return f"srv{soap.capitalize()}"


def _bound(name: str, soap: str) -> str:
    action = element(f"{soap}:operation", {"soapAction": NAMESPACE + name, "style": "document"})
    literal = element(f"{soap}:body", {"use": "literal"})
    ways = element("wsdl:input", {}, literal) + element("wsdl:output", {}, literal)
    return element("wsdl:operation", {"name": name}, action + ways)


def _service(address: str, bindings: tuple[str, ...]) -> str:
    ports = (
        element(
            "wsdl:port",
            {"name": _port(soap), "binding": f"tns:{_port(soap)}"},
            element(f"{soap}:address", {"location": address}),
        )
        for soap in bindings
    )
    return element("wsdl:service", {"name": "srv"}, "".join(ports))

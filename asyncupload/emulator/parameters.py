"""Reads the ``xmlParameters`` field of the finalize operations."""

from dataclasses import dataclass
from xml.etree.ElementTree import ParseError

from defusedxml.common import DefusedXmlException
from defusedxml.ElementTree import fromstring

from asyncupload.emulator.replies import Refusal, Rejected

_YES = frozenset({"ON", "TRUE", "T", "YES", "Y", "1"})
_NO = frozenset({"OFF", "FALSE", "F", "NO", "N", "0"})


@dataclass(frozen=True, slots=True)
class Parameters:
    """What a finalize asks for besides the document itself."""

    version_comment: str = ""
    description: str = ""
    keywords: str = ""
    checkout: bool = False
    publish: bool = True


def read_parameters(xml: str) -> Parameters:
    """Read any of the three published grammars; an empty text asks for nothing. Unknown keys are ignored.

    Refusal (4000) for a boolean that is no English yes or no, Rejected (500) for a text that is not XML.
    """
    given = _pairs(xml) if xml.strip() else {}
    _yes_or_no("SENDEMAILS", given)
    return Parameters(
        version_comment=given.get("VERSIONCOMMENT", ""),
        description=given.get("DESCRIPTION", ""),
        keywords=given.get("KEYWORDS", ""),
        checkout=_yes_or_no("CHECKOUT", given),
        publish=given.get("PUBLISHOPTION", "").upper() not in {"DONTPUBLISH", "DONOTPUBLISH"},
    )


def _pairs(xml: str) -> dict[str, str]:
    """The grammars differ in element names and in the attributes' spelling, so only the shape is read."""
    try:
        root = fromstring(xml)
    except (ParseError, DefusedXmlException, ValueError) as error:
        raise Rejected(500, "xmlParameters is not well-formed XML") from error
    pairs: dict[str, str] = {}
    for item in root:
        attributes = {name.upper(): value for name, value in item.attrib.items()}
        name = attributes.get("NAME", attributes.get("KEY", ""))
        pairs[name.upper()] = attributes.get("VALUE", item.text or "")
    return pairs


def _yes_or_no(key: str, given: dict[str, str]) -> bool:
    word = given.get(key, "").strip().upper()
    if word and word not in _YES | _NO:
        raise Refusal(4000, f"{key} is not a boolean: {given[key]}")
    return word in _YES

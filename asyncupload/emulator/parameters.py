"""Reads the ``xmlParameters`` field of the finalize operations."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from xml.etree.ElementTree import Element, ParseError

from defusedxml.common import DefusedXmlException
from defusedxml.ElementTree import fromstring

from asyncupload.emulator.replies import Refusal, Rejected
from asyncupload.emulator.variants import Behaviour

_YES = frozenset({"ON", "TRUE", "T", "YES", "Y", "1"})
_NO = frozenset({"OFF", "FALSE", "F", "NO", "N", "0"})
_LARGEST_MAJOR, _LARGEST_PART = 2400, 999
_LARGEST_NUMBER = (1 << 31) - 1


@dataclass(frozen=True, slots=True)
class Parameters:
    """What a finalize asks for besides the document itself.

    `version` is a packed number, None for the server's own choice. The dates are seconds since 1970, None if they
    were not sent.
    """

    version_comment: str = ""
    description: str = ""
    keywords: str = ""
    checkout: bool = False
    publish: bool = True
    publish_option: str = ""
    text_content: str = ""
    notify: bool = True
    creation_date: float | None = None
    modification_date: float | None = None
    version: int | None = None


def read_parameters(xml: str, how: Behaviour = Behaviour()) -> Parameters:  # noqa: B008 -- it is frozen
    """Read any of the three published grammars; an empty text asks for nothing. Unknown keys are ignored.

    Refusal (4000) for a boolean that is no English yes or no, a date that is none, and a version number out of range;
    Rejected (500) for a text that is not XML.
    """
    given = dict(_pairs(xml, how)) if xml.strip() else {}
    option = given.get("PUBLISHOPTION", "")
    return Parameters(
        version_comment=given.get("VERSIONCOMMENT", ""),
        description=given.get("DESCRIPTION", ""),
        keywords=given.get("KEYWORDS", ""),
        checkout=_yes_or_no("CHECKOUT", given, missing=False),
        publish=option.upper() not in {"DONTPUBLISH", "DONOTPUBLISH"},
        publish_option=option,
        text_content=given.get("TEXTONLYCONTENT", ""),
        notify=_yes_or_no("SENDEMAILS", given, missing=True),
        creation_date=_date("CREATIONDATE", given),
        modification_date=_date("MODIFICATIONDATE", given),
        version=_version(given),
    )


def packed_version(major: int, minor: int, revision: int) -> int:
    """The three parts as one number. Refusal (4000) for a part out of range.

    The pages allow majors up to 2400 and pack into a 32-bit number, which ends at major 2147: what a server does
    between the two is not known, and refused here.
    """
    number = major * 1_000_000 + minor * 1_000 + revision
    inside = 1 <= major <= _LARGEST_MAJOR and 0 <= minor <= _LARGEST_PART and 0 <= revision <= _LARGEST_PART
    if not inside or number > _LARGEST_NUMBER:
        raise Refusal(4000, "Invalid version number component")
    return number


def _pairs(xml: str, how: Behaviour) -> Iterator[tuple[str, str]]:
    """The grammars differ in element names and in the attributes' spelling, so only the shape is read."""
    try:
        root = fromstring(xml)
    except (ParseError, DefusedXmlException, ValueError):
        raise Rejected(500, "xmlParameters is not well-formed XML") from None
    for item in root:
        attributes = {name.upper(): value for name, value in item.attrib.items()}
        name = attributes.get("NAME", attributes.get("KEY", ""))
        if not _is_read(item, how):
            _require_dropped(how)
        else:
            yield name.upper(), attributes.get("VALUE", item.text or "")


def _require_dropped(how: Behaviour) -> None:
    """Raises where this server fails at what it cannot read."""
    if how.strict_parameters_error:
        raise Refusal(None, "SystemError:Object reference not set to an instance of an object.")
    if how.strict_parameters:
        raise Rejected(500, "xmlParameters has an element that is not known")


def _is_read(item: "Element[Any]", how: Behaviour) -> bool:
    """Is the item of a generation that this server reads? In order of their publication; none chosen is all."""
    if how.no_parameters:
        return False
    second = item.tag.lower() == "item"
    chosen = (how.key_parameters, how.item_parameters, how.name_parameters)
    own = ("key" in item.attrib, second, not second and "Name" in item.attrib)
    return not any(chosen) or any(one and fits for one, fits in zip(chosen, own, strict=True))


def _yes_or_no(key: str, given: Mapping[str, str], *, missing: bool) -> bool:
    word = given.get(key, "").strip().upper()
    if word and word not in _YES | _NO:
        raise Refusal(4000, f"{key} is not a boolean: {given[key]}")
    return word in _YES if word else missing


def _date(key: str, given: Mapping[str, str]) -> float | None:
    """A date without a zone is taken as UTC; which one a server takes is not known."""
    text = given.get(key, "").strip()
    if not text:
        return None
    try:
        date = datetime.fromisoformat(text)
    except ValueError as error:
        raise Refusal(4000, f"{key} is not a date: {text}") from error
    return (date if date.tzinfo else date.replace(tzinfo=UTC)).timestamp()


def _version(given: Mapping[str, str]) -> int | None:
    parts = [given.get(f"MPVERSION{part}", "").strip() for part in ("MAJOR", "MINOR", "REVISION")]
    if not any(parts):
        return None
    if not all(part.isascii() and part.isdecimal() and len(part) < 6 for part in parts if part):
        raise Refusal(4000, "Invalid version number component")
    major, minor, revision = (int(part or "0") for part in parts)
    return packed_version(major, minor, revision)

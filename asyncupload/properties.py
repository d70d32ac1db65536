"""What the server keeps with a document besides its bytes."""

import re
from dataclasses import dataclass
from datetime import date
from typing import Literal, NamedTuple

from .errors import UsageError

Publish = Literal["server", "publish", "dont"]


class VersionNumber(NamedTuple):
    """A version's number as people write it: 2.0.1."""

    major: int
    minor: int = 0
    revision: int = 0

    @property
    def packed(self) -> int:
        """As the server counts: ``major · 1,000,000 + minor · 1,000 + revision``, in 32 bits."""
        return self.major * 1_000_000 + self.minor * 1_000 + self.revision

    def __str__(self) -> str:
        return ".".join(map(str, self))


@dataclass(frozen=True, slots=True, kw_only=True)
class Properties:
    """What a document, or a new version of one, is stored with. What is not given is left to the server.

    Raises:
        UsageError: A value is out of range.
    """

    description: str = ""
    keywords: str = ""
    """Separated by commas."""

    text: str = ""
    """For the server's full-text index, where it cannot read the document itself."""

    created: date | None = None
    """When the document was made; None for the time of the upload."""

    modified: date | None = None

    publish: Publish = "server"
    """Whether the version is the published one: ``publish``, ``dont``, or as the ``server`` is set up."""

    notify: bool | None = None
    """Whether the server sends e-mails to those who subscribed; None is its default, which is to send."""

    version: VersionNumber | None = None
    """The version's number; None for the next one. Major 1 to 2,147 (the pages say 2,400, which does not fit into the
    32 bits of the packed number), minor and revision 0 to 999."""

    def __post_init__(self) -> None:
        for name in ("description", "keywords", "text"):
            require_text(name, getattr(self, name))
        if self.publish not in {"server", "publish", "dont"}:
            raise UsageError(f"publish is {self.publish!r}; it may be server, publish or dont")
        if self.version is not None:
            _require_in_range(VersionNumber(*self.version))

    @property
    def only_version(self) -> bool:
        """Whether at most the version's number is given."""
        return self == Properties(version=self.version)


NO_TEXT = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")
"""What XML, in which texts travel to the server, has no way to write."""


def require_text(name: str, text: str) -> None:
    """Raises UsageError where a text has such a character."""
    if found := NO_TEXT.search(text):
        raise UsageError(f"{name} has the character {found[0]!r}, which cannot be sent; leave it out")


def _require_in_range(version: VersionNumber) -> None:
    fits = version.major >= 1 and 0 <= version.minor <= 999 and 0 <= version.revision <= 999
    if not fits or version.packed >= 2**31:
        raise UsageError(
            f"{version} cannot be a version's number: major is 1 to 2147, minor and revision 0 to 999, "
            "and 2147.483.647 is the last"
        )


NONE_GIVEN = Properties()

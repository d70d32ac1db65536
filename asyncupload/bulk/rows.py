"""The words of the bulk loader: what the plan says about one file."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Metadata:
    """What is told of a document besides its bytes. All of it may be left out."""

    version_comment: str = ""
    description: str = ""
    keywords: str = ""
    created: str = ""
    """ISO, yyyy-mm-dd."""
    modified: str = ""
    """ISO, yyyy-mm-dd."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """What the plan says about one file."""

    source: bytes
    """The path as it will be opened, in the file system's encoding. The key of a row."""
    destination: str
    """``/Library/Folder/Name.ext`` in composed form (NFC)."""
    size: int | None
    """Bytes, None where nobody could look."""
    mtime_ns: int | None
    line: int = 0
    """Of the manifest; 0 for a tree."""
    metadata: Metadata = Metadata()
    problem: str = ""
    """Why it is never sent; empty if it is."""
    fatal: bool = False
    """Whether the problem is a failure, and not a reason to pass the file over."""

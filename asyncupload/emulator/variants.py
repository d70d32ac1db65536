"""Where the server's descriptions disagree, and which reading an emulator follows."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

VARIANTS: Mapping[str, str] = MappingProxyType(
    {
        "mismatch-success": 'a chunk whose CRC is wrong is answered success="true" tryagain="true" (row 1)',
        "no-filehexcrc": "the last chunk's answer does not carry the CRC of the whole file (row 3)",
        "swapped-roots": "what would be a <root> becomes a <response>, and the other way round (row 7)",
        "no-errorcode": "failures carry their text only, as older servers do (row 8)",
        "lowercase-errorcode": "the error code's attribute is spelled errorcode (row 8)",
        "lenient-consume": "a refused finalize leaves the upload handler usable (row 12)",
        "auto-version": "an existing document takes a new version without being checked out first (row 15)",
        "bare-failure": "folder operations fail with an error text and no success attribute (row 25)",
    }
)


@dataclass(frozen=True, slots=True)
class Behaviour:
    """The variants in force; every field is a name of VARIANTS with underscores."""

    mismatch_success: bool = False
    no_filehexcrc: bool = False
    swapped_roots: bool = False
    no_errorcode: bool = False
    lowercase_errorcode: bool = False
    lenient_consume: bool = False
    auto_version: bool = False
    bare_failure: bool = False


def behaviour(names: Iterable[str]) -> Behaviour:
    """The behaviour that these variants ask for; ValueError for a name that is none."""
    chosen = set(names)
    unknown = sorted(chosen - VARIANTS.keys())
    if unknown:
        raise ValueError(f"no such variant: {', '.join(unknown)}; known are {', '.join(VARIANTS)}")
    return Behaviour(**{name.replace("-", "_"): True for name in chosen})

"""What an operation takes: its fields in documented order, as the table, the binding and the WSDL read them."""

from dataclasses import dataclass
from typing import Literal, cast, get_args

Kind = Literal["string", "int", "short", "bool", "bytes"]


@dataclass(frozen=True, slots=True)
class Field:
    """One field. `required` is for strings and bytes: a number or a truth that is missing is 0 or false."""

    name: str
    kind: Kind = "string"
    required: bool = True


def fields(signature: str) -> tuple[Field, ...]:
    """``"Path Description? force:bool"``: names in order, ``?`` for a string that may be empty, kinds after ``:``.

    ValueError for a kind that is none.
    """
    return tuple(map(_field, signature.split()))


def _field(word: str) -> Field:
    name, _, kind = word.partition(":")
    if not kind:
        return Field(name.removesuffix("?"), required=not name.endswith("?"))
    if kind not in get_args(Kind):
        raise ValueError(f"{word}: a field is one of {', '.join(get_args(Kind))}")
    return Field(name, cast("Kind", kind), required=kind == "bytes")

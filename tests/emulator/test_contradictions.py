"""Where the sources contradict each other, row by row: which readings this server can play."""

import inspect
import re

import pytest

from asyncupload.emulator import VARIANTS, Emulator
from asyncupload.emulator.operations import OPERATIONS
from emulator.caller import Caller

ROWS: dict[int, tuple[str, ...] | str] = {
    1: ("mismatch-success",),
    2: "it is about loops of clients; row 1 offers both answers that they misread",
    3: ("no-filehexcrc",),
    4: ("unpadded-crc-text", "padded-crc-text"),
    5: ("get-chunks",),
    6: ("no-multipart", "no-base64"),
    7: ("swapped-roots", "capital-roots", "namespaced-roots"),
    8: ("no-errorcode", "lowercase-errorcode"),
    9: ("old-handler-text",),
    10: "4000 means many things in every source; only its texts differ, and so do they here",
    11: "whether to delete after a finalize is the client's choice; the answer is a success in every source",
    12: ("lenient-consume",),
    13: ("ticket-bound", "unbound"),
    14: ("create-checks-ticket",),
    15: ("auto-version",),
    16: ("checkout-locks",),
    17: ("empty-parameters",),
    18: (
        *("key-parameters", "item-parameters", "name-parameters", "no-parameters", "no-comments", "no-dates"),
        *("strict-parameters", "strict-parameters-error"),
    ),
    19: ("capital-documentid", "bare-document"),
    20: ("sample-names",),
    21: "Emulator(default_chunk_size=) is any of them",
    22: ("major-versions", "own-numbers"),
    23: ("zero-is-latest",),
    24: ("verified-child",),
    25: ("bare-failure",),
    26: ("no-sysadmin",),
    27: "Emulator(document_max_size=) is any of them",
    28: ("dead-ticket-4000",),
    29: ("zip-logs",),
    30: ("capital-booleans",),
}
"""The variants that play a row, or why there is none."""


def test_every_row_is_played_or_has_its_reason() -> None:
    assert list(ROWS) == list(range(1, 31))
    for row, played in ROWS.items():
        told = {name for name, meaning in VARIANTS.items() if f"(row {row})" in meaning}
        assert told == (set() if isinstance(played, str) else set(played)), row


def test_every_variant_tells_where_it_is_from() -> None:
    assert all(
        re.search(r"\((row|question) \d+\)|\(section [a-d]\)|\(real server\)", meaning) for meaning in VARIANTS.values()
    )


def test_a_setting_that_is_named_as_a_reason_exists() -> None:
    settings = inspect.signature(Emulator).parameters
    named = [name for played in ROWS.values() if isinstance(played, str) for name in re.findall(r"(\w+)=\)", played)]
    assert len(named) == 2
    assert settings.keys() >= set(named)


@pytest.mark.anyio
@pytest.mark.parametrize("name", [operation.name for operation in OPERATIONS.values()])
async def test_every_operation_without_bytes_answers_a_get(caller: Caller, name: str) -> None:
    """Row 5: HTTP 415 is for bytes alone."""
    fields = OPERATIONS[name.lower()].fields
    said = await caller.get(name, **{field.name: "1" for field in fields if field.kind == "string"})
    expected = (415, True) if any(field.kind == "bytes" for field in fields) else (200, False)
    assert (said.status, said.root is None) == expected

"""docs/generations.md tells what the servers do."""

import re
from pathlib import Path

from make_generations import page

WRITTEN = (Path(__file__).parent.parent / "docs" / "generations.md").read_text("utf-8")


def row(operation: str) -> list[str]:
    (line,) = re.findall(rf"^\| `{operation}` \| (.*) \|$", WRITTEN, flags=re.MULTILINE)
    return [cell.strip() for cell in line.split(" | ")]


def test_the_page_is_what_would_be_written_now() -> None:
    assert page() == WRITTEN, "docs/generations.md is stale: make docs"


def test_of_the_older_generation_only_envelopes_take_chunks() -> None:
    assert row("UploadFileChunk") == ["yes"] * 3 + ["HTTP 500", "HTTP 500", "yes"]


def test_what_the_older_generation_lacks_is_told() -> None:
    for operation in ("GetGeneralAppSettings", "UploadZipWithHandler"):
        assert row(operation) == ["yes"] * 3 + ["no operation"] * 3

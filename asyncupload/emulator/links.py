"""A second name for bytes that never change."""

import shutil
from pathlib import Path


def link(source: Path, target: Path) -> None:
    """Put the bytes at `target` too, over what a crash may have left there; as a copy where there are no links."""
    target.unlink(missing_ok=True)
    try:
        target.hardlink_to(source)
    except OSError:  # a file system without links, or too many of them on one file
        shutil.copyfile(source, target)

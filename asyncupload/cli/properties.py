"""What a document is stored with besides its bytes, as options; and a version's number as people write it."""

from collections.abc import Callable
from datetime import datetime
from functools import wraps
from typing import Any

import click

from asyncupload.errors import UsageError
from asyncupload.properties import Properties, Publish, VersionNumber

from .options import Command, option

SMALLEST_PACKED = VersionNumber(1).packed


def version_number(text: str) -> VersionNumber:
    """``2``, ``2.0`` or ``2.0.1``; and the packed number of a receipt, 2000001, which no major number can be.

    Raises:
        UsageError: It is none of these, or out of range.
    """
    parts = text.split(".")
    if len(parts) > 3 or not all(part.isascii() and part.isdigit() and len(part) <= 10 for part in parts):
        raise UsageError(f"{text!r} is not MAJOR[.MINOR[.REVISION]], as in 2.0.1")
    numbers = tuple(map(int, parts))
    if len(numbers) == 1 and numbers[0] >= SMALLEST_PACKED:
        numbers = _unpacked(numbers[0])
    version = VersionNumber(*numbers)
    Properties(version=version)  # knows the ranges
    return version


def _unpacked(number: int) -> tuple[int, int, int]:
    major, rest = divmod(number, 1_000_000)
    return (major, *divmod(rest, 1_000))


def _version(_context: click.Context, _parameter: click.Parameter, value: str | None) -> VersionNumber | None:
    try:
        return None if value is None else version_number(value)
    except UsageError as error:
        raise click.BadParameter(str(error)) from None


def version_option(purpose: str) -> Callable[[Command], Command]:
    """Adds ``--document-version``, handed to the command as a VersionNumber or None."""
    # The long name is there for the environment's sake: ASYNCUPLOAD_VERSION would be taken for the program's.
    return option("--document-version", "--version", callback=_version, metavar="X[.Y[.Z]]", help=purpose)


def properties_options(command: Command) -> Command:
    """Adds the options of :class:`Properties`, handed to the command as ``properties``."""

    @option("--description", default="", metavar="TEXT", help="Kept with the document.")
    @option("--keywords", default="", metavar="WORDS", help="Kept with the document; separated by commas.")
    @option("--created", type=_DATE, metavar="DATE", help="When it was made, as 2026-03-31.")
    @option("--modified", type=_DATE, metavar="DATE", help="When it was last changed.")
    @option(
        "--publish",
        type=click.Choice(["server", "publish", "dont"]),
        default="server",
        show_default=True,
        help="Whether this version is the published one; server: as that is set up.",
    )
    @option(
        "--notify/--no-notify", default=None, help="Whether subscribers get an e-mail; the server's way if not said."
    )
    @version_option("The number of the version, as 2.0.1; by default the next one.")
    @wraps(command)
    def wrapped(
        description: str,
        keywords: str,
        created: datetime | None,
        modified: datetime | None,
        publish: Publish,
        notify: bool | None,  # noqa: FBT001  (click's)
        document_version: VersionNumber | None,
        **rest: Any,
    ) -> Any:
        try:
            properties = Properties(
                description=description,
                keywords=keywords,
                created=created.date() if created else None,
                modified=modified.date() if modified else None,
                publish=publish,
                notify=notify,
                version=document_version,
            )
        except UsageError as error:  # characters that cannot be sent
            raise click.UsageError(str(error)) from None
        return command(properties=properties, **rest)

    return wrapped


_DATE = click.DateTime(["%Y-%m-%d"])

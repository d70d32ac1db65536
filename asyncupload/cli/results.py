"""What a command says at its end, and the exit code that says it to a script."""

import json
import os
import sys
from typing import Any

import click

from asyncupload.errors import (
    AccessDenied,
    AsyncUploadError,
    ChecksumMismatch,
    ForeignReply,
    JournalError,
    LoginRefused,
    NotAFile,
    OutcomeUnknown,
    SourceMissing,
    StoredDifferently,
    TicketRefused,
    TransportError,
    UsageError,
)
from asyncupload.events import Downloaded, Receipt

from .options import Voice
from .running import Interrupted

EXIT_CODES: tuple[tuple[type[AsyncUploadError], int], ...] = (
    (StoredDifferently, 6),
    (OutcomeUnknown, 7),
    (ChecksumMismatch, 6),
    (LoginRefused, 4),
    (TicketRefused, 4),
    (AccessDenied, 4),
    (TransportError, 5),
    (UsageError, 2),
    (JournalError, 2),
    (SourceMissing, 2),
    (NotAFile, 2),
    (AsyncUploadError, 1),
)
"""The first kind that fits. What the command line itself named wrongly is usage; all else that is local has just
failed."""

_RIGHTS_STATUSES = frozenset({401, 403, 407})


def exit_code(error: AsyncUploadError) -> int:
    """What the shell is told of an error."""
    if isinstance(error, ForeignReply) and error.status in _RIGHTS_STATUSES:
        return 4
    return next(code for kind, code in EXIT_CODES if isinstance(error, kind))


def stored(receipt: Receipt, voice: Voice) -> int:
    """Say that a document is stored, or was so before."""
    _say(
        voice,
        {
            "status": receipt.status,
            "path": receipt.path,
            "document_id": receipt.document_id,
            "version_id": receipt.version_id,
            "size": receipt.size,
            "crc32": f"{receipt.crc32:08X}",
            "chunks": receipt.chunks,
            "resent": receipt.resent,
            "restarted": receipt.restarted,
            "seconds": round(receipt.seconds, 3),
        },
        f"{receipt.status} {receipt.path}: {amount(receipt.size)} in {receipt.seconds:.1f} s, "
        f"CRC-32 {receipt.crc32:08X}, document {receipt.document_id}, version {receipt.version_id}",
    )
    return 0


def downloaded(receipt: Downloaded, voice: Voice) -> int:
    """Say that a document is back."""
    _say(
        voice,
        {
            "status": "downloaded",
            "path": receipt.path,
            "target": receipt.target,
            "size": receipt.size,
            "crc32": f"{receipt.crc32:08X}",
            "compared": receipt.compared,
            "seconds": round(receipt.seconds, 3),
        },
        f"downloaded {receipt.path} to {receipt.target}: {amount(receipt.size)} in {receipt.seconds:.1f} s, "
        f"CRC-32 {receipt.crc32:08X}",
    )
    return 0


def failed(error: AsyncUploadError, path: str, voice: Voice) -> int:
    """Say what went wrong."""
    return gave_up(type(error).__name__, str(error), path, voice, exit_code(error))


def gave_up(kind: str, message: str, path: str, voice: Voice, code: int) -> int:
    """Say that there is no result, as a JSON object or as a sentence, and return the exit code."""
    if voice.json:
        _print_json({"status": "failed", "path": path, "error": kind, "message": message})
    click.echo(f"asyncupload: {message}", err=True)
    return code


def interrupted(signal: Interrupted, message: str, path: str, voice: Voice) -> int:
    """Say that a signal ended the work. One that came twice ends the process here and now."""
    code = gave_up("Interrupted", message, path, voice, signal.code)
    if signal.hurried:
        # The regular end of the process waits for threads, and one of them may hang in a read.
        os._exit(code)
    return code


def fact(voice: Voice, facts: dict[str, Any], sentence: str) -> None:
    """A result of another kind."""
    _say(voice, facts, sentence)


def amount(size: float) -> str:
    """Bytes for people: ``12.3 MiB``."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if size < 1024:
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1024
    return f"{size:.1f} TiB"


def _say(voice: Voice, facts: dict[str, Any], sentence: str) -> None:
    if voice.json:
        _print_json(facts)
    elif not voice.quiet:
        click.echo(sentence)


def _print_json(facts: dict[str, Any]) -> None:
    # Surrogates (undecodable bytes of a local file name) would not survive as UTF-8; escaped, they do.
    sys.stdout.write(json.dumps(facts, ensure_ascii=True) + "\n")
    sys.stdout.flush()

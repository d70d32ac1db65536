"""What a command says at its end, and the exit code that says it to a script."""

import shlex
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from asyncupload._units import amount
from asyncupload.bulk.progress import Progress
from asyncupload.bulk.rows import ENDED, State
from asyncupload.errors import (
    AccessDenied,
    AsyncUploadError,
    ChecksumMismatch,
    ForeignReply,
    JournalError,
    Leftover,
    LoginRefused,
    NotAFile,
    OutcomeUnknown,
    SourceError,
    SourceMissing,
    StoredDifferently,
    TicketRefused,
    TransportError,
    UsageError,
)
from asyncupload.events import Downloaded, Receipt, Unpacked, Verified, not_kept

from . import terminal
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


def stored(told: Receipt, voice: Voice) -> int:
    """Say that a document is stored, or was so before."""
    fact(
        voice,
        receipt(told),
        f"{told.status} {told.path}: {amount(told.size)} in {told.seconds:.1f} s, "
        f"CRC-32 {told.crc32:08X}, document {told.document_id}, version {told.version_id}",
    )
    tell_of_stored(told)
    return 3 if blocks(told.left) or told.not_kept else 0


def tell_of_stored(told: Receipt) -> None:
    """Say what was asked for and is not kept, and what is left on the server."""
    if told.not_kept:
        terminal.warn(f"asyncupload: {told.path}: {not_kept(told.not_kept)}")
    tell_of(told.left)


def blocks(left: Sequence[Leftover]) -> bool:
    """Whether others are kept from a document by what is left on the server."""
    return any(one.kind == "checkout" for one in left)


def tell_of(left: Sequence[Leftover]) -> None:
    """Say what is left on the server, and what to do about it."""
    for one in left:
        terminal.warn(f"asyncupload: {one}")


def leftovers(left: Sequence[Leftover]) -> dict[str, Any]:
    """For JSON: nothing if nothing is left."""
    return {"left": [asdict(one) for one in left]} if left else {}


def receipt(told: Receipt) -> dict[str, Any]:
    """What there is to say of a document that is stored."""
    return {
        "status": told.status,
        "path": told.path,
        "document_id": told.document_id,
        "version_id": told.version_id,
        "size": told.size,
        "crc32": f"{told.crc32:08X}",
        "chunks": told.chunks,
        "resent": told.resent,
        "restarted": told.restarted,
        "seconds": round(told.seconds, 3),
        **({"resent_bytes": told.resent_bytes} if told.resent_bytes else {}),
        **({"not_kept": list(told.not_kept)} if told.not_kept else {}),
        **leftovers(told.left),
    }


def unpacked(archive: Unpacked, voice: Voice) -> int:
    """Say what became of an archive's entries: a failure if one of them is no document now."""
    facts = {
        "size": archive.size,
        "crc32": f"{archive.crc32:08X}",
        "items": [{"name": item.name, "error": item.error} for item in archive.items],
        "seconds": round(archive.seconds, 3),
        **leftovers(archive.left),
    }
    tell_of(archive.left)
    if not archive.failed:
        return fact(
            voice,
            {"status": "unpacked", "path": archive.folder, **facts},
            f"unpacked into {archive.folder}: {amount(archive.size)} in {archive.seconds:.1f} s, "
            f"CRC-32 {archive.crc32:08X}",
        )
    lines = [
        f"{archive.folder}: entries of which no document was made: {len(archive.failed)}",
        *(f"  {item.name}: {item.error}" for item in archive.failed),
    ]
    return gave_up("EntriesFailed", "\n".join(lines), archive.folder, voice, 1, lines=lines, **facts)


def downloaded(receipt: Downloaded, voice: Voice) -> int:
    """Say that a document is back."""
    tell_of(receipt.left)
    resumed = f", resumed at {amount(receipt.resumed)}" if receipt.resumed else ""
    return fact(
        voice,
        {
            "status": "downloaded",
            "path": receipt.path,
            "target": receipt.target,
            "size": receipt.size,
            "crc32": f"{receipt.crc32:08X}",
            "compared": receipt.compared,
            "resumed": receipt.resumed,
            "seconds": round(receipt.seconds, 3),
            **leftovers(receipt.left),
        },
        f"downloaded {receipt.path} to {receipt.target}: {amount(receipt.size)} in {receipt.seconds:.1f} s{resumed}, "
        f"CRC-32 {receipt.crc32:08X}",
    )


def verified(proof: Verified, source: str, voice: Voice) -> int:
    """Say that a document is what is here."""
    tell_of(proof.left)
    return fact(
        voice,
        {
            "status": "verified",
            "path": proof.path,
            "source": source,
            "size": proof.size,
            "crc32": f"{proof.crc32:08X}",
            "verified_by": proof.verified_by,
            "seconds": round(proof.seconds, 3),
            **leftovers(proof.left),
        },
        f"verified {proof.path}: {amount(proof.size)} in {proof.seconds:.1f} s, CRC-32 {proof.crc32:08X}, "
        f"by {proof.verified_by}",
    )


def failed(error: AsyncUploadError, path: str, voice: Voice, **more: Any) -> int:
    """Say what went wrong."""
    message = " ".join([str(error), *(f"({note})" for note in getattr(error, "__notes__", ()))])
    lines = getattr(error, "lines", ())  # a list's, of which many may be wrong
    kind, code = type(error).__name__, exit_code(error)
    return gave_up(kind, message, path, voice, code, left=error.left, lines=lines, **more)


def gave_up(
    kind: str,
    message: str,
    path: str,
    voice: Voice,
    code: int,
    *,
    left: Sequence[Leftover] = (),
    lines: Sequence[str] = (),
    **more: Any,
) -> int:
    """Say that there is no result, as a JSON object (with ``more`` in it) or as a sentence; returns the exit code.

    A message is one line for people, whatever stands in it, unless its ``lines`` are told apart.
    """
    if voice.json:
        facts = {"status": "failed", "path": path, "error": kind, "message": message}
        terminal.tell({**facts, **more, **leftovers(left)})
    first, *rest = lines or (message,)
    terminal.warn(f"asyncupload: {first}", *rest)
    tell_of(left)
    return code


def interrupted(signal: Interrupted, message: str, path: str, voice: Voice, *, left: Sequence[Leftover] = ()) -> int:
    """Say that a signal ended the work. One that came twice ends the process here and now."""
    code = gave_up("Interrupted", message, path, voice, signal.code, left=left)
    if signal.hurried:
        # The regular end of the process waits for threads, and one of them may hang in a read.
        terminal.end_now(code)
    return code


def fact(voice: Voice, facts: dict[str, Any], *sentences: str) -> int:
    """Say a result, as a JSON object or as lines of text; returns the exit code of a success."""
    if voice.json:
        terminal.tell(facts)
    elif not voice.quiet:
        terminal.say(*sentences)
    return 0


def loaded(
    last: Progress,
    error: Exception | None,
    interrupted: int,
    journal: Path,
    voice: Voice,
    *,
    blocked: int = 0,
    incomplete: int = 0,
) -> int:
    """Say how a load of many files ended, in which so many documents were stored and left checked out, and so many are
    without something that was asked for."""
    counts = {str(state): last.counts[state].rows for state in State if state in ENDED} | {"cancelled": last.cancelled}
    facts: dict[str, Any] = {"status": "summary", "rows": last.rows, **counts, "left_out": last.left_out}
    facts |= {
        "sent": last.sent,
        "seconds": round(last.seconds, 3),
        "bottleneck": last.waits.bottleneck,
        "waits": {name: round(seconds, 3) for name, seconds in asdict(last.waits).items()},
        "journal": str(journal),
    }
    if incomplete:
        facts["not_kept"] = incomplete
    if error is not None:
        facts |= {"error": type(error).__name__, "message": str(error)}
    rate = last.sent / max(last.seconds, 1e-6)
    words = ", ".join(f"{number:,} {name}" for name, number in counts.items() if number)
    sentences = [
        f"{_files(last.rows)}: {words or 'nothing to do'}" + (f"; {last.left_out:,} left out" if last.left_out else ""),
        f"{amount(last.sent)} in {last.seconds:.0f} s, {amount(rate)}/s"
        + (f"; most of the time was spent waiting for: {last.waits.bottleneck}" if last.waits.bottleneck else ""),
    ]
    if last.counts[State.FAILED].rows:
        where = shlex.quote(str(journal))
        sentences.append(f"why one failed:        asyncupload explain {where} PATH")
        sentences.append(f"to send those again:   asyncupload retry {where}, and then the same command")
    if incomplete:
        sentences.append(f"{_files(incomplete)} stored without something that was asked for; --report tells what")
    if last.cancelled:
        sentences.append("the same command goes on from here")
    fact(voice, facts, *sentences)
    if error is not None:
        terminal.warn(f"asyncupload: ended early: {error}")
    return interrupted or _code_of(last, error) or (3 if blocked or incomplete else 0)


def _files(count: int) -> str:
    return "1 file" if count == 1 else f"{count:,} files"


def _code_of(last: Progress, error: Exception | None) -> int:
    if isinstance(error, SourceError):  # it was there when the load began, so nothing was named wrongly
        return 1
    if isinstance(error, AsyncUploadError):
        return exit_code(error)
    if last.counts[State.FAILED].rows or last.cancelled:
        return 1
    return 3 if last.counts[State.SKIPPED].rows else 0


def foretold(counts: dict[str, int], left_out: int, voice: Voice) -> int:
    """Say what a run would do."""
    words = ", ".join(f"{number:,} {name}" for name, number in counts.items())
    facts = {"status": "summary", "rows": sum(counts.values()), **counts, "left_out": left_out}
    fact(voice, facts, f"{_files(sum(counts.values()))}: {words or 'nothing to do'}; nothing was sent")
    return 1 if counts.get("failed") else 3 if counts.get("skipped") else 0

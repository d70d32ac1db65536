"""``asyncupload verify --ledger``: are all documents of a ledger still what they were?"""

from collections import Counter
from pathlib import Path

from asyncupload.bulk.audit import Audit, Finding, Origin, Verdict
from asyncupload.bulk.ledger import Entry, read
from asyncupload.bulk.spelling import spelled
from asyncupload.errors import AsyncUploadError
from asyncupload.settings import Settings

from . import results
from .options import Connection, Voice
from .running import Interrupted, run
from .terminal import behind

_SHOWN = 100
"""Sentences about documents that are not as they were; what comes after them is counted only."""


def verify_ledger(file: Path, connection: Connection, voice: Voice, *, at_once: int, sources: bool) -> int:
    """Ask about every entry, say what is found, and return the exit code.

    With ``--json`` an object for every entry and one for the sum; for people, a sentence for whatever is not verified.
    """
    tally = _Tally(voice)

    async def work() -> None:
        async with client:
            await client.ping()
            audit = Audit(client, tally.tell, at_once=at_once, sources=sources, ready=lambda: not behind())
            await audit.run(read(file))

    try:
        for _ in read(file):  # all of it, before the first document is asked about
            tally.entries += 1
        client = connection.client(voice, Settings())
        run(work)
    except AsyncUploadError as error:
        return results.failed(error, str(file), voice, **tally.numbers)
    except Interrupted as signal:
        return results.interrupted(signal, f"interrupted; so far {tally.words}", str(file), voice)
    results.fact(voice, {"status": "summary", "ledger": str(file), **tally.numbers}, f"{file}: {tally.words}")
    return tally.code


class _Tally:
    """Says what is found, and counts it."""

    def __init__(self, voice: Voice) -> None:
        self.entries = 0
        self._voice = voice
        self._verdicts = Counter[Verdict]()
        self._origins = Counter[Origin]()

    def tell(self, finding: Finding) -> None:
        """One finding."""
        self._verdicts[finding.verdict] += 1
        self._origins[finding.origin] += 1
        if self._voice.json:
            results.fact(self._voice, _facts(finding))
        elif (sentences := _sentences(finding)) and self._told <= _SHOWN:
            results.fact(self._voice, {}, *sentences)

    @property
    def _told(self) -> int:
        return self._verdicts.total() - self._verdicts[Verdict.VERIFIED] + self._origins[Origin.CHANGED]

    @property
    def numbers(self) -> dict[str, int]:
        """How many entries there are, and of which kinds."""
        verdicts = {str(verdict): self._verdicts[verdict] for verdict in Verdict}
        origins = {f"sources_{origin}": self._origins[origin] for origin in Origin if origin is not Origin.NOT_READ}
        return {"entries": self.entries, **verdicts, **origins}

    @property
    def words(self) -> str:
        """The same in a sentence."""
        told = ", ".join(f"{self._verdicts[verdict]:,} {verdict}" for verdict in Verdict)
        read_ = [f"{self._origins[origin]:,} {origin}" for origin in Origin if origin and self._origins[origin]]
        return f"{self.entries:,} documents: {told}" + (f"; their sources: {', '.join(read_)}" if read_ else "")

    @property
    def code(self) -> int:
        """6: something is not as it was. 5: that is not known of all."""
        if self._verdicts[Verdict.DIFFERENT] or self._verdicts[Verdict.MISSING] or self._origins[Origin.CHANGED]:
            return 6
        return 5 if self._verdicts[Verdict.UNREACHABLE] else 0


def _facts(finding: Finding) -> dict[str, object]:
    entry: Entry = finding.entry
    return {
        "status": str(finding.verdict),
        "path": entry.destination,
        "version_id": entry.version_id,
        "source": spelled(entry.source),
        "reason": finding.reason,
        "source_is": str(finding.origin) or None,
    }


def _sentences(finding: Finding) -> list[str]:
    """Empty if there is nothing to be said."""
    told = []
    if finding.verdict is not Verdict.VERIFIED:
        told.append(f"{finding.verdict} {finding.entry.destination}: {finding.reason}")
    if finding.origin in {Origin.CHANGED, Origin.UNREADABLE}:
        told.append(f"source {finding.origin}: {spelled(finding.entry.source)}")
    return told

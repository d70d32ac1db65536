"""Rows that have ended, without a server: what reports and ledgers are made of."""

from asyncupload.bulk.journal import Journal
from asyncupload.bulk.rows import Facts, Item, State

from .files import row


async def ended(journal: Journal, item: Item, state: State, reason: str = "", facts: Facts | None = None) -> None:
    """Plan a file, and let it end."""
    await journal.add([item])
    if item.problem:
        return
    (claim,) = await journal.claim("loader", 1, lease=60)
    if state is State.STORED:
        await journal.committing(claim, "{}", lease=60)
    await journal.finish(claim, state, reason=reason, facts=facts or Facts())


async def stored(journal: Journal, name: str, item: Item, version: int = 1_000_000) -> None:
    """Plan a file, and let it be stored as a version."""
    facts = Facts(document_id=7, version_id=version, crc32=0xAB, sha256="5e" * 32, sent=item.size or 0, seconds=1.5)
    await ended(journal, item, State.STORED, facts=facts)
    assert (await row(journal, name)).state is State.STORED

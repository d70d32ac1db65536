"""The entries of a ZIP archive that was sent, and which of them stand on the server as documents."""

import io
import re
import zipfile
from collections.abc import Iterable
from typing import NamedTuple

import anyio
import anyio.to_thread

from . import _checksum
from ._names import destination
from ._patience import Patience
from ._pipeline import sealed_chunks
from ._staging import Threads
from ._tally import Tally
from .errors import NotFound, SourceChanged, SourceError, UsageError
from .settings import MIB
from .sources import Seekable, Source

TAILS = (MIB, 64 * MIB)
"""Bytes of an archive's end that are looked at for its directory: ten thousand entries, and most of a million."""


class Entry(NamedTuple):
    """One that a document was to be made of."""

    name: str
    size: int
    crc32: int


async def entries(source: Source, patience: Patience, threads: Threads, sent: Tally) -> tuple[Entry, ...]:
    """What the archive's directory names, read from its source once more.

    Args:
        source: One that can be read again.
        patience: The client's.
        threads: The client's.
        sent: What was sent: it must be the same.

    Raises:
        SourceError: It cannot be read, is not the same any more, or has no directory that can be read.
    """
    for most in TAILS:
        tail = await _tail(source, patience, threads, sent, most)
        found = await anyio.to_thread.run_sync(_directory, tail, limiter=threads.checksums)
        if found is not None:
            return found
    raise SourceError(f"{source.name}: its directory cannot be read")


async def directory_of(source: Source, threads: Threads) -> tuple[Entry, ...] | None:
    """The same before anything was sent, from a source that can be looked into at its end; None of any other, and where
    there is no directory.

    Raises:
        SourceError: It cannot be read.
    """
    if not isinstance(source, Seekable) or not source.rereadable:
        return None
    for most in TAILS:
        tail = await source.tail(most, threads.reading)
        found = await anyio.to_thread.run_sync(_directory, tail, limiter=threads.checksums)
        if found is not None:
            return found
        if len(tail) < most:
            break
    return None


async def stored_crc32(patience: Patience, path: str) -> int | None:
    """Checksum of what stands there: None if nothing does, -1 if the server does not tell it."""
    try:
        found = await patience.persist(lambda: patience.remote.document_crc32(path))
    except NotFound:
        return None
    return -1 if found is None else found


async def _tail(source: Source, patience: Patience, threads: Threads, sent: Tally, most: int) -> bytes:
    settings, tail, crc32, size = patience.settings, bytearray(), _checksum.EMPTY, 0
    async with (
        source.open(threads.reading) as content,
        sealed_chunks(content.chunks(settings.chunk_size), depth=settings.depth, threads=threads.checksums) as line,
    ):
        async for chunk in line:
            crc32, size = _checksum.combine(crc32, chunk.crc32, len(chunk.data)), size + len(chunk.data)
            tail += chunk.data[-most:]
            del tail[:-most]
    if (size, crc32) != (sent.sent, sent.crc32):
        raise SourceChanged(f"{source.name} is not what was sent any more")
    return bytes(tail)


def _directory(tail: bytes) -> tuple[Entry, ...] | None:
    """None if it is not all in there. Blocks."""
    try:
        with zipfile.ZipFile(io.BytesIO(tail)) as archive:
            return tuple(Entry(one.filename, one.file_size, one.CRC) for one in archive.infolist() if not one.is_dir())
    except (zipfile.BadZipFile, ValueError, NotImplementedError):
        return None


async def missing(patience: Patience, folder: str, wanted: Iterable[Entry]) -> set[str]:
    """Names of those of which no document with their size and checksum stands in the folder."""
    return {one.name for one in wanted if not await _stands(patience, folder, one)}


_REWRITTEN = re.compile(r'[:*?"<>|#\t%&+]')
"""What servers write an underscore for, when they make a folder."""


def _places(name: str) -> tuple[str, ...]:
    """Where the document may stand: as the archive has it, or in a folder that the server has renamed."""
    above, slash, last = name.replace("\\", "/").rpartition("/")
    return tuple(dict.fromkeys((name, _REWRITTEN.sub("_", above) + slash + last)))


async def _stands(patience: Patience, folder: str, entry: Entry) -> bool:
    for place in _places(entry.name):
        if await _stands_at(patience, f"{folder}/{place}", entry):
            return True
    return False


async def _stands_at(patience: Patience, place: str, entry: Entry) -> bool:
    try:
        path = destination(place).path
        if await patience.persist(lambda: patience.remote.document_crc32(path)) != entry.crc32:
            return False
        document = await patience.persist(lambda: patience.remote.document(path))
    except (NotFound, UsageError):  # or a name that no document can have
        return False
    return document.size in {None, entry.size}

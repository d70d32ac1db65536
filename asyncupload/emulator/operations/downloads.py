"""Reading documents back in chunks."""

import base64
import mimetypes
import zlib

from asyncupload.emulator.downloads import Download
from asyncupload.emulator.forms import Form
from asyncupload.emulator.handlers import LARGEST_CHUNK
from asyncupload.emulator.library import Document, Version
from asyncupload.emulator.operations.desk import Desk, guid, read_side_crc, timestamp
from asyncupload.emulator.replies import Answer, Refusal


def info(desk: Desk, form: Form) -> Answer:
    """GetDownloadInfo: what a download would bring, without a handler."""
    desk.caller(form)
    document = desk.document(form.text("Path"))
    return Answer(_facts(document, desk.version(document, 0)))


def info_by_version(desk: Desk, form: Form) -> Answer:
    """GetDownloadInfoByVersion: the same of one version. The number is echoed, as by GetDownloadHandlerByVersion."""
    desk.caller(form)
    document, number = desk.document(form.text("Path")), form.number("VersionNumber")
    return Answer({**_facts(document, desk.version(document, number)), "VersionNumber": str(number)})


def open_latest(desk: Desk, form: Form) -> Answer:
    """GetDownloadHandler: the published version, or the latest if none is published."""
    return _opened(desk, form, 0)


def open_version(desk: Desk, form: Form) -> Answer:
    """GetDownloadHandlerByVersion. The number is echoed as it was asked for, so that 0 stays 0."""
    number = form.number("VersionNumber")
    return Answer({**_opened(desk, form, number).attributes, "VersionNumber": str(number)})


def chunk(desk: Desk, form: Form) -> Answer:
    """DownloadFileChunk. Offset and size in bytes; a size of 0 is the handler's own, more than 32 MiB is cut."""
    user = desk.caller(form)
    wanted = guid(form.text("DownloadHandler"))
    download = None if wanted is None else desk.store.downloads.find(wanted, user.id)
    if download is None:
        raise Refusal(4000, f"Invalid download handler. ({form.text('DownloadHandler')})")
    start, size = form.number("StartOffset"), form.number("ChunkSize") or download.chunk_size
    if not 0 <= start < download.size or size < 0:
        raise Refusal(4000, f"There is no chunk of {size} bytes at {start}, the document has {download.size} bytes.")
    return _piece(download, start, min(size, LARGEST_CHUNK))


def delete(desk: Desk, form: Form) -> Answer:
    """A success also if there is no such handler."""
    wanted = guid(form.text("DownloadHandler"))
    if wanted is None:
        raise Refusal(4000, "bad Request")
    desk.store.downloads.delete(wanted, desk.caller(form).id)
    return Answer({"error": ""})


def _opened(desk: Desk, form: Form, number: int) -> Answer:
    user = desk.caller(form)
    document = desk.document(form.text("Path"))
    version = desk.version(document, number)
    chunk_size = desk.chunk_size(form.number("PreferedChunkSize"))
    download = desk.store.downloads.open(version, user.id, chunk_size)
    facts = _facts(document, version)
    return Answer({**facts, "ChunkSize": str(download.chunk_size), "downloadhandler": download.guid})


def _facts(document: Document, version: Version) -> dict[str, str]:
    return {
        "Size": str(version.size),
        "ContentType": mimetypes.guess_type(document.name)[0] or "application/octet-stream",
        "ModificationDate": timestamp(version.created),
        "VersionNumber": str(version.number),
        "AlterDocumentName": document.name,
        "RenderedContent": "false",
        "CRC32": read_side_crc(version.crc32),
    }


def _piece(download: Download, start: int, size: int) -> Answer:
    with download.file.open("rb") as file:
        file.seek(start)
        piece = file.read(size)
    attributes = {
        "filelength": str(download.size),
        "chunklength": str(len(piece)),
        "lastchunk": "true" if start + len(piece) >= download.size else "false",
        "chunkCRC32": read_side_crc(zlib.crc32(piece)),
    }
    return Answer(attributes, base64.b64encode(piece).decode("ascii"))

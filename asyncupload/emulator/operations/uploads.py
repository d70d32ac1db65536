"""From an upload handler to a document: staging in chunks, and the operations that finalize.

Where no source says what the server does, these refuse; each place names its open question.
"""

import re
import zlib
from collections.abc import Callable
from dataclasses import dataclass

from asyncupload.emulator import names
from asyncupload.emulator.accounts import User
from asyncupload.emulator.forms import Form
from asyncupload.emulator.handlers import UploadHandler
from asyncupload.emulator.library import Content, Document, Folder
from asyncupload.emulator.operations.desk import Desk, guid, name_taken, no_document
from asyncupload.emulator.parameters import Parameters, read_parameters
from asyncupload.emulator.replies import Answer, Refusal, Rejected

_CRC = re.compile(r"0*[0-9A-Fa-f]{1,8}")


def create_handler(desk: Desk, form: Form) -> Answer:
    """Does not authenticate: without a good ticket the handler has no owner until somebody uses it."""
    ticket = desk.store.accounts.look_up(form.text("authenticationTicket"))
    owner = None if ticket is None else desk.store.accounts.prolong(ticket).user.id
    handler = desk.store.handlers.create(owner, desk.chunk_size(form.number("PreferedChunkSize")))
    return Answer({"error": "", "UploadHandler": handler.guid, "ChunkSize": str(handler.chunk_size)})


def upload_chunk(desk: Desk, form: Form) -> Answer:
    chunk, last = form.octets("fileChunk"), form.flag("lastChunk")
    user = desk.caller(form)
    handler = _handler(desk, form, user)
    if handler.completed:  # Open question 5.
        raise Refusal(4000, "The upload handler has been given its last chunk already.")
    if len(chunk) > handler.chunk_size:  # Open question 9.
        raise Refusal(4000, f"The chunk has {len(chunk)} bytes, the upload handler takes {handler.chunk_size}.")
    if not _crc_matches(form.text("chunkHEXCRC"), chunk):
        return mismatch(desk)
    staged = desk.store.handlers.append(handler, chunk, owner=user.id, last=last)
    answer = {"tryagain": "false"}
    if last and not desk.how.no_filehexcrc:
        # Unpadded upper case like the chunk's own; whether a server pads it is open (question 2).
        answer["filehexcrc"] = f"{staged.crc:X}"
    return Answer(answer)


def mismatch(desk: Desk) -> Answer:
    """The answer to a chunk that was not appended and may come again."""
    if desk.how.mismatch_success:
        return Answer({"tryagain": "true"})
    raise Refusal(None, "The checksum of the chunk does not match.", tryagain="true")


def delete_handler(desk: Desk, form: Form) -> Answer:
    """A success also if there is no such handler, or if it is not the caller's: then nothing is deleted."""
    wanted = guid(form.text("UploadHandler"))
    if wanted is None:  # Documented to come before the ticket is looked at.
        raise Refusal(4000, "bad Request")
    user = desk.caller(form)
    handler = desk.store.handlers.find(wanted)
    if handler is not None and handler.owner in {None, user.id}:
        desk.store.handlers.delete(handler)
    return Answer({"error": ""})


def finalize(desk: Desk, form: Form) -> Answer:
    """UploadDocumentWithHandler."""
    return _committed(desk, form, lambda staged: _file_at(desk, form.text("path"), staged, Parameters()))


def finalize_with_comment(desk: Desk, form: Form) -> Answer:
    """UploadDocumentWithHandler1."""
    asked = Parameters(version_comment=form.text("versionComments"))
    return _committed(desk, form, lambda staged: _file_at(desk, form.text("path"), staged, asked))


def finalize_with_parameters(desk: Desk, form: Form) -> Answer:
    """UploadDocumentWithHandler3."""
    return _committed(
        desk,
        form,
        lambda staged: _file_at(desk, form.text("path"), staged, read_parameters(form.text("xmlParameters"))),
    )


def finalize_new(desk: Desk, form: Form) -> Answer:
    """UploadNewDocumentWidthHandler: creates only."""

    def commit(staged: Staged) -> Document:
        asked = read_parameters(form.text("xmlParameters"))
        folder, name = desk.folder(form.text("FolderPath")), form.text("DocumentName")
        if desk.store.library.document_in(folder, name) is not None:
            raise name_taken()
        return _file_new(desk, folder, name, staged, asked)

    return _committed(desk, form, commit)


@dataclass(frozen=True, slots=True)
class Staged:
    """A handler whose last chunk has come, and the user who commits it."""

    handler: UploadHandler
    user: User


def _committed(desk: Desk, form: Form, commit: Callable[[Staged], Document]) -> Answer:
    """The handler is used up by every attempt that gets past the ticket and finds it, whatever comes of it.

    VersionId is the packed version number, as the sample's 1000001 suggests.
    """
    user = desk.caller(form)
    handler = _handler(desk, form, user)
    try:
        document = commit(_finished(desk, handler, user))
    except (Refusal, Rejected):
        if not desk.how.lenient_consume:
            desk.store.handlers.delete(handler)
        raise
    return Answer({"DocumentId": str(document.id), "VersionId": str(document.latest.number)})


def _finished(desk: Desk, handler: UploadHandler, user: User) -> Staged:
    if not handler.completed:  # Open question 6.
        raise Refusal(4000, "The last chunk of the upload handler has not been uploaded.")
    if 0 < desk.document_max_size < handler.size:  # Open question 15: here and not earlier, with this code.
        raise Refusal(4000, f"The document has {handler.size} bytes, the limit is {desk.document_max_size}.")
    return Staged(handler, user)


def _file_at(desk: Desk, path: str, staged: Staged, asked: Parameters) -> Document:
    existing = desk.store.library.document(path)
    if existing is not None:
        return _file_version(desk, existing, staged, asked)
    if names.short_path(path) is not None:
        raise no_document()
    *folder, name = names.segments(path) or ("",)
    return _file_new(desk, desk.folder("/".join(folder)), name, staged, asked)


def _file_new(desk: Desk, folder: Folder, name: str, staged: Staged, asked: Parameters) -> Document:
    if desk.store.library.subfolder(folder.id, name) is not None:
        raise name_taken()
    document = desk.store.library.add_document(folder, names.document_name(name), _content(desk, staged, asked))
    desk.store.library.describe(document, asked.description, asked.keywords)
    return document


def _file_version(desk: Desk, document: Document, staged: Staged, asked: Parameters) -> Document:
    """A checkout that was there before stays (open question 14), unless CHECKOUT asks for out and in."""
    holder = None if document.checkout is None else document.checkout.user
    free = holder is None and (asked.checkout or desk.how.auto_version)
    if holder != staged.user.id and not free:
        raise Refusal(4000, "This document is not checked out.")
    document = desk.store.library.add_version(document, _content(desk, staged, asked))
    desk.store.library.describe(document, asked.description, asked.keywords)
    if asked.checkout:
        desk.store.library.check_out(document, None)
    return document


def _content(desk: Desk, staged: Staged, asked: Parameters) -> Content:
    handler = staged.handler
    return Content(
        move_to=lambda target: desk.store.handlers.take(handler, target),
        size=handler.size,
        crc32=handler.crc,
        author=staged.user.id,
        comment=asked.version_comment,
        published=asked.publish,
    )


def _handler(desk: Desk, form: Form, user: User) -> UploadHandler:
    """The caller's own handler; one of another user is as good as none."""
    wanted = guid(form.text("uploadHandler"))
    if wanted is None:
        text = "The upload handler is not a handler. It is the GUID CreateUploadHandler answered with."
        raise Refusal(4000, text)
    handler = desk.store.handlers.find(wanted)
    if handler is None or handler.owner not in {None, user.id}:
        raise Refusal(4000, "The upload handler cannot be found.")
    return handler


def _crc_matches(text: str, chunk: bytes | memoryview) -> bool:
    """Compared as numbers (open question 3), so that padding and case are the sender's choice."""
    text = text.strip()
    return _CRC.fullmatch(text) is not None and int(text, 16) == zlib.crc32(chunk)

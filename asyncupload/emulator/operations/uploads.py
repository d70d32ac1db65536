"""From an upload handler to a document: staging in chunks, and the operations that finalize.

Where no source says what the server does, these refuse; each place names its open question.
"""

import re
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import NoReturn

from asyncupload.emulator import names
from asyncupload.emulator.accounts import Ticket, User
from asyncupload.emulator.forms import Form
from asyncupload.emulator.handlers import UploadHandler
from asyncupload.emulator.library import Content, Document, Folder
from asyncupload.emulator.operations.desk import Desk, guid, name_taken, no_document
from asyncupload.emulator.parameters import Parameters, read_parameters
from asyncupload.emulator.replies import Answer, Refusal, Rejected
from asyncupload.emulator.variants import Behaviour

_MAJOR = 1_000_000

_CRC = re.compile(r"0*[0-9A-Fa-f]{1,8}")


def create_handler(desk: Desk, form: Form) -> Answer:
    """Does not authenticate: without a good ticket the handler has no owner until somebody uses it."""
    ticket = desk.store.accounts.look_up(form.text("authenticationTicket"))
    if ticket is not None or desk.how.create_checks_ticket:
        ticket = desk.signed_in(form)
    handler = desk.store.handlers.create(ticket, desk.chunk_size(form.number("PreferedChunkSize")))
    return Answer({"error": "", "UploadHandler": handler.guid, "ChunkSize": str(handler.chunk_size)})


def upload_chunk(desk: Desk, form: Form) -> Answer:
    chunk, last = form.octets("fileChunk"), form.flag("lastChunk")
    _refuse_encoding(desk, form)
    ticket = desk.signed_in(form)
    handler = _handler(desk, form, ticket)
    _refuse_chunk(desk, handler, len(chunk))
    if not _crc_matches(form.text("chunkHEXCRC"), zlib.crc32(chunk), desk.how):
        return mismatch(desk)
    staged = desk.store.handlers.append(handler, desk.staged(chunk), ticket=ticket, last=last)
    answer = {"tryagain": "false"}
    if last and not desk.how.no_filehexcrc:
        # Unpadded upper case like the chunk's own; whether a server pads it is open (question 2).
        answer["filehexcrc"] = f"{staged.crc:08x}" if desk.how.padded_filehexcrc else f"{staged.crc:X}"
    return Answer(answer)


def mismatch(desk: Desk) -> Answer:
    """The answer to a chunk that was not appended and may come again."""
    if desk.how.mismatch_success:
        return Answer({"tryagain": "true"}, done=False)
    raise Refusal(None, "The checksum of the chunk does not match.", tryagain="true")


def delete_handler(desk: Desk, form: Form) -> Answer:
    """A success also if there is no such handler, or if it is not the caller's: then nothing is deleted."""
    wanted = guid(form.text("UploadHandler"))
    if wanted is None:  # Documented to come before the ticket is looked at.
        raise Refusal(4000, "bad Request")
    ticket = desk.signed_in(form)
    handler = desk.store.handlers.find(wanted)
    if handler is not None and _serves(desk, handler, ticket):
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


def lose_handler(desk: Desk, form: Form) -> None:
    """What a clean-up of temporary files does to the handler that the form names."""
    handler = desk.store.handlers.find(guid(form.text("uploadHandler")) or "")
    if handler is not None:
        desk.store.handlers.delete(handler)


def consume_handler(desk: Desk, form: Form, refusal: Refusal) -> NoReturn:
    """A finalize that fails for a reason of the server's own, after the handler is used up."""
    desk.store.handlers.delete(_handler(desk, form, desk.signed_in(form)))
    raise refusal


@dataclass(frozen=True, slots=True)
class Staged:
    """A handler whose last chunk has come, and the user who commits it."""

    handler: UploadHandler
    user: User


def _committed(desk: Desk, form: Form, commit: Callable[[Staged], Document]) -> Answer:
    """The handler is used up by every attempt that gets past the ticket and finds it, whatever comes of it.

    VersionId is the packed version number, as the sample's 1000001 suggests.
    """
    ticket = desk.signed_in(form)
    handler = _handler(desk, form, ticket)
    try:
        document = commit(_finished(desk, handler, ticket.user))
    except (Refusal, Rejected):
        if not desk.how.lenient_consume:
            desk.store.handlers.delete(handler)
        raise
    name = "DocumentID" if desk.how.capital_documentid else "DocumentId"
    return Answer({name: str(document.id), "VersionId": str(document.latest.number)})


def _finished(desk: Desk, handler: UploadHandler, user: User) -> Staged:
    early = desk.how.early_finalize and handler.size > 0
    if not handler.completed and not early:  # Open question 6.
        raise Refusal(4000, "The last chunk of the upload handler has not been uploaded.")
    _refuse_size(desk, handler.size)  # Open question 15: here and not earlier, with this code.
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
    document = desk.store.library.add_document(folder, _name(desk, name), _content(desk, staged, asked))
    desk.store.library.describe(document, asked.description, asked.keywords)
    if asked.checkout and desk.how.checkout_locks:
        desk.store.library.check_out(document, staged.user.id)
    return document


def _name(desk: Desk, wished: str) -> str:
    return names.document_name(names.folder_name(wished) if desk.how.clean_names else wished)


def _file_version(desk: Desk, document: Document, staged: Staged, asked: Parameters) -> Document:
    """A checkout that was there before stays (open question 14), unless CHECKOUT asks for out and in."""
    holder = None if document.checkout is None else document.checkout.user
    locks = asked.checkout and desk.how.checkout_locks
    free = holder is None and (desk.how.auto_version or (asked.checkout and not locks))
    if holder != staged.user.id and not free:
        raise Refusal(4000, "This document is not checked out.")
    number = _next_version(desk, document)
    document = desk.store.library.add_version(document, number, _content(desk, staged, asked))
    desk.store.library.describe(document, asked.description, asked.keywords)
    if asked.checkout or desk.how.release_checkout:
        desk.store.library.check_out(document, staged.user.id if locks else None)
    return document


def _next_version(desk: Desk, document: Document) -> int:
    last = document.latest.number
    return (last // _MAJOR + 1) * _MAJOR if desk.how.major_versions else last + 1


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


def _handler(desk: Desk, form: Form, ticket: Ticket) -> UploadHandler:
    """The caller's own handler; one of another user is as good as none."""
    wanted = guid(form.text("uploadHandler"))
    handler = None if wanted is None else desk.store.handlers.find(wanted)
    if handler is not None and _serves(desk, handler, ticket):
        return handler
    if desk.how.old_handler_text:
        raise Refusal(4000, "Invalid upload handler.")
    if wanted is None:
        text = "The upload handler is not a handler. It is the GUID CreateUploadHandler answered with."
        raise Refusal(4000, text)
    raise Refusal(4000, "The upload handler cannot be found.")


def _serves(desk: Desk, handler: UploadHandler, ticket: Ticket) -> bool:
    if desk.how.ticket_bound:
        return handler.ticket in {None, ticket.guid}
    return desk.how.unbound or handler.owner in {None, ticket.user.id}


def _refuse_encoding(desk: Desk, form: Form) -> None:
    in_file_part = "filechunk" in form.files
    if desk.how.no_multipart and in_file_part:
        raise Rejected(400, "fileChunk is required")
    # An envelope has no other way to carry bytes.
    if desk.how.no_base64 and not in_file_part and not form.soap:
        raise Rejected(400, "fileChunk is not a file")


def _refuse_chunk(desk: Desk, handler: UploadHandler, size: int) -> None:
    if handler.completed and not desk.how.chunk_after_last:  # Open question 5.
        raise Refusal(4000, "The upload handler has been given its last chunk already.")
    if size > handler.chunk_size and not desk.how.large_chunks:  # Open question 9.
        raise Refusal(4000, f"The chunk has {size} bytes, the upload handler takes {handler.chunk_size}.")
    if desk.how.limit_at_chunk:
        _refuse_size(desk, handler.size + size)


def _refuse_size(desk: Desk, size: int) -> None:
    if 0 < desk.document_max_size < size:
        raise Refusal(4000, f"The document has {size} bytes, the limit is {desk.document_max_size}.")


def _crc_matches(text: str, crc: int, how: Behaviour) -> bool:
    """Compared as numbers (open question 3), so that padding and case are the sender's choice."""
    text = text.strip()
    if how.unpadded_crc_text and text != f"{crc:X}":
        return False
    if how.padded_crc_text and text != f"{crc:08X}":
        return False
    return _CRC.fullmatch(text) is not None and int(text, 16) == crc

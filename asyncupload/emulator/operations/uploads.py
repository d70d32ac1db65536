"""Upload handlers: made, filled in chunks, deleted.

Where no source says what the server does, these refuse; each place names its open question.
"""

import re
import zlib

from asyncupload.emulator.forms import Form
from asyncupload.emulator.handlers import UploadHandler
from asyncupload.emulator.operations.desk import Desk, guid
from asyncupload.emulator.replies import Answer, Refusal, Rejected
from asyncupload.emulator.variants import Behaviour

_MAJOR = 1_000_000

_CRC = re.compile(r"0*[0-9A-Fa-f]{1,8}")


def create_handler(desk: Desk, form: Form) -> Answer:
    """Does not authenticate: without a good ticket the handler has no owner until somebody uses it."""
    ticket = desk.store.accounts.look_up(form.text("authenticationTicket"))
    if ticket is not None or desk.how.create_checks_ticket:
        ticket = desk.signed_in(form)
    wished = form.number("PreferedChunkSize") or (form.number("ChunkSize") if desk.how.sample_names else 0)
    handler = desk.store.handlers.create(ticket, desk.chunk_size(wished))
    return Answer({"error": "", "UploadHandler": handler.guid, "ChunkSize": str(handler.chunk_size)})


def upload_chunk(desk: Desk, form: Form) -> Answer:
    chunk, last = form.octets("fileChunk"), form.flag("lastChunk")
    _refuse_encoding(desk, form)
    ticket = desk.signed_in(form)
    handler = desk.handler(form, ticket)
    _fail(desk, handler)
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
    if handler is not None and desk.serves(handler, ticket):
        desk.store.handlers.delete(handler)
    return Answer({"error": ""})


def lose_handler(desk: Desk, form: Form) -> None:
    """What a clean-up of temporary files does to the handler that the form names."""
    handler = desk.store.handlers.find(guid(form.text("uploadHandler")) or "")
    if handler is not None:
        desk.store.handlers.delete(handler)


def _refuse_encoding(desk: Desk, form: Form) -> None:
    in_file_part = "filechunk" in form.files
    if desk.how.no_multipart and in_file_part:
        raise Rejected(400, "fileChunk is required")
    # An envelope has no other way to carry bytes.
    if desk.how.no_base64 and not in_file_part and not form.soap:
        raise Rejected(400, "fileChunk is not a file")


def _fail(desk: Desk, handler: UploadHandler) -> None:
    """As where the file of one handler is held by something else on the server, a virus scanner perhaps."""
    if desk.how.broken_handlers and handler.id % 2 and handler.size >= 3 * handler.chunk_size:
        raise Refusal(
            None, "SystemError:The process cannot access the file because it is being used by another process."
        )


def _refuse_chunk(desk: Desk, handler: UploadHandler, size: int) -> None:
    if handler.completed and not desk.how.chunk_after_last:  # Open question 5.
        raise Refusal(4000, "The upload handler has been given its last chunk already.")
    if size > handler.chunk_size and not desk.how.large_chunks:  # Open question 9.
        raise Refusal(4000, f"The chunk has {size} bytes, the upload handler takes {handler.chunk_size}.")
    if desk.how.limit_at_chunk:
        desk.refuse_size(handler.size + size)


def _crc_matches(text: str, crc: int, how: Behaviour) -> bool:
    """Compared as numbers (open question 3), so that padding and case are the sender's choice."""
    text = text.strip()
    if how.unpadded_crc_text and text != f"{crc:X}":
        return False
    if how.padded_crc_text and text != f"{crc:08X}":
        return False
    return _CRC.fullmatch(text) is not None and int(text, 16) == crc

"""Where bytes become a document, or a version of one."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from asyncupload.emulator import names
from asyncupload.emulator.library import FIRST_VERSION, Content, Document, Folder
from asyncupload.emulator.operations.desk import Desk, name_taken, no_document
from asyncupload.emulator.parameters import Parameters
from asyncupload.emulator.replies import Refusal

_MAJOR = 1_000_000


@dataclass(frozen=True, slots=True)
class Staged:
    """Bytes that are whole: where they are, how to move them for good, and the id of the user who files them."""

    file: Path
    move_to: Callable[[Path], object]
    size: int
    crc32: int
    user: int


def file_at(desk: Desk, path: str, staged: Staged, asked: Parameters) -> Document:
    """A document at the path, or a new version of the one that is there."""
    existing = desk.store.library.document(path)
    if existing is not None:
        return file_version(desk, existing, staged, asked)
    if names.short_path(path) is not None:
        raise no_document()
    *folder, name = names.segments(path) or ("",)
    return file_new(desk, desk.folder("/".join(folder)), name, staged, asked)


def file_new(desk: Desk, folder: Folder, name: str, staged: Staged, asked: Parameters) -> Document:
    """A document that is not there yet. Refusal (4090) for the name of a folder, (4000) for a forbidden one."""
    if desk.store.library.subfolder(folder.id, name) is not None:
        raise name_taken()
    desk.refuse_new(folder, name)
    number = FIRST_VERSION if asked.version is None or desk.how.own_numbers else asked.version
    name = names.document_name(names.folder_name(name) if desk.how.clean_names else name)
    document = desk.store.library.add_document(folder, name, number, _content(desk, staged, asked))
    if asked.checkout and desk.how.checkout_locks:
        desk.store.library.check_out(document, staged.user)
    return _described(desk, document, asked)


def file_version(desk: Desk, document: Document, staged: Staged, asked: Parameters) -> Document:
    """A checkout that was there before stays (open question 14), unless CHECKOUT asks for out and in."""
    holder = None if document.checkout is None else document.checkout.user
    locks = asked.checkout and desk.how.checkout_locks
    free = holder is None and (desk.how.auto_version or (asked.checkout and not locks))
    if holder != staged.user and not free:
        raise Refusal(4000, "This document is not checked out.")
    desk.refuse_version(document)
    number = _next_version(desk, document) if asked.version is None or desk.how.own_numbers else asked.version
    if any(version.number == number for version in document.versions):
        raise Refusal(4000, f"The document has a version {number} already.")
    document = desk.store.library.add_version(document, number, _content(desk, staged, asked))
    if asked.checkout or desk.how.release_checkout:
        desk.store.library.check_out(document, staged.user if locks else None)
    return _described(desk, document, asked)


def _described(desk: Desk, document: Document, asked: Parameters) -> Document:
    facts = {
        "description": asked.description,
        "keywords": asked.keywords,
        "text_content": asked.text_content,
        "creation_date": None if desk.how.no_dates else asked.creation_date,
        "modification_date": None if desk.how.no_dates else asked.modification_date,
    }
    return desk.store.library.describe(document, facts)


def _next_version(desk: Desk, document: Document) -> int:
    last = max(version.number for version in document.versions)
    return (last // _MAJOR + 1) * _MAJOR if desk.how.major_versions else last + 1


def _content(desk: Desk, staged: Staged, asked: Parameters) -> Content:
    return Content(
        move_to=staged.move_to,
        size=staged.size,
        crc32=staged.crc32,
        author=staged.user,
        comment="" if desk.how.no_comments else asked.version_comment,
        published=asked.publish,
        publish_option=asked.publish_option,
        notified=asked.notify,
    )

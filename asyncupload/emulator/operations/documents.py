"""Looking at documents, and locking them."""

import zlib

from asyncupload.emulator.forms import Form
from asyncupload.emulator.library import Document, Version
from asyncupload.emulator.operations.desk import Desk, no_document, read_side_crc, timestamp
from asyncupload.emulator.replies import Answer, Refusal, element, text_element

_PIECE = 1 << 20
_DESCRIBED = ("Description", "Keywords", "CreationDate", "ModificationDate")


def exists(desk: Desk, form: Form) -> Answer:
    """DocumentExists. A folder is not a document."""
    desk.caller(form)
    return _crcs(desk.document(form.text("Path")))


def exists_in(desk: Desk, form: Form) -> Answer:
    """DocumentExists1: the exact name in a folder, no short form."""
    desk.caller(form)
    folder = desk.store.library.folder(form.text("FolderPath"))
    document = None if folder is None else desk.store.library.document_in(folder, form.text("DocumentName"))
    if document is None:
        raise no_document()
    return _crcs(document)


def get(desk: Desk, form: Form) -> Answer:
    """GetDocument. What its four booleans would add is left out, as for a document that has none of it."""
    desk.caller(form)
    told = attributes(desk.document(form.text("Path")))
    if desk.how.bare_document:
        told = {name: value for name, value in told.items() if name not in _DESCRIBED}
    return Answer({"error": ""}, element("document", told))


def attributes(document: Document) -> dict[str, str]:
    """What GetDocument and the listings tell of a document."""
    latest, published, checkout = document.latest, document.published, document.checkout
    return {
        "DocumentID": str(document.id),
        "Name": document.name,
        "Path": document.folder.replace("/", "\\"),
        "Description": document.description,
        "Keywords": document.keywords,
        "Size": str(latest.size),
        "CreationDate": timestamp(document.created),
        "ModificationDate": timestamp(document.modified),
        "CheckoutBy": "" if checkout is None else str(checkout.user),
        "CheckoutByUserName": "" if checkout is None else checkout.login,
        "CheckoutDate": "" if checkout is None else timestamp(checkout.at),
        "VersionNumber": str(latest.number),
        "PublishedVersionNumber": "0" if published is None else str(published.number),
        "VersionCount": str(len(document.versions)),
        "PercentComplete": "0",
    }


def get_versions(desk: Desk, form: Form) -> Answer:
    """GetDocumentVersions, from the oldest."""
    desk.caller(form)
    document = desk.document(form.text("Path"))
    return Answer({"error": ""}, element("Versions", {}, "".join(map(_version, document.versions))))


def verify_hash(desk: Desk, form: Form) -> Answer:
    """VerifyVersionHash: do the stored bytes still have the CRC that they had when they were filed?"""
    desk.caller(form)
    version = desk.version(desk.document(form.text("path")), form.number("versionNumber"))
    crc = 0
    with desk.store.library.content(version).open("rb") as file:
        while piece := file.read(_PIECE):
            crc = zlib.crc32(piece, crc)
    verified = "true" if crc == version.crc32 else "false"
    if desk.how.verified_child:
        return Answer(inside=text_element("Value", verified))
    return Answer({"hashVerified": verified})


def lock(desk: Desk, form: Form) -> Answer:
    """Documents only; which documents a lock on a folder reaches is not described well enough to imitate."""
    user = desk.caller(form)
    if desk.how.no_lock:
        raise Refusal(5030, "The document could not be checked out.")
    document = desk.document(form.text("Path"))
    _refuse_second_lock(document, user.id)
    desk.store.library.check_out(document, user.id)
    return Answer({"error": ""})


def is_lock_possible(desk: Desk, form: Form) -> Answer:
    user = desk.caller(form)
    _refuse_second_lock(desk.document(form.text("Path")), user.id)
    return Answer({"error": ""})


def unlock(desk: Desk, form: Form) -> Answer:
    """`force` takes another user's checkout away; it does not help where there is none."""
    user = desk.caller(form)
    if desk.how.no_unlock:
        raise Refusal(5030, "The checkout could not be taken back.")
    document = desk.document(form.text("path"))
    if document.checkout is None:
        raise Refusal(4000, "This document is not checked out.")
    if document.checkout.user != user.id and not form.flag("force"):
        raise Refusal(4030, f"The document is checked out by {document.checkout.login}.")
    desk.store.library.check_out(document, None)
    return Answer({"error": ""})


def _crcs(document: Document) -> Answer:
    published = document.published
    return Answer(
        {
            "CRC32LASTVERSION": read_side_crc(document.latest.crc32),
            "CRC32": "" if published is None else read_side_crc(published.crc32),
        }
    )


def _version(version: Version) -> str:
    """CheckSum stays empty: which sum a server puts there is open (question 12), a wrong one would mislead."""
    created = timestamp(version.created)
    texts = {
        "VersionAuthor": version.author,
        "VersionAuthorId": str(version.author_id),
        "VersionSize": str(version.size),
        "CheckSum": "",
        "DateCreated": created,
        "DatePublished": created if version.published else "",
        "Comment": version.comment,
        "ApprovalStatus": "",
        "ApprovalDate": "",
    }
    inside = "".join(text_element(name, text) for name, text in texts.items())
    return element("Version", {"Number": str(version.number)}, inside)


def _refuse_second_lock(document: Document, user: int) -> None:
    """No page gives a code for these; 4000 is what the other checkout errors carry."""
    if document.checkout is None:
        return
    if document.checkout.user == user:
        raise Refusal(4000, "Already checked out by you.")
    raise Refusal(4000, f"Already checked out by {document.checkout.login}.")

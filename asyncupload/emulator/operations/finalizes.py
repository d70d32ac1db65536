"""From a handler whose last chunk has come to a document.

Where no source says what the server does, these refuse; each place names its open question.
"""

from collections.abc import Callable
from typing import NoReturn, TypeVar

from asyncupload.emulator.forms import Form
from asyncupload.emulator.handlers import UploadHandler
from asyncupload.emulator.library import Document
from asyncupload.emulator.operations.desk import Desk, name_taken
from asyncupload.emulator.operations.filing import Staged, file_at, file_new
from asyncupload.emulator.parameters import Parameters, packed_version, read_parameters
from asyncupload.emulator.replies import Answer, Refusal, Rejected

T = TypeVar("T")


def plain(desk: Desk, form: Form) -> Answer:
    """UploadDocumentWithHandler."""
    return _filed_at_path(desk, form, Parameters)


def with_comment(desk: Desk, form: Form) -> Answer:
    """UploadDocumentWithHandler1."""
    return _filed_at_path(desk, form, lambda: Parameters(version_comment=_comment(desk, form)))


def with_version(desk: Desk, form: Form) -> Answer:
    """UploadDocumentWithHandler2: the number of the version is the sender's choice."""

    def asked() -> Parameters:
        parts = (form.number(f"mpVersion{part}") for part in ("Major", "Minor", "Revision"))
        return Parameters(version_comment=_comment(desk, form), version=packed_version(*parts))

    return _filed_at_path(desk, form, asked)


def with_parameters(desk: Desk, form: Form) -> Answer:
    """UploadDocumentWithHandler3."""
    return _filed_at_path(desk, form, lambda: read_parameters(form.text("xmlParameters"), desk.how))


def new_document(desk: Desk, form: Form) -> Answer:
    """UploadNewDocumentWidthHandler: creates only."""

    def commit(staged: Staged) -> Document:
        asked = read_parameters(form.text("xmlParameters"), desk.how)
        folder, name = desk.folder(form.text("FolderPath")), form.text("DocumentName")
        if desk.store.library.document_in(folder, name) is not None:
            raise name_taken()
        return file_new(desk, folder, name, staged, asked)

    return _told(desk, consuming(desk, form, commit))


def consuming(desk: Desk, form: Form, commit: Callable[[Staged], T]) -> T:
    """Commit what the form's handler has staged.

    The handler is used up by every attempt that gets past the ticket and finds it, whatever comes of it.
    """
    ticket = desk.signed_in(form)
    handler = desk.handler(form, ticket)
    try:
        return commit(_finished(desk, handler, ticket.user.id))
    except (Refusal, Rejected):
        if not desk.how.lenient_consume:
            desk.store.handlers.delete(handler)
        raise


def refuse_and_consume(desk: Desk, form: Form, refusal: Refusal) -> NoReturn:
    """A finalize that fails for a reason of the server's own, after the handler is used up."""
    desk.store.handlers.delete(desk.handler(form, desk.signed_in(form)))
    raise refusal


def _filed_at_path(desk: Desk, form: Form, asked: Callable[[], Parameters]) -> Answer:
    """`asked` is called late, because what it refuses uses the handler up, too."""
    return _told(desk, consuming(desk, form, lambda staged: file_at(desk, form.text("path"), staged, asked())))


def _told(desk: Desk, document: Document) -> Answer:
    """VersionId is the packed version number, as the sample's 1000001 suggests."""
    name = "DocumentID" if desk.how.capital_documentid else "DocumentId"
    return Answer({name: str(document.id), "VersionId": str(document.latest.number)})


def _comment(desk: Desk, form: Form) -> str:
    singular = form.text("versionComment") if desk.how.sample_names else ""
    return form.text("versionComments") or singular


def _finished(desk: Desk, handler: UploadHandler, user: int) -> Staged:
    early = desk.how.early_finalize and handler.size > 0
    if not handler.completed and not early:  # Open question 6.
        raise Refusal(4000, "The last chunk of the upload handler has not been uploaded.")
    desk.refuse_size(handler.size)  # Open question 15: here and not earlier, with this code.
    handlers = desk.store.handlers
    return Staged(
        file=handlers.file(handler),
        move_to=lambda target: handlers.take(handler, target),
        size=handler.size,
        crc32=handler.crc,
        user=user,
    )

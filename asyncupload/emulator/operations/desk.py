"""What every operation stands on: the store, the choices, and the questions that many of them ask."""

import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

from asyncupload.emulator.accounts import Ticket, User
from asyncupload.emulator.forms import Form
from asyncupload.emulator.handlers import UploadHandler
from asyncupload.emulator.library import Document, Folder, Version
from asyncupload.emulator.replies import Refusal
from asyncupload.emulator.store import Store
from asyncupload.emulator.variants import Behaviour

Chunk = bytes | memoryview


def as_it_is(chunk: Chunk) -> Chunk:
    return chunk


@dataclass(frozen=True, slots=True)
class Begun:
    """What a slow finalize found when it began. It goes by that to its end, whatever has become of it meanwhile."""

    ticket: Ticket
    handler: UploadHandler


@dataclass(frozen=True, slots=True)
class Desk:
    """`default_chunk_size` and `document_max_size` in bytes; a maximum of 0 is no limit.

    `rules` are those of folders, by path in lower case: what is not among them is allowed there.

    `staged` is what is staged of a chunk whose CRC is right; something else only for a fault's sake. `missing` are the
    operations that this server does not have.
    """

    store: Store
    how: Behaviour
    default_chunk_size: int
    document_max_size: int
    chunk_sizes: tuple[int, int]
    missing: frozenset[str] = frozenset()
    rules: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    staged: Callable[[Chunk], Chunk] = as_it_is
    begun: Begun | None = None

    def caller(self, form: Form) -> User:
        """Who calls. Refusal (4010) without a good ticket."""
        return self.signed_in(form).user

    def signed_in(self, form: Form) -> Ticket:
        """The caller's ticket. Refusal (4010) without a good ticket; a good one is prolonged.

        Nobody has rights as the anonymous user here, so that no ticket at all is refused like a bad one.
        """
        if self.begun is not None:
            return self.begun.ticket
        given = form.text("authenticationTicket")
        ticket = self.store.accounts.look_up(given)
        if ticket is None:
            raise self.dead_ticket() if given else Refusal(4010, "[900] Authentication failed")
        return self.store.accounts.prolong(ticket)

    def ticket(self, form: Form, name: str) -> Ticket:
        """The ticket in that field, or in the cookie if the field is empty; not prolonged. Refusal (4010)."""
        ticket = self.store.accounts.look_up(form.text(name) or form.cookie)
        if ticket is None:
            raise self.dead_ticket()
        return ticket

    def dead_ticket(self) -> Refusal:
        return Refusal(4000 if self.how.dead_ticket_4000 else 4010, "[901] Session expired or Invalid ticket")

    def chunk_size(self, wished: int) -> int:
        """What a wish for a chunk size becomes: 0 is the default, all else is brought into the range."""
        return self.default_chunk_size if wished == 0 else min(max(wished, self.chunk_sizes[0]), self.chunk_sizes[1])

    def folder(self, path: str) -> Folder:
        found = self.store.library.folder(path)
        if found is None:
            raise Refusal(4041, "Folder not found.")
        return found

    def document(self, path: str) -> Document:
        found = self.store.library.document(path)
        if found is None:
            raise no_document()
        return found

    def version(self, document: Document, number: int) -> Version:
        """The version of that number; 0 is the published one, then the latest. Refusal (4041) if there is none."""
        latest = number == 0 and self.how.zero_is_latest
        found = document.latest if latest else document.version(number)
        if found is None:
            raise no_document()
        return found

    def handler(self, form: Form, ticket: Ticket) -> UploadHandler:
        """The caller's own upload handler, which the form names; one of another user is as good as none."""
        if self.begun is not None:
            return self.begun.handler
        wanted = guid(form.text("uploadHandler"))
        handler = None if wanted is None else self.store.handlers.find(wanted)
        if handler is not None and self.serves(handler, ticket):
            return handler
        raise Refusal(4000, self._no_handler(wanted))

    def _no_handler(self, wanted: str | None) -> str:
        """The older page has a literal for what is no GUID, and says of the others only that there is an error."""
        if self.how.old_handler_text:
            return "Invalid upload handler." if wanted is None else "The upload handler was not found or has expired."
        if wanted is None:
            return "The upload handler is not a handler. It is the GUID CreateUploadHandler answered with."
        return "The upload handler cannot be found."

    def serves(self, handler: UploadHandler, ticket: Ticket) -> bool:
        """May the ticket's user have that handler?"""
        if self.how.ticket_bound:
            return handler.ticket in {None, ticket.guid}
        return self.how.unbound or handler.owner in {None, ticket.user.id}

    def rules_of(self, folder: Folder) -> dict[str, str]:
        """All rules of a folder."""
        own = self.rules.get(self.store.library.folder_path(folder.id).lower(), {})
        return {**_NO_RULES, **own}

    def refuse_new(self, folder: Folder, name: str) -> None:
        """Refusal (4030) for a document that the folder's rules keep out."""
        rules = self.rules_of(folder)
        if rules["NewDocuments"] != "allows":
            raise Refusal(4030, "The folder rules do not allow new documents.")
        kinds = {kind.strip().lstrip(".").lower() for kind in rules["AllowableFileTypes"].split(",")}
        if "*" not in kinds and name.rpartition(".")[2].lower() not in kinds:
            raise Refusal(4030, "The folder rules do not allow this file type.")

    def refuse_version(self, document: Document) -> None:
        """Refusal (4030) for a version that the folder's rules keep out."""
        folder = self.store.library.folder(document.folder)
        if folder is not None and self.rules_of(folder)["Checkins"] != "allows":
            raise Refusal(4030, "The folder rules do not allow check-ins.")

    def refuse_size(self, size: int) -> None:
        """Refusal (4000) for a document of that many bytes, if it is too large."""
        if 0 < self.document_max_size < size:
            raise Refusal(4000, f"The document has {size} bytes, the limit is {self.document_max_size}.")


_NO_RULES = {"AllowableFileTypes": "*", "NewDocuments": "allows", "Checkins": "allows", "Checkouts": "allows"}


def no_document() -> Refusal:
    return Refusal(4041, "Document not found.")


def name_taken() -> Refusal:
    return Refusal(4090, "An object with this name already exists.")


def guid(text: str) -> str | None:
    """A GUID in its usual spelling, None for a text that is none."""
    try:
        return str(uuid.UUID(text.strip()))
    except ValueError:
        return None


def timestamp(seconds: float) -> str:
    """UTC with milliseconds, as the document operations print it."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def read_side_crc(crc: int) -> str:
    """Eight lower-case digits, as in every sample that reads a document; chunk answers use the other style."""
    return f"{crc:08x}"

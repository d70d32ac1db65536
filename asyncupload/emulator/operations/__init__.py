"""The table of operations: what each one needs before it runs, and what its answer looks like."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from asyncupload.emulator.forms import Form
from asyncupload.emulator.operations import documents, downloads, folders, tickets, uploads
from asyncupload.emulator.operations.desk import Desk
from asyncupload.emulator.replies import (
    Answer,
    Refusal,
    Rejected,
    Reply,
    Root,
    failure_reply,
    rejected_reply,
    success_reply,
)
from asyncupload.emulator.variants import Behaviour

_BOTH = ("GET", "POST")
_POST = ("POST",)


@dataclass(frozen=True, slots=True)
class Operation:
    """A row of the table: the fields that are bound before `run`, on pain of HTTP 400.

    `strings` and `octets` have to be there and not empty; `numbers` and `flags` may be missing, but not be
    something else. Ticket fields are in no row: without one the caller is the anonymous user, and that is for
    `run` to judge.
    """

    name: str
    run: Callable[[Desk, Form], Answer]
    root: Root
    strings: tuple[str, ...] = ()
    octets: tuple[str, ...] = ()
    numbers: tuple[str, ...] = ()
    flags: tuple[str, ...] = ()
    methods: tuple[str, ...] = _BOTH
    bare_failure: bool = False

    def takes(self, method: str, how: Behaviour) -> bool:
        return method in self.methods or how.get_chunks

    def reply(self, desk: Desk, read: Callable[[], Form]) -> Reply:
        """Read the form, bind it, run, and write the answer."""

        def run() -> Answer:
            form = read()
            form.bind(strings=self._required(desk.how), octets=self.octets, numbers=self.numbers, flags=self.flags)
            return self.run(desk, form)

        return self.answered(desk, run)

    def _required(self, how: Behaviour) -> tuple[str, ...]:
        return tuple(name for name in self.strings if not (how.empty_parameters and name == "xmlParameters"))

    def answered(self, desk: Desk, make: Callable[[], Answer]) -> Reply:
        """The answer as this operation writes it.

        A refusal must not leave here as an exception: that would take the store's transaction back, and
        with it what a refused finalize does to its handler.
        """
        try:
            return success_reply(make(), self.root, desk.how)
        except Refusal as refusal:
            return failure_reply(refusal, self.root, desk.how, bare=self.bare_failure)
        except Rejected as rejected:
            return rejected_reply(rejected, desk.how)


_OF_A_DOCUMENT = ("withPropertySets", "withSecurity", "withOwner", "withVersions")
_TABLE = (
    Operation("AuthenticateUser", tickets.authenticate, "root", ("UID", "PWD")),
    Operation("AuthenticateUser1", tickets.authenticate, "root", ("UID", "PWD")),
    Operation("RenewTicket", tickets.renew, "root", ("UID", "PWD")),
    Operation("isValidTicket", tickets.is_valid, "root"),
    Operation("LogOut", tickets.log_out, "root"),
    Operation("ServerInfo", tickets.server_info, "root"),
    Operation("GetGeneralAppSettings", tickets.general_settings, "response"),
    Operation("CreateUploadHandler", uploads.create_handler, "response", numbers=("PreferedChunkSize",)),
    Operation(
        "UploadFileChunk",
        uploads.upload_chunk,
        "root",
        ("uploadHandler", "chunkHEXCRC"),
        octets=("fileChunk",),
        flags=("lastChunk",),
        methods=_POST,
    ),
    Operation("DeleteUploadHandler", uploads.delete_handler, "response", ("UploadHandler",)),
    Operation("UploadDocumentWithHandler", uploads.finalize, "root", ("path", "uploadHandler")),
    Operation("UploadDocumentWithHandler1", uploads.finalize_with_comment, "root", ("path", "uploadHandler")),
    Operation(
        "UploadDocumentWithHandler3",
        uploads.finalize_with_parameters,
        "root",
        ("path", "uploadHandler", "xmlParameters"),
    ),
    Operation(
        "UploadNewDocumentWidthHandler",
        uploads.finalize_new,
        "root",
        ("FolderPath", "DocumentName", "uploadHandler", "xmlParameters"),
    ),
    Operation("DocumentExists", documents.exists, "response", ("Path",)),
    Operation("DocumentExists1", documents.exists_in, "response", ("FolderPath", "DocumentName")),
    Operation("GetDocument", documents.get, "response", ("Path",), flags=_OF_A_DOCUMENT),
    Operation("GetDocumentVersions", documents.get_versions, "response", ("Path",)),
    Operation("Lock", documents.lock, "response", ("Path",)),
    Operation("UnLock", documents.unlock, "response", ("path",), flags=("force",)),
    Operation("IsLockPossible", documents.is_lock_possible, "response", ("Path",)),
    Operation("FolderExists", folders.exists, "response", ("Path",), bare_failure=True),
    Operation("FolderExists1", folders.exists_in, "response", ("FolderPath", "FolderName"), bare_failure=True),
    Operation("CreateFolder", folders.create, "response", ("Path",), bare_failure=True),
    Operation("GetFolderRules", folders.rules, "response", ("Path",), bare_failure=True),
    Operation("GetDownloadInfo", downloads.info, "response", ("Path",)),
    Operation("GetDownloadHandler", downloads.open_latest, "response", ("Path",), numbers=("PreferedChunkSize",)),
    Operation(
        "GetDownloadHandlerByVersion",
        downloads.open_version,
        "response",
        ("Path",),
        numbers=("PreferedChunkSize", "VersionNumber"),
    ),
    Operation(
        "DownloadFileChunk",
        downloads.chunk,
        "response",
        ("DownloadHandler",),
        numbers=("StartOffset", "ChunkSize"),
    ),
    Operation("DeleteDownloadHandler", downloads.delete, "response", ("DownloadHandler",)),
)

OPERATIONS: Mapping[str, Operation] = MappingProxyType({operation.name.lower(): operation for operation in _TABLE})
"""By lower-case name, because a route is found whatever its case."""

"""The table of operations: what each one needs before it runs, and what its answer looks like."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from asyncupload.emulator.fields import Field, fields
from asyncupload.emulator.forms import Form
from asyncupload.emulator.operations import documents, downloads, finalizes, folders, listing, tickets, uploads, zips
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
    """A row of the table. `fields` are bound before `run`, on pain of HTTP 400.

    Strings and bytes that are required have to be there and not empty; numbers and truths may be missing, but not
    be something else. Tickets are required nowhere: without one the caller is the anonymous user, and that is for
    `run` to judge.
    """

    name: str
    run: Callable[[Desk, Form], Answer]
    root: Root
    fields: tuple[Field, ...] = ()
    methods: tuple[str, ...] = _BOTH
    bare_failure: bool = False

    @property
    def consumes(self) -> bool:
        """Whether it makes documents of what an upload handler has staged."""
        return self.name.startswith("Upload") and self.name != "UploadFileChunk"

    def takes(self, method: str, how: Behaviour) -> bool:
        return method in self.methods or how.get_chunks

    def reply(self, desk: Desk, read: Callable[[], Form]) -> Reply:
        """Read the form, bind it, run, and write the answer."""

        def run() -> Answer:
            form = read()
            form.bind(self._bound(desk.how))
            return self.run(desk, form)

        return self.answered(desk, run)

    def _bound(self, how: Behaviour) -> tuple[Field, ...]:
        return tuple(field for field in self.fields if not (how.empty_parameters and field.name == "xmlParameters"))

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


_IN_A_FOLDER = fields(
    "authenticationTicket? Path withrules:bool withpropertysets:bool withsecurity:bool withOwner:bool withVersions:bool"
)
_TABLE = (
    Operation("AuthenticateUser", tickets.authenticate, "root", fields("UID PWD")),
    Operation("AuthenticateUser1", tickets.authenticate, "root", fields("UID PWD Lang?")),
    Operation("RenewTicket", tickets.renew, "root", fields("UID PWD Lang? OldTicket?")),
    Operation("isValidTicket", tickets.is_valid, "root", fields("AuthenticationTicket?")),
    Operation("LogOut", tickets.log_out, "root", fields("AuthenticationTicket?")),
    Operation("ServerInfo", tickets.server_info, "root"),
    Operation("GetGeneralAppSettings", tickets.general_settings, "response", fields("authenticationTicket?")),
    Operation("getApplicationParameters", tickets.parameters, "response", fields("AuthenticationTicket?")),
    Operation(
        "CreateUploadHandler",
        uploads.create_handler,
        "response",
        fields("authenticationTicket? PreferedChunkSize:int"),
    ),
    Operation(
        "UploadFileChunk",
        uploads.upload_chunk,
        "root",
        fields("authenticationTicket? uploadHandler fileChunk:bytes chunkHEXCRC lastChunk:bool"),
        methods=_POST,
    ),
    Operation("DeleteUploadHandler", uploads.delete_handler, "response", fields("authenticationTicket? UploadHandler")),
    Operation("UploadDocumentWithHandler", finalizes.plain, "root", fields("authenticationTicket? path uploadHandler")),
    Operation(
        "UploadDocumentWithHandler1",
        finalizes.with_comment,
        "root",
        fields("authenticationTicket? path uploadHandler versionComments?"),
    ),
    Operation(
        "UploadDocumentWithHandler2",
        finalizes.with_version,
        "root",
        fields(
            "authenticationTicket? path uploadHandler versionComments? "
            "mpVersionMajor:short mpVersionMinor:short mpVersionRevision:short"
        ),
    ),
    Operation(
        "UploadDocumentWithHandler3",
        finalizes.with_parameters,
        "root",
        fields("authenticationTicket? path uploadHandler xmlParameters"),
    ),
    Operation(
        "UploadNewDocumentWidthHandler",
        finalizes.new_document,
        "root",
        fields("authenticationTicket? FolderPath DocumentName uploadHandler xmlParameters"),
    ),
    Operation(
        "UploadZipWithHandler",
        zips.upload_zip,
        "root",
        fields("authenticationTicket? folderPath uploadHandler changedOnly:bool checkOutCheckIn:bool sendEmail:bool"),
    ),
    Operation("DocumentExists", documents.exists, "response", fields("authenticationTicket? Path")),
    Operation(
        "DocumentExists1", documents.exists_in, "response", fields("authenticationTicket? FolderPath DocumentName")
    ),
    Operation(
        "GetDocument",
        documents.get,
        "response",
        fields("AuthenticationTicket? Path withPropertySets:bool withSecurity:bool withOwner:bool withVersions:bool"),
    ),
    Operation("GetDocumentVersions", documents.get_versions, "response", fields("AuthenticationTicket? Path")),
    Operation(
        "VerifyVersionHash",
        documents.verify_hash,
        "response",
        fields("authenticationTicket? path versionNumber:int"),
    ),
    Operation("Lock", documents.lock, "response", fields("AuthenticationTicket? Path")),
    Operation("UnLock", documents.unlock, "response", fields("authenticationTicket? path force:bool")),
    Operation("IsLockPossible", documents.is_lock_possible, "response", fields("AuthenticationTicket? Path")),
    Operation("FolderExists", folders.exists, "response", fields("authenticationTicket? Path"), bare_failure=True),
    Operation(
        "FolderExists1",
        folders.exists_in,
        "response",
        fields("authenticationTicket? FolderPath FolderName"),
        bare_failure=True,
    ),
    Operation("CreateFolder", folders.create, "response", fields("authenticationTicket? Path"), bare_failure=True),
    Operation("GetFolderRules", folders.rules, "response", fields("authenticationTicket? Path"), bare_failure=True),
    Operation("GetFoldersAndDocuments", listing.full, "root", _IN_A_FOLDER),
    Operation("GetFoldersAndDocuments1", listing.short, "response", _IN_A_FOLDER),
    Operation("GetFoldersAndDocuments2", listing.names_only, "root", _IN_A_FOLDER),
    Operation("GetDownloadInfo", downloads.info, "response", fields("AuthenticationTicket? Path")),
    Operation(
        "GetDownloadInfoByVersion",
        downloads.info_by_version,
        "response",
        fields("AuthenticationTicket? Path VersionNumber:int"),
    ),
    Operation(
        "GetDownloadHandler",
        downloads.open_latest,
        "response",
        fields("AuthenticationTicket? Path PreferedChunkSize:int"),
    ),
    Operation(
        "GetDownloadHandlerByVersion",
        downloads.open_version,
        "response",
        fields("AuthenticationTicket? Path PreferedChunkSize:int VersionNumber:int"),
    ),
    Operation(
        "DownloadFileChunk",
        downloads.chunk,
        "response",
        fields("authenticationTicket? DownloadHandler StartOffset:int ChunkSize:int"),
    ),
    Operation("DeleteDownloadHandler", downloads.delete, "response", fields("authenticationTicket? DownloadHandler")),
)

OPERATIONS: Mapping[str, Operation] = MappingProxyType({operation.name.lower(): operation for operation in _TABLE})
"""By lower-case name, because a route is found whatever its case."""

SIGNATURES: Mapping[str, tuple[Field, ...]] = MappingProxyType({row.name: row.fields for row in _TABLE})
"""Name to fields, as the WSDL tells them."""

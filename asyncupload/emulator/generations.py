"""Which server is played: its operations, how it spells their fields, and which readings of the pages are its own.

The generation of 2019 is the one that a real server's WSDL of that year describes: ASP.NET's own web services (ASMX).
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType

from asyncupload.emulator.fields import Field, fields
from asyncupload.emulator.operations import OPERATIONS, Operation

_BOTH = ("GET", "POST")
_IN_A_FOLDER = "withrules:bool withpropertysets:bool withsecurity:bool withOwner:bool withVersions:bool"

# Without the ticket, which is the first field of all but those that begin with a user's name, and of ServerInfo.
_OF_2019: Mapping[str, str] = {
    "AuthenticateUser": "UID PWD",
    "AuthenticateUser1": "UID PWD Lang",
    "RenewTicket": "UID PWD Lang OldTicket",
    "isValidTicket": "",
    "LogOut": "",
    "ServerInfo": "",
    "getApplicationParameters": "",
    "CreateUploadHandler": "PreferedChunkSize:int",
    "UploadFileChunk": "UploadHandler FileChunk:bytes ChunkHEXCRC LastChunk:bool",
    "DeleteUploadHandler": "UploadHandler",
    "UploadDocumentWithHandler": "Path UploadHandler",
    "UploadDocumentWithHandler1": "Path UploadHandler VersionComments",
    "UploadDocumentWithHandler2": "Path UploadHandler VersionComments "
    "MPVersionMajor:short MPVersionMinor:short MPVersionRevision:short",
    "UploadDocumentWithHandler3": "Path UploadHandler xmlParameters",
    "UploadNewDocumentWidthHandler": "FolderPath DocumentName UploadHandler xmlParameters",
    "DocumentExists": "Path",
    "DocumentExists1": "FolderPath DocumentName",
    "GetDocument": "Path withPropertySets:bool withSecurity:bool withOwner:bool withVersions:bool",
    "GetDocumentVersions": "Path",
    "Lock": "Path",
    "UnLock": "Path force:bool",
    "IsLockPossible": "Path",
    "FolderExists": "Path",
    "FolderExists1": "FolderPath FolderName",
    "CreateFolder": "Path",
    "GetFolderRules": "Path",
    "GetFoldersAndDocuments": f"Path {_IN_A_FOLDER}",
    "GetFoldersAndDocuments1": "Path",
    "GetFoldersAndDocuments2": "Path",
    "GetDownloadInfo": "Path",
    "GetDownloadInfoByVersion": "Path VersionNumber:int",
    "GetDownloadHandler": "Path PreferedChunkSize:int",
    "GetDownloadHandlerByVersion": "Path PreferedChunkSize:int VersionNumber:int",
    "DownloadFileChunk": "DownloadHandler StartOffset:int ChunkSize:int",
    "DeleteDownloadHandler": "DownloadHandler",
}
_WITHOUT_TICKET = frozenset({"AuthenticateUser", "AuthenticateUser1", "RenewTicket", "ServerInfo"})


@dataclass(frozen=True, slots=True)
class Generation:
    """A kind of server. `operations` by lower-case name; `variants` are in force whatever else is chosen.

    `missing` are operations of other generations, which this one does not have.
    """

    operations: Mapping[str, Operation]
    variants: frozenset[str] = frozenset()

    @property
    def missing(self) -> frozenset[str]:
        return frozenset(row.name for key, row in OPERATIONS.items() if key not in self.operations)

    @property
    def signatures(self) -> Mapping[str, tuple[Field, ...]]:
        """Name to fields, as the WSDL tells them."""
        return {row.name: row.fields for row in self.operations.values()}


def _of_2019(name: str, signature: str) -> Operation:
    ticket = "" if name in _WITHOUT_TICKET else "AuthenticationTicket? "
    return replace(OPERATIONS[name.lower()], fields=fields(ticket + signature), methods=_BOTH)


GENERATIONS: Mapping[str, Generation] = MappingProxyType(
    {
        "2026": Generation(OPERATIONS),
        "2019": Generation(
            {name.lower(): _of_2019(name, signature) for name, signature in _OF_2019.items()},
            frozenset(
                {"classic-binding", "request-validation", "soap-12", "case-soap", "no-errorcode", "old-handler-text"}
            ),
        ),
    }
)
"""By the year of the description that was read."""


def generation(name: str) -> Generation:
    """ValueError for a name that is none."""
    if name not in GENERATIONS:
        raise ValueError(f"no such generation: {name}; known are {', '.join(GENERATIONS)}")
    return GENERATIONS[name]

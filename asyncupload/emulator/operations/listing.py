"""What lies in a folder, in the three forms of GetFoldersAndDocuments."""

from asyncupload.emulator.forms import Form
from asyncupload.emulator.library import Document, Folder
from asyncupload.emulator.operations.desk import Desk, timestamp
from asyncupload.emulator.operations.documents import attributes
from asyncupload.emulator.replies import Answer, element


def full(desk: Desk, form: Form) -> Answer:
    """GetFoldersAndDocuments. What its booleans would add is left out, as for folders that have none of it."""
    folder, folders, documents = _inside(desk, form)
    rows = [
        element("folder", {"FolderID": str(one.id), "ParentID": str(folder.id), **_named(desk, one)}) for one in folders
    ]
    return Answer(inside="".join([*rows, *(element("document", attributes(one)) for one in documents)]))


def short(desk: Desk, form: Form) -> Answer:
    """GetFoldersAndDocuments1."""
    folder, folders, documents = _inside(desk, form)
    rows = [element("f", {"id": str(one.id), "n": one.name}) for one in folders]
    told = {
        "folderid": str(folder.id),
        "name": folder.name,
        "path": _named(desk, folder)["Path"],
        "itemcount": str(len(folders) + len(documents)),
    }
    return Answer(told, "".join([*rows, *(element("d", _short(one)) for one in documents)]))


def names_only(desk: Desk, form: Form) -> Answer:
    """GetFoldersAndDocuments2."""
    _, folders, documents = _inside(desk, form)
    rows = [element("folder", {"id": str(one.id), "name": one.name}) for one in folders]
    for one in documents:
        told = {"id": str(one.id), "name": one.name, "versionid": str(one.latest.number)}
        rows.append(element("document", told))
    return Answer(inside="".join(rows))


def _inside(desk: Desk, form: Form) -> tuple[Folder, list[Folder], list[Document]]:
    desk.caller(form)
    folder = desk.folder(form.text("Path"))
    return folder, desk.store.library.subfolders(folder), desk.store.library.documents_in(folder)


def _named(desk: Desk, folder: Folder) -> dict[str, str]:
    """The name, and the path of what the folder lies in."""
    above = desk.store.library.folder_path(folder.id).rpartition("/")[0]
    return {"Name": folder.name, "Path": above.replace("/", "\\")}


def _short(document: Document) -> dict[str, str]:
    published = document.published
    return {
        "id": str(document.id),
        "n": document.name,
        "mdate": timestamp(document.modified),
        "cdate": timestamp(document.created),
        "size": str(document.latest.size),
        "chkoutbyusername": "" if document.checkout is None else document.checkout.login,
        "version": str(document.latest.number),
        "publishedversion": "0" if published is None else str(published.number),
    }

"""Folders: there or not, made, and what they allow."""

from asyncupload.emulator import names
from asyncupload.emulator.forms import Form
from asyncupload.emulator.library import Folder
from asyncupload.emulator.operations.desk import Desk, name_taken
from asyncupload.emulator.replies import Answer, Refusal, element


def exists(desk: Desk, form: Form) -> Answer:
    """FolderExists. A document is not a folder."""
    desk.caller(form)
    desk.folder(form.text("Path"))
    return Answer()


def exists_in(desk: Desk, form: Form) -> Answer:
    """FolderExists1: the exact name in a folder."""
    desk.caller(form)
    parent = desk.folder(form.text("FolderPath"))
    if desk.store.library.subfolder(parent.id, form.text("FolderName")) is None:
        raise Refusal(4041, "Folder not found.")
    return Answer()


def create(desk: Desk, form: Form) -> Answer:
    """Makes every missing level below a library that must be there, under cleaned names."""
    desk.caller(form)
    library, *below = names.segments(form.text("Path")) or ("",)
    folder = desk.folder(library)
    if not below:
        raise Refusal(4041, "Folder not found.")
    made = None
    for wished in below:
        folder, made = step(desk, folder, wished)
    if made is None:
        raise name_taken()
    return Answer({"FolderId": str(made.id), "FolderName": made.name})


def rules(desk: Desk, form: Form) -> Answer:
    """GetFolderRules."""
    desk.caller(form)
    folder = desk.folder(form.text("Path"))
    rows = "".join(element("Rule", {"Name": name, "Value": value}) for name, value in desk.rules_of(folder).items())
    return Answer(inside=element("Rules", {}, rows))


def step(desk: Desk, parent: Folder, wished: str) -> tuple[Folder, Folder | None]:
    """One level down: the folder there, and the same again if it had to be made.

    Refusal for a name that a document has (4090), and for one that is nothing once it is cleaned (4000).
    """
    name = names.folder_name(wished)
    found = desk.store.library.subfolder(parent.id, name)
    if found is not None:
        return found, None
    if not name:
        raise Refusal(4000, f"{wished!r} leaves no name for a folder.")
    if desk.store.library.document_in(parent, name) is not None:
        raise name_taken()
    made = desk.store.library.make_folder(parent, name)
    return made, made

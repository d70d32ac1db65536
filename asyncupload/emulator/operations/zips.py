"""UploadZipWithHandler: a staged ZIP becomes the documents in it, each on its own."""

import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from asyncupload.emulator import names
from asyncupload.emulator.forms import Form
from asyncupload.emulator.library import Folder
from asyncupload.emulator.operations.desk import Desk
from asyncupload.emulator.operations.filing import Staged, file_new, file_version
from asyncupload.emulator.operations.finalizes import consuming
from asyncupload.emulator.operations.folders import step
from asyncupload.emulator.parameters import Parameters
from asyncupload.emulator.replies import Answer, Refusal, element, text_element

# Against bombs, whose smallest members unpack to gigabytes: bytes of all members, and times the packed size of one.
_LARGEST = 1 << 30
_DENSEST = 200
_PIECE = 1 << 20
# What the standard library raises for a broken member: of its own, of its decompressors, and of unknown methods.
_BROKEN = (zipfile.BadZipFile, zlib.error, EOFError, OSError, NotImplementedError, RuntimeError, ValueError)


Filed = tuple[str, str]
"""A member's name, and why it was not filed; empty if it was."""


@dataclass(frozen=True, slots=True)
class Wish:
    """How the documents are to be filed: `changed_only` passes over those that are the same already."""

    parameters: Parameters
    changed_only: bool


@dataclass(frozen=True, slots=True)
class Member:
    """A member of a ZIP, unpacked to `target` when it is wanted; for `room` bytes there is room."""

    archive: zipfile.ZipFile
    info: zipfile.ZipInfo
    target: Path
    user: int
    room: int

    def path(self) -> tuple[str, ...]:
        """Refusal for a name that leads out of the folder."""
        parts = names.segments(self.info.filename)
        if not parts or self.info.filename.startswith(("/", "\\")) or {".", ".."} & set(parts):
            raise Refusal(4000, "The name leads out of the folder.")
        return parts

    def unpacked(self, desk: Desk) -> Staged:
        """Unpack it. Refusal for one that is broken, encrypted, or out of all proportion."""
        size = self.info.file_size
        if size > self.room or size > _PIECE + _DENSEST * self.info.compress_size:
            raise Refusal(4000, f"The member would unpack to {size} bytes, which is too much.")
        desk.refuse_size(size)
        crc = 0
        try:
            with self.archive.open(self.info) as packed, self.target.open("wb") as plain:
                while piece := packed.read(_PIECE):
                    plain.write(piece)
                    crc = zlib.crc32(piece, crc)
        except _BROKEN as error:
            raise _failed(error) from error
        return Staged(self.target, self.target.replace, size, crc, self.user)


def upload_zip(desk: Desk, form: Form) -> Answer:
    """Every member that can be filed is; those that cannot are told in the log, and the whole is no success then."""
    changed_only = form.flag("changedOnly")
    # Documented: asking for changes only implies checking out and in.
    checkout = form.flag("checkOutCheckIn") or changed_only
    wish = Wish(Parameters(checkout=checkout, notify=form.flag("sendEmail")), changed_only)

    def commit(staged: Staged) -> list[Filed]:
        folder = desk.folder(form.text("folderPath"))
        with TemporaryDirectory(prefix="zip-", dir=staged.file.parent) as place:
            items = list(_filed(desk, folder, staged, Path(place) / "member", wish))
            if any(error for _, error in items):
                raise Refusal(None, "[log]", inside=_log([item for item in items if item[1]]))
            staged.move_to(Path(place) / "zip")  # It is done with, and goes with this folder.
        return items

    items = consuming(desk, form, commit)
    return Answer(inside=_log(items if desk.how.zip_logs else []))


def _log(items: list[Filed]) -> str:
    rows = (element("log", {}, text_element("item", name) + text_element("error", error)) for name, error in items)
    return element("logs", {}, "".join(rows))


def _filed(desk: Desk, folder: Folder, staged: Staged, target: Path, wish: Wish) -> Iterator[Filed]:
    room = _LARGEST
    try:
        archive = zipfile.ZipFile(staged.file)
    except _BROKEN as error:
        raise _failed(error) from error
    with archive:
        for number, info in enumerate(archive.infolist()):
            if number == 1 and desk.how.zip_breaks:
                raise Refusal(None, "SystemError:Exception of type 'System.OutOfMemoryException' was thrown.")
            try:
                _file(desk, folder, Member(archive, info, target, staged.user, room), wish)
            except Refusal as refusal:
                yield info.filename, refusal.text
            else:
                room -= info.file_size
                yield info.filename, ""


def _file(desk: Desk, folder: Folder, member: Member, wish: Wish) -> None:
    *above, name = member.path()
    if member.info.is_dir():
        above.append(name)
    for wished in above:
        folder, _ = step(desk, folder, wished)
    if member.info.is_dir():
        return
    staged, existing = member.unpacked(desk), desk.store.library.document_in(folder, name)
    if existing is None:
        file_new(desk, folder, name, staged, wish.parameters)
    elif not wish.changed_only or (staged.size, staged.crc32) != (existing.latest.size, existing.latest.crc32):
        file_version(desk, existing, staged, wish.parameters)


def _failed(error: Exception) -> Refusal:
    return Refusal(4000, f"Unzip operation failed: {error}")

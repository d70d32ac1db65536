"""Folders, documents, their versions, checkouts, and download handlers."""

import functools
import sqlite3
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from asyncupload.emulator import names

FIRST_VERSION = 1_000_000

_VERSION = (
    "versions.id, number, size, crc, comment, login, author, created, published "
    "FROM versions JOIN users ON users.id = author"
)
_VersionRow = tuple[int, int, int, int, str, str, int, float, int]
_DOCUMENT = (
    "documents.id, folder, name, description, keywords, checked_out_by, checked_out_at, login "
    "FROM documents LEFT JOIN users ON users.id = checked_out_by"
)
_DocumentRow = tuple[int, int, str, str, str, int | None, float | None, str | None]


@dataclass(frozen=True, slots=True)
class Folder:
    id: int
    name: str


ROOT = Folder(0, "")
"""What the libraries lie in. No path names it."""


@dataclass(frozen=True, slots=True)
class Checkout:
    """`at` in seconds since 1970."""

    user: int
    login: str
    at: float


@dataclass(frozen=True, slots=True)
class Version:
    """`number` packs major, minor and revision as the server does: first 1000000, then 1000001."""

    id: int
    number: int
    size: int
    crc32: int
    comment: str
    author: str
    author_id: int
    created: float
    published: bool


@dataclass(frozen=True, slots=True)
class Document:
    """`folder` is the path of the folder that it lies in; `versions` from the oldest, never empty."""

    id: int
    folder: str
    name: str
    description: str
    keywords: str
    checkout: Checkout | None
    versions: tuple[Version, ...]

    @property
    def path(self) -> str:
        return f"{self.folder}/{self.name}"

    @property
    def latest(self) -> Version:
        return self.versions[-1]

    @property
    def published(self) -> Version | None:
        """The newest version that was published."""
        return next((version for version in reversed(self.versions) if version.published), None)

    def version(self, number: int) -> Version | None:
        """The version of that number; 0 means the published one, or the latest if none is published."""
        if number == 0:
            return self.published or self.latest
        return next((version for version in self.versions if version.number == number), None)


@dataclass(frozen=True, slots=True)
class Content:
    """The bytes of a version about to be filed: how to put them at a path, and what they are."""

    move_to: Callable[[Path], None]
    size: int
    crc32: int
    author: int
    comment: str
    published: bool


@dataclass(frozen=True, slots=True)
class Download:
    guid: str
    chunk_size: int
    size: int
    file: Path


class Library:
    """A version's bytes are filed under its id, so that no name decides where anything lands on the disk."""

    def __init__(self, db: sqlite3.Connection, contents: Path) -> None:
        self._db = db
        self._contents = contents

    def folder(self, path: str) -> Folder | None:
        """The folder at the path, by its names or as ``~F12``."""
        short = names.short_path(path)
        if short is not None:
            return self._folder_by_id(short.id) if short.kind == "F" else None
        found: Folder | None = ROOT
        for name in names.segments(path):
            found = None if found is None else self.subfolder(found.id, name)
        return None if found is ROOT else found

    def subfolder(self, parent: int, name: str) -> Folder | None:
        query = "SELECT id, name FROM folders WHERE parent = ? AND key = ?"
        row = self._db.execute(query, (parent, names.key(name))).fetchone()
        return None if row is None else Folder(*row)

    def make_folder(self, parent: Folder, name: str) -> Folder:
        """A new folder in `parent`; a new library if that is ROOT."""
        row = (parent.id, name, names.key(name))
        cursor = self._db.execute("INSERT INTO folders (parent, name, key) VALUES (?, ?, ?)", row)
        return Folder(cursor.lastrowid or 0, name)

    def document(self, path: str) -> Document | None:
        """The document at the path, by its names or as ``~D12``."""
        short = names.short_path(path)
        if short is not None:
            return self._document(short.id) if short.kind == "D" and self._has_document(short.id) else None
        parts = names.segments(path)
        folder = self.folder("/".join(parts[:-1])) if len(parts) > 1 else None
        return None if folder is None else self.document_in(folder, parts[-1])

    def document_in(self, folder: Folder, name: str) -> Document | None:
        query = "SELECT id FROM documents WHERE folder = ? AND key = ?"
        row = self._db.execute(query, (folder.id, names.key(name))).fetchone()
        return None if row is None else self._document(row[0])

    def documents(self) -> list[Document]:
        """In two queries however many there are."""
        versions: dict[int, list[Version]] = {}
        for document, *row in self._db.execute(f"SELECT document, {_VERSION} ORDER BY document, number"):
            versions.setdefault(document, []).append(_version(tuple(row)))
        folder_path = functools.cache(self.folder_path)
        rows = self._db.execute(f"SELECT {_DOCUMENT} ORDER BY documents.id")
        return [_document(row, folder_path(row[1]), versions[row[0]]) for row in rows.fetchall()]

    def checkouts(self) -> dict[str, str]:
        """Path to login name."""
        query = (
            "SELECT folder, name, login FROM documents JOIN users ON users.id = checked_out_by ORDER BY documents.id"
        )
        rows = self._db.execute(query).fetchall()
        return {f"{self.folder_path(folder)}/{name}": login for folder, name, login in rows}

    def add_document(self, folder: Folder, name: str, content: Content) -> Document:
        row = (folder.id, name, names.key(name))
        query = "INSERT INTO documents (folder, name, key, description, keywords) VALUES (?, ?, ?, '', '')"
        made = self._db.execute(query, row).lastrowid or 0
        return self._add_version(made, FIRST_VERSION, content)

    def add_version(self, document: Document, number: int, content: Content) -> Document:
        return self._add_version(document.id, number, content)

    def describe(self, document: Document, description: str, keywords: str) -> None:
        """An empty text leaves what is there."""
        for column, text in (("description", description), ("keywords", keywords)):
            if text:
                self._db.execute(f"UPDATE documents SET {column} = ? WHERE id = ?", (text, document.id))  # noqa: S608

    def check_out(self, document: Document, user: int | None) -> None:
        """Give the checkout to the user whatever it was before; None takes it away."""
        row = (user, None if user is None else time.time(), document.id)
        self._db.execute("UPDATE documents SET checked_out_by = ?, checked_out_at = ? WHERE id = ?", row)

    def content(self, version: Version) -> Path:
        return self._contents / str(version.id)

    def open_download(self, version: Version, owner: int, chunk_size: int) -> Download:
        guid = str(uuid.uuid4())
        query = "INSERT INTO downloads (guid, owner, version, chunk_size) VALUES (?, ?, ?, ?)"
        self._db.execute(query, (guid, owner, version.id, chunk_size))
        return Download(guid, chunk_size, version.size, self.content(version))

    def find_download(self, guid: str, owner: int) -> Download | None:
        query = (
            "SELECT guid, chunk_size, size, versions.id FROM downloads "
            "JOIN versions ON versions.id = version WHERE guid = ? AND owner = ?"
        )
        row = self._db.execute(query, (guid, owner)).fetchone()
        return None if row is None else Download(row[0], row[1], row[2], self._contents / str(row[3]))

    def delete_download(self, guid: str, owner: int) -> None:
        self._db.execute("DELETE FROM downloads WHERE guid = ? AND owner = ?", (guid, owner))

    def _add_version(self, document: int, number: int, content: Content) -> Document:
        row = (document, number, content.size, content.crc32, content.comment, content.author, time.time())
        cursor = self._db.execute(
            "INSERT INTO versions (document, number, size, crc, comment, author, created, published) "
            "VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            (*row, content.published),
        )
        # After the INSERT: should that fail, the staged bytes are still where their handler looks for them.
        content.move_to(self._contents / str(cursor.lastrowid))
        return self._document(document)

    def _folder_by_id(self, folder: int) -> Folder | None:
        row = self._db.execute("SELECT id, name FROM folders WHERE id = ?", (folder,)).fetchone()
        return None if row is None else Folder(*row)

    def folder_path(self, folder: int) -> str:
        """``/Library/Folder`` of a folder that exists."""
        parts: list[str] = []
        while folder != ROOT.id:
            folder, name = self._db.execute("SELECT parent, name FROM folders WHERE id = ?", (folder,)).fetchone()
            parts.append(name)
        return "".join(f"/{name}" for name in reversed(parts))

    def _has_document(self, document: int) -> bool:
        return self._db.execute("SELECT 1 FROM documents WHERE id = ?", (document,)).fetchone() is not None

    def _document(self, document: int) -> Document:
        query = f"SELECT {_DOCUMENT} WHERE documents.id = ?"
        row = self._db.execute(query, (document,)).fetchone()
        query = f"SELECT {_VERSION} WHERE document = ? ORDER BY number"
        versions = [_version(version) for version in self._db.execute(query, (document,))]
        return _document(row, self.folder_path(row[1]), versions)


def _document(row: _DocumentRow, folder: str, versions: list[Version]) -> Document:
    number, _, name, description, keywords, holder, since, login = row
    checkout = None if holder is None else Checkout(holder, login or "", since or 0.0)
    return Document(number, folder, name, description, keywords, checkout, tuple(versions))


def _version(row: _VersionRow) -> Version:
    number, packed, size, crc, comment, author, author_id, created, published = row
    return Version(number, packed, size, crc, comment, author, author_id, created, bool(published))

"""Folders, documents, their versions, and checkouts."""

import functools
import sqlite3
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from asyncupload.emulator import names
from asyncupload.emulator.links import link

FIRST_VERSION = 1_000_000

_VERSION = (
    "versions.id, number, size, crc, comment, login, author, created, published, publish_option, notified "
    "FROM versions JOIN users ON users.id = author"
)
_VersionRow = tuple[int, int, int, int, str, str, int, float, int, str, int]
_DOCUMENT = (
    "documents.id, folder, name, description, keywords, text_content, creation_date, modification_date, "
    "checked_out_by, checked_out_at, login "
    "FROM documents LEFT JOIN users ON users.id = checked_out_by"
)
_DocumentRow = tuple[int, int, str, str, str, str, float | None, float | None, int | None, float | None, str | None]
_DESCRIBED = ("description", "keywords", "text_content", "creation_date", "modification_date")


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
    """`number` packs major, minor and revision as the server does: first 1000000, then 1000001.

    `publish_option` is the word that was sent, if any. `notified` says that subscribers were told by e-mail, as far
    as a server without subscribers and without e-mail can.
    """

    id: int
    number: int
    size: int
    crc32: int
    comment: str
    author: str
    author_id: int
    created: float
    published: bool
    publish_option: str
    notified: bool


@dataclass(frozen=True, slots=True)
class Document:
    """`folder` is the path of the folder that it lies in; `versions` from the oldest, never empty.

    `text_content` is the text to index that was sent along. `creation_date` and `modification_date`, in seconds
    since 1970, are those that were sent along, None if none were.
    """

    id: int
    folder: str
    name: str
    description: str
    keywords: str
    text_content: str
    creation_date: float | None
    modification_date: float | None
    checkout: Checkout | None
    versions: tuple[Version, ...]

    @property
    def path(self) -> str:
        return f"{self.folder}/{self.name}"

    @property
    def latest(self) -> Version:
        """The one that came last, which need not have the highest number."""
        return self.versions[-1]

    @property
    def created(self) -> float:
        return self.versions[0].created if self.creation_date is None else self.creation_date

    @property
    def modified(self) -> float:
        return self.latest.created if self.modification_date is None else self.modification_date

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

    move_to: Callable[[Path], object]
    size: int
    crc32: int
    author: int
    comment: str
    published: bool
    publish_option: str
    notified: bool


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

    def subfolders(self, folder: Folder) -> list[Folder]:
        """By name."""
        rows = self._db.execute("SELECT id, name FROM folders WHERE parent = ? ORDER BY key", (folder.id,))
        return [Folder(*row) for row in rows]

    def documents_in(self, folder: Folder) -> list[Document]:
        """By name."""
        rows = self._db.execute("SELECT id FROM documents WHERE folder = ? ORDER BY key", (folder.id,)).fetchall()
        return [self._document(row[0]) for row in rows]

    def documents(self) -> list[Document]:
        """In two queries however many there are."""
        versions: dict[int, list[Version]] = {}
        for document, *row in self._db.execute(f"SELECT document, {_VERSION} ORDER BY document, versions.id"):
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

    def add_document(self, folder: Folder, name: str, number: int, content: Content) -> Document:
        row = (folder.id, name, names.key(name))
        query = (
            "INSERT INTO documents (folder, name, key, description, keywords, text_content) "
            "VALUES (?, ?, ?, '', '', '')"
        )
        made = self._db.execute(query, row).lastrowid or 0
        return self._add_version(made, number, content)

    def add_version(self, document: Document, number: int, content: Content) -> Document:
        return self._add_version(document.id, number, content)

    def describe(self, document: Document, facts: Mapping[str, str | float | None]) -> Document:
        """Set these columns; an empty text or None leaves what is there."""
        for column in _DESCRIBED:
            if facts.get(column):
                self._db.execute(f"UPDATE documents SET {column} = ? WHERE id = ?", (facts[column], document.id))  # noqa: S608
        return self._document(document.id)

    def check_out(self, document: Document, user: int | None) -> None:
        """Give the checkout to the user whatever it was before; None takes it away."""
        row = (user, None if user is None else time.time(), document.id)
        self._db.execute("UPDATE documents SET checked_out_by = ?, checked_out_at = ? WHERE id = ?", row)

    def repeat_latest(self, document: Document, count: int, comment: str) -> None:
        """That many versions more of the latest content."""
        latest, last = document.latest, max(version.number for version in document.versions)
        first = self._db.execute("SELECT max(id) FROM versions").fetchone()[0] + 1
        facts = (latest.size, latest.crc32, comment, latest.author_id, time.time())
        told = (latest.published, latest.publish_option, latest.notified)
        self._db.executemany(
            "INSERT INTO versions (id, document, number, size, crc, comment, author, created, published, "
            "publish_option, notified) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            [(first + place, document.id, last + 1 + place, *facts, *told) for place in range(count)],
        )
        for place in range(count):
            link(self.content(latest), self._contents / str(first + place))

    def content(self, version: Version) -> Path:
        return self._contents / str(version.id)

    def _add_version(self, document: int, number: int, content: Content) -> Document:
        row = (document, number, content.size, content.crc32, content.comment, content.author, time.time())
        cursor = self._db.execute(
            "INSERT INTO versions (document, number, size, crc, comment, author, created, published, publish_option, "
            "notified) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (*row, content.published, content.publish_option, content.notified),
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
        query = f"SELECT {_VERSION} WHERE document = ? ORDER BY versions.id"
        versions = [_version(version) for version in self._db.execute(query, (document,))]
        return _document(row, self.folder_path(row[1]), versions)


def _document(row: _DocumentRow, folder: str, versions: list[Version]) -> Document:
    number, _, name, description, keywords, text, created, modified, holder, since, login = row
    checkout = None if holder is None else Checkout(holder, login or "", since or 0.0)
    facts = (description, keywords, text, created, modified, checkout)
    return Document(number, folder, name, *facts, tuple(versions))


def _version(row: _VersionRow) -> Version:
    number, packed, size, crc, comment, author, author_id, created, published, option, notified = row
    facts = (number, packed, size, crc, comment, author, author_id, created)
    return Version(*facts, bool(published), option, bool(notified))

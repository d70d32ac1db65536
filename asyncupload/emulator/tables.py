"""The tables of the data folder's SQLite file. Times are seconds since 1970; sizes are bytes."""

LAYOUT = 3
"""Kept in the file as its user_version; raised with every change below."""

TABLES = """
CREATE TABLE users (id INTEGER PRIMARY KEY AUTOINCREMENT, login TEXT NOT NULL, key TEXT NOT NULL UNIQUE);

CREATE TABLE tickets (guid TEXT PRIMARY KEY, user INTEGER NOT NULL, expires REAL NOT NULL);

CREATE TABLE uploads (
    id INTEGER PRIMARY KEY AUTOINCREMENT, guid TEXT NOT NULL UNIQUE, owner INTEGER, ticket TEXT,
    chunk_size INTEGER NOT NULL, size INTEGER NOT NULL, crc INTEGER NOT NULL, completed INTEGER NOT NULL,
    created REAL NOT NULL, touched REAL NOT NULL
);

CREATE TABLE folders (
    id INTEGER PRIMARY KEY AUTOINCREMENT, parent INTEGER NOT NULL, name TEXT NOT NULL, key TEXT NOT NULL,
    UNIQUE (parent, key)
);

CREATE TABLE documents (
    id INTEGER PRIMARY KEY AUTOINCREMENT, folder INTEGER NOT NULL, name TEXT NOT NULL, key TEXT NOT NULL,
    description TEXT NOT NULL, keywords TEXT NOT NULL, text_content TEXT NOT NULL,
    creation_date REAL, modification_date REAL, checked_out_by INTEGER, checked_out_at REAL,
    UNIQUE (folder, key)
);

CREATE TABLE versions (
    id INTEGER PRIMARY KEY AUTOINCREMENT, document INTEGER NOT NULL, number INTEGER NOT NULL,
    size INTEGER NOT NULL, crc INTEGER NOT NULL, comment TEXT NOT NULL, author INTEGER NOT NULL,
    created REAL NOT NULL, published INTEGER NOT NULL, publish_option TEXT NOT NULL, notified INTEGER NOT NULL,
    UNIQUE (document, number)
);

CREATE TABLE downloads (
    id INTEGER PRIMARY KEY AUTOINCREMENT, guid TEXT NOT NULL UNIQUE, owner INTEGER NOT NULL,
    version INTEGER NOT NULL, chunk_size INTEGER NOT NULL
);
"""

"""The tables of the durable state, as a list of formats: what makes each out of the one before. A format is never changed."""

from __future__ import annotations

from typing import Final

_FORMAT_1 = """
CREATE TABLE studies (
    number INTEGER PRIMARY KEY, uid TEXT NOT NULL, directory TEXT NOT NULL, opened REAL NOT NULL,
    made INTEGER NOT NULL, ended REAL);
CREATE INDEX studies_by_uid ON studies (uid);
CREATE INDEX studies_by_end ON studies (ended);
CREATE TABLE objects (
    study INTEGER NOT NULL, file TEXT NOT NULL, number INTEGER NOT NULL, latest INTEGER NOT NULL,
    association TEXT NOT NULL, incarnation TEXT NOT NULL, event INTEGER NOT NULL, name TEXT NOT NULL,
    caller BLOB NOT NULL, body BLOB NOT NULL, PRIMARY KEY (study, file)) WITHOUT ROWID;
CREATE TABLE tasks (number INTEGER PRIMARY KEY, study INTEGER NOT NULL, kind TEXT NOT NULL, body BLOB NOT NULL);
CREATE TABLE incarnations (name TEXT PRIMARY KEY, event INTEGER NOT NULL) WITHOUT ROWID;
"""
#: studies that ended, how often and with which files; objects that tell whether they changed something
_FORMAT_2 = """
CREATE TABLE revisions (uid TEXT PRIMARY KEY, revision INTEGER NOT NULL, ended REAL NOT NULL) WITHOUT ROWID;
CREATE INDEX revisions_by_end ON revisions (ended);
CREATE TABLE remembered (
    uid TEXT NOT NULL, instance TEXT NOT NULL, path TEXT NOT NULL, PRIMARY KEY (uid, instance)) WITHOUT ROWID;
ALTER TABLE objects ADD COLUMN changed INTEGER NOT NULL DEFAULT 1;
INSERT OR REPLACE INTO revisions SELECT uid, 1, ended FROM studies WHERE ended IS NOT NULL ORDER BY ended;
"""
#: hooks that failed for good; when objects came
_FORMAT_3 = """
CREATE TABLE failed (
    number INTEGER PRIMARY KEY, study INTEGER NOT NULL, kind TEXT NOT NULL, body BLOB NOT NULL, study_uid TEXT NOT NULL,
    directory TEXT NOT NULL, command TEXT NOT NULL, status INTEGER NOT NULL, attempts INTEGER NOT NULL,
    failed REAL NOT NULL);
ALTER TABLE objects ADD COLUMN arrived REAL NOT NULL DEFAULT 0;
"""
#: what a fleet is still to be told, and who this gateway is in it
_FORMAT_4 = """
CREATE TABLE entries (number INTEGER PRIMARY KEY, epoch TEXT NOT NULL, kind TEXT NOT NULL, body BLOB NOT NULL);
CREATE TABLE gateway (name TEXT PRIMARY KEY) WITHOUT ROWID;
"""
#: what an object store is still to get, ends of studies that it is still to be told, and files that only it has any more
_FORMAT_5 = """
CREATE TABLE uploads (
    number INTEGER PRIMARY KEY AUTOINCREMENT, key TEXT NOT NULL, directory TEXT, name TEXT NOT NULL, sha256 TEXT NOT NULL,
    size INTEGER NOT NULL, body BLOB NOT NULL, part INTEGER NOT NULL DEFAULT 0, confirmed TEXT, UNIQUE (directory, name));
CREATE INDEX uploads_waiting ON uploads (number, size) WHERE confirmed IS NULL;
CREATE INDEX uploads_by_part ON uploads (part, key);
CREATE TABLE parts (
    number INTEGER PRIMARY KEY, study INTEGER NOT NULL, key TEXT NOT NULL, revision INTEGER NOT NULL, directory TEXT NOT NULL,
    objects INTEGER NOT NULL, epoch TEXT NOT NULL, entry INTEGER NOT NULL, written REAL);
CREATE INDEX parts_by_directory ON parts (directory);
CREATE INDEX parts_by_key ON parts (key);
CREATE TABLE away (
    key TEXT NOT NULL, instance TEXT NOT NULL, sha256 TEXT NOT NULL, since REAL NOT NULL,
    PRIMARY KEY (key, instance, sha256)) WITHOUT ROWID;
CREATE INDEX away_since ON away (since);
"""
#: what makes each format out of the one before; the first makes an empty database
MIGRATIONS: Final = (_FORMAT_1, _FORMAT_2, _FORMAT_3, _FORMAT_4, _FORMAT_5)
FORMAT_VERSION: Final = len(MIGRATIONS)

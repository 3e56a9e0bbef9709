"""Reads a file of SQLite that another process writes.

Strategy: a connection for each look, since the file may be made again under the same name. Whatever is seen is committed; in WAL mode a reader
holds no writer up.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from urllib.parse import quote


@contextmanager
def reading(file: Path) -> Iterator[sqlite3.Connection]:
    """Give a connection that only reads; the path may be any octets. Raises sqlite3.Error."""
    with closing(sqlite3.connect(f"file:{quote(os.fsencode(file))}?mode=ro", uri=True)) as connection:
        yield connection

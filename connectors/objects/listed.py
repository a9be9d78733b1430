"""Versions as keyed digests in a file: memory stays bounded however many there are, and nobody can be read from it."""

import os
import sqlite3
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from pathlib import Path

from connectors.filesystem.journal import sync_folder
from dsrkit.errors import DsrError

_SCHEMA = """
PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF; PRAGMA temp_store = MEMORY;
CREATE TABLE version (digest BLOB PRIMARY KEY) WITHOUT ROWID;
CREATE TABLE collection (name TEXT PRIMARY KEY, versions INTEGER NOT NULL);
"""
_UNFINISHED = ".new"
_ABANDONED_SECONDS = 2 * 86_400


class Listed:
    """One list. Its methods block; they are called one at a time."""

    def __init__(self, connection: sqlite3.Connection, counts: Mapping[str, int]) -> None:
        self._connection = connection
        self.counts = Counter(counts)
        """How many versions of each collection were listed."""

    def add(self, versions: Iterable[tuple[str, bytes]]) -> None:
        """Notes versions: the collection and the digest of each."""
        pairs = list(versions)
        self.note(digest for _, digest in pairs)
        self.counts.update(name for name, _ in pairs)

    def note(self, digests: Iterable[bytes]) -> None:
        """Notes what isn't counted."""
        self._connection.executemany("INSERT OR IGNORE INTO version VALUES (?)", [(digest,) for digest in digests])

    def known(self, digests: Sequence[bytes]) -> set[bytes]:
        """Those of the digests that are listed. At most some thousands."""
        marks = ",".join("?" * len(digests))
        sql = f"SELECT digest FROM version WHERE digest IN ({marks})"  # noqa: S608 - only question marks
        return {digest for (digest,) in self._connection.execute(sql, digests)}


class Draft:
    """A list being written beside its place; nothing of it is there before `commit`."""

    def __init__(self, path: Path, temporary: Path, connection: sqlite3.Connection) -> None:
        self._path, self._temporary, self._connection = path, temporary, connection
        self.listed = Listed(connection, {})

    def commit(self) -> None:
        """Puts the list in place, durably."""
        self._connection.executemany("INSERT INTO collection VALUES (?, ?)", self.listed.counts.items())
        self._connection.execute("COMMIT")
        self._connection.close()
        with open(self._temporary, "rb") as file:
            os.fsync(file.fileno())
        os.replace(self._temporary, self._path)
        sync_folder(self._path.parent)


@contextmanager
def draft(path: Path, name: str) -> Iterator[Draft]:
    """A new list for this place. `name`: no two drafts of one name are written at once."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    for left in path.parent.glob(f"{path.name}-*{_UNFINISHED}"):
        if left.stat().st_mtime < time.time() - _ABANDONED_SECONDS:
            left.unlink(missing_ok=True)
    temporary = path.with_name(f"{path.name}-{name}{_UNFINISHED}")
    temporary.unlink(missing_ok=True)
    connection = sqlite3.connect(temporary, isolation_level=None, check_same_thread=False)
    try:
        connection.executescript(_SCHEMA)
        connection.execute("BEGIN")
        yield Draft(path, temporary, connection)
    finally:
        connection.close()
        temporary.unlink(missing_ok=True)


@contextmanager
def opened(path: Path, source: str) -> Iterator[Listed | None]:
    """The list in this place, if there is one. SOURCE_INCONSISTENT if it can't be read."""
    if not path.exists():
        yield None
        return
    with closing(sqlite3.connect(path, isolation_level=None, check_same_thread=False)) as connection:
        try:
            counts = dict(connection.execute("SELECT name, versions FROM collection"))
        except sqlite3.DatabaseError:
            text = "The connector's journal can't be read. An engineer must look before anything is destroyed."
            raise DsrError("SOURCE_INCONSISTENT", text, source=source, why="JOURNAL") from None
        yield Listed(connection, counts)


def close_list(path: Path, counts: Mapping[str, int]) -> None:
    """Leaves of a list only how many there were."""
    with draft(path, "closed") as closed:
        closed.listed.counts = Counter(counts)
        closed.commit()

"""The records of a sandbox and its journal, in one SQLite file that can be thrown away."""

import json
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from pathlib import Path

from dsr.connector.v1 import connector_pb2 as pb

from connectors.sandbox.seed import KINDS, Row, rows
from dsrkit.errors import DsrError

Found = Mapping[str, Sequence[Row]]
"""A person's records by collection; collections without any are left out."""
_TABLES = """
CREATE TABLE record (collection, id, body, PRIMARY KEY (collection, id));
CREATE TABLE journal (task, person, attempt, answer, PRIMARY KEY (task, person));
CREATE TABLE asked (trigger PRIMARY KEY, times);
CREATE TABLE seed (resets);
"""


class Store:
    """Opened for each transaction, blocking; whoever calls keeps it off the event loop."""

    def __init__(self, path: Path, source: str) -> None:
        self._path = path
        self._source = source

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """All of it or nothing. The driver's own texts may quote rows, and go no further."""
        try:
            with closing(sqlite3.connect(self._path, isolation_level=None)) as database, database:
                database.execute("BEGIN IMMEDIATE")
                if not database.execute("SELECT 1 FROM sqlite_master").fetchone():
                    _fill(database, 0)
                yield database
        except sqlite3.Error:
            raise DsrError("SOURCE_UNAVAILABLE", "The file is not there, or locked.", source=self._source) from None

    def begin_anew(self, resets: int) -> None:
        """Back to the seed, unless that was done for this number before."""
        with self.transaction() as database:
            (known,) = database.execute("SELECT resets FROM seed").fetchone()
            if known < resets:
                for table in ("record", "journal", "asked", "seed"):
                    database.execute(f"DROP TABLE {table}")
                _fill(database, resets)

    def find(self, subject: pb.Subject, anchors: Sequence[tuple[str, str, str]] = ()) -> Found:
        """What is of this person. `anchors`: collection, field and value of what a remnant would show."""
        with self.transaction() as database:
            return find(database, subject, anchors)

    def asked(self, trigger: str) -> int:
        """Counts how often a trigger was asked for, this time included."""
        count = "INSERT INTO asked VALUES (?, 1) ON CONFLICT DO UPDATE SET times = times + 1 RETURNING times"
        with self.transaction() as database:
            return int(database.execute(count, [trigger]).fetchone()[0])

    def add(self, collection: str, added: Sequence[Row]) -> None:
        """Records that come in while others look."""
        with self.transaction() as database:
            for row in added:
                put(database, collection, row)


def find(
    database: sqlite3.Connection, subject: pb.Subject, anchors: Sequence[tuple[str, str, str]] = ()
) -> dict[str, list[Row]]:
    """The person's records: a few thousand in all are read and compared, value by value."""
    names = {(i.type, i.value) for i in subject.identities}
    chosen = {choice.collection: set(choice.people) for choice in subject.people}
    found: dict[str, list[Row]] = {}
    for collection, body in database.execute("SELECT collection, body FROM record ORDER BY collection, id"):
        kind, row = KINDS[collection], json.loads(body)
        named = any((t, row.get(f)) in names for f, t in kind.identities.items())
        if kind.people and collection in chosen:
            named = person(row) in chosen[collection]
        if named or any(c == collection and row.get(f) == value for c, f, value in anchors):
            found.setdefault(collection, []).append(row)
    return found


def person(row: Row) -> str:
    """The key of a record of a collection of people."""
    return json.dumps([row["id"]])


def put(database: sqlite3.Connection, collection: str, row: Row) -> None:
    """Writes a record, over the one that has its id."""
    database.execute("INSERT OR REPLACE INTO record VALUES (?, ?, ?)", [collection, row["id"], json.dumps(row)])


def _fill(database: sqlite3.Connection, resets: int) -> None:
    for statement in _TABLES.split(";")[:-1]:
        database.execute(statement)
    for collection, row in rows():
        put(database, collection, row)
    database.execute("INSERT INTO seed VALUES (?)", [resets])

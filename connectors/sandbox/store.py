"""The records of a sandbox and its journal, in one SQLite file that can be thrown away."""

import json
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path

from dsr.connector.v1 import connector_pb2 as pb
from dsr.connector.v1.grant_pb2 import Grant, Sandbox

from connectors.attempts import superseded
from connectors.sandbox.seed import KINDS, Row, rows
from dsrkit.errors import DsrError

Found = Mapping[str, Sequence[Row]]
"""A person's records by collection; collections without any are left out."""
_TABLES = """
DROP TABLE IF EXISTS record; CREATE TABLE record (collection, id, body, PRIMARY KEY (collection, id));
DROP TABLE IF EXISTS journal; CREATE TABLE journal (task, person, attempt, answer, PRIMARY KEY (task, person));
DROP TABLE IF EXISTS asked; CREATE TABLE asked (trigger PRIMARY KEY, times);
DROP TABLE IF EXISTS seed; CREATE TABLE seed (resets);
"""
_HOLDING = """
SELECT collection, body FROM record
WHERE EXISTS (SELECT 1 FROM json_each(?) AS wanted WHERE instr(body, wanted.value))
   OR collection IN (SELECT value FROM json_each(?))
ORDER BY collection, id
"""
_VERSION = 2
"""Of what is in the file. One of another version is filled in anew."""


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
                if database.execute("PRAGMA user_version").fetchone() != (_VERSION,):
                    _fill(database, 0, datetime.now(UTC))
                yield database
        except sqlite3.Error:
            raise DsrError("SOURCE_UNAVAILABLE", "The file is not there, or locked.", source=self._source) from None

    def begin_anew(self, mark: Sandbox) -> None:
        """Back to the seed, unless that was done for this reset before."""
        with self.transaction() as database:
            (known,) = database.execute("SELECT resets FROM seed").fetchone()
            if known < mark.resets:
                begun = mark.reset_time.ToDatetime(UTC) if mark.HasField("reset_time") else datetime.now(UTC)
                _fill(database, mark.resets, begun)

    def find(self, subject: pb.Subject, anchors: Sequence[tuple[str, str, str]] = ()) -> Found:
        """What is of this person. `anchors`: collection, field and value of what a remnant would show."""
        with self.transaction() as database:
            return find(database, subject, anchors)

    def everything(self) -> Found:
        """Whoever it is of; collections without records too."""
        with self.transaction() as database:
            return everything(database)

    def was_asked(self, trigger: str) -> bool:
        """Whether a trigger was asked for."""
        with self.transaction() as database:
            return database.execute("SELECT 1 FROM asked WHERE trigger = ?", [trigger]).fetchone() is not None

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
    """The person's records: those that hold one of the values anywhere are read and compared, field by field."""
    names = {(i.type, i.value) for i in subject.identities}
    chosen = {choice.collection: set(choice.people) for choice in subject.people}
    values = {json.dumps(value) for value in (*(v for _, v in names), *(v for _, _, v in anchors))}
    found: dict[str, list[Row]] = {}
    for collection, body in database.execute(_HOLDING, [json.dumps(sorted(values)), json.dumps(sorted(chosen))]):
        kind, row = KINDS[collection], json.loads(body)
        named = any((t, row.get(f)) in names for f, t in kind.identities.items())
        if kind.people and collection in chosen:
            named = person(row) in chosen[collection]
        if named or any(c == collection and row.get(f) == value for c, f, value in anchors):
            found.setdefault(collection, []).append(row)
    return found


def everything(database: sqlite3.Connection) -> dict[str, list[Row]]:
    """All records by collection."""
    found: dict[str, list[Row]] = {name: [] for name in KINDS}
    for collection, body in database.execute("SELECT collection, body FROM record ORDER BY collection, id"):
        found[collection].append(json.loads(body))
    return found


def answers(database: sqlite3.Connection, grant: Grant) -> dict[str, bytes]:
    """What a task was answered before, by person. ATTEMPT_SUPERSEDED where a newer attempt was here."""
    past = database.execute("SELECT person, attempt, answer FROM journal WHERE task = ?", [grant.task]).fetchall()
    if any(attempt > grant.attempt for _, attempt, _ in past):
        raise superseded()
    return {person: answer for person, _, answer in past}


def answered(database: sqlite3.Connection, grant: Grant, person: str, answer: bytes) -> None:
    """Writes an answer down, in the transaction of what it tells of."""
    row = [grant.task, person, grant.attempt, answer]
    database.execute("INSERT OR REPLACE INTO journal VALUES (?, ?, ?, ?)", row)


def person(row: Row) -> str:
    """The key of a record of a collection of people."""
    return json.dumps([row["id"]])


def put(database: sqlite3.Connection, collection: str, row: Row) -> None:
    """Writes a record, over the one that has its id."""
    database.execute("INSERT OR REPLACE INTO record VALUES (?, ?, ?)", [collection, row["id"], json.dumps(row)])


def _fill(database: sqlite3.Connection, resets: int, begun: datetime) -> None:
    for statement in _TABLES.split(";")[:-1]:
        database.execute(statement)
    for collection, row in rows(begun):
        put(database, collection, row)
    database.execute("INSERT INTO seed VALUES (?)", [resets])
    database.execute(f"PRAGMA user_version = {_VERSION}")

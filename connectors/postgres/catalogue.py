"""Reads a PostgreSQL catalogue. Partitions are left to their root; types are reduced to what they rest on."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from importlib.resources import files
from typing import Any, Protocol

from connectors.postgres.types import classify, quote
from connectors.relational.catalogue import Catalogue, Column, ForeignKey, Index, OnDelete, Table, Trigger
from connectors.relational.sql import Sql

_KINDS = {"r": "table", "p": "partitioned", "m": "materialized view", "f": "foreign table"}
_ON_DELETE: dict[str, OnDelete] = {
    "a": "NO_ACTION",
    "r": "RESTRICT",
    "c": "CASCADE",
    "n": "SET_NULL",
    "d": "SET_DEFAULT",
}
_EQUALS = Sql("OPERATOR(pg_catalog.=)")
"""Qualified: while triggers may run, so could an operator that somebody planted in a schema of the search path."""
_PLACE = Column("ctid", "tid", Sql("tid"), "other", "text", "string", False, True, _EQUALS)
_PARTITION = Column("tableoid", "oid", Sql("oid"), "other", "text", "string", False, True, _EQUALS)


class Queries(Protocol):
    """The part of a connection that reading needs."""

    async def fetch(self, query: str, *args: Any) -> Sequence[Any]: ...


def script(name: str) -> str:
    """The text of one of this package's .sql files."""
    return files("connectors.postgres").joinpath("sql", name).read_text()


async def read(connection: Queries) -> Catalogue:
    """The catalogue, as the connection's role sees it. Its search path is pg_catalog: types come qualified."""
    tables = await connection.fetch(script("tables.sql"))
    oids = [row["oid"] for row in tables]
    columns = _by_first(await connection.fetch(script("columns.sql"), oids))
    indexes = _by_first(await connection.fetch(script("indexes.sql"), oids))
    triggers = _by_first(await connection.fetch(script("triggers.sql")))
    names = {row["oid"]: f"{row['nspname']}.{row['relname']}" for row in tables}
    found = {}
    for row in tables:
        oid = row["oid"]
        found[names[oid]] = _table(row, columns[oid], indexes[oid], triggers[oid])
    keys = (
        ForeignKey(
            name=row["conname"],
            table=names[row["child"]],
            columns=tuple(row["columns"]),
            target=names[row["target"]],
            target_columns=tuple(row["target_columns"]),
            on_delete=_ON_DELETE[row["on_delete"]],
            enforced=row["enforced"],
        )
        for row in await connection.fetch(script("foreign_keys.sql"))
        if row["child"] in names and row["target"] in names
    )
    return Catalogue(found, tuple(keys))


def _table(row: Any, columns: Sequence[Any], indexes: Sequence[Any], triggers: Sequence[Any]) -> Table:
    parsed = tuple(_column(column) for column in columns)
    usable = tuple(Index(tuple(i["parts"]), i["is_unique"], i["is_primary"], i["is_partial"]) for i in indexes)
    partitioned = row["relkind"] == "p"
    key = _key(parsed, usable)
    return Table(
        schema=row["nspname"],
        name=row["relname"],
        kind=_KINDS[row["relkind"]],  # type: ignore[arg-type]
        columns=parsed,
        key=key or ((_PARTITION, _PLACE) if partitioned else (_PLACE,)),
        keyed=bool(key),
        indexes=usable,
        triggers=tuple(_trigger(trigger) for trigger in triggers),
        row_security=row["row_security_active"],
        estimate=max(row["estimate"], -1),
        privileges=frozenset(row["privileges"]),
    )


def _column(row: Any) -> Column:
    family, kind, schema_type, bytewise = classify(row["type_name"], row["typtype"], row["typcategory"], row["element"])
    collation = Sql("")
    if row["collation_name"] is not None:
        collation = Sql(f"{quote(row['collation_schema'])}.{quote(row['collation_name'])}")
    equals = _EQUALS
    if row["equality"] is not None:
        equals = Sql(f"OPERATOR({quote(row['equality_schema'])}.{row['equality']})")
    return Column(
        name=row["attname"],
        native_type=row["native_type"],
        cast=Sql(row["cast_type"]),
        family=family,
        kind=kind,
        schema_type=schema_type,
        nullable=row["nullable"],
        generated=row["generated"],
        equals=equals,
        collation=collation,
        bytewise=bytewise and row["deterministic"],
    )


def _key(columns: Sequence[Column], indexes: Sequence[Index]) -> tuple[Column, ...]:
    """The primary key; else the first unique key without nulls; else nothing."""
    by_name = {column.name: column for column in columns}
    for index in sorted(indexes, key=lambda index: not index.primary):
        if index.unique and not index.partial and all(part in by_name for part in index.parts):
            key = tuple(by_name[part] for part in index.parts)
            if not any(column.nullable for column in key):
                return key
    return ()


def _trigger(row: Any) -> Trigger:
    events = [event for event in ("DELETE", "UPDATE") if row[f"on_{event.lower()}"]]
    return Trigger(row["name"], row["kind"], tuple(events))


def _by_first(rows: Sequence[Any]) -> Mapping[int, list[Any]]:
    found: dict[int, list[Any]] = defaultdict(list)
    for row in rows:
        found[row[0]].append(row)
    return found

"""Reads the catalogue of a MySQL or MariaDB server, as the connector's user sees it."""

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.resources import files
from typing import Any, Protocol

from connectors.mysql.flavour import Flavour
from connectors.mysql.types import classify, quote
from connectors.relational.catalogue import Catalogue, Column, ForeignKey, Index, OnDelete, Table, Trigger
from connectors.relational.sql import NOTHING, Sql, Statement, fill

_ON_DELETE: Mapping[str, OnDelete] = {
    "NO ACTION": "NO_ACTION",
    "RESTRICT": "RESTRICT",
    "CASCADE": "CASCADE",
    "SET NULL": "SET_NULL",
    "SET DEFAULT": "SET_DEFAULT",
}
_REMOTE = frozenset({"FEDERATED", "CONNECT", "SPIDER", "S3", "OQGRAPH"})
_ENCODED = re.compile(r"@([0-9a-f]{4})")

Name = tuple[str, str]
"""Schema and table."""


@dataclass(frozen=True)
class MysqlTable(Table):
    """A table, and what of it only this kind of database has."""

    estimate: int = field(default=-1, compare=False)
    """A guess that changes with every look."""
    engine: str = ""
    transactional: bool = True
    versioned: bool = False
    """Deleted rows stay in the table, as its history."""
    triggers_shown: bool = True
    """Whether the user may know of the table's triggers."""


@dataclass(frozen=True)
class MysqlCatalogue(Catalogue):
    """The catalogue, and what would be missing from it."""

    hidden_children: Mapping[str, int] | None = None
    """Tables that rows of tables refer to which the user can't see; None where that can't be known."""


class Queries(Protocol):
    """The part of a session that reading needs."""

    async def rows(self, statement: Statement) -> Sequence[Sequence[Any]]: ...

    async def allowed(self, statement: Sql) -> bool:
        """Whether the user has the privileges for a statement."""
        ...


def script(name: str) -> Sql:
    """The text of one of this package's .sql files."""
    return Sql(files("connectors.mysql").joinpath("sql", name).read_text())


async def read(session: Queries, flavour: Flavour, user: str) -> MysqlCatalogue:
    """The catalogue. `user`: CURRENT_USER()."""

    async def ask(name: str, **parts: Sql) -> Sequence[Sequence[Any]]:
        return await session.rows(Statement(fill(script(name), **parts) if parts else script(name)))

    tables = await ask("tables.sql")
    json_columns = {tuple(row) for row in await ask("json_columns.sql")} if flavour.mariadb else set()
    columns: dict[Name, list[Column]] = defaultdict(list)
    privileges: dict[Name, list[set[str]]] = defaultdict(list)
    for schema, table, *row, allowed in await ask("columns.sql"):
        columns[schema, table].append(_column(row, (schema, table, row[0]) in json_columns))
        privileges[schema, table].append(set(allowed.upper().split(",")))
    indexes = _indexes(await ask("indexes.sql", expression=Sql("NULL" if flavour.mariadb else "s.EXPRESSION")), columns)
    triggers = _triggers(await ask("triggers.sql"))
    grants = _grants(await ask("trigger_privileges.sql"), user)
    found: dict[str, Table] = {}
    for described in tables:
        name = (described[0], described[1])
        held = set.intersection(*privileges[name]) & {"SELECT", "UPDATE"} if privileges[name] else set()
        if await session.allowed(fill("EXPLAIN DELETE FROM {table} WHERE FALSE", table=_qualified(name))):
            held.add("DELETE")
        shown = any(re.fullmatch(schema, name[0]) and table in ("", name[1]) for schema, table in grants)
        found[".".join(name)] = _table(described, columns[name], indexes[name], triggers[name], held, shown)
    keys = tuple(_foreign_keys(await ask("foreign_keys.sql")))
    view = Sql("INNODB_SYS_FOREIGN" if flavour.mariadb else "INNODB_FOREIGN")
    every = fill(script("every_foreign_key.sql"), view=view)
    hidden = None
    if await session.allowed(every):
        hidden = _hidden(await session.rows(Statement(every)), keys)
    return MysqlCatalogue(found, keys, hidden)


def _qualified(name: Name) -> Sql:
    return fill("{schema}.{table}", schema=quote(name[0]), table=quote(name[1]))


def _column(row: Sequence[Any], is_json: bool) -> Column:
    name, kind_name, full, nullable, collation, generated = row
    family, kind, schema_type, cast = classify("json" if is_json else kind_name, full)
    return Column(
        name=name,
        native_type=full,
        cast=cast,
        family=family,
        kind=kind,
        schema_type=schema_type,
        nullable=bool(nullable),
        generated=bool(generated),
        collation=Sql(collation) if collation is not None and family == "text" else NOTHING,
        bytewise=False,
    )


def _table(
    row: Sequence[Any],
    columns: Sequence[Column],
    indexes: Sequence[Index],
    triggers: Sequence[Trigger],
    privileges: Iterable[str],
    shown: bool,
) -> MysqlTable:
    schema, name, kind, engine, transactional, estimate = row
    key = _key(columns, indexes)
    return MysqlTable(
        schema=schema,
        name=name,
        kind="foreign table" if engine in _REMOTE else "table",
        columns=tuple(columns),
        key=key,
        keyed=bool(key),
        indexes=tuple(indexes),
        triggers=tuple(triggers),
        estimate=int(estimate),
        privileges=frozenset(privileges),
        engine=engine,
        transactional=bool(transactional),
        versioned=kind == "SYSTEM VERSIONED",
        triggers_shown=shown,
    )


def _key(columns: Sequence[Column], indexes: Sequence[Index]) -> tuple[Column, ...]:
    """The primary key; else the first unique key without nulls; else nothing, for rows have no other address."""
    by_name = {column.name: column for column in columns}
    for index in indexes:
        if index.unique and all(part in by_name for part in index.parts):
            key = tuple(by_name[part] for part in index.parts)
            if not any(column.nullable for column in key):
                return key
    return ()


def _indexes(rows: Sequence[Sequence[Any]], columns: Mapping[Name, Sequence[Column]]) -> Mapping[Name, list[Index]]:
    parts: dict[tuple[Name, str, bool], list[str]] = defaultdict(list)
    for schema, table, name, unique, part in rows:
        parts[(schema, table), name, bool(unique)].append(part)
    found: dict[Name, list[Index]] = defaultdict(list)
    for (table, name, unique), names in parts.items():
        found[table].append(Index(tuple(names), unique, name == "PRIMARY", partial=False))
        first = next((c for c in columns[table] if c.name == names[0]), None)
        if first is not None and first.collation.endswith("_ci"):
            # It finds what lower() finds as well: see the dialect.
            found[table].append(Index((f"lower({first.name})",), unique=False, primary=False, partial=False))
    return found


def _triggers(rows: Sequence[Sequence[Any]]) -> Mapping[Name, list[Trigger]]:
    found: dict[Name, list[Trigger]] = defaultdict(list)
    for schema, table, name, event in rows:
        found[schema, table].append(Trigger(name, "trigger", (event,)))
    return found


def _grants(rows: Sequence[Sequence[Any]], user: str) -> list[tuple[str, str]]:
    """Schema, as a regular expression, and table of each grant to the user itself."""
    name, _, host = user.rpartition("@")
    return [(_like(schema), table) for grantee, schema, table in rows if grantee == f"'{name}'@'{host}'"]


def _like(pattern: str) -> str:
    """A schema pattern of a grant as a regular expression; empty stands for every schema."""
    if not pattern:
        return ".*"
    wild = {"%": ".*", "_": "."}
    parts = re.findall(r"\\.|.", pattern)
    return "".join(re.escape(part[1:]) if len(part) == 2 else wild.get(part, re.escape(part)) for part in parts)


def _foreign_keys(rows: Sequence[Sequence[Any]]) -> Iterable[ForeignKey]:
    keys: dict[tuple[str, str], list[Sequence[Any]]] = defaultdict(list)
    for row in rows:
        keys[f"{row[0]}.{row[1]}", row[2]].append(row)
    for (table, name), columns in keys.items():
        yield ForeignKey(
            name=name,
            table=table,
            columns=tuple(row[3] for row in columns),
            target=f"{columns[0][4]}.{columns[0][5]}",
            target_columns=tuple(row[6] for row in columns),
            on_delete=_ON_DELETE[columns[0][7]],
        )


def _hidden(rows: Sequence[Sequence[Any]], keys: Sequence[ForeignKey]) -> Mapping[str, int]:
    """How many foreign keys of tables unseen refer to each table. Names come as the server's files are called."""
    every: dict[str, int] = defaultdict(int)
    for parent, _ in rows:
        every[_ENCODED.sub(lambda match: chr(int(match[1], 16)), parent).replace("/", ".", 1)] += 1
    for key in keys:
        every[key.target] -= 1
    return {name: number for name, number in every.items() if number > 0}

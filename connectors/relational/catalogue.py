"""What a database says about itself. Read by a dialect; nothing here is declared or guessed."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal

from connectors.relational.sql import EQUALS, NOTHING, Sql

Family = Literal["text", "integer", "number", "uuid", "other"]
"""How values of a type are compared with the text of an identity or with a column of another type."""

OnDelete = Literal["NO_ACTION", "RESTRICT", "CASCADE", "SET_NULL", "SET_DEFAULT"]


@dataclass(frozen=True)
class Column:
    """A column. `cast` is its type as CAST takes it, without domain and length: a comparison must not fail on those."""

    name: str
    native_type: str
    cast: Sql
    family: Family
    kind: str
    """How the dialect writes it as JSON; private to the dialect."""
    schema_type: str
    """Table Schema type of that JSON."""
    nullable: bool = True
    generated: bool = False
    equals: Sql = EQUALS
    collation: Sql = NOTHING
    """Quoted; empty where the type has none."""
    bytewise: bool = True
    """Whether equality is equality of characters (not so for citext or a nondeterministic collation)."""


@dataclass(frozen=True)
class Trigger:
    """A trigger or rule that runs on DELETE or UPDATE."""

    name: str
    kind: Literal["trigger", "rule"]
    events: tuple[str, ...]


@dataclass(frozen=True)
class Index:
    """A usable index. A part is a column's name, or the text of an expression."""

    parts: tuple[str, ...]
    unique: bool
    primary: bool
    partial: bool


@dataclass(frozen=True)
class Table:
    """A table, or the root of a partitioned one. `kind` other than table and partitioned can't be searched."""

    schema: str
    name: str
    kind: Literal["table", "partitioned", "materialized view", "foreign table"]
    columns: tuple[Column, ...]
    key: tuple[Column, ...]
    """Primary key, else a unique key without nulls, else the dialect's row address."""
    keyed: bool
    """False: `key` is a row address, good within one transaction only."""
    indexes: tuple[Index, ...] = ()
    triggers: tuple[Trigger, ...] = ()
    row_security: bool = False
    estimate: int = -1
    privileges: frozenset[str] = frozenset({"SELECT", "UPDATE", "DELETE"})

    @property
    def full_name(self) -> str:
        return f"{self.schema}.{self.name}"

    @property
    def searchable(self) -> bool:
        return self.kind in ("table", "partitioned")

    @cached_property
    def column(self) -> Mapping[str, Column]:
        return {column.name: column for column in self.columns}

    def indexed(self, columns: Collection[str], given: Collection[str] = ()) -> bool:
        """Whether an index begins with some of `columns`, after columns that are `given` constants."""
        leads = (next((part for part in index.parts if part not in given), "") for index in self._whole())
        return any(lead in columns for lead in leads)

    def indexed_by(self, function: str, column: str) -> bool:
        """Whether an index begins with a call of `function` on the column."""
        return any(function + "(" in index.parts[0] and column in index.parts[0] for index in self._whole())

    def _whole(self) -> list[Index]:
        return [index for index in self.indexes if not index.partial]

    def unique(self, columns: frozenset[str]) -> bool:
        """Whether two rows can't share values of `columns`."""
        return any(index.unique and not index.partial and set(index.parts) <= columns for index in self.indexes)


@dataclass(frozen=True)
class ForeignKey:
    """A foreign key. One that isn't enforced is known to the database and does nothing."""

    name: str
    table: str
    columns: tuple[str, ...]
    target: str
    target_columns: tuple[str, ...]
    on_delete: OnDelete = "NO_ACTION"
    enforced: bool = True


@dataclass(frozen=True)
class Catalogue:
    """Every table of the database by full name, and every foreign key, in other schemas too: those cascade as well."""

    tables: Mapping[str, Table]
    foreign_keys: tuple[ForeignKey, ...] = field(default=())

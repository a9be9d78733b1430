"""What a kind of database must be able to write and run. Everything else about relational sources is shared."""

from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from datetime import datetime
from typing import Any, Literal, Protocol

from connectors.relational.catalogue import Column, Table
from connectors.relational.journal import Journal
from connectors.relational.model import Collection, Model
from connectors.relational.sql import Sql, Statement

Columns = Mapping[str, Literal["integer", "text"]]
"""Columns of a temporary table that rows are loaded into."""


class Dialect(Protocol):
    """Writes SQL. Arguments named `expression` are SQL that yields a value."""

    name: str
    checks_rows: bool
    """Whether foreign keys are checked row by row. If not, when the statement ends; `delete_together` relies on it."""

    def placeholder(self, number: int) -> Sql:
        """The bind parameter of that number, from 1."""
        ...

    def quote(self, name: str) -> Sql: ...

    def table(self, table: Table) -> Sql:
        """The table as it stands after FROM, UPDATE or DELETE FROM; its own rows only, not those of heirs."""
        ...

    def temporary(self, name: str) -> Sql:
        """A temporary table of the session."""
        ...

    def text(self, expression: Sql) -> Sql: ...

    def equal(self, left: Sql, column: Column, right: Sql, other: Column, *, enforced: bool) -> Sql:
        """`left`, a column, equals `right`, a value of the type of `other`; such that an index on the column serves.

        `enforced`: a foreign key holds between the two, so that what the database takes for equal is equal."""
        ...

    def equals_text(self, left: Sql, column: Column, text: Sql) -> Sql:
        """`left`, a column, equals the value that `text` spells; such that an index on the column serves."""
        ...

    def matches(self, left: Sql, column: Column, match: str, text: Sql) -> Sql:
        """`left`, an identity column, names the person as `text` does. E.164 has been resolved to spellings before."""
        ...

    def identity_text(self, expression: Sql, column: Column) -> Sql:
        """An identity column's value, as a request that `matches` it exactly spells it."""
        ...

    def moment(self, expression: Sql, column: Column) -> Sql:
        """The time in a column of times or dates; null where it says none, such as 0000-00-00 or infinity."""
        ...

    def zoned(self, column: Column) -> bool:
        """Whether a column of times knows which instant it means."""
        ...

    def phone_tail(self, expression: Sql) -> Sql:
        """The last five digits of a telephone number, an extension left out."""
        ...

    def same(self, expression: Sql, other: Sql) -> Sql:
        """Equal, or both null."""
        ...

    def constant(self, column: Column, text: Sql) -> Sql:
        """The value of the column's type that `text` spells."""
        ...

    def held(self, column: Column, text: Sql) -> Sql:
        """The value of the column's type that `text` spells, as the column holds it: with its length and precision."""
        ...

    def fits(self, column: Column, text: Sql) -> Sql:
        """The column can hold what `text` spells, and loses nothing of it. May fail instead where it can't."""
        ...

    def json_array(self, values: Sequence[tuple[Sql, Column]]) -> Sql:
        """A JSON array as text, in which `anchor_text` of each element names the value again."""
        ...

    def json_lines(self, columns: Sequence[Column], found: Sql) -> Sql:
        """A query that yields a line of JSON, without loss, for every row `t` of a FROM clause."""
        ...

    def digest(self, table: Table, alias: Sql) -> Sql:
        """An aggregate over rows: text that is equal as long as the set of keys and row versions is."""
        ...

    def lock(self, rows: Sql, order: Sql) -> Sql:
        """A query that locks table `t` of `rows` (FROM … JOIN … ON …) against change and yields their number."""
        ...

    def update(self, table: Sql, assignments: Sequence[tuple[str, Sql]], keys: Sql, address: Sql) -> Sql:
        """`assignments`: columns of the table, and what becomes of them."""
        ...

    def delete(self, table: Sql, keys: Sql, address: Sql) -> Sql: ...

    def delete_together(self, parts: Sequence[tuple[Sql, Sql, Sql]]) -> Sql:
        """One statement that deletes from several tables at once (table, keys, address), constraints checked when it
        ends, and yields the numbers deleted in one row. Never called where `checks_rows`."""
        ...

    def session_tables(self, model: Model) -> Sequence[Sql]:
        """Statements that make the temporary tables of a session: `key_table` of each collection, `subject`, `choice`
        and `anchor`. Their rows end with the transaction."""
        ...


class Session(Protocol):
    """One transaction."""

    async def before_changes(self) -> None:
        """From here on, triggers and constraints find names as they would for any application."""
        ...

    async def run(self, statement: Statement) -> int:
        """Executes, and returns the number of rows affected."""
        ...

    async def rows(self, statement: Statement) -> Sequence[Sequence[Any]]: ...

    async def load(self, table: Sql, columns: Columns, rows: Sequence[Sequence[Any]]) -> None:
        """Inserts rows into a temporary table."""
        ...

    def lines(self, sql: Sql, records: int) -> AsyncGenerator[bytes, None]:
        """The only column of a query as lines of UTF-8, in pieces of any size. `records`: about how many."""
        ...


class Database(Protocol):
    """Opens transactions in sessions that have the model's temporary tables."""

    def snapshot(self, model: Model) -> AbstractAsyncContextManager[Session]:
        """Read only, and every statement sees the same instant."""
        ...

    def transaction(self, model: Model) -> AbstractAsyncContextManager[Session]:
        """Read committed: every statement sees what was committed before it."""
        ...

    async def journal(self) -> Journal:
        """The journal in the database, created if it isn't there."""
        ...

    async def now(self, session: Session) -> datetime:
        """The instant that a snapshot shows. Its first statement."""
        ...


def key_table(collection: Collection) -> str:
    """Name of the temporary table with the keys of a collection's rows: subject, strong, round, k1, k2 …"""
    return f"dsr_key_{collection.number}"


SUBJECTS, CHOICES, ANCHORS = "dsr_subject", "dsr_choice", "dsr_anchor"
"""Other temporary tables: (subject, slot, value), (subject, collection, person), (subject, slot, v1, v2 …)."""

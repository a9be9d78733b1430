"""Runs statements on one connection. Values travel beside the statements, never in them."""

import re
from collections import Counter
from collections.abc import AsyncGenerator, Sequence
from typing import Any

from asyncmy import errors
from asyncmy.connection import Connection
from asyncmy.cursors import SSCursor

from connectors.mysql.flavour import Flavour
from connectors.mysql.placeholders import copy_name, once, positional, written
from connectors.mysql.types import quote
from connectors.relational.dialect import Columns
from connectors.relational.sql import Sql, Statement, fill, join
from dsrkit.errors import DsrError

_ROWS = 1_000
"""Rows of one INSERT; a statement has at most 65,535 parameters."""
_PIECE = 256
"""Lines taken from the connection at once."""
_INSERT = re.compile(r"INSERT INTO (?P<table>`dsr_\w+`) \((?P<columns>[\w, ]+)\) (?P<query>SELECT .*)", re.DOTALL)
_DENIED = frozenset({1044, 1045, 1142, 1143, 1227})


class MysqlSession:
    """One transaction. `copies`: of the connection's temporary tables, how many each has; kept from one to the next.

    `snapshot`: it only reads, and must not keep anybody from writing. INSERT … SELECT locks what it reads where every
    statement sees the same instant, so that keys make their way over the connection instead."""

    def __init__(
        self, connection: Connection, flavour: Flavour, source: str, copies: Counter[str], *, snapshot: bool = False
    ) -> None:
        self._connection = connection
        self._flavour = flavour
        self._source = source
        self._copies = copies
        self._snapshot = snapshot
        self._stale: dict[str, set[int]] = {}
        self.filled: set[str] = set()
        """Temporary tables that have been written to."""

    async def before_changes(self) -> None:
        """Nothing to do: triggers run in the schema of their table."""

    async def run(self, statement: Statement) -> int:
        if self._snapshot and (match := _INSERT.match(statement.sql)):
            rows = await self.rows(Statement(Sql(match["query"]), statement.values))
            await self.load(Sql(match["table"]), dict.fromkeys(match["columns"].split(", "), "text"), rows)
            return len(rows)
        result = await self._execute(statement)
        return int(result.affected_rows)

    async def rows(self, statement: Statement) -> Sequence[Sequence[Any]]:
        result = await self._execute(statement)
        return result.rows or ()

    async def allowed(self, statement: Sql) -> bool:
        """Whether the user has the privileges for a statement."""
        try:
            await self.rows(Statement(statement))
        except errors.Error as error:
            if error.args and error.args[0] in _DENIED:
                return False
            raise
        return True

    async def load(self, table: Sql, columns: Columns, rows: Sequence[Sequence[Any]]) -> None:
        names = join(", ", map(quote, columns))
        for start in range(0, len(rows), _ROWS):
            part = rows[start : start + _ROWS]
            row = Sql(f"({', '.join('?' * len(columns))})")
            sql = fill(
                "INSERT INTO {table} ({names}) VALUES {rows}",
                table=table,
                names=names,
                rows=join(", ", [row] * len(part)),
            )
            await self._prepared(sql, [value for values in part for value in values])
        self._note(table.strip("`"))

    async def lines(self, sql: Sql, records: int) -> AsyncGenerator[bytes, None]:
        # Streamed as text: what is prepared is read into memory as a whole.
        cursor = self._connection.cursor(SSCursor)
        try:
            await cursor.execute(await self._single(sql))
            while rows := await cursor.fetchmany(_PIECE):
                if any(line is None for (line,) in rows):
                    why = "a record is larger than max_allowed_packet allows; raise it on the server"
                    raise DsrError("SOURCE_REJECTED", f"The copy stopped: {why}.", source=self._source, why=why)
                yield "".join(f"{line}\n" for (line,) in rows).encode()
        except BaseException:
            self._connection.close()  # the server may have much more to say, and nobody would listen
            raise
        await cursor.close()

    async def clear(self) -> None:
        """Empties what was filled, before a commit would keep it for the connection's next user."""
        for table in self.filled:
            await self._prepared(fill("DELETE FROM {table}", table=quote(table)), ())
            for number in range(2, self._copies[table] + 1):
                await self._prepared(fill("DELETE FROM {table}", table=quote(copy_name(table, number))), ())

    async def _execute(self, statement: Statement) -> Any:
        sql, values = positional(Statement(await self._single(statement.sql), statement.values))
        result = await self._prepared(sql, values)
        if (table := written(statement.sql)) is not None and result.affected_rows:
            self._note(table)
        return result

    async def _prepared(self, sql: Sql, values: Sequence[object]) -> Any:
        async with await self._connection.prepare(sql) as prepared:  # type: ignore[no-untyped-call]
            return await prepared.execute(tuple(values))

    def _note(self, table: str) -> None:
        self.filled.add(table)
        self._stale[table] = set(range(2, self._copies[table] + 1))

    async def _single(self, sql: Sql) -> Sql:
        """The statement, naming each temporary table once where the server can't open one twice."""
        if self._flavour.reopens:
            return sql
        rewritten, mentions = once(sql)
        for table, number in mentions.items():
            for copy in range(2, number + 1):
                await self._refresh(table, copy)
        return rewritten

    async def _refresh(self, table: str, number: int) -> None:
        """Makes a copy equal to its table."""
        original, copy = quote(table), quote(copy_name(table, number))
        if number > self._copies[table]:
            await self._prepared(fill("CREATE TEMPORARY TABLE {copy} LIKE {table}", copy=copy, table=original), ())
            self._copies[table] = number
            self._stale.setdefault(table, set()).add(number)
        if table in self.filled and number in self._stale.get(table, ()):
            await self._prepared(fill("DELETE FROM {copy}", copy=copy), ())
            await self._prepared(fill("INSERT INTO {copy} SELECT * FROM {table}", copy=copy, table=original), ())
            self._stale[table].discard(number)

"""Runs statements on PostgreSQL. One pool, opened at first use; driver errors become ours here and nowhere else."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from datetime import datetime, timedelta
from typing import Any

import asyncpg

from connectors.postgres.catalogue import read, script
from connectors.postgres.errors import translated
from connectors.postgres.options import Address, PostgresOptions, address
from connectors.postgres.types import quote
from connectors.relational.catalogue import Catalogue
from connectors.relational.dialect import Columns, Dialect, Session
from connectors.relational.journal import Journal
from connectors.relational.model import Model
from connectors.relational.sql import Sql, Statement, fill, join

_FEW = 1_000
"""Up to so many records a prepared fetch is faster than COPY, which can't be prepared."""
_AHEAD = 8
"""Pieces that COPY may be ahead of its reader."""
_JOURNAL_LOCK = 0x64737220_6A726E6C  # "dsr jrnl": creating the journal twice at once fails, IF NOT EXISTS or not


class _Connection(asyncpg.Connection):
    """A connection that remembers for which model it has temporary tables."""

    __slots__ = ("_model",)

    async def prepare_for(self, model: Model, statements: Sequence[Sql]) -> None:
        if getattr(self, "_model", None) is not model:
            await self.execute("DISCARD TEMP")
            await self.execute(";\n".join(statements))
            self._model = model


class PostgresSession:
    """One transaction."""

    def __init__(self, connection: Any, copy_timeout: timedelta) -> None:
        self._connection = connection
        self._copy_timeout = copy_timeout

    async def before_changes(self) -> None:
        await self._connection.execute("SET LOCAL search_path TO DEFAULT")

    async def run(self, statement: Statement) -> int:
        status = await self._connection.execute(statement.sql, *statement.values)
        return int(status.rpartition(" ")[2])

    async def rows(self, statement: Statement) -> Sequence[Sequence[Any]]:
        found: Sequence[Sequence[Any]] = await self._connection.fetch(statement.sql, *statement.values)
        return found

    async def load(self, table: Sql, columns: Columns, rows: Sequence[Sequence[Any]]) -> None:
        arrays = [Sql(f"${n}::{kind}[]") for n, kind in enumerate(columns.values(), 1)]
        template = "INSERT INTO {table} ({names}) SELECT * FROM unnest({arrays})"
        names = join(", ", map(quote, columns))
        sql = fill(template, table=table, names=names, arrays=join(", ", arrays))
        await self._connection.execute(sql, *(list(column) for column in zip(*rows, strict=True)))

    async def lines(self, sql: Sql, records: int) -> AsyncGenerator[bytes, None]:
        if records <= _FEW:
            for row in await self._connection.fetch(sql):
                yield row[0].encode() + b"\n"
            return
        waiting: asyncio.Queue[bytes | None] = asyncio.Queue()
        room = asyncio.Semaphore(_AHEAD)

        async def put(data: bytes) -> None:
            await room.acquire()
            waiting.put_nowait(data)

        # One COPY is one statement, and takes as long as its reader.
        timeout = int(self._copy_timeout.total_seconds() * 1000)
        await self._connection.execute("SELECT set_config('statement_timeout', $1, true)", str(timeout))
        # JSON escapes control characters, so with these nothing is ever quoted or escaped again.
        copy = self._connection.copy_from_query(sql, output=put, format="csv", quote="\x01", delimiter="\x02")
        task = asyncio.create_task(copy)
        task.add_done_callback(lambda _: waiting.put_nowait(None))
        try:
            while (data := await waiting.get()) is not None:
                yield data
                room.release()
            await task
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


class PostgresDatabase:
    """The connections of one source."""

    def __init__(self, options: PostgresOptions, source: str, key: bytes, dialect: Dialect) -> None:
        self._options = options
        self._source = source
        self._key = key
        self._dialect = dialect
        self._pool: Any = None
        self._opening = asyncio.Lock()
        self._journal: Journal | None = None
        self.address: Address | None = None

    async def catalogue(self) -> Catalogue:
        async with self.connection() as connection:
            return await read(connection)

    @contextlib.asynccontextmanager
    async def snapshot(self, model: Model) -> AsyncIterator[PostgresSession]:
        async with self.connection() as connection:
            await connection.prepare_for(model, self._dialect.session_tables(model))
            async with connection.transaction(isolation="repeatable_read", readonly=True):
                yield PostgresSession(connection, self._options.export_max_age)

    @contextlib.asynccontextmanager
    async def transaction(self, model: Model) -> AsyncIterator[PostgresSession]:
        async with self.connection() as connection:
            await connection.prepare_for(model, self._dialect.session_tables(model))
            async with connection.transaction(isolation="read_committed"):
                yield PostgresSession(connection, self._options.export_max_age)

    async def now(self, session: Session) -> datetime:
        (row,) = await session.rows(Statement(Sql("SELECT statement_timestamp()")))
        instant: datetime = row[0]
        return instant

    async def journal(self) -> Journal:
        if self._journal is None:
            schema = quote(self._options.journal_schema)
            async with self.connection() as connection:
                there = "SELECT to_regclass($1) IS NOT NULL AND to_regclass($2) IS NOT NULL"
                if not await connection.fetchval(there, f"{schema}.task", f"{schema}.erasure"):
                    async with connection.transaction():
                        await connection.execute("SELECT pg_advisory_xact_lock($1)", _JOURNAL_LOCK)
                        await connection.execute(fill(script("journal_create.sql"), journal=schema))
            names = ("claim", "serialise", "hold", "recall", "record", "progress")
            statements = {name: fill(script(f"journal_{name}.sql"), journal=schema) for name in names}
            self._journal = Journal(self._source, self._key, statements)
        return self._journal

    @contextlib.asynccontextmanager
    async def connection(self) -> AsyncIterator[Any]:
        """A connection. Whatever the driver raises within becomes a DsrError."""
        try:
            pool = await self._open()
            async with pool.acquire(timeout=self._options.statement_timeout.total_seconds()) as connection:
                # Nothing that others may create is found by a bare name. The pool takes this back with the connection.
                await connection.execute("SET search_path = pg_catalog")
                yield connection
        except (asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError, OSError) as error:
            raise translated(error, self._source) from None

    async def close(self) -> None:
        if self._pool is not None:
            await self._pool.close()

    async def _open(self) -> Any:
        async with self._opening:
            if self._pool is None:
                self.address = address(self._options, self._source)
                self._pool = await asyncpg.create_pool(
                    self.address.dsn.get_secret_value(),
                    ssl=self.address.tls,
                    timeout=self._options.connect_timeout,
                    min_size=0,
                    max_size=self._options.pool_size,
                    connection_class=_Connection,
                    server_settings=self._settings(),
                )
        return self._pool

    def _settings(self) -> dict[str, str]:
        milliseconds = {
            "lock_timeout": self._options.lock_timeout,
            "statement_timeout": self._options.statement_timeout,
            "idle_in_transaction_session_timeout": self._options.export_max_age,
        }
        return {name: str(int(value.total_seconds() * 1000)) for name, value in milliseconds.items()} | {
            "application_name": "dsr-connector",
            "timezone": "UTC",
            "datestyle": "ISO",
            "intervalstyle": "iso_8601",
            "bytea_output": "hex",
            "extra_float_digits": "1",
            "xmloption": "content",
            "jit": "off",
            "plan_cache_mode": "force_custom_plan",  # so that the planner sees how many keys there are
        }

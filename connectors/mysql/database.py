"""The connections of one source. Driver errors become ours here and nowhere else."""

import asyncio
import contextlib
import math
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from weakref import WeakKeyDictionary

import asyncmy
from asyncmy import errors
from asyncmy.connection import Connection
from asyncmy.constants.CLIENT import FOUND_ROWS
from asyncmy.pool import Pool

from connectors.mysql.catalogue import MysqlCatalogue, read, script
from connectors.mysql.dialect import MysqlDialect
from connectors.mysql.errors import translated
from connectors.mysql.flavour import Flavour, flavour
from connectors.mysql.journal import STATEMENTS, MysqlJournal
from connectors.mysql.options import Address, MysqlOptions, address
from connectors.mysql.placeholders import copy_name
from connectors.mysql.session import MysqlSession
from connectors.mysql.types import quote
from connectors.relational.dialect import Session
from connectors.relational.journal import Journal
from connectors.relational.model import Model
from connectors.relational.sql import Sql, Statement, fill

_GRACE = 10.0
"""Seconds beyond statement_timeout that a silent server is waited for."""
_UNLIMITED = 2**32 - 1
_ROLLBACK = Statement(Sql("ROLLBACK"))


@dataclass
class _Tables:
    """The temporary tables of one connection."""

    model: Model | None = None
    names: list[str] = field(default_factory=list)
    copies: Counter[str] = field(default_factory=Counter)


class MysqlDatabase:
    """See `connectors.relational.dialect.Database`."""

    def __init__(self, options: MysqlOptions, source: str, key: bytes) -> None:
        self._options = options
        self._source = source
        self._key = key
        self._pool: Pool | None = None
        self._opening = asyncio.Lock()
        self._journal: Journal | None = None
        self._tables: WeakKeyDictionary[Connection, _Tables] = WeakKeyDictionary()
        self._flavour: Flavour | None = None
        self.address: Address | None = None

    async def catalogue(self) -> tuple[MysqlCatalogue, MysqlDialect]:
        async with self.session() as session:
            ((user,),) = await session.rows(Statement(Sql("SELECT current_user()")))
            kind = self._known_flavour()
            return await read(session, kind, user), MysqlDialect(kind)

    @contextlib.asynccontextmanager
    async def snapshot(self, model: Model) -> AsyncIterator[MysqlSession]:
        only = (
            ", READ ONLY" if self._known_flavour().reopens else ""
        )  # copies of temporary tables have to be made within
        async with self._transaction(model, "REPEATABLE READ", f"WITH CONSISTENT SNAPSHOT{only}") as session:
            yield session
            await session.rows(_ROLLBACK)

    @contextlib.asynccontextmanager
    async def transaction(self, model: Model) -> AsyncIterator[MysqlSession]:
        async with self._transaction(model, "READ COMMITTED", "") as session:
            yield session
            await session.clear()
            await session.rows(Statement(Sql("COMMIT")))

    @contextlib.asynccontextmanager
    async def _transaction(self, model: Model, isolation: str, how: str) -> AsyncIterator[MysqlSession]:
        async with self._connection() as connection:
            tables = await self._prepare_for(connection, model)
            snapshot = isolation == "REPEATABLE READ"
            session = MysqlSession(connection, self._known_flavour(), self._source, tables.copies, snapshot=snapshot)
            await session.rows(Statement(Sql(f"SET TRANSACTION ISOLATION LEVEL {isolation}")))
            await session.rows(Statement(Sql(f"START TRANSACTION {how}")))
            try:
                yield session
            except (errors.Error, OSError):
                raise
            except Exception:
                if connection.connected:  # a copy that stopped half way has closed it
                    await session.rows(_ROLLBACK)  # which empties the temporary tables as well
                raise

    async def now(self, session: Session) -> datetime:
        ((instant,),) = await session.rows(Statement(Sql("SELECT utc_timestamp(6)")))
        found: datetime = instant
        return found.replace(tzinfo=UTC)

    async def journal(self) -> Journal:
        if self._journal is None:
            name = self._options.journal_schema
            async with self.session() as session:
                ((there,),) = await session.rows(Statement(script("journal_there.sql"), (name,)))
                for step in ("schema", "task", "erasure") if there < 2 else ():
                    await session.rows(Statement(fill(script(f"journal_create_{step}.sql"), journal=quote(name))))
            statements = {key: fill(script(f"journal_{key}.sql"), journal=quote(name)) for key in STATEMENTS}
            self._journal = MysqlJournal(self._source, self._key, statements)
        return self._journal

    @contextlib.asynccontextmanager
    async def session(self) -> AsyncIterator[MysqlSession]:
        """A connection outside of transactions."""
        async with self._connection() as connection:
            yield MysqlSession(connection, self._known_flavour(), self._source, Counter())

    async def close(self) -> None:
        if self._pool is not None:
            self._pool.close()
            await self._pool.wait_closed()

    @contextlib.asynccontextmanager
    async def _connection(self) -> AsyncIterator[Connection]:
        """A connection. Whatever the driver raises within becomes a DsrError, and the connection is given up."""
        try:
            pool = await self._open()
            async with asyncio.timeout(self._options.statement_timeout.total_seconds()):
                connection = await pool.acquire()
            try:
                if connection not in self._tables:
                    await self._set_up(connection)
                    self._tables[connection] = _Tables()
                yield connection
            except BaseException as error:
                if not isinstance(error, Exception) or isinstance(error, (errors.Error, OSError)):
                    connection.close()
                raise
            finally:
                await pool.release(connection)
        except (errors.Error, OSError, TimeoutError) as error:
            raise translated(error, self._source) from None

    async def _open(self) -> Pool:
        async with self._opening:
            if self._pool is None:
                self.address = there = address(self._options, self._source)
                self._pool = await asyncmy.create_pool(
                    minsize=0,
                    maxsize=self._options.pool_size,
                    host=there.host,
                    port=there.port,
                    unix_socket=there.socket,
                    user=there.user,
                    password=there.password,
                    database=there.database,
                    ssl=there.tls,
                    charset="utf8mb4",
                    autocommit=True,
                    client_flag=FOUND_ROWS,  # so that a row that an UPDATE leaves as it was counts as well
                    connect_timeout=self._options.connect_timeout,
                    read_timeout=self._options.statement_timeout.total_seconds() + _GRACE,
                    program_name="dsr-connector",
                )
        return self._pool

    async def _set_up(self, connection: Connection) -> None:
        session = MysqlSession(connection, Flavour(mariadb=True), self._source, Counter())
        ((version,),) = await session.rows(Statement(Sql("SELECT version()")))
        self._flavour = flavour(version, self._source)
        settings = ", ".join(f"SESSION {name} = {value}" for name, value in self._settings(self._flavour).items())
        await session.rows(Statement(Sql(f"SET {settings}")))

    def _settings(self, kind: Flavour) -> dict[str, str | int | float]:
        lock, statement = (
            value.total_seconds() for value in (self._options.lock_timeout, self._options.statement_timeout)
        )
        settings: dict[str, str | int | float] = {
            "time_zone": "'+00:00'",
            "sql_mode": "'STRICT_ALL_TABLES,ERROR_FOR_DIVISION_BY_ZERO,NO_ENGINE_SUBSTITUTION'",
            "innodb_lock_wait_timeout": math.ceil(lock),
            "lock_wait_timeout": math.ceil(lock),
            "foreign_key_checks": 1,
            "unique_checks": 1,
            "sql_safe_updates": 0,
            "sql_auto_is_null": 0,
            "max_error_count": 0,  # a warning quotes values, and the driver logs warnings
        }
        if kind.mariadb:
            idle = math.ceil(self._options.export_max_age.total_seconds())
            return settings | {
                "max_statement_time": statement,
                "idle_transaction_timeout": idle,
                "max_recursive_iterations": _UNLIMITED,  # beyond it the rest of a thread would be left out in silence
            }
        return settings | {"max_execution_time": math.ceil(statement * 1000), "cte_max_recursion_depth": _UNLIMITED}

    async def _prepare_for(self, connection: Connection, model: Model) -> _Tables:
        """Gives the connection the temporary tables of a model."""
        tables = self._tables[connection]
        if tables.model is not model:
            kind = self._known_flavour()
            session = MysqlSession(connection, kind, self._source, Counter())
            copies = [copy_name(name, n) for name, most in tables.copies.items() for n in range(2, most + 1)]
            for name in (*tables.names, *copies):
                await session.rows(Statement(fill("DROP TEMPORARY TABLE IF EXISTS {name}", name=quote(name))))
            tables.names.clear()
            tables.copies.clear()
            dialect = MysqlDialect(kind)
            for name, statement in dialect.temporary_tables(model).items():
                await session.rows(Statement(statement))
                tables.names.append(name)
            tables.model = model
        return tables

    def _known_flavour(self) -> Flavour:
        if self._flavour is None:
            raise AssertionError("a connection is made before anything else")
        return self._flavour

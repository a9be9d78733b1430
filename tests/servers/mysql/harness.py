"""What the trials share. The database is called `public`, so that what the tests of postgres use serves here too."""

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import asyncmy
import yaml

from connectors.backend import SourceConfig
from connectors.mysql import MysqlBackend, open_backend
from tests.integration.postgres.harness import SOURCE
from tests.servers.programs import MariaDb

HERE = Path(__file__).parent
SCHEMA = (HERE / "schema.sql").read_text()


def declaration() -> dict[str, Any]:
    options: dict[str, Any] = yaml.safe_load((HERE / "declaration.yaml").read_text())
    return options


def backend(dsn: str, options: Mapping[str, Any]) -> MysqlBackend:
    return open_backend(
        SourceConfig(
            source=SOURCE,
            kind="mysql",
            options={"dsn": dsn, **options},
            fingerprint_key=b"k" * 32,
            state_dir=Path("unused"),
        )
    )


class Database:
    """The test's own connection, by a user who may do everything."""

    def __init__(self, server: MariaDb, connection: Any) -> None:
        self.server = server
        self._connection = connection

    @classmethod
    async def connect(cls, server: MariaDb) -> "Database":
        connection = await asyncmy.connect(
            host="127.0.0.1", port=server.port, user="root", database="public", charset="utf8mb4", autocommit=True
        )
        return cls(server, connection)

    @property
    def dsn(self) -> str:
        return self.server.dsn("public")

    def script(self, sql: str) -> None:
        """Runs statements by the server's own client, DELIMITER included."""
        self.server.execute(sql, "public")

    async def execute(self, sql: str) -> int:
        async with self._connection.cursor() as cursor:
            await cursor.execute(sql)
            return int(cursor.rowcount)

    async def fetch(self, sql: str) -> Sequence[tuple[Any, ...]]:
        async with self._connection.cursor() as cursor:
            await cursor.execute(sql)
            return list(await cursor.fetchall())

    async def rows(self, ignore: Iterable[str] = ()) -> dict[str, list[str]]:
        """Every row of every table as text, sorted: what may not change where nothing was to change."""
        tables = await self.fetch(
            "SELECT concat(TABLE_SCHEMA, '.', TABLE_NAME) FROM information_schema.TABLES"
            " WHERE TABLE_TYPE = 'BASE TABLE' AND TABLE_SCHEMA NOT IN"
            " ('information_schema', 'mysql', 'performance_schema', 'sys', 'dsr_journal')"
        )
        return {
            name: sorted(map(repr, await self.fetch(f"SELECT * FROM {name}")))
            for (name,) in tables
            if name not in ignore
        }

    async def waited_for(self) -> None:
        """Returns when another connection waits for a lock."""
        async with asyncio.timeout(20):
            while not (  # noqa: ASYNC110 - another process; there is no event
                await self.fetch("SELECT 1 FROM information_schema.INNODB_TRX WHERE trx_state = 'LOCK WAIT'")
            ):
                await asyncio.sleep(0.2)  # asked more often than every 0.1 s, the server repeats what it said before

    async def close(self) -> None:
        await self._connection.ensure_closed()


def without(before: dict[str, list[str]], after: dict[str, list[str]]) -> dict[str, int]:
    """How many rows are gone, per table; and none came or changed."""
    for name in before:
        assert set(after[name]) <= set(before[name])
    return {
        name.removeprefix("public."): len(before[name]) - len(after[name])
        for name in before
        if len(before[name]) != len(after[name])
    }

"""A database for each test, empty or the shop of difficult shapes, its rows as in schema.sql."""

from collections.abc import AsyncIterator

import pytest

from connectors.mysql import MysqlBackend
from tests.servers.mysql.harness import SCHEMA, Database, backend, declaration
from tests.servers.programs import MariaDb

_FRESH = "SET lock_wait_timeout = 10; DROP DATABASE IF EXISTS public; DROP DATABASE IF EXISTS dsr_journal; "
_FRESH += "CREATE DATABASE public CHARACTER SET utf8mb4 COLLATE utf8mb4_general_ci;"


@pytest.fixture
async def database(mariadb_server: MariaDb) -> AsyncIterator[Database]:
    """An empty database."""
    mariadb_server.execute(_FRESH)
    opened = await Database.connect(mariadb_server)
    yield opened
    await opened.close()


@pytest.fixture
async def shop(mariadb_server: MariaDb) -> AsyncIterator[Database]:
    """The shop."""
    mariadb_server.execute(f"{_FRESH} USE public; {SCHEMA}")
    opened = await Database.connect(mariadb_server)
    yield opened
    await opened.close()


@pytest.fixture
async def source(shop: Database) -> AsyncIterator[MysqlBackend]:
    """The shop as a data source: tenant 1's slice."""
    opened = backend(shop.dsn, declaration())
    yield opened
    await opened.close()

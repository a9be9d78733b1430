"""A shop of difficult shapes, fresh for each test."""

import secrets
from collections.abc import AsyncIterator, Iterator

import asyncpg
import pytest

from connectors.postgres import PostgresBackend
from deploy.local.postgres import Cluster
from tests.integration.postgres.harness import SCHEMA, backend, declaration

TEMPLATE = "postgres_connector_template"


@pytest.fixture(scope="session")
def shop_template(postgres: Cluster) -> str:
    postgres.create_database(TEMPLATE)
    postgres.execute(SCHEMA, TEMPLATE)
    return TEMPLATE


@pytest.fixture
def shop(postgres: Cluster, shop_template: str) -> Iterator[str]:
    """DSN of a copy of the shop."""
    name = f"shop_{secrets.token_hex(6)}"
    yield postgres.create_database(name, template=shop_template)
    postgres.drop_database(name)


@pytest.fixture
async def connection(shop: str) -> AsyncIterator[asyncpg.Connection]:
    """The test's own connection to the shop."""
    opened = await asyncpg.connect(shop)
    yield opened
    await opened.close()


@pytest.fixture
async def source(shop: str) -> AsyncIterator[PostgresBackend]:
    """The shop as a data source: tenant 1's slice."""
    opened = backend(shop, declaration())
    yield opened
    await opened.close()

"""The four services, and one partner with two sources, for every test as if they were new."""

import secrets
from collections.abc import AsyncIterator

import pytest

from deploy.database import migrate_all
from deploy.local.postgres import Cluster
from tests.support.house import House
from tests.support.services import World


@pytest.fixture(scope="session")
async def template(postgres: Cluster) -> str:
    """A database with every migration applied, to copy."""
    name = f"template_{secrets.token_hex(4)}"
    await migrate_all(postgres.create_database(name), {})
    return name


@pytest.fixture(scope="module")
async def house(postgres: Cluster, template: str) -> AsyncIterator[House]:
    """Services that the tests of a module use one after the other."""
    opened = House(postgres, template)
    yield opened
    await opened.close()


@pytest.fixture
async def world(house: House) -> AsyncIterator[World]:
    """Everything started; the partner has no grace period."""
    async with house.world() as opened:
        yield opened

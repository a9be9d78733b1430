"""The four services, and one partner with two sources, fresh for every test."""

import secrets
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from deploy.database import migrate_all
from deploy.local.postgres import Cluster
from tests.support.services import World, open_world


@pytest.fixture(scope="session")
async def template(postgres: Cluster) -> str:
    """A database with every migration applied, to copy for each test."""
    name = f"template_{secrets.token_hex(4)}"
    await migrate_all(postgres.create_database(name), {})
    return name


@pytest.fixture
async def world(postgres: Cluster, template: str) -> AsyncIterator[World]:
    """Everything started; the partner has no grace period."""
    name = f"rights_{secrets.token_hex(6)}"
    postgres.create_database(name, template=template)
    with tempfile.TemporaryDirectory(prefix="dsr-rights-") as folder:
        async with open_world(Path(folder), postgres, name) as opened:
            yield opened
    postgres.drop_database(name)

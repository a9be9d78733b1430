"""One set of services for a file of tests, with a live partner and a sandbox."""

import secrets
import tempfile
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest

from deploy.local import sandbox
from deploy.local.postgres import Cluster
from tests.support.sandbox import backend, connect, create_partner, serve
from tests.support.services import World, open_world


@dataclass
class Setting:
    """Who calls."""

    live: World
    world: World
    """The sandbox's."""
    address: str
    """Of the sandbox's connector host."""


@pytest.fixture(scope="module")
async def setting(postgres: Cluster, template: str) -> AsyncIterator[Setting]:
    name = f"sandbox_{secrets.token_hex(6)}"
    postgres.create_database(name, template=template)
    async with AsyncExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="dsr-sandbox-"))
        live = await stack.enter_async_context(open_world(Path(folder), postgres, name))
        made = await create_partner(live)
        address = await stack.enter_async_context(serve(live, sandbox.SHOP, backend(live), [sandbox.SHOP]))
        await connect(made, address)
        yield Setting(live, made, address)
    postgres.drop_database(name)

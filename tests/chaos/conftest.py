"""The platform that is killed here. CHAOS_ROUNDS=1 or more adds the long form: every point, and random kills."""

from collections.abc import AsyncIterator

import pytest

from tests.chaos.points import ROUNDS
from tests.support.e2e import World, open_world
from tests.support.e2e_failpoints import install

collect_ignore = [] if ROUNDS else ["test_chaos_long.py"]


@pytest.fixture(scope="package")
async def _world() -> AsyncIterator[World]:
    async with open_world(durable=True, small=True) as world:
        # The first erasure makes the journal, which the failpoints are put on.
        name = await world.erasure(await world.person())
        await world.approve(name)
        await world.in_state(name, "COMPLETED")
        await install(world)
        yield world


@pytest.fixture
async def world(_world: World) -> World:
    """Everything running, whatever the test before did to it."""
    await _world.mend()
    return _world

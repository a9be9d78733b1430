"""The platform that these stories happen on."""

from collections.abc import AsyncIterator

import pytest

from tests.support.e2e import World, open_world


@pytest.fixture(scope="package")
async def world() -> AsyncIterator[World]:
    """All processes, one partner, a small shop."""
    async with open_world(durable=False, small=True, watched=True) as opened:
        yield opened

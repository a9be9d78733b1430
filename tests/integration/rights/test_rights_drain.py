"""A service that is told to end ends soon, whatever state its database is in."""

import asyncio
import tempfile
from pathlib import Path

import pytest

from deploy.local.postgres import Cluster
from tests.support.services import open_world


@pytest.mark.long
async def test_services_end_when_their_database_is_gone() -> None:
    with tempfile.TemporaryDirectory(prefix="dsr-drain-") as name:
        folder = Path(name)
        folder.chmod(0o755)  # noqa: ASYNC240 - for root PostgreSQL runs as nobody, who must reach its data
        with Cluster.start(folder / "postgres", fsync=False) as cluster:
            cluster.create_database("platform")
            async with open_world(folder, cluster, "platform") as world:
                cluster.kill()
                for service in ("access", "portability", "erasure", "governance"):
                    async with asyncio.timeout(20):
                        await world.stop(service)

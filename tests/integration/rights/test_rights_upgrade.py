"""Release N runs on the schema of release N+1: migrations go first (docs/operating.md, upgrade)."""

from urllib.parse import urlsplit

import asyncpg

from deploy.local.postgres import Cluster
from tests.support.services import World, state


async def test_columns_of_the_next_release_are_passed_over(world: World, postgres: Cluster) -> None:
    owner = await asyncpg.connect(postgres.dsn(urlsplit(world.dsn("access")).path.removeprefix("/")))
    try:
        for schema in ("access", "portability", "erasure"):
            for table in ("request", "task", "event", "mutation", "outbox"):
                await owner.execute(f"ALTER TABLE {schema}.{table} ADD COLUMN of_the_next_release text DEFAULT 'x'")
    finally:
        await owner.close()
    for right in ("access", "portability", "erasure"):
        created = await world.create(right)
        done = await world.until(right, created.name, "COMPLETED", "PLANNED")
        assert state(done) in ("COMPLETED", "PLANNED")

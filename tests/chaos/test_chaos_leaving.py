"""kill -9 while a partner leaves: everything is returned, nothing goes before the confirmation, then all of it."""

import zipfile
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest

from deploy.local.shop import sources
from tests.chaos.points import kill_at
from tests.support.e2e import PARTNER, World, open_world, until
from tests.support.e2e_failpoints import install

pytestmark = pytest.mark.long
RETURNING = ("portability storing export shop", "portability stored export files", "portability storing package")


@pytest.fixture(scope="module")
async def leaving() -> AsyncIterator[World]:
    """A platform of its own: what is done here ends it."""
    async with open_world(durable=True, small=True) as world:
        name = await world.erasure(await world.person())
        await world.approve(name)
        await world.in_state(name, "COMPLETED")
        await world.person()
        await install(world)
        yield world


async def items(world: World, name: str) -> dict[str, Any]:
    """What the termination says, by data source."""
    return {item["source"]: item for item in (await world.api.get(world.admin, name))["items"]}


async def rows(world: World) -> int:
    """Rows of all declared tables, looked up in the database itself."""
    async with world.shop() as connection:
        tables = await connection.fetch(
            "SELECT format('%I.%I', nspname, relname) FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace"
            " WHERE relkind IN ('r', 'p') AND NOT relispartition AND nspname = 'public'"
        )
        return sum([await connection.fetchval(f"SELECT count(*) FROM {table}") for (table,) in tables])  # noqa: S608


def files(folder: Path) -> list[str]:
    """Every file below a folder."""
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


@pytest.mark.policy(
    "P14", "killed at any instant, return and destruction go on: nothing before the confirmation, then all"
)
async def test_a_partner_leaves_while_processes_are_killed(leaving: World, tmp_path: Path) -> None:
    world = leaving
    before, there = await rows(world), files(world.setting.files)

    async def begin() -> str:
        answer = await world.api.client.post(
            f"/v1/{PARTNER}/terminations", json={"requestId": str(uuid4())}, headers=world.admin.headers()
        )
        return str(answer.json()["name"])

    name = await kill_at(world, RETURNING, "portability", begin)

    async def returned() -> bool:
        return all(item.get("packages") for item in (await items(world, name)).values())

    await until(returned, "everything is returned")
    for source, item in (await items(world, name)).items():
        path = await world.api.download(world.admin, item["returnRequest"], tmp_path)
        assert zipfile.ZipFile(path).testzip() is None, source
        assert path.stat().st_size == int(item["packages"][0]["sizeBytes"])
    assert sum(int(r["records"]) for r in (await items(world, name))[sources.SHOP]["returned"]) == before
    for process in ("erasure", "shop", "files"):
        await world.kill(process)
        await world.restart(process)
    assert (await rows(world), files(world.setting.files)) == (before, there), "nothing goes before the confirmation"

    async def confirm() -> None:
        digest = (await world.api.get(world.admin, name))["manifestDigest"]
        await world.api.act(world.manager, name, "confirmReceipt", manifestDigest=digest)
        async with world.store() as connection:  # nobody waits five minutes here
            query = "UPDATE governance.termination SET effective_time = now() WHERE id = $1"
            await connection.execute(query, UUID(name.rsplit("/", 1)[1]))

    await kill_at(world, ["erasing", "erased"], "shop", confirm)
    await world.kill("erasure")
    await world.restart("erasure")

    async def certified() -> bool:
        return bool((await world.api.get(world.admin, name))["state"] == "STATE_CERTIFIED")

    await until(certified, "it is certified", 120)
    assert await rows(world) == 0
    assert not set(files(world.setting.files)) & set(there)
    assert int((await items(world, name))[sources.SHOP]["destroyedRecords"]) == before
    platform = world.folder / "platform"
    services = [f"{kind}/{name}" for kind in ("keys", "state") for name in ("access", "portability", "erasure")]
    kept = [path for place in services for path in platform.glob(f"{place}/**/acme/**/*") if path.is_file()]
    assert kept == []

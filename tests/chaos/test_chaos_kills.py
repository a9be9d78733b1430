"""kill -9 at named points of the work: the request completes by itself, once, and nobody else loses anything."""

from pathlib import Path
from typing import Any

import httpx
import pytest

from deploy.local.shop import sources
from tests.chaos.points import copied, copy_killed_at, erased, erasure_killed_at, says_it_waits
from tests.support.e2e import PARTNER, World, body, until
from tests.support.e2e_failpoints import failpoint


async def outcomes(world: World, name: str, source: str) -> list[dict[str, Any]]:
    """What the report says of a source."""
    resource = await world.api.get(world.clerk, name)
    return [o for o in resource["report"]["outcomes"] if o["source"] == source and int(o["erased"])]


async def attempts(world: World, name: str, step: str) -> list[int]:
    """How often a step was begun, source by source."""
    return [t["attempt"] for t in await world.tasks(name) if t["step"] == step]


async def test_the_erasure_service_is_killed_between_the_effect_and_its_record(world: World) -> None:
    points = ["erasure stored plan", "erasure storing erase shop", "erasure taken verify shop"]
    name = await erasure_killed_at(world, points, "erasure")
    assert await attempts(world, name, "plan") == [1], "its result had been committed"
    assert all(o["replayed"] for o in await outcomes(world, name, sources.SHOP)), "answered from the journal"


@pytest.mark.long
async def test_the_access_service_is_killed_before_and_after_it_stored_a_copy(world: World, tmp_path: Path) -> None:
    name = await copy_killed_at(world, ["access storing export shop", "access stored package"], "access", tmp_path)
    assert max(await attempts(world, name, "export")) == 2
    assert await attempts(world, name, "package") == [1]


@pytest.mark.long
async def test_the_shops_connector_is_killed_inside_and_behind_its_transaction(world: World) -> None:
    inside = await erasure_killed_at(world, ["erasing"], "shop")
    assert not any(o["replayed"] for o in await outcomes(world, inside, sources.SHOP)), "it had been undone"
    behind = await erasure_killed_at(world, ["erased"], "shop")
    assert all(o["replayed"] for o in await outcomes(world, behind, sources.SHOP)), "it had been committed"


@pytest.mark.long
async def test_a_connector_that_is_down_is_waited_for_and_named(world: World, tmp_path: Path) -> None:
    person = await world.person()
    async with failpoint(world, "access taken export files") as point:
        name = await world.copy(person)
        await point.reached()
        await world.kill("files")
    await says_it_waits(world, name, "SOURCE_UNAVAILABLE")
    assert await world.state(name) == "EXPORTING"
    await world.restart("files")
    await copied(world, name, person, tmp_path)


async def test_without_governance_nothing_starts_and_what_runs_waits(world: World) -> None:
    person = await world.person()
    before = await world.look(person)
    name = await world.erasure(person)
    async with failpoint(world, "erasure taken erase shop") as point:
        await world.approve(name)
        await point.reached()
        await world.kill("governance")
    await says_it_waits(world, name, "GOVERNANCE_UNAVAILABLE")
    assert (await world.look(person)).counts == before.counts
    answer = await world.api.client.post(
        f"/v1/{PARTNER}/accessRequests",
        params={"requestId": "6b1f7d3a-0f0e-4c2b-9a51-2f6f9d1c7e11"},
        json=body(person.identity),
        headers=world.clerk.headers(),
    )
    _is_problem(answer, 503, "GOVERNANCE_UNAVAILABLE")
    assert int(answer.headers["retry-after"]) >= 1
    await world.restart("governance")
    await erased(world, name, person, before)


@pytest.mark.long
async def test_the_platforms_database_is_killed_while_a_result_is_stored(world: World) -> None:
    person = await world.person()
    before = await world.look(person)
    name = await world.erasure(person)
    async with failpoint(world, "erasure storing erase shop") as point:
        await world.approve(name)
        await point.reached()
        world.platform_db.kill()
        answer = await world.api.client.get(f"/v1/{name}", headers=world.clerk.headers())
        _is_problem(answer, 503, "STORE_UNAVAILABLE")
        world.platform_db.restart()
    await erased(world, name, person, before)
    assert all(o["replayed"] for o in await outcomes(world, name, sources.SHOP))


@pytest.mark.long
async def test_the_shops_database_is_killed_inside_the_transaction(world: World) -> None:
    person = await world.person()
    before = await world.look(person)
    name = await world.erasure(person)
    async with failpoint(world, "erasing") as point:
        await world.approve(name)
        await point.reached()
        world.source_db.kill()
        await says_it_waits(world, name, "SOURCE_UNAVAILABLE")
        world.source_db.restart()
    await erased(world, name, person, before)


def _is_problem(answer: httpx.Response, status: int, reason: str) -> None:
    assert answer.headers["content-type"] == "application/problem+json"
    assert (answer.status_code, answer.json()["reason"]) == (status, reason)


async def test_everything_is_killed_at_once(world: World) -> None:
    person = await world.person()
    before = await world.look(person)
    name = await world.erasure(person)
    async with failpoint(world, "erasing") as point:
        await world.approve(name)
        await point.reached()
        for process in world.platform.programs:
            await world.kill(process)
    await world.mend()

    async def reached() -> bool:
        return await world.state(name) == "COMPLETED"

    await until(reached, "it is completed")
    await erased(world, name, person, before)

"""The long form: every point of the work, every process, every moment; and kills left to chance, by seed."""

import asyncio
import random
from pathlib import Path

import pytest

from tests.chaos.points import (
    COPYING,
    ERASING,
    MOMENTS,
    ROUNDS,
    copied,
    copy_killed_at,
    erasure_killed_at,
    journalled_once,
)
from tests.support.e2e import World, taken

pytestmark = pytest.mark.timeout(600)
SOURCES = ("shop", "files")


@pytest.mark.parametrize("moment", MOMENTS)
async def test_the_erasure_service_is_killed_at_every_step(world: World, moment: str) -> None:
    await erasure_killed_at(world, [f"erasure {moment} {step}" for step in ERASING], "erasure")


@pytest.mark.parametrize("moment", MOMENTS)
async def test_the_access_service_is_killed_at_every_step(world: World, moment: str, tmp_path: Path) -> None:
    await copy_killed_at(world, [f"access {moment} {step}" for step in COPYING], "access", tmp_path)


async def test_governance_is_killed_at_every_step(world: World, tmp_path: Path) -> None:
    await erasure_killed_at(world, [f"erasure taken {step}" for step in ERASING], "governance")
    await copy_killed_at(world, [f"access taken {step}" for step in COPYING], "governance", tmp_path)


@pytest.mark.parametrize("host", SOURCES)
async def test_a_connector_is_killed_at_every_step_of_its_own(world: World, host: str, tmp_path: Path) -> None:
    own = [step for step in ERASING if step.endswith(f" {host}")]
    await erasure_killed_at(world, [f"erasure taken {step}" for step in own], host)
    own = [step for step in COPYING if step.endswith(f" {host}")]
    await copy_killed_at(world, [f"access taken {step}" for step in own], host, tmp_path)


async def test_a_connector_is_killed_while_others_are_asked(world: World) -> None:
    """What happens elsewhere: a host is lost at moments when nobody waits for it."""
    await erasure_killed_at(world, [f"erasure storing {step}" for step in ERASING], "shop")


@pytest.mark.parametrize("seed", range(ROUNDS))
async def test_whatever_is_killed_whenever(world: World, seed: int, tmp_path: Path) -> None:
    """Three erasures and two copies, and five kills: any processes or databases, at any time, several at once."""
    chance = random.Random(seed)
    people = [await world.person() for _ in range(5)]
    leaving, staying = people[:3], people[3:]
    others = await world.look_past(leaving)
    before = {person: await world.look(person) for person in leaving}
    erasures = {person: await world.erasure(person) for person in leaving}
    copies = {person: await world.copy(person) for person in staying}
    for name in erasures.values():
        await world.approve(name)
    for _ in range(5):
        await kill_some(world, chance)
    for person, name in copies.items():
        await world.in_state(name, "COMPLETED", patience=120)
        folder = tmp_path / str(person.id)
        folder.mkdir()
        await copied(world, name, person, folder)
    for person, name in erasures.items():
        await world.in_state(name, "COMPLETED", patience=120)
        taken(before[person], await world.look(person), await world.api.get(world.clerk, name))
        await journalled_once(world, name)
    assert await world.look_past(leaving) == others


async def kill_some(world: World, chance: random.Random) -> None:
    """Kills one to three things after a while, and starts them again after another."""
    databases = {"platform database": world.platform_db, "shop's database": world.source_db}
    await asyncio.sleep(chance.uniform(0, 1.5))
    victims = chance.sample([*world.platform.programs, *databases], chance.choice((1, 1, 2, 3)))
    for victim in victims:
        if victim in databases:
            databases[victim].kill()
        else:
            await world.kill(victim)
    await asyncio.sleep(chance.uniform(0, 1.0))
    for victim in victims:
        if victim in databases:
            await asyncio.to_thread(databases[victim].restart)
    await world.mend()

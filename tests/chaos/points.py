"""Every point of a request at which something can be killed, in the order of work; and how that is done."""

import os
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import TypeVar

from deploy.local.package import Package, equal
from deploy.local.story import WITHHELD
from tests.support.e2e import Look, World, erased_once, until
from tests.support.e2e_failpoints import failpoint
from tests.support.e2e_people import Person

T = TypeVar("T")
ROUNDS = int(os.environ.get("CHAOS_ROUNDS", "0"))
"""How often the long form does what is left to chance; 0: the short form only."""
COPYING = ("register", "locate files", "locate shop", "export files", "export shop", "package", "close")
PLANNING = ("register", "locate files", "locate shop", "plan")
ERASING = (
    *PLANNING,
    *("grace", "relocate files", "relocate shop", "check", "erase files", "erase shop", "verify files", "verify shop"),
    *("finish", "close"),
)
MOMENTS = ("taken", "storing", "stored")


async def kill_at(world: World, points: Sequence[str], victim: str, start: Callable[[], Awaitable[T]]) -> T:
    """Kills the victim at each of these points, as the work that `start` begins comes to it, and starts it again."""
    async with AsyncExitStack() as stack:
        # All are armed before: after a release work goes on at once.
        armed = [await stack.enter_async_context(failpoint(world, point)) for point in points]
        started = await start()
        while armed:
            here = armed.pop(0)
            await here.reached()
            await world.kill(victim)
            for other in armed:
                if other.point.startswith(f"{victim} "):
                    await other.clear()
            await here.release()
            await world.restart(victim)
    return started


async def erasure_killed_at(world: World, points: Sequence[str], victim: str) -> str:
    """An erasure during which the victim is killed at each of these points. The request's name."""
    person = await world.person()
    before = await world.look(person)
    early = [p for p in points if p.split(" ", 2)[-1] in PLANNING]
    late = [p for p in points if p not in early]
    name = await kill_at(world, early, victim, lambda: world.erasure(person))
    await kill_at(world, late, victim, lambda: world.approve(name))
    await erased(world, name, person, before)
    return name


async def copy_killed_at(world: World, points: Sequence[str], victim: str, folder: Path) -> str:
    """A request for access during which the victim is killed at each of these points. The request's name."""
    person = await world.person()
    name = await kill_at(world, points, victim, lambda: world.copy(person))
    await copied(world, name, person, folder)
    return name


async def erased(world: World, name: str, person: Person, before: Look) -> None:
    """Waits for the end of an erasure, and asserts that it happened once, wholly, and to nobody else."""
    await world.in_state(name, "COMPLETED")
    erased_once(before, await world.look(person), await world.api.get(world.clerk, name))
    await journalled_once(world, name)
    await world.closed(name)


async def journalled_once(world: World, name: str) -> None:
    """Asserts that the shop's journal has one erasure for the request."""
    tasks = [str(t["id"]) for t in await world.tasks(name) if t["step"] == "erase"]
    async with world.shop() as connection:
        rows = await connection.fetch("SELECT * FROM dsr_journal.erasure WHERE task = ANY ($1)", tasks)
    assert len(rows) == 1


async def copied(world: World, name: str, person: Person, folder: Path) -> None:
    """Waits for the end of a request for access, and asserts that the package has every record and every file."""
    await world.in_state(name, "COMPLETED")
    package = Package.unpack(await world.api.download(world.clerk, name, folder))
    assert package.counts("shop") == person.counts
    assert len(package.files()) == (await world.look(person)).own_files
    async with world.shop() as connection:
        witness = await person.witness(connection)
        for table in person.counts:
            assert equal(package.records("shop", table), await witness.records(table), WITHHELD[table])
    await world.closed(name)


async def says_it_waits(world: World, name: str, reason: str) -> None:
    """Waits until the resource itself says that a source waits, and why."""

    async def said() -> bool:
        return reason in await world.waiting(name)

    await until(said, f"{name} says {reason}")

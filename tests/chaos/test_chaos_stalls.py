"""A worker that stands still past its heartbeat, and goes on when another has taken its place, changes nothing."""

import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from tests.chaos.points import erased
from tests.support.e2e import World, place, until
from tests.support.e2e_failpoints import failpoint


@asynccontextmanager
async def stopped(world: World, name: str) -> AsyncIterator[None]:
    """The process stands still, and at the end goes on."""
    os.kill(world.platform.pid(name), signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(world.platform.pid(name), signal.SIGCONT)


@asynccontextmanager
async def second_worker(world: World, service: str) -> AsyncIterator[None]:
    """Another process works beside the service."""
    alone = world.platform.programs
    second = world.second_worker(service)
    world.platform.start(second)
    try:
        await world.platform.ready(second)
        yield
    finally:
        await world.kill(second)
        world.platform.programs = alone


async def everything(world: World, name: str) -> list[Any]:
    """All that the service stores of a request."""
    schema, identifier = place(name)
    rows: list[Any] = []
    async with world.store() as connection:
        for table, key in (("request", "id"), ("event", "request"), ("task", "owner")):
            query = f"SELECT t::text FROM {schema}.{table} AS t WHERE {key} = $1 ORDER BY 1"  # noqa: S608
            rows += [row[0] for row in await connection.fetch(query, identifier)]
    return rows


async def superseded(world: World, before: str) -> bool:
    """Whether the worker has noticed since that its attempt is not the current one any more."""
    return '"task.superseded"' in world.log("erasure").removeprefix(before)


@pytest.mark.long
async def test_the_answer_reaches_a_worker_that_slept_through_its_successors_success(world: World) -> None:
    person = await world.person()
    before = await world.look(person)
    name = await world.erasure(person)
    async with failpoint(world, "erased") as point:
        await world.approve(name)
        await point.reached()
        log = world.log("erasure")
        async with stopped(world, "erasure"):
            # The shop commits, and the answer waits in the stalled worker's socket.
            await point.release()
            async with second_worker(world, "erasure"):
                await world.in_state(name, "COMPLETED")
                await world.closed(name)
                final = await everything(world, name)
    await until(lambda: superseded(world, log), "the stalled worker sees that it is late")
    assert await everything(world, name) == final
    await erased(world, name, person, before)


@pytest.mark.long
async def test_a_worker_that_stalls_before_the_effect_is_overtaken_at_the_source(world: World) -> None:
    person = await world.person()
    before = await world.look(person)
    name = await world.erasure(person)
    async with failpoint(world, "erasing") as point:
        await world.approve(name)
        await point.reached()
        async with stopped(world, "erasure"), second_worker(world, "erasure"):

            async def taken_over() -> bool:
                return any(t["step"] == "erase" and t["attempt"] > 1 for t in await world.tasks(name))

            await until(taken_over, "the other worker takes over")
            await point.release()
            await world.in_state(name, "COMPLETED")
            await world.closed(name)
            final = await everything(world, name)
    await erased(world, name, person, before)
    assert await everything(world, name) == final

"""Governance under a virtual clock: its chores are run by hand, so that a year passes in seconds."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import datetime, timedelta

import httpx

from dsrkit.db import open_pool
from dsrkit.egress import EgressGuard
from dsrkit.tasks import TaskStore
from dsrkit.vault import Vault
from services.governance.families import FAMILIES
from services.governance.law.domain import Law
from services.governance.store import SCHEMA, GovernanceStore
from services.governance.tools import Tools
from tests.support.http import PLAINTEXT
from tests.support.services import World

Pass = Callable[[timedelta], Awaitable[None]]


@asynccontextmanager
async def virtual_time(world: World, start: datetime) -> AsyncIterator[Pass]:
    """Sets the clock by which the running governance decides; yields what lets time pass and then runs every chore."""
    now = start

    def clock() -> datetime:
        return now

    world.clock = clock
    async with open_pool(world.dsn("governance"), SCHEMA) as pool, httpx.AsyncClient(verify=PLAINTEXT) as client:
        store, vault = GovernanceStore(pool, TaskStore(pool, SCHEMA)), Vault(world.folder / "keys" / "governance")
        tools = Tools(
            store,
            vault,
            EgressGuard.parse(""),
            clock,
            "dpo@agency.example",
            "",
            Law.load(),
            client,
            None,
            world.ledger(store),
        )
        chores = [chore for family in FAMILIES for _, chore in family.chores(tools)]

        async def let_pass(time: timedelta) -> None:
            nonlocal now
            now += time
            for chore in chores:
                await chore()

        yield let_pass

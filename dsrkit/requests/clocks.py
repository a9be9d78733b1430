"""The clocks of sandboxes, as governance says: followed by the worker, read at every call and task."""

import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta

import asyncpg

from dsrkit.clock import ON_TIME, be_ahead
from dsrkit.db import load_sql, partner_transaction
from dsrkit.requests.authority import Authority
from dsrkit.tasks import Done, Task
from dsrkit.tasks.store import TaskStore

_SQL = load_sql("dsrkit.requests")
_REMEMBERED_SECONDS = 1.0
_MOST = 100_000


class Clocks:
    """A partner without a row is on time; that is remembered for a moment, so that live ones cost nothing."""

    def __init__(self, pool: asyncpg.Pool, tasks: TaskStore, authority: Authority) -> None:
        self._pool = pool
        self._tasks = tasks
        self._authority = authority
        self._on_time: dict[str, float] = {}

    async def ahead(self, partner: str) -> timedelta:
        """How far ahead a partner's time is."""
        if self._on_time.get(partner, 0.0) > time.monotonic():
            return ON_TIME
        async with partner_transaction(self._pool, partner) as connection:
            known: timedelta | None = await connection.fetchval(_SQL["clock"])
        if known is None:
            if len(self._on_time) >= _MOST:
                self._on_time.clear()
            self._on_time[partner] = time.monotonic() + _REMEMBERED_SECONDS
        return known or ON_TIME

    async def now(self, partner: str) -> datetime:
        """A partner's time, for chores, which are nobody's call."""
        return datetime.now(UTC) + await self.ahead(partner)

    def of_task(self, step: Callable[[Task], Awaitable[Done]]) -> Callable[[Task], Awaitable[Done]]:
        """The step, by its partner's time; what is stored of it afterwards too."""

        async def run(task: Task) -> Done:
            be_ahead(await self.ahead(task.partner))
            return await step(task)

        return run

    async def follow(self) -> None:
        """Chore: sets clocks that were advanced, and begins what was put off to a time that has come."""
        for clock in await self._authority.sandbox_clocks():
            ahead = clock.ahead.ToTimedelta()
            async with partner_transaction(self._pool, clock.partner) as connection:
                before = await connection.fetchval(_SQL["clock"]) or ON_TIME
                await connection.execute(_SQL["set_clock"], ahead)
                if ahead > before:
                    await self._tasks.advance(connection, ahead - before)
            await self._authority.follow_sandbox_clock(clock)

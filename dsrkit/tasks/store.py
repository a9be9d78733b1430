"""All SQL on tasks."""

from collections.abc import Sequence
from dataclasses import asdict
from datetime import timedelta
from typing import Any
from uuid import UUID

import asyncpg
from opentelemetry import propagate

from dsrkit.clock import ahead
from dsrkit.db import Connection, as_dataclass, load_sql, partner_transaction, sweeper_transaction
from dsrkit.tasks.model import Done, NewTask, Task

_SQL = load_sql("dsrkit.tasks")


def _task(row: asyncpg.Record) -> Task:
    return as_dataclass(Task, row)


class TaskStore:
    """The tasks of one service's schema."""

    def __init__(self, pool: asyncpg.Pool, schema: str) -> None:
        self.pool = pool
        self.schema = schema
        self.channel = f"{schema}_tasks"

    async def begin(self, partner: str, task: UUID) -> Task | None:
        """Starts a new attempt; None when the task is not open or not due."""
        async with partner_transaction(self.pool, partner) as connection:
            row = await connection.fetchrow(_SQL["begin"], task)
            return _task(row) if row else None

    async def finish(self, connection: Connection, task: Task, done: Done) -> bool:
        """Stores the result of this attempt; False when a newer attempt exists or the task was dropped."""
        args: list[Any] = [task.id, task.attempt, done.records, done.result, done.sealed]
        return await connection.fetchrow(_SQL["finish"], *args) is not None

    async def wait(self, connection: Connection, task: Task, reason: str, delay: timedelta) -> bool:
        """Puts the task off; False when a newer attempt exists or the task was dropped."""
        return await connection.fetchrow(_SQL["wait"], task.id, task.attempt, reason, delay) is not None

    async def insert(self, connection: Connection, owner: UUID, tasks: Sequence[NewTask]) -> None:
        """Adds tasks in the caller's transaction and wakes the workers when it commits."""
        if tasks:
            # The trace of the call that led to the work goes on in the work, days later if need be.
            trace: dict[str, str] = {}
            propagate.inject(trace)
            rows = [
                {
                    **asdict(task),
                    "input": {**task.input, **({"trace": trace} if trace else {})},
                    # Tasks wait in the real time.
                    "due_time": task.due_time - ahead() if task.due_time else None,
                }
                for task in tasks
            ]
            await connection.execute(_SQL["insert"], owner, rows)
            await connection.execute(_SQL["notify"], self.channel)

    async def advance(self, connection: Connection, by: timedelta) -> None:
        """The time of the transaction's partner made a leap."""
        await connection.execute(_SQL["advance"], by)
        await connection.execute(_SQL["notify"], self.channel)

    async def of_owner(self, connection: Connection, owner: UUID) -> list[Task]:
        """All tasks of an owner, oldest first."""
        return [_task(row) for row in await connection.fetch(_SQL["of_owner"], owner)]

    async def drop_open(self, connection: Connection, owner: UUID, keep: Sequence[str] = ()) -> None:
        """Drops the owner's open tasks, except steps in `keep`."""
        await connection.execute(_SQL["drop_open"], owner, list(keep))

    async def hasten(self, connection: Connection, owner: UUID) -> None:
        """Tries the owner's waiting tasks at once."""
        await connection.execute(_SQL["hasten"], owner)
        await connection.execute(_SQL["notify"], self.channel)

    async def due(self, per_source: int) -> list[tuple[str, UUID]]:
        """The next few due tasks of every (partner, source), over all partners."""
        async with sweeper_transaction(self.pool, self.schema) as connection:
            return [(row["partner"], row["id"]) for row in await connection.fetch(_SQL["due"], per_source)]

    async def next_due(self) -> float | None:
        """Seconds until the next task falls due; None when there is none."""
        async with sweeper_transaction(self.pool, self.schema) as connection:
            seconds: float | None = await connection.fetchval(_SQL["next_due"])
            return seconds

    async def watch(self) -> list[asyncpg.Record]:
        """Open tasks by step, state and reason, over all partners: how many, and how old."""
        async with sweeper_transaction(self.pool, self.schema) as connection:
            return list(await connection.fetch(_SQL["watch"]))

    async def purge_queue_log(self) -> None:
        """Removes the queue's own log after a day."""
        await self.pool.execute(_SQL["purge_queue_log"])

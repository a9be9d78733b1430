"""Takes tasks from PgQueuer, runs their step, stores what came of it.

A step does its work outside of any transaction and returns `Done`, or raises `DsrError` to be tried again later.
`settle` then stores the result and whatever follows from it in one transaction.
"""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import timedelta
from uuid import UUID

import asyncpg
import orjson
from opentelemetry import propagate, trace
from pgqueuer.adapters.drivers.asyncpg import AsyncpgPoolDriver
from pgqueuer.adapters.persistence.qb import QueryBuilderEnvironment, QueryQueueBuilder, QuerySchedulerBuilder
from pgqueuer.domain.models import Job
from pgqueuer.domain.settings import DBSettings
from pgqueuer.domain.types import Channel
from pgqueuer.qm import QueueManager
from pgqueuer.queries import Queries

from dsrkit import log
from dsrkit.db import Connection, partner_transaction
from dsrkit.errors import DsrError
from dsrkit.interceptors import map_error
from dsrkit.metrics import TASK_DURATION, TASK_RECORDS, counter, histogram
from dsrkit.tasks.model import Done, Task
from dsrkit.tasks.store import TaskStore

Step = Callable[[Task], Awaitable[Done]]
Lock = Callable[[Connection, Task], Awaitable[None]]
Settle = Callable[[Connection, Task, Done], Awaitable[None]]
Waiting = Callable[[Connection, Task, str], Awaitable[None]]
Discard = Callable[[Task], Awaitable[None]]
"""Removes what an attempt wrote whose result was not taken."""
Chore = tuple[float, Callable[[], Awaitable[None]]]

PER_SOURCE = 2
DRAIN_SECONDS = 10.0
_FIRST_DELAY, _LAST_DELAY = 0.5, 60.0
_ENTRYPOINT = "task"
_TRACER = trace.get_tracer("dsr.tasks")


def queue_settings(schema: str) -> DBSettings:
    """Names of the queue's objects: in the service's schema, with a channel of its own."""
    return DBSettings(db_schema=schema, channel=Channel(f"{schema}_queue"))


def queue_queries(pool: asyncpg.Pool, schema: str) -> Queries:
    """PgQueuer's operations on the queue of one schema."""
    settings = queue_settings(schema)
    return Queries(
        AsyncpgPoolDriver(pool),
        qbe=QueryBuilderEnvironment(settings),
        qbq=QueryQueueBuilder(settings),
        qbs=QuerySchedulerBuilder(settings),
    )


def backoff(tries: int) -> timedelta:
    """Doubles from half a second to a minute, with jitter."""
    seconds = min(_FIRST_DELAY * 2 ** min(tries, 10), _LAST_DELAY)
    return timedelta(seconds=seconds * random.uniform(0.75, 1.25))  # noqa: S311 - jitter, not a secret


class Worker:
    """Runs the steps of one service until `stop`."""

    def __init__(
        self,
        store: TaskStore,
        steps: Mapping[str, Step],
        lock: Lock,
        settle: Settle,
        waiting: Waiting,
        chores: Sequence[Chore] = (),
        heartbeat_seconds: float = 10.0,
        discard: Discard | None = None,
    ) -> None:
        self._store = store
        self._steps = steps
        self._lock = lock
        self._settle = settle
        self._waiting = waiting
        self._discard = discard
        self._chores = [*chores, (3600.0, store.purge_queue_log)]
        self._heartbeat_timeout = timedelta(seconds=heartbeat_seconds)
        self._queries = queue_queries(store.pool, store.schema)
        self._manager = self._new_manager()
        self._stopping = asyncio.Event()
        self._kick = asyncio.Event()
        self._in_hand = 0

    @property
    def in_hand(self) -> int:
        """How many tasks and chores are being worked on."""
        return self._in_hand

    def stop(self) -> None:
        """Takes no more tasks; those in hand are finished."""
        self._stopping.set()
        self._manager.shutdown.set()
        self._kick.set()

    async def drain(self, running: "asyncio.Task[None]") -> None:
        """Stops and waits for the tasks in hand; after ten seconds leaves them to another worker."""
        self.stop()
        await asyncio.wait({running}, timeout=DRAIN_SECONDS)
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)

    async def run(self) -> None:
        """Works until stopped. A lost database connection is waited out."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._forever(self._reconcile))
            group.create_task(self._consume(group))
            for seconds, chore in self._chores:
                group.create_task(self._repeat(seconds, chore))

    async def _forever(self, body: Callable[[], Awaitable[None]]) -> None:
        while not self._stopping.is_set():
            try:
                await body()
            except Exception as error:
                log.get_logger().warning("worker.interrupted", error=error)
                await self._sleep(1.0)

    def _new_manager(self) -> QueueManager:
        queries = queue_queries(self._store.pool, self._store.schema)
        manager = QueueManager(queries, channel=queue_settings(self._store.schema).channel)
        manager.entrypoint(_ENTRYPOINT)(self._run_job)
        return manager

    async def _consume(self, group: asyncio.TaskGroup) -> None:
        """Takes tasks.

        Who can't listen any more takes no more and ends what it has in hand, for hours maybe; nobody waits for it.
        """
        while not self._stopping.is_set():
            # A new one each time: a driver that lost the connection it listens on never listens again.
            self._manager = manager = self._new_manager()
            group.create_task(self._take(manager))
            await manager.shutdown.wait()
            await self._sleep(1.0)

    async def _take(self, manager: QueueManager) -> None:
        try:
            await manager.run(
                dequeue_timeout=timedelta(seconds=5),
                batch_size=4,
                max_concurrent_tasks=16,
                heartbeat_timeout=self._heartbeat_timeout,
                shutdown_on_listener_failure=True,
            )
        except Exception as error:
            log.get_logger().warning("worker.interrupted", error=error)
        finally:
            manager.shutdown.set()

    async def _reconcile(self) -> None:
        """Enqueues due tasks that have no job: at start, when told of new ones, when one falls due."""
        async with self._store.pool.acquire() as connection:
            await connection.add_listener(self._store.channel, self._notified)
            try:
                while not self._stopping.is_set():
                    self._kick.clear()
                    await self.enqueue_due()
                    pause = min(await self._store.next_due() or 2.0, 2.0)
                    with suppress(TimeoutError):
                        await asyncio.wait_for(self._kick.wait(), max(pause, 0.02))
                    await connection.execute("SELECT 1")  # notices a dead connection, on which no notice would come
            except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError):
                # The connection that the queue listens on has gone too, which it would notice only much later.
                self._manager.shutdown.set()
                raise
            finally:
                if not connection.is_closed():
                    await connection.remove_listener(self._store.channel, self._notified)

    def _notified(self, *_: object) -> None:
        self._kick.set()

    async def enqueue_due(self) -> None:
        """One pass of the reconciler."""
        due = await self._store.due(PER_SOURCE)
        if due:
            await self._queries.enqueue(
                [_ENTRYPOINT] * len(due),
                [orjson.dumps({"partner": partner, "task": str(task)}) for partner, task in due],
                [0] * len(due),
                dedupe_key=[str(task) for _, task in due],
                on_conflict="skip",
            )

    async def _repeat(self, seconds: float, chore: Callable[[], Awaitable[None]]) -> None:
        while not self._stopping.is_set():
            try:
                with self._working():
                    await chore()
            except Exception as error:
                log.get_logger().warning("chore.failed", error=error, reason=map_error(error).reason)
            await self._sleep(seconds)

    async def _sleep(self, seconds: float) -> None:
        with suppress(TimeoutError):
            await asyncio.wait_for(self._stopping.wait(), seconds)

    @contextmanager
    def _working(self) -> Iterator[None]:
        self._in_hand += 1
        try:
            yield
        finally:
            self._in_hand -= 1

    async def _run_job(self, job: Job) -> None:
        # Whatever escapes here would stand in the queue's log with its text, so nothing but a reason code does.
        payload = orjson.loads(job.payload or b"{}")
        try:
            with self._working():
                await self.run_task(payload["partner"], UUID(payload["task"]))
        except Exception as error:
            log.get_logger().error("task.unfinished", task=payload.get("task"), error=error)
            raise RuntimeError(map_error(error).reason) from None
        finally:
            self._kick.set()

    async def run_task(self, partner: str, task_id: UUID) -> None:
        """One attempt of a task, if it is open and due."""
        task = await self._store.begin(partner, task_id)
        if task is None:
            return
        parent = propagate.extract(task.input.get("trace", {}))
        with _TRACER.start_as_current_span(f"task {task.step}", context=parent):
            await self._attempt(task)

    async def _attempt(self, task: Task) -> None:
        partner = task.partner
        start, tried = time.monotonic(), {"dsr.task.step": task.step}
        logger = log.get_logger().bind(task=task.name, step=task.step, source=task.source, attempt=task.attempt)
        try:
            done = await self._steps[task.step](task)
            async with partner_transaction(self._store.pool, partner) as connection:
                await self._lock(connection, task)
                taken = await self._store.finish(connection, task, done)
                if taken:
                    await self._settle(connection, task, done)
            if taken:
                histogram(TASK_DURATION).record(time.monotonic() - start, tried)
                counter(TASK_RECORDS).add(done.records, tried)
                logger.info("task.done", records=done.records)
            else:
                logger.warning("task.superseded")
                if self._discard is not None:
                    await self._discard(task)
        except Exception as error:
            reason = map_error(error).reason
            histogram(TASK_DURATION).record(time.monotonic() - start, {**tried, "error.type": reason})
            delay = error.retry_after if isinstance(error, DsrError) else None
            pause = max(backoff(task.tries), delay or timedelta())
            logger.warning("task.waiting", reason=reason, error=None if isinstance(error, DsrError) else error)
            async with partner_transaction(self._store.pool, partner) as connection:
                await self._lock(connection, task)
                taken = await self._store.wait(connection, task, reason, pause)
                if taken:
                    await self._waiting(connection, task, reason)
            if not taken and self._discard is not None:
                await self._discard(task)

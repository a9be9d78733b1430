"""The worker takes tasks whatever it has in hand, when it has to listen anew too."""

import asyncio
import secrets
from uuid import uuid4

from deploy.database import SCHEMAS, migrate_all
from deploy.local.postgres import Cluster
from dsrkit.db import Connection, open_pool, partner_transaction
from dsrkit.tasks import Done, NewTask, Task, TaskStore, Worker
from tests.support.services import PARTNER, eventually


async def test_who_has_to_listen_anew_is_not_waited_for(postgres: Cluster, template: str) -> None:
    name = f"worker_{secrets.token_hex(6)}"
    postgres.create_database(name, template=template)
    await migrate_all(postgres.dsn(name), {schema: "secret" for schema in SCHEMAS})
    begun, released, done = asyncio.Event(), asyncio.Event(), list[str]()

    async def hold(_: Task) -> Done:
        begun.set()
        await released.wait()
        return Done()

    async def quick(_: Task) -> Done:
        return Done()

    async def lock(*_: object) -> None: ...

    async def settle(_: Connection, task: Task, __: Done) -> None:
        done.append(task.step)

    async with open_pool(postgres.dsn(name, user="dsr_access", password="secret"), "access") as pool:
        store = TaskStore(pool, "access")
        worker = Worker(store, {"hold": hold, "quick": quick}, lock, settle, lock)
        running = asyncio.create_task(worker.run())

        async def add(step: str) -> None:
            async with partner_transaction(pool, PARTNER) as connection:
                await store.insert(connection, uuid4(), [NewTask(step)])

        try:
            await add("hold")
            await asyncio.wait_for(begun.wait(), 20)
            # As after a lost connection, or a notification that didn't come back in time.
            worker._manager.shutdown.set()
            await add("quick")
            await eventually(lambda: done == ["quick"])
            released.set()
            await eventually(lambda: done == ["quick", "hold"])
        finally:
            await worker.drain(running)
    postgres.drop_database(name)

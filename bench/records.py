"""What the processing record of a call costs: `python -m bench.records`. Decision 0045.

Measured apart: to take a record in the call, to hand it to a rights service's outbox, to keep it in governance's table;
the last two in batches as a busy second makes them, and one by one as a mutation does.
"""

import asyncio
import secrets
import tempfile
import time
import uuid
from collections.abc import Awaitable, Callable
from pathlib import Path

from dsr.authority.v1.authority_pb2 import RIGHT_ACCESS
from dsr.v1.governance_pb2 import Partner, ProcessingRecord

from deploy.database import migrate_all
from deploy.local.postgres import Cluster
from dsrkit.db import open_pool, partner_transaction
from dsrkit.recording import BATCH, Recorder
from dsrkit.requests.model import Right
from dsrkit.requests.store import RequestStore
from dsrkit.tasks import TaskStore
from services.governance import messages
from services.governance.keeping import keep, know_operations
from services.governance.store import SCHEMA, GovernanceStore

PARTNER = "partners/bench"
ROUNDS = 20


def record() -> ProcessingRecord:
    """What a read leaves."""
    made = ProcessingRecord(
        actor="urn:dsr:partner:bench#7b1c0a52",
        operation="GetAccessRequest",
        request=f"{PARTNER}/accessRequests/{uuid.uuid4()}",
        outcome="OK",
        originating_ip="192.0.2.7",
    )
    made.record_time.GetCurrentTime()
    return made


async def measure(name: str, count: int, body: Callable[[int], Awaitable[None]]) -> None:
    """Prints microseconds per record, the best of some rounds."""
    best = float("inf")
    for _ in range(ROUNDS):
        start = time.perf_counter()
        await body(count)
        best = min(best, (time.perf_counter() - start) / count)
    print(f"{name:<50} {best * 1e6:8.1f} µs per record", flush=True)


def main() -> None:
    """The measurement."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        with Cluster.start(Path(folder) / "postgres") as cluster:
            cluster.create_database("bench")
            asyncio.run(on(cluster))


async def on(cluster: Cluster) -> None:
    """With governance's schema and a rights service's."""
    words = {"governance": secrets.token_hex(), "access": secrets.token_hex()}
    await migrate_all(cluster.dsn("bench"), words)
    governance, access = [str(cluster.dsn("bench", user=f"dsr_{name}", password=word)) for name, word in words.items()]
    async with open_pool(governance, SCHEMA) as kept, open_pool(access, "access") as shipped:
        right = Right("access", "accessRequests", RIGHT_ACCESS)
        await run(
            GovernanceStore(kept, TaskStore(kept, SCHEMA)), RequestStore(shipped, right, TaskStore(shipped, "access"))
        )


async def run(store: GovernanceStore, requests: RequestStore) -> None:
    """Each part."""
    await know_operations(store)
    async with partner_transaction(store.pool, PARTNER) as connection:
        await store.row(connection, "create_partner", messages.to_json(Partner(name=PARTNER)))

    async def take(count: int) -> None:
        recorder = Recorder(requests.add_records)
        for _ in range(count):
            recorder.need_room()
            recorder.add(PARTNER, record())

    async def ship(count: int) -> None:
        await requests.add_records(PARTNER, [record() for _ in range(count)])

    async def store_them(count: int) -> None:
        async with partner_transaction(store.pool, PARTNER) as connection:
            await keep(store, connection, [(uuid.uuid4(), record()) for _ in range(count)])

    await measure("taken in the call", BATCH, take)
    await measure(f"to the outbox, {BATCH} at once", BATCH, ship)
    await measure(f"into the table, {BATCH} at once", BATCH, store_them)
    await measure("into the table, a transaction each", 1, store_them)


if __name__ == "__main__":
    main()

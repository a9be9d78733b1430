"""How a task ends, and with the last one the request: by people's word, or by a connector's and a read-back."""

from datetime import datetime
from uuid import UUID

import asyncpg

from dsrkit.db import Connection
from services.governance.notifications.outbox import notify
from services.governance.recipients.tasks import Debt, owe
from services.governance.tools import Tools


async def complete_task(
    tools: Tools,
    connection: Connection,
    row: asyncpg.Record,
    name: str,
    source: str,
    evidence: str,
    completer: str,
    now: datetime,
) -> None:
    """Records that a task was carried out. With the last one the request is over. `row`: the request, locked."""
    await tools.store.row(connection, "corrections.complete_task", row["id"], source, evidence, completer, now)
    left = await tools.store.need(connection, "corrections.open_tasks", "resource", row["id"])
    if not left["open"]:
        await end(tools, connection, row["id"], name, "COMPLETED", now)


async def end(tools: Tools, connection: Connection, identifier: UUID, name: str, state: str, now: datetime) -> None:
    """Ends a request. Its sealed part goes with this transaction, its key with whoever reads it next."""
    row = await tools.store.need(connection, "corrections.end", "resource", identifier, state, now)
    if state == "COMPLETED":
        await _owe(tools, connection, name, row)
    await tell(tools, connection, name, state, row["due_time"], now)


async def tell(tools: Tools, connection: Connection, name: str, state: str, due_time: datetime, now: datetime) -> None:
    """Tells who waits for the change, and has the deadline watched while the request is open."""
    await tools.store.row(connection, "notifications.track", name, state, state == "OPEN", due_time, now)
    await notify(tools.store, connection, now, "request.state_changed", name, state, state=state)


async def _owe(tools: Tools, connection: Connection, name: str, row: asyncpg.Record) -> None:
    """Whom data was disclosed to hears of a rectification and a restriction, not of an objection (Art. 19)."""
    if row["touched"]:
        # A recipient that is a data source of its own needs no word where its connector did it.
        tasks = await tools.store.rows(connection, "corrections.tasks", row["id"])
        done = [task["source"] for task in tasks if task["state"] == "AMENDED"]
        args = (row["kind"], row["creator"], row["due_time"], row["data_map_revision"], row["touched"], done)
        await owe(tools, connection, row["partner"], Debt(name, *args))

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
    task: asyncpg.Record,
    name: str,
    evidence: str,
    completer: str,
    now: datetime,
) -> bool:
    """Records that a task was carried out; True when nothing of the person is needed any more. `row`: locked."""
    args = (row["id"], task["source"], task["clears"], evidence, completer, now)
    await tools.store.row(connection, "corrections.complete_task", *args)
    return await settle(tools, connection, row, name, now)


async def settle(tools: Tools, connection: Connection, row: asyncpg.Record, name: str, now: datetime) -> bool:
    """With the last task the request is over. Where all that is left is kept by others, nobody is to be warned."""
    left = await tools.store.need(connection, "corrections.open_tasks", "resource", row["id"])
    if not left["open"]:
        return await end(tools, connection, row["id"], name, "COMPLETED", now)
    args = (name, row["state"], left["due"] > 0, row["due_time"], now)
    await tools.store.row(connection, "notifications.track", *args)
    return False


async def end(tools: Tools, connection: Connection, identifier: UUID, name: str, state: str, now: datetime) -> bool:
    """Ends a request. True when its sealed part goes: with this transaction, and its key with whoever reads it next.

    That of a restriction in force stays: the person is looked for once more when it is lifted.
    """
    row = await tools.store.need(connection, "corrections.end", "resource", identifier, state, now)
    lifted = row["lift_time"] is not None
    if state == "COMPLETED" and not lifted:
        await _owe(tools, connection, name, row)
    # That a restriction's marks are cleared is news, although it was completed before.
    await tell(tools, connection, name, state, row["due_time"], now, "lifted" if lifted else "")
    return row["sealed"] is None


async def tell(
    tools: Tools,
    connection: Connection,
    name: str,
    state: str,
    due_time: datetime,
    now: datetime,
    occasion: str = "",
) -> None:
    """Tells who waits for the change, and has the deadline watched while there is something to do."""
    await tools.store.row(connection, "notifications.track", name, state, state == "OPEN", due_time, now)
    await notify(tools.store, connection, now, "request.state_changed", name, f"{state}{occasion}", state=state)


async def _owe(tools: Tools, connection: Connection, name: str, row: asyncpg.Record) -> None:
    """Whom data was disclosed to hears of a rectification and a restriction, not of an objection (Art. 19)."""
    if row["touched"]:
        # A recipient that is a data source of its own needs no word where its connector did it.
        tasks = await tools.store.rows(connection, "corrections.tasks", row["id"])
        done = [task["source"] for task in tasks if task["state"] == "AMENDED"]
        args = (row["kind"], row["creator"], row["due_time"], row["data_map_revision"], row["touched"], done)
        await owe(tools, connection, row["partner"], Debt(name, *args))

"""What follows the end of a restriction: its marks are cleared, unless another restriction of the person keeps them."""

from collections.abc import Sequence
from datetime import datetime

import asyncpg
from dsr.v1 import correction_pb2 as pb

from dsrkit.auth import current_caller
from dsrkit.calendar import due
from dsrkit.db import Connection
from dsrkit.errors import DsrError
from dsrkit.grants import LIFETIME
from services.governance.corrections.closing import end
from services.governance.notifications.outbox import notify
from services.governance.tools import Tools

_INCONSISTENT = pb.CorrectionRequest.Amendment.OBSTACLE_INCONSISTENT
_UNNAMED = pb.CorrectionRequest.Amendment.OBSTACLE_NOT_FOUND


async def lift(
    tools: Tools, connection: Connection, row: asyncpg.Record, name: str, told: datetime, now: datetime
) -> None:
    """Ends a restriction in force, and begins to clear its marks. `row`: the request, locked."""
    store, caller = tools.store, current_caller()
    await store.row(connection, "corrections.lift", row["id"], now, told, caller.principal, list(caller.actors))
    state = "RESTRICTION_LIFTED"
    await notify(store, connection, now, "request.state_changed", name, state, state=state)
    await release(tools, connection, row, now)
    # An earlier release kept no names: people know whom they marked.
    begins = ("PREVIEWING", 0) if row["sealed"] else ("BY_HAND", _UNNAMED)
    args = (caller.principal, *begins, tools.real_time() + LIFETIME, _INCONSISTENT)
    marked = await store.rows(connection, "corrections.clear_marks", row["id"], *args)
    await store.row(connection, "corrections.withdraw", row["id"])
    if not marked:
        await end(tools, connection, row["id"], name, "COMPLETED", now)
        return
    when = due(now, row["time_zone"])
    await store.row(connection, "corrections.lifting", row["id"], when)
    await store.row(connection, "notifications.track", name, "LIFTING", True, when, now)


async def release(tools: Tools, connection: Connection, row: asyncpg.Record, now: datetime) -> None:
    """Ends the refusal of grants, and has marks looked at again that were kept. The month to clear them begins anew."""
    await tools.store.row(connection, "corrections.unrestrict", row["id"])
    for kept in await tools.store.rows(connection, "corrections.kept"):
        when = due(now, kept["time_zone"])
        await tools.store.row(connection, "corrections.wake", kept["id"], when)
        name = f"{kept['partner']}/correctionRequests/{kept['id']}"
        await tools.store.row(connection, "notifications.track", name, kept["state"], True, when, now)


def check_unmarked(tasks: Sequence[asyncpg.Record]) -> None:
    """STATE_CONFLICT for a restriction that was marked somewhere, or may be: it can't be cancelled."""
    marked = [
        task["source"]
        for task in tasks
        if task["complete_time"] is not None or task["state"] == "APPROVED" or task["obstacle"] == _INCONSISTENT
    ]
    if marked:
        text = f"The restriction is marked at {', '.join(marked)}. Tell the person, then lift it (Art. 18(3))."
        raise DsrError("STATE_CONFLICT", text, state="MARKED", allowed="LiftRestriction")

"""Reminds controllers of their 72 hours."""

from dsrkit.db import partner_transaction, sweeper_transaction
from services.governance.breach.domain import CONTROLLER, reminder
from services.governance.notifications.outbox import notify
from services.governance.store import SCHEMA
from services.governance.tools import Tools


async def remind(tools: Tools) -> None:
    """Chore: breaches whose authority nobody has told, nor decided not to; each reminder once."""
    store = tools.store
    async with sweeper_transaction(store.pool, SCHEMA) as connection:
        partners = [row["partner"] for row in await store.rows(connection, "breach.partners_undecided")]
    for partner in partners:
        now = await tools.now(partner)
        async with partner_transaction(store.pool, partner) as connection:
            for row in await store.rows(connection, "breach.undecided"):
                hours, due = reminder(row["notice_time"], now), (row["notice_time"] + CONTROLLER).isoformat()
                if hours is None:
                    continue
                kind = "breach.deadline_near" if hours else "breach.overdue"
                facts = {"hours": str(hours), "due": due} if hours else {"due": due}
                await notify(store, connection, now, kind, f"{partner}/breaches/{row['id']}", str(hours), **facts)

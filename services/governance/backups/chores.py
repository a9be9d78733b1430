"""What is done for every partner, hour by hour."""

from collections import Counter
from datetime import UTC

from dsrkit.calendar import days_before
from dsrkit.db import partner_transaction, sweeper_transaction
from services.governance.backups.domain import KEEP_YEARS
from services.governance.notifications.outbox import notify
from services.governance.store import SCHEMA
from services.governance.tools import Tools


async def overdue(tools: Tools) -> None:
    """Tells the partner, once a day and source, of snapshots whose time is over and whose end nobody recorded."""
    store = tools.store
    for partner in await _partners(tools):
        now = await tools.now(partner)
        async with partner_transaction(store.pool, partner) as connection:
            rows = await store.rows(connection, "backups.tell_overdue", now)
            for source, count in Counter(row["source"] for row in rows).items():
                day = now.date().isoformat()
                await notify(store, connection, now, "snapshot.overdue", source, day, count=str(count))


async def purge(tools: Tools) -> None:
    """Forgets which erasure touched which source when no snapshot from before it is left."""
    for partner in await _partners(tools):
        before = days_before((await tools.now(partner)).astimezone(UTC), "UTC", 1, years=KEEP_YEARS)
        async with partner_transaction(tools.store.pool, partner) as connection:
            await tools.store.row(connection, "backups.purge", before)


async def _partners(tools: Tools) -> list[str]:
    async with sweeper_transaction(tools.store.pool, SCHEMA) as connection:
        return [row["partner"] for row in await tools.store.rows(connection, "partners")]

"""After a leap of a sandbox's time, what governance does by the hour is done at once."""

from datetime import timedelta

from dsrkit.db import partner_transaction, sweeper_transaction
from services.governance.backups import chores as backups
from services.governance.breach import clock as breach
from services.governance.notifications import deadlines
from services.governance.recipients import chores as recipients
from services.governance.records import chores as records
from services.governance.retention import schedule as retention
from services.governance.sandbox.domain import GOVERNANCE
from services.governance.store import SCHEMA
from services.governance.termination import progress as termination
from services.governance.tools import Tools

SECONDS = 1.0
_BY_THE_HOUR = (
    deadlines.warn,
    breach.remind,
    retention.begin_due,
    backups.overdue,
    backups.purge,
    records.purge,
    deadlines.purge,
    recipients.announce,
    termination.run,
)
"""Everything that asks for a partner's own time."""


async def follow(tools: Tools) -> None:
    """Chore: for sandboxes that were advanced since the last time, and new ones."""
    store = tools.store
    async with sweeper_transaction(store.pool, SCHEMA) as connection:
        rows = await store.rows(connection, "sandbox.orders", GOVERNANCE)
    if any(row["ahead"] > timedelta() for row in rows):
        for chore in _BY_THE_HOUR:
            await chore(tools)
    for row in rows:
        async with partner_transaction(store.pool, row["partner"]) as connection:
            await store.row(connection, "sandbox.follow", GOVERNANCE, row["ahead"])

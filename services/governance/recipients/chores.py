"""Tells partners of sub-processors that are about to change."""

from collections.abc import Sequence

from dsrkit.db import partner_transaction, sweeper_transaction
from services.governance.notifications.outbox import notify
from services.governance.recipients.domain import REGISTER, SubProcessor
from services.governance.store import SCHEMA
from services.governance.tools import Tools


async def announce(tools: Tools, register: Sequence[SubProcessor] = REGISTER) -> None:
    """Chore: one notice per partner and change, from the day it is announced until it takes effect."""
    changes = [entry for entry in register if entry.announced < entry.effective]
    if not changes:
        return
    async with sweeper_transaction(tools.store.pool, SCHEMA) as connection:
        partners = [row["partner"] for row in await tools.store.rows(connection, "partners")]
    for partner in partners:
        now = await tools.now(partner)
        coming = [entry for entry in changes if entry.announced <= now.date() < entry.effective]
        async with partner_transaction(tools.store.pool, partner) as connection:
            for entry in coming:
                name = f"{partner}/subProcessors/{entry.id}"
                facts = {"name": entry.name, "effective": entry.effective.isoformat()}
                await notify(tools.store, connection, now, "sub_processor.announced", name, "", None, **facts)

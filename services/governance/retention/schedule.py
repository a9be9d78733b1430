"""Begins sweeps: when they are due, or when somebody wants one now."""

from datetime import datetime
from uuid import UUID, uuid5

import asyncpg

from dsrkit.calendar import after
from dsrkit.db import Connection, partner_transaction, sweeper_transaction
from services.governance import messages
from services.governance.retention.domain import cutoff
from services.governance.store import SCHEMA, GovernanceStore
from services.governance.tools import Tools


async def begin_due(tools: Tools) -> None:
    """Chore: a sweep for every rule whose time has come. One that is still open is waited for."""
    store, real = tools.store, tools.clock()
    async with sweeper_transaction(store.pool, SCHEMA) as connection:
        due = [(row["partner"], row["id"]) for row in await store.rows(connection, "retention.due_rules", real)]
    for partner, identifier in due:
        now = await tools.now(partner)
        async with partner_transaction(store.pool, partner) as connection:
            rule = await store.row(connection, "retention.lock_rule", identifier)
            if rule is None or rule["end_time"] is not None or rule["next_sweep_time"] > now:
                continue
            if await store.row(connection, "retention.open_sweep", identifier) is None:
                await begin(store, connection, rule, uuid5(identifier, now.isoformat()), now, "", ())


async def begin(
    store: GovernanceStore,
    connection: Connection,
    rule: asyncpg.Record,
    identifier: UUID,
    now: datetime,
    creator: str,
    actors: tuple[str, ...],
) -> None:
    """One sweep of a locked rule; the next is due in a month."""
    zone = messages.partner(await store.need(connection, "partner", "resource")).time_zone
    before = cutoff(now, zone, rule["months"])
    args = (identifier, rule["id"], rule["source"], before, creator, list(actors), now)
    await store.row(connection, "retention.create_sweep", *args)
    await store.row(connection, "retention.set_next", rule["id"], after(now, zone, months=1))

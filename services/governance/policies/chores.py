"""Tells every partner of what was published, and takes no silence for an answer."""

from datetime import datetime

from dsrkit.db import Connection, partner_transaction, sweeper_transaction
from services.governance.notifications.outbox import notify
from services.governance.policies.domain import deadline
from services.governance.store import SCHEMA, GovernanceStore
from services.governance.tools import Tools

SECONDS = 5.0
"""Between two looks at who was not told."""


async def follow(tools: Tools) -> None:
    """Chore: partners that were not told yet, new ones too; and those whose time to answer is over."""
    store = tools.store
    async with sweeper_transaction(store.pool, SCHEMA) as connection:
        partners = [row["partner"] for row in await store.rows(connection, "policies.behind", tools.clock())]
    for partner in partners:
        now = await tools.now(partner)
        async with partner_transaction(store.pool, partner) as connection:
            await store.need(connection, "lock_partner", "resource")
            await _tell(store, connection, partner, now)
            for row in await store.rows(connection, "policies.unanswered", now):
                await notify(store, connection, now, "policy.unanswered", name(partner, row["version"]))


async def _tell(store: GovernanceStore, connection: Connection, partner: str, now: datetime) -> None:
    for row in await store.rows(connection, "policies.untold", now):
        until = deadline(row["answer_deadline"], now)
        await store.row(connection, "policies.told", row["version"], until, now)
        facts = {"effective": row["effective_time"].date().isoformat(), "due": until.isoformat(timespec="seconds")}
        facts["url"] = row["text_url"]
        await notify(store, connection, now, "policy.published", name(partner, row["version"]), **facts)


def name(partner: str, version: int) -> str:
    """The name of an agreement."""
    return f"{partner}/policyAgreements/{version}"

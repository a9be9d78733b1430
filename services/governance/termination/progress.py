"""Goes on with terminations after their receipt was confirmed. Each pass begins anew: it may be killed anywhere."""

from datetime import datetime
from hashlib import sha256
from uuid import UUID

import orjson
from google.protobuf import json_format

from dsrkit import log
from dsrkit.db import Connection, partner_transaction, sweeper_transaction
from dsrkit.interceptors import map_error
from services.governance.notifications.outbox import notify
from services.governance.store import SCHEMA, GovernanceStore
from services.governance.termination import domain, state
from services.governance.tools import Tools


async def run(tools: Tools) -> None:
    """Chore. One termination that fails keeps no other one up."""
    async with sweeper_transaction(tools.store.pool, SCHEMA) as connection:
        found = [(r["partner"], r["id"]) for r in await tools.store.rows(connection, "termination.unfinished")]
    for partner, identifier in found:
        try:
            await advance(tools, partner, identifier, await tools.now(partner))
        except Exception as error:
            name, reason = f"{partner}/terminations/{identifier}", map_error(error).reason
            log.get_logger().warning("termination.waiting", termination=name, reason=reason, error=error)


async def returned(store: GovernanceStore, connection: Connection, known: state.Known, by: str, now: datetime) -> None:
    """Everything has been returned: the partner is told, and where more wasn't asked for it ends here."""
    if known.row["return_only"]:
        await store.row(connection, "termination.set_state", known.row["id"], "RETURNED", None)
    await notify(store, connection, now, "termination.changed", known.name, f"RETURNED {by} {now}", state="RETURNED")


async def _certify(tools: Tools, connection: Connection, known: state.Known, now: datetime) -> None:
    """Into the ledger with it, in the transaction that says so. Without the partner's officer, whose name is sealed."""
    message = json_format.MessageToDict(known.message(tools.dpo_contact))
    document = orjson.dumps(message, option=orjson.OPT_INDENT_2 | orjson.OPT_SORT_KEYS)
    await tools.store.row(connection, "termination.certified", known.row["id"], document.decode())
    await tools.ledger.certify(connection, known.name, sha256(document).digest(), now)


async def advance(tools: Tools, partner: str, identifier: UUID, now: datetime) -> None:
    """One termination: to its next state, and in the end governance's own keys."""
    store = tools.store
    async with partner_transaction(store.pool, partner) as connection:
        known = await state.load(store, connection, identifier, now, lock=True)
        before = known.row["state"]
        after = domain.next_state(before, known.items, known.emptied, len(known.snapshots))
        if after != before:
            certified = now if after == "CERTIFIED" else None
            await store.row(connection, "termination.set_state", identifier, after, certified)
            if certified is not None:
                await _certify(tools, connection, await state.load(store, connection, identifier, now), now)
            name = f"{partner}/terminations/{identifier}"
            await notify(store, connection, now, "termination.changed", name, f"{after} {now}", state=after)
        certify_time = known.row["certify_time"]
    if certify_time is not None and now >= certify_time + domain.SHRED_AFTER:
        await tools.vault.destroy_partner(partner)
        async with partner_transaction(store.pool, partner) as connection:
            await store.row(connection, "termination.shredded", identifier, now)

"""A partner's addresses, sealed under a key of their own."""

from dataclasses import asdict
from datetime import datetime

import orjson

from dsrkit.db import Connection
from dsrkit.vault import KeyGone, Vault
from services.governance.notifications.domain import Contacts
from services.governance.store import GovernanceStore
from services.governance.tools import Tools

_KEY = "contacts"


async def save(
    store: GovernanceStore, vault: Vault, connection: Connection, partner: str, wanted: Contacts, now: datetime
) -> None:
    """Replaces the addresses."""
    key = await vault.create(partner, _KEY)
    sealed = key.seal(orjson.dumps(asdict(wanted)), f"{partner}|{_KEY}")
    await store.row(connection, "notifications.set_contacts", sealed, now)


async def load(
    store: GovernanceStore, vault: Vault, connection: Connection, partner: str
) -> tuple[Contacts, datetime] | None:
    """The addresses and when they were set; None when there are none, or their key was destroyed."""
    row = await store.row(connection, "notifications.contacts")
    if row is None:
        return None
    try:
        key = await vault.get(partner, _KEY)
    except KeyGone:
        return None
    return Contacts(**orjson.loads(key.open(row["sealed"], f"{partner}|{_KEY}"))), row["update_time"]


async def partner_dpo(tools: Tools, connection: Connection, partner: str) -> str:
    """The partner's own data protection officer, for documents (policy P18); empty when it named none."""
    known = await load(tools.store, tools.vault, connection, partner)
    return known[0].dpo_email if known else ""

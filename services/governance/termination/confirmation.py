"""Whether whoever confirmed the receipt may still do so: looked at again before anything more is destroyed."""

from datetime import datetime
from uuid import UUID

from dsrkit.db import partner_transaction
from dsrkit.errors import DsrError
from services.governance.notifications.outbox import notify
from services.governance.tools import Tools


async def lapsed(tools: Tools, partner: str, identifier: UUID, now: datetime) -> bool:
    """Takes back a confirmation whose confirmer's role was revoked; False where it stands, or there is none.

    Before it took effect nothing can have followed from it, and everything is as it was. Afterwards the rest waits:
    somebody else confirms.
    """
    store = tools.store
    async with partner_transaction(store.pool, partner) as connection:
        row = await store.row(connection, "termination.lapse", identifier, now)
        if row is None:
            return False
        if row["state"] == "RETURNING":
            await store.need(connection, "set_standing", "resource", row["standing_before"])
        name, state = f"{partner}/terminations/{identifier}", row["state"]
        await notify(store, connection, now, "termination.changed", name, f"lapsed {now}", state=state)
    return True


async def need(tools: Tools, partner: str, identifier: UUID, now: datetime) -> None:
    """FOUR_EYES where it lapsed just now."""
    if await lapsed(tools, partner, identifier, now):
        text = "The role of whoever confirmed the receipt was revoked since; somebody else has to confirm it."
        raise DsrError("FOUR_EYES", text, why="ROLE_NOT_GRANTED")

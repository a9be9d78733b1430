"""Processing records end after a year (policy P5, P7)."""

from dsrkit.calendar import days_before
from dsrkit.db import partner_transaction
from services.governance.records.words import DATA
from services.governance.tools import Tools

_AT_ONCE = 10_000


async def purge(tools: Tools) -> None:
    """Chore: removes what is older than the period, a few at a time, so that nobody waits for it."""
    for partner in await tools.store.partners():
        before = days_before(await tools.now(partner), "UTC", 0, years=DATA["keep_years"])
        removed = _AT_ONCE
        while removed == _AT_ONCE:
            async with partner_transaction(tools.store.pool, partner) as connection:
                removed = len(await tools.store.rows(connection, "records.purge", before, _AT_ONCE))

"""How far ahead a sandbox's time is, for governance itself."""

from datetime import UTC, datetime, timedelta

import asyncpg

from dsrkit.clock import ON_TIME
from dsrkit.db import load_sql, partner_transaction

_SQL = load_sql("services.governance", "sandbox")
_MOST = 100_000


def real_clock() -> datetime:
    """The real time."""
    return datetime.now(UTC)


class Clocks:
    """Asks the database for sandboxes only: a partner that was created live stays so, and is remembered."""

    def __init__(self, pool: asyncpg.Pool) -> None:
        self._pool = pool
        self._live: set[str] = set()

    async def ahead(self, partner: str) -> timedelta:
        """Zero for whoever is live, or not there."""
        if partner in self._live:
            return ON_TIME
        async with partner_transaction(self._pool, partner) as connection:
            row = await connection.fetchrow(_SQL["clock"])
        if row is None:
            return ON_TIME
        if row["ahead"] is None:
            if len(self._live) >= _MOST:
                self._live.clear()
            self._live.add(partner)
            return ON_TIME
        ahead: timedelta = row["ahead"]
        return ahead

"""Copies of whole data sources that hold somebody who was erased since: they are ended, and made anew."""

from collections.abc import Sequence
from datetime import datetime

from dsrkit.db import Connection
from services.governance.store import GovernanceStore


async def outdate(
    store: GovernanceStore, connection: Connection, erasure: str, sources: Sequence[str], now: datetime
) -> None:
    """Has the copies of these sources ended that may hold whom the erasure erased there: all that had a grant by now.

    Once for each erasure and source: copies made anew after that don't hold the person. A copy with a later grant has a
    later snapshot.
    """
    await store.row(connection, "termination.returning")
    ended = [row["request"] for row in await store.rows(connection, "termination.oblige", erasure, list(sources), now)]
    if ended:
        await store.row(connection, "termination.outdate", ended, now)


async def finishing(store: GovernanceStore, connection: Connection, erasure: str, now: datetime) -> None:
    """The same for sources of which the report has yet to arrive: an erasure isn't over before its copies are ended."""
    rows = await store.rows(connection, "termination.unreported", erasure)
    if rows:
        await outdate(store, connection, erasure, [row["source"] for row in rows], now)

"""Watches the due times of open requests, and warns in time."""

from datetime import UTC, datetime, timedelta

from dsr.authority.v1.authority_pb2 import StateChange
from dsr.v1.request_pb2 import RequestState

from dsrkit.calendar import days_before
from dsrkit.db import Connection, partner_transaction, sweeper_transaction
from dsrkit.requests.model import TERMINAL
from services.governance import messages
from services.governance.notifications.domain import warning
from services.governance.notifications.outbox import notify
from services.governance.notifications.words import DATA
from services.governance.store import SCHEMA, GovernanceStore
from services.governance.tools import Tools

_DAYS: list[int] = DATA["deadline_warning_days"]


async def track(store: GovernanceStore, connection: Connection, change: StateChange) -> bool:
    """Takes in what a rights service reports; True when the state, and not the deadline alone, is another."""
    state = RequestState.Name(change.state).removeprefix("REQUEST_STATE_")
    before = await store.row(connection, "notifications.tracked", change.request)
    if change.HasField("due_time"):
        times = change.due_time.ToDatetime(UTC), change.change_time.ToDatetime(UTC)
        await store.row(connection, "notifications.track", change.request, state, state not in TERMINAL, *times)
    return before is None or before["state"] != state


async def warn(tools: Tools) -> None:
    """Chore: one pass over everything that is due soon."""
    store = tools.store
    # A day more than the earliest warning: days are the partner's, which begin earlier or later than ours.
    soon = timedelta(days=max(_DAYS) + 1)
    async with sweeper_transaction(store.pool, SCHEMA) as connection:
        partners = [row["partner"] for row in await store.rows(connection, _NEAR_PARTNERS, tools.clock() + soon)]
    for partner in partners:
        now = await tools.now(partner)
        horizon = now + soon
        async with partner_transaction(store.pool, partner) as connection:
            await _warn_partner(tools.store, connection, now, horizon)


_NEAR_PARTNERS = "notifications.partners_with_deadlines"


async def _warn_partner(store: GovernanceStore, connection: Connection, now: datetime, horizon: datetime) -> None:
    time_zone = messages.partner(await store.need(connection, "partner", "resource")).time_zone
    for row in await store.rows(connection, "notifications.near", horizon):
        days = warning(now, row["due_time"], time_zone, _DAYS)
        if days is None or days == row["warned"]:
            continue
        due = row["due_time"].isoformat(timespec="seconds")
        kind = "request.deadline_near" if days else "request.overdue"
        facts = {"days": str(days), "due": due} if days else {"due": due}
        await notify(store, connection, now, kind, row["request"], f"{due}|{days}", **facts)
        await store.row(connection, "notifications.warned", row["request"], days)


async def purge(tools: Tools) -> None:
    """Chore: notices, their deliveries and closed deadlines end after a year (policy P7)."""
    async with sweeper_transaction(tools.store.pool, SCHEMA) as connection:
        partners = [row["partner"] for row in await tools.store.rows(connection, "partners")]
    for partner in partners:
        before = days_before((await tools.now(partner)).astimezone(UTC), "UTC", 0, years=DATA["keep_years"])
        async with partner_transaction(tools.store.pool, partner) as connection:
            await tools.store.row(connection, "notifications.purge", before)

"""How many requests may be started within 24 hours, over all three rights: by one principal, and by all of a partner's
together. A partner's backend says who acts, so a cap on principals alone would be evaded by naming many."""

from datetime import datetime, timedelta
from uuid import UUID

from dsr.authority.v1 import authority_pb2 as pb

from dsrkit.db import Connection
from dsrkit.errors import DsrError
from services.governance.store import GovernanceStore

DEFAULT_DAILY_CAP = 1000
PARTNER_FACTOR = 10
"""How many times a principal's cap the partner as a whole has."""
_WINDOW = timedelta(hours=24)


def exceeded(by_principal: int, by_partner: int, cap: int) -> tuple[str, int] | None:
    """Whose cap these requests exceed, and what it is; None when they may all be started."""
    if by_principal > cap:
        return "This principal", cap
    if by_partner > cap * PARTNER_FACTOR:
        return "This partner", cap * PARTNER_FACTOR
    return None


async def admit(
    store: GovernanceStore,
    connection: Connection,
    request: pb.AuthorizeRequest,
    request_id: UUID,
    cap: int,
    now: datetime,
) -> None:
    """Counts a request, once however often it is asked for. RATE_LIMITED, and not counted, when it is one too many."""
    # One at a time per partner, so that of many at once no more get in than one after the other.
    await store.row(connection, "lock_admissions")
    if await store.row(connection, "admit", request_id, request.right, request.principal, now) is None:
        return
    found = await store.need(connection, "admitted", "resource", request.principal, now - _WINDOW)
    over = exceeded(found["by_principal"], found["by_partner"], cap or DEFAULT_DAILY_CAP)
    if over is not None:
        who, limit = over
        oldest = found["oldest_of_principal"] if who == "This principal" else found["oldest"]
        text = f"{who} started {limit} requests within 24 hours."
        raise DsrError("RATE_LIMITED", text, retry_after=oldest + _WINDOW - now, limit=str(limit))

"""Where refusals are entered, by whoever refuses."""

from datetime import datetime

from dsr.v1 import request_pb2

from dsrkit.db import Connection
from services.governance.refusals.domain import same
from services.governance.store import GovernanceStore


async def enter(
    store: GovernanceStore,
    connection: Connection,
    partner: str,
    refusal: request_pb2.Refusal,
    operation: str,
    request: str,
    creator: str,
    now: datetime,
) -> None:
    """Records an operator's refusal, or that it was made once more; the refusal then names its resource."""
    identifier = same(refusal, operation, request)
    args = (operation, request, refusal.rule, refusal.article, list(refusal.facts), refusal.objection, creator, now)
    await store.row(connection, "refusals.enter", identifier, *args)
    refusal.name = f"{partner}/refusals/{identifier}"

"""What a partner has on record, as the gate and other families ask for it."""

from dsrkit.db import Connection
from services.governance.store import GovernanceStore
from services.governance.transfers.domain import Attestation, Records, Safeguard


async def load(store: GovernanceStore, connection: Connection) -> Records:
    """Safeguards and attestations of the partner of the transaction that have not ended."""
    safeguards = await store.rows(connection, "transfers.open_safeguards")
    attestations = await store.rows(connection, "transfers.open_attestations")
    return Records(
        [Safeguard(r["recipient"], r["country"], r["instrument"], r["begin_time"], r["end_time"]) for r in safeguards],
        [Attestation(r["country"], r["subjects_told_time"], r["end_time"]) for r in attestations],
    )

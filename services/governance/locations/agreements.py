"""A partner's agreements, as the gate and other families ask for them; and those that begin with the contract."""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID, uuid5

from dsr.v1 import governance_pb2

from dsrkit.db import Connection
from services.governance.locations.domain import USES, Agreement, place_of
from services.governance.notifications.outbox import notify
from services.governance.store import GovernanceStore


async def load(store: GovernanceStore, connection: Connection) -> list[Agreement]:
    """What the partner of the transaction agreed to, as far as it is, was or will be in force."""
    return [
        Agreement(
            row["use"],
            row["source"],
            (row["provider"], row["site"], row["country"]),
            row["state"],
            row["effective_time"],
            row["end_time"],
        )
        for row in await store.rows(connection, "locations.accepted")
    ]


async def begin(
    store: GovernanceStore,
    connection: Connection,
    base: UUID,
    partner: str,
    places: Sequence[governance_pb2.Location],
    now: datetime,
) -> None:
    """Records what the contract names, and tells the partner which places are used (policy P4)."""
    for number, location in enumerate(places):
        for use in USES:
            identifier = uuid5(base, f"{number} {use}")
            args = (identifier, use, "", *place_of(location), "ACCEPTED", None, "contract", "contract", now, now, now)
            await store.row(connection, "locations.create", *args)
            facts = words(use, location, now)
            name = f"{partner}/locationAgreements/{identifier}"
            await notify(store, connection, now, "location.told", name, "", None, **facts)


def words(use: str, location: governance_pb2.Location, when: datetime) -> dict[str, str]:
    """What a notice says of a place."""
    return {
        "use": use.lower().replace("_", " "),
        "place": ", ".join(place_of(location)),
        "effective": when.isoformat(timespec="seconds"),
    }

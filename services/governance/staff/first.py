"""The operator's first people: nobody is there to grant them their role, so whoever deploys the platform names them."""

from collections.abc import Sequence
from uuid import UUID, uuid5

from dsrkit import log
from dsrkit.auth import ACTOR_FORM, is_actor
from dsrkit.config import ConfigError
from dsrkit.db import partner_transaction
from services.governance.store import OPERATOR, GovernanceStore

_ENOUGH = 2
"""So many grant the role to a third."""
_NAMESPACE = UUID("5f0f3c1e-8a57-4a53-9b5e-0b7f6d1c2a44")


def named(text: str) -> Sequence[str]:
    """The people of `DSR_OPERATORS`; nobody when it is empty. ConfigError."""
    people = tuple(dict.fromkeys(person.strip() for person in text.split(",") if person.strip()))
    for person in people:
        if not is_actor(person):
            raise ConfigError(f"DSR_OPERATORS: {person!r} {ACTOR_FORM}")
    if len(people) == 1:
        raise ConfigError("DSR_OPERATORS names one person; it takes two to grant a role: name at least two")
    return people


async def begin(store: GovernanceStore, people: Sequence[str]) -> None:
    """Grants the role to those who are named, while fewer than two people hold it: at the first start, or after a loss.

    Whoever had it before and lost it doesn't get it back this way.
    """
    async with partner_transaction(store.pool, OPERATOR) as connection:
        await store.row(connection, "lock_mutation", _NAMESPACE)
        await store.row(connection, "staff.begin", [uuid5(_NAMESPACE, person) for person in people], list(people))
        holders = (await store.need(connection, "staff.operators", "resource"))["holders"]
    if holders < _ENOUGH:
        log.get_logger().warning("operators.too_few", holders=holders)

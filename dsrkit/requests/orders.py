"""Requests that a service creates itself, because governance ordered it."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from dsrkit.calendar import due
from dsrkit.db import partner_transaction
from dsrkit.requests.model import Dossier, Request
from dsrkit.requests.servicer import Parts


def ordered(
    partner: str,
    digest: bytes,
    actor: str,
    time_zone: str,
    data_sources: Sequence[str],
    facts: Mapping[str, Any],
    now: datetime,
    data_map_revision: int = 0,
) -> Request:
    """A new request. `digest`: of the order, keyed; the id is made of it, so that an order makes one request.

    `now`: the partner's time, from which its deadline counts.
    """
    identifier = order_id(digest)
    return Request(
        partner=partner,
        id=identifier,
        request_id=identifier,
        body_digest=digest,
        state="PENDING",
        creator=actor,
        creator_actors=(actor,),
        capacity="REQUESTER_CAPACITY_UNSPECIFIED",
        received_time=now,
        time_zone=time_zone,
        due_time=due(now, time_zone),
        extension=None,
        data_map_revision=data_map_revision,
        data_sources=tuple(data_sources),
        refusal=None,
        facts=facts,
        sealed=None,
        bundle_expire_time=None,
        next_event=1,
        create_time=now,
        update_time=now,
        complete_time=None,
    )


def order_id(digest: bytes) -> UUID:
    """The id of the request that an order makes."""
    return UUID(bytes=digest[:16], version=4)


async def begin(parts: Parts, request: Request, dossier: Dossier) -> None:
    """Stores the request, unless somebody was faster, and lets it go on."""
    sealed = await parts.flow.seal(request, dossier)
    async with partner_transaction(parts.store.pool, request.partner) as connection:
        made = await parts.store.create(connection, sealed)
        if made is not None:
            await parts.store.record_order(connection, made)
            await parts.store.add_event(connection, made, "state.changed")
            await parts.flow.go_on(connection, await parts.store.lock(connection, made.id))

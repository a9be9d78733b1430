"""Asks a backend who is unused, for the tests of every kind."""

from datetime import UTC, datetime
from typing import Any

from dsr.connector.v1 import connector_pb2 as pb
from dsr.connector.v1.grant_pb2 import Grant, Inactivity

from connectors.backend import ListsInactive

CUTOFF = datetime(2026, 5, 25, 12, tzinfo=UTC)


async def ask(source: ListsInactive, collection: str, field: str, **request: Any) -> tuple[list[str], int, int]:
    """Who is listed, how many are unused, and of how many it isn't known. People known by `email`."""
    wanted = Inactivity(collection=collection, field=field, identity_type=request.pop("identity_type", "email"))
    wanted.before.FromDatetime(request.pop("before", CUTOFF))
    grant = Grant(operation=Grant.OPERATION_LIST_INACTIVE, inactivity=wanted)
    people: list[str] = []
    totals = pb.InactiveTotals()
    async for message in source.list_inactive(pb.ListInactiveRequest(**request), grant):
        assert len(message.page.identities) <= 1_000
        people += [identity.value for identity in message.page.identities]
        totals.MergeFrom(message.totals)
    return people, totals.people, totals.unknown

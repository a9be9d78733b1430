"""Whom and what a breach concerns, from data map, processing records and counts."""

import asyncpg
from dsr.v1 import breach_pb2 as pb
from dsr.v1 import governance_pb2
from google.protobuf import json_format

from dsrkit.db import Connection
from services.governance import messages
from services.governance.breach import domain, view
from services.governance.store import GovernanceStore
from services.governance.tools import Clock


async def fill(
    store: GovernanceStore, connection: Connection, clock: Clock, row: asyncpg.Record, message: pb.Breach
) -> None:
    """Adds the scope: as of now, or as it was kept."""
    if row["scope"] is not None:
        json_format.ParseDict(row["scope"], message)
        return
    sources = list(row["data_sources"]) or [r["name"] for r in await store.rows(connection, "data_sources", "", 10_000)]
    current = await store.row(connection, "data_map", 0)
    data_map = messages.data_map(current) if current else governance_pb2.DataMap()
    message.data_map_revision = data_map.revision
    message.concerned.extend(domain.concerned(sources, data_map))
    until = row["end_time"] or clock()
    for found in await store.rows(connection, "breach.activities", sources, row["begin_time"], until):
        message.activities.add(**dict(found))
    known = view.counts(await store.rows(connection, "breach.counts", row["id"]))
    failed = await store.rows(connection, "breach.failures", row["id"])
    message.subject_counts.extend(domain.counts(sources, known, {r["source"]: r["failure"] for r in failed}))

"""Puts processing records into the table that has no room for anything else (policy P5)."""

import ipaddress
from collections.abc import Sequence
from datetime import UTC
from typing import TYPE_CHECKING
from uuid import UUID

from dsr.services import descriptors
from dsr.v1.governance_pb2 import ProcessingRecord

from dsrkit import log
from dsrkit.db import Connection
from dsrkit.errors import CODES
from dsrkit.recording import CANCELLED, REQUEST
from dsrkit.requests.flow import TOUCHES

if TYPE_CHECKING:
    from services.governance.store import GovernanceStore

UNKNOWN = "Unknown"
COUNT = "count"
"""The access service had a source count its people, for a breach."""
OPERATIONS = frozenset(
    {
        UNKNOWN,
        COUNT,
        *TOUCHES,
        *(method.name for services in descriptors().values() for service in services for method in service.methods),
    }
)
"""What a record may say was done: an RPC of the public API, or a step that touches a data source."""
_OUTCOMES = frozenset({"OK", CANCELLED, *CODES})


async def know_operations(store: "GovernanceStore") -> None:
    """Tells the database of this release's operations; it takes no others."""
    async with store.pool.acquire() as connection:
        await store.row(connection, "records.know", sorted(OPERATIONS))


async def keep(
    store: "GovernanceStore", connection: Connection, records: Sequence[tuple[UUID, ProcessingRecord]]
) -> None:
    """Stores records of the transaction's partner, each id once, in one statement."""
    if records:
        rows = [(identifier, *_row(record)) for identifier, record in records]
        await store.row(connection, "add_records", *(list(column) for column in zip(*rows, strict=True)))


def _row(record: ProcessingRecord) -> tuple[object, ...]:
    fits = record.operation in OPERATIONS and record.outcome in _OUTCOMES
    if not fits or (record.request and not REQUEST.fullmatch(record.request)):
        # A newer service may know more than this release: its records are kept, without what isn't known here.
        log.get_logger().error("record.unknown")
    return (
        record.actor,
        record.operation if record.operation in OPERATIONS else UNKNOWN,
        record.request if REQUEST.fullmatch(record.request) else "",
        record.source,
        record.outcome if record.outcome in _OUTCOMES else "INTERNAL",
        record.records,
        record.record_time.ToDatetime(UTC),
        ipaddress.ip_address(record.originating_ip) if record.originating_ip else None,
    )

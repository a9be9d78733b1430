"""Between rows and messages."""

import asyncpg
from dsr.v1 import retention_pb2 as pb
from google.protobuf import json_format


def rule(row: asyncpg.Record) -> pb.RetentionRule:
    """A rule."""
    message = pb.RetentionRule(
        name=f"{row['partner']}/retentionRules/{row['id']}",
        source=row["source"],
        collection=row["collection"],
        field=row["field"],
        identity_type=row["identity_type"],
        months=row["months"],
        creator=row["creator"],
    )
    if row["instruction"] is not None:
        json_format.ParseDict(row["instruction"], message.instruction)
    for field in ("create_time", "next_sweep_time", "end_time"):
        if row[field] is not None:
            getattr(message, field).FromDatetime(row[field])
    return message


def sweep(row: asyncpg.Record) -> pb.RetentionSweep:
    """A sweep."""
    message = pb.RetentionSweep(
        name=f"{row['partner']}/retentionSweeps/{row['id']}",
        rule=f"{row['partner']}/retentionRules/{row['rule']}",
        state=pb.RetentionSweep.State.Value(f"STATE_{row['state']}"),
        people=row["people"],
        unknown=row["unknown"],
        erased_collections=row["erased"],
        kept_collections=row["kept"],
        cap=row["cap"],
        created=row["created"],
        approver=row["approver"],
        standing=row["standing"],
        creator=row["creator"],
    )
    for field in ("cutoff_time", "create_time", "approve_time", "complete_time"):
        if row[field] is not None:
            getattr(message, field).FromDatetime(row[field])
    return message

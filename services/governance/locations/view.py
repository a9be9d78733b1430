"""Between rows and messages."""

import asyncpg
from dsr.v1 import governance_pb2
from dsr.v1 import location_pb2 as pb


def location(row: asyncpg.Record) -> governance_pb2.Location:
    """The place of an agreement."""
    return governance_pb2.Location(provider=row["provider"], site=row["site"], country=row["country"])


def message(row: asyncpg.Record, dpo: str) -> pb.LocationAgreement:
    """An agreement."""
    collection = f"{row['partner']}/locationAgreements"
    found = pb.LocationAgreement(
        name=f"{collection}/{row['id']}",
        use=pb.LocationAgreement.Use.Value(f"USE_{row['use']}"),
        source=row["source"],
        location=location(row),
        replaces=f"{collection}/{row['replaces']}" if row["replaces"] else "",
        state=pb.LocationAgreement.State.Value(f"STATE_{row['state']}"),
        proposer=row["proposer"],
        decider=row["decider"] or "",
        contact=dpo,
    )
    for field in ("effective_time", "create_time", "decide_time", "complete_time", "end_time"):
        if row[field]:
            getattr(found, field).FromDatetime(row[field])
    return found
